//! Every frame of a range once and in order, through cuts, gaps and changes of format, as independent readers see it.

use super::*;
use crate::base::Wall;
use crate::media::fixture::{Clip, Options, clip, run};
use crate::media::fmp4::Origin;
use crate::media::tests::{decoded_frames, footage};
use crate::media::{Error, avc, hls};
use crate::model::{Range, SessionId, Sum, TrackSamples, segment::Chunk};
use mp4_atom::{Any, ReadFrom, StszSamples};
use proptest::prelude::*;

/// 2026-11-18T22:40:00Z, and a bit.
const START: Wall = Wall::from_micros(1_795_041_600_000_400);
const FRAME_MICROS: i64 = 40_000;

/// Footage files in memory.
pub(crate) struct Shelf {
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) sources: Vec<Source>,
}

/// A file of `frames` of the clip that begins at `start`.
pub(crate) struct Take<'a> {
    pub(crate) clip: &'a Clip,
    pub(crate) frames: std::ops::Range<usize>,
    pub(crate) start: Wall,
    pub(crate) session: u64,
    pub(crate) index: u32,
}

pub(crate) fn shelf(takes: &[Take<'_>]) -> Shelf {
    let mut shelf = Shelf { files: vec![], sources: vec![] };
    for take in takes {
        let stream = "nvr1/3/main".parse().unwrap();
        let origin = Origin { stream, start: take.start, session: SessionId(take.session), index: take.index };
        let (file, table) = footage(take.clip, &origin, take.frames.clone(), 12);
        let segment = Segment {
            stream: origin.stream,
            start: take.start,
            duration_ticks: table.video.duration_ticks(),
            bytes: file.len() as u64,
            frames: u32::try_from(take.frames.len()).unwrap(),
            session: origin.session,
            index: take.index,
            name_suffix: 0,
            closed: true,
            sum: Sum::None,
        };
        shelf.files.push(file);
        shelf.sources.push(Source { segment, table: Arc::new(table) });
    }
    shelf
}

impl Shelf {
    pub(crate) fn bytes(&self, layout: &Layout) -> Vec<u8> {
        let mut out = layout.head.to_vec();
        for slice in layout.slices() {
            let at = usize::try_from(slice.offset).unwrap();
            let from = if slice.source == INSERTED { &layout.inserts } else { &self.files[slice.source][..] };
            out.extend_from_slice(&from[at..at + usize::try_from(slice.len).unwrap()]);
        }
        assert_eq!(out.len() as u64, layout.len());
        out
    }
}

/// One session cut into three files.
fn three(clip: &Clip) -> Shelf {
    let at = |n: i64| START.plus_micros(n * FRAME_MICROS);
    shelf(&[
        Take { clip, frames: 0..75, start: at(0), session: 1, index: 0 },
        Take { clip, frames: 75..125, start: at(75), session: 1, index: 1 },
        Take { clip, frames: 125..200, start: at(125), session: 1, index: 2 },
    ])
}

/// A track as an independent reader sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Decoding time, bytes, sample entry.
    pub(crate) samples: Vec<(u64, Vec<u8>, u32)>,
    /// (movie ticks, media time)
    pub(crate) edits: Vec<(u64, Option<u64>)>,
    keys: Vec<u32>,
}

impl Seen {
    /// The samples that the edit list shows, with the time at which they are shown.
    pub(crate) fn shown(&self) -> Vec<(u64, Vec<u8>)> {
        if self.edits.is_empty() {
            return self.samples.iter().map(|(t, b, _)| (*t, b.clone())).collect();
        }
        let mut out = Vec::new();
        let mut movie = 0;
        for (ticks, media) in &self.edits {
            if let Some(media) = media {
                let inside = self.samples.iter().filter(|(t, ..)| (*media..media + ticks).contains(t));
                out.extend(inside.map(|(t, b, _)| (movie + t - media, b.clone())));
            }
            movie += ticks;
        }
        out
    }
}

/// Reads a progressive MP4 by mp4-atom: the video track, and the audio track if there is one.
pub(crate) fn read_progressive(file: &[u8]) -> (Seen, Option<Seen>) {
    let mut tracks = read_tracks(file).into_iter();
    (tracks.next().unwrap(), tracks.next())
}

fn read_tracks(file: &[u8]) -> Vec<Seen> {
    let mut rest = file;
    while let Some(atom) = Option::<Any>::read_from(&mut rest).unwrap() {
        if let Any::Moov(moov) = atom {
            return moov.trak.iter().map(|t| read_track(file, t)).collect();
        }
    }
    panic!("no moov");
}

fn read_track(file: &[u8], trak: &mp4_atom::Trak) -> Seen {
    let stbl = &trak.mdia.minf.stbl;
    let narrow = stbl.stco.iter().flat_map(|s| s.entries.iter().map(|o| u64::from(*o)));
    let chunks: Vec<u64> = narrow.chain(stbl.co64.iter().flat_map(|s| s.entries.iter().copied())).collect();
    let StszSamples::Different { sizes } = &stbl.stsz.samples else { panic!("one size for all") };
    let mut durations =
        stbl.stts.entries.iter().flat_map(|e| std::iter::repeat_n(u64::from(e.sample_delta), e.sample_count as usize));
    let (mut sizes, mut ticks, mut samples) = (sizes.iter(), 0, Vec::new());
    for (n, chunk) in (1u32..).zip(chunks) {
        let run = stbl.stsc.entries.iter().rfind(|e| e.first_chunk <= n).unwrap();
        let mut at = usize::try_from(chunk).unwrap();
        for size in sizes.by_ref().take(run.samples_per_chunk as usize) {
            let end = at + *size as usize;
            samples.push((ticks, file[at..end].to_vec(), run.sample_description_index));
            ticks += durations.next().unwrap();
            at = end;
        }
    }
    assert!(sizes.next().is_none() && durations.next().is_none());
    let edits = trak.edts.iter().flat_map(|e| e.elst.iter()).flat_map(|e| &e.entries);
    Seen {
        samples,
        edits: edits.map(|e| (e.segment_duration, e.media_time)).collect(),
        keys: stbl.stss.as_ref().map(|s| s.entries.clone()).unwrap_or_default(),
    }
}

fn range(from: i64, to: i64) -> Range {
    Range { from: START.plus_micros(from), to: START.plus_micros(to) }
}

fn picture(clip: &Clip, n: usize) -> Vec<u8> {
    clip.video[n].0.to_vec()
}

#[test]
fn a_range_over_cuts_that_begins_inside_a_gop_shows_its_frames_and_no_other() {
    let clip = clip(Options::default());
    let shelf = three(&clip);
    // From a moment after frame 60 was taken until just before frame 130 was.
    let plan = plan_mp4(&shelf.sources, range(60 * FRAME_MICROS + 1, 130 * FRAME_MICROS)).unwrap();
    let (video, audio) = read_progressive(&shelf.bytes(&plan));
    let shown = video.shown();
    let expected: Vec<(u64, Vec<u8>)> = (61..130).map(|n| ((n as u64 - 61) * 3600, picture(&clip, n))).collect();
    assert_eq!(shown, expected);
    assert_eq!(video.samples.len(), 80, "from the key frame 50 on, which leads in");
    assert_eq!(video.keys, [1, 26, 51, 76]);
    // Sound: every AAC frame in the same range, at its distance from the first shown frame.
    let audio = audio.unwrap();
    let first = 61 * 640; // 16 kHz ticks of frame 61
    let expected: Vec<usize> = (0..clip.audio.len()).filter(|n| (first..130 * 640).contains(&(n * 1024))).collect();
    let bytes: Vec<Vec<u8>> = audio.samples.iter().map(|(_, b, _)| b.clone()).collect();
    assert_eq!(bytes, expected.iter().map(|n| clip.audio[*n].to_vec()).collect::<Vec<_>>());
    let lead = (expected[0] * 1024 - first) as u64;
    assert_eq!(audio.edits[0], (lead * 90 / 16, None), "sound begins where it was heard");
    for (n, (ticks, ..)) in audio.samples.iter().enumerate() {
        assert!(ticks.abs_diff(n as u64 * 1024) <= 1, "sound {n} lies at {ticks}");
    }
}

#[test]
fn players_agree() {
    let clip = clip(Options::default());
    let shelf = three(&clip);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    for (from, to, frames) in [(0, 200, 200), (60, 130, 70), (75, 76, 1), (30, 199, 169)] {
        let plan = plan_mp4(&shelf.sources, range(from * FRAME_MICROS, to * FRAME_MICROS)).unwrap();
        std::fs::write(&path, shelf.bytes(&plan)).unwrap();
        assert_eq!(decoded_frames(&path), frames, "{from}..{to}");
        let probe = ["-v", "error", "-show_entries", "format=duration", "-of", "default=nk=1:nw=1"];
        let said = run("ffprobe", &[&probe[..], &[path.to_str().unwrap()]].concat());
        let seconds: f64 = said.trim().parse().unwrap();
        assert!((seconds - frames as f64 * 0.04).abs() < 0.07, "{from}..{to} lasts {seconds} s");
    }
}

#[test]
fn play_goes_on_over_a_gap_and_into_another_format() {
    let clip_a = clip(Options::default());
    let clip_b = clip(Options { width: 64, height: 48, audio_rate: 8_000, gop: 10, ..Options::default() });
    let later = START.plus_micros(3_600_000_000);
    let shelf = shelf(&[
        Take { clip: &clip_a, frames: 0..50, start: START, session: 1, index: 0 },
        Take { clip: &clip_b, frames: 0..30, start: later, session: 2, index: 0 },
    ]);
    let to = later.plus_micros(20 * FRAME_MICROS);
    let plan = plan_mp4(&shelf.sources, Range { from: START.plus_micros(10 * FRAME_MICROS), to }).unwrap();
    let file = shelf.bytes(&plan);
    let tracks = read_tracks(&file);
    let [video, first, second] = &tracks[..] else { panic!("not three tracks") };
    let shown: Vec<Vec<u8>> = video.shown().into_iter().map(|(_, b)| b).collect();
    // Each key frame behind its own parameter sets, for players that look at one sample entry only.
    let with_sets = |clip: &Clip, n: usize| {
        let sets = avc::parameter_sets(&clip.format.video.sample_entry).unwrap();
        if clip.video[n].1 { [sets, picture(clip, n)].concat() } else { picture(clip, n) }
    };
    let expected = (10..50).map(|n| with_sets(&clip_a, n)).chain((0..20).map(|n| with_sets(&clip_b, n)));
    assert_eq!(shown, expected.collect::<Vec<_>>());
    let entries: Vec<u32> = video.samples.iter().map(|(.., entry)| *entry).collect();
    assert_eq!((entries[49], entries[50]), (1, 2), "each in its own format");
    let sound = |track: &Seen| track.samples.iter().map(|(_, b, _)| b.clone()).collect::<Vec<_>>();
    assert_eq!(sound(first), clip_a.audio[7..32].iter().map(|b| b.to_vec()).collect::<Vec<_>>());
    assert_eq!(sound(second), clip_b.audio[..7].iter().map(|b| b.to_vec()).collect::<Vec<_>>());
    assert_eq!(second.edits[0], (40 * 3600, None), "the second session's sound begins with its pictures");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    std::fs::write(&path, &file).unwrap();
    let counted = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-count_packets",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=nb_read_packets",
            "-of",
            "default=nk=1:nw=1",
            path.to_str().unwrap(),
        ],
    );
    assert_eq!(counted.trim(), "70");
}

#[test]
fn a_clock_that_stepped_back_repeats_nothing() {
    let clip = clip(Options::default());
    // The second session's times overlap the first one's, and the range begins inside both.
    let shelf = shelf(&[
        Take { clip: &clip, frames: 0..50, start: START, session: 1, index: 0 },
        Take { clip: &clip, frames: 100..150, start: START.plus_micros(10 * FRAME_MICROS), session: 2, index: 0 },
    ]);
    let plan = plan_mp4(&shelf.sources, range(20 * FRAME_MICROS, 1_000 * FRAME_MICROS)).unwrap();
    let (video, _) = read_progressive(&shelf.bytes(&plan));
    let shown: Vec<Vec<u8>> = video.shown().into_iter().map(|(_, b)| b).collect();
    assert_eq!(shown, (20..50).chain(110..150).map(|n| picture(&clip, n)).collect::<Vec<_>>());
    let times: Vec<u64> = video.shown().into_iter().map(|(t, _)| t).collect();
    assert_eq!(times, (0..70).map(|n| n * 3600).collect::<Vec<_>>(), "hidden frames take no time");
}

#[test]
fn a_range_without_a_frame_is_an_error() {
    let clip = clip(Options::default());
    let shelf = three(&clip);
    for (from, to) in [(-5_000_000, 0), (200 * FRAME_MICROS, i64::MAX / 2), (1, FRAME_MICROS)] {
        assert_eq!(plan_mp4(&shelf.sources, range(from, to)).unwrap_err(), Error::NoFrames, "{from}..{to}");
    }
    assert_eq!(plan_mp4(&[], Range::ALL).unwrap_err(), Error::NoFrames);
}

#[test]
fn the_tag_changes_with_the_content_and_only_with_it() {
    let clip = clip(Options::default());
    let shelf = three(&clip);
    let tag = |sources: &[Source], to: i64| plan_mp4(sources, range(0, to * FRAME_MICROS)).unwrap().tag;
    assert_eq!(tag(&shelf.sources, 100), tag(&shelf.sources[..2], 100), "what lies behind the range is no part of it");
    assert_ne!(tag(&shelf.sources, 100), tag(&shelf.sources, 101));
    assert_ne!(tag(&shelf.sources, 200), tag(&shelf.sources[..2], 200));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_range_shows_exactly_its_frames(from in -10i64..210, len in 1i64..220, jitter in -20_000i64..20_000) {
        let clip = clip(Options::default());
        let shelf = three(&clip);
        let asked = range(from * FRAME_MICROS + jitter, (from + len) * FRAME_MICROS + jitter);
        let inside = |n: &usize| {
            let at = START.plus_micros(*n as i64 * FRAME_MICROS);
            asked.from <= at && at < asked.to
        };
        let expected: Vec<Vec<u8>> = (0..200).filter(inside).map(|n| picture(&clip, n)).collect();
        match plan_mp4(&shelf.sources, asked) {
            Err(e) => prop_assert!(expected.is_empty() && e == Error::NoFrames),
            Ok(plan) => {
                let (video, _) = read_progressive(&shelf.bytes(&plan));
                let shown: Vec<Vec<u8>> = video.shown().into_iter().map(|(_, b)| b).collect();
                prop_assert_eq!(shown, expected);
            }
        }
    }

    #[test]
    fn slices_of_any_byte_range_are_the_bytes_of_the_whole(a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let clip = clip(Options::default());
        let shelf = three(&clip);
        let plan = plan_mp4(&shelf.sources, range(FRAME_MICROS, 150 * FRAME_MICROS)).unwrap();
        let whole = shelf.bytes(&plan);
        let at = |x: f64| (x * whole.len() as f64) as u64;
        let asked = at(a.min(b))..at(a.max(b));
        let mut part = plan.head_in(&asked).to_vec();
        for slice in plan.slices_in(asked.clone()) {
            let start = slice.offset as usize;
            part.extend_from_slice(&shelf.files[slice.source][start..start + slice.len as usize]);
        }
        prop_assert_eq!(&part[..], &whole[asked.start as usize..asked.end as usize]);
    }
}

/// Sources as long and as large as wanted, with no files behind them.
fn imagined(files: usize, frames: u32, frame_bytes: u32) -> Vec<Source> {
    let chunk_samples = 12;
    let video = |offset: u64| TrackSamples {
        first_ticks: 0,
        sizes: vec![frame_bytes; frames as usize],
        durations: vec![3600; frames as usize],
        offsets: Vec::new(),
        keys: (0..frames).step_by(50).collect(),
        chunks: (0..frames / chunk_samples)
            .map(|n| Chunk {
                offset: offset + u64::from(n) * (u64::from(chunk_samples * frame_bytes) + 300),
                samples: chunk_samples,
            })
            .collect(),
    };
    let table = Arc::new(SampleTable {
        init_bytes: 900,
        video_entry: vec![0; 100],
        width: 64,
        height: 48,
        video: video(900),
        ..SampleTable::default()
    });
    let source = |n: usize| Source {
        segment: Segment {
            stream: "nvr1/3/main".parse().unwrap(),
            start: START.plus_micros(n as i64 * i64::from(frames) * FRAME_MICROS),
            duration_ticks: u64::from(frames) * 3600,
            bytes: 0,
            frames,
            session: SessionId(1),
            index: u32::try_from(n).unwrap(),
            name_suffix: 0,
            closed: true,
            sum: Sum::None,
        },
        table: table.clone(),
    };
    (0..files).map(source).collect()
}

#[test]
fn more_than_four_gibibytes_take_64_bits() {
    let sources = imagined(2, 1200, 2_000_000);
    let plan = plan_mp4(&sources, Range::ALL).unwrap();
    // The heads of fragments that lie between others go along, so that a file is one piece.
    let media = 2400 * 2_000_000 + 2 * 99 * 300;
    assert_eq!((plan.len() - plan.head.len() as u64, plan.slices().len()), (media, 2));
    let mut rest = &plan.head[..];
    let Some(Any::Ftyp(_)) = Option::<Any>::read_from(&mut rest).unwrap() else { panic!("no ftyp") };
    let Some(Any::Moov(moov)) = Option::<Any>::read_from(&mut rest).unwrap() else { panic!("no moov") };
    let stbl = &moov.trak[0].mdia.minf.stbl;
    let last = *stbl.co64.as_ref().unwrap().entries.last().unwrap();
    assert_eq!(last, plan.len() - 12 * 2_000_000);
    assert_eq!(&rest[..8], b"\0\0\0\x01mdat");
    assert_eq!(rest[8..16], (media + 16).to_be_bytes());
    assert_eq!(rest.len(), 16);
}

#[test]
fn a_day_is_planned_whole_and_three_are_refused_by_their_length() {
    let day = imagined(2880, 744, 10_000);
    let plan = plan_mp4(&day, Range::ALL).unwrap();
    assert_eq!(plan.len() - plan.head.len() as u64, 2880 * (744 * 10_000 + 61 * 300));
    assert_eq!(plan.slices().len(), 2880);
    let narrow = plan_mp4(&imagined(2, 744, 700), Range::ALL).unwrap();
    assert_eq!(narrow.slices().len(), 2 * 62, "what lies between is more than a thirtieth");
    let three = imagined(8640, 744, 10_000);
    let refused = plan_mp4(&three, Range::ALL).unwrap_err().to_string();
    assert!(refused.contains("172800"), "{refused}");
}

#[test]
fn a_table_that_contradicts_itself_is_refused() {
    let mut sources = imagined(1, 120, 1000);
    Arc::make_mut(&mut sources[0].table).video.chunks.pop();
    assert!(matches!(plan_mp4(&sources, Range::ALL).unwrap_err(), Error::Table { .. }));
    assert!(matches!(plan_hls_playlist(&sources, Range::ALL, Cut::WHOLE).unwrap_err(), Error::Table { .. }));
}

fn frames_of(parts: &[Part], shelf: &Shelf) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for part in parts {
        let source = &shelf.sources[part.source];
        let layout = plan_hls_segment(source, &part.range).unwrap();
        let mut file = layout.head.to_vec();
        for slice in layout.slices() {
            let at = usize::try_from(slice.offset).unwrap();
            file.extend_from_slice(&shelf.files[part.source][at..at + usize::try_from(slice.len).unwrap()]);
        }
        let Some(Any::Moof(moof)) = Option::<Any>::read_from(&mut &file[..]).unwrap() else { panic!("no moof") };
        for trun in &moof.traf[0].trun {
            let mut at = usize::try_from(trun.data_offset.unwrap()).unwrap();
            for entry in trun.samples.iter() {
                let end = at + entry.size.unwrap() as usize;
                out.push(file[at..end].to_vec());
                at = end;
            }
        }
    }
    out
}

#[test]
fn hls_parts_begin_at_key_frames_and_hold_every_frame_once() {
    let clip = clip(Options::default());
    let shelf = three(&clip);
    let asked = range(30 * FRAME_MICROS, 190 * FRAME_MICROS);
    let parts = plan_hls_playlist(&shelf.sources, asked, Cut::WHOLE).unwrap();
    assert_eq!(frames_of(&parts, &shelf), (25..190).map(|n| picture(&clip, n)).collect::<Vec<_>>());
    let mut ticks = parts[0].range.ticks;
    for part in &parts {
        let keys = &shelf.sources[part.source].table.video.keys;
        assert!(keys.contains(&part.range.video.start));
        assert_eq!(part.range.ticks, ticks, "decoding time goes on");
        ticks += part.duration_ticks;
    }
    let first_sound = 16; // the first AAC frame that is heard after frame 25, 640 ticks each
    let heard: u32 = parts.iter().map(|p| p.range.audio.len() as u32).sum();
    assert_eq!(heard as usize, (190 * 640usize).div_ceil(1024) - first_sound);
}

#[test]
fn players_play_what_the_playlist_names() {
    let clip_a = clip(Options::default());
    let shelf_a = three(&clip_a);
    let dir = tempfile::tempdir().unwrap();
    for (cut, growing) in [(Cut::WHOLE, false), (Cut::GROWING, true)] {
        let parts = plan_hls_playlist(&shelf_a.sources, range(0, i64::MAX / 2), cut).unwrap();
        for (n, part) in parts.iter().enumerate() {
            let layout = plan_hls_segment(&shelf_a.sources[part.source], &part.range).unwrap();
            let one = Shelf { files: vec![shelf_a.files[part.source].clone()], sources: vec![] };
            std::fs::write(dir.path().join(format!("{n}.m4s")), one.bytes(&layout)).unwrap();
        }
        std::fs::write(dir.path().join("init.mp4"), init_segment(&shelf_a.sources[0].table)).unwrap();
        let playlist = hls::Playlist { sources: &shelf_a.sources, parts: &parts, from: START, growing };
        let number = |part: &Part| format!("{}.m4s", parts.iter().position(|p| p == part).unwrap());
        let mut text = hls::render(&playlist, number, |_, _| "init.mp4".into());
        assert_eq!(text.contains("#EXT-X-ENDLIST"), !growing);
        if growing {
            text.push_str("#EXT-X-ENDLIST\n"); // else ffmpeg waits for more
        }
        let path = dir.path().join("index.m3u8");
        std::fs::write(&path, text).unwrap();
        assert_eq!(decoded_frames(&path), 200);
    }
}

#[test]
fn a_gap_and_a_new_format_are_discontinuities_and_a_cut_is_none() {
    let clip_a = clip(Options::default());
    let clip_b = clip(Options { width: 64, height: 48, audio_rate: 8_000, gop: 10, ..Options::default() });
    let at = |n: i64| START.plus_micros(n * FRAME_MICROS);
    let shelf = shelf(&[
        Take { clip: &clip_a, frames: 0..50, start: at(0), session: 1, index: 0 },
        Take { clip: &clip_a, frames: 50..100, start: at(50), session: 1, index: 1 },
        Take { clip: &clip_b, frames: 0..30, start: at(900), session: 2, index: 0 },
    ]);
    let from = START.plus_micros(10 * FRAME_MICROS);
    let parts = plan_hls_playlist(&shelf.sources, Range { from, to: at(2_000) }, Cut::WHOLE).unwrap();
    let playlist = hls::Playlist { sources: &shelf.sources, parts: &parts, from, growing: false };
    let text = hls::render(&playlist, |p| format!("{}.m4s", p.source), |_, hash| format!("{}.mp4", hash.len()));
    let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-START:TIME-OFFSET=0.400000,PRECISE=YES\n#EXT-X-MAP:URI=\"16.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-18T22:40:00.000Z\n#EXTINF:2.000000,\n0.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-18T22:40:02.000Z\n#EXTINF:2.000000,\n1.m4s\n#EXT-X-DISCONTINUITY\n\
        #EXT-X-MAP:URI=\"16.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-18T22:40:36.000Z\n#EXTINF:1.200000,\n2.m4s\n\
        #EXT-X-ENDLIST\n";
    assert_eq!(text, expected);
    assert_ne!(init_hash(&shelf.sources[0].table), init_hash(&shelf.sources[2].table));
    assert_eq!(parts[2].range.ticks - parts[0].range.ticks, 900 * 3600, "after a gap, time is the wall's");
}

#[test]
fn a_listed_part_of_a_growing_file_never_changes_and_is_at_most_two_seconds_behind() {
    let clip = clip(Options::default());
    let mut before: Vec<Part> = Vec::new();
    for frames in (12..=200).step_by(12) {
        let mut shelf = shelf(&[Take { clip: &clip, frames: 0..frames, start: START, session: 1, index: 0 }]);
        shelf.sources[0].segment.closed = false;
        let parts = plan_hls_playlist(&shelf.sources, range(0, i64::MAX / 2), Cut::GROWING).unwrap_or_default();
        assert_eq!(parts[..before.len()], before[..], "with {frames} frames");
        let listed: u64 = parts.iter().map(|p| p.duration_ticks).sum();
        assert!(frames as u64 * 3600 - listed <= 90_000, "with {frames} frames only {listed} ticks are listed");
        before = parts;
    }
    assert!(before.len() > 6);
}

proptest! {
    #[test]
    fn no_address_of_a_part_makes_the_planner_panic(
        v in (0u32..250, 0u32..250), a in (0u32..250, 0u32..250), ticks in any::<u64>()
    ) {
        let clip = clip(Options::default());
        let shelf = three(&clip);
        let range = PartRange { segment: START, video: v.0..v.1, audio: a.0..a.1, ticks };
        let _ = plan_hls_segment(&shelf.sources[0], &range);
    }
}
