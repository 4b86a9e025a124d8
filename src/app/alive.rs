//! What the watchdog goes by. A disk that hangs is no reason to be ended: a new process would hang on it as well, and
//! whatever does not need that disk would end with the old one. So threads that do not get on are excused where an
//! independent question to the same directory goes unanswered too; where it is answered, it is us, and nobody feeds the
//! watchdog.

use super::Rooms;
use crate::{
    base::{Kind, Lanes},
    disk::{Error as DiskError, Files, Probe, Probed, Trouble},
    store,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What must get on, and how evidence is taken where it does not.
pub(super) struct Alive {
    disk: crate::disk::Disk,
    writing: crate::disk::Disk,
    lanes: Lanes,
    proxy: crate::proxy::Proxy,
    store: store::Store,
    archive: crate::archive::Archive,
    probe: Probe,
    store_dir: PathBuf,
}

/// How the directory of something that does not get on answers a question of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// It takes writes.
    Works,
    /// It refuses them.
    Refuses,
    /// It does not answer.
    Hangs,
}

impl Alive {
    pub(super) fn new(rooms: &Rooms, store_dir: PathBuf) -> Self {
        Self {
            disk: rooms.disk.clone(),
            writing: rooms.writing.clone(),
            lanes: rooms.lanes.clone(),
            proxy: rooms.proxy.clone(),
            store: rooms.store.clone(),
            archive: rooms.archive.clone(),
            probe: Probe::beside(&rooms.disk, rooms.clock.clone()),
            store_dir,
        }
    }

    /// Whether the process gets on; each answer is waited for at most twice `limit`.
    pub(super) async fn check(&self, limit: Duration) -> Result<(), String> {
        let threads = async |name, disk: &crate::disk::Disk| match tokio::time::timeout(limit, disk.run(|_| ())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) if self.is_told_as_hung() => Ok(()),
            Err(_) => Err(format!("{name}: no thread is free, and the disk answers")),
        };
        let (lanes, proxy, reading, writing, syncing, store) = tokio::join!(
            tokio::time::timeout(limit, self.lanes.answer()),
            tokio::time::timeout(limit, self.proxy.answer()),
            threads("disk threads", &self.disk),
            threads("footage threads", &self.writing),
            threads("footage syncs", self.writing.syncs()),
            tokio::time::timeout(limit, self.store.commit(store::Batch::new())),
        );
        lanes.map_err(|_| "media threads: no answer".to_owned())?;
        proxy.map_err(|_| "proxy threads: no answer".to_owned())?;
        reading?;
        writing?;
        syncing?;
        let answer = store.ok();
        if answer.as_ref().is_some_and(lives) {
            return Ok(());
        }
        store_verdict(answer.as_ref(), self.evidence(limit).await)
    }

    /// The archive asks its own directory each second.
    fn is_told_as_hung(&self) -> bool {
        self.archive.health().borrow().trouble == Some(Trouble::Hangs)
    }

    async fn evidence(&self, limit: Duration) -> Evidence {
        let dir = self.store_dir.clone();
        match self.probe.ask(limit, move |files| try_writing(files, &dir)).await {
            Ok(Probed::Answer(Ok(()))) => Evidence::Works,
            Ok(Probed::Answer(Err(_))) => Evidence::Refuses,
            Ok(Probed::Hangs(_)) | Err(_) => Evidence::Hangs,
        }
    }

    /// Whether the store's directory takes writes now.
    pub(super) async fn store_is_writable(&self, limit: Duration) -> bool {
        self.evidence(limit).await == Evidence::Works
    }
}

/// Writes and syncs beside the store. Blocks.
fn try_writing(files: &Files, dir: &Path) -> Result<(), DiskError> {
    files.anchor(dir)?.try_writing(0)
}

/// A store that refuses rows because the disk is full does live: a daemon that waits for room must not be ended.
fn lives(answer: &Result<u64, store::Error>) -> bool {
    answer.as_ref().map_or_else(|error| error.kind() == Kind::NoSpace, |_| true)
}

/// What a store that failed (`Some`) or did not answer (`None`) means, with what its directory says. Pure.
fn store_verdict(answer: Option<&Result<u64, store::Error>>, evidence: Evidence) -> Result<(), String> {
    match (answer, evidence) {
        // It is waited for the disk; then the process ends by itself.
        (_, Evidence::Hangs) | (Some(Err(store::Error::Failed(_))), Evidence::Refuses) => Ok(()),
        (Some(Err(error)), _) => Err(format!("store: {error}")),
        (_, _) => Err("store: no answer, and its disk answers".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_reason_to_be_ended_by_the_watchdog_and_a_failed_store_is() {
        assert!(lives(&Ok(1)));
        assert!(lives(&Err(store::Error::NoSpace("9 bytes are free".into()))));
        let failed = Err(store::Error::Failed("EIO".into()));
        assert!(!lives(&failed) && !lives(&Err(store::Error::Closed)));
        assert!(store_verdict(Some(&failed), Evidence::Works).is_err());
        assert!(store_verdict(Some(&Err(store::Error::Closed)), Evidence::Refuses).is_err());
    }

    #[test]
    fn only_a_disk_that_does_not_answer_either_excuses_a_store_that_does_not() {
        assert!(store_verdict(None, Evidence::Works).is_err(), "it is us who hang");
        assert!(store_verdict(None, Evidence::Refuses).is_err());
        assert_eq!(store_verdict(None, Evidence::Hangs), Ok(()));
        let failed = Err(store::Error::Failed("EROFS".into()));
        assert_eq!(store_verdict(Some(&failed), Evidence::Refuses), Ok(()), "a restart could not open it");
    }
}
