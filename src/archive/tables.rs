//! The sample tables that playback used last, so that a player that seeks does not read them again and again.

use crate::{
    base::Wall,
    model::{SampleTable, StreamKey},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Tables that are kept: an hour of one stream, at 10 to 20 KiB each.
const TABLES_MAX: usize = 128;

/// The tables, the one used last at the back.
#[derive(Default)]
pub struct Tables(Mutex<VecDeque<(StreamKey, Wall, Arc<SampleTable>)>>);

impl Tables {
    /// The table of a segment, if it is here.
    pub fn get(&self, stream: &StreamKey, start: Wall) -> Option<Arc<SampleTable>> {
        self.with(|tables| {
            let at = tables.iter().position(|(s, t, _)| *t == start && s == stream)?;
            let entry = tables.remove(at)?;
            let table = entry.2.clone();
            tables.push_back(entry);
            Some(table)
        })
    }

    /// Keeps a table, in the place of the one that was not used for the longest time.
    pub fn put(&self, stream: &StreamKey, start: Wall, table: Arc<SampleTable>) {
        self.with(|tables| {
            tables.retain(|(s, t, _)| *t != start || s != stream);
            tables.push_back((stream.clone(), start, table));
            if tables.len() > TABLES_MAX {
                tables.pop_front();
            }
        });
    }

    /// Forgets all: the rows were rebuilt.
    pub fn clear(&self) {
        self.with(VecDeque::clear);
    }

    fn with<T>(&self, f: impl FnOnce(&mut VecDeque<(StreamKey, Wall, Arc<SampleTable>)>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
