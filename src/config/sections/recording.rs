//! `[recording]`; `[device.recording]`, which changes it for one device; `per_channel` in that, which changes it for one
//! channel.

use super::{Origin, duration};
use crate::{
    archive::MinFree,
    base::units::{format_duration, parse_duration, parse_size},
    config::{
        Recording,
        reader::{Scope, as_choice, as_flag, as_integer, as_size, as_text, clip, within},
        tree::{Node, Value},
    },
    model::{Checksum, key::CHANNEL_MAX},
    recorder::{Mode, Schedule, Sync},
};
use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, time::Duration};

/// Shorter files than this cost more index than footage; longer ones are lost whole when one is damaged.
const SEGMENT: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(3_600);
const SEGMENT_DEFAULT: Duration = Duration::from_secs(30);
const FRAGMENT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
const FRAGMENT_DEFAULT: Duration = Duration::from_millis(500);
const SYNC: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const SYNC_DEFAULT: Duration = Duration::from_millis(500);
const CHECKSUMS: [(&str, Checksum); 3] =
    [("sha256", Checksum::Sha256), ("crc32", Checksum::Crc32), ("none", Checksum::None)];
const RETAIN_DAYS: RangeInclusive<i64> = 0..=36_500;
const RETAIN_DAYS_DEFAULT: u32 = 30;
const MIN_FREE_DEFAULT: MinFree = MinFree::Percent(5.0);
/// Keeping more than this free leaves no room to record in.
const MIN_FREE_PERCENT_MAX: f64 = 95.0;

/// `[recording]`, and the directory that it names.
pub(super) fn global(scope: &Scope<'_>, origin: &Origin<'_>) -> (Recording, Option<PathBuf>) {
    let defaults = Recording {
        enabled: true,
        mode: Mode::Video,
        segment: SEGMENT_DEFAULT,
        fragment: FRAGMENT_DEFAULT,
        sync: Sync::Every(SYNC_DEFAULT),
        checksum: Checksum::Sha256,
        audio: true,
        schedule: None,
        retain_days: RETAIN_DAYS_DEFAULT,
        retain_bytes: 0,
        min_free: MIN_FREE_DEFAULT,
    };
    let dir = scope.optional("dir", as_text).filter(|d| !d.is_empty()).map(|d| origin.path(&d));
    (changed(scope, &defaults), dir)
}

/// `[device.recording]`: what it does not say is as in `all`, save that `retain_bytes` of all is no limit of one.
/// And what it changes for single channels, of those that are `taken`; empty: all.
pub(super) fn of_device(scope: &Scope<'_>, all: &Recording, taken: &[u32]) -> (Recording, BTreeMap<u32, Recording>) {
    scope.misplaced("dir", "all footage lies in one directory; set it in [recording]");
    let device = changed(scope, &Recording { retain_bytes: 0, ..all.clone() });
    let base = Recording { retain_bytes: 0, ..device.clone() };
    let channels = scope.entries("per_channel", |name, scope| {
        scope.misplaced("dir", "all footage lies in one directory; set it in [recording]");
        scope.misplaced(
            "min_free",
            "room on the disk is kept for whole devices; set it in [device.recording] or [recording]",
        );
        scope.misplaced("per_channel", "a channel has no channels; remove it");
        let settings = changed(scope, &base);
        match name.parse::<u32>() {
            Ok(channel) if !(1..=CHANNEL_MAX).contains(&channel) || channel.to_string() != name => {
                scope.fault("", format!("`{}` is no channel; channels are numbered from 1", clip(name)));
                None
            }
            Err(_) => {
                scope.fault(
                    "",
                    format!("`{}` is no channel; write its number, per_channel = {{ 3 = {{ … }} }}", clip(name)),
                );
                None
            }
            Ok(channel) if !taken.is_empty() && !taken.contains(&channel) => {
                scope.fault("", format!("channel {channel} is not among `channels` of this device; add it there"));
                None
            }
            Ok(channel) => Some((channel, settings)),
        }
    });
    (device, channels.into_iter().flatten().collect())
}

fn changed(scope: &Scope<'_>, base: &Recording) -> Recording {
    let changed = Recording {
        enabled: scope.value("enabled", base.enabled, as_flag),
        mode: scope.value("mode", base.mode, |n| as_choice(n, &[("video", Mode::Video), ("image", Mode::Image)])),
        segment: duration(scope, "segment", base.segment, &SEGMENT),
        fragment: duration(scope, "fragment", base.fragment, &FRAGMENT),
        sync: scope.value("sync", base.sync, sync),
        checksum: scope.value("checksum", base.checksum, |n| as_choice(n, &CHECKSUMS)),
        audio: scope.value("audio", base.audio, as_flag),
        schedule: scope.value("schedule", base.schedule.clone(), schedule),
        retain_days: scope.value("retain_days", base.retain_days, retain_days),
        retain_bytes: scope.value("retain_bytes", base.retain_bytes, as_size),
        min_free: scope.value("min_free", base.min_free, min_free),
    };
    if changed.fragment > changed.segment {
        let (fragment, segment) = (format_duration(changed.fragment), format_duration(changed.segment));
        let key = if scope.has("fragment") { "fragment" } else { "segment" };
        scope.fault(
            key,
            format!("fragment = {fragment} is longer than segment = {segment}; make segment the longer one"),
        );
    }
    changed
}

/// Empty: always.
fn schedule(node: &Node) -> Result<Option<Schedule>, String> {
    let text = as_text(node)?;
    match text.trim().is_empty() {
        true => Ok(None),
        false => Schedule::parse(&text).map(Some).map_err(|e| e.to_string()),
    }
}

fn retain_days(node: &Node) -> Result<u32, String> {
    let days = within(as_integer(node)?, &RETAIN_DAYS, |n| *n)?;
    u32::try_from(days).map_err(|e| e.to_string())
}

fn sync(node: &Node) -> Result<Sync, String> {
    let right = "write a duration such as \"500ms\", or \"segment\", or \"off\"";
    match as_text(node).map_err(|e| format!("{e}, {right}"))?.as_str() {
        "segment" => Ok(Sync::Segment),
        "off" => Ok(Sync::Off),
        text => {
            let every = parse_duration(text).map_err(|_| format!("`{}` is not understood; {right}", clip(text)))?;
            within(every, &SYNC, |d| format_duration(*d)).map(Sync::Every)
        }
    }
}

fn min_free(node: &Node) -> Result<MinFree, String> {
    let right = "write a part of the file system such as \"5%\", a size such as \"20GiB\", or \"0\"";
    if let Value::Integer(0) = node.value {
        return Ok(MinFree::Bytes(0));
    }
    let text = as_text(node).map_err(|_| format!("is {}; {right}", node.value.kind()))?;
    let wrong = || format!("`{}` is neither a part nor a size; {right}", clip(&text));
    let Some(percent) = text.trim().strip_suffix('%') else {
        return parse_size(&text).map(MinFree::Bytes).map_err(|_| wrong());
    };
    let percent: f64 = percent.trim_end().parse().map_err(|_| wrong())?;
    match (0.0..=MIN_FREE_PERCENT_MAX).contains(&percent) {
        true => Ok(MinFree::Percent(percent)),
        false => Err(format!("must lie between 0% and {MIN_FREE_PERCENT_MAX}%, not {percent}%")),
    }
}
