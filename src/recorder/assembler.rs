//! Frames in, actions out: which file each frame goes to, and when. Pure.
//!
//! What holds: every frame from the first key frame on is handed out exactly once and in order; the durations of a
//! file's pictures sum to the ticks that it spans; a file that follows another of the same session starts where that
//! one ended; no more than a fragment of pictures is held, and one picture is held back, because how long it lasts is
//! known only when the next one comes.
//!
//! Sound belongs to the file whose span of pictures it lies in, and sound often comes later than the picture it
//! belongs to. So a file that was cut waits for its last sounds until they came or the next file has something to write.

use super::cut::{self, Rules};
use crate::{
    base::Wall,
    media::fmp4::write::{FragmentTrack, Sample},
    model::{Frame, SessionId, StreamFormat, TrackKind, frame::VIDEO_TIMESCALE, segment::ticks_to_micros},
};
use std::{collections::VecDeque, sync::Arc};

/// What the writer is to do, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// A file begins. An [`Action::Append`] with a key frame follows at once.
    Open(Opening),
    /// A fragment of the open file.
    Append {
        /// Pictures; may be empty where only sound was left.
        video: FragmentTrack,
        /// Sound.
        audio: FragmentTrack,
    },
    /// The open file is complete.
    Close,
}

/// How a file begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// How its frames are coded.
    pub format: Arc<StreamFormat>,
    /// When its first picture was taken.
    pub start: Wall,
    /// The session that it comes from.
    pub session: SessionId,
    /// Its place in the session: one more than the file before it where nothing is missing between them, else two
    /// more, so that a hole shows.
    pub index: u32,
}

/// Frames that were let go, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// They came before a key frame.
    pub before_key: u64,
    /// Sound that came after its file was closed, did not grow in time, or found no place to wait.
    pub audio: u64,
    /// They were held when the disk failed.
    pub failed: u64,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Assembler {
    rules: Rules,
    next_rules: Rules,
    run: Option<Run>,
    /// All sound that is not yet handed out, of one session.
    audio: VecDeque<Frame>,
    /// The last file of the session, for the index of the next one.
    last_index: Option<(SessionId, u32)>,
    dropped: Dropped,
}

/// Frames that follow one another, and the file that they go to.
#[derive(Debug)]
struct Run {
    /// As the frames carry it.
    source: Arc<StreamFormat>,
    /// As it is recorded.
    opening: Opening,
    opened: bool,
    /// Ticks of the file's first picture.
    zero: i64,
    /// Bytes handed out for the file.
    bytes: u64,
    /// Pictures not yet handed out; never empty.
    pending: VecDeque<Frame>,
    pending_bytes: usize,
    /// How long the last picture but one lasted.
    last_duration: Option<u32>,
    /// A file before this one that still waits for sound.
    tail: Option<Tail>,
}

/// The span of a file that was cut.
#[derive(Debug)]
struct Tail {
    place: Place,
    end: i64,
}

/// Which sound a file takes.
#[derive(Clone, Debug)]
struct Place {
    zero: i64,
    source: Arc<StreamFormat>,
    has_audio: bool,
}

impl Place {
    /// Whether a sound is coded as the file's sound is.
    fn fits(&self, frame: &Frame) -> bool {
        Arc::ptr_eq(&self.source, &frame.format) || self.source.audio == frame.format.audio
    }
}

impl Assembler {
    /// Nothing seen yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            next_rules: rules,
            run: None,
            audio: VecDeque::new(),
            last_index: None,
            dropped: Dropped::default(),
        }
    }

    /// Other rules: lengths hold at once, sound with the next file, since a file's tracks are fixed at its begin.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = Rules { audio: self.rules.audio, ..rules };
        self.next_rules = rules;
    }

    /// What was let go since this was asked last.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Whether more than the picture that is always held back is held.
    pub fn holds(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.pending.len() > 1)
    }

    /// One more frame.
    pub fn push(&mut self, frame: Frame) -> Vec<Action> {
        let mut actions = Vec::new();
        match frame.track {
            TrackKind::Video => self.push_video(frame, &mut actions),
            TrackKind::Audio => self.push_audio(frame, &mut actions),
        }
        actions
    }

    /// The source made a break, or frames are missing, or recording stops: what is held goes out and the file ends.
    pub fn finish(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.end_run(&mut actions);
        self.dropped.audio += self.audio.len() as u64;
        self.audio.clear();
        actions
    }

    /// No picture has come for a while: what is held goes out, but for the one that is held back.
    pub fn flush(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.holds() {
            self.flush_pending(None, &mut actions);
        }
        actions
    }

    /// The disk failed: what is held is lost, and recording goes on with the next key frame.
    pub fn abandon(&mut self) {
        if let Some(run) = self.run.take() {
            self.dropped.failed += run.pending.len() as u64;
        }
        self.dropped.failed += self.audio.len() as u64;
        self.audio.clear();
    }

    fn push_video(&mut self, frame: Frame, actions: &mut Vec<Action>) {
        if let Some(run) = &self.run {
            let last = run.last();
            let same = Arc::ptr_eq(&run.source, &frame.format) || run.source == frame.format;
            let follows = last.session == frame.session && same && cut::follows(last.ticks, frame.ticks);
            let overlong = !self.rules.cuts(run.zero, &frame) && cut::is_overlong(run.zero, frame.ticks, run.bytes);
            if !follows || overlong {
                self.end_run(actions);
            }
        }
        let Some(run) = &mut self.run else {
            return self.begin_run(frame);
        };
        if self.rules.cuts(run.zero, &frame) {
            return self.cut(frame, actions);
        }
        let (first, last) = (run.pending[0].ticks, run.last().ticks);
        let due = self.rules.fragment_is_due(first, last, frame.ticks, run.pending_bytes);
        if due {
            self.flush_pending(Some(frame.ticks), actions);
        }
        if let Some(run) = &mut self.run {
            run.hold(frame);
        }
    }

    fn push_audio(&mut self, frame: Frame, actions: &mut Vec<Action>) {
        if !self.next_rules.audio && !self.rules.audio || frame.format.audio.is_none() {
            return;
        }
        if self.run.as_ref().is_some_and(|run| run.opening.session != frame.session) {
            self.end_run(actions);
        }
        if self.audio.back().is_some_and(|last| last.session != frame.session) {
            self.dropped.audio += self.audio.len() as u64;
            self.audio.clear();
        }
        if self.audio.back().is_some_and(|last| last.ticks >= frame.ticks) {
            self.dropped.audio += 1;
            return;
        }
        self.audio.push_back(frame);
        self.bound_audio();
        let tail_end = self.run.as_ref().and_then(|run| run.tail.as_ref()).map(|tail| tail.end);
        if tail_end.is_some_and(|end| self.has_audio_from(end)) {
            self.finish_tail(actions);
        }
    }

    /// Without pictures, sound waits for them only so long.
    fn bound_audio(&mut self) {
        let newest = self.audio.back().map_or(0, |a| a.ticks);
        while let Some(oldest) = self.audio.front() {
            let rate = i64::from(oldest.format.timescale(TrackKind::Audio));
            let stale = self.run.is_none() && newest.saturating_sub(oldest.ticks) > cut::AUDIO_LEAD_SECONDS_MAX * rate;
            if !stale && self.audio.len() <= cut::AUDIO_FRAMES_MAX {
                break;
            }
            self.audio.pop_front();
            match self.run {
                None => self.dropped.before_key += 1,
                Some(_) => self.dropped.audio += 1,
            }
        }
    }

    fn begin_run(&mut self, frame: Frame) {
        if !frame.key {
            self.dropped.before_key += 1;
            return;
        }
        self.rules = self.next_rules;
        let index = match self.last_index {
            Some((session, last)) if session == frame.session => last.wrapping_add(2),
            _ => 0,
        };
        let opening = Opening {
            format: recorded(&frame.format, self.rules.audio),
            start: frame.wall,
            session: frame.session,
            index,
        };
        // Sound from before the first picture has no place to go.
        let before = self.audio.iter().take_while(|a| a.session != frame.session || is_before(a, frame.ticks)).count();
        self.audio.drain(..before);
        self.dropped.before_key += before as u64;
        self.run = Some(Run::new(frame, opening, None));
    }

    /// The open file ends before `frame`, and the next one begins with it.
    fn cut(&mut self, frame: Frame, actions: &mut Vec<Action>) {
        self.flush_pending(Some(frame.ticks), actions);
        let Some(run) = self.run.take() else { return };
        self.rules = self.next_rules;
        let spanned = u64::try_from(frame.ticks - run.zero).unwrap_or(0);
        let end = run.opening.start.plus_micros(ticks_to_micros(spanned, VIDEO_TIMESCALE));
        let opening = Opening {
            format: recorded(&frame.format, self.rules.audio),
            // Which is when the frame was taken, but for the part of a microsecond that a tick is not: UTC follows the
            // ticks of a session.
            start: end,
            session: run.opening.session,
            index: run.opening.index.wrapping_add(1),
        };
        let tail = Tail { place: run.place(), end: frame.ticks };
        let waits = tail.place.has_audio && !self.has_audio_from(tail.end);
        let last_duration = run.last_duration;
        self.run = Some(Run { last_duration, ..Run::new(frame, opening, Some(tail)) });
        if !waits {
            self.finish_tail(actions);
        }
    }

    /// The file that was cut gets the sound that is left for it, and ends.
    fn finish_tail(&mut self, actions: &mut Vec<Action>) {
        let Some(tail) = self.run.as_mut().and_then(|run| run.tail.take()) else { return };
        let audio = self.take_audio(&tail.place, tail.end, true);
        if !audio.samples.is_empty() {
            actions.push(Action::Append { video: FragmentTrack::default(), audio });
        }
        actions.push(Action::Close);
    }

    /// All that is held goes out, and the file ends.
    fn end_run(&mut self, actions: &mut Vec<Action>) {
        let Some(run) = &self.run else { return };
        let last = run.last().ticks;
        let duration = run.last_duration.unwrap_or(cut::FRAME_TICKS_DEFAULT);
        let end = last.saturating_add(i64::from(duration));
        self.flush_pending(Some(end), actions);
        let Some(run) = self.run.take() else { return };
        // Sound that lies a little behind the last picture is the same moment for a person.
        let audio = self.take_audio(&run.place(), end.saturating_add(i64::from(VIDEO_TIMESCALE)), true);
        if !audio.samples.is_empty() {
            actions.push(Action::Append { video: FragmentTrack::default(), audio });
        }
        actions.push(Action::Close);
    }

    /// Hands out what is held: all of it where the `end` of its last picture is known, else all but that picture.
    fn flush_pending(&mut self, end: Option<i64>, actions: &mut Vec<Action>) {
        if self.run.as_ref().is_some_and(|run| run.tail.is_some()) {
            self.finish_tail(actions);
        }
        let Some(run) = &mut self.run else { return };
        let (video, end) = run.take_video(end);
        if video.samples.is_empty() {
            return;
        }
        if !std::mem::replace(&mut run.opened, true) {
            self.last_index = Some((run.opening.session, run.opening.index));
            actions.push(Action::Open(run.opening.clone()));
        }
        let place = run.place();
        let audio = self.take_audio(&place, end, false);
        if let Some(run) = &mut self.run {
            run.bytes += bytes_of(&video) + bytes_of(&audio);
        }
        actions.push(Action::Append { video, audio });
    }

    fn has_audio_from(&self, video_ticks: i64) -> bool {
        self.audio.back().is_some_and(|last| !is_before(last, video_ticks))
    }

    /// Takes the sound that lies before `end` out of the queue. Unless the file `ends`, a sound whose duration is not
    /// known yet stays.
    fn take_audio(&mut self, place: &Place, end: i64, ends: bool) -> FragmentTrack {
        let mut track = FragmentTrack::default();
        while let Some(frame) = self.audio.front().filter(|frame| is_before(frame, end)) {
            let late = is_before(frame, place.zero);
            let fits = place.fits(frame);
            if !late && !fits && ends {
                break; // the next file's
            }
            let next =
                self.audio.get(1).map(|next| u32::try_from(next.ticks.saturating_sub(frame.ticks)).unwrap_or(u32::MAX));
            let duration = match next {
                Some(duration) => duration,
                None if ends => frame.format.audio.as_ref().map_or(1, |a| a.frame_ticks.max(1)),
                None => break,
            };
            let Some(frame) = self.audio.pop_front() else { break };
            if late || !fits || !place.has_audio {
                self.dropped.audio += u64::from(place.has_audio);
                continue;
            }
            if track.samples.is_empty() {
                let rate = i128::from(frame.format.timescale(TrackKind::Audio));
                let zero = i128::from(place.zero) * rate / i128::from(VIDEO_TIMESCALE);
                track.first_ticks = u64::try_from(i128::from(frame.ticks) - zero).unwrap_or(0);
            }
            track.samples.push(Sample { data: frame.data, duration, offset: 0, key: true });
        }
        track
    }
}

impl Run {
    fn new(frame: Frame, opening: Opening, tail: Option<Tail>) -> Self {
        Self {
            source: frame.format.clone(),
            opening,
            opened: false,
            zero: frame.ticks,
            bytes: 0,
            pending_bytes: frame.data.len(),
            pending: VecDeque::from([frame]),
            last_duration: None,
            tail,
        }
    }

    fn place(&self) -> Place {
        Place { zero: self.zero, source: self.source.clone(), has_audio: self.opening.format.audio.is_some() }
    }

    fn last(&self) -> &Frame {
        self.pending.back().expect("the last picture is always held back")
    }

    fn hold(&mut self, frame: Frame) {
        if let Some(last) = self.pending.back() {
            self.last_duration = u32::try_from(frame.ticks - last.ticks).ok();
        }
        self.pending_bytes += frame.data.len();
        self.pending.push_back(frame);
    }

    /// Takes the held pictures, and says where they end.
    fn take_video(&mut self, end: Option<i64>) -> (FragmentTrack, i64) {
        let end_of_last = end.unwrap_or_else(|| self.last().ticks);
        let count = self.pending.len() - usize::from(end.is_none());
        if end.is_some()
            && let Some(last) = self.pending.back()
        {
            self.last_duration = u32::try_from(end_of_last - last.ticks).ok();
        }
        let mut track = FragmentTrack::default();
        for n in 0..count {
            let Some(frame) = self.pending.pop_front() else { break };
            let until = self.pending.front().map_or(end_of_last, |next| next.ticks);
            if n == 0 {
                track.first_ticks = u64::try_from(frame.ticks - self.zero).unwrap_or(0);
            }
            self.pending_bytes -= frame.data.len();
            let duration = u32::try_from(until - frame.ticks).unwrap_or(u32::MAX).max(1);
            track.samples.push(Sample { data: frame.data, duration, offset: frame.offset, key: frame.key });
        }
        (track, end_of_last)
    }
}

/// Whether a sound lies before a moment of the pictures' clock.
fn is_before(audio: &Frame, video_ticks: i64) -> bool {
    let rate = audio.format.timescale(TrackKind::Audio);
    i128::from(audio.ticks) * i128::from(VIDEO_TIMESCALE) < i128::from(video_ticks) * i128::from(rate)
}

/// The format without what is not recorded.
fn recorded(format: &Arc<StreamFormat>, audio: bool) -> Arc<StreamFormat> {
    if audio || format.audio.is_none() {
        return format.clone();
    }
    Arc::new(StreamFormat { video: format.video.clone(), audio: None })
}

fn bytes_of(track: &FragmentTrack) -> u64 {
    track.samples.iter().map(|s| s.data.len() as u64).sum()
}

#[cfg(test)]
mod tests;
