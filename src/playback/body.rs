//! A virtual file's bytes, read block by block as the client takes them.
//!
//! What is in memory already is copied at once, on the thread that sends it: for that a hand-over to a disk thread and
//! back costs as much as the copy. `RWF_NOWAIT` gives what would have to be waited for back to the disk's threads.

use super::{metrics::Meters, plan::Plan};
use crate::{
    disk::{self, Disk, File, Files},
    media::vod::{INSERTED, Slice},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// What is read at once, in bytes: a client that goes away costs no more than this. As much as nginx reads at once where
/// it does without `sendfile`, which costs the same for each byte; it stays in the processor's cache until it is sent.
const BLOCK_BYTES: u64 = 512 << 10;
/// Blocks of one answer that are kept to be filled again: one is sent while the next is read.
const SPARE_BLOCKS_MAX: usize = 2;

struct Reader {
    plan: Arc<Plan>,
    disk: Disk,
    files: Files,
    meters: Meters,
    /// What is still to come.
    range: Range<u64>,
    /// The file that the last block ended in.
    open: Option<Open>,
    spare: Spare,
}

struct Open {
    source: usize,
    file: File,
}

/// Memory that was sent and is to be filled again: what is allocated anew has to be cleared first.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

/// A block on its way to the client.
struct Block {
    buffer: Vec<u8>,
    len: usize,
    spare: Spare,
}

impl Spare {
    fn take(&self, len: usize) -> Block {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = spare.unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        Block { buffer, len, spare: self.clone() }
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut spare = self.spare.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BLOCKS_MAX {
            spare.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// The bytes of `range` of a plan. A file that is gone or shorter than it was ends the stream with an error.
pub(super) fn stream(
    plan: Arc<Plan>,
    range: Range<u64>,
    disk: Disk,
    meters: Meters,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let reader = Reader { plan, files: disk.files(), disk, meters, range, open: None, spare: Spare::default() };
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
        let range = self.range.start..end;
        let head = self.plan.layout.head_in(&range);
        if !head.is_empty() {
            return Ok(head);
        }
        let mut block = self.spare.take(bytes_of(end - range.start));
        let filled = self.fill_from_memory(&range, &mut block);
        if filled == block.len {
            return Ok(Bytes::from_owner(block));
        }
        let rest = range.start + filled as u64..end;
        let (plan, open) = (self.plan.clone(), self.open.take());
        let read = self.disk.run(move |files| {
            let open = read(files, &plan, rest, &mut block.buffer[filled..], open)?;
            Ok((block, open))
        });
        match read.await.and_then(|done| done) {
            Ok((block, open)) => {
                self.open = open;
                Ok(Bytes::from_owner(block))
            }
            Err(error) => {
                tracing::warn!(%error, "footage could not be read; the response is cut");
                Err(io::Error::other(error))
            }
        }
    }

    /// Fills what can be had without waiting, from the block's begin on: how much.
    fn fill_from_memory(&mut self, range: &Range<u64>, block: &mut Block) -> usize {
        let mut filled = 0;
        for slice in self.plan.layout.slices_in(range.clone()) {
            if slice.source != INSERTED && self.open.as_ref().is_none_or(|open| open.source != slice.source) {
                let file = self.files.open_read_cached(&self.plan.paths[slice.source]);
                self.open = file.map(|file| Open { source: slice.source, file });
            }
            let here = &mut block.buffer[filled..filled + bytes_of(slice.len)];
            let got = match &self.open {
                _ if slice.source == INSERTED => insert(&self.plan, &slice, here),
                // An error is met again by who waits.
                Some(open) => open.file.read_cached_at(slice.offset, here).unwrap_or(0),
                None => 0,
            };
            filled += got;
            if got < bytes_of(slice.len) {
                break;
            }
        }
        filled
    }
}

/// Reads a range into the begin of a buffer; the file that it ended in. Blocks.
fn read(
    files: &Files,
    plan: &Plan,
    range: Range<u64>,
    buffer: &mut [u8],
    mut open: Option<Open>,
) -> Result<Option<Open>, disk::Error> {
    let mut rest = buffer;
    for slice in plan.layout.slices_in(range) {
        let (here, after) = rest.split_at_mut(bytes_of(slice.len));
        rest = after;
        if slice.source == INSERTED {
            insert(plan, &slice, here);
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
    Ok(open)
}

fn insert(plan: &Plan, slice: &Slice, here: &mut [u8]) -> usize {
    let at = usize::try_from(slice.offset).expect("inserts are in memory");
    here.copy_from_slice(&plan.layout.inserts[at..at + here.len()]);
    here.len()
}

fn bytes_of(len: u64) -> usize {
    usize::try_from(len).expect("a block is at most BLOCK_BYTES")
}
