//! A directory that is served: from a place in it to an open file and what is known of it.

use super::{
    answer::Facts,
    asked::Asked,
    coding::{Coding, may_be_coded},
    known::{Entry, Known},
    open::{self, Opened},
    place::Place,
};
use crate::disk::Kept;
use arc_swap::ArcSwapOption;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

/// For how long an open directory is taken for the one that its name means.
const DIRECTORY_MICROS_MAX: u64 = 1_000_000;

/// Types that the crate's list has otherwise than the web does, or not at all.
const TYPES: [(&str, &str); 4] = [
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("map", "application/json"),
    ("ts", "video/mp2t"),
    ("webmanifest", "application/manifest+json"),
];
/// What nothing is known of.
const TYPE_UNKNOWN: &str = "application/octet-stream";

/// A directory.
pub struct Site {
    dir: Arc<Path>,
    /// What is not there is answered by the index of the directory.
    spa: bool,
    open: ArcSwapOption<OpenDir>,
}

struct OpenDir {
    fd: OwnedFd,
    at_micros: u64,
    known: Known,
}

/// What lies at a place.
#[derive(Debug)]
pub(super) enum Found {
    File(Arc<Kept>, Facts),
    /// A directory with an index: its name wants a slash.
    WantsSlash,
    Missing,
    Denied,
    /// It would have to be waited for.
    NotInMemory,
    Failed(io::Error),
}

impl Site {
    /// The directory, which need not be there yet. `spa`: what is not there is answered by its index.
    pub fn new(dir: Arc<Path>, spa: bool) -> Self {
        Self { dir, spa, open: ArcSwapOption::empty() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Looks. `cached`: only at what is in memory, and does not block.
    pub(super) fn look(&self, place: &Place, asked: &Asked, now_micros: u64, cached: bool) -> Found {
        if let Err(otherwise) = self.refresh(now_micros, cached) {
            return otherwise;
        }
        let open = self.open.load();
        let Some(dir) = open.as_ref() else { return Found::Missing };
        let index;
        let wanted = match place.is_dir {
            true => {
                index = place.index();
                &index
            }
            false => place,
        };
        if let Some(found) = dir.known.find(dir.fd.as_fd(), wanted, asked) {
            return found;
        }
        match open::open(dir.fd.as_fd(), wanted, cached) {
            Opened::Directory if !place.is_dir => match open::open(dir.fd.as_fd(), &place.index(), cached) {
                Opened::File(..) => Found::WantsSlash,
                Opened::Missing | Opened::Directory if self.spa => self.index(dir, asked, cached),
                other => otherwise(other),
            },
            Opened::Missing | Opened::Directory if self.spa => self.index(dir, asked, cached),
            opened => serve(dir, wanted, opened, asked, cached),
        }
    }

    fn index(&self, dir: &OpenDir, asked: &Asked, cached: bool) -> Found {
        let Some(place) = Place::of(b"/").map(|root| root.index()) else { return Found::Missing };
        if let Some(found) = dir.known.find(dir.fd.as_fd(), &place, asked) {
            return found;
        }
        serve(dir, &place, open::open(dir.fd.as_fd(), &place, cached), asked, cached)
    }

    /// Sees to it that the open directory is the one of that name.
    fn refresh(&self, now_micros: u64, cached: bool) -> Result<(), Found> {
        let is_fresh = |dir: &Arc<OpenDir>| now_micros.saturating_sub(dir.at_micros) < DIRECTORY_MICROS_MAX;
        if self.open.load().as_ref().is_some_and(is_fresh) {
            return Ok(());
        }
        if cached {
            return Err(Found::NotInMemory);
        }
        match open::directory(&self.dir) {
            Ok(fd) => self.open.store(Some(Arc::new(OpenDir { fd, at_micros: now_micros, known: Known::default() }))),
            Err(error) => {
                self.open.store(None);
                tracing::warn!(dir = %self.dir.display(), %error, "the directory of a route cannot be opened");
                return Err(Found::Missing);
            }
        }
        Ok(())
    }
}

fn otherwise(opened: Opened) -> Found {
    match opened {
        Opened::Denied => Found::Denied,
        Opened::NotInMemory => Found::NotInMemory,
        Opened::Failed(error) => Found::Failed(error),
        Opened::File(..) | Opened::Directory | Opened::Missing => Found::Missing,
    }
}

/// A file that is there, in the coding that the client likes best.
fn serve(dir: &OpenDir, place: &Place, opened: Opened, asked: &Asked, cached: bool) -> Found {
    let Opened::File(file, looks) = opened else { return otherwise(opened) };
    let content_type = content_type(place.ending());
    let mut entry = Entry::new(content_type, place, file, looks);
    for coding in Coding::ALL.into_iter().filter(|_| may_be_coded(content_type)) {
        let name = place.with(coding.ending());
        match open::open(dir.fd.as_fd(), &name, cached) {
            Opened::NotInMemory => return Found::NotInMemory,
            Opened::File(file, looks) => entry.beside(coding, name, file, looks),
            // A file beside that cannot be had is no reason not to send the one that can.
            _ => {}
        }
    }
    dir.known.keep(place, entry, asked)
}

fn content_type(ending: &str) -> &'static str {
    let own = TYPES.iter().find(|(name, _)| ending.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind);
    own.or_else(|| mime_guess::from_ext(ending).first_raw()).unwrap_or(TYPE_UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_the_web() {
        for (ending, expected) in [
            ("html", "text/html"),
            ("JS", "text/javascript"),
            ("ts", "video/mp2t"),
            ("css", "text/css"),
            ("svg", "image/svg+xml"),
            ("woff2", "font/woff2"),
            ("mp4", "video/mp4"),
            ("m3u8", "application/vnd.apple.mpegurl"),
            ("wasm", "application/wasm"),
            ("json", "application/json"),
            ("", TYPE_UNKNOWN),
            ("unheard-of", TYPE_UNKNOWN),
        ] {
            assert_eq!(content_type(ending), expected, "{ending}");
        }
    }
}
