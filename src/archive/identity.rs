//! Which recordings directory this is: a file in it and a row in the index that say the same, so that a disk that is
//! not mounted is not taken for footage that is gone.

use super::{Error, index::Index};
use crate::{
    base::Kind,
    disk::{Anchor, Disk, Files},
};
use std::path::{Path, PathBuf};

/// The file in the recordings directory.
pub const FILE_NAME: &str = ".skyvis-recordings";
/// Mode of the directories that are made for footage.
pub const DIR_MODE: u32 = 0o750;
/// Characters of an identity.
const IDENTITY_CHARS: usize = 32;
/// Bytes of the file that are looked at.
const FILE_BYTES_MAX: usize = 256;

/// What to do where directory and index do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Say so and change nothing.
    Refuse,
    /// The operator asked for a new index of what lies there.
    Adopt,
}

/// Path of the identity file.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// That directory and index belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The identity of both.
    pub identity: String,
    /// The directory was recorded with another index and this one is new.
    pub adopted: bool,
}

/// Checks that directory and index belong together; gives both an identity where neither has footage yet.
pub async fn establish(dir: &Path, index: &Index, disk: &Disk, doubt: Doubt) -> Result<Settled, Error> {
    let rows = index.count();
    let (known, dir_too) = (index.identity()?, dir.to_owned());
    let found = disk.run(move |files| read(files, &dir_too)).await??;
    let adopted = known.is_none() && found.is_some();
    let settled = match (known, found) {
        (Some(known), Some(found)) if known == found => return Ok(Settled { identity: known, adopted: false }),
        (Some(known), Some(found)) if rows > 0 && doubt == Doubt::Refuse => {
            return Err(Error::Foreign { dir: dir.to_owned(), found, known });
        }
        (_, None) if rows > 0 && doubt == Doubt::Refuse => return Err(Error::NotMounted { dir: dir.to_owned(), rows }),
        (_, Some(found)) => found,
        (Some(known), None) => known,
        (None, None) => format!("{:032x}", rand::random::<u128>()),
    };
    let (dir, text) = (dir.to_owned(), format!("{settled}\n"));
    // The file first: an index without identity takes the one it finds, the other way round would look unmounted.
    disk.run(move |files| {
        files.create_dir_all_durable(&dir, DIR_MODE)?;
        match read(files, &dir) {
            Ok(Some(_)) => Ok(()),
            _ => files.replace(&path(&dir), text.as_bytes()),
        }
    })
    .await??;
    match index.set_identity(&settled).await {
        // A full disk holds nobody back: the file is there, and the next start takes it again.
        Err(error) if error.kind() == Kind::NoSpace => tracing::warn!(%error, "the index could not note its directory"),
        other => other?,
    }
    Ok(Settled { identity: settled, adopted })
}

/// The identity that lies in the directory. One that cannot be read as such is taken as it stands, and so differs.
fn read(files: &Files, dir: &Path) -> Result<Option<String>, crate::disk::Error> {
    match files.read(&path(dir)) {
        Ok(bytes) => Ok(Some(text_of(&bytes))),
        Err(e) if e.kind() == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The identity that lies in an open directory. Blocks.
pub fn read_in(dir: &Anchor) -> Result<Option<String>, crate::disk::Error> {
    Ok(dir.read(FILE_NAME, FILE_BYTES_MAX)?.map(|bytes| text_of(&bytes)))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().chars().take(IDENTITY_CHARS).collect()
}
