//! How the disk of the recordings is: looked at each second, told once each time it changes, and waited for by whoever
//! has something to write.
//!
//! A failed write is reported by the recorder; what ended it is found out by a write of our own, so that recording goes
//! on by itself once the disk is mended, whether or not a camera sends anything meanwhile.

use super::{Archive, Error, identity};
use crate::{
    base::{
        Clock, Metrics, Wall,
        metrics::{Counter, Family, Gauge},
    },
    disk::{self, Anchor, Disk, Files, Probe, Probed, Space, Trouble},
    events::Events,
};
use prometheus_client::encoding::EncodeLabelSet;
use serde_json::json;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// An operation that does not come back for so long is told as a disk that hangs.
pub const HANG_AFTER: Duration = Duration::from_secs(5);
/// So much free space is room to begin again.
const ROOM_BYTES_MIN: u64 = 8 << 20;
/// A medium that fails now and then is not told as mended before it was quiet for so long.
const MEDIUM_QUIET: Duration = Duration::from_secs(5);
/// A trial of writing must fit beside so much: a quota or a reserve that leaves less is no room for footage.
const TRIAL_RESERVE_BYTES: u64 = 4 << 20;

/// How the disk of the recordings is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What ails it; None: all is well.
    pub trouble: Option<Trouble>,
    /// Since when.
    pub since: Wall,
    /// What the system said; empty where all is well.
    pub error: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The state, and all that is needed to find it out.
pub struct Watch {
    state: watch::Sender<Arc<Health>>,
    /// When a failed write was reported last.
    reported: Mutex<Option<Instant>>,
    /// Which directory it must be; None before the archive is open.
    known: Mutex<Option<String>>,
    probe: Probe,
    troubles: Family<ReasonLabel, Gauge>,
    failures: Family<ReasonLabel, Counter>,
    clock: Clock,
    events: Events,
}

impl Watch {
    /// All is well, as far as is known.
    pub fn new(disk: &Disk, clock: &Clock, events: &Events, metrics: &Metrics) -> Self {
        let well = Health { trouble: None, since: clock.wall(), error: String::new() };
        let troubles = metrics.register(
            "disk_trouble",
            "1 where the recordings' disk is in this trouble now, by the reason that streams show",
            Family::default(),
        );
        let failures =
            metrics.register("disk_failures", "Failed writes of footage, by what the disk answered", Family::default());
        let watch = Self {
            state: watch::Sender::new(Arc::new(well)),
            reported: Mutex::default(),
            known: Mutex::default(),
            probe: Probe::beside(disk, clock.clone()),
            troubles,
            failures,
            clock: clock.clone(),
            events: events.clone(),
        };
        watch.show(None);
        watch
    }

    /// This is the directory from now on.
    pub fn settle(&self, identity: String) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
    }

    fn known(&self) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now(&self) -> Arc<Health> {
        self.state.borrow().clone()
    }

    /// Another state, where it is one.
    fn set(&self, dir: &Path, trouble: Option<Trouble>, error: String, free_bytes: Option<u64>) {
        let wall = self.clock.wall();
        let mut before = None;
        self.state.send_if_modified(|health| {
            let news = health.trouble != trouble;
            if news {
                before = Some(health.clone());
                *health = Arc::new(Health { trouble, since: wall, error: error.clone() });
            }
            news
        });
        let Some(before) = before else { return };
        self.show(trouble);
        let subject = dir.display();
        match trouble {
            Some(trouble) => {
                let (reason, advice) = (trouble.reason(), trouble.advice());
                tracing::error!(dir = %subject, reason, error, free_bytes, advice, "the disk of the recordings is in trouble");
                let data = json!({ "reason": reason, "error": error, "advice": advice, "free_bytes": free_bytes });
                self.events.emit(trouble.event(), subject, data);
            }
            None => {
                let after = before.trouble.map(Trouble::reason);
                let seconds = wall.micros_since(before.since) / 1_000_000;
                tracing::warn!(dir = %subject, after, seconds, free_bytes, "the disk of the recordings is well again");
                let data = json!({ "after": after, "seconds": seconds, "free_bytes": free_bytes });
                self.events.emit("disk.ok", subject, data);
            }
        }
    }

    fn show(&self, trouble: Option<Trouble>) {
        for each in Trouble::ALL {
            self.troubles.get_or_create(&ReasonLabel { reason: each.reason() }).set(0);
        }
        if let Some(trouble) = trouble {
            self.troubles.get_or_create(&ReasonLabel { reason: trouble.reason() }).set(1);
        }
    }
}

impl Archive {
    /// How the disk of the recordings is, as it changes.
    pub fn health(&self) -> watch::Receiver<Arc<Health>> {
        self.0.health.state.subscribe()
    }

    /// Opens the recordings directory to write below it, if it is still the right one. Blocks.
    pub fn enter(&self, files: &Files) -> Result<Anchor, Error> {
        enter(files, self.dir(), self.0.health.known().as_deref())
    }

    /// A write of footage failed.
    pub fn report_failure(&self, trouble: Trouble, error: &str) {
        let health = &self.0.health;
        *health.reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock().now());
        health.failures.get_or_create(&ReasonLabel { reason: trouble.reason() }).inc();
        // A file that was taken away says nothing of the disk.
        if trouble != Trouble::Vanished {
            health.set(self.dir(), Some(trouble), error.to_owned(), self.space().map(|s| s.free_bytes));
        }
    }

    /// Footage was written after a failure.
    pub fn report_written(&self) {
        let written =
            |t: Trouble| !matches!(t, Trouble::Hangs | Trouble::Io | Trouble::NotMounted | Trouble::WrongDirectory);
        if self.0.health.now().trouble.is_some_and(written) {
            self.0.health.set(self.dir(), None, String::new(), self.space().map(|s| s.free_bytes));
        }
    }

    /// Whether the disk was well at the last look, with room for more.
    pub(super) fn has_room(&self) -> bool {
        let room = self.space().is_none_or(|space| space.free_bytes >= ROOM_BYTES_MIN);
        room && self.0.health.now().trouble.is_none()
    }

    /// Looks at the disk, and tells what it found; the task does so each second.
    pub async fn look_at_health(&self) {
        let health = &self.0.health;
        let before = health.now().trouble;
        let (dir, known) = (self.dir().to_owned(), health.known());
        let write = before.is_some() || self.0.writing.longest(self.clock().now()) > HANG_AFTER / 2;
        let asked = health.probe.ask(HANG_AFTER, move |files| look(files, &dir, known.as_deref(), write)).await;
        let found = match asked {
            // Somebody else asks just now.
            Ok(Probed::Hangs(time)) if time < HANG_AFTER => return,
            Err(_) => return,
            Ok(Probed::Hangs(time)) => Err((Trouble::Hangs, disk::Error::Hangs(time).to_string())),
            Ok(Probed::Answer(Err(error))) => Err((error.trouble(), error.to_string())),
            Ok(Probed::Answer(Ok(space))) => {
                self.publish_space(Some(space));
                Ok(space)
            }
        };
        let reported = *health.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = reported.map(|at| self.clock().now() - at);
        let free = self.space().map(|s| s.free_bytes);
        match judge(before, found, quiet) {
            Verdict::Well => health.set(self.dir(), None, String::new(), free),
            Verdict::Stays => {}
            Verdict::Trouble(trouble, error) => health.set(self.dir(), Some(trouble), error, free),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    Stays,
    Trouble(Trouble, String),
}

/// What a look means, after what was known before and so long after the last failed write. Pure.
fn judge(before: Option<Trouble>, found: Result<Space, (Trouble, String)>, quiet: Option<Duration>) -> Verdict {
    let space = match found {
        Err((trouble, error)) => return Verdict::Trouble(trouble, error),
        Ok(space) => space,
    };
    if space.read_only {
        return Verdict::Trouble(Trouble::ReadOnly, "the file system is mounted read-only".to_owned());
    }
    let stays = match before {
        Some(Trouble::Full | Trouble::Quota) => space.free_bytes < ROOM_BYTES_MIN,
        Some(Trouble::Inodes) => space.is_out_of_inodes(),
        Some(Trouble::Io | Trouble::Other) => quiet.is_some_and(|quiet| quiet < MEDIUM_QUIET),
        _ => false,
    };
    if stays { Verdict::Stays } else { Verdict::Well }
}

/// Blocks.
fn look(files: &Files, dir: &Path, known: Option<&str>, write: bool) -> Result<Space, Error> {
    let anchor = enter(files, dir, known)?;
    let space = anchor.free_space()?;
    if write {
        anchor.try_writing(TRIAL_RESERVE_BYTES)?;
    }
    Ok(space)
}

/// Opens the directory, if it is the known one. Before one is known, any will do. Blocks.
pub(super) fn enter(files: &Files, dir: &Path, known: Option<&str>) -> Result<Anchor, Error> {
    let away = || Error::Away { dir: dir.to_owned() };
    let anchor = files.anchor(dir).map_err(|e| match e.kind() {
        crate::base::Kind::NotFound => away(),
        _ => e.into(),
    })?;
    let Some(known) = known else { return Ok(anchor) };
    match identity::read_in(&anchor)? {
        Some(found) if found == known => Ok(anchor),
        Some(found) => Err(Error::Replaced { dir: dir.to_owned(), found, known: known.to_owned() }),
        None => Err(away()),
    }
}

#[cfg(test)]
mod tests;
