//! The thread that writes lines. It alone waits for the disk.

use crate::proxy::settings::AccessLog;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt},
        net::UnixDatagram,
    },
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};
use tokio::sync::oneshot;

/// Where the journal takes entries.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Batches that may wait: some megabytes. What comes beyond is dropped.
const BATCHES_WAITING_MAX: usize = 64;

/// The way to a thread that writes what it is handed, until this is dropped.
pub(in crate::proxy) struct Writer {
    lines: SyncSender<Vec<u8>>,
    ended: oneshot::Receiver<()>,
}

impl Writer {
    /// One that writes there; none where nothing is to be written.
    pub(super) fn start(log: &AccessLog) -> Option<Self> {
        if *log == AccessLog::Off {
            return None;
        }
        let (lines, waiting) = sync_channel(BATCHES_WAITING_MAX);
        let log = log.clone();
        let (end, ended) = oneshot::channel();
        let started = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            match log {
                AccessLog::File { path, .. } => to_file(&path, &waiting),
                AccessLog::Journald { .. } => to_journal(Path::new(JOURNAL), &waiting),
                _ => waiting.iter().for_each(|lines: Vec<u8>| drop(io::stdout().lock().write_all(&lines))),
            }
            // Mostly nobody waits for it.
            let _ = end.send(());
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for the access log, it is not written");
            return None;
        }
        Some(Self { lines, ended })
    }

    /// False: it has more waiting than it may, and these are dropped.
    pub(super) fn take(&self, lines: Vec<u8>) -> bool {
        self.lines.try_send(lines).is_ok()
    }

    /// Ends once all that it took is written.
    pub(super) async fn end(self) {
        drop(self.lines);
        // An error is the end of the thread, too.
        let _ = self.ended.await;
    }
}

/// Each line is an entry of its own, found by `journalctl -t skyvis-access`.
fn to_journal(socket: &Path, waiting: &Receiver<Vec<u8>>) {
    let mut told = false;
    for lines in waiting {
        let sent = UnixDatagram::unbound().and_then(|journal| {
            journal.connect(socket)?;
            for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                journal.send(&[b"PRIORITY=6\nSYSLOG_IDENTIFIER=skyvis-access\nMESSAGE=", line, b"\n"].concat())?;
            }
            Ok(())
        });
        match sent {
            Ok(()) => told = false,
            Err(error) if !told => {
                tracing::error!(%error, "the journal takes no access log; lines are lost");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// A file that was moved away, as log rotation does, is not written any more: a new one takes its place.
fn to_file(path: &Path, waiting: &Receiver<Vec<u8>>) {
    let mut open: Option<File> = None;
    let mut told = false;
    for lines in waiting {
        let written = still_there(path, open.take()).and_then(|mut file| {
            file.write_all(&lines)?;
            Ok(file)
        });
        match written {
            Ok(file) => {
                open = Some(file);
                told = false;
            }
            Err(error) if !told => {
                tracing::error!(path = %path.display(), %error, "the access log cannot be written; lines are lost");
                told = true;
            }
            Err(_) => {}
        }
    }
}

fn still_there(path: &Path, open: Option<File>) -> io::Result<File> {
    if let (Some(file), Ok(there)) = (&open, std::fs::metadata(path)) {
        let ours = file.metadata()?;
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            return open.ok_or_else(|| io::ErrorKind::NotFound.into());
        }
    }
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_entry_of_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let (lines, waiting) = sync_channel(8);
        lines.send(b"one\ntwo\n".to_vec()).unwrap();
        drop(lines);
        to_journal(&path, &waiting);
        let mut entry = [0; 200];
        for line in ["one", "two"] {
            let n = journal.recv(&mut entry).unwrap();
            let expected = format!("PRIORITY=6\nSYSLOG_IDENTIFIER=skyvis-access\nMESSAGE={line}\n");
            assert_eq!(std::str::from_utf8(&entry[..n]).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let (lines, waiting) = sync_channel(8);
        std::thread::scope(|scope| {
            let written = path.clone();
            let writing = scope.spawn(move || to_file(&written, &waiting));
            lines.send(b"one\n".to_vec()).unwrap();
            while std::fs::read(&path).unwrap_or_default() != b"one\n" {
                std::thread::yield_now();
            }
            std::fs::rename(&path, &moved).unwrap();
            lines.send(b"two\n".to_vec()).unwrap();
            drop(lines);
            writing.join().unwrap();
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
        assert_eq!(std::fs::read(&moved).unwrap(), b"one\n");
    }
}
