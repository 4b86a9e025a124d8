//! Pictures per second and bits per second of the last seconds. Pure.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Rates are taken over this much of the past.
const WINDOW: Duration = Duration::from_secs(3);
/// What is shown changes this often at most.
pub(super) const SHOWN_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    frames: u64,
    bytes: u64,
}

/// Counts of one session.
#[derive(Debug)]
pub(super) struct Stats {
    frames: u64,
    bytes: u64,
    /// Counts at moments of the past, [`SHOWN_EVERY`] apart, the oldest a window ago.
    marks: VecDeque<Mark>,
}

/// Rates of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Pictures per second, to a hundredth.
    pub fps: f64,
    /// Bits per second.
    pub bitrate: u64,
}

impl Stats {
    /// Counting begins.
    pub(super) fn new(now: Instant) -> Self {
        Self { frames: 0, bytes: 0, marks: VecDeque::from([Mark { at: now, frames: 0, bytes: 0 }]) }
    }

    /// One more frame; the rates, where it is time to show them.
    pub(super) fn count(&mut self, bytes: usize, picture: bool, now: Instant) -> Option<Rates> {
        self.frames += u64::from(picture);
        self.bytes += bytes as u64;
        let last = self.marks.back().map_or(now, |m| m.at);
        if now.saturating_duration_since(last) < SHOWN_EVERY {
            return None;
        }
        self.marks.push_back(Mark { at: now, frames: self.frames, bytes: self.bytes });
        while self.marks.len() > 2 && now.saturating_duration_since(self.marks[1].at) >= WINDOW {
            self.marks.pop_front();
        }
        let from = self.marks.front()?;
        let seconds = now.saturating_duration_since(from.at).as_secs_f64();
        let fps = (self.frames - from.frames) as f64 / seconds;
        let bitrate = (self.bytes - from.bytes) as f64 * 8.0 / seconds;
        Some(Rates { fps: (fps * 100.0).round() / 100.0, bitrate: bitrate as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rates_follow_the_last_seconds() {
        let start = Instant::now();
        let mut stats = Stats::new(start);
        let mut shown = Vec::new();
        for n in 1..=500_u32 {
            // 25 a second for ten seconds, then 50.
            let ms = if n <= 250 { n * 40 } else { 10_000 + (n - 250) * 20 };
            shown.extend(stats.count(1000, true, start + Duration::from_millis(u64::from(ms))));
        }
        assert!(shown.len() <= 30, "at most twice a second");
        assert!(
            (shown[5].fps - 25.0).abs() < 0.5 && (shown[5].bitrate as i64 - 200_000).abs() < 4000,
            "{:?}",
            shown[5]
        );
        let last = shown.last().unwrap();
        assert!((last.fps - 50.0).abs() < 1.0, "{last:?}");
    }
}
