//! What is written is what an independent reader and a real player read, and what a crash leaves is told from nonsense.

use super::fixture::{self, Clip, Options, clip};
use super::fmp4::{
    Origin,
    read::{ScanError, Scanned, Tail, scan},
    write::{self, FragmentTrack, Sample},
};
use crate::base::Wall;
use crate::model::{SampleTable, SessionId, TrackSamples, VideoCodec};
use proptest::prelude::*;
use std::{convert::Infallible, path::Path};

const START: Wall = Wall::from_micros(1_795_000_000_123_456);

pub(crate) fn origin() -> Origin {
    Origin { stream: "nvr1/3/main".parse().unwrap(), start: START, session: SessionId(77), index: 5 }
}

/// A footage file of frames `from..to` of a clip with fragments of `per` frames, and its table.
pub(crate) fn footage(
    clip: &Clip,
    origin: &Origin,
    frames: std::ops::Range<usize>,
    per: usize,
) -> (Vec<u8>, SampleTable) {
    let step = 90_000 / clip.options.fps;
    let mut file = write::init(&clip.format, origin);
    let mut table = write::empty_table(&clip.format);
    table.init_bytes = u32::try_from(file.len()).unwrap();
    let rate = u64::from(clip.options.audio_rate);
    let audio_at = |video_frame: usize| {
        let ticks = (video_frame as u64 * u64::from(step) * rate).div_ceil(90_000);
        usize::try_from(ticks.div_ceil(u64::from(fixture::AAC_SAMPLES))).unwrap().min(clip.audio.len())
    };
    for (n, begin) in frames.clone().step_by(per).enumerate() {
        let end = (begin + per).min(frames.end);
        let video = (begin..end).map(|n| (&clip.video[n], i32::try_from(clip.shown[n] - n as i64).unwrap()));
        let sample = |((data, key), late): (&(bytes::Bytes, bool), i32)| Sample {
            data: data.clone(),
            duration: step,
            offset: late * step.cast_signed(),
            key: *key,
        };
        let video = FragmentTrack {
            first_ticks: (begin - frames.start) as u64 * u64::from(step),
            samples: video.map(sample).collect(),
        };
        let audio = (rate > 0).then(|| {
            let (first, last) =
                (audio_at(begin), if end == clip.video.len() { clip.audio.len() } else { audio_at(end) });
            let zero = (frames.start as u64 * u64::from(step) * rate) / 90_000;
            let samples = clip.audio[first..last].iter();
            FragmentTrack {
                first_ticks: first as u64 * u64::from(fixture::AAC_SAMPLES) - zero,
                samples: samples
                    .map(|data| Sample { data: data.clone(), duration: fixture::AAC_SAMPLES, offset: 0, key: true })
                    .collect(),
            }
        });
        let fragment = write::fragment(u32::try_from(n + 1).unwrap(), video, audio).unwrap();
        let (video, audio) = fragment.samples_at(file.len() as u64);
        let before = file.len() as u64;
        file.extend_from_slice(&fragment.head);
        fragment.body.iter().for_each(|b| file.extend_from_slice(b));
        assert_eq!(file.len() as u64 - before, fragment.bytes);
        table.video.append(&video);
        if !audio.sizes.is_empty() {
            table.audio.append(&audio);
        }
    }
    (file, table)
}

fn scan_bytes(file: &[u8]) -> Result<Scanned, ScanError<Infallible>> {
    scan(file.len() as u64, |at, buffer| {
        let at = usize::try_from(at).unwrap();
        buffer.copy_from_slice(&file[at..at + buffer.len()]);
        Ok(())
    })
}

fn sample_bytes<'a>(file: &'a [u8], track: &'a TrackSamples) -> Vec<&'a [u8]> {
    let mut sizes = track.sizes.iter();
    let mut out = Vec::new();
    for chunk in &track.chunks {
        let mut at = usize::try_from(chunk.offset).unwrap();
        for size in sizes.by_ref().take(chunk.samples as usize) {
            out.push(&file[at..at + *size as usize]);
            at += *size as usize;
        }
    }
    out
}

/// What ffprobe counts, after ffmpeg decoded all of it without a complaint: frames of the first video track.
pub(crate) fn decoded_frames(path: &Path) -> usize {
    let path = path.to_str().unwrap();
    fixture::run("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]);
    let counted = fixture::run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=nb_read_frames",
            "-of",
            "default=nk=1:nw=1",
            path,
        ],
    );
    // A playlist's stream is listed twice: in its program, and by itself.
    counted.split_whitespace().next().unwrap_or_default().parse().unwrap_or_else(|_| panic!("ffprobe said {counted:?}"))
}

#[test]
fn a_written_file_reads_back_as_its_table_and_its_very_frames() {
    let clip = clip(Options::default());
    let (file, table) = footage(&clip, &origin(), 0..clip.video.len(), 12);
    let scanned = scan_bytes(&file).unwrap();
    assert_eq!(scanned.table, table);
    assert_eq!(scanned.origin, origin());
    assert_eq!((scanned.whole_bytes, scanned.tail, scanned.damaged_fragments), (file.len() as u64, Tail::None, 0));
    let video: Vec<&[u8]> = clip.video.iter().map(|(data, _)| &data[..]).collect();
    assert_eq!(sample_bytes(&file, &table.video), video);
    assert_eq!(sample_bytes(&file, &table.audio), clip.audio.iter().map(|d| &d[..]).collect::<Vec<_>>());
    let keys: Vec<u32> = (0..8).map(|n| n * 25).collect();
    assert_eq!(table.video.keys, keys);
}

#[test]
fn players_decode_every_frame_of_a_file_of_either_codec() {
    let dir = tempfile::tempdir().unwrap();
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let clip = clip(Options { codec, seconds: 4, ..Options::default() });
        let (file, _) = footage(&clip, &origin(), 0..clip.video.len(), 12);
        let path = dir.path().join("footage.mp4");
        std::fs::write(&path, &file).unwrap();
        assert_eq!(decoded_frames(&path), 100, "{codec:?}");
    }
}

#[test]
fn an_independent_reader_finds_what_was_written() {
    use mp4_atom::{Any, ReadFrom};
    let clip = clip(Options::default());
    let (file, table) = footage(&clip, &origin(), 0..50, 12);
    let mut rest = &file[..];
    let mut fragments = 0;
    while let Some(atom) = Option::<Any>::read_from(&mut rest).unwrap() {
        match atom {
            Any::Moov(moov) => {
                let timescales: Vec<u32> = moov.trak.iter().map(|t| t.mdia.mdhd.timescale).collect();
                assert_eq!(timescales, [90_000, 16_000]);
                assert_eq!(moov.mvex.unwrap().trex.len(), 2);
                assert_eq!(moov.trak[0].tkhd.width.integer(), 128);
            }
            Any::Moof(moof) => {
                let video = &moof.traf[0];
                assert_eq!(video.tfdt.as_ref().unwrap().base_media_decode_time, fragments * 12 * 3600);
                let first = video.trun[0].samples.iter().next().unwrap().size.unwrap();
                assert_eq!(first, table.video.sizes[usize::try_from(fragments).unwrap() * 12]);
                fragments += 1;
            }
            _ => {}
        }
    }
    assert_eq!(fragments, 5);
}

#[test]
fn cut_at_every_byte_the_whole_fragments_before_it_remain() {
    let clip = clip(Options { seconds: 1, gop: 5, width: 32, height: 32, ..Options::default() });
    let (file, table) = footage(&clip, &origin(), 0..25, 6);
    let header = table.init_bytes as usize;
    for cut in 0..=file.len() {
        let scanned = match scan_bytes(&file[..cut]) {
            Ok(scanned) => scanned,
            Err(ScanError::Format(_)) if cut < header => continue,
            Err(e) => panic!("{cut}: {e}"),
        };
        assert!(cut >= header, "a torn header is not footage");
        let whole = (1..=5).filter(|n| fragment_end(&file, *n) <= cut).count();
        assert_eq!(scanned.fragments as usize, whole, "cut at {cut}");
        let end = if whole == 0 { header } else { fragment_end(&file, whole) };
        assert_eq!(scanned.whole_bytes, end as u64);
        assert_eq!(scanned.tail, if cut == end { Tail::None } else { Tail::Torn });
    }
}

/// Where the `n`th fragment of a file ends, from 1, by walking box sizes.
fn fragment_end(file: &[u8], n: usize) -> usize {
    let mdats = super::fmp4::parse::children(file).map(Result::unwrap).filter(|b| b.kind == *b"mdat");
    mdats.map(|b| b.content_at + b.content.len()).nth(n - 1).unwrap()
}

#[test]
fn zeros_behind_the_last_fragment_are_a_torn_tail_and_text_is_not() {
    let clip = clip(Options::default());
    let (file, table) = footage(&clip, &origin(), 0..25, 12);
    let zeros = [&file[..], &[0; 9000]].concat();
    let scanned = scan_bytes(&zeros).unwrap();
    assert_eq!((scanned.tail, scanned.whole_bytes, &scanned.table), (Tail::Torn, file.len() as u64, &table));
    let text = [&file[..], &b"something that another program appended"[..]].concat();
    assert_eq!(scan_bytes(&text).unwrap().tail, Tail::Foreign);
}

#[test]
fn a_damaged_fragment_is_stepped_over_and_what_is_behind_keeps_its_time() {
    let clip = clip(Options::default());
    let (mut file, table) = footage(&clip, &origin(), 0..50, 10);
    let second = fragment_end(&file, 1);
    let tfhd = second + file[second..].windows(4).position(|w| w == b"tfhd").unwrap();
    file[tfhd + 11] = 9;
    let scanned = scan_bytes(&file).unwrap();
    assert_eq!((scanned.fragments, scanned.damaged_fragments, scanned.tail), (4, 1, Tail::None));
    assert_eq!(scanned.table.video.sizes.len(), 40);
    assert_eq!(scanned.table.video.duration_ticks(), table.video.duration_ticks(), "time goes on over the hole");
}

#[test]
fn what_is_not_ours_is_refused_by_name() {
    let says = |bytes: &[u8]| scan_bytes(bytes).unwrap_err().to_string();
    assert!(says(b"").contains("does not begin with ftyp"));
    assert!(says(b"#EXTM3U and so on and on").contains("does not begin with ftyp"));
    let clip = clip(Options::default());
    let (file, _) = footage(&clip, &origin(), 0..10, 10);
    let at = file.windows(4).position(|w| w == b"uuid").unwrap();
    let mut other = file.clone();
    other[at + 4] ^= 1;
    assert!(says(&other).contains("another program's"));
    assert!(says(&file[..at + 10]).contains("ends inside its header"));
    assert!(write::fragment(1, FragmentTrack::default(), None).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_scanner_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = scan_bytes(&bytes);
    }

    #[test]
    fn flipped_bits_never_panic_and_never_point_outside_the_file(
        flips in proptest::collection::vec((0.0..1.0f64, 0u8..8), 1..6),
        cut in 0.2..1.0f64,
    ) {
        let clip = clip(Options { seconds: 1, gop: 5, width: 32, height: 32, ..Options::default() });
        let (mut file, _) = footage(&clip, &origin(), 0..25, 6);
        for (place, bit) in flips {
            let at = (place * file.len() as f64) as usize;
            file[at] ^= 1 << bit;
        }
        file.truncate((cut * file.len() as f64) as usize);
        if let Ok(scanned) = scan_bytes(&file) {
            prop_assert!(scanned.whole_bytes <= file.len() as u64);
            sample_bytes(&file, &scanned.table.video);
            sample_bytes(&file, &scanned.table.audio);
        }
    }
}
