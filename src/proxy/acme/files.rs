//! What is kept: the account, and one file with key and chain for each entry. A file is whole or not there: it is written
//! beside, made durable, and renamed.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const ACCOUNT: &str = "account.json";
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Neither is longer, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The account that was kept for this authority.
pub(super) fn account(dir: &Path) -> io::Result<Option<Vec<u8>>> {
    let path = dir.join(ACCOUNT);
    match fs::metadata(&path) {
        Ok(meta) if meta.len() > FILE_BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read(path).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(super) fn keep_account(dir: &Path, text: &[u8]) -> io::Result<()> {
    keep(&dir.join(ACCOUNT), text)
}

/// Keeps a file that only we may read.
pub(super) fn keep(path: &Path, text: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    let beside = PathBuf::from(format!("{}.new", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    fs::File::open(dir)?.sync_all()
}
