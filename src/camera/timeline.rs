//! RTP time to the time of a session and to UTC. Pure: stamps, sender reports and readings of the host's clocks go in.
//!
//! UTC is the host's. A session's time is UTC less the session's anchor, so that what is recorded lies where it was
//! taken and its files follow one another without a gap: drift is corrected in how long frames last, by parts of a
//! thousand, never by a jump. Where a camera's reports of its own clock agree with ours they are followed, since they
//! know nothing of the network's delays; else the least delayed arrival is. A stamp that jumps, goes back or stands
//! still costs no frame.
//!
//! Only where the host's own clock is stepped does UTC jump: then the next key frame begins a session anew.

use super::stamps::{Placed, Stamps};
use crate::{
    base::{Reading, Wall},
    model::frame::VIDEO_TIMESCALE,
};

/// A sender report further from the arrival than this is a clock that is wrong, not a network that is slow.
pub(super) const SANE_SKEW_MICROS_MAX: i64 = 500_000;
/// Sound and picture are aligned by their RTP time where arrival agrees to this, else by arrival.
const ALIGN_MICROS_MAX: i64 = 250_000;

/// Where a picture lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Ticks of the session.
    pub ticks: i64,
    /// UTC.
    pub wall: Wall,
    /// The host's clock was stepped: a session begins with this picture.
    pub renewed: bool,
    /// The camera's clock jumped.
    pub jumped: bool,
}

/// Where a piece of sound lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    /// Ticks of the session, in samples.
    pub ticks: i64,
    /// UTC.
    pub wall: Wall,
}

/// The host's clocks, as they are followed.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    /// UTC − monotonic time.
    offset: i64,
    steps: u64,
    /// The clock was stepped, and the time of the session was not moved yet.
    stepped: bool,
}

#[derive(Debug)]
struct SoundTrack {
    stamps: Stamps,
    rate: u32,
    aligned_by_rtp: bool,
    /// The picture's correction when the sound began.
    begun_at_correction: i64,
    /// By how much sound is later than its arrival says; known once arrival can be relied on.
    bias: Option<i64>,
}

/// The time of one session.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    video: Option<Stamps>,
    /// RTP time of the first picture since the moment that the sender calls zero, in microseconds.
    video_zero_micros: i64,
    audio: Option<SoundTrack>,
    /// What is known of the network's delay before the first picture is placed.
    foreseen: Option<i64>,
    /// UTC − steady time by the last sender report.
    reported: Option<i64>,
    /// A report that came before the first picture.
    early: Option<(i64, Wall)>,
    host: Host,
    /// UTC of tick 0.
    anchor: i64,
}

impl Timeline {
    /// Looks at the first pictures before they are placed: cameras begin with some that they kept, in a burst, and the
    /// least delayed of them all says when they were taken.
    pub(super) fn foresee(&mut self, pictures: impl IntoIterator<Item = (i64, Reading)>) {
        let mut stamps: Option<Stamps> = None;
        for (raw, at) in pictures {
            let stamps = stamps.get_or_insert_with(|| Stamps::new(VIDEO_TIMESCALE, raw, 0, at.mono_micros));
            let placed = stamps.place(raw, at.mono_micros, |_| None);
            stamps.keep(placed);
        }
        self.foreseen = stamps.and_then(|s| s.least_delay());
    }

    /// Places a picture: `raw` is its unwrapped RTP time, `zero_micros` the same since the sender's zero.
    pub(super) fn picture(&mut self, raw: i64, zero_micros: i64, key: bool, at: Reading) -> Picture {
        let first = self.video.is_none();
        self.follow(at, first);
        let mut stamps = self.video.take().unwrap_or_else(|| {
            let mut stamps = Stamps::new(VIDEO_TIMESCALE, raw, 0, at.mono_micros);
            if let Some(least) = self.foreseen {
                stamps.foresee(least, at.mono_micros);
            }
            self.video_zero_micros = zero_micros;
            stamps
        });
        if let Some((raw, sender)) = self.early.take() {
            self.reported = Some(sender.micros().saturating_sub(stamps.steady_micros(raw)));
        }
        let placed = stamps.place(raw, at.mono_micros, |least| Some(self.target(least).saturating_sub(self.anchor)));
        stamps.keep(placed);
        let renewed = self.host.stepped && key;
        if renewed {
            self.host =
                Host { offset: at.wall.micros().saturating_sub(at.mono_micros), steps: at.steps, stepped: false };
        }
        if first || renewed {
            let target = self.target(stamps.least_delay().unwrap_or(0));
            self.anchor = target.saturating_sub(stamps.correction_micros());
        }
        self.video = Some(stamps);
        let Placed { ticks, jumped, .. } = placed;
        Picture { ticks, wall: self.wall(ticks, VIDEO_TIMESCALE), renewed, jumped }
    }

    /// Places a piece of sound. None before the first picture, and for sound from before it or that was there before.
    pub(super) fn sound(&mut self, raw: i64, zero_micros: i64, rate: u32, at: Reading) -> Option<Sound> {
        let video = self.video.as_ref()?;
        let least = video.least_delay()?;
        if self.audio.as_ref().is_some_and(|audio| audio.rate != rate) {
            self.audio = None;
        }
        let picture = video.correction_micros();
        let audio = self.audio.get_or_insert_with(|| {
            let by_rtp = zero_micros.saturating_sub(self.video_zero_micros).saturating_add(picture);
            let by_arrival = at.mono_micros.saturating_sub(least).saturating_add(picture);
            let agree = by_rtp.saturating_sub(by_arrival).saturating_abs() <= ALIGN_MICROS_MAX;
            let place = if agree { by_rtp } else { by_arrival };
            let stamps = Stamps::new(rate, raw, place, at.mono_micros);
            SoundTrack { stamps, rate, aligned_by_rtp: agree, begun_at_correction: picture, bias: None }
        });
        // Target of the picture less its arrival: what the session asks for beyond following arrival.
        let host = self.host.offset;
        let asked = target(self.reported, least, host).saturating_sub(least).saturating_sub(self.anchor);
        if audio.bias.is_none() && audio.stamps.is_settled() {
            let by_arrival = audio.stamps.least_delay().unwrap_or(0).saturating_add(asked);
            let bias = audio.stamps.correction_micros().saturating_sub(by_arrival);
            let keep = audio.aligned_by_rtp && bias.saturating_abs() <= ALIGN_MICROS_MAX;
            audio.bias = Some(if keep { bias } else { 0 });
        }
        let placed = match audio.bias {
            Some(bias) => {
                let wanted = |least: i64| Some(least.saturating_add(asked).saturating_add(bias));
                audio.stamps.place(raw, at.mono_micros, wanted)
            }
            // Until then it goes with the picture.
            None => {
                let wanted = picture.saturating_sub(audio.begun_at_correction);
                audio.stamps.place(raw, at.mono_micros, |_| Some(wanted))
            }
        };
        if placed.covered || placed.ticks < 0 {
            return None;
        }
        audio.stamps.keep(placed);
        Some(Sound { ticks: placed.ticks, wall: self.wall(placed.ticks, rate) })
    }

    /// Takes a sender report of the picture track in.
    pub(super) fn report(&mut self, raw: i64, sender: Wall) {
        match &self.video {
            Some(video) => self.reported = Some(sender.micros().saturating_sub(video.steady_micros(raw))),
            None => self.early = Some((raw, sender)),
        }
    }

    /// How far the camera's clock is ahead of ours, where it says.
    pub(super) fn skew_millis(&self) -> Option<i64> {
        let by_arrival = self.video.as_ref()?.least_delay()?.saturating_add(self.host.offset);
        Some(self.reported?.saturating_sub(by_arrival) / 1000)
    }

    /// The host's clock is followed where NTP slews it, and found stepped where it was.
    fn follow(&mut self, at: Reading, first: bool) {
        self.host.stepped |= !first && at.steps != self.host.steps;
        if !self.host.stepped {
            self.host =
                Host { offset: at.wall.micros().saturating_sub(at.mono_micros), steps: at.steps, stepped: false };
        }
    }

    fn target(&self, least: i64) -> i64 {
        target(self.reported, least, self.host.offset)
    }

    fn wall(&self, ticks: i64, rate: u32) -> Wall {
        let micros = i128::from(ticks) * 1_000_000;
        let micros = i64::try_from(micros.div_euclid(i128::from(rate.max(1)))).unwrap_or(i64::MAX);
        Wall::from_micros(self.anchor.saturating_add(micros))
    }
}

/// UTC − steady time of the picture, as it should be.
fn target(reported: Option<i64>, least: i64, host: i64) -> i64 {
    let by_arrival = least.saturating_add(host);
    let sane = |r: &i64| r.saturating_sub(by_arrival).saturating_abs() <= SANE_SKEW_MICROS_MAX;
    reported.filter(sane).unwrap_or(by_arrival)
}

#[cfg(test)]
mod tests;
