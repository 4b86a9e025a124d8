//! What was recorded and what is missing, to the picture: each simulated picture carries a counter and its time.

use super::site::Mount;
use crate::{
    base::Wall,
    model::span::JOIN_MICROS_MAX,
    sim::Mark,
    tests::harness::{Api, Site, files, marks_of_file},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The streams of an evening that is over.
pub(super) struct Streams {
    pub recordings: PathBuf,
    /// Key, number of the NVR, channel.
    pub streams: Vec<(String, usize, u32)>,
    /// What the ledger says, by key.
    pub rows: BTreeMap<String, Vec<Row>>,
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

/// A row of the ledger: from when to when, and why.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub start: Wall,
    pub end: Wall,
    pub cause: String,
}

/// All rows of a stream.
pub(super) async fn rows(api: &Api, key: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.json(&format!("/api/v1/gaps?stream={key}&limit=1000{cursor}")).await;
        for gap in page["gaps"].as_array().unwrap() {
            let at = |name: &str| serde_json::from_value::<Wall>(gap[name].clone());
            // A gap that lasts has no end; none does once every stream records.
            let end = at("end").unwrap_or_else(|_| panic!("{key} records, and has the open gap {gap}"));
            rows.push(Row { start: at("start").unwrap(), end, cause: gap["cause"].as_str().unwrap().to_owned() });
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// The ledger knows a moment from the frames' own times, which follow the host's clock to within this much.
const TIMES_AGREE: Duration = Duration::from_millis(400);

impl Row {
    /// Whether it tells of this loss.
    pub(super) fn tells_of(&self, loss: &Loss) -> bool {
        self.start >= loss.last_before.minus(TIMES_AGREE) && self.end <= loss.first_after.plus(TIMES_AGREE)
    }
}

impl Loss {
    /// Whether these rows, which tell of it, leave nothing of it out. What is shorter than a quarter of a second is no
    /// gap.
    pub(super) fn is_told_by(&self, rows: &[&Row]) -> bool {
        let told: i64 = rows.iter().map(|r| r.end.micros_since(r.start)).sum();
        let missing = self.first_after.micros_since(self.last_before);
        missing <= JOIN_MICROS_MAX + TIMES_AGREE.as_micros() as i64
            || (told - missing).abs() <= 2 * TIMES_AGREE.as_micros() as i64
    }
}
