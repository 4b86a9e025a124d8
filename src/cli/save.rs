//! A download that becomes a file whole or not at all: `FILE.part`, fsync, rename.

use super::{daemon::Daemon, error::Error};
use crate::{
    disk::{self, Files},
    outbound::Download,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};

/// Pieces are gathered up to this before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Where a download goes. Dropped before [`Target::keep`], it leaves nothing behind.
pub(super) struct Target {
    files: Files,
    path: PathBuf,
    part: PathBuf,
    file: disk::File,
    bytes: u64,
    kept: bool,
}

impl Target {
    /// Begins `path`. A part that a killed command left is replaced.
    pub(super) fn begin(path: &Path, force: bool) -> Result<Self, Error> {
        let Some(name) = path.file_name() else {
            return Err(Error::Usage(format!("`{}` is not the name of a file", path.display())));
        };
        if path.is_dir() || (!force && path.symlink_metadata().is_ok()) {
            return Err(Error::Exists(path.to_owned()));
        }
        let files = Files::real();
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = path.with_file_name(part_name);
        if part.symlink_metadata().is_ok() {
            files.remove_file(&part)?;
        }
        let file = files.create_new(&part)?;
        Ok(Self { files, path: path.to_owned(), part, file, bytes: 0, kept: false })
    }

    /// Adds bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.append_vectored(&[bytes])?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes the file durable under its name. Its length.
    pub(super) fn keep(mut self) -> Result<u64, Error> {
        self.file.sync_data()?;
        self.files.rename(&self.part, &self.path)?;
        self.kept = true;
        let dir = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.files.sync_dir(dir)?;
        Ok(self.bytes)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.kept {
            // The command has failed already; a part that cannot be removed is replaced by the next one.
            let _ = self.files.remove_file(&self.part);
        }
    }
}

/// Fills `target` with a download, with a progress bar where somebody sees it.
pub(super) async fn fill(
    target: &mut Target,
    daemon: &Daemon,
    mut download: Download,
    length: Option<u64>,
) -> Result<(), Error> {
    let bar = progress(length);
    let mut gathered = Vec::with_capacity(WRITE_BYTES);
    while let Some(piece) = download.next().await.map_err(|e| daemon.failed(e))? {
        bar.inc(piece.len() as u64);
        gathered.extend_from_slice(&piece);
        if gathered.len() >= WRITE_BYTES {
            target.write(&gathered)?;
            gathered.clear();
        }
    }
    target.write(&gathered)?;
    bar.finish_and_clear();
    match length {
        Some(length) if length != target.bytes => Err(daemon.odd(&format!("{} of {length} bytes came", target.bytes))),
        _ => Ok(()),
    }
}

/// Waits for the work, or for Ctrl-C or SIGTERM, at which what was begun is dropped.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Error>>,
    left: &str,
) -> Result<T, Error> {
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(Error::Start)?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted(left.to_owned())),
        _ = terminate.recv() => Err(Error::Interrupted(left.to_owned())),
    }
}

fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:32} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes}  {binary_bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("█▉▊▋▌▍▎▏ ")),
        Err(_) => bar,
    }
}
