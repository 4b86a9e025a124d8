//! Bodies out of files of this process, by pipes: pages that are in memory go into a pipe and on into the socket here; for
//! others a disk thread fills the pipe, which may wait for the disk. No byte is copied.

use super::{
    deadline::Deadline,
    io::{Broken, Io, Transport},
    splice::{Patience, Pipe, Pipes, Side, give_all},
};
use crate::{disk::Disk, serve::Pour};
use std::{cell::Cell, os::fd::AsFd, rc::Rc};

/// Sends `len` bytes that a source pours, to a plain socket.
pub(super) async fn pour<T: Transport>(
    to: &Io<T>,
    mut source: Box<dyn Pour>,
    len: u64,
    (pipes, disk): (&Rc<Pipes>, &Disk),
    deadline: &Deadline,
    patience: Patience<'_>,
    moved: &Cell<u64>,
) -> Result<(), Side> {
    let mut pipe = pipes.open().map_err(|error| Side::From(error.into()))?;
    let mut left = len;
    while left > 0 {
        let mut poured = pipe.fill(|into| source.pour_from_memory(into)).map_err(|error| Side::From(error.into()))?;
        if poured == 0 {
            patience.from.begins(deadline);
            let waited = deadline.within(fill(pipe, disk, source)).await;
            (pipe, source, poured) = waited.map_err(|e| Side::From(e.into()))?.map_err(Side::From)?;
        }
        // More than was announced is as wrong as less.
        left = left.checked_sub(poured as u64).filter(|_| poured > 0).ok_or(Side::From(Broken::Ended))?;
        give_all(&mut pipe, to, left > 0, deadline, patience.to, moved).await.map_err(|_| Side::To)?;
        // A client that takes all at once does not have the worker to itself.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Has a disk thread fill an empty pipe.
async fn fill(mut pipe: Pipe, disk: &Disk, mut source: Box<dyn Pour>) -> Result<(Pipe, Box<dyn Pour>, usize), Broken> {
    let into = pipe.lend()?;
    let filled = disk.run(move |_| {
        let poured = source.pour(into.as_fd());
        (into, source, poured)
    });
    let (into, source, poured) = filled.await.map_err(|_| Broken::Failed)?;
    let poured = poured?;
    pipe.give_back(into, poured);
    Ok((pipe, source, poured))
}
