//! One file back into its row, and its checksum. Everything here blocks.

use super::{
    Error, Summing,
    layout::{self, Name},
};
use crate::{
    disk::{self, Files},
    media::{
        fmp4::read::{ScanError, Scanned, Tail, scan},
        jpeg::{self, Mark},
    },
    model::{Checksum, SampleTable, Segment, StreamKey, Sum, segment::PICTURE},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes that are read at once for a checksum.
const SUM_READ_BYTES: usize = 1 << 20;
/// Header boxes lie close together; one read of so many bytes saves most of the small ones.
const SCAN_READ_BYTES: usize = 4096;

/// Cameras may pad a picture with zeros; its end is looked for within so many bytes.
const PADDING_BYTES_MAX: usize = 64;

/// What a file turned out to be.
#[derive(Debug)]
pub enum Read {
    /// Footage, with its row as it would be complete but for the checksum.
    Segment(Box<Segment>, Arc<SampleTable>, Tail),
    /// A file without one whole fragment: nothing that plays.
    Empty,
    /// Not footage, or not the footage that its name says; it is left alone.
    Damaged(String),
}

/// What is done with the torn tail that a crash left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// It is cut off.
    Cut,
    /// It stays, outside of what the row counts.
    Leave,
}

/// Path of a file below `dir`.
pub fn path_of(dir: &Path, stream: &StreamKey, name: Name) -> PathBuf {
    dir.join(layout::path(stream, crate::base::Wall::from_millis(name.start_ms), name.suffix))
}

/// Reads a file by its headers. Failures of the disk are errors; what is wrong with the file is an answer.
pub fn read(files: &Files, dir: &Path, stream: &StreamKey, name: Name, torn: Torn) -> Result<Read, Error> {
    read_at(files, &path_of(dir, stream, name), stream, name, torn)
}

/// The same of a file that is not called by its name yet.
pub fn read_at(files: &Files, path: &Path, stream: &StreamKey, name: Name, torn: Torn) -> Result<Read, Error> {
    if name.suffix & PICTURE != 0 {
        return read_picture(files, path, stream, name);
    }
    let scanned = match scan_file(files, path) {
        Ok(scanned) => scanned,
        Err(ScanError::Read(e)) => return Err(e.into()),
        Err(ScanError::Format(_)) if files.len_of(path)? == Some(0) => return Ok(Read::Empty),
        Err(ScanError::Format(e)) => return Ok(Read::Damaged(e.to_string())),
    };
    let origin = &scanned.origin;
    if origin.stream != *stream || layout::nameable(origin.start).millis() != name.start_ms {
        return Ok(Read::Damaged(format!("it says that it is {} of {}", origin.stream, origin.start)));
    }
    if scanned.table.video.sizes.is_empty() {
        let worthless = scanned.damaged_fragments == 0 && scanned.tail != Tail::Foreign;
        return Ok(if worthless { Read::Empty } else { Read::Damaged("no fragment of it can be read".into()) });
    }
    if scanned.tail == Tail::Torn && torn == Torn::Cut {
        let mut file = files.open_append(path)?;
        file.truncate(scanned.whole_bytes)?;
        file.sync_data()?;
    }
    let segment = row_of(&scanned, name.suffix);
    Ok(Read::Segment(Box::new(segment), Arc::new(scanned.table), scanned.tail))
}

/// A picture is written whole before it has its name, so there is no torn one to cut.
fn read_picture(files: &Files, path: &Path, stream: &StreamKey, name: Name) -> Result<Read, Error> {
    let file = files.open_read(path)?;
    let len = file.len()?;
    let (mut begin, mut end) = (vec![0; jpeg::MARK_WITHIN_BYTES], vec![0; PADDING_BYTES_MAX]);
    let read = file.read_at(0, &mut begin)?;
    let read_end = file.read_at(len.saturating_sub(PADDING_BYTES_MAX as u64), &mut end)?;
    let mark = match jpeg::read_mark(&begin[..read]) {
        _ if len == 0 => return Ok(Read::Empty),
        Ok(mark) => mark,
        Err(error) => return Ok(Read::Damaged(error.to_string())),
    };
    let Mark { origin, ticks, .. } = &mark;
    if origin.stream != *stream || layout::nameable(origin.start).millis() != name.start_ms {
        return Ok(Read::Damaged(format!("it says that it is {} of {}", origin.stream, origin.start)));
    }
    let Some(bytes) = u32::try_from(len).ok().filter(|_| jpeg::is_whole(&end[..read_end])) else {
        return Ok(Read::Damaged("the picture is cut off".into()));
    };
    let segment = Segment {
        stream: origin.stream.clone(),
        start: origin.start,
        duration_ticks: u64::from(*ticks),
        bytes: len,
        frames: 1,
        session: origin.session,
        index: origin.index,
        name_suffix: name.suffix,
        closed: true,
        sum: Sum::None,
    };
    Ok(Read::Segment(Box::new(segment), Arc::new(jpeg::table(&mark, bytes)), Tail::None))
}

/// Reads the first `bytes` of a file and sums them up.
pub fn sum(files: &Files, path: &Path, bytes: u64, checksum: Checksum) -> Result<Sum, disk::Error> {
    let file = files.open_read(path)?;
    let mut summing = Summing::new(checksum);
    let mut buffer = vec![0; SUM_READ_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(at, &mut buffer[..len])?;
        summing.update(&buffer[..len]);
        at += len as u64;
    }
    Ok(summing.finish())
}

fn scan_file(files: &Files, path: &Path) -> Result<Scanned, ScanError<disk::Error>> {
    let file = files.open_read(path).map_err(ScanError::Read)?;
    let len = file.len().map_err(ScanError::Read)?;
    let mut window = (0u64, Vec::<u8>::new());
    scan(len, |at, buffer| {
        let held =
            |window: &(u64, Vec<u8>)| at >= window.0 && at + buffer.len() as u64 <= window.0 + window.1.len() as u64;
        if !held(&window) {
            if buffer.len() > SCAN_READ_BYTES {
                return file.read_exact_at(at, buffer);
            }
            let wanted = usize::try_from(len - at).unwrap_or(usize::MAX).min(SCAN_READ_BYTES);
            window = (at, vec![0; wanted]);
            file.read_exact_at(at, &mut window.1)?;
        }
        let from = usize::try_from(at - window.0).unwrap_or(usize::MAX);
        buffer.copy_from_slice(&window.1[from..from + buffer.len()]);
        Ok(())
    })
}

fn row_of(scanned: &Scanned, name_suffix: u32) -> Segment {
    let video = &scanned.table.video;
    Segment {
        stream: scanned.origin.stream.clone(),
        start: scanned.origin.start,
        duration_ticks: video.duration_ticks(),
        bytes: scanned.whole_bytes,
        frames: u32::try_from(video.sizes.len()).unwrap_or(u32::MAX),
        session: scanned.origin.session,
        index: scanned.origin.index,
        name_suffix,
        closed: true,
        sum: Sum::None,
    }
}
