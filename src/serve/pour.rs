//! Bodies that the kernel can carry: parts of files that go straight to a socket, and no byte of them comes up.

use crate::disk::Kept;
use bytes::Bytes;
use std::{io, ops::Range, sync::Arc};

/// A body's source that can name the files that it is made of. It stands beside the body's stream, which gives the same
/// bytes to whoever cannot take them so (a TLS session, another server).
pub trait Pour: Send + 'static {
    /// What comes next. Does not block.
    fn next(&mut self) -> io::Result<Piece>;

    /// Opens what [`Piece::Closed`] stood for. Waits for disks, so it is called where that is allowed.
    fn open(&mut self) -> io::Result<()>;
}

/// A piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// Bytes at hand.
    Bytes(Bytes),
    /// A part of a file.
    File(Arc<Kept>, Range<u64>),
    /// A part of a file that cannot be opened without a wait.
    Closed,
    /// All has been given.
    End,
}
