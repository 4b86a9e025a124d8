//! One file compared with its row. Everything here blocks, and changes nothing.

use super::{
    Error,
    index::Index,
    layout::Name,
    scan::{self, Read, Torn},
};
use crate::{
    base::Kind,
    disk::{File, Files},
    media::fmp4::read::Tail,
    model::{SampleTable, Segment, StreamKey, segment::PICTURE},
};
use serde::Serialize;
use std::path::Path;

/// Bytes of a box's length and kind.
const BOX_HEAD_BYTES: u64 = 8;

/// What can be wrong with a row or its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A row whose file is not there.
    NoFile,
    /// A file that no row speaks of.
    NoRow,
    /// The file is shorter than its row says.
    Short,
    /// The file goes on behind what its row says: a torn tail.
    Tail,
    /// The row, or its sample table, is not what the file says.
    WrongRow,
    /// The row was left as growing, and nothing writes it.
    LeftOpen,
    /// The file is not footage, or not the footage that its name says, or a fragment of it is damaged.
    Damaged,
    /// The bytes are not those that were recorded.
    Checksum,
    /// The file, or its row, cannot be read.
    Unreadable,
    /// A row of a gap cannot be read.
    GapUnreadable,
    /// A row of a gap lies over another one, or ends before it begins.
    GapOverlap,
    /// The last gap of a stream ends where no footage is.
    GapBeyond,
}

impl Fault {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoFile => "no_file",
            Self::NoRow => "no_row",
            Self::Short => "short",
            Self::Tail => "tail",
            Self::WrongRow => "wrong_row",
            Self::LeftOpen => "left_open",
            Self::Damaged => "damaged",
            Self::Checksum => "checksum",
            Self::Unreadable => "unreadable",
            Self::GapUnreadable => "gap_unreadable",
            Self::GapOverlap => "gap_overlap",
            Self::GapBeyond => "gap_beyond",
        }
    }
}

/// How much of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Its length, and where its last fragment ends.
    Shallow,
    /// All of it.
    Deep,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is wrong, and in words.
    pub fault: Option<(Fault, String)>,
    /// There is a row.
    pub has_row: bool,
    /// Bytes that were read and summed up.
    pub bytes_read: u64,
    /// Its last write failed, and row and file are yet to be made to agree.
    pub unsettled: bool,
}

/// Compares the file of this name with its row. Failures of the index are errors; what is wrong with the two of them is
/// an answer.
pub fn check(
    files: &Files,
    dir: &Path,
    index: &Index,
    stream: &StreamKey,
    name: Name,
    depth: Depth,
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let path = scan::path_of(dir, stream, name);
    let row = index.named(stream, name)?;
    checked.has_row = row.is_some();
    let len = match files.len_of(&path) {
        Ok(len) => len,
        Err(e) => {
            checked.fault = Some((Fault::Unreadable, e.to_string()));
            return Ok(checked);
        }
    };
    checked.fault = match (row, len) {
        // It went meanwhile, with its row.
        (None, None) => None,
        (Some(_), None) => Some((Fault::NoFile, "the index lists it, and it is not there".to_owned())),
        (None, Some(len)) => Some((Fault::NoRow, format!("{len} bytes that the index does not list"))),
        (Some(row), Some(len)) => {
            let found = compare(files, dir, index, &row, name, len, depth, &mut checked);
            match found {
                Err(Error::Disk(e)) if e.kind() == Kind::NotFound => None,
                Err(Error::Disk(e)) => Some((Fault::Unreadable, e.to_string())),
                other => other?,
            }
        }
    };
    Ok(checked)
}

#[expect(clippy::too_many_arguments, reason = "it is the second half of `check`")]
fn compare(
    files: &Files,
    dir: &Path,
    index: &Index,
    row: &Segment,
    name: Name,
    len: u64,
    depth: Depth,
    checked: &mut Checked,
) -> Result<Option<(Fault, String)>, Error> {
    let fault = |fault, what: String| Ok(Some((fault, what)));
    if !row.closed {
        return fault(Fault::LeftOpen, "its row says that it is being written; the next start completes it".to_owned());
    }
    // Its last write or sync failed. The one that sums it up makes both agree.
    if len != row.bytes && index.is_unhashed(&row.stream, row.start)? {
        checked.unsettled = true;
        return Ok(None);
    }
    if len < row.bytes {
        return fault(Fault::Short, format!("{len} bytes, its row says {}", row.bytes));
    }
    if len > row.bytes {
        return fault(Fault::Tail, format!("{} bytes behind the {} that its row says", len - row.bytes, row.bytes));
    }
    let Some(table) = index.table(&row.stream, row.start)? else {
        return fault(Fault::WrongRow, "its row has no sample table".to_owned());
    };
    let picture = name.suffix & PICTURE != 0;
    if depth == Depth::Shallow && !picture {
        let file = files.open_read(&scan::path_of(dir, &row.stream, name))?;
        return Ok(last_fragment(&file, row, &table)?.map(|what| (Fault::Damaged, what)));
    }
    let (mut said, found_table, tail) = match scan::read(files, dir, &row.stream, name, Torn::Leave)? {
        Read::Segment(segment, table, tail) => (*segment, table, tail),
        Read::Empty => return fault(Fault::Damaged, "it holds no whole fragment".to_owned()),
        Read::Damaged(what) => return fault(Fault::Damaged, what),
    };
    if tail != Tail::None {
        return fault(Fault::Damaged, format!("only its first {} bytes can be understood", said.bytes));
    }
    if depth == Depth::Deep {
        // Also where there is nothing to compare with: what cannot be read shows.
        let sum = scan::sum(files, &scan::path_of(dir, &row.stream, name), row.bytes, row.sum.checksum())?;
        checked.bytes_read += row.bytes;
        if row.sum != sum {
            return fault(Fault::Checksum, "its bytes are not those that were recorded".to_owned());
        }
    }
    said.sum = row.sum;
    if said != *row {
        return fault(Fault::WrongRow, "its row says something else than the file".to_owned());
    }
    if *found_table != table {
        return fault(Fault::WrongRow, "its sample table says something else than the file".to_owned());
    }
    Ok(None)
}

/// Whether the last fragment that the table knows ends where the row says that the file does.
fn last_fragment(file: &File, row: &Segment, table: &SampleTable) -> Result<Option<String>, Error> {
    let ends_there = |offset: u64| -> Result<bool, Error> {
        let Some(at) = offset.checked_sub(BOX_HEAD_BYTES).filter(|at| at + BOX_HEAD_BYTES <= row.bytes) else {
            return Ok(false);
        };
        let mut head = [0; BOX_HEAD_BYTES as usize];
        file.read_exact_at(at, &mut head)?;
        let (size, kind) = head.split_at(4);
        let size = u32::from_be_bytes(size.try_into().unwrap_or_default());
        Ok(kind == b"mdat" && at + u64::from(size) == row.bytes)
    };
    // The last fragment may hold both tracks, or one of them alone.
    for chunk in [table.video.chunks.last(), table.audio.chunks.last()].into_iter().flatten() {
        if ends_there(chunk.offset)? {
            return Ok(None);
        }
    }
    Ok(Some("its last fragment does not end where the file does".to_owned()))
}
