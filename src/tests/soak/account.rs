//! What was recorded and what is missing, to the picture: each simulated picture carries a counter and its time.

use super::site::Mount;
use crate::{
    base::Wall,
    sim::Mark,
    tests::harness::{Site, files, marks_of_file},
};
use std::path::PathBuf;

/// The streams of an evening that is over.
pub(super) struct Streams {
    pub recordings: PathBuf,
    /// Key, number of the NVR, channel.
    pub streams: Vec<(String, usize, u32)>,
    pub _disk: Option<Mount>,
    pub _site: Site,
}

/// A run of pictures that no file has.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub nvr: usize,
    pub channel: u32,
    /// When the last picture before it was taken.
    pub last_before: Wall,
    /// When the first picture after it was taken.
    pub first_after: Wall,
    frames: u64,
}

impl Loss {
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }
}

/// What one stream has and has not.
pub(super) struct Found {
    pub recorded: u64,
    pub losses: Vec<Loss>,
}

/// Reads all files of a stream. Fails where a picture is there twice or out of place.
pub(super) fn losses(ended: &Streams, (key, nvr, channel): &(String, usize, u32)) -> Found {
    let marks: Vec<Mark> = files(&ended.recordings, key).iter().flat_map(|f| marks_of_file(f)).collect();
    assert!(!marks.is_empty(), "nothing of {key} was recorded");
    let mut losses = Vec::new();
    for pair in marks.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        assert!(after.counter > before.counter, "{key}: {before:?} is followed by {after:?}");
        let frames = after.counter - before.counter - 1;
        if frames > 0 {
            let (last_before, first_after) = (before.wall, after.wall);
            losses.push(Loss { nvr: *nvr, channel: *channel, last_before, first_after, frames });
        }
    }
    Found { recorded: marks.len() as u64, losses }
}
