//! How fast datagrams go, which nobody takes at a pace of their own. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// Datagrams go no faster, in bytes a second: a group of pictures at once is more than receivers have room for.
const BYTES_PER_SECOND: u64 = 8 << 20;
/// So far ahead of that pace they may be.
const BURST: Duration = Duration::from_millis(10);

/// When the datagrams that were sent are through, at their pace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace(Option<Instant>);

impl Pace {
    /// Until when datagrams wait.
    pub(super) fn held(&self, now: Instant) -> Option<Instant> {
        self.0.and_then(|until| until.checked_sub(BURST)).filter(|until| *until > now)
    }

    /// So many bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        let takes = Duration::from_micros(bytes as u64 * 1_000_000 / BYTES_PER_SECOND);
        self.0 = Some(self.0.map_or(now, |until| until.max(now)) + takes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn datagrams_go_at_once_as_long_as_they_are_few() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        let mut now = began;
        let mut sent = 0;
        while now < began + Duration::from_secs(1) {
            match pace.held(now) {
                Some(until) => now = until,
                None => {
                    pace.sent(1_200, now);
                    sent += 1_200;
                }
            }
        }
        let most = BYTES_PER_SECOND as usize;
        assert!((most..most + most / 50).contains(&sent), "{sent}");
        // A pause earns nothing.
        now += Duration::from_secs(5);
        pace.sent(200_000, now);
        assert!(pace.held(now).is_some());
    }
}
