//! A little that is kept even where no row is: a file of a fixed length, laid while there is room and written in place.
//!
//! It holds one value, in two places that take turns, so that a write that is torn leaves the value before. What is in it is
//! its owner's to carry over into rows once there is room again.

use super::{Error, home::Home, raw};
use crate::disk;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest value: what is known of some five hundred accounts.
pub const SPARE_VALUE_BYTES_MAX: usize = 256 << 10;
/// Number, length and check of a value lie before it.
const HEAD_BYTES: usize = 24;
const PLACE_BYTES: usize = SPARE_VALUE_BYTES_MAX + HEAD_BYTES;
pub(super) const FILE_BYTES: u64 = 2 * PLACE_BYTES as u64;
/// It is laid only where so much stays free, which is what rows need.
const LEAVES_BYTES: u64 = 4 << 20;
pub(super) const NAME: &str = "spare";

/// The file, and whether it may be trusted.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// A sync of it failed: what is on the disk is not known any more.
    suspect: AtomicBool,
}

impl Spare {
    /// Lays the file where it is missing and there is room. Failing to is no failure of the store. Blocks.
    pub(super) fn lay(&self, home: &Home) {
        match home.is_laid(NAME, FILE_BYTES) {
            Ok(false) if home.has_room(FILE_BYTES + LEAVES_BYTES) => {
                if let Err(error) = home.lay(NAME, FILE_BYTES) {
                    tracing::warn!(%error, "cannot lay the store's spare file");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot look for the store's spare file"),
        }
    }

    /// Makes a value durable in place of the one before; its number, which is above that one's and `above`. Blocks.
    pub(super) fn keep(&self, home: &Home, value: &[u8], above: u64) -> Result<u64, Error> {
        if value.len() > SPARE_VALUE_BYTES_MAX {
            return Err(Error::Invalid(format!("{} bytes are more than the spare file holds", value.len())));
        }
        if self.suspect.load(Ordering::Relaxed) {
            return Err(Error::Storage("the spare file could not be synced and is not trusted until a restart".into()));
        }
        if !home.is_laid(NAME, FILE_BYTES)? {
            home.lay(NAME, FILE_BYTES)?;
        }
        let file = home.files.open_append(&home.dir.join(NAME))?;
        let number = newest(&file)?.map_or(0, |(number, _)| number).max(above) + 1;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + value.len());
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&raw::hash(number, value).to_be_bytes());
        bytes.extend_from_slice(value);
        file.write_all_at(place(number), &bytes)?;
        file.sync_data().inspect_err(|_| self.suspect.store(true, Ordering::Relaxed))?;
        Ok(number)
    }

    /// The value that was kept last, with its number. Blocks.
    pub(super) fn read(&self, home: &Home) -> Result<Option<(u64, Vec<u8>)>, Error> {
        if !home.is_laid(NAME, FILE_BYTES)? {
            return Ok(None);
        }
        newest(&home.files.open_read(&home.dir.join(NAME))?)
    }
}

fn place(number: u64) -> u64 {
    (number % 2) * PLACE_BYTES as u64
}

fn newest(file: &disk::File) -> Result<Option<(u64, Vec<u8>)>, Error> {
    let (one, other) = (value_at(file, 0)?, value_at(file, 1)?);
    Ok(one.into_iter().chain(other).max_by_key(|(number, _)| *number))
}

/// The value in one of the two places, where it is whole.
fn value_at(file: &disk::File, parity: u64) -> Result<Option<(u64, Vec<u8>)>, Error> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(place(parity), &mut head)?;
    let word = |at: usize| head[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let (number, len, check) = (word(0), word(8), word(16));
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= SPARE_VALUE_BYTES_MAX) else { return Ok(None) };
    let mut value = vec![0; len];
    file.read_exact_at(place(parity) + HEAD_BYTES as u64, &mut value)?;
    Ok((number % 2 == parity && raw::hash(number, &value) == check).then_some((number, value)))
}
