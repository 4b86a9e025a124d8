//! Pictures that are shown in another order than they are decoded in: every reader shows each at its very moment.

use super::{
    fixture::{Options, clip, run},
    fmp4::read::scan,
    tests::{decoded_frames, footage, origin},
    vod::{
        Cut, init_segment, plan_hls_playlist, plan_hls_segment, plan_mp4,
        tests::{Shelf, Take, shelf},
    },
};
use crate::{
    base::Wall,
    model::{Range, VideoCodec},
};
use std::{convert::Infallible, path::Path};

const START: Wall = Wall::from_micros(1_795_041_600_000_000);
const CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::H265];

fn options(codec: VideoCodec) -> Options {
    Options { codec, bframes: 2, seconds: 4, audio_rate: 0, ..Options::default() }
}

/// When a player shows each picture, in the order that it shows them, in microseconds after the first.
fn shown(path: &Path) -> Vec<i64> {
    let path = path.to_str().unwrap();
    run("ffmpeg", &["-v", "error", "-xerror", "-i", path, "-f", "null", "-"]);
    let args = ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time"];
    let text = run("ffprobe", &[&args[..], &["-of", "csv=p=0", path]].concat());
    let micros = |line: &str| (line.trim_end_matches(',').parse::<f64>().unwrap() * 1e6).round() as i64;
    let all: Vec<i64> = text.split_whitespace().map(micros).collect();
    all.iter().map(|at| at - all[0]).collect()
}

fn every_40_ms(count: usize) -> Vec<i64> {
    (0..count as i64).map(|n| n * 40_000).collect()
}

#[test]
fn a_file_keeps_its_offsets_and_players_show_each_picture_at_its_moment() {
    let dir = tempfile::tempdir().unwrap();
    for codec in CODECS {
        let clip = clip(options(codec));
        assert!(clip.shown.windows(2).any(|w| w[1] < w[0]), "the clip is reordered: {:?}", &clip.shown[..8]);
        let (file, table) = footage(&clip, &origin(), 0..100, 12);
        assert_eq!(table.video.offsets.len(), 100);
        let scanned = scan(file.len() as u64, |at, buffer| {
            let at = usize::try_from(at).unwrap();
            buffer.copy_from_slice(&file[at..at + buffer.len()]);
            Ok::<_, Infallible>(())
        });
        assert_eq!(scanned.unwrap().table, table);
        let path = dir.path().join("file.mp4");
        std::fs::write(&path, &file).unwrap();
        assert_eq!(decoded_frames(&path), 100);
        assert_eq!(shown(&path), every_40_ms(100), "{codec:?}");
    }
}

fn two(codec: VideoCodec) -> (Shelf, Range) {
    let clip = clip(options(codec));
    let at = |n: i64| START.plus_micros(n * 40_000);
    let shelf = shelf(&[
        Take { clip: &clip, frames: 0..50, start: at(0), session: 1, index: 0 },
        Take { clip: &clip, frames: 50..100, start: at(50), session: 1, index: 1 },
    ]);
    (shelf, Range { from: at(0), to: at(100) })
}

#[test]
fn the_virtual_file_over_a_cut_shows_each_picture_at_its_moment() {
    let dir = tempfile::tempdir().unwrap();
    for codec in CODECS {
        let (shelf, all) = two(codec);
        for (range, count) in [(all, 100), (Range { from: START.plus_micros(1_000_000), ..all }, 75)] {
            let path = dir.path().join("vod.mp4");
            std::fs::write(&path, shelf.bytes(&plan_mp4(&shelf.sources, range).unwrap())).unwrap();
            assert_eq!(shown(&path), every_40_ms(count), "{codec:?}");
        }
    }
}

#[test]
fn one_file_of_two_codecs_is_refused_with_the_moment_of_change() {
    let [a, b] = CODECS.map(|codec| clip(options(codec)));
    let later = START.plus_micros(4_000_000);
    let shelf = shelf(&[
        Take { clip: &a, frames: 0..50, start: START, session: 1, index: 0 },
        Take { clip: &b, frames: 0..50, start: later, session: 2, index: 0 },
    ]);
    let refused = plan_mp4(&shelf.sources, Range { from: START, to: later.plus_micros(1_000_000) }).unwrap_err();
    assert!(refused.to_string().contains(&format!("from avc1 to hvc1 at {later}")), "{refused}");
    assert!(plan_mp4(&shelf.sources, Range { from: later, to: later.plus_micros(1_000_000) }).is_ok());
}

#[test]
fn hls_shows_each_picture_at_its_moment() {
    let dir = tempfile::tempdir().unwrap();
    for codec in CODECS {
        let (shelf, all) = two(codec);
        let parts = plan_hls_playlist(&shelf.sources, all, Cut::GROWING).unwrap();
        let mut stream = init_segment(&shelf.sources[0].table).to_vec();
        for part in &parts {
            let source = &shelf.sources[part.source];
            let layout = plan_hls_segment(source, &part.range).unwrap();
            stream.extend_from_slice(&layout.head);
            for slice in layout.slices() {
                let at = usize::try_from(slice.offset).unwrap();
                stream.extend_from_slice(&shelf.files[part.source][at..at + usize::try_from(slice.len).unwrap()]);
            }
        }
        let path = dir.path().join("hls.mp4");
        std::fs::write(&path, stream).unwrap();
        assert_eq!(shown(&path), every_40_ms(100), "{codec:?}");
    }
}
