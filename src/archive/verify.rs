//! Rows and files compared both ways, rows of gaps with each other and with footage, and nothing changed. It may run beside recording: what grows, and what was opened,
//! closed or deleted while it was looked at, is looked at again before it is told.

use super::{
    Archive, Error,
    check::{self, Depth, Fault},
    health,
    index::Mark,
    layout::Name,
    ledger::Flaw,
    scan,
    walk::{self, Found},
};
use crate::{
    base::Wall,
    disk::Files,
    model::{Segment, StreamKey},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

/// Findings that are named in a report; beyond them they are only counted.
const FINDINGS_NAMED_MAX: usize = 1000;
/// What looked wrong is looked at once more after so long: a commit or a deletion may just have been on its way.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Rows that are counted as still to be hashed, at most.
const UNHASHED_COUNTED_MAX: usize = 100_000;
/// Beside recording it rests so many times as long as it worked: the disk is recording's.
const REST_FACTOR: u32 = 3;

/// How a comparison is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thorough {
    /// Every byte is read: the whole structure, the sample table and the checksum.
    pub deep: bool,
    /// The disk is shared with recording.
    pub gentle: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What kind of fault.
    pub fault: Fault,
    /// Whose footage.
    pub stream: StreamKey,
    /// The file, whether or not it is there; of a gap, the stream's directory.
    pub path: PathBuf,
    /// What was found.
    pub what: String,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Report {
    /// Streams that have a directory or rows.
    pub streams: u64,
    /// Rows compared with their files.
    pub rows: u64,
    /// Files found.
    pub files: u64,
    /// Files that are being written, which were left alone.
    pub growing: u64,
    /// Bytes that were read and summed up.
    pub bytes_read: u64,
    /// Rows that have no checksum yet, or whose file could not be read for one.
    pub without_checksum: u64,
    /// Files that end elsewhere than their rows say since their last write failed: whoever sums them up makes both agree,
    /// which the daemon does within seconds once the disk is well.
    pub unsettled: u64,
    /// Files whose first fragment was not durable yet when they were written last: the next start lists those that hold
    /// one.
    pub unfinished: u64,
    /// Entries that are not of skyvis.
    pub foreign: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Them all, as many as are worth naming.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many faults were found.
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// What to do about it; None where nothing is wrong.
    pub fn advice(&self) -> Option<&'static str> {
        let damaged = [Fault::Damaged, Fault::Checksum].iter().any(|f| self.faults.contains_key(f.as_str()));
        match (self.faults(), damaged) {
            (0, _) => None,
            (_, false) => Some("run `skyvis reindex`: it makes every row anew from the files"),
            (_, true) => Some(
                "run `skyvis reindex`: it makes every row anew from the files; files that are damaged stay as they \
                 are, look at the disk that they lie on",
            ),
        }
    }

    fn tell(&mut self, finding: Finding) {
        *self.faults.entry(finding.fault.as_str()).or_default() += 1;
        if self.findings.len() < FINDINGS_NAMED_MAX {
            self.findings.push(finding);
        }
    }
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Streams in all.
    pub streams: u64,
    /// Those that are done.
    pub streams_done: u64,
    /// Files and rows of the streams begun so far.
    pub items: u64,
    /// Those that are done.
    pub items_done: u64,
}

/// A row or a file, by the name of the file.
type Item = (StreamKey, Name);

/// Compares all rows with all files.
pub(super) async fn verify(
    archive: &Archive,
    thorough: Thorough,
    mut progress: impl FnMut(VerifyProgress),
) -> Result<Report, Error> {
    let (dir, index) = (archive.dir().to_owned(), archive.index().clone());
    let (dir_too, index_too) = (dir.clone(), index.clone());
    // Nothing is said of footage whose disk is not there.
    let present = move |files: &Files| health::enter(files, &dir_too, index_too.identity()?.as_deref()).map(drop);
    archive.disk().run(present.clone()).await??;
    let survey = move |files: &Files| -> Result<_, Error> {
        let (found, foreign) = walk::streams(files, &dir)?;
        let mut streams: BTreeSet<StreamKey> = found.into_iter().collect();
        streams.extend(index.usage()?.into_keys());
        let unhashed = index.marked(Mark::Unhashed, UNHASHED_COUNTED_MAX)?.len() as u64;
        Ok((streams, foreign, unhashed))
    };
    let (mut streams, foreign, without_checksum) = archive.disk().run(survey).await??;
    streams.extend(archive.ledger_streams().await?);
    let mut report = Report { streams: streams.len() as u64, foreign, without_checksum, ..Report::default() };
    let mut at = VerifyProgress { streams: streams.len() as u64, ..VerifyProgress::default() };
    let (mut suspects, mut in_gaps) = (Vec::new(), Vec::new());
    for stream in streams {
        progress(at);
        let items = list(archive, &stream, &mut report).await?;
        at.items += items.len() as u64;
        for item in items {
            suspects.extend(one(archive, thorough, item, &mut report).await?.map(|(item, _)| item));
            at.items_done += 1;
            progress(at);
        }
        if !gaps(archive, &stream).await?.is_empty() {
            in_gaps.push(stream);
        }
        at.streams_done += 1;
    }
    progress(at);
    if !suspects.is_empty() || !in_gaps.is_empty() {
        archive.clock().sleep(AGAIN_AFTER).await;
    }
    for item in suspects {
        // Counted the first time.
        let mut again = Report::default();
        if let Some((_, finding)) = one(archive, thorough, item, &mut again).await? {
            report.tell(finding);
        }
    }
    for stream in in_gaps {
        gaps(archive, &stream).await?.into_iter().for_each(|finding| report.tell(finding));
    }
    archive.disk().run(present).await??;
    Ok(report)
}

/// What is wrong with the rows of a stream's gaps.
async fn gaps(archive: &Archive, stream: &StreamKey) -> Result<Vec<Finding>, Error> {
    let flaws = archive.ledger().flaws(stream, archive.index(), archive.growing().of(stream), archive.disk()).await?;
    let path = archive.dir().join(stream.to_string());
    let finding =
        |flaw: Flaw| Finding { fault: flaw.fault, stream: stream.clone(), path: path.clone(), what: flaw.what };
    Ok(flaws.into_iter().map(finding).collect())
}

/// The names of all files of a stream and of all its rows.
async fn list(archive: &Archive, stream: &StreamKey, report: &mut Report) -> Result<BTreeSet<Item>, Error> {
    let (dir, index, of) = (archive.dir().to_owned(), archive.index().clone(), stream.clone());
    let list = move |files: &Files| -> Result<(Found, BTreeSet<Name>), Error> {
        let found = walk::segments(files, &dir, &of, None)?;
        let mut rows = BTreeSet::new();
        for row in index.rows(&of) {
            rows.insert(name_of(&row?));
        }
        Ok((found, rows))
    };
    let (found, rows) = archive.disk().run(list).await??;
    report.files += found.segments.len() as u64;
    report.unfinished += found.unfinished.len() as u64;
    report.foreign += found.foreign;
    Ok(found.segments.into_iter().chain(rows).map(|name| (stream.clone(), name)).collect())
}

/// Compares one file with its row; what is wrong, if anything.
async fn one(
    archive: &Archive,
    thorough: Thorough,
    item: Item,
    report: &mut Report,
) -> Result<Option<(Item, Finding)>, Error> {
    let (stream, name) = item;
    let same = |s: &Segment| name_of(s) == name;
    if archive.growing().of(&stream).iter().any(same) {
        report.growing += 1;
        return Ok(None);
    }
    let (dir, index, of) = (archive.dir().to_owned(), archive.index().clone(), stream.clone());
    let depth = if thorough.deep { Depth::Deep } else { Depth::Shallow };
    let begun = archive.clock().now();
    let checked = archive.disk().run(move |files| check::check(files, &dir, &index, &of, name, depth)).await??;
    if thorough.gentle {
        archive.clock().sleep((archive.clock().now() - begun) * REST_FACTOR).await;
    }
    report.rows += u64::from(checked.has_row);
    report.bytes_read += checked.bytes_read;
    report.unsettled += u64::from(checked.unsettled);
    let path = scan::path_of(archive.dir(), &stream, name);
    Ok(checked.fault.map(|(fault, what)| {
        let finding = Finding { fault, stream: stream.clone(), path, what };
        ((stream, name), finding)
    }))
}

fn name_of(segment: &Segment) -> Name {
    let start: Wall = super::layout::nameable(segment.start);
    Name { start_ms: start.millis(), suffix: segment.name_suffix }
}

#[cfg(test)]
mod tests;
