//! A channel's RTP clock, as wrong as asked: it runs too fast or too slow, jumps, stamps single frames hours away, and
//! begins a session where it is told to. Pure.

/// What a channel's clock shows of the device's time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Clockwork {
    /// What it is ahead, in microseconds, at `since_micros`.
    ahead_micros: i64,
    /// Since when it has run at this pace, in the device's microseconds.
    since_micros: u64,
    /// Parts per million that it runs too fast.
    pace_ppm: i64,
    /// Every so many pictures one is stamped so many milliseconds away.
    pub stray: Option<(u64, i64)>,
    /// The timestamp that a session begins with; None: any.
    pub start: Option<u32>,
}

impl Clockwork {
    /// Jumps by so much, back where negative.
    pub fn jump(&mut self, ms: i64) {
        self.ahead_micros = self.ahead_micros.saturating_add(ms.saturating_mul(1000));
    }

    /// Runs too fast by so much from now on, too slow where negative. 25 pictures stamped for every 21: -160000.
    pub fn set_pace(&mut self, ppm: i64, now_micros: u64) {
        let passed = i128::from(now_micros.saturating_sub(self.since_micros));
        let gained = passed * i128::from(self.pace_ppm) / 1_000_000;
        self.ahead_micros = self.ahead_micros.saturating_add(i64::try_from(gained).unwrap_or(0));
        (self.since_micros, self.pace_ppm) = (now_micros, ppm);
    }

    /// What it shows when a right clock shows `ticks`, each of this many a second. It wraps below zero as RTP does.
    pub fn shows(&self, ticks: u64, clock_hz: u64) -> u64 {
        let of = |micros: i128| micros * i128::from(clock_hz) / 1_000_000;
        let passed = i128::from(ticks) - of(i128::from(self.since_micros));
        let ahead = of(i128::from(self.ahead_micros)) + passed * i128::from(self.pace_ppm) / 1_000_000;
        ticks.wrapping_add_signed(i64::try_from(ahead).unwrap_or(0))
    }

    /// What it stamps on the picture of this number.
    pub fn stamps(&self, ticks: u64, counter: u64, clock_hz: u64) -> u64 {
        let away = self.stray.filter(|(every, _)| *every > 0 && counter.is_multiple_of(*every)).map_or(0, |(_, ms)| ms);
        self.shows(ticks, clock_hz).wrapping_add_signed(away.saturating_mul(clock_hz as i64) / 1000)
    }

    /// What is added to what it shows, so that a session that begins at `shown` begins with the wanted timestamp.
    pub fn base(&self, shown: u64) -> u32 {
        self.start.map_or_else(rand::random, |start| start.wrapping_sub(shown as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_begins_where_the_clock_is_and_a_jump_adds_to_it() {
        let mut clock = Clockwork::default();
        assert_eq!(clock.shows(900_000, 90_000), 900_000);
        clock.set_pace(100_000, 10_000_000);
        assert_eq!(clock.shows(900_000, 90_000), 900_000);
        assert_eq!(clock.shows(1_800_000, 90_000), 1_890_000);
        clock.set_pace(0, 20_000_000);
        clock.jump(-1000);
        assert_eq!(clock.shows(1_800_000, 90_000), 1_800_000);
        clock.stray = Some((10, 2000));
        assert_eq!((clock.stamps(1_800_000, 20, 90_000), clock.stamps(1_800_000, 21, 90_000)), (1_980_000, 1_800_000));
        clock.start = Some(u32::MAX);
        assert_eq!((clock.base(5).wrapping_add(5), clock.base(5).wrapping_add(6)), (u32::MAX, 0));
    }
}
