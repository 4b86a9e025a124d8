//! A part of a file to a plain socket by the kernel alone (`sendfile`): no byte of it comes up here. What is not in memory is
//! fetched by a thread that may wait for the disk, so that the worker never does.

use super::{
    kept::{Kept, STRETCH_BYTES},
    send::DISK_STALL_MAX,
};
use crate::{
    disk::Disk,
    proxy::{
        deadline::Deadline,
        io::{Broken, Io, Transport},
        pace::Limit,
    },
};
use rustix::fs::{Advice, fadvise};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    num::NonZeroU64,
    ops::Range,
    os::{fd::AsFd, unix::fs::FileExt},
    sync::Arc,
    task::Poll,
};
use tokio::io::Interest;

/// Sends the range; `sent` counts it, also where it fails. None: the client is gone, or takes nothing, or the file is shorter
/// than it was.
pub(super) async fn send<T: Transport>(
    to: &Io<T>,
    file: Arc<Kept>,
    range: Range<u64>,
    (disk, deadline): (&Disk, &Deadline),
    takes: Limit<'_>,
    sent: &Cell<u64>,
) -> Option<()> {
    let mut rest = range;
    while !rest.is_empty() {
        let stretch = rest.start..rest.end.min((rest.start / STRETCH_BYTES + 1) * STRETCH_BYTES);
        if !file.is_in_memory(&stretch) {
            fetch(disk, &file, stretch.clone(), rest.end).await?;
        }
        let mut at = stretch.start;
        while at < stretch.end {
            let since = takes.begins(deadline);
            let given = poll_fn(|cx| {
                loop {
                    let given = to.with(|to| {
                        let socket = to.plain().ok_or(io::ErrorKind::Unsupported)?;
                        let len = usize::try_from(stretch.end - at).unwrap_or(usize::MAX);
                        socket.try_io(Interest::WRITABLE, || {
                            Ok(rustix::fs::sendfile(socket.as_fd(), file.as_fd(), Some(&mut at), len)?)
                        })
                    });
                    match given {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        done => return Poll::Ready(done.map_err(Broken::from)),
                    }
                    let ready = |to: &T| match to.plain() {
                        Some(to) => to.poll_write_ready(cx),
                        None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
                    };
                    match to.with(ready) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                        Poll::Pending => return deadline.poll(cx).map(|elapsed| Err(elapsed.into())),
                    }
                }
            });
            // The end of the file before that of what was announced cannot be told any more: the answer is cut.
            let given = given.await.ok().filter(|given| *given > 0)?;
            takes.ends(deadline, since, given);
            sent.set(sent.get() + given as u64);
        }
        rest.start = stretch.end;
    }
    Some(())
}

/// Brings a stretch into memory, and tells the kernel what will be wanted next.
async fn fetch(disk: &Disk, file: &Arc<Kept>, stretch: Range<u64>, end: u64) -> Option<()> {
    let file = file.clone();
    let fetched = disk.run_within(DISK_STALL_MAX, move |_| {
        let len = usize::try_from(stretch.end - stretch.start).unwrap_or_default();
        file.read_exact_at(&mut vec![0; len], stretch.start)?;
        if let Some(more) = NonZeroU64::new(end.saturating_sub(stretch.end).min(STRETCH_BYTES)) {
            // Advice that is not heard costs time and nothing else.
            let _ = fadvise(&file, stretch.end, Some(more), Advice::WillNeed);
        }
        Ok::<(), io::Error>(())
    });
    match fetched.await {
        Ok(Ok(())) => Some(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a file cannot be read as far as it was long; the response is cut");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "a file cannot be read; the response is cut");
            None
        }
    }
}
