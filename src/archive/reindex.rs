//! Every row rebuilt from the files alone: what the index says is not believed, but for the checksum of a file that is
//! still as long as it was. Rows without a file go; damaged files are reported and left where they are.
//!
//! It may run beside recording: segments that grow are left to the recorder, and a row is dropped only after its file
//! was looked for once more.

use super::{
    Archive, Error,
    index::{Change, Mark},
    layout::Name,
    recover::SCANS_MAX,
    scan::{self, Read, Torn},
    walk::{self, Found},
};
use crate::{
    base::Wall,
    disk::Files,
    model::{Segment, StreamKey, Sum},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Damaged files that are named in a summary; beyond them they are only counted.
const DAMAGED_NAMED_MAX: usize = 1000;
/// Changes that are committed together.
const CHANGES_MAX: usize = 128;

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Streams that have a directory or rows.
    pub streams: u64,
    /// Those that are done.
    pub streams_done: u64,
    /// Files of the streams begun so far.
    pub files: u64,
    /// Those that are done.
    pub files_done: u64,
}

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows after it.
    pub segments: u64,
    /// Files that had no row, or a wrong one.
    pub mended: u64,
    /// Rows that went, because their file is not there or holds nothing that plays.
    pub dropped: u64,
    /// Rows of gaps that were put right.
    pub gaps_mended: u64,
    /// Files that could not be understood.
    pub damaged: u64,
    /// Their names, as many as are worth naming.
    pub damaged_files: Vec<PathBuf>,
    /// Entries that are not ours.
    pub foreign: u64,
}

/// What one file came to.
enum Outcome {
    /// The row with this start is as it should be.
    Right(Wall),
    /// The row with this start is this.
    Change(Wall, Box<Change>),
    /// Nothing to index, for this reason.
    Damaged(PathBuf, String),
    /// Gone meanwhile, or nothing that plays.
    Nothing,
}

/// Rebuilds all rows.
pub(super) async fn reindex(archive: &Archive, mut progress: impl FnMut(Progress)) -> Result<Summary, Error> {
    let (dir, index) = (archive.dir().to_owned(), archive.index().clone());
    let (mut streams, foreign) = archive
        .disk()
        .run(move |files| -> Result<_, Error> {
            let (found, foreign) = walk::streams(files, &dir)?;
            let mut streams: BTreeSet<StreamKey> = found.into_iter().collect();
            streams.extend(index.usage()?.into_keys());
            Ok((streams, foreign))
        })
        .await??;
    streams.extend(archive.ledger_streams().await?);
    let mut summary = Summary { foreign, ..Summary::default() };
    let mut at = Progress { streams: streams.len() as u64, ..Progress::default() };
    for stream in streams {
        progress(at);
        of_stream(archive, &stream, &mut summary, &mut at, &mut progress).await?;
        let flaws = archive.ledger().flaws(&stream, archive.index(), archive.growing().of(&stream), archive.disk());
        summary.gaps_mended += archive.ledger().mend(&stream, &flaws.await?);
        at.streams_done += 1;
    }
    progress(at);
    summary.segments = archive.index().count();
    Ok(summary)
}

async fn of_stream(
    archive: &Archive,
    stream: &StreamKey,
    summary: &mut Summary,
    at: &mut Progress,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    let (dir, of) = (archive.dir().to_owned(), stream.clone());
    let Found { segments, foreign, .. } =
        archive.disk().run(move |files| walk::segments(files, &dir, &of, None)).await??;
    summary.foreign += foreign;
    at.files += segments.len() as u64;
    // Of each file that was listed, the start that it says itself; None: nothing to index.
    let mut seen: BTreeMap<Name, Option<Wall>> = segments.iter().map(|name| (*name, None)).collect();
    let mut changes = Vec::new();
    let look = |name| async move { (name, look(archive, stream, name).await) };
    let mut outcomes = stream::iter(segments).map(look).buffer_unordered(SCANS_MAX);
    while let Some((name, outcome)) = outcomes.next().await {
        at.files_done += 1;
        match outcome? {
            Outcome::Nothing => {}
            Outcome::Right(start) => {
                seen.insert(name, Some(start));
            }
            Outcome::Change(start, change) => {
                seen.insert(name, Some(start));
                summary.mended += 1;
                changes.push(*change);
            }
            Outcome::Damaged(path, what) => {
                tracing::warn!(path = %path.display(), what, "a file cannot be indexed and is left as it is");
                summary.damaged += 1;
                if summary.damaged_files.len() < DAMAGED_NAMED_MAX {
                    summary.damaged_files.push(path);
                }
            }
        }
        if changes.len() >= CHANGES_MAX {
            archive.apply_changes(std::mem::take(&mut changes)).await?;
            progress(*at);
        }
    }
    drop(outcomes);
    let drops = rows_without_file(archive, stream, seen).await?;
    // What was not found is gone only where the disk was there all the while.
    archive.confirm().await?;
    summary.dropped += drops.len() as u64;
    changes.extend(drops);
    changes.push(Change::Recount(stream.clone()));
    archive.apply_changes(changes).await
}

async fn look(archive: &Archive, stream: &StreamKey, name: Name) -> Result<Outcome, Error> {
    let grows = |s: &Segment| s.start.millis() == name.start_ms && s.name_suffix == name.suffix;
    if let Some(segment) = archive.growing().of(stream).into_iter().find(grows) {
        return Ok(Outcome::Right(segment.start));
    }
    let (dir, index, stream) = (archive.dir().to_owned(), archive.index().clone(), stream.clone());
    let look = move |files: &Files| -> Result<Outcome, Error> {
        let path = scan::path_of(&dir, &stream, name);
        if files.len_of(&path)?.is_none() {
            return Ok(Outcome::Nothing);
        }
        // A file that is closed does not grow any more: what is torn behind it goes.
        let closed = index.named(&stream, name)?.is_some_and(|row| row.closed);
        let torn = if closed { Torn::Cut } else { Torn::Leave };
        let (segment, table) = match scan::read(files, &dir, &stream, name, torn)? {
            Read::Segment(segment, table, _) => (*segment, table),
            Read::Empty => return Ok(Outcome::Nothing),
            Read::Damaged(what) => return Ok(Outcome::Damaged(path, what)),
        };
        let row = index.row(&stream, segment.start)?;
        let sum = row.as_ref().filter(|r| r.bytes == segment.bytes).map_or(Sum::None, |r| r.sum);
        let segment = Segment { sum, ..segment };
        let right =
            row.as_ref() == Some(&segment) && index.table(&stream, segment.start)?.as_ref() == Some(table.as_ref());
        let start = segment.start;
        if right {
            return Ok(Outcome::Right(start));
        }
        let mark = sum.is_none().then_some(Mark::Unhashed);
        Ok(Outcome::Change(start, Box::new(Change::Put { segment, table: Some(table), mark })))
    };
    archive.disk().run(look).await?
}

/// Rows that no file was seen for, each looked for once more: it may be younger than the listing. Where two rows name
/// one file, the one that the file does not confirm goes.
async fn rows_without_file(
    archive: &Archive,
    stream: &StreamKey,
    seen: BTreeMap<Name, Option<Wall>>,
) -> Result<Vec<Change>, Error> {
    let (dir, index, stream) = (archive.dir().to_owned(), archive.index().clone(), stream.clone());
    let find = move |files: &Files| -> Result<Vec<Change>, Error> {
        let mut drops = Vec::new();
        for row in index.rows(&stream) {
            let row = row?;
            let name = Name { start_ms: row.start.millis(), suffix: row.name_suffix };
            let there = match seen.get(&name) {
                Some(start) => *start == Some(row.start),
                None => files.len_of(&scan::path_of(&dir, &stream, name))?.is_some(),
            };
            if !there {
                drops.push(Change::Drop { stream: row.stream, start: row.start });
            }
        }
        Ok(drops)
    };
    archive.disk().run(find).await?
}
