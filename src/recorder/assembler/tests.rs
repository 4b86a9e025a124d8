use super::*;
use crate::model::{AudioFormat, VideoCodec, VideoFormat};
use bytes::Bytes;
use proptest::prelude::*;

const RULES: Rules = Rules { segment_ticks: 90_000, fragment_ticks: 45_000, audio: true };
const AUDIO_RATE: u32 = 8_000;

fn format(name: &str) -> Arc<StreamFormat> {
    let entry = Bytes::copy_from_slice(name.as_bytes());
    let video =
        VideoFormat { codec: VideoCodec::H264, rfc6381: name.into(), width: 16, height: 16, sample_entry: entry };
    let audio = AudioFormat {
        rfc6381: "mp4a.40.2".into(),
        sample_rate: AUDIO_RATE,
        frame_ticks: 1024,
        sample_entry: Bytes::new(),
    };
    Arc::new(StreamFormat { video, audio: Some(audio) })
}

/// Wall time is ticks; the content is the frame's number.
fn frame(session: u64, ticks: i64, key: bool, id: u32) -> Frame {
    Frame {
        session: SessionId(session),
        track: TrackKind::Video,
        ticks,
        offset: 0,
        wall: Wall::from_micros(ticks_to_micros(u64::try_from(ticks).unwrap(), VIDEO_TIMESCALE)),
        key,
        data: Bytes::copy_from_slice(&id.to_be_bytes()),
        format: format("a"),
    }
}

fn sound(session: u64, ticks: i64, id: u32) -> Frame {
    Frame { track: TrackKind::Audio, ticks, ..frame(session, 0, true, id) }
}

fn id(sample: &Sample) -> u32 {
    u32::from_be_bytes(sample.data[..].try_into().unwrap())
}

/// A file as the writer would have made it.
#[derive(Debug)]
struct Made {
    opening: Opening,
    video: Vec<Sample>,
    audio: Vec<Sample>,
    audio_first: Option<u64>,
    closed: bool,
}

impl Made {
    fn ticks(&self) -> u64 {
        self.video.iter().map(|s| u64::from(s.duration)).sum()
    }
    fn end(&self) -> Wall {
        self.opening.start.plus_micros(ticks_to_micros(self.ticks(), VIDEO_TIMESCALE))
    }
}

/// Carries actions out, and checks what must hold of any of them.
fn carry_out(made: &mut Vec<Made>, actions: Vec<Action>) {
    for action in actions {
        match action {
            Action::Open(opening) => {
                assert!(made.last().is_none_or(|f| f.closed), "two files open");
                made.push(Made { opening, video: vec![], audio: vec![], audio_first: None, closed: false });
            }
            Action::Append { video, audio } => {
                let file = made.last_mut().filter(|f| !f.closed).expect("append to an open file");
                assert!(!video.samples.is_empty() || !audio.samples.is_empty());
                if !video.samples.is_empty() {
                    assert_eq!(video.first_ticks, file.ticks());
                    assert!(!file.video.is_empty() || video.samples[0].key);
                }
                if !audio.samples.is_empty() {
                    let sum: u64 = file.audio.iter().map(|s| u64::from(s.duration)).sum();
                    let first = *file.audio_first.get_or_insert(audio.first_ticks);
                    assert_eq!(audio.first_ticks, first + sum, "sound follows sound");
                }
                assert!(video.samples.iter().chain(&audio.samples).all(|s| s.duration > 0));
                file.video.extend(video.samples);
                file.audio.extend(audio.samples);
            }
            Action::Close => {
                let file = made.last_mut().filter(|f| !f.closed).expect("close an open file");
                assert!(!file.video.is_empty());
                file.closed = true;
            }
        }
    }
}

fn run(assembler: &mut Assembler, frames: impl IntoIterator<Item = Frame>) -> Vec<Made> {
    let mut made = Vec::new();
    for frame in frames {
        carry_out(&mut made, assembler.push(frame));
    }
    made
}

fn ids(samples: &[Sample]) -> Vec<u32> {
    samples.iter().map(id).collect()
}

#[test]
fn files_are_cut_at_the_first_key_frame_after_the_time_and_follow_one_another() {
    let mut assembler = Assembler::new(RULES);
    // 25 a second, a key frame each 0.8 s: cuts at 1.6 s and 3.2 s.
    let frames = (0..100u32).map(|n| frame(1, i64::from(n) * 3600, n % 20 == 0, n));
    let made = run(&mut assembler, frames);
    assert_eq!(made.iter().map(|f| f.video.len()).collect::<Vec<_>>()[..2], [40, 40]);
    assert_eq!(made.iter().map(|f| f.opening.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(made[1].opening.start, made[0].end());
}

#[test]
fn no_more_than_a_fragment_is_held() {
    let mut assembler = Assembler::new(RULES);
    let mut out = 0;
    for n in 0..500u32 {
        let actions = assembler.push(frame(1, i64::from(n) * 3600, n % 50 == 0, n));
        for action in actions {
            if let Action::Append { video, .. } = action {
                out += video.samples.len();
            }
        }
        let held = (n as usize + 1 - out) * 3600;
        assert!(held <= RULES.fragment_ticks as usize, "{held} ticks held");
    }
}

#[test]
fn frames_before_a_key_frame_are_counted_and_a_hole_shows_in_the_index() {
    let mut assembler = Assembler::new(RULES);
    let mut made = run(&mut assembler, [frame(1, 0, false, 0), frame(1, 3600, true, 1), frame(1, 7200, false, 2)]);
    carry_out(&mut made, assembler.finish());
    let more = run(&mut assembler, [frame(1, 10800, false, 3), frame(1, 14400, true, 4)]);
    assert!(more.is_empty());
    carry_out(&mut made, assembler.finish());
    assert_eq!(made.iter().map(|f| ids(&f.video)).collect::<Vec<_>>(), [vec![1, 2], vec![4]]);
    assert_eq!(made.iter().map(|f| f.opening.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(assembler.take_dropped(), Dropped { before_key: 2, ..Dropped::default() });
}

#[test]
fn another_format_another_session_and_a_jump_of_time_each_begin_another_file() {
    let mut assembler = Assembler::new(RULES);
    let changed = Frame { format: format("b"), ..frame(1, 7200, true, 2) };
    let after = cut::FRAME_GAP_TICKS_MAX + 7201;
    let frames = [frame(1, 0, true, 0), changed, Frame { format: format("b"), ..frame(1, after, true, 3) }];
    let mut made = run(&mut assembler, frames);
    carry_out(&mut made, assembler.push(frame(2, 0, true, 4)));
    carry_out(&mut made, assembler.finish());
    assert_eq!(made.iter().map(|f| ids(&f.video)).collect::<Vec<_>>(), [[0], [2], [3], [4]]);
    assert_eq!(made.iter().map(|f| f.opening.index).collect::<Vec<_>>(), [0, 2, 4, 0]);
}

#[test]
fn a_stream_without_key_frames_ends_its_file_at_the_limit() {
    let mut assembler = Assembler::new(RULES);
    let per_frame = 90_000 * 30;
    let frames = (0..200u32).map(|n| frame(1, i64::from(n) * per_frame, n == 0 || n == 150, n));
    let made = run(&mut assembler, frames);
    assert_eq!(made[0].ticks(), u64::try_from(cut::SEGMENT_TICKS_MAX + per_frame).unwrap());
    assert!(made[0].closed);
    assert_eq!(id(&made[1].video[0]), 150);
    assert_eq!(assembler.take_dropped().before_key, 150 - made[0].video.len() as u64);
}

#[test]
fn a_big_fragment_is_written_before_its_time() {
    let mut assembler = Assembler::new(Rules { fragment_ticks: i64::MAX / 4, segment_ticks: i64::MAX / 4, ..RULES });
    let big = Bytes::from(vec![0; cut::FRAGMENT_BYTES_MAX / 4]);
    let frames = (0..20u32).map(|n| Frame { data: big.clone(), ..frame(1, i64::from(n) * 3600, n == 0, n) });
    let made: usize = frames.map(|f| assembler.push(f)).map(|actions| actions.len()).sum();
    assert!(made >= 4, "{made}");
}

#[test]
fn sound_that_comes_late_still_goes_to_the_file_that_it_belongs_to() {
    let mut assembler = Assembler::new(RULES);
    let mut made = Vec::new();
    // Sounds of 80 ms, each 300 ms behind the picture of its moment.
    let mut next_sound = 0;
    for n in 0..120u32 {
        let now = i64::from(n) * 40;
        carry_out(&mut made, assembler.push(frame(1, now * 90, n % 25 == 0, n)));
        while next_sound * 80 + 300 <= now {
            carry_out(&mut made, assembler.push(sound(1, next_sound * 640, next_sound as u32)));
            next_sound += 1;
        }
    }
    carry_out(&mut made, assembler.finish());
    assert_eq!(assembler.take_dropped(), Dropped::default());
    let all: Vec<u32> = made.iter().flat_map(|f| ids(&f.audio)).collect();
    assert_eq!(all, (0..next_sound as u32).collect::<Vec<_>>());
    for (n, file) in made.iter().enumerate().take(3) {
        let from = n as u32 * 1000;
        let want: Vec<u32> = (0..next_sound as u32).filter(|s| (from..from + 1000).contains(&(s * 80))).collect();
        assert_eq!(ids(&file.audio), want, "file {n}");
    }
}

#[test]
fn without_sound_in_the_settings_none_is_recorded_and_the_change_waits_for_the_next_file() {
    let mut assembler = Assembler::new(RULES);
    let mut made = Vec::new();
    for n in 0..60u32 {
        if n == 10 {
            assembler.set_rules(Rules { audio: false, ..RULES });
        }
        carry_out(&mut made, assembler.push(frame(1, i64::from(n) * 3600, n % 25 == 0, n)));
        carry_out(&mut made, assembler.push(sound(1, i64::from(n) * 320, n)));
    }
    carry_out(&mut made, assembler.finish());
    assert_eq!(ids(&made[0].audio), (0..25).collect::<Vec<_>>());
    assert!(made[1].audio.is_empty() && made[1].opening.format.audio.is_none());
    assert_eq!(assembler.take_dropped().audio, 0);
}

#[test]
fn a_shorter_segment_in_the_settings_holds_for_the_open_file() {
    let mut assembler = Assembler::new(Rules { segment_ticks: 3_600_000_000, ..RULES });
    let mut made = run(&mut assembler, (0..40u32).map(|n| frame(1, i64::from(n) * 3600, n % 25 == 0, n)));
    assembler.set_rules(RULES);
    for n in 40..60u32 {
        carry_out(&mut made, assembler.push(frame(1, i64::from(n) * 3600, n % 25 == 0, n)));
    }
    carry_out(&mut made, assembler.finish());
    assert_eq!(made.iter().map(|f| ids(&f.video).len()).collect::<Vec<_>>(), [50, 10]);
}

#[test]
fn after_the_disk_failed_it_goes_on_with_the_next_key_frame() {
    let mut assembler = Assembler::new(RULES);
    run(&mut assembler, (0..15u32).map(|n| frame(1, i64::from(n) * 3600, n == 0, n)));
    assembler.abandon();
    let mut made = run(&mut assembler, (15..60u32).map(|n| frame(1, i64::from(n) * 3600, n == 30, n)));
    carry_out(&mut made, assembler.finish());
    assert_eq!(ids(&made[0].video), (30..60).collect::<Vec<_>>());
    assert_eq!(made[0].opening.index, 2);
    assert!(assembler.take_dropped().failed > 0);
}

#[test]
fn absurd_times_are_breaks_and_nothing_worse() {
    let mut assembler = Assembler::new(RULES);
    let mut made = Vec::new();
    for (n, ticks) in (0u32..).zip([0, i64::MAX, i64::MIN, -1, i64::MAX - 1, i64::MAX, 0, 3600]) {
        carry_out(&mut made, assembler.push(Frame { ticks, ..frame(1, 0, true, n) }));
        carry_out(&mut made, assembler.push(Frame { ticks, ..sound(1, 0, n) }));
    }
    carry_out(&mut made, assembler.finish());
    assert_eq!(made.iter().flat_map(|f| ids(&f.video)).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
}

/// One thing that happens to a stream.
#[derive(Clone, Debug)]
enum Step {
    Video { ticks: i64, key: bool },
    Audio { behind_ms: i64 },
    Break,
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1i64..20_000, prop::bool::weighted(0.15)).prop_map(|(ticks, key)| Step::Video { ticks, key }),
        8 => (0i64..400).prop_map(|behind_ms| Step::Audio { behind_ms }),
        1 => Just(Step::Break),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn every_frame_comes_out_once_and_in_order(steps in steps(), segment in 1i64..200_000, fragment in 1i64..90_000) {
        let mut assembler = Assembler::new(Rules { segment_ticks: segment, fragment_ticks: fragment, audio: true });
        let mut made = Vec::new();
        let (mut session, mut now, mut seen_key) = (0u64, 0i64, false);
        let (mut want, mut early, mut sounds, mut last_sound) = (Vec::new(), 0u64, 0u64, -1i64);
        for (n, step) in (0u32..).zip(steps) {
            let actions = match step {
                Step::Video { ticks, key } => {
                    now += ticks;
                    seen_key |= key;
                    if seen_key { want.push((n, now, session)) } else { early += 1 }
                    assembler.push(frame(session, now, key, n))
                }
                Step::Audio { behind_ms } => {
                    let at = (now / 90 - behind_ms) * 8;
                    if at <= last_sound { continue }
                    last_sound = at;
                    sounds += 1;
                    assembler.push(sound(session, at, n))
                }
                Step::Break => {
                    let actions = assembler.finish();
                    (session, now, seen_key, last_sound) = (session + 1, 0, false, -1);
                    actions
                }
                Step::Flush => assembler.flush(),
            };
            carry_out(&mut made, actions);
        }
        carry_out(&mut made, assembler.finish());
        let out: Vec<u32> = made.iter().flat_map(|f| ids(&f.video)).collect();
        prop_assert_eq!(&out, &want.iter().map(|(n, ..)| *n).collect::<Vec<_>>());
        let heard: Vec<u32> = made.iter().flat_map(|f| ids(&f.audio)).collect();
        prop_assert!(heard.windows(2).all(|w| w[0] < w[1]));
        let dropped = assembler.take_dropped();
        prop_assert_eq!(heard.len() as u64 + dropped.audio + dropped.before_key, sounds + early);
        for pair in made.windows(2) {
            let (a, b) = (&pair[0].opening, &pair[1].opening);
            if a.session != b.session {
                prop_assert_eq!(b.index, 0);
                continue;
            }
            prop_assert_eq!(b.index, a.index + 1);
            prop_assert!(b.start.micros_since(pair[0].end()).abs() <= 1);
            let of = |f: &Made| want.iter().find(|(n, ..)| *n == id(&f.video[0])).unwrap().1;
            prop_assert_eq!(pair[0].ticks(), u64::try_from(of(&pair[1]) - of(&pair[0])).unwrap());
        }
    }

    #[test]
    fn sound_less_late_than_what_is_held_is_never_lost(lateness_ms in 0i64..350, key_each in 5u32..60) {
        let mut assembler = Assembler::new(RULES);
        let mut made = Vec::new();
        let mut next = 0i64;
        for n in 0..300u32 {
            let now = i64::from(n) * 40;
            carry_out(&mut made, assembler.push(frame(1, now * 90, n % key_each == 0, n)));
            while next * 64 + lateness_ms <= now {
                carry_out(&mut made, assembler.push(sound(1, next * 512, next as u32)));
                next += 1;
            }
        }
        carry_out(&mut made, assembler.finish());
        prop_assert_eq!(assembler.take_dropped(), Dropped::default());
        let heard: Vec<u32> = made.iter().flat_map(|f| ids(&f.audio)).collect();
        prop_assert_eq!(heard, (0..next as u32).collect::<Vec<_>>());
    }
}
