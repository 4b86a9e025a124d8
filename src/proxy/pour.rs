//! Bodies out of files of this process: pages go into a pipe on a disk thread, which may wait for the disk, and from the
//! pipe into the socket here, which never does. No byte is copied.

use super::{
    deadline::Deadline,
    io::{Broken, Io, Transport},
    pace::Limit,
    splice::{Patience, Side},
};
use crate::{disk::Disk, serve::Pour};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    os::fd::{AsFd, OwnedFd},
    task::Poll,
};
use tokio::io::Interest;

/// What a pipe takes, in bytes: what is handed from one thread to the other at once. A host that grants less makes it
/// slower, not wrong.
const PIPE_BYTES: usize = 512 << 10;

/// A pipe. Its ends are apart, since they are used on different threads.
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

/// A pipe that was filled, by whom, and with how much.
type Filled = Result<(Pipe, Box<dyn Pour>, usize), Broken>;

impl Pipe {
    fn new() -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Without it there is a smaller one.
        let _ = fcntl_setpipe_size(&into, PIPE_BYTES);
        Ok(Self { out, into })
    }

    async fn fill(self, disk: &Disk, mut source: Box<dyn Pour>) -> Filled {
        let filled = disk.run(move |_| {
            let poured = source.pour(self.into.as_fd());
            (self, source, poured)
        });
        let (pipe, source, poured) = filled.await.map_err(|_| Broken::Failed)?;
        Ok((pipe, source, poured?))
    }

    /// Gives `len` bytes that are held to the socket. `more`: the body goes on behind them.
    async fn drain<T: Transport>(
        &self,
        to: &Io<T>,
        len: usize,
        more: bool,
        deadline: &Deadline,
        limit: Limit<'_>,
        moved: &Cell<u64>,
    ) -> Result<(), Broken> {
        let mut left = len;
        let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        flags.set(SpliceFlags::MORE, more);
        while left > 0 {
            let since = limit.begins(deadline);
            let given = poll_fn(|cx| {
                loop {
                    let given = to.with(|to| {
                        let socket = to.plain().ok_or(io::ErrorKind::Unsupported)?;
                        socket.try_io(Interest::WRITABLE, || {
                            Ok(splice(&self.out, None, socket.as_fd(), None, left, flags)?)
                        })
                    });
                    match given {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
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
            })
            .await?;
            limit.ends(deadline, since, given);
            left -= given;
            moved.set(moved.get() + given as u64);
        }
        Ok(())
    }
}

/// Sends `len` bytes that a source pours, to a plain socket. While one pipe goes out, the other one is filled.
pub(super) async fn pour<T: Transport>(
    to: &Io<T>,
    source: Box<dyn Pour>,
    len: u64,
    disk: &Disk,
    deadline: &Deadline,
    patience: Patience<'_>,
    moved: &Cell<u64>,
) -> Result<(), Side> {
    let from_here = |error: io::Error| Side::From(error.into());
    let mut left = len;
    let mut spare = None;
    patience.from.begins(deadline);
    let first = Pipe::new().map_err(from_here)?.fill(disk, source);
    let mut filled = deadline.within(first).await.map_err(|elapsed| Side::From(elapsed.into()))?;
    loop {
        let (pipe, source, poured) = filled.map_err(Side::From)?;
        // More than was announced is as wrong as less.
        left = left.checked_sub(poured as u64).filter(|_| poured > 0).ok_or(Side::From(Broken::Ended))?;
        let sending = pipe.drain(to, poured, left > 0, deadline, patience.to, moved);
        if left == 0 {
            return sending.await.map_err(|_| Side::To);
        }
        let other = spare.take().map_or_else(Pipe::new, Ok).map_err(from_here)?;
        let (sent, next) = futures_util::future::join(sending, other.fill(disk, source)).await;
        sent.map_err(|_| Side::To)?;
        spare = Some(pipe);
        filled = next;
    }
}
