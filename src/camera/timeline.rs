//! RTP time to the time of a session and to UTC. Pure: RTP timestamps, sender reports and arrival times go in.
//!
//! Ticks grow strictly within a track; what jumps or goes back is an error that names it, and the session is begun
//! anew. UTC is anchored at the sender's report where that is sane, else at the least delayed arrival, and follows
//! both without ever jumping: a recorder that is 20 ppm fast is followed, a report that is a year off is not.

use crate::{base::Wall, model::frame::VIDEO_TIMESCALE};

/// A step between two frames longer than this is no pause but a broken clock.
pub(super) const JUMP_MICROS_MAX: i64 = 10_000_000;
/// A sender report further from the arrival than this is a clock that is wrong, not a network that is slow.
pub(super) const SANE_SKEW_MICROS_MAX: i64 = 1_000_000;
/// UTC is corrected no faster than this, which no player notices.
pub(super) const SLEW_PPM_MAX: i64 = 500;
/// Where what is shown and what is measured lie further apart than this, slewing would take hours: begin anew.
pub(super) const RUNAWAY_MICROS_MAX: i64 = 5_000_000;
/// The least delayed arrival is looked for in this much of the past, at least.
const WINDOW_MICROS: i64 = 30_000_000;
/// Sound and picture are aligned by their RTP time where arrival agrees to this, else by arrival.
const ALIGN_MICROS_MAX: i64 = 250_000;
/// Sound that runs this far away from the picture, by its own clock or since the picture's was set, is set right.
const DRIFT_MICROS_MAX: i64 = 500_000;
/// Frames that repeat a timestamp are set one tick apart; so many in a row, and the clock stands still.
const REPEATS_MAX: i64 = 90;

/// RTP time that cannot be recorded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum TimeError {
    /// Forward by more than a pause.
    #[error("{track} timestamps jumped ahead by {millis} ms")]
    Jump { track: &'static str, millis: i64 },
    /// Backward.
    #[error("{track} timestamps went back by {millis} ms")]
    Back { track: &'static str, millis: i64 },
    /// Not at all.
    #[error("{track} timestamps stand still")]
    Still { track: &'static str },
    /// Away from real time.
    #[error("the stream's clock ran {millis} ms away from the time of arrival")]
    Runaway { millis: i64 },
}

#[derive(Debug)]
struct Track {
    name: &'static str,
    rate: i64,
    first_raw: i64,
    /// Ticks of the first frame.
    shift: i64,
    last_raw: i64,
    last_ticks: i64,
    /// Set back: what lies before the last frame is left out.
    set_back: bool,
}

impl Track {
    fn new(name: &'static str, rate: u32, raw: i64, shift: i64) -> Self {
        Self {
            name,
            rate: i64::from(rate.max(1)),
            first_raw: raw,
            shift,
            last_raw: raw,
            last_ticks: shift - 1,
            set_back: false,
        }
    }

    fn micros(&self, ticks: i64) -> i64 {
        i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(self.rate)).unwrap_or(i64::MAX)
    }

    /// Moves all that follows.
    fn set(&mut self, micros: i64) {
        let ticks = i128::from(micros) * i128::from(self.rate) / 1_000_000;
        self.shift = self.shift.saturating_add(i64::try_from(ticks).unwrap_or(0));
        self.set_back = micros < 0;
    }

    /// Whether a frame lies where there are frames already, because the track was set back.
    fn is_covered(&mut self, raw: i64) -> bool {
        self.set_back &= raw.saturating_sub(self.first_raw).saturating_add(self.shift) <= self.last_ticks;
        if self.set_back {
            self.last_raw = raw;
        }
        self.set_back
    }

    fn place(&mut self, raw: i64) -> Result<i64, TimeError> {
        let step = self.micros(raw.saturating_sub(self.last_raw));
        if step < 0 {
            return Err(TimeError::Back { track: self.name, millis: -step / 1000 });
        }
        if step > JUMP_MICROS_MAX {
            return Err(TimeError::Jump { track: self.name, millis: step / 1000 });
        }
        let exact = raw - self.first_raw + self.shift;
        let ticks = exact.max(self.last_ticks + 1);
        if ticks - exact > REPEATS_MAX {
            return Err(TimeError::Still { track: self.name });
        }
        self.last_raw = raw;
        self.last_ticks = ticks;
        Ok(ticks)
    }
}

/// Smallest (arrival − media time) of the last one to two windows.
#[derive(Debug, Default)]
struct LeastDelay {
    began: Option<i64>,
    current: Option<i64>,
    previous: Option<i64>,
}

impl LeastDelay {
    fn observe(&mut self, offset: i64, media_micros: i64) {
        if *self.began.get_or_insert(media_micros) + WINDOW_MICROS <= media_micros {
            self.began = Some(media_micros);
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(offset, |c| c.min(offset)));
    }

    fn get(&self) -> Option<i64> {
        self.current.into_iter().chain(self.previous).min()
    }

    /// The same, once it stands on a whole window.
    fn settled(&self) -> Option<i64> {
        self.previous.and_then(|_| self.get())
    }
}

/// The time of one session.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    video: Option<Track>,
    /// RTP time of the first picture since the moment that the sender calls zero, in microseconds.
    video_zero_micros: i64,
    audio: Option<Track>,
    audio_delay: LeastDelay,
    delay: LeastDelay,
    /// UTC − media time by the last sender report.
    reported: Option<i64>,
    /// A report that came before the first picture.
    early: Option<(i64, Wall)>,
    /// UTC − media time as it is used, and the media time up to which it was corrected.
    used: Option<(i64, i64)>,
}

impl Timeline {
    /// Places a picture: `raw` is its unwrapped RTP time, `zero_micros` the same since the sender's zero.
    pub(super) fn video(&mut self, raw: i64, zero_micros: i64, arrival: Wall) -> Result<i64, TimeError> {
        if self.video.is_none() {
            self.video_zero_micros = zero_micros;
        }
        let track = self.video.get_or_insert_with(|| Track::new("video", VIDEO_TIMESCALE, raw, 0));
        let ticks = track.place(raw)?;
        let micros = track.micros(ticks);
        if let Some((raw, sender)) = self.early.take() {
            self.report(raw, sender);
        }
        self.delay.observe(arrival.micros().saturating_sub(micros), micros);
        let apart = self.used.zip(self.target()).map_or(0, |((used, _), target)| target.saturating_sub(used));
        if apart.abs() > RUNAWAY_MICROS_MAX {
            return Err(TimeError::Runaway { millis: apart / 1000 });
        }
        Ok(ticks)
    }

    /// Places a piece of sound. None before the first picture, and for sound from before it.
    pub(super) fn audio(
        &mut self,
        raw: i64,
        zero_micros: i64,
        rate: u32,
        arrival: Wall,
    ) -> Result<Option<i64>, TimeError> {
        let Some(least) = self.delay.get().filter(|_| self.video.is_some()) else { return Ok(None) };
        let track = self.audio.get_or_insert_with(|| {
            let by_rtp = zero_micros.saturating_sub(self.video_zero_micros);
            let by_arrival = arrival.micros().saturating_sub(least);
            let agree = by_rtp.saturating_sub(by_arrival).saturating_abs() <= ALIGN_MICROS_MAX;
            let micros = if agree { by_rtp } else { by_arrival };
            let shift = i128::from(micros) * i128::from(rate) / 1_000_000;
            Track::new("audio", rate, raw, i64::try_from(shift).unwrap_or(0))
        });
        if track.is_covered(raw) {
            return Ok(None);
        }
        let ticks = track.place(raw)?;
        let micros = track.micros(ticks);
        self.audio_delay.observe(arrival.micros().saturating_sub(micros), micros);
        let drift = self.audio_delay.settled().map_or(0, |audio| audio.saturating_sub(least));
        if drift.saturating_abs() > DRIFT_MICROS_MAX {
            // Cameras take sound by a clock of its own. A small gap now and then is heard less than lips out of step.
            track.set(drift);
            self.audio_delay = LeastDelay::default();
        }
        Ok(Some(ticks).filter(|ticks| *ticks >= 0))
    }

    /// Takes a sender report of the picture track in.
    pub(super) fn report(&mut self, raw: i64, sender: Wall) {
        match &self.video {
            Some(video) => {
                let micros = video.micros(raw.saturating_sub(video.first_raw));
                self.reported = Some(sender.micros().saturating_sub(micros));
            }
            None => self.early = Some((raw, sender)),
        }
    }

    /// UTC of a picture. Corrects itself as media time goes on.
    pub(super) fn video_wall(&mut self, ticks: i64) -> Wall {
        let micros = self.video.as_ref().map_or(0, |t| t.micros(ticks));
        let target = self.target().unwrap_or(0);
        let (used, at) = self.used.unwrap_or((target, micros));
        let passed = (micros - at).max(0);
        // Rounded up, so that steps of a few microseconds are not lost.
        let most = (passed.saturating_mul(SLEW_PPM_MAX) + 999_999) / 1_000_000;
        let used = used + (target - used).clamp(-most, most);
        self.used = Some((used, at.max(micros)));
        Wall::from_micros(used.saturating_add(micros))
    }

    /// UTC of a piece of sound, by the same correction as the picture's.
    pub(super) fn audio_wall(&self, ticks: i64) -> Wall {
        let micros = self.audio.as_ref().map_or(0, |t| t.micros(ticks));
        let offset = self.used.map(|(used, _)| used).or_else(|| self.target()).unwrap_or(0);
        Wall::from_micros(offset.saturating_add(micros))
    }

    /// How far the camera's clock is ahead of ours, where it says.
    pub(super) fn skew_millis(&self) -> Option<i64> {
        Some(self.reported?.saturating_sub(self.delay.get()?) / 1000)
    }

    fn target(&self) -> Option<i64> {
        let least = self.delay.get()?;
        let sane = |r: &i64| r.saturating_sub(least).saturating_abs() <= SANE_SKEW_MICROS_MAX;
        Some(self.reported.filter(sane).unwrap_or(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_800_000_000_000_000;

    fn wall(micros: i64) -> Wall {
        Wall::from_micros(START + micros)
    }

    /// Frames every 40 ms, `delay(n)` late; answers the walls relative to the start.
    fn play(t: &mut Timeline, frames: std::ops::Range<i64>, delay: impl Fn(i64) -> i64) -> Vec<i64> {
        frames
            .map(|n| {
                let ticks = t.video(n * 3600, n * 40_000, wall(n * 40_000 + delay(n))).unwrap();
                t.video_wall(ticks).micros() - START
            })
            .collect()
    }

    #[test]
    fn the_first_frame_is_anchored_by_arrival_and_jitter_does_not_move_it() {
        let walls = play(&mut Timeline::default(), 0..500, |n| (n * 7919) % 50_000);
        for (n, wall) in (0_i64..).zip(&walls) {
            assert!((wall - n * 40_000).abs() <= 1, "{n} {wall}");
        }
    }

    #[test]
    fn a_sane_report_is_approached_without_a_jump_and_a_mad_one_is_only_shown() {
        let mut t = Timeline::default();
        play(&mut t, 0..1, |_| 0);
        t.report(0, wall(-200_000));
        assert_eq!(t.skew_millis(), Some(-200));
        let walls = play(&mut t, 1..20_000, |_| 0);
        assert!((walls.last().unwrap() - (19_999 * 40_000 - 200_000)).abs() <= 1, "reached");
        for pair in walls.windows(2) {
            assert!((pair[1] - pair[0] - 40_000).abs() <= 21, "{pair:?}");
        }
        let mut t = Timeline::default();
        play(&mut t, 0..1, |_| 0);
        t.report(0, wall(86_400_000_000 * 365));
        let walls = play(&mut t, 1..100, |_| 0);
        assert_eq!(walls.last(), Some(&(99 * 40_000)));
        assert_eq!(t.skew_millis(), Some(86_400_000 * 365));
    }

    #[test]
    fn a_camera_that_is_fast_is_followed() {
        // 20 ppm: an hour of media time takes 72 ms less of ours.
        let walls = play(&mut Timeline::default(), 0..90_000, |n| -(n * 40_000) / 50_000);
        let lag = walls.last().unwrap() - (89_999 * 40_000 - 89_999 * 40_000 / 50_000);
        assert!(lag.abs() < 3_000, "{lag}");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let mut t = Timeline::default();
        t.video(0, 0, wall(0)).unwrap();
        assert_eq!(t.video(-9000, 0, wall(0)), Err(TimeError::Back { track: "video", millis: 100 }));
        let far = 90_000 * 3600;
        assert_eq!(t.video(far, 0, wall(0)), Err(TimeError::Jump { track: "video", millis: 3_600_000 }));
        t.video_wall(0);
        let ran = t.video(90_000 * 9, 0, wall(40_000)).unwrap_err();
        assert!(matches!(ran, TimeError::Runaway { millis: -8960 }), "{ran}");
        let mut still = Timeline::default();
        let end = (0..200).map(|n| still.video(0, 0, wall(n * 40_000))).find_map(Result::err);
        assert_eq!(end, Some(TimeError::Still { track: "video" }));
    }

    #[test]
    fn sound_is_aligned_by_rtp_time_where_arrival_agrees_and_by_arrival_where_not() {
        let mut t = Timeline::default();
        assert_eq!(t.audio(5, 0, 8000, wall(0)), Ok(None), "no picture yet");
        t.video(0, 500_000, wall(0)).unwrap();
        assert_eq!(t.audio(5, 600_000, 8000, wall(150_000)), Ok(Some(800)));
        let mut t = Timeline::default();
        t.video(0, 500_000, wall(0)).unwrap();
        assert_eq!(t.audio(5, 77_000_000, 8000, wall(150_000)), Ok(Some(1200)));
        let mut t = Timeline::default();
        t.video(0, 500_000, wall(0)).unwrap();
        assert_eq!(t.audio(5, 400_000, 8000, wall(10_000)), Ok(None), "from before the first picture");
        assert_eq!(t.audio(1605, 600_000, 8000, wall(210_000)), Ok(Some(800)));
    }

    /// Hours of picture and sound, whose clock is so much faster: how far apart they end, and how much sound was kept.
    fn drift(ppm: i64) -> (i64, f64) {
        let (mut t, mut last, mut kept) = (Timeline::default(), None, 0);
        let frames = 25 * 3600 * 6;
        for n in 0..frames {
            let at = n * 40_000;
            t.video(n * 3600, at, wall(at)).unwrap();
            let own = at + at / 1_000_000 * ppm;
            if let Some(ticks) = t.audio(own * 8 / 1000, own, 8000, wall(at)).unwrap() {
                assert!(last.is_none_or(|(l, _)| ticks > l), "{last:?} {ticks}");
                (last, kept) = (Some((ticks, at)), kept + 1);
            }
        }
        let (ticks, at) = last.unwrap();
        (ticks * 125 - at, kept as f64 / frames as f64)
    }

    #[test]
    fn sound_by_another_clock_stays_with_the_picture_through_hours() {
        for ppm in [-200, -50, 0, 50, 200] {
            let (apart, kept) = drift(ppm);
            assert!(apart.abs() <= DRIFT_MICROS_MAX + 10_000, "{ppm} ppm: {apart} µs apart");
            assert!(kept > 0.999, "{ppm} ppm: {kept}");
        }
    }

    proptest! {
        #[test]
        fn ticks_grow_strictly_and_utc_never_jumps(
            steps in proptest::collection::vec((0_i64..200_000, 0_i64..400_000, -2_000_000_i64..2_000_000), 1..300),
        ) {
            let mut t = Timeline::default();
            let (mut raw, mut now) = (0_i64, 0_i64);
            let mut last: Option<(i64, i64)> = None;
            for (step, delay, report) in steps {
                raw += step;
                now += step * 100 / 9;
                let Ok(ticks) = t.video(raw, 0, wall(now + delay)) else { break };
                t.report(raw, wall(now + report));
                let utc = t.video_wall(ticks).micros();
                if let Some((last_ticks, last_utc)) = last {
                    prop_assert!(ticks > last_ticks);
                    let passed = (ticks - last_ticks) * 100 / 9;
                    let slewed = (utc - last_utc - passed).abs();
                    prop_assert!(slewed <= passed * SLEW_PPM_MAX / 1_000_000 + 3, "{slewed} in {passed}");
                }
                last = Some((ticks, utc));
            }
        }

        #[test]
        fn nothing_overflows(raws in proptest::collection::vec(any::<i64>(), 1..20), at in any::<i64>()) {
            let mut t = Timeline::default();
            for raw in raws {
                if let Ok(ticks) = t.video(raw / 4, raw, Wall::from_micros(at)) {
                    t.report(raw, Wall::from_micros(at));
                    t.video_wall(ticks);
                }
                let _ = t.audio(raw / 4, raw, 8000, Wall::from_micros(at));
                t.skew_millis();
            }
        }
    }
}
