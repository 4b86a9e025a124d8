//! Where the files of a plan were found in memory a moment ago, so that many requests for one plan look once.

use crate::disk::Seen;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// For how long what was found is taken to be there still.
const SEEN_MAX: Duration = Duration::from_secs(1);

/// What was seen of each source.
#[derive(Default)]
pub(super) struct SeenFiles(Mutex<Option<(Instant, HashMap<usize, Arc<Seen>>)>>);

impl SeenFiles {
    /// Of one source, by somebody who asks now.
    pub(super) fn of(&self, source: usize, now: Instant) -> Arc<Seen> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen.take().filter(|(since, _)| now.saturating_duration_since(*since) < SEEN_MAX);
        let (_, sources) = seen.insert(fresh.unwrap_or_else(|| (now, HashMap::new())));
        sources.entry(source).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_seen_is_forgotten_after_a_second_however_often_it_is_asked_for() {
        let (seen, now) = (SeenFiles::default(), Instant::now());
        let first = seen.of(3, now);
        let again = |millis| seen.of(3, now + Duration::from_millis(millis));
        assert!(Arc::ptr_eq(&first, &again(500)) && Arc::ptr_eq(&first, &again(999)));
        assert!(!Arc::ptr_eq(&first, &seen.of(4, now)));
        assert!(!Arc::ptr_eq(&first, &again(1000)));
    }
}
