//! What was recorded and what is missing, to the picture: each simulated picture carries a counter and its true time.
//!
//! Two things are held apart. What is *lost* is told by the counters, and lies in true time. What is *missing* in the
//! footage lies in the time of the host's clock, by which footage is filed and the ledger speaks; where that clock was
//! set, the two differ.

use super::site::{Mount, Stream};
use crate::{
    base::Wall,
    model::span::JOIN_MICROS_MAX,
    sim::Mark,
    tests::harness::{Api, Recorded, Site, files, read_file},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The streams of an evening that is over.
pub(super) struct Streams {
    pub recordings: PathBuf,
    pub streams: Vec<Stream>,
    /// What the ledger says, by key.
    pub rows: BTreeMap<String, Vec<Row>>,
    /// When it was asked.
    pub asked: Wall,
    pub _disk: Option<Mount>,
    pub _site: Site,
}

/// An interval of true time in which a stream may have been struck.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub nvr: usize,
    pub channel: u32,
    pub from: Wall,
    pub to: Wall,
}

/// A run of pictures that no file has.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// From when the last picture before it was taken until the first one after it was.
    pub interval: Interval,
    pub frames: u64,
}

/// A piece of the host's time without footage.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    start: Wall,
    pub end: Wall,
    /// What was true time then, by what lies before it and by what lies after it.
    pub intervals: [Interval; 2],
}

/// What one stream has and has not.
pub(super) struct Found {
    pub recorded: u64,
    pub segments: u64,
    pub losses: Vec<Loss>,
    pub holes: Vec<Hole>,
    /// Where the first picture of all is filed.
    pub begun: Wall,
}

/// A picture, where it was filed.
#[derive(Clone, Copy)]
struct Filed {
    mark: Mark,
    at: Wall,
}

/// From one picture to the next, and half as much again: what is longer between two that do not follow one another is a
/// hole.
const NEXT_MICROS_MAX: i64 = 60_000;
/// An orderly stop writes what has arrived; this much was on its way.
const TAIL_FRAMES_MAX: u64 = 25;

/// Reads all files of a stream. Fails where a picture is there twice or out of place, or the last ones are not.
pub(super) fn account(ended: &Streams, stream: &Stream) -> Found {
    let key = &stream.key;
    let mut all: Vec<Recorded> = files(&ended.recordings, key).iter().map(|f| read_file(f)).collect();
    all.retain(|file| !file.marks.is_empty());
    all.sort_by_key(|file| file.marks[0].counter);
    let filed = |file: &Recorded| {
        // How far the host's clock was off when it was begun.
        let off = file.start.micros_since(file.marks[0].wall);
        file.marks.iter().map(move |&mark| Filed { mark, at: mark.wall.plus_micros(off) }).collect::<Vec<_>>()
    };
    let mut pictures: Vec<Filed> = all.iter().flat_map(filed).collect();
    let last = pictures.last().unwrap_or_else(|| panic!("nothing of {key} was recorded")).mark.counter;
    assert!(last + TAIL_FRAMES_MAX >= stream.sent, "{key} ends with {last}, and {} was sent", stream.sent);
    let begun = pictures[0].at;
    let interval = |from, to| Interval { nvr: stream.nvr, channel: stream.channel, from, to };
    let mut losses = Vec::new();
    for pair in pictures.windows(2) {
        let (before, after) = (pair[0].mark, pair[1].mark);
        assert!(after.counter > before.counter, "{key}: {before:?} is followed by {after:?}");
        let frames = after.counter - before.counter - 1;
        if frames > 0 {
            losses.push(Loss { interval: interval(before.wall, after.wall), frames });
        }
    }
    pictures.sort_by_key(|picture| picture.at);
    let mut holes = Vec::new();
    for pair in pictures.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let long = after.at.micros_since(before.at);
        let follows = after.mark.counter == before.mark.counter + 1;
        // What lies ahead of the time when the ledger was asked is none of its business yet.
        if after.at <= ended.asked && long > if follows { JOIN_MICROS_MAX } else { NEXT_MICROS_MAX } {
            let behind = interval(before.mark.wall, before.mark.wall.plus_micros(long));
            let ahead = interval(after.mark.wall.plus_micros(-long), after.mark.wall);
            holes.push(Hole { start: before.at, end: after.at, intervals: [behind, ahead] });
        }
    }
    Found { recorded: pictures.len() as u64, segments: all.len() as u64, losses, holes, begun }
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
    /// Whether it tells of this hole.
    pub(super) fn tells_of(&self, hole: &Hole) -> bool {
        self.start >= hole.start.minus(TIMES_AGREE) && self.end <= hole.end.plus(TIMES_AGREE)
    }

    /// Whether it tells of a part of it, where the host's clock was right.
    pub(super) fn overlaps(&self, loss: &Loss) -> bool {
        self.start < loss.interval.to && self.end > loss.interval.from
    }

    /// Whether it lies where pictures are lost, though others may be filed there: those of a clock that was set.
    pub(super) fn lies_in(&self, loss: &Loss) -> bool {
        let Interval { from, to, .. } = loss.interval;
        self.start >= from.minus(TIMES_AGREE) && self.end <= to.plus(TIMES_AGREE)
    }
}

impl Hole {
    /// Whether these rows, which tell of it, leave nothing of it out. What is shorter than a quarter of a second is no
    /// gap.
    pub(super) fn is_told_by(&self, rows: &[&Row]) -> bool {
        let told: i64 = rows.iter().map(|r| r.end.micros_since(r.start)).sum();
        let missing = self.end.micros_since(self.start);
        missing <= JOIN_MICROS_MAX + TIMES_AGREE.as_micros() as i64
            || (told - missing).abs() <= 2 * TIMES_AGREE.as_micros() as i64
    }
}
