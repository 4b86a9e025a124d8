//! Bodies out of files of this process, piece by piece: parts of files go from memory to the socket by the kernel, packed with
//! what stands between them.

use super::{
    connection::Connection,
    io::Transport,
    straight::{self, DISK_STALL_MAX, Packed, TURN_BYTES_MAX},
};
use crate::{
    disk::Disk,
    serve::{Piece, Pour},
};
use std::cell::Cell;

/// Sends `len` bytes that a source names, to a plain socket; `sent` counts them, also where it fails. None: the client is
/// gone, or takes nothing, or the source gives something else than it said.
pub(super) async fn pour<C: Transport>(
    connection: &Connection<C>,
    mut source: Box<dyn Pour>,
    len: u64,
    sent: &Cell<u64>,
) -> Option<()> {
    let Connection { io: to, deadline, takes, .. } = connection;
    let disk = &connection.worker.shared.disk;
    let mut packed = None;
    let (mut left, mut turn) = (len, 0);
    while left > 0 {
        let piece = source.next().ok()?;
        let given = match &piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File(_, range) => range.end - range.start,
            Piece::Closed => {
                source = open(disk, source).await?;
                continue;
            }
            Piece::End => 0,
        };
        // More than was announced is as wrong as less.
        left = left.checked_sub(given).filter(|_| given > 0)?;
        if left > 0 && packed.is_none() {
            packed = Some(Packed::begin(to));
        }
        match piece {
            Piece::Bytes(bytes) => {
                to.write_all(&bytes, deadline, takes).await.ok()?;
                sent.set(sent.get() + given);
            }
            Piece::File(file, range) => {
                straight::send(to, &file, range, (disk, deadline), takes.into(), sent).await?;
            }
            Piece::Closed | Piece::End => {}
        }
        turn += given;
        if turn >= TURN_BYTES_MAX {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    Some(())
}

/// On a thread that may wait.
async fn open(disk: &Disk, mut source: Box<dyn Pour>) -> Option<Box<dyn Pour>> {
    let opened = disk.run_within(DISK_STALL_MAX, move |_| source.open().map(|()| source));
    match opened.await {
        Ok(opened) => opened.ok(),
        Err(error) => {
            tracing::warn!(%error, "a file cannot be opened; the response is cut");
            None
        }
    }
}
