//! `[transcode]`, and `transcode = { … }` of a device: what ffmpeg makes of its streams.

use super::Origin;
use crate::{
    config::reader::{Scope, as_choice, as_integer, as_text, clip, within},
    model::{Profile, VideoCodec},
    transcode::Settings,
};
use std::{ops::RangeInclusive, path::PathBuf};

/// Each takes a core or so; more than a host has cores may be meant, far more is a slip.
const PROCESSES: RangeInclusive<i64> = 1..=1_024;
const PROCESSES_DEFAULT: usize = 16;
/// What encoders take; sides are even, since colour has half of each.
const SIDE: RangeInclusive<u16> = 64..=8_192;
const BITS_PER_SECOND: RangeInclusive<u64> = 16_000..=200_000_000;
const FPS: RangeInclusive<i64> = 0..=120;
const PRESET_DEFAULT: &str = "veryfast";
/// The words of libx264 and libx265.
const PRESETS: [&str; 9] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];

/// `[transcode]`: the program, and how many of it may run.
pub(super) fn global(scope: &Scope<'_>, origin: &Origin<'_>) -> (Option<PathBuf>, usize) {
    let ffmpeg = scope.optional("ffmpeg", as_text).filter(|p| !p.is_empty()).map(|p| origin.path(&p));
    let processes = scope.value("processes", PROCESSES_DEFAULT, |n| {
        let processes = within(as_integer(n)?, &PROCESSES, |n| *n)?;
        usize::try_from(processes).map_err(|e| e.to_string())
    });
    (ffmpeg, processes)
}

/// `transcode` of a device. None where it is not there.
pub(super) fn of_device(scope: &Scope<'_>) -> Option<Settings> {
    let there = scope.has("transcode");
    scope.section("transcode", |s| there.then(|| settings(s)))
}

fn settings(scope: &Scope<'_>) -> Settings {
    let codecs = [VideoCodec::H264, VideoCodec::H265].map(|c| (c.as_str(), c));
    let presets = PRESETS.map(|p| (p, p));
    let profiles = [Profile::Main, Profile::Sub].map(|p| (p.as_str(), p));
    let streams = scope.list("streams", profiles.map(|(_, p)| p).to_vec(), |n| as_choice(n, &profiles));
    if scope.is_empty_list("streams") {
        scope.fault("streams", "is empty; write [\"main\"], [\"sub\"] or both, or remove `transcode`");
    }
    Settings {
        streams,
        video: scope.value("video", VideoCodec::H264, |n| as_choice(n, &codecs)),
        size: scope.value("size", None, |n| size(&as_text(n)?)),
        bits_per_second: scope.value("bitrate", None, |n| bitrate(&as_text(n)?)),
        fps: scope.value("fps", None, |n| {
            let fps = within(as_integer(n)?, &FPS, |n| *n)?;
            Ok(u32::try_from(fps).ok().filter(|fps| *fps > 0))
        }),
        preset: scope.value("preset", PRESET_DEFAULT, |n| as_choice(n, &presets)).to_owned(),
    }
}

/// `1280x720`, or nothing.
fn size(text: &str) -> Result<Option<(u16, u16)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let side = |t: &str| t.parse::<u16>().ok().filter(|n| SIDE.contains(n) && n.is_multiple_of(2));
    let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some((side(w)?, side(h)?)));
    sides.map(Some).ok_or_else(|| {
        let (least, most) = (SIDE.start(), SIDE.end());
        format!(
            "`{}` is not a size; write for example \"1280x720\", even numbers between {least} and {most}",
            clip(text)
        )
    })
}

/// `1M`, `800k` or bits per second, as ffmpeg's own options have it; or nothing.
fn bitrate(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (number, scale) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1_000_000.0),
        None => text.strip_suffix(['k', 'K']).map_or((text, 1.0), |number| (number, 1_000.0)),
    };
    let wrong = || format!("`{}` is not a bit rate; write for example \"1M\" or \"800k\"", clip(text));
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bits = number * scale;
    if !bits.is_finite() || bits < 0.0 {
        return Err(wrong());
    }
    within(bits as u64, &BITS_PER_SECOND, |n| format!("{n} bits per second")).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{bitrate, size};

    #[test]
    fn sizes_and_rates() {
        assert_eq!(size("1280x720"), Ok(Some((1280, 720))));
        assert_eq!(size(""), Ok(None));
        for text in ["1280", "1281x720", "x", "0x0", "99999x2", "-2x64", "1280 x 720"] {
            assert!(size(text).unwrap_err().contains("1280x720"), "{text}");
        }
        for (text, bits) in [("1M", 1_000_000), ("1.5M", 1_500_000), ("800k", 800_000), ("64000", 64_000)] {
            assert_eq!(bitrate(text), Ok(Some(bits)), "{text}");
        }
        for text in ["M", "1G", "-1M", "NaN", "infM", "1k", "900M"] {
            assert!(bitrate(text).is_err(), "{text}");
        }
    }
}
