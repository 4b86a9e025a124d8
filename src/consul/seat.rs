//! Instances as this API sees them: a service with an id, on a node, with checks.

use super::{
    check::{self, word},
    front::Front,
    node::Host,
    service::Words,
};
use crate::{
    model::{Health, InstanceKey, service::Source},
    registry::{CheckKind, Named, Owner, Record, Spec},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// The service that a real one always has: itself. Its port is the one that others would reach it by.
pub(super) const SELF: &str = "consul";
const SELF_PORT: u16 = 8_300;

/// An instance in its place.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub record: Arc<Record>,
    pub words: Words,
    /// Its node.
    pub node: Arc<str>,
}

/// A check as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub id: String,
    pub health: Health,
    pub shape: Value,
}

impl Seat {
    /// The place of a record, on `ours` where it says nothing.
    pub fn of(record: Arc<Record>, ours: &Arc<str>) -> Self {
        let spec = &record.spec;
        let said = spec.words.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let words = said.unwrap_or_else(|| Words {
            // Others give names that are one of a kind only within their service.
            id: format!("{}:{}", record.key.service, record.key.id),
            address: spec.address.to_string(),
            tags: spec.tags.iter().map(ToString::to_string).collect(),
            passing: u64::from(spec.weight),
            warning: u64::from(spec.weight),
            ..Words::default()
        });
        let node = match (&spec.node, record.source) {
            (Some(node), _) => node.clone(),
            // Keys are written by whoever is there.
            (None, Source::Etcd) => record.key.id.as_str().into(),
            (None, _) => ours.clone(),
        };
        Self { record, words, node }
    }

    /// What everybody expects to be there.
    pub fn itself(ours: &Arc<str>, address: &str) -> Option<Self> {
        let key = InstanceKey { service: SELF.parse().ok()?, id: ours.parse().ok()? };
        let record = Record {
            key,
            spec: Arc::new(Spec::new(address, SELF_PORT)),
            source: Source::Consul,
            verdict: None,
            expired: false,
            checks: Vec::new(),
            held: None,
            targets: [].into(),
            unresolved: None,
            since: crate::base::Wall::default(),
            created: 1,
            modified: 1,
            defined: 1,
        };
        let words = Words { id: SELF.to_owned(), passing: 1, warning: 1, ..Words::default() };
        Some(Self { record: Arc::new(record), words, node: ours.clone() })
    }

    pub fn name(&self) -> &str {
        self.record.key.service.as_str()
    }

    /// Whether it bears all of these tags, in whatever case.
    pub fn has_tags<'a>(&self, mut wanted: impl Iterator<Item = &'a str>) -> bool {
        wanted.all(|tag| self.words.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)))
    }

    /// Its own checks.
    pub fn checks(&self, front: &Front) -> Vec<Shown> {
        let owner = Owner::Instance(self.record.key.clone());
        let named = self.record.checks.iter().map(|named| self.named(front, &owner, named));
        self.unnamed().into_iter().chain(self.leased(front)).chain(named).collect()
    }

    fn named(&self, front: &Front, owner: &Owner, named: &Named) -> Shown {
        let service = (self.words.id.as_str(), self.name(), &self.words.tags[..]);
        shown(&self.node, service, named, &front.registry.words_of(owner, named))
    }

    /// The lease that a key goes with is a check that passes for as long as there is a key.
    fn leased(&self, front: &Front) -> Option<Shown> {
        let key = &self.record.key;
        let place =
            [&front.registry.service_prefix()[..], key.service.as_str().as_bytes(), b"/", key.id.as_str().as_bytes()];
        let is_key = self.record.source == Source::Etcd;
        let lease = is_key.then(|| front.registry.get(&place.concat()))??.lease;
        let id = (lease != 0).then(|| format!("lease:{lease:x}"))?;
        let words =
            check::Words { name: "Lease of its key".to_owned(), kind: "ttl".to_owned(), ..check::Words::default() };
        let service = (self.words.id.as_str(), self.name(), &self.words.tags[..]);
        let numbers = (self.record.created, self.record.modified);
        let shape = shape(&self.node, service, &id, &words, ("passing", ""), numbers);
        Some(Shown { id, health: Health::Passing, shape })
    }

    /// Its check and its ttl, where it came by another way than this API.
    fn unnamed(&self) -> Option<Shown> {
        let (record, spec) = (&self.record, &self.record.spec);
        let (health, output, kind) = match &spec.check {
            Some(check) => {
                let kind = match &check.kind {
                    CheckKind::Http(_) | CheckKind::HttpAsk(_) => "http",
                    CheckKind::Tcp => "tcp",
                    CheckKind::Grpc(_) => "grpc",
                    CheckKind::At(at) => check::kind(&at.talk),
                };
                let said = record.verdict.as_ref().map(|v| (v.health, v.output.to_string()));
                let (health, output) = said.unwrap_or((Health::Critical, String::new()));
                let health = if record.expired { Health::Critical } else { health };
                (health, output, kind)
            }
            None => {
                spec.ttl?;
                let health = if record.expired { Health::Critical } else { Health::Passing };
                (health, record.reason().filter(|_| record.expired).map_or_else(String::new, |r| r.to_string()), "ttl")
            }
        };
        let id = format!("service:{}", self.words.id);
        let words = check::Words {
            name: format!("Service '{}' check", self.name()),
            kind: kind.to_owned(),
            ..check::Words::default()
        };
        let service = (self.words.id.as_str(), self.name(), &self.words.tags[..]);
        let shape = shape(&self.node, service, &id, &words, (word(health), &output), (record.created, record.modified));
        Some(Shown { id, health, shape })
    }
}

impl Host {
    /// Its own checks; this host also says that it is there.
    pub fn shown_checks(&self, front: &Front) -> Vec<Shown> {
        let none = ("", "", &[][..]);
        let alive = self.is_ours.then(|| {
            let words = check::Words { name: "Serf Health Status".to_owned(), ..check::Words::default() };
            let state = ("passing", "Agent alive and reachable");
            let shape = shape(&self.name, none, "serfHealth", &words, state, (1, 1));
            Shown { id: "serfHealth".to_owned(), health: Health::Passing, shape }
        });
        let owner = self.owner();
        let named =
            self.checks.iter().map(|named| shown(&self.name, none, named, &front.registry.words_of(&owner, named)));
        alive.into_iter().chain(named).collect()
    }
}

type Service<'a> = (&'a str, &'a str, &'a [String]);

fn shown(node: &str, service: Service<'_>, named: &Named, output: &str) -> Shown {
    let words: check::Words = serde_json::from_str(&named.asked.words).unwrap_or_default();
    let health = named.verdict.health;
    // Being taken out is told by the notes.
    let output = if words.kind == "maintenance" { "" } else { output };
    let numbers = (named.created, named.modified);
    let shape = shape(node, service, &named.asked.id, &words, (word(health), output), numbers);
    Shown { id: named.asked.id.to_string(), health: named.health(), shape }
}

fn shape(
    node: &str,
    (id, name, tags): Service<'_>,
    check: &str,
    words: &check::Words,
    (status, output): (&str, &str),
    (created, modified): (u64, u64),
) -> Value {
    json!({
        "Node": node,
        "CheckID": check,
        "Name": words.name,
        "Status": status,
        "Notes": words.notes,
        "Output": output,
        "ServiceID": id,
        "ServiceName": name,
        "ServiceTags": tags,
        "Type": words.kind,
        "Interval": words.interval,
        "Timeout": words.timeout,
        "ExposedPort": 0,
        "Definition": words.definition,
        "CreateIndex": created,
        "ModifyIndex": modified,
    })
}

/// What checks come to: being taken out is worse than all, and without any all is well.
pub(super) fn aggregate<'a>(checks: impl Iterator<Item = &'a Shown>) -> Health {
    checks.map(|check| check.health).max().unwrap_or(Health::Passing)
}

/// The union of the tags of services, by name.
pub(super) fn tags_by_name<'a>(seats: impl Iterator<Item = &'a Seat>) -> Map<String, Value> {
    let mut all: std::collections::BTreeMap<String, BTreeSet<String>> = std::collections::BTreeMap::new();
    for seat in seats {
        all.entry(seat.name().to_owned()).or_default().extend(seat.words.tags.iter().cloned());
    }
    all.into_iter().map(|(name, tags)| (name, json!(tags))).collect()
}
