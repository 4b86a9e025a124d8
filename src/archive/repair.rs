//! What is put right in the background: segments that the index could not take when they were closed, a rebuild where
//! the index was lost, checksums that are still missing.

use super::{
    Archive, Error,
    handle::Phase,
    index::{Change, Mark},
    layout::Name,
    scan,
};
use crate::base::Kind;
use tokio_util::sync::CancellationToken;

/// Checksums that are taken up at once; each reads a whole file.
const HASHES_MAX: usize = 16;

/// One run.
pub(super) async fn repair(archive: &Archive, stop: &CancellationToken) -> Result<(), Error> {
    let Phase::Open { wants_reindex } = archive.phase() else { return Ok(()) };
    for (segment, table) in archive.growing().unsaved() {
        archive.save_closed(segment, table).await?;
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
    hash_pending(archive, || stop.is_cancelled()).await.map(|_| ())
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
            let name = Name { start_ms: segment.start.millis(), suffix: segment.name_suffix };
            let path = scan::path_of(archive.dir(), &segment.stream, name);
            let bytes = segment.bytes;
            let change = match archive.disk().run(move |files| scan::hash(files, &path, bytes)).await? {
                Ok(sha256) => Change::Hashed { segment, sha256 },
                // A file that cannot be read must not hold up the others for ever; its row says that it has no sum.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Storage) => {
                    tracing::warn!(%error, "a checksum could not be computed");
                    Change::Unmark { stream: segment.stream, start: segment.start }
                }
                Err(error) => return Err(error.into()),
            };
            hashed += 1;
            archive.apply_changes(vec![change]).await?;
        }
    }
}
