//! At start: files that a crash left without their name. What holds a whole fragment is footage, and gets its name in the
//! order that the recorder keeps, too: data, name, directory, and only then a row. The rest goes. Everything here blocks.

use super::{
    Error,
    layout::{self, Name},
    scan::{self, Read, Torn},
};
use crate::{
    disk::{self, Files},
    model::StreamKey,
};
use std::path::Path;

/// Gives a file its name, where it holds footage: which name that is. Else it is removed, and the answer is None.
pub(super) fn name(files: &Files, dir: &Path, stream: &StreamKey, name: Name) -> Result<Option<Name>, Error> {
    let path = layout::unfinished(&scan::path_of(dir, stream, name));
    let read = match files.len_of(&path)? {
        // What is torn behind it is cut when it is indexed.
        Some(_) => scan::read_at(files, &path, stream, name, Torn::Leave)?,
        None => return Ok(None),
    };
    if let Read::Empty | Read::Damaged(_) = read {
        files.remove_file(&path)?;
        return Ok(None);
    }
    // It may be in the system's memory alone, and so may what leads to it.
    files.open_append(&path)?.sync_data()?;
    make_way_durable(files, dir, &path)?;
    let name = free(files, dir, stream, name)?;
    let named = scan::path_of(dir, stream, name);
    files.rename(&path, &named)?;
    files.sync_dir(named.parent().unwrap_or(dir))?;
    Ok(Some(name))
}

/// A name that no file has: one that was given meanwhile is not taken away.
fn free(files: &Files, dir: &Path, stream: &StreamKey, mut name: Name) -> Result<Name, disk::Error> {
    while files.len_of(&scan::path_of(dir, stream, name))?.is_some() {
        name.suffix += 1;
    }
    Ok(name)
}

/// Directories are durable before the first file in them gets its name.
fn make_way_durable(files: &Files, dir: &Path, path: &Path) -> Result<(), disk::Error> {
    let hour = path.parent().unwrap_or(dir);
    if files.list(hour)?.iter().any(|entry| !entry.name.ends_with(layout::UNFINISHED)) {
        return Ok(());
    }
    let mut way = hour.ancestors().skip(1).take_while(|directory| directory.starts_with(dir));
    way.try_for_each(|directory| files.sync_dir(directory))
}
