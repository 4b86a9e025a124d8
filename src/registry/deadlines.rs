//! When what is due. Pure: `now` is passed in.

use super::pace::Moment;
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// One deadline a key at most.
#[derive(Clone, Debug)]
pub(super) struct Deadlines<K> {
    by_time: BTreeSet<(Moment, K)>,
    by_key: HashMap<K, Moment>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Ord + Hash + Eq + Clone> Deadlines<K> {
    /// `key` is due then, and not when it was due before.
    pub fn set(&mut self, key: K, at: Moment) {
        if let Some(before) = self.by_key.insert(key.clone(), at) {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    /// `key` is not due any more.
    pub fn clear(&mut self, key: &K) {
        if let Some(before) = self.by_key.remove(key) {
            self.by_time.remove(&(before, key.clone()));
        }
    }

    /// When `key` is due.
    pub fn of(&self, key: &K) -> Option<Moment> {
        self.by_key.get(key).copied()
    }

    /// When the first one is due.
    pub fn next(&self) -> Option<Moment> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Those that are due, the oldest first, `most` at most. They stay until they are set or cleared.
    pub fn due(&self, now: Moment, most: usize) -> Vec<K> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).take(most).map(|(_, key)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_holds() {
        let mut deadlines = Deadlines::default();
        deadlines.set("a", 10);
        deadlines.set("b", 20);
        deadlines.set("a", 30);
        assert_eq!((deadlines.next(), deadlines.of(&"a")), (Some(20), Some(30)));
        assert_eq!(deadlines.due(30, 9), ["b", "a"]);
        assert_eq!(deadlines.due(30, 1), ["b"]);
        deadlines.clear(&"b");
        assert_eq!((deadlines.due(29, 9), deadlines.next()), (vec![], Some(30)));
    }
}
