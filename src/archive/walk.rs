//! What lies in the recordings directory, read by names alone. Everything here blocks. Entries that are not spelled as
//! ours are passed over and counted; links are not followed.

use super::layout::{self, Entry, Hour, Name};
use crate::{
    base::Kind,
    disk::{self, Files},
    model::{DeviceId, StreamKey},
};
use std::path::Path;

/// What was found, and how many entries were not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files with a segment's name, in order of time.
    pub segments: Vec<Name>,
    /// Files whose first fragment was not durable yet.
    pub unfinished: Vec<Name>,
    /// Entries that are not ours.
    pub foreign: u64,
}

/// The streams that have a directory, and how many entries are none.
pub fn streams(files: &Files, dir: &Path) -> Result<(Vec<StreamKey>, u64), disk::Error> {
    let (mut streams, mut foreign) = (Vec::new(), 0);
    for device in list(files, dir)? {
        // What is not a device's directory is not looked into: `lost+found` may be closed to us.
        if !device.is_dir || device.name.parse::<DeviceId>().is_err() {
            foreign += u64::from(!device.name.starts_with('.'));
            continue;
        }
        for channel in list(files, &dir.join(&device.name))? {
            if !channel.is_dir || channel.name.parse::<u32>().is_err() {
                foreign += 1;
                continue;
            }
            for profile in list(files, &dir.join(&device.name).join(&channel.name))? {
                match format!("{}/{}/{}", device.name, channel.name, profile.name).parse() {
                    Ok(stream) if profile.is_dir => streams.push(stream),
                    _ => foreign += 1,
                }
            }
        }
    }
    streams.sort_unstable();
    Ok((streams, foreign))
}

/// A stream's files, from the directory of hour `from` on.
pub fn segments(files: &Files, dir: &Path, stream: &StreamKey, from: Option<Hour>) -> Result<Found, disk::Error> {
    let mut found = Found::default();
    let root = dir.join(layout::stream_dir(stream));
    descend(files, &root, &mut Vec::new(), from, &mut found)?;
    found.segments.sort_unstable();
    Ok(found)
}

/// Year, month, day and hour are four levels.
fn descend(
    files: &Files,
    at: &Path,
    parts: &mut Vec<String>,
    from: Option<Hour>,
    found: &mut Found,
) -> Result<(), disk::Error> {
    for entry in list(files, at)? {
        let hour_of = |parts: &[String]| match parts {
            [y, m, d, h] => Hour::parse([y, m, d, h]),
            _ => None,
        };
        if let Some(hour) = hour_of(parts) {
            match layout::classify(hour, &entry.name) {
                Entry::Segment(name) if !entry.is_dir => found.segments.push(name),
                Entry::Unfinished(name) if !entry.is_dir => found.unfinished.push(name),
                _ => found.foreign += 1,
            }
            continue;
        }
        parts.push(entry.name);
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let whole = parts.len() < 4 || hour_of(parts).is_some();
        let digits = names.iter().all(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if !entry.is_dir || !digits || !whole {
            found.foreign += 1;
        } else if from.is_none_or(|from| from.reaches(&names)) {
            let below = at.join(names[names.len() - 1]);
            descend(files, &below, parts, from, found)?;
        }
        parts.pop();
    }
    Ok(())
}

/// A directory that vanished meanwhile is empty.
fn list(files: &Files, dir: &Path) -> Result<Vec<disk::Entry>, disk::Error> {
    match files.list(dir) {
        Err(e) if e.kind() == Kind::NotFound => Ok(Vec::new()),
        other => other,
    }
}
