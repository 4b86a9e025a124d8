//! What is put right in the background: segments that the index could not take when they were closed, a rebuild where
//! the index was lost, checksums that are still missing.

use super::{
    Archive, Error,
    handle::{Phase, mark_of},
    index::{Change, Mark},
    layout::{self, Name},
    scan::{self, Read, Torn},
};
use crate::{
    base::{Kind, Wall},
    disk::Files,
    media::fmp4::read::Tail,
    model::{Checksum, Range, Segment},
};
use tokio_util::sync::CancellationToken;

/// Checksums that are taken up at once; each reads a whole file.
const HASHES_MAX: usize = 16;

/// One run.
pub(super) async fn repair(archive: &Archive, stop: &CancellationToken) -> Result<(), Error> {
    let Phase::Open { wants_reindex } = archive.phase() else { return Ok(()) };
    for (segment, table) in archive.growing().unsaved() {
        let mark = mark_of(&segment);
        archive.save_closed(segment, table, mark).await?;
    }
    if wants_reindex {
        tracing::info!("the index lacks footage that is on the disk; rebuilding it");
        let rebuild = archive.reindex(|progress| tracing::debug!(?progress, "rebuilding the index"));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            summary = rebuild => tracing::info!(summary = ?summary?, "the index is rebuilt"),
        }
        archive.0.phase.send_replace(Phase::Open { wants_reindex: false });
    }
    read_ahead(archive, stop).await?;
    hash_pending(archive, || stop.is_cancelled()).await.map(|_| ())
}

/// Sums up the hours of streams that nobody has listed yet, so that the first to ask does not wait for it.
async fn read_ahead(archive: &Archive, stop: &CancellationToken) -> Result<(), Error> {
    for stream in archive.streams() {
        if stop.is_cancelled() {
            return Ok(());
        }
        if archive.0.hours.is_unread(&stream) {
            archive.spans(&stream, Range::ALL).await?;
        }
    }
    Ok(())
}

/// Computes missing checksums, one file after the other, until none is missing.
pub(super) async fn hash_pending(archive: &Archive, stopped: impl Fn() -> bool) -> Result<u64, Error> {
    let mut hashed = 0;
    loop {
        let index = archive.index().clone();
        let rows = archive.disk().run(move |_| index.marked(Mark::Unhashed, HASHES_MAX)).await??;
        if rows.is_empty() {
            return Ok(hashed);
        }
        for segment in rows {
            if stopped() {
                return Ok(hashed);
            }
            let (entered, row) = (archive.clone(), segment.clone());
            let settled = archive.disk().run(move |files| settle(&entered, files, row)).await?;
            let change = match settled {
                Ok(Settled { change, lost }) => {
                    if let Some((start, end)) = lost {
                        archive.ledger().lost(&segment.stream, start, end);
                    }
                    change
                }
                // What ails the whole disk passes; it is tried again then.
                Err(error) if archive.health().borrow().trouble.is_some() => return Err(error),
                // A file that cannot be read must not hold up the others for ever; its row says that it has no sum.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Storage) => {
                    tracing::warn!(%error, "a checksum could not be computed");
                    Change::Unmark { stream: segment.stream.clone(), start: segment.start }
                }
                Err(error) => return Err(error),
            };
            hashed += 1;
            let table = match &change {
                Change::Put { table, .. } => table.clone(),
                _ => None,
            };
            archive.apply_changes(vec![change]).await?;
            if let Some(table) = table {
                // The one that playback knows says more.
                archive.0.tables.put(&segment.stream, segment.start, table);
            }
        }
    }
}

/// What is to become of a row.
struct Settled {
    change: Change,
    /// What the row said and the file does not hold any more.
    lost: Option<(Wall, Wall)>,
}

impl From<Change> for Settled {
    fn from(change: Change) -> Self {
        Self { change, lost: None }
    }
}

/// Sums up a file that was closed. Where its last write or sync failed, it may not end where its row says: what lies
/// behind was never listed and goes, what is missing was listed before it was durable, and is a gap. Blocks.
fn settle(archive: &Archive, files: &Files, row: Segment) -> Result<Settled, Error> {
    let dir = archive.enter(files)?;
    let name = Name { start_ms: layout::nameable(row.start).millis(), suffix: row.name_suffix };
    let (stream, start) = (row.stream.clone(), row.start);
    let path = scan::path_of(archive.dir(), &stream, name);
    let Some(len) = dir.len_of(&layout::path(&stream, start, row.name_suffix))? else {
        return Ok(Change::Drop { stream, start }.into());
    };
    let torn = if len < row.bytes { Torn::Cut } else { Torn::Leave };
    let read = if len == row.bytes { None } else { Some(scan::read(files, archive.dir(), &stream, name, torn)?) };
    match read {
        // Something else than we write; it is not known to be worthless.
        None | Some(Read::Segment(_, _, Tail::Foreign)) => {}
        Some(Read::Segment(segment, table, _)) if len < row.bytes => {
            tracing::warn!(path = %path.display(), "a file has lost its end; its row says what is left");
            let lost = Some((segment.end(), row.end()));
            let change = Change::Put { segment: *segment, table: Some(table), mark: Some(Mark::Unhashed) };
            return Ok(Settled { change, lost });
        }
        Some(Read::Segment(..)) => {
            let mut file = files.open_append(&path)?;
            file.truncate(row.bytes)?;
            file.sync_data()?;
        }
        Some(Read::Empty) => {
            files.remove_file(&path)?;
            return Ok(Settled { change: Change::Drop { stream, start }, lost: Some((start, row.end())) });
        }
        Some(Read::Damaged(what)) => {
            tracing::warn!(path = %path.display(), what, "a file is not what its row says");
            return Ok(Change::Unmark { stream, start }.into());
        }
    }
    match archive.config().checksum(&stream) {
        Checksum::None => Ok(Change::Unmark { stream, start }.into()),
        checksum => {
            let sum = scan::sum(files, &path, row.bytes, checksum)?;
            Ok(Change::Summed { segment: row, sum }.into())
        }
    }
}
