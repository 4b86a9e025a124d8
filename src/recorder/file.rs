//! One file on the disk: begun with its first fragment, then only appended to. The steps are those of the writer.
//! Everything here blocks.

use super::{Checksum, Error};
use crate::{
    archive::{Archive, DIR_MODE, layout},
    base::{Kind, Wall},
    disk::{self, Anchor, File, Files},
    media::fmp4::write::Fragment,
    model::StreamKey,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Names that are tried where files lie about that no row speaks of.
const NAMES_TRIED_MAX: u32 = 100;

/// Where a new file goes.
pub struct Place {
    /// Where files lie.
    pub archive: Archive,
    /// The stream.
    pub stream: StreamKey,
    /// The start, which no other segment of the stream has.
    pub start: Wall,
    /// The suffix to begin with.
    pub suffix: u32,
    /// Whether it is to survive a power cut.
    pub durable: bool,
    /// Whether it is summed up.
    pub checksum: Checksum,
}

/// A new file with its first fragment.
pub struct Made {
    /// To write more.
    pub out: Out,
    /// The suffix that its name got.
    pub suffix: u32,
    /// Whether its entry is durable. Where that failed the file is there all the same, and may not be thrown away.
    pub directory: Result<(), disk::Error>,
}

impl Place {
    /// Steps 1 and 2. Blocks.
    pub fn make(mut self, files: &Files, header: &[u8], fragment: &Fragment) -> Result<Made, Error> {
        // From here on below the directory that was found to be the right one: what is mounted or unmounted meanwhile
        // changes nothing of where this file goes.
        let root = self.archive.enter(files)?;
        let path = self.free_path(&root)?;
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(layout::UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let result = self.write(&root, &directory, &unfinished, header, fragment).and_then(|mut out| {
            root.rename(&unfinished, &path)?;
            out.file.renamed(root.path().join(path));
            Ok(out)
        });
        let out = match result {
            Ok(out) => out,
            Err(error) => {
                // What is left of a failed removal goes at the next start.
                let _ = root.remove_file(&unfinished);
                return Err(error.into());
            }
        };
        let directory = if self.durable { root.sync_dir(&directory) } else { Ok(()) };
        Ok(Made { out, suffix: self.suffix, directory })
    }

    /// A name that no file has: one may lie there that no row speaks of, and it is not overwritten.
    fn free_path(&mut self, root: &Anchor) -> Result<PathBuf, Error> {
        let first = self.suffix;
        loop {
            let path = layout::path(&self.stream, self.start, self.suffix);
            if root.len_of(&path)?.is_none() || self.suffix - first >= NAMES_TRIED_MAX {
                return Ok(path);
            }
            self.suffix += 1;
        }
    }

    fn write(
        &self,
        root: &Anchor,
        directory: &Path,
        path: &Path,
        header: &[u8],
        fragment: &Fragment,
    ) -> Result<Out, disk::Error> {
        let create = || {
            root.create_dir_all_durable(directory, DIR_MODE)?;
            root.create_new(path)
        };
        let mut file = match create() {
            // Retention may have removed the empty directory in between.
            Err(e) if e.kind() == Kind::NotFound => create()?,
            // Left over by a failure.
            Err(e) if e.kind() == Kind::Conflict => {
                root.remove_file(path)?;
                create()?
            }
            other => other?,
        };
        let slices = slices(header, fragment);
        file.append_vectored(&slices)?;
        if self.durable {
            file.sync_data()?;
        }
        let mut hasher = (self.checksum == Checksum::Sha256).then(Sha256::new);
        sum(&mut hasher, &slices);
        Ok(Out { file, hasher, dirty: false })
    }
}

/// An open file that is only appended to. It goes to a disk thread and comes back.
pub struct Out {
    file: File,
    /// None where nobody wants a sum.
    hasher: Option<Sha256>,
    /// Something was written since the last sync.
    dirty: bool,
}

impl Out {
    /// Step 4. Answers the file too, where it holds exactly what is listed. Blocks.
    pub fn append(mut self, fragment: &Fragment, sync: bool) -> (Option<Self>, Result<(), disk::Error>) {
        let whole = self.file.end();
        let slices = slices(&[], fragment);
        if let Err(error) = self.file.append_vectored(&slices) {
            // Where cutting fails too, the next start cuts the tail.
            let cut = self.file.truncate(whole).is_ok();
            return (cut.then_some(Self { dirty: true, ..self }), Err(error));
        }
        if sync && let Err(error) = self.make_durable() {
            return (None, Err(error));
        }
        sum(&mut self.hasher, &slices);
        (Some(Self { dirty: !sync, ..self }), Ok(()))
    }

    /// Forces what was written to the disk. A file whose sync failed is gone: it may not be tried again. Blocks.
    pub fn sync(self) -> Result<Self, disk::Error> {
        self.make_durable()?;
        Ok(Self { dirty: false, ..self })
    }

    /// What is durable in a file without a name is lost all the same.
    fn make_durable(&self) -> Result<(), disk::Error> {
        self.file.sync_data()?;
        self.file.check_named()
    }

    /// Whether something was written since the last sync.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// SHA-256 of all that was appended; None where it is not summed.
    pub fn sha256(self) -> Option<[u8; 32]> {
        self.hasher.map(|hasher| hasher.finalize().into())
    }
}

/// Here, on the thread that has just copied these bytes into the page cache: they are still in the core's own cache.
fn sum(hasher: &mut Option<Sha256>, slices: &[&[u8]]) {
    if let Some(hasher) = hasher {
        slices.iter().for_each(|slice| hasher.update(slice));
    }
}

fn slices<'a>(header: &'a [u8], fragment: &'a Fragment) -> Vec<&'a [u8]> {
    let parts = [header, &fragment.head];
    parts.into_iter().chain(fragment.body.iter().map(Bytes::as_ref)).filter(|s| !s.is_empty()).collect()
}
