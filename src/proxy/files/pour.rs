//! A part of a file into a pipe, with the answer's head in front of it: no byte of the file comes up here.

use crate::serve::Pour;
use rustix::{io::Errno, pipe::SpliceFlags};
use std::{fs::File, io, ops::Range, os::fd::BorrowedFd};

/// What is still to come.
pub(super) struct Pouring {
    /// What goes out before the file does.
    pub(super) head: Vec<u8>,
    pub(super) file: File,
    pub(super) range: Range<u64>,
}

impl Pour for Pouring {
    fn pour(&mut self, pipe: BorrowedFd<'_>) -> io::Result<usize> {
        let mut poured = 0;
        while !self.head.is_empty() {
            match rustix::io::write(pipe, &self.head) {
                Ok(n) => {
                    self.head.drain(..n);
                    poured += n;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(poured),
                Err(error) => return Err(error.into()),
            }
        }
        while !self.range.is_empty() {
            let mut at = self.range.start;
            let len = usize::try_from(self.range.end - at).unwrap_or(usize::MAX);
            match rustix::pipe::splice(&self.file, Some(&mut at), pipe, None, len, SpliceFlags::NONBLOCK) {
                // It was cut since its length was told.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.range.start += n as u64;
                    poured += n;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(poured)
    }
}
