//! The rules for instances.

use super::{Draft, Due, Effect, Resolved, checks::few};
use crate::{
    model::{Health, InstanceKey, ServiceName, service::Source},
    registry::{
        Checks, Error, Owner, Record, Spec, StaticInstance, named::merged, notices::Notice, pace::plus, record::Verdict,
    },
};
use serde_json::json;
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

/// Instances of all services. Ten times what was measured to be quick, some hundred megabytes.
pub(in crate::registry) const INSTANCES_MAX: usize = 100_000;

/// What a command did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::registry) struct Change {
    /// The revision that made it so, be it old or new.
    pub revision: u64,
    pub changed: bool,
    pub created: bool,
    /// The answer holds whatever becomes of this turn's commit: it only tells what is durable already.
    pub settled: bool,
}

impl Draft<'_> {
    /// Registers an instance, or says again that it is there.
    pub fn register(
        &mut self,
        key: &InstanceKey,
        spec: &Arc<Spec>,
        resolved: Option<&Resolved>,
        source: Source,
        checks: Option<&Checks>,
    ) -> Result<Change, Error> {
        let mut number = None;
        self.register_as(key, spec, resolved, (source, checks), &mut number)
    }

    /// The same, as part of a revision that other changes may share.
    pub(super) fn register_as(
        &mut self,
        key: &InstanceKey,
        spec: &Arc<Spec>,
        resolved: Option<&Resolved>,
        (source, checks): (Source, Option<&Checks>),
        number: &mut Option<u64>,
    ) -> Result<Change, Error> {
        let before = self.record(key).cloned();
        if source != Source::Config && before.as_ref().is_some_and(|b| b.source == Source::Config) {
            return Err(Error::ReadOnly(key.clone()));
        }
        if before.is_none() && source != Source::Config && self.instances >= INSTANCES_MAX {
            return Err(Error::Full { what: "instances", max: INSTANCES_MAX });
        }
        let (targets, unresolved) = leads_to(spec, before.as_deref(), resolved);
        let known = before.as_ref().filter(|b| b.source == source).map_or(&[][..], |b| &b.checks);
        let checks = match checks {
            Some(checks) => merged(known, checks, number.unwrap_or(self.staged.revision + 1)),
            None => known.to_vec(),
        };
        few(&checks)?;
        if let Some(before) = &before {
            let same = before.spec == *spec && before.checks == checks && before.source == source && !before.expired;
            // What cannot be read leads nowhere for one reason or for another.
            let same_fault = !spec.address.is_empty() || before.unresolved == unresolved;
            if same && same_fault && before.targets == targets {
                return Ok(self.renewed(before, before.modified));
            }
        }
        let revision = *number.get_or_insert_with(|| self.revise());
        if before.is_none() && !matches!(source, Source::Config | Source::Consul) {
            self.replace_dead_twin(key, spec, revision);
        }
        let same_place = before.as_ref().filter(|b| b.spec.asks_like(spec));
        let same_check = before.as_ref().filter(|b| b.spec.is_checked_like(spec));
        let record = Record {
            key: key.clone(),
            spec: spec.clone(),
            source,
            // Whoever changes how often it is looked at does not take it out.
            verdict: same_place.and_then(|b| b.verdict.clone()),
            expired: false,
            checks,
            held: self.held(spec),
            targets,
            unresolved,
            since: self.wall,
            created: before.as_ref().map_or(revision, |b| b.created),
            modified: revision,
            defined: same_check.map_or(revision, |b| b.defined),
        };
        if before.as_ref().is_none_or(|b| b.spec != *spec) {
            let kind = if before.is_none() { "registry.registered" } else { "registry.changed" };
            let data =
                json!({ "address": &*spec.address, "port": spec.port, "weight": spec.weight, "revision": revision });
            self.notices.push(Notice::of(kind, key, data));
        }
        let created = before.is_none();
        self.arm_checks(&Owner::Instance(key.clone()), &record.checks, false);
        self.stage(before.as_deref(), record);
        self.arm_ttl(key, spec.ttl, false);
        Ok(Change { revision, changed: true, created, settled: false })
    }

    /// Takes an instance away.
    pub fn deregister(&mut self, key: &InstanceKey) -> Result<Change, Error> {
        let Some(before) = self.record(key).cloned() else { return Err(Error::NoInstance(key.clone())) };
        if before.source == Source::Config {
            return Err(Error::ReadOnly(key.clone()));
        }
        let revision = self.revise();
        self.remove(&before, revision, "deregistered");
        Ok(Change { revision, changed: true, created: false, settled: false })
    }

    /// Takes all instances of a service away but those of the file.
    pub fn deregister_service(&mut self, service: &ServiceName) -> Result<Change, Error> {
        let all = self.records_of(service);
        let Some(first) = all.first() else { return Err(Error::NoService(service.clone())) };
        let free: Vec<_> = all.iter().filter(|r| r.source != Source::Config).collect();
        if free.is_empty() {
            return Err(Error::ReadOnly(first.key.clone()));
        }
        let revision = self.revise();
        free.iter().for_each(|record| self.remove(record, revision, "deregistered"));
        Ok(Change { revision, changed: true, created: false, settled: false })
    }

    /// Makes the instances of the file just these, in one revision.
    pub fn set_static(&mut self, wanted: &[StaticInstance], resolved: &[Option<Resolved>]) -> Result<Change, Error> {
        let names: BTreeSet<&InstanceKey> = wanted.iter().map(|w| &w.key).collect();
        let keys: BTreeSet<&InstanceKey> =
            self.state.records().map(|r| &r.key).chain(self.staged.records.keys()).collect();
        let of_file = |r: &&Arc<Record>| r.source == Source::Config && !names.contains(&r.key);
        let gone: Vec<_> = keys.into_iter().filter_map(|key| self.record(key)).filter(of_file).cloned().collect();
        let news = names.iter().filter(|key| self.record(key).is_none()).count();
        // Nothing behind this fails: it is all of them or none.
        if self.instances + news > INSTANCES_MAX + gone.len() {
            return Err(Error::Full { what: "instances", max: INSTANCES_MAX });
        }
        let mut number = None;
        for record in gone {
            let revision = *number.get_or_insert_with(|| self.revise());
            self.remove(&record, revision, "left the configuration");
        }
        for (i, one) in wanted.iter().enumerate() {
            let known = resolved.get(i).and_then(Option::as_ref);
            self.register_as(&one.key, &one.spec, known, (Source::Config, None), &mut number)?;
        }
        let changed = number.is_some();
        Ok(Change { revision: number.unwrap_or(self.staged.catalog), changed, created: false, settled: !changed })
    }

    /// An instance says that it is still there. The revision, and whether it had run out.
    pub fn renew(&mut self, key: &InstanceKey) -> Result<(Duration, Change), Error> {
        let Some(before) = self.record(key).cloned() else { return Err(Error::NoInstance(key.clone())) };
        let Some(ttl) = before.spec.ttl else { return Err(Error::NoTtl(key.clone())) };
        if !before.expired {
            return Ok((ttl, self.renewed(&before, before.modified)));
        }
        let revision = self.revise();
        self.stage(Some(&before), Record { expired: false, modified: revision, ..(*before).clone() });
        self.arm_ttl(key, Some(ttl), false);
        Ok((ttl, Change { revision, changed: true, created: false, settled: false }))
    }

    /// A check says how an instance is.
    pub fn report(&mut self, key: &InstanceKey, defined: u64, health: Health, output: &str) -> Result<Change, Error> {
        let Some(before) = self.record(key).cloned() else { return Err(Error::NoInstance(key.clone())) };
        if before.defined != defined || before.spec.check.is_none() {
            return Err(Error::Outdated(key.clone()));
        }
        if before.verdict.as_ref().is_some_and(|v| v.health == health) {
            let settled = self.is_settled(key);
            return Ok(Change { revision: before.modified, changed: false, created: false, settled });
        }
        let revision = self.revise();
        let verdict = Some(Verdict::new(health, output));
        self.stage(Some(&before), Record { verdict, modified: revision, ..(*before).clone() });
        Ok(Change { revision, changed: true, created: false, settled: false })
    }

    /// Somebody looked up where the name of an instance leads. None: there is nothing new.
    pub fn resolved(&mut self, key: &InstanceKey, address: &str, resolved: &Resolved) {
        let Some(before) = self.record(key).cloned() else { return };
        if &*before.spec.address != address {
            return;
        }
        // A name that is not found for once does not take away where it led: the last good set stays.
        let targets = if resolved.targets.is_empty() { &before.targets } else { &resolved.targets };
        if *targets == before.targets && resolved.problem == before.unresolved {
            return;
        }
        let revision = self.revise();
        let (targets, unresolved) = (targets.clone(), resolved.problem.clone());
        if targets != before.targets {
            let shown: Vec<String> = targets.iter().map(ToString::to_string).collect();
            let data = json!({ "address": address, "targets": shown, "revision": revision });
            self.notices.push(Notice::of("registry.resolved", key, data));
        }
        self.stage(Some(&before), Record { targets, unresolved, modified: revision, ..(*before).clone() });
    }

    /// Nobody renewed it in time.
    pub(super) fn run_out(&mut self, key: &InstanceKey, number: &mut Option<u64>) {
        let due = self.record(key).filter(|r| r.spec.ttl.is_some() && !r.expired).cloned();
        let Some(before) = due else { return self.effects.push(Effect { what: Due::Ttl(key.clone()), at: None }) };
        let revision = *number.get_or_insert_with(|| self.revise());
        self.stage(Some(&before), Record { expired: true, modified: revision, ..(*before).clone() });
        self.effects.push(Effect { what: Due::Ttl(key.clone()), at: None });
    }

    /// It was critical for long enough.
    pub(super) fn remove_critical(&mut self, key: &InstanceKey, number: &mut Option<u64>) {
        let due = self.record(key).filter(|r| r.health() == Health::Critical && r.removed_after().is_some()).cloned();
        let Some(before) = due else { return self.effects.push(Effect { what: Due::Removal(key.clone()), at: None }) };
        let revision = *number.get_or_insert_with(|| self.revise());
        self.remove(&before, revision, "critical for too long");
    }

    /// Nothing changes but when it runs out.
    fn renewed(&mut self, record: &Record, revision: u64) -> Change {
        let settled = self.is_settled(&record.key);
        self.arm_ttl(&record.key, record.spec.ttl, settled);
        self.arm_checks(&Owner::Instance(record.key.clone()), &record.checks, settled);
        Change { revision, changed: false, created: false, settled }
    }

    /// A process that was started anew under another name has the address of its former self. That one is not passing
    /// any more, and would only be found dead again and again.
    fn replace_dead_twin(&mut self, key: &InstanceKey, spec: &Spec, revision: u64) {
        // Those that are down are few; a service may have thousands that are not.
        let down = self
            .state
            .down
            .get(&key.service)
            .into_iter()
            .flatten()
            .chain(self.down.get(&key.service).into_iter().flatten());
        let down: BTreeSet<InstanceKey> =
            down.map(|id| InstanceKey { service: key.service.clone(), id: id.clone() }).collect();
        let is_twin = |r: &&Arc<Record>| {
            let is_there = (&r.spec.address, r.spec.port) == (&spec.address, spec.port);
            let is_ours = matches!(r.source, Source::Config | Source::Consul);
            is_there && r.key != *key && !is_ours && r.is_down()
        };
        let twins: Vec<_> = down.iter().filter_map(|key| self.record(key)).filter(is_twin).cloned().collect();
        for twin in twins {
            self.remove(&twin, revision, "registered anew under another id");
        }
    }

    /// Puts a record in place of `before`, with what follows of it.
    pub(super) fn stage(&mut self, before: Option<&Record>, mut record: Record) {
        self.arm_reaping(&record.key, before.map_or(&[], |b| &b.checks), &record.checks);
        let (was, is) = (before.map(Record::health), record.health());
        if let Some(before) = before.filter(|_| was == Some(is)) {
            record.since = before.since;
        } else {
            record.since = self.wall;
        }
        let key = record.key.clone();
        if let Some(was) = was.filter(|was| *was != is) {
            let data =
                json!({ "from": was, "to": is, "reason": record.reason().as_deref(), "revision": record.modified });
            self.notices.push(Notice::of("registry.health", &key, data));
        }
        let as_before =
            was == Some(Health::Critical) && before.and_then(Record::removed_after) == record.removed_after();
        match (is, record.removed_after()) {
            // It goes on being critical: its time runs on.
            (Health::Critical, Some(_)) if as_before => {}
            (Health::Critical, Some(after)) => {
                self.effects.push(Effect { what: Due::Removal(key.clone()), at: Some(plus(self.now, after)) });
            }
            _ => self.effects.push(Effect { what: Due::Removal(key.clone()), at: None }),
        }
        self.staged.catalog = self.staged.catalog.max(record.modified);
        if record.is_down() {
            self.down.entry(key.service.clone()).or_default().insert(key.id.clone());
        }
        self.instances += usize::from(before.is_none());
        self.show(&key, Some(&record), record.modified);
        self.staged.records.insert(key, Some(Arc::new(record)));
    }

    pub(super) fn remove(&mut self, before: &Record, revision: u64, cause: &str) {
        let key = &before.key;
        let data = json!({ "cause": cause, "reason": before.reason().as_deref(), "revision": revision });
        self.notices.push(Notice::of("registry.deregistered", key, data));
        for what in [Due::Ttl(key.clone()), Due::Removal(key.clone())] {
            self.effects.push(Effect { what, at: None });
        }
        self.disarm(&Owner::Instance(key.clone()), &before.checks);
        self.staged.catalog = self.staged.catalog.max(revision);
        self.instances -= 1;
        self.show(key, None, revision);
        self.staged.records.insert(key.clone(), None);
    }

    fn arm_ttl(&mut self, key: &InstanceKey, ttl: Option<Duration>, settled: bool) {
        let effect = Effect { what: Due::Ttl(key.clone()), at: ttl.map(|ttl| plus(self.now, ttl)) };
        if settled { self.at_once.push(effect) } else { self.effects.push(effect) }
    }
}

/// Where an instance is to be reached: its address, what was just looked up, or what is known from before.
fn leads_to(
    spec: &Spec,
    before: Option<&Record>,
    resolved: Option<&Resolved>,
) -> (Arc<[SocketAddr]>, Option<Arc<str>>) {
    if spec.port == 0 && !spec.address.is_empty() {
        return ([].into(), Some("it is registered without a port".into()));
    }
    if spec.address.is_empty() {
        return ([].into(), resolved.and_then(|r| r.problem.clone()));
    }
    if let Some(ip) = spec.ip() {
        return ([SocketAddr::new(ip, spec.port)].into(), None);
    }
    let known = before.filter(|b| (&b.spec.address, b.spec.port) == (&spec.address, spec.port));
    match (resolved, known) {
        (Some(news), _) if !news.targets.is_empty() => (news.targets.clone(), None),
        (_, Some(known)) => (known.targets.clone(), known.unresolved.clone()),
        (Some(news), None) => ([].into(), news.problem.clone()),
        (None, None) => ([].into(), Some("not resolved yet".into())),
    }
}
