//! One file on the disk: begun with its first fragment, then only appended to; and beside that what makes it durable and
//! gives it its name. The steps are those of the writer. Everything here blocks.

use super::Error;
use crate::{
    archive::{Archive, DIR_MODE, Summing, layout},
    base::{Kind, Wall},
    disk::{self, Anchor, File, Files, Syncer},
    media::fmp4::write::Fragment,
    model::{Checksum, StreamKey, Sum},
};
use bytes::Bytes;
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
    /// What it is summed up by.
    pub checksum: Checksum,
}

/// A new file with its first fragment, which the system has and the disk may not have yet.
pub struct Created {
    /// To write more.
    pub out: Out,
    /// The suffix that its name will get.
    pub suffix: u32,
    /// To give it its name.
    pub nameless: Nameless,
}

impl Place {
    /// Step 1. Blocks, but waits for no sync.
    pub fn create(mut self, files: &Files, header: &[u8], fragment: &Fragment) -> Result<Created, Error> {
        // From here on below the directory that was found to be the right one: what is mounted or unmounted meanwhile
        // changes nothing of where this file goes.
        let root = self.archive.enter(files)?;
        let (path, unfinished) = self.free_path(&root)?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let slices = slices(header, fragment);
        let mut entered = Vec::new();
        let mut file = match write(&root, &directory, &unfinished, &slices, &mut entered) {
            Ok(file) => file,
            Err(error) => {
                // Whoever comes next finds the directories there, and does not know that they are new.
                let _ = sync_all(&root, &entered);
                return Err(error.into());
            }
        };
        let mut summing = Summing::new(self.checksum);
        sum(&mut summing, &slices);
        let syncer = file.syncer();
        file.renamed(root.path().join(&path));
        let nameless = Nameless { root, syncer, entered, directory, unfinished, path };
        Ok(Created { out: Out { file, summing }, suffix: self.suffix, nameless })
    }

    /// A name that no file has or is to get: one may lie there that no row speaks of, and it is not overwritten.
    fn free_path(&mut self, root: &Anchor) -> Result<(PathBuf, PathBuf), Error> {
        let first = self.suffix;
        loop {
            let path = layout::path(&self.stream, self.start, self.suffix);
            let unfinished = layout::unfinished(&path);
            let taken = root.len_of(&path)?.is_some() || root.len_of(&unfinished)?.is_some();
            if !taken || self.suffix - first >= NAMES_TRIED_MAX {
                return Ok((path, unfinished));
            }
            self.suffix += 1;
        }
    }
}

/// A new file with these bytes, in a directory that is made where it is not there; `entered` takes the directories that
/// got a new one.
fn write(
    root: &Anchor,
    directory: &Path,
    path: &Path,
    slices: &[&[u8]],
    entered: &mut Vec<PathBuf>,
) -> Result<File, disk::Error> {
    let mut create = || {
        entered.extend(root.create_dir_all(directory, DIR_MODE)?);
        root.create_new(path)
    };
    let mut file = match create() {
        // Retention may have removed the empty directory in between.
        Err(e) if e.kind() == Kind::NotFound => create()?,
        other => other?,
    };
    file.append_vectored(slices).inspect_err(|_| {
        // What is left of a failed removal goes at the next start.
        let _ = root.remove_file(path);
    })?;
    Ok(file)
}

/// Each of them, also where one fails: it is not asked for again.
fn sync_all(root: &Anchor, directories: &[PathBuf]) -> Result<(), disk::Error> {
    directories.iter().map(|directory| root.sync_dir(directory)).fold(Ok(()), Result::and)
}

/// A file that has no name that players and the index know, and that the next start looks at before it believes it.
pub struct Nameless {
    root: Anchor,
    syncer: Syncer,
    /// Directories with new entries on the way to it.
    entered: Vec<PathBuf>,
    directory: PathBuf,
    unfinished: PathBuf,
    path: PathBuf,
}

/// A file that has its name.
pub struct Named {
    /// To make durable what is appended to it.
    pub syncer: Syncer,
    /// Whether its entry is durable. Where that failed the file is there all the same, and may not be thrown away.
    pub directory: Result<(), disk::Error>,
}

impl Nameless {
    /// Steps 2 and 3; `durable` where it is to survive a power cut. What cannot get its name is thrown away. Blocks.
    pub fn name(mut self, durable: bool) -> Result<Named, disk::Error> {
        if let Err(error) = self.try_name(durable) {
            // What is left of a failed removal goes at the next start.
            let _ = self.root.remove_file(&self.unfinished);
            return Err(error);
        }
        self.syncer.renamed(self.root.path().join(self.path));
        let directory = if durable { self.root.sync_dir(&self.directory) } else { Ok(()) };
        Ok(Named { syncer: self.syncer, directory })
    }

    fn try_name(&self, durable: bool) -> Result<(), disk::Error> {
        sync_all(&self.root, &self.entered)?;
        if durable {
            self.syncer.sync_data()?;
        }
        self.root.rename(&self.unfinished, &self.path)
    }
}

/// An open file that is only appended to. It goes to a disk thread and comes back.
pub struct Out {
    file: File,
    summing: Summing,
}

impl Out {
    /// Step 5. A file whose write failed is gone. Blocks, but waits for no sync.
    pub fn append(mut self, fragment: &Fragment) -> Result<Self, disk::Error> {
        let whole = self.file.end();
        let slices = slices(&[], fragment);
        if let Err(error) = self.file.append_vectored(&slices) {
            // Where cutting fails too, the archive cuts the tail.
            let _ = self.file.truncate(whole);
            return Err(error);
        }
        sum(&mut self.summing, &slices);
        Ok(self)
    }

    /// Bytes that were written whole.
    pub fn bytes(&self) -> u64 {
        self.file.end()
    }

    /// Of all that was appended.
    pub fn sum(self) -> Sum {
        self.summing.finish()
    }
}

/// Here, on the thread that has just copied these bytes into the page cache: they are still in the core's own cache.
fn sum(summing: &mut Summing, slices: &[&[u8]]) {
    slices.iter().for_each(|slice| summing.update(slice));
}

fn slices<'a>(header: &'a [u8], fragment: &'a Fragment) -> Vec<&'a [u8]> {
    let parts = [header, &fragment.head];
    parts.into_iter().chain(fragment.body.iter().map(Bytes::as_ref)).filter(|s| !s.is_empty()).collect()
}
