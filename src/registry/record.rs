//! One instance as the registry keeps it, and how it is. Pure.

use super::{Named, Spec, named::worst};
use crate::{
    base::{Wall, units::format_duration},
    model::{Health, Instance, InstanceKey, service::Source},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// After a start nothing runs out and nothing is removed for so long, whatever its ttl: those who renew have to find us
/// again first.
pub const GRACE: Duration = Duration::from_secs(30);
/// Of what a check says so much is read and kept; as Consul has it.
pub(super) const OUTPUT_BYTES_MAX: usize = 4_096;

/// An instance with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who it is.
    pub key: InstanceKey,
    /// What was registered.
    pub spec: Arc<Spec>,
    /// By whom.
    pub source: Source,
    /// What its check found last; None: it has none, or it has not looked yet.
    pub verdict: Option<Verdict>,
    /// Its ttl ran out.
    pub expired: bool,
    /// Its checks that have names, by name.
    pub checks: Vec<Named>,
    /// What the checks of its node say, where they say anything.
    pub held: Option<Verdict>,
    /// Where its address leads now.
    pub targets: Arc<[SocketAddr]>,
    /// Why its address leads nowhere, or why it is not known whether it still leads there.
    pub unresolved: Option<Arc<str>>,
    /// Since when its health is what it is.
    pub since: Wall,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
    /// The revision that said last where it is and how it is checked. A check's result bears it, so that none is taken
    /// for that of another definition.
    pub defined: u64,
}

/// What a check says, its thresholds applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it is.
    pub health: Health,
    /// What was seen, for people.
    pub output: Arc<str>,
}

impl Verdict {
    /// With as much of the output as is kept.
    pub fn new(health: Health, output: &str) -> Self {
        let mut end = output.len().min(OUTPUT_BYTES_MAX);
        while !output.is_char_boundary(end) {
            end -= 1;
        }
        Self { health, output: output[..end].into() }
    }
}

impl Record {
    /// How it is, all in all.
    pub fn health(&self) -> Health {
        let named = worst(&self.checks).map_or(Health::Passing, |(health, _)| health);
        let held = self.held.as_ref().map_or(Health::Passing, |held| held.health);
        self.own_health().max(named).max(held)
    }

    /// What its own check and its ttl say.
    fn own_health(&self) -> Health {
        match (&self.verdict, &self.spec.check) {
            _ if self.expired => Health::Critical,
            (_, None) => Health::Passing,
            (Some(verdict), Some(_)) => verdict.health,
            (None, Some(_)) => Health::Critical,
        }
    }

    /// Why it is not passing, or leads nowhere.
    pub fn reason(&self) -> Option<Arc<str>> {
        if self.expired {
            let ttl = self.spec.ttl.map(format_duration).unwrap_or_default();
            return Some(format!("not renewed within its ttl of {ttl}").into());
        }
        match (&self.verdict, &self.spec.check) {
            (Some(verdict), Some(_)) if verdict.health != Health::Passing => return Some(verdict.output.clone()),
            (None, Some(_)) => return Some("not checked yet".into()),
            _ => {}
        }
        let held = self.held.as_ref().map(|held| (held.health, &held.output));
        let ill = worst(&self.checks).into_iter().chain(held).max_by_key(|(health, _)| *health);
        match ill {
            Some((health, output)) if output.is_empty() => Some(health.as_str().into()),
            Some((_, output)) => Some(output.clone()),
            None => self.unresolved.clone(),
        }
    }

    /// What others are told.
    pub fn instance(&self) -> Instance {
        Instance {
            key: self.key.clone(),
            address: self.spec.address.clone(),
            port: self.spec.port,
            weight: self.spec.weight,
            tags: self.spec.tags.clone(),
            meta: self.spec.meta.clone(),
            health: self.health(),
            reason: self.reason(),
            source: self.source,
            targets: self.targets.clone(),
            since: self.since,
            created: self.created,
            modified: self.modified,
        }
    }

    /// Critical for so long, it is removed. What the file names stays listed: nobody would bring it back.
    pub fn removed_after(&self) -> Option<Duration> {
        self.spec.removed_after().filter(|_| self.source != Source::Config)
    }

    /// Whether it is known not to serve, rather than not known to.
    pub fn is_down(&self) -> bool {
        self.expired || self.verdict.as_ref().is_some_and(|v| v.health == Health::Critical)
    }
}
