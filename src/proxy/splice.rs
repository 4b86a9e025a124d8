//! Large bodies from socket to socket by the kernel: `splice(2)` through a pipe, so that no byte comes up here.
//!
//! Pipes are kept per worker, since making one costs as much as it saves on a small body.

use super::{
    deadline::Deadline,
    io::{Broken, Io, Transport},
    pace::Limit,
};
use rustix::{
    net::SendFlags,
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    task::Poll,
};
use tokio::{io::Interest, net::TcpStream};

/// From so many bytes on that are still to come, the kernel moves them: below, two calls for each piece cost more than
/// the copy.
pub(super) const SPLICE_BYTES_MIN: u64 = 32 << 10;
/// What a pipe takes, in bytes.
const PIPE_BYTES: usize = 256 << 10;
/// Pipes of a worker at once. The kernel gives all of a user 64 MiB of them, and then no more than a page each; bodies
/// beyond that are copied.
const PIPES_MAX: usize = 64;

/// The pipes of one worker.
#[derive(Default)]
pub(super) struct Pipes {
    spare: RefCell<Vec<[OwnedFd; 2]>>,
    open: Cell<usize>,
}

/// A leased pipe. One with bytes left in it is closed on drop, an empty one goes back.
pub(super) struct Pipe {
    of: Rc<Pipes>,
    /// Where bytes come out, and where they go in; none only within drop.
    ends: Option<[OwnedFd; 2]>,
    held: usize,
}

impl Pipes {
    /// An empty pipe; none where there are too many, or the host gives no more.
    pub(super) fn lease(self: &Rc<Self>) -> Option<Pipe> {
        let ends = match self.spare.borrow_mut().pop() {
            Some(ends) => ends,
            None if self.open.get() >= PIPES_MAX => return None,
            None => {
                let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
                fcntl_setpipe_size(&into, PIPE_BYTES).ok()?;
                self.open.set(self.open.get() + 1);
                [out, into]
            }
        };
        Some(Pipe { of: self.clone(), ends: Some(ends), held: 0 })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        if self.held == 0 {
            self.of.spare.borrow_mut().push(ends);
        } else {
            self.of.open.set(self.of.open.get().saturating_sub(1));
        }
    }
}

impl Pipe {
    fn ends(&self) -> &[OwnedFd; 2] {
        self.ends.as_ref().expect("they are taken on drop alone")
    }

    /// Whether there is anything in it.
    pub(super) fn holds(&self) -> bool {
        self.held > 0
    }

    /// Takes what is there already. False: nothing; why, is told when it is waited for.
    pub(super) fn begin(&mut self, from: &TcpStream, most: u64) -> bool {
        self.take(from, most).is_ok_and(|got| got > 0)
    }

    /// Takes at most `most` bytes of the socket; 0 at its end.
    pub(super) fn take(&mut self, from: &TcpStream, most: u64) -> io::Result<usize> {
        from.try_io(Interest::READABLE, || self.take_from(from, most))
    }

    /// The same of a socket that the runtime does not know.
    pub(super) fn take_from(&mut self, from: impl AsFd, most: u64) -> io::Result<usize> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIPE_BYTES);
        let [_, into] = self.ends();
        let got = splice(from, None, into, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?;
        self.held += got;
        Ok(got)
    }

    /// Gives what is held to the socket. `more`: the body goes on behind it.
    pub(super) fn give(&mut self, to: &TcpStream, more: bool) -> io::Result<usize> {
        to.try_io(Interest::WRITABLE, || self.give_to(to, more))
    }

    /// The same to a socket that the runtime does not know.
    pub(super) fn give_to(&mut self, to: impl AsFd, more: bool) -> io::Result<usize> {
        let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        flags.set(SpliceFlags::MORE, more);
        let [out, _] = self.ends();
        let given = splice(out, None, to, None, self.held, flags)?;
        self.held -= given;
        Ok(given)
    }
}

/// Which side failed.
#[derive(Debug)]
pub(super) enum Side {
    /// Who sends.
    From(Broken),
    /// Who takes.
    To,
}

/// How long each side is waited for.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    /// Who sends.
    pub(super) from: Limit<'a>,
    /// Who takes.
    pub(super) to: Limit<'a>,
}

/// Sends what it can at once, to go out together with what comes behind it. How much that was; why not more, is told by
/// the next write.
pub(super) fn send_ahead(to: &TcpStream, bytes: &[u8]) -> usize {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    to.try_io(Interest::WRITABLE, || Ok(rustix::net::send(to, bytes, flags)?)).unwrap_or(0)
}

/// Moves exactly `len` bytes, those that the pipe holds already first. Both must be plain. `moved` counts what went out,
/// also where it fails.
pub(super) async fn pass<F: Transport, T: Transport>(
    (from, to): (&Io<F>, &Io<T>),
    len: u64,
    mut pipe: Pipe,
    deadline: &Deadline,
    patience: Patience<'_>,
    moved: &Cell<u64>,
) -> Result<(), Side> {
    let mut left = len.saturating_sub(pipe.held as u64);
    while left > 0 || pipe.held > 0 {
        if pipe.held == 0 {
            let since = patience.from.begins(deadline);
            let got = poll_fn(|cx| {
                loop {
                    let taken =
                        from.with(|from| from.plain().map_or_else(|| Err(not_plain()), |from| pipe.take(from, left)));
                    match taken {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        done => return Poll::Ready(done.map_err(Broken::from)),
                    }
                    match from.poll_readable(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                        Poll::Pending => return deadline.poll(cx).map(|elapsed| Err(elapsed.into())),
                    }
                }
            });
            match got.await {
                Ok(0) => return Err(Side::From(Broken::Ended)),
                Ok(got) => {
                    patience.from.ends(deadline, since, got);
                    left -= got as u64;
                }
                Err(error) => return Err(Side::From(error)),
            }
        }
        give_all(&mut pipe, to, left > 0, deadline, patience.to, moved).await.map_err(|_| Side::To)?;
    }
    Ok(())
}

/// Gives all that a pipe holds to a plain socket. `more`: the body goes on behind it.
pub(super) async fn give_all<T: Transport>(
    pipe: &mut Pipe,
    to: &Io<T>,
    more: bool,
    deadline: &Deadline,
    limit: Limit<'_>,
    moved: &Cell<u64>,
) -> Result<(), Broken> {
    while pipe.held > 0 {
        let since = limit.begins(deadline);
        let given = poll_fn(|cx| {
            loop {
                let given = to.with(|to| to.plain().map_or_else(|| Err(not_plain()), |to| pipe.give(to, more)));
                match given {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done.map_err(Broken::from)),
                }
                let ready = |to: &T| to.plain().map_or(Poll::Ready(Err(not_plain())), |to| to.poll_write_ready(cx));
                match to.with(ready) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return deadline.poll(cx).map(|elapsed| Err(elapsed.into())),
                }
            }
        });
        let given = given.await?;
        limit.ends(deadline, since, given);
        moved.set(moved.get() + given as u64);
    }
    Ok(())
}

fn not_plain() -> io::Error {
    io::ErrorKind::Unsupported.into()
}
