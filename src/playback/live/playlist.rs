//! Playlists of low latency as text, RFC 8216bis. Pure.

use super::window::{Segment, Window};
use crate::{model::frame::VIDEO_TIMESCALE, playback::route::Seal};
use std::fmt::Write;

/// A client that asks for news gets what is new, if it knows the playlist as of this many target durations ago.
const SKIP_TARGETS: u64 = 6;
/// Parts are listed of so many target durations at the end.
const PARTS_TARGETS: u64 = 3;
/// Players stay so many parts behind the end, and so many target durations where they know of no parts.
const PART_HOLD_BACK: f64 = 3.0;
const HOLD_BACK_TARGETS: u64 = 3;

/// The names of a show's files, below the playlist's own.
pub(super) fn init_uri(show: u64, number: u32) -> String {
    format!("live/init-{number}.mp4?v={show:x}")
}

/// A whole segment.
pub(super) fn segment_uri(show: u64, number: u64) -> String {
    format!("live/{number}.m4s?v={show:x}")
}

/// A part of a segment.
pub(super) fn part_uri(show: u64, number: u64, part: usize) -> String {
    format!("live/{number}.{part}.m4s?v={show:x}")
}

/// The playlist's text; with `skips`, without what a client knows that has it as of a moment ago.
pub(super) fn render(show: u64, window: &Window, skips: bool, seal: Seal<'_>) -> String {
    let sealed = |uri: String| {
        let seal = seal(&uri);
        uri + &seal
    };
    let target = window.lengths.target_seconds;
    let part = seconds(window.lengths.part_ticks);
    let listed: Vec<&Segment> = window.listed().filter(|segment| !segment.parts.is_empty()).collect();
    let (next_segment, next_part) = window.next();
    let first = listed.first().map_or(next_segment, |segment| segment.number);
    let skipped = if skips { skippable(&listed, target) } else { 0 };
    let mut out = String::with_capacity(512 + listed.len() * 200);
    let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}");
    let _ = writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}.0,PART-HOLD-BACK={:.5},HOLD-BACK={}.0",
        target * SKIP_TARGETS,
        part * PART_HOLD_BACK,
        target * HOLD_BACK_TARGETS
    );
    let _ = writeln!(out, "#EXT-X-PART-INF:PART-TARGET={part:.5}\n#EXT-X-MEDIA-SEQUENCE:{first}");
    let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", window.discontinuities());
    if skipped > 0 {
        let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    let parts_from = parts_from(&listed, target);
    let mut init = skipped.checked_sub(1).and_then(|last| listed.get(last)).map(|segment| segment.init);
    for (n, segment) in listed.iter().enumerate().skip(skipped) {
        // The first one's own discontinuity is in the count.
        if segment.discontinuity && n > 0 {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if init != Some(segment.init) {
            init = Some(segment.init);
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", sealed(init_uri(show, segment.init)));
        }
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.wall);
        if n >= parts_from || !segment.is_whole() {
            for (n, part) in segment.parts.iter().enumerate() {
                let uri = sealed(part_uri(show, segment.number, n));
                let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
                let _ = writeln!(out, "#EXT-X-PART:DURATION={:.5},URI=\"{uri}\"{independent}", seconds(part.ticks));
            }
        }
        if segment.is_whole() {
            let uri = sealed(segment_uri(show, segment.number));
            let _ = writeln!(out, "#EXTINF:{:.5},\n{uri}", seconds(segment.ticks()));
        }
    }
    let hint = sealed(part_uri(show, next_segment, next_part));
    let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"");
    out
}

/// How many of the first segments lie before what a client knows that has the playlist as of a moment ago.
fn skippable(listed: &[&Segment], target: u64) -> usize {
    let mut behind = 0;
    let limit = target * SKIP_TARGETS * u64::from(VIDEO_TIMESCALE);
    let known = listed.iter().rev().take_while(|segment| {
        let within = behind < limit;
        behind += segment.ticks();
        within
    });
    listed.len() - known.count()
}

/// From which segment on parts are listed.
fn parts_from(listed: &[&Segment], target: u64) -> usize {
    let mut behind = 0;
    let limit = target * PARTS_TARGETS * u64::from(VIDEO_TIMESCALE);
    let near = listed.iter().rev().take_while(|segment| {
        let within = behind < limit;
        behind += segment.ticks();
        within
    });
    listed.len() - near.count()
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / f64::from(VIDEO_TIMESCALE)
}
