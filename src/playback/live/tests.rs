//! What a show makes of frames, held against the rules of RFC 8216bis.

use super::{
    cutter::{Cutter, Made},
    playlist::render,
    window::Window,
};
use crate::{
    base::Wall,
    media::{
        fixture::{Clip, Options, clip, run},
        tests::decoded_frames,
    },
    model::{Frame, TrackKind},
};
use bytes::Bytes;
use proptest::prelude::*;

fn start() -> Wall {
    "2026-11-21T08:30:00Z".parse().unwrap()
}

/// Pictures so far apart, with a key frame every so many.
fn pictures(like: &Clip, intervals: &[i64], gop: usize) -> Vec<Frame> {
    let model = like.frames(1, start()).into_iter().find(|f| f.track == TrackKind::Video).unwrap();
    let mut ticks = 7_000;
    let frame = |(n, interval): (usize, &i64)| {
        ticks += interval;
        let wall = start().plus_micros(ticks * 100 / 9);
        Frame { ticks, wall, key: n.is_multiple_of(gop), data: Bytes::from_static(&[0, 0, 0, 1, 9]), ..model.clone() }
    };
    intervals.iter().enumerate().map(frame).collect()
}

fn made(frames: impl IntoIterator<Item = Frame>) -> (Cutter, Vec<Made>) {
    let mut cutter = Cutter::default();
    let all = frames.into_iter().flat_map(|frame| cutter.push(frame).unwrap()).collect();
    (cutter, all)
}

fn plain(show: u64, window: &Window, skips: bool) -> String {
    render(show, window, skips, &|_| String::new())
}

/// A playlist as a client reads it.
#[derive(Debug, Default)]
struct Read {
    target: f64,
    part_target: f64,
    first: u64,
    skipped: usize,
    /// Of each segment behind those skipped: its length if it is whole, the lengths of its parts, its name.
    segments: Vec<(Option<f64>, Vec<f64>, String)>,
    hint: String,
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    let mut parts = Vec::new();
    let mut length = None;
    let number = |text: &str| text.split([',', ':']).next().unwrap().parse::<f64>().unwrap();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            read.target = number(rest);
        } else if let Some(rest) = line.strip_prefix("#EXT-X-PART-INF:PART-TARGET=") {
            read.part_target = number(rest);
        } else if let Some(rest) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            read.first = rest.parse().unwrap();
        } else if let Some(rest) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
            read.skipped = rest.parse().unwrap();
        } else if let Some(rest) = line.strip_prefix("#EXT-X-PART:DURATION=") {
            parts.push(number(rest));
        } else if let Some(rest) = line.strip_prefix("#EXTINF:") {
            length = Some(number(rest));
        } else if let Some(rest) = line.strip_prefix("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"") {
            read.hint = rest.trim_end_matches('"').to_owned();
        } else if !line.starts_with('#') {
            read.segments.push((length.take(), std::mem::take(&mut parts), line.to_owned()));
        }
    }
    if !parts.is_empty() {
        read.segments.push((None, parts, String::new()));
    }
    read
}

#[test]
fn every_picture_and_sound_is_in_it_once_and_decodes() {
    for reordered in [false, true] {
        let clip = clip(Options { bframes: if reordered { 2 } else { 0 }, ..Options::default() });
        let (mut cutter, mut all) = made(clip.frames(9, start()));
        all.extend(cutter.interrupt().unwrap());
        let mut file = Vec::new();
        let mut segments = 0;
        for made in &all {
            match made {
                Made::Begin { init, .. } => {
                    assert_eq!(init.is_some(), segments == 0);
                    file.extend(init.iter().flatten());
                    segments += 1;
                }
                Made::Part(part) => file.extend(&part.bytes),
                Made::End => {}
            }
        }
        assert!((4..=6).contains(&segments), "{segments}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.mp4");
        std::fs::write(&path, file).unwrap();
        assert_eq!(decoded_frames(&path), clip.video.len());
        let count =
            ["-v", "error", "-select_streams", "a", "-count_packets", "-show_entries", "stream=nb_read_packets"];
        let sounds = run("ffprobe", &[&count[..], &["-of", "csv=p=0", path.to_str().unwrap()]].concat());
        let sounds: usize = sounds.trim().parse().unwrap();
        assert!(sounds + 30 >= clip.audio.len() && sounds <= clip.audio.len(), "{sounds} of {}", clip.audio.len());
    }
}

#[test]
fn a_segment_and_its_parts_are_in_memory_once_for_all_who_ask() {
    let clip = clip(Options::default());
    let (cutter, all) = made(clip.frames(9, start()));
    let mut window = Window::new(cutter.lengths().unwrap(), 7);
    let mut sent = Vec::new();
    for made in all {
        if let Made::Part(part) = &made {
            sent.extend_from_slice(&part.bytes);
        }
        window.add(made);
    }
    let mut joined = Vec::new();
    for number in 7..window.next().0 {
        let segment = window.segment(number).unwrap();
        let (bytes, again) = (segment.bytes().unwrap(), segment.bytes().unwrap());
        assert_eq!(bytes.as_ptr(), again.as_ptr());
        let mut at = bytes.as_ptr();
        for part in &segment.parts {
            assert_eq!(part.bytes.as_ptr(), at, "a part of {number} lies elsewhere");
            at = at.wrapping_add(part.bytes.len());
        }
        joined.extend_from_slice(&bytes);
    }
    assert!(!joined.is_empty() && sent.starts_with(&joined));
    let under_way = window.segment(window.next().0).unwrap();
    assert!(!under_way.is_whole() && under_way.bytes().is_none() && !under_way.parts.is_empty());
}

#[test]
fn a_break_is_a_discontinuity_and_another_format_brings_its_init() {
    let (a, b) = (clip(Options::default()), clip(Options { width: 64, height: 48, ..Options::default() }));
    let mut cutter = Cutter::default();
    let mut all = Vec::new();
    for frame in pictures(&a, &[3_600; 60], 25) {
        all.extend(cutter.push(frame).unwrap());
    }
    all.extend(cutter.interrupt().unwrap());
    for frame in pictures(&a, &[3_600; 60], 25).into_iter().chain(pictures(&b, &[3_600; 60], 25)) {
        all.extend(cutter.push(frame).unwrap());
    }
    all.extend(cutter.interrupt().unwrap());
    let ticks = all.iter().map(|made| if let Made::Part(part) = made { part.ticks } else { 0 });
    assert_eq!(ticks.sum::<u64>(), 3 * 60 * 3_600, "a picture is lost at the breaks");
    let mut window = Window::new(cutter.lengths().unwrap(), 100);
    all.into_iter().for_each(|made| window.add(made));
    let text = plain(1, &window, false);
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{text}");
    assert_eq!((text.matches("init-0.mp4").count(), text.matches("init-1.mp4").count()), (1, 1), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever a camera's rate and jitter: parts are nearly as long as they may be, segments not longer than promised,
    /// what was listed stays as it was, and a delta is the playlist without what is known.
    #[test]
    fn playlists_keep_the_rules(
        interval in 3_000i64..90_000, gop in 1usize..120, seconds in 3i64..45,
        jitter in proptest::collection::vec(-1i64..=1, 1..20),
    ) {
        let like = clip(Options::default());
        let count = usize::try_from((seconds * 90_000 / interval).max(3)).unwrap();
        let intervals: Vec<i64> =
            (0..count).map(|n| interval + jitter[n % jitter.len()] * interval / 100).collect();
        let mut cutter = Cutter::default();
        let mut window: Option<Window> = None;
        let mut known = std::collections::BTreeMap::new();
        for frame in pictures(&like, &intervals, gop) {
            let made = cutter.push(frame).unwrap();
            if made.is_empty() {
                continue;
            }
            let window = window.get_or_insert_with(|| Window::new(cutter.lengths().unwrap(), 100));
            made.into_iter().for_each(|made| window.add(made));
            let text = plain(1, window, false);
            let full = read(&text);
            for (n, (length, parts, name)) in full.segments.iter().enumerate() {
                if let Some(length) = length {
                    prop_assert!(length.round() <= full.target, "{}", text);
                    let number = full.first + n as u64;
                    prop_assert_eq!(known.entry(number).or_insert((*length, name.clone())), &(*length, name.clone()));
                    let sum: f64 = parts.iter().sum();
                    prop_assert!(parts.is_empty() || (sum - length).abs() < 0.001, "{}", text);
                }
                for part in parts {
                    prop_assert!(*part <= full.part_target + 0.001, "{}", text);
                }
                for part in parts.split_last().map_or(&[][..], |(_, rest)| rest) {
                    prop_assert!(*part >= full.part_target * 0.85, "{} of {}: {}", part, full.part_target, text);
                }
            }
            let (segment, part) = window.next();
            prop_assert_eq!(&full.hint, &format!("live/{segment}.{part}.m4s?v=1"));
            let delta = read(&plain(1, window, true));
            prop_assert_eq!(delta.skipped + delta.segments.len(), full.segments.len());
            prop_assert_eq!(&delta.segments[..], &full.segments[delta.skipped..]);
            let left: f64 = full.segments[delta.skipped..].iter().map(|s| s.0.unwrap_or_else(|| s.1.iter().sum())).sum();
            prop_assert!(delta.skipped == 0 || left >= full.target * 6.0, "too much is skipped: {}", text);
        }
        prop_assert!(window.is_some_and(|window| window.kept() <= 13), "more is kept than is ever asked for");
    }
}
