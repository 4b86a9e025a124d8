//! Files that were asked for a moment ago, kept open: a request for one costs a look whether the name still means it, in the
//! state in which it was opened. They go with the open directory that they were found in, after a second.

use super::{
    answer::Facts,
    asked::Asked,
    coding::Coding,
    open::{self, Looks},
    place::Place,
    site::Found,
};
use crate::disk::{File, Kept};
use std::{
    collections::HashMap,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
};

/// Names of one directory; each is up to three descriptors. Beyond that all are let go, and found again.
const NAMES_MAX: usize = 128;

/// What is open of a directory.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<Place, Arc<Entry>>>);

/// A file, and those beside it that say the same in fewer bytes.
pub(super) struct Entry {
    content_type: &'static str,
    /// The plain one first, the others in the order in which they are liked.
    versions: Vec<Version>,
}

struct Version {
    coding: Option<Coding>,
    place: Place,
    file: Arc<Kept>,
    looks: Looks,
}

impl Entry {
    pub(super) fn new(content_type: &'static str, place: &Place, file: File, looks: Looks) -> Self {
        let mut entry = Self { content_type, versions: Vec::with_capacity(1) };
        entry.add(None, place.clone(), file, looks);
        entry
    }

    pub(super) fn beside(&mut self, coding: Coding, place: Place, file: File, looks: Looks) {
        self.add(Some(coding), place, file, looks);
    }

    fn add(&mut self, coding: Option<Coding>, place: Place, file: File, looks: Looks) {
        let file = Arc::new(Kept::new(file, Arc::default()));
        self.versions.push(Version { coding, place, file, looks });
    }

    /// The version that the client likes best.
    fn choose(&self, asked: &Asked) -> &Version {
        let (mut best, mut most) = (&self.versions[0], 0);
        for version in &self.versions[1..] {
            let liked = version.coding.map_or(0, |coding| coding.liked(asked.accept_encoding.as_deref()));
            if liked > most {
                (best, most) = (version, liked);
            }
        }
        best
    }

    fn found(&self, version: &Version) -> Found {
        let facts = Facts {
            len: version.looks.len,
            modified: version.looks.modified,
            content_type: self.content_type,
            coding: version.coding,
            varies: self.versions.len() > 1,
        };
        Found::File(version.file.clone(), facts)
    }
}

impl Known {
    /// What lies at a place, if it is known and still so. Waits for no disk: what was opened a moment ago is in memory.
    pub(super) fn find(&self, dir: BorrowedFd<'_>, place: &Place, asked: &Asked) -> Option<Found> {
        let entry = self.all().get(place).cloned()?;
        let version = entry.choose(asked);
        if open::look_again(dir, &version.place) == Some(version.looks) {
            return Some(entry.found(version));
        }
        self.all().remove(place);
        None
    }

    /// Keeps what lies at a place: what of it the client gets.
    pub(super) fn keep(&self, place: &Place, entry: Entry, asked: &Asked) -> Found {
        let found = entry.found(entry.choose(asked));
        let mut all = self.all();
        if all.len() >= NAMES_MAX {
            all.clear();
        }
        all.insert(place.clone(), Arc::new(entry));
        found
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
