//! Bodies that the kernel can carry: pages of files go into a pipe, and from there to a socket, and no byte comes up.

use std::{io, os::fd::BorrowedFd};

/// A body's source that can fill pipes. It stands beside the body's stream, which gives the same bytes to whoever cannot
/// take them so (a TLS session, another server).
pub trait Pour: Send + 'static {
    /// Puts bytes into the pipe until it is full or all are there, without waiting for who empties it: how many. Waits
    /// for disks, so it is called where that is allowed. 0: the source has come to its end too early.
    fn pour(&mut self, pipe: BorrowedFd<'_>) -> io::Result<usize>;

    /// The same with what is in memory, and without a wait: 0 where what comes next is not. For threads that must not
    /// wait; what it does not give, [`Pour::pour`] does.
    fn pour_from_memory(&mut self, _pipe: BorrowedFd<'_>) -> io::Result<usize> {
        Ok(0)
    }
}
