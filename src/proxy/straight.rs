//! A part of a file to a plain socket by the kernel alone (`sendfile`): no byte of it comes up here. What is not in memory is
//! fetched by a thread that may wait for the disk, so that the worker never does.

use super::{
    deadline::Deadline,
    io::{Broken, Io, Transport},
    pace::Limit,
};
use crate::disk::{Disk, Kept};
use rustix::net::sockopt::set_tcp_cork;
use std::{cell::Cell, future::poll_fn, io, ops::Range, os::fd::AsFd, sync::Arc, task::Poll, time::Duration};
use tokio::{io::Interest, net::TcpStream};

/// A disk that opens or gives nothing for so long has failed, as far as this client goes.
pub(super) const DISK_STALL_MAX: Duration = Duration::from_secs(60);
/// What is fetched in one go, in bytes: a disk is slow to begin and quick to go on.
const STRETCH_BYTES: u64 = 1 << 20;
/// What is given to the socket before others have their turn, in bytes: a client that takes all at once does not have the
/// worker to itself.
pub(super) const TURN_BYTES_MAX: u64 = 2 << 20;

/// Sends the range; `sent` counts it, also where it fails. None: the client is gone, or takes nothing, or the file is shorter
/// than it was.
pub(super) async fn send<T: Transport>(
    to: &Io<T>,
    file: &Arc<Kept>,
    range: Range<u64>,
    (disk, deadline): (&Disk, &Deadline),
    takes: Limit<'_>,
    sent: &Cell<u64>,
) -> Option<()> {
    let mut rest = range;
    while !rest.is_empty() {
        let turn = TURN_BYTES_MAX.min(rest.end - rest.start);
        let mut there = file.in_memory(rest.start, turn);
        if there == 0 {
            let stretch = rest.start..rest.end.min((rest.start / STRETCH_BYTES + 1) * STRETCH_BYTES);
            there = stretch.end - stretch.start;
            fetch(disk, file, stretch, rest.end).await?;
        }
        let stretch = rest.start..rest.start + there;
        give(to, file, stretch, deadline, takes, sent).await?;
        rest.start += there;
        if there == TURN_BYTES_MAX && !rest.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    Some(())
}

/// Sends what is in memory.
async fn give<T: Transport>(
    to: &Io<T>,
    file: &Kept,
    mut rest: Range<u64>,
    deadline: &Deadline,
    takes: Limit<'_>,
    sent: &Cell<u64>,
) -> Option<()> {
    while !rest.is_empty() {
        let since = takes.begins(deadline);
        let given = poll_fn(|cx| {
            loop {
                let given = to.with(|to| {
                    let socket = to.plain().ok_or(io::ErrorKind::Unsupported)?;
                    let len = rest.end - rest.start;
                    socket.try_io(Interest::WRITABLE, || file.send_to(socket.as_fd(), &mut rest.start, len))
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
        });
        // The end of the file before that of what was announced cannot be told any more: the answer is cut.
        let given = given.await.ok().filter(|given| *given > 0)?;
        takes.ends(deadline, since, given);
        sent.set(sent.get() + given as u64);
    }
    Some(())
}

/// Brings a stretch into memory, and tells the kernel what will be wanted next.
async fn fetch(disk: &Disk, file: &Arc<Kept>, stretch: Range<u64>, end: u64) -> Option<()> {
    let (file, following) = (file.clone(), end.saturating_sub(stretch.end).min(STRETCH_BYTES));
    let fetched = disk.run_within(DISK_STALL_MAX, move |_| file.fetch(stretch, following));
    match fetched.await.and_then(|fetched| fetched) {
        Ok(()) => Some(()),
        Err(error) => {
            tracing::warn!(%error, "a file cannot be read as far as it was long; the response is cut");
            None
        }
    }
}

/// What goes out in several pieces is packed as if it were one, for as long as this lives.
pub(super) struct Packed<'a, T: Transport>(&'a Io<T>);

impl<'a, T: Transport> Packed<'a, T> {
    pub(super) fn begin(to: &'a Io<T>) -> Self {
        to.with(|to| cork(to.plain(), true));
        Self(to)
    }
}

impl<T: Transport> Drop for Packed<'_, T> {
    fn drop(&mut self) {
        self.0.with(|to| cork(to.plain(), false));
    }
}

/// A socket that does not hear it sends more and smaller packets, and nothing else.
fn cork(socket: Option<&TcpStream>, on: bool) {
    let _ = socket.map(|socket| set_tcp_cork(socket, on));
}
