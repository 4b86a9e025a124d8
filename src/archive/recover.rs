//! At start: what a crash left is put in order. Files that were growing are scanned, their torn tails cut, their rows
//! completed; files that no row speaks of yet get one; files that have no name yet get theirs where they hold a whole
//! fragment, and else go.
//!
//! The work is bounded by what can have happened since the last rows were written: for each stream, only directories
//! from its last row's hour on, and that of the last hour, are looked at. An index without any row is rebuilt in the
//! background instead, once the files of the last hour have their names.

use super::{
    Error,
    index::{Change, Index, Mark},
    layout::{Hour, Name},
    scan::{self, Read, Torn},
    unfinished, walk,
};
use crate::{
    base::Wall,
    disk::{Disk, Files},
    model::{Segment, StreamKey},
};
use futures_util::{StreamExt, stream};
use std::{collections::BTreeSet, path::Path, time::Duration};

/// Files that are scanned at the same time.
pub(super) const SCANS_MAX: usize = 8;
/// Growing rows that are looked for: more than there can be streams.
const GROWING_ROWS_MAX: usize = 100_000;
/// A stream with more files that no row speaks of was not left so by a crash; it is indexed in the background.
const NEW_FILES_MAX: usize = 256;

/// Where the last row lies in the future, because a camera's clock was wrong, files from this long ago are looked at.
const LOOK_BACK: Duration = Duration::from_secs(3600);

/// What was found at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Files that were indexed anew or completed.
    pub segments: u64,
    /// Files that had a torn tail, which was cut off.
    pub torn: u64,
    /// Files that held nothing that plays, and were removed.
    pub removed: u64,
    /// Rows whose file is not there; they went.
    pub missing: u64,
    /// Files that could not be understood; they were left as they are.
    pub damaged: u64,
    /// Entries that are not ours.
    pub foreign: u64,
    /// The footage was recorded with another index, and this one is new: the other one was lost.
    pub adopted: bool,
    /// The index lacks footage that is not just what a crash left: a rebuild follows in the background.
    pub wants_reindex: bool,
}

/// A file to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    stream: StreamKey,
    name: Name,
    /// It has no name yet: this is the one that it is to get.
    unfinished: bool,
}

/// Finds what to put in order and does it on the disk; answers the changes that the index is to take.
pub async fn recover(dir: &Path, index: &Index, disk: &Disk, now: Wall) -> Result<(Recovered, Vec<Change>), Error> {
    let (dir_too, index_too) = (dir.to_owned(), index.clone());
    let (tasks, mut recovered) = disk.run(move |files| survey(files, &dir_too, &index_too, now)).await??;
    let mut changes = Vec::new();
    let mut scans = stream::iter(tasks)
        .map(|task| {
            let (dir, index) = (dir.to_owned(), index.clone());
            disk.run(move |files| settle(files, &dir, &index, task))
        })
        .buffer_unordered(SCANS_MAX);
    while let Some(mended) = scans.next().await {
        let (change, part) = mended??;
        changes.extend(change);
        recovered.segments += part.segments;
        recovered.torn += part.torn;
        recovered.removed += part.removed;
        recovered.missing += part.missing;
        recovered.damaged += part.damaged;
    }
    if index.count() == 0 {
        // The rebuild lists them: an index with a few rows would pass for a whole one if it were ended before that.
        changes.clear();
    }
    Ok((recovered, changes))
}

/// Which files to look at. Blocks.
fn survey(files: &Files, dir: &Path, index: &Index, now: Wall) -> Result<(BTreeSet<Task>, Recovered), Error> {
    let mut recovered = Recovered::default();
    let (streams, foreign) = walk::streams(files, dir)?;
    recovered.foreign = foreign;
    let mut tasks: BTreeSet<Task> = index.marked(Mark::Growing, GROWING_ROWS_MAX)?.iter().map(task_of).collect();
    let lately = Hour::of(now.minus(LOOK_BACK));
    let rebuilds = index.count() == 0;
    recovered.wants_reindex = rebuilds && !streams.is_empty();
    for stream in streams {
        let newest = index.newest(&stream)?.map(|row| Hour::of(row.start).min(lately));
        let from = if rebuilds { Some(lately) } else { newest };
        let found = walk::segments(files, dir, &stream, from)?;
        recovered.foreign += found.foreign;
        let task = |name, unfinished| Task { stream: stream.clone(), name, unfinished };
        tasks.extend(found.unfinished.into_iter().map(|name| task(name, true)));
        if rebuilds {
            continue;
        }
        let mut new = Vec::new();
        for name in found.segments {
            if index.named(&stream, name)?.is_none() {
                new.push(task(name, false));
            }
        }
        if new.len() > NEW_FILES_MAX {
            recovered.wants_reindex = true;
            continue;
        }
        tasks.extend(new);
    }
    Ok((tasks, recovered))
}

fn task_of(row: &Segment) -> Task {
    let name = Name { start_ms: row.start.millis(), suffix: row.name_suffix };
    Task { stream: row.stream.clone(), name, unfinished: false }
}

/// Puts one file in order that may have no name yet. Blocks.
fn settle(files: &Files, dir: &Path, index: &Index, mut task: Task) -> Result<(Option<Change>, Recovered), Error> {
    if task.unfinished {
        match unfinished::name(files, dir, &task.stream, task.name) {
            Ok(Some(name)) => task = Task { name, unfinished: false, ..task },
            Ok(None) => return Ok((None, Recovered { removed: 1, ..Recovered::default() })),
            Err(error) => {
                // It is there for the next start, and no reason not to begin with this one.
                tracing::warn!(stream = %task.stream, %error, "a file that a crash left without its name stays so");
                return Ok((None, Recovered { damaged: 1, ..Recovered::default() }));
            }
        }
    }
    mend(files, dir, index, &task)
}

/// Puts one file in order. Blocks.
fn mend(files: &Files, dir: &Path, index: &Index, task: &Task) -> Result<(Option<Change>, Recovered), Error> {
    let mut done = Recovered::default();
    let path = scan::path_of(dir, &task.stream, task.name);
    let row = index.named(&task.stream, task.name)?;
    let drop_row = row.map(|row| Change::Drop { stream: row.stream, start: row.start });
    if files.len_of(&path)?.is_none() {
        done.missing = 1;
        return Ok((drop_row, done));
    }
    let change = match scan::read(files, dir, &task.stream, task.name, Torn::Cut)? {
        Read::Segment(segment, table, tail) => {
            done.segments = 1;
            done.torn = u64::from(tail == crate::media::fmp4::read::Tail::Torn);
            Some(Change::Put { segment: *segment, table: Some(table), mark: Some(Mark::Unhashed) })
        }
        Read::Empty => {
            files.remove_file(&path)?;
            done.removed = 1;
            drop_row
        }
        Read::Damaged(what) => {
            tracing::warn!(path = %path.display(), what, "a file cannot be indexed and is left as it is");
            done.damaged = 1;
            drop_row
        }
    };
    Ok((change, done))
}
