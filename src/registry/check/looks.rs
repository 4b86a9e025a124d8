//! What the last look at each instance saw: for people, in memory alone. The registry keeps verdicts, which change
//! seldom; this changes with every look.

use crate::{base::Wall, model::Health, registry::Who};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A look that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was over.
    pub at: Wall,
    /// What it alone says.
    pub health: Health,
    /// What was seen.
    pub output: Arc<str>,
    /// How many in a row went so.
    pub in_a_row: u32,
}

/// The last ones.
#[derive(Debug, Default)]
pub(in crate::registry) struct Looks(Mutex<HashMap<Who, Look>>);

impl Looks {
    /// The last one at an instance.
    pub fn of(&self, key: &Who) -> Option<Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub fn put(&self, key: Who, look: Look) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, look);
    }

    /// Forgets all but these.
    pub fn keep(&self, is_watched: impl Fn(&Who, &Look) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|who, look| is_watched(who, look));
    }
}
