//! What a session receives, on its way to the readers: placed in time, given its format, cut to what can be decoded.

use super::{
    failure::{self, Failure},
    format::{self, Tracks},
    pictures::{Picture, Pictures},
    sound::Sound,
    stats::Stats,
    stream::Stream,
    timeline::Timeline,
};
use crate::{
    base::{Reading, Wall},
    live::Publisher,
    model::{Frame, GapCause, SessionId, StreamFormat, StreamState, TrackKind, frame::VIDEO_TIMESCALE},
};
use bytes::Bytes;
use retina::{
    NtpTimestamp, Timestamp,
    client::Stream as Described,
    codec::{AudioFrame, CodecItem, VideoFrame},
    rtcp::ReceivedCompoundPacket,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Cameras begin with frames that they kept, in a burst. The first frames are held this long, so that the session's
/// time is anchored by the least delayed of them and not by the oldest.
const SETTLE: Duration = Duration::from_millis(200);
/// A burst longer than this is anchored by what it has shown so far.
const HELD_FRAMES_MAX: usize = 512;
/// A running stream that is silent this long is lost.
const SILENCE: Duration = Duration::from_secs(5);
/// Slow streams may pause for so many of their usual intervals.
const SILENCE_INTERVALS: u32 = 3;
/// Frames may arrive this long without one that decoding can begin at. Smart codecs leave a minute and more between them.
const KEY_FRAME_WAIT_MAX: Duration = Duration::from_secs(300);
/// A device whose session began with a key frame so soon begins every session with one.
const KEY_FRAME_AT_ONCE: Duration = Duration::from_secs(2);
/// After a loss within such a session, a new one is the shorter way to a key frame. Usual groups are shorter than this.
const KEY_FRAME_WAIT_AFTER_LOSS: Duration = Duration::from_secs(6);
/// The largest picture that is taken: eight times what a 4K camera sends as a key frame.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// So much of a burst is held at most, whatever it is made of: two of the largest pictures.
const HELD_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
/// Units without a picture in a row, after which the track is no longer what the device described.
const EMPTY_UNITS_MAX: u32 = 64;
/// Packets of the pictures that cannot be understood, in a row, until the session is given up.
const BAD_PACKETS_MAX: u32 = 64;

/// One session's frames.
pub(super) struct Intake<'a> {
    stream: &'a Stream,
    publisher: &'a Publisher,
    tracks: Tracks,
    session: SessionId,
    timeline: Timeline,
    pictures: Pictures,
    sound: Sound,
    /// Whether the first picture was a key frame, or soon followed by one.
    begins_with_key: bool,
    bad_packets: u32,
    empty_units: u32,
    /// When the last picture came that decoding can begin at; the session's begin before that.
    last_key: Instant,
    format: Option<Arc<StreamFormat>>,
    /// Since when frames are of no use until one that decoding can begin at.
    awaits_key: Option<Instant>,
    running: bool,
    /// Some while the time of the session is being settled.
    held: Option<Vec<Held>>,
    held_bytes: usize,
    began: Instant,
    first: Option<Instant>,
    last: Instant,
    first_frame_wait: Duration,
    silence: Duration,
    stats: Stats,
}

struct Held {
    track: TrackKind,
    stamp: Stamp,
    offset: i32,
    key: bool,
    data: Bytes,
    format: Arc<StreamFormat>,
}

/// When a frame was taken, by the camera's clock, and when it came, by ours.
#[derive(Clone, Copy)]
struct Stamp {
    raw: i64,
    /// Since the moment that the sender calls zero.
    zero_micros: i64,
    at: Reading,
}

impl Stamp {
    fn new(time: Timestamp, at: Reading) -> Self {
        Self { raw: time.timestamp(), zero_micros: micros(time.elapsed(), time.clock_rate().get()), at }
    }
}

impl<'a> Intake<'a> {
    /// A session whose pictures usually come `interval` apart.
    pub(super) fn new(
        stream: &'a Stream,
        publisher: &'a Publisher,
        (tracks, sound): (Tracks, Sound),
        first_frame_wait: Duration,
        interval: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            publisher,
            tracks,
            session: SessionId(rand::random()),
            timeline: Timeline::default(),
            pictures: Pictures::new(stream.is_by_recovery()),
            sound,
            begins_with_key: false,
            bad_packets: 0,
            empty_units: 0,
            last_key: now,
            format: None,
            awaits_key: Some(now),
            running: false,
            held: Some(Vec::new()),
            held_bytes: 0,
            began: now,
            first: None,
            last: now,
            first_frame_wait,
            silence: SILENCE.max(interval.saturating_mul(SILENCE_INTERVALS)),
            stats: Stats::new(now),
        }
    }

    /// When [`Intake::tick`] must be called at the latest.
    pub(super) fn wake_at(&self) -> Instant {
        let silent = match self.first {
            None => self.began + self.first_frame_wait,
            Some(_) => self.last + self.silence,
        };
        let no_key = self.awaits_key.map_or(silent, |since| since + self.key_frame_wait());
        let settled = self.held.as_ref().filter(|h| !h.is_empty()).and(self.first).map(|f| f + SETTLE);
        settled.unwrap_or(silent).min(silent).min(no_key)
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Failure> {
        let settled = self.first.is_some_and(|first| first + SETTLE <= now);
        if settled && self.held.as_ref().is_some_and(|h| !h.is_empty()) {
            self.settle();
        }
        if self.first.is_none() && self.began + self.first_frame_wait <= now {
            return Err(Failure::silent(format!("no frame came within {:?}", self.first_frame_wait)));
        }
        if self.first.is_some() && self.last + self.silence <= now {
            return Err(Failure::silent(format!("no frame came for {:?}", self.silence)));
        }
        let wait = self.key_frame_wait();
        if self.awaits_key.is_some_and(|since| since + wait <= now) {
            let text = format!("no key frame came within {wait:?}");
            return Err(if self.begins_with_key { Failure::lost(text) } else { Failure::other(text) });
        }
        Ok(())
    }

    fn key_frame_wait(&self) -> Duration {
        if self.begins_with_key { KEY_FRAME_WAIT_AFTER_LOSS } else { KEY_FRAME_WAIT_MAX }
    }

    /// Takes note that a packet could not be understood. The session goes on unless it was of the pictures and they
    /// all are so.
    pub(super) fn trouble(&mut self, error: &retina::Error) -> Result<(), Failure> {
        let failure = Failure::of_step("receiving", error);
        match failure::track_of(error) {
            Some(track) if track == self.tracks.video => {
                self.bad_packets += 1;
                if self.bad_packets >= BAD_PACKETS_MAX {
                    return Err(failure);
                }
                self.lose(Instant::now());
                Ok(())
            }
            // A sound that nobody understands is no reason to lose the picture.
            Some(_) => {
                if self.sound.is_bad(&failure.text) {
                    tracing::warn!(stream = %self.stream.key, reason = failure.text, "the sound is left out");
                    self.show_sound();
                }
                Ok(())
            }
            None => Err(failure),
        }
    }

    /// Takes one thing that the camera sent. `described` are the session's tracks as they are after it.
    pub(super) fn take(&mut self, item: CodecItem, described: &[Described]) -> Result<(), Failure> {
        match item {
            CodecItem::VideoFrame(frame) => self.video(frame, described),
            CodecItem::AudioFrame(frame) => {
                self.audio(&frame);
                Ok(())
            }
            CodecItem::Rtcp(packet) => {
                self.rtcp(&packet);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn video(&mut self, frame: VideoFrame, described: &[Described]) -> Result<(), Failure> {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.bad_packets = 0;
        self.stream.pulse();
        if frame.data().len() > FRAME_BYTES_MAX {
            return Err(Failure::other(format!("it sent a picture of {} bytes", frame.data().len())));
        }
        // What follows a lost packet refers to a picture that nobody has.
        if frame.loss() > 0 {
            self.stream.count_lost(frame.loss());
            self.lose(now);
        }
        if frame.has_new_parameters() || self.format.is_none() {
            self.await_key(now);
            let built = format::build(described, self.tracks, &self.sound).map_err(Failure::other)?;
            match (built, &self.format) {
                (Some(new), Some(old)) if new == **old => {}
                (new, _) => self.format = new.map(Arc::new),
            }
            if let Some(format) = &self.format {
                self.pictures.follow(&format.video);
            }
        }
        let Some(format) = self.format.clone() else {
            self.last = now;
            return self.drop_frame();
        };
        let key = match self.pictures.look(frame.data(), now.saturating_duration_since(self.last_key)) {
            Picture::Empty => return self.empty(),
            picture => picture == Picture::Key,
        };
        (self.last, self.empty_units) = (now, 0);
        if key {
            self.last_key = now;
            self.stream.set_by_recovery(self.pictures.are_by_recovery());
        }
        if self.awaits_key.is_some() && !key {
            return self.drop_frame();
        }
        self.awaits_key = None;
        self.begins_with_key |= now.saturating_duration_since(self.began) <= KEY_FRAME_AT_ONCE;
        let mut stamp = Stamp::new(frame.timestamp(), self.stream.clock().read());
        let shown = stamp.raw;
        stamp.raw = self.pictures.decoded_at(shown, frame.data());
        let offset = i32::try_from(shown.saturating_sub(stamp.raw)).unwrap_or(0);
        let data = Bytes::from(frame.into_data());
        self.pass(Held { track: TrackKind::Video, stamp, offset, key, data, format });
        Ok(())
    }

    /// A unit without a picture. Some cameras send parameter sets and messages apart; who changed his codec within the
    /// session sends nothing else any more.
    fn empty(&mut self) -> Result<(), Failure> {
        self.empty_units += 1;
        if self.empty_units > EMPTY_UNITS_MAX {
            return Err(Failure::lost("what it sends is not what it described: no picture is in it; it is asked anew"));
        }
        Ok(())
    }

    fn audio(&mut self, frame: &AudioFrame) {
        if frame.loss() > 0 {
            self.stream.count_lost(frame.loss());
        }
        let Some(format) = self.format.clone().filter(|f| f.audio.is_some()) else { return };
        let stamp = Stamp::new(frame.timestamp(), self.stream.clock().read());
        for (raw, data) in self.sound.frames(frame) {
            let (stamp, format) = (Stamp { raw, ..stamp }, format.clone());
            self.pass(Held { track: TrackKind::Audio, stamp, offset: 0, key: true, data, format });
        }
    }

    fn rtcp(&mut self, packet: &ReceivedCompoundPacket) {
        if packet.stream_id() != self.tracks.video {
            return;
        }
        let Some(at) = packet.rtp_timestamp() else { return };
        for report in packet.pkts().filter_map(|p| p.as_sender_report().ok().flatten()) {
            self.timeline.report(at.timestamp(), wall_of(report.ntp_timestamp()));
        }
    }

    /// Pictures are missing before the next.
    fn lose(&mut self, now: Instant) {
        if self.running && self.awaits_key.is_none() {
            self.publisher.missing(GapCause::StreamError);
        }
        self.await_key(now);
    }

    /// The patience for a key frame begins with the need for one, not with the session.
    fn await_key(&mut self, now: Instant) {
        self.awaits_key.get_or_insert(now);
    }

    fn drop_frame(&self) -> Result<(), Failure> {
        self.stream.count_dropped();
        Ok(())
    }

    fn pass(&mut self, frame: Held) {
        match &mut self.held {
            Some(held) => {
                self.held_bytes += frame.data.len();
                held.push(frame);
                if held.len() >= HELD_FRAMES_MAX || self.held_bytes > HELD_BYTES_MAX {
                    self.settle();
                }
            }
            None => self.publish(frame),
        }
    }

    /// Whether the first frames went out.
    pub(super) fn is_settled(&self) -> bool {
        self.held.is_none()
    }

    fn settle(&mut self) {
        let held = self.held.take().unwrap_or_default();
        let pictures = held.iter().filter(|h| h.track == TrackKind::Video);
        self.timeline.foresee(pictures.map(|h| (h.stamp.raw, h.stamp.at)));
        for frame in held {
            self.publish(frame);
        }
    }

    /// Places a frame in time; None where it has no place.
    fn place(&mut self, held: &Held) -> Option<(i64, Wall)> {
        let Held { track, stamp: Stamp { raw, zero_micros, at }, key, format, .. } = held;
        if *track == TrackKind::Audio {
            let rate = format.audio.as_ref()?.sample_rate;
            let sound = self.timeline.sound(*raw, *zero_micros, rate, *at)?;
            return Some((sound.ticks, sound.wall));
        }
        let picture = self.timeline.picture(*raw, *zero_micros, *key, *at);
        if picture.renewed {
            // Ticks go on, but UTC does not: files must not span the step.
            self.session = SessionId(rand::random());
            self.publisher.missing(GapCause::ClockStep);
            tracing::info!(stream = %self.stream.key, now = %picture.wall, "the host's clock was set, the stream goes on by it");
        }
        if picture.jumped {
            self.stream.count_jump();
        }
        let late = micros(i64::from(held.offset), VIDEO_TIMESCALE);
        Some((picture.ticks, picture.wall.plus_micros(late)))
    }

    fn publish(&mut self, held: Held) {
        let Some((ticks, wall)) = self.place(&held) else { return };
        let Held { track, offset, key, data, format, .. } = held;
        let picture = track == TrackKind::Video;
        if picture {
            self.stream.count_frame();
        }
        let rates = self.stats.count(data.len(), picture, Instant::now());
        let first = !std::mem::replace(&mut self.running, true);
        if first {
            self.stream.session_runs();
            self.show_sound();
        }
        if first || rates.is_some() {
            let rates = rates.unwrap_or_default();
            let skew = self.timeline.skew_millis();
            self.stream.show(|view| {
                view.state = StreamState::Running;
                view.reason = None;
                view.codec = Some(format.video.codec);
                view.width = Some(format.video.width);
                view.height = Some(format.video.height);
                view.fps = rates.fps;
                view.bitrate = rates.bitrate;
                view.last_frame = Some(wall);
                view.clock_skew_ms = skew;
            });
        }
        self.publisher.publish(Frame { session: self.session, track, ticks, offset, wall, key, data, format });
    }

    fn show_sound(&self) {
        self.stream.show(|view| view.audio = self.sound.view().cloned());
    }
}

fn micros(ticks: i64, rate: u32) -> i64 {
    i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(rate.max(1))).unwrap_or(i64::MAX)
}

/// NTP's 32.32 seconds since 1900, in the era that 1970 to 2106 lie in.
fn wall_of(ntp: NtpTimestamp) -> Wall {
    let since_epoch = ntp.0.wrapping_sub(retina::UNIX_EPOCH.0);
    let micros = (u128::from(since_epoch) * 1_000_000) >> 32;
    Wall::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::budget::tests::budget;
    use crate::{
        base::{Clock, Metrics},
        camera::{Timings, Transport, board::Board, meters::Meters, stream::Shared},
        events::Events,
        live::Hub,
        model::{StreamKey, VideoCodec, VideoFormat},
    };
    use retina::client::Credentials;
    use tokio::sync::watch;

    fn stream() -> (Stream, Publisher) {
        let key: StreamKey = "d1/1/main".parse().unwrap();
        let hub = Hub::default();
        let publisher = hub.publisher(&key);
        let timings = Timings { poll_interval: SILENCE, age_out: SILENCE, timeout: SILENCE };
        let board = Arc::new(Board::new(Events::discard(), Clock::real()));
        let shared = Arc::new(Shared::new(board, hub, watch::channel(timings).1, budget()));
        let credentials = Credentials { username: "admin".into(), password: String::new() };
        let counters = Meters::new(&Metrics::default()).stream(&key);
        (Stream::new(key, credentials, (false, Transport::Tcp), shared, counters), publisher)
    }

    fn intake<'a>(stream: &'a Stream, publisher: &'a Publisher) -> Intake<'a> {
        let tracks = Tracks { video: 0, audio: None };
        Intake::new(stream, publisher, (tracks, Sound::none()), SILENCE, Duration::ZERO)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_held_in_bounds_whatever_it_is_made_of() {
        let (stream, publisher) = stream();
        let video = VideoFormat {
            codec: VideoCodec::H264,
            rfc6381: "avc1.640028".into(),
            width: 640,
            height: 360,
            sample_entry: Bytes::new(),
        };
        let format = Arc::new(StreamFormat { video, audio: None });
        let held = |n: i64, bytes: usize| {
            let (data, format) = (Bytes::from(vec![0; bytes]), format.clone());
            let stamp = Stamp { raw: n * 3600, zero_micros: n * 40_000, at: stream.clock().read() };
            Held { track: TrackKind::Video, stamp, offset: 0, key: true, data, format }
        };
        let mut few = intake(&stream, &publisher);
        (0..3).for_each(|n| {
            assert!(!few.is_settled(), "{n}");
            few.pass(held(n, FRAME_BYTES_MAX));
        });
        assert!(few.is_settled());
        let mut many = intake(&stream, &publisher);
        (0..HELD_FRAMES_MAX as i64).for_each(|n| {
            assert!(!many.is_settled(), "{n}");
            many.pass(held(n, 10));
        });
        assert!(many.is_settled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_picture_lost_late_in_a_session_is_waited_out_like_an_early_one() {
        let (stream, publisher) = stream();
        let mut intake = intake(&stream, &publisher);
        tokio::time::advance(KEY_FRAME_WAIT_MAX * 5).await;
        let now = Instant::now();
        (intake.first, intake.last, intake.awaits_key) = (Some(now), now, None);
        intake.await_key(now);
        assert!(intake.wake_at() > now && intake.tick(now).is_ok(), "a key frame may still come");
        intake.await_key(now + SILENCE);
        intake.last = now + KEY_FRAME_WAIT_MAX;
        assert!(intake.tick(now + KEY_FRAME_WAIT_MAX).unwrap_err().text.contains("no key frame"));
    }

    #[test]
    fn ntp_is_read_in_its_era() {
        assert_eq!(wall_of(retina::UNIX_EPOCH), Wall::from_micros(0));
        let half = NtpTimestamp(retina::UNIX_EPOCH.0.wrapping_add((1_800_000_000_u64 << 32) | (1 << 31)));
        assert_eq!(wall_of(half), Wall::from_millis(1_800_000_000_500));
    }
}
