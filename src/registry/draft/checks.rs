//! The rules for checks that have names, and for nodes.

use super::{Change, Draft, Due, Effect};
use crate::{
    model::{Health, InstanceKey},
    registry::{
        Checks, Error, Node, Owner, Record, Spec,
        named::{CHECKS_MAX, Named, merged, worst},
        pace::plus,
        record::Verdict,
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// Nodes beside our own. Each is a host of somebody's.
const NODES_MAX: usize = 10_000;

/// Refuses more checks than one owner can have.
pub(super) fn few(checks: &[Named]) -> Result<(), Error> {
    match checks.len() <= CHECKS_MAX {
        true => Ok(()),
        false => Err(Error::Full { what: "checks of one instance or node", max: CHECKS_MAX }),
    }
}

impl Draft<'_> {
    /// Adds checks to what is there, or changes them. A node that is not known yet is made.
    pub fn set_checks(&mut self, owner: &Owner, checks: &Checks) -> Result<Change, Error> {
        let before = match self.checks_of(owner) {
            Some(before) => before,
            None => match owner {
                Owner::Instance(key) => return Err(Error::NoInstance(key.clone())),
                Owner::Node(_) => Vec::new(),
            },
        };
        let after = merged(&before, checks, self.staged.revision + 1);
        few(&after)?;
        let asked = |named: &&Named| checks.begun.iter().any(|begun| begun.asked.id == named.asked.id);
        let told: Vec<Named> = after.iter().filter(asked).cloned().collect();
        self.arm_checks(owner, &told, false);
        if after == before {
            return Ok(self.unchanged(owner));
        }
        let number = self.revise();
        self.put_checks(owner, after, number)?;
        Ok(Change { revision: number, changed: true, created: false, settled: false })
    }

    /// Takes a check away.
    pub fn drop_check(&mut self, owner: &Owner, id: &str) -> Result<Change, Error> {
        let before = self.checks_of(owner).unwrap_or_default();
        let (gone, left): (Vec<_>, Vec<_>) = before.into_iter().partition(|named| &*named.asked.id == id);
        if gone.is_empty() {
            return Err(Error::NoCheck(id.into()));
        }
        let number = self.revise();
        self.disarm(owner, &gone);
        self.put_checks(owner, left, number)?;
        Ok(Change { revision: number, changed: true, created: false, settled: false })
    }

    /// Somebody says what a check says, which has that as its way to be known.
    pub fn tell(&mut self, owner: &Owner, id: &str, health: Health, output: &str) -> Result<Change, Error> {
        let before = self.check_of(owner, id).ok_or_else(|| Error::NoCheck(id.into()))?;
        if before.ttl().is_none() {
            return Err(Error::NotTold(id.into()));
        }
        let settled = self.is_quiet(owner);
        self.arm_checks(owner, std::slice::from_ref(&before), settled);
        self.say(owner, &before, health, output, &mut None)
    }

    /// A look says how it is, where it was looked at what is registered now.
    pub fn report_named(
        &mut self,
        owner: &Owner,
        id: &str,
        defined: u64,
        health: Health,
        output: &str,
    ) -> Result<Change, Error> {
        let before = self.check_of(owner, id).filter(|named| named.check().is_some() && named.defined == defined);
        let before = before.ok_or_else(|| Error::NoCheck(id.into()))?;
        self.say(owner, &before, health, output, &mut None)
    }

    fn say(
        &mut self,
        owner: &Owner,
        before: &Named,
        health: Health,
        output: &str,
        number: &mut Option<u64>,
    ) -> Result<Change, Error> {
        if before.verdict.health == health {
            return Ok(self.unchanged(owner));
        }
        let number = *number.get_or_insert_with(|| self.revise());
        let mut all = self.checks_of(owner).unwrap_or_default();
        for named in all.iter_mut().filter(|named| named.asked.id == before.asked.id) {
            *named = named.saying(health, output, number);
        }
        self.put_checks(owner, all, number)?;
        Ok(Change { revision: number, changed: true, created: false, settled: false })
    }

    /// Nobody told it in time.
    pub(super) fn check_ran_out(&mut self, owner: &Owner, id: &Arc<str>, number: &mut Option<u64>) {
        let what = Due::Check(owner.clone(), id.clone());
        if let Some(before) = self.check_of(owner, id).filter(|named| named.ttl().is_some()) {
            let said = &before.verdict.output;
            let output = match said.is_empty() {
                true => "TTL expired".to_owned(),
                false => format!("TTL expired (last output before timeout follows): {said}"),
            };
            // The owner is there, and the number of its checks stays.
            let _ = self.say(owner, &before, Health::Critical, &output, number);
        }
        self.effects.push(Effect { what, at: None });
    }

    /// It was critical for so long that its instance goes.
    pub(super) fn reap(&mut self, key: &InstanceKey, id: &Arc<str>, number: &mut Option<u64>) {
        let owner = Owner::Instance(key.clone());
        let is_due = self.check_of(&owner, id).is_some_and(|named| named.removes_after().is_some());
        match self.record(key).filter(|_| is_due).cloned() {
            Some(record) => {
                let number = *number.get_or_insert_with(|| self.revise());
                self.remove(&record, number, "critical for too long");
            }
            None => self.effects.push(Effect { what: Due::Reap(key.clone(), id.clone()), at: None }),
        }
    }

    /// Somebody names a node, and says what its front keeps of it.
    pub fn set_node(&mut self, name: &Arc<str>, words: &Arc<str>) -> Result<Change, Error> {
        let before = self.node(name).cloned();
        if before.as_ref().is_some_and(|node| node.words == *words) {
            return Ok(self.unchanged(&Owner::Node(name.clone())));
        }
        if before.is_none() && self.state.nodes.len() + self.staged.nodes.len() >= NODES_MAX {
            return Err(Error::Full { what: "nodes", max: NODES_MAX });
        }
        let number = self.revise();
        let (created, checks) = before.map_or((number, Vec::new()), |node| (node.created, node.checks.clone()));
        self.stage_node(Node { name: name.clone(), words: words.clone(), checks, created, modified: number });
        Ok(Change { revision: number, changed: true, created: created == number, settled: false })
    }

    /// Takes a node away, with all that is on it.
    pub fn drop_node(&mut self, name: &Arc<str>) -> Result<Change, Error> {
        let on_it = self.on_node(name);
        let known = self.node(name).cloned();
        if known.is_none() && on_it.is_empty() {
            return Err(Error::NoNode(name.clone()));
        }
        let number = self.revise();
        for record in on_it {
            self.remove(&record, number, "its node was deregistered");
        }
        if let Some(node) = known {
            self.disarm(&Owner::Node(name.clone()), &node.checks);
            self.staged.nodes.insert(name.clone(), None);
        }
        self.staged.catalog = self.staged.catalog.max(number);
        Ok(Change { revision: number, changed: true, created: false, settled: false })
    }

    /// What a node's checks say of what is on it.
    pub(super) fn held(&self, spec: &Spec) -> Option<Verdict> {
        let node = self.node(spec.node.as_ref()?)?;
        node.verdict()
    }

    /// When checks have to be told again.
    pub(super) fn arm_checks(&mut self, owner: &Owner, checks: &[Named], settled: bool) {
        for named in checks {
            let Some(ttl) = named.ttl() else { continue };
            let what = Due::Check(owner.clone(), named.asked.id.clone());
            let effect = Effect { what, at: Some(plus(self.now, ttl)) };
            if settled { self.at_once.push(effect) } else { self.effects.push(effect) }
        }
    }

    /// When an instance goes for one of its checks.
    pub(super) fn arm_reaping(&mut self, key: &InstanceKey, before: &[Named], after: &[Named]) {
        let was = |named: &Named| before.iter().find(|b| b.asked.id == named.asked.id).and_then(Named::removes_after);
        for named in after {
            let due = named.removes_after();
            // It goes on being critical: its time runs on.
            if due != was(named) {
                let what = Due::Reap(key.clone(), named.asked.id.clone());
                self.effects.push(Effect { what, at: due.map(|after| plus(self.now, after)) });
            }
        }
    }

    /// Nothing is waited for any more.
    pub(super) fn disarm(&mut self, owner: &Owner, checks: &[Named]) {
        for named in checks {
            let id = &named.asked.id;
            self.effects.push(Effect { what: Due::Check(owner.clone(), id.clone()), at: None });
            if let Owner::Instance(key) = owner {
                self.effects.push(Effect { what: Due::Reap(key.clone(), id.clone()), at: None });
            }
        }
    }

    fn checks_of(&self, owner: &Owner) -> Option<Vec<Named>> {
        match owner {
            Owner::Instance(key) => self.record(key).map(|record| record.checks.clone()),
            Owner::Node(name) => self.node(name).map(|node| node.checks.clone()),
        }
    }

    pub(super) fn check_of(&self, owner: &Owner, id: &str) -> Option<Named> {
        let checks = match owner {
            Owner::Instance(key) => &self.record(key)?.checks,
            Owner::Node(name) => &self.node(name)?.checks,
        };
        checks.iter().find(|named| &*named.asked.id == id).cloned()
    }

    fn put_checks(&mut self, owner: &Owner, checks: Vec<Named>, number: u64) -> Result<(), Error> {
        match owner {
            Owner::Instance(key) => {
                let before = self.record(key).cloned().ok_or_else(|| Error::NoInstance(key.clone()))?;
                self.stage(Some(&before), Record { checks, modified: number, ..(*before).clone() });
            }
            Owner::Node(name) => {
                let before = self.node(name).cloned();
                let (created, words) = before.map_or((number, "{}".into()), |node| (node.created, node.words.clone()));
                self.stage_node(Node { name: name.clone(), words, checks, created, modified: number });
            }
        }
        Ok(())
    }

    /// Puts a node in its place, and tells all that is on it.
    fn stage_node(&mut self, node: Node) {
        let (number, held) = (node.modified, node.verdict());
        let on_it = self.on_node(&node.name);
        self.staged.catalog = self.staged.catalog.max(number);
        self.staged.nodes.insert(node.name.clone(), Some(Arc::new(node)));
        for before in on_it.iter().filter(|record| record.held != held) {
            self.stage(Some(before), Record { held: held.clone(), modified: number, ..(**before).clone() });
        }
    }

    fn on_node(&self, name: &str) -> Vec<Arc<Record>> {
        let keys: BTreeSet<&InstanceKey> =
            self.state.records().map(|r| &r.key).chain(self.staged.records.keys()).collect();
        let records = keys.into_iter().filter_map(|key| self.record(key));
        records.filter(|record| record.spec.node.as_deref() == Some(name)).cloned().collect()
    }

    fn node(&self, name: &Arc<str>) -> Option<&Arc<Node>> {
        match self.staged.nodes.get(name) {
            Some(staged) => staged.as_ref(),
            None => self.state.nodes.get(name),
        }
    }

    /// Whether nothing of this turn bears on it.
    fn is_quiet(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Instance(key) => self.is_settled(key),
            Owner::Node(name) => !self.staged.nodes.contains_key(name),
        }
    }

    fn unchanged(&self, owner: &Owner) -> Change {
        let revision = match owner {
            Owner::Instance(key) => self.record(key).map(|record| record.modified),
            Owner::Node(name) => self.node(name).map(|node| node.modified),
        };
        Change { revision: revision.unwrap_or(0), changed: false, created: false, settled: self.is_quiet(owner) }
    }
}

impl Node {
    /// What its checks say, where they say anything.
    pub(in crate::registry) fn verdict(&self) -> Option<Verdict> {
        worst(&self.checks).map(|(health, output)| Verdict { health, output: output.clone() })
    }
}
