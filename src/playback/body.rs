//! A virtual file's bytes, read block by block as the client takes them.

use super::{metrics::Meters, plan::Plan};
use crate::{
    disk::{self, Disk, File, Files},
    media::vod::{INSERTED, Slice},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::{io, ops::Range, sync::Arc};

/// What is read at once, in bytes: a client that goes away costs no more than this.
const BLOCK_BYTES: u64 = 256 << 10;

struct Reader {
    plan: Arc<Plan>,
    disk: Disk,
    meters: Meters,
    /// What is still to come.
    range: Range<u64>,
    /// The file that the last block ended in.
    open: Option<Open>,
}

struct Open {
    source: usize,
    file: File,
}

/// The bytes of `range` of a plan. A file that is gone or shorter than it was ends the stream with an error.
pub(super) fn stream(
    plan: Arc<Plan>,
    range: Range<u64>,
    disk: Disk,
    meters: Meters,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let reader = Reader { plan, disk, meters, range, open: None };
    stream::try_unfold(reader, |mut reader| async move {
        if reader.range.is_empty() {
            return Ok(None);
        }
        let block = reader.next_block().await?;
        reader.range.start += block.len() as u64;
        reader.meters.sent_bytes.inc_by(block.len() as u64);
        Ok(Some((block, reader)))
    })
}

impl Reader {
    async fn next_block(&mut self) -> io::Result<Bytes> {
        let end = self.range.end.min(self.range.start.saturating_add(BLOCK_BYTES));
        let block = self.range.start..end;
        let head = self.plan.layout.head_in(&block);
        if !head.is_empty() {
            return Ok(head);
        }
        let reads: Vec<Slice> = self.plan.layout.slices_in(block).collect();
        let (plan, open) = (self.plan.clone(), self.open.take());
        let read = self.disk.run(move |files| read(files, &plan, &reads, open)).await;
        match read.and_then(|done| done) {
            Ok((bytes, open)) => {
                self.open = open;
                Ok(bytes)
            }
            Err(error) => {
                tracing::warn!(%error, "footage could not be read; the response is cut");
                Err(io::Error::other(error))
            }
        }
    }
}

fn read(
    files: &Files,
    plan: &Plan,
    reads: &[Slice],
    mut open: Option<Open>,
) -> Result<(Bytes, Option<Open>), disk::Error> {
    let total: u64 = reads.iter().map(|r| r.len).sum();
    let mut buffer = vec![0; usize::try_from(total).expect("a block is at most BLOCK_BYTES")];
    let mut rest = &mut buffer[..];
    for slice in reads {
        let (here, after) = rest.split_at_mut(usize::try_from(slice.len).expect("a block is at most BLOCK_BYTES"));
        rest = after;
        if slice.source == INSERTED {
            let at = usize::try_from(slice.offset).expect("inserts are in memory");
            here.copy_from_slice(&plan.layout.inserts[at..at + here.len()]);
            continue;
        }
        let reused = open.take().filter(|o| o.source == slice.source);
        let current = match reused {
            Some(open) => open,
            None => Open { source: slice.source, file: files.open_read(&plan.paths[slice.source])? },
        };
        current.file.read_exact_at(slice.offset, here)?;
        open = Some(current);
    }
    Ok((buffer.into(), open))
}
