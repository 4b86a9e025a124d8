//! Checks that have names: an instance may have several, and a node has its own. Pure.

use super::{Check, record::Verdict};
use crate::model::{Health, InstanceKey};
use std::{sync::Arc, time::Duration};

/// Checks of one instance or node.
pub(super) const CHECKS_MAX: usize = 64;

/// Whose a check is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An instance's.
    Instance(InstanceKey),
    /// A node's: it holds for all that is on it.
    Node(Arc<str>),
}

/// One check among all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// Whose it is.
    pub owner: Owner,
    /// Its name; None: the one check that an instance has without a name.
    pub check: Option<Arc<str>>,
}

impl Who {
    /// The check of an instance that has no name.
    pub fn of(key: InstanceKey) -> Self {
        Self { owner: Owner::Instance(key), check: None }
    }

    /// One that has a name.
    pub fn named(owner: Owner, check: Arc<str>) -> Self {
        Self { owner, check: Some(check) }
    }
}

/// How it is known what a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Whoever registers it says so.
    Stated,
    /// It has to be told within this, or is critical.
    Ttl(Duration),
    /// By looking.
    Look(Check),
    /// Somebody took its owner out.
    Maintenance,
}

/// A check as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name, one of its kind with its owner.
    pub id: Arc<str>,
    /// How it is known what it says.
    pub how: How,
    /// Critical for so long, the instance is removed.
    pub remove_after: Option<Duration>,
    /// What the front that registered it keeps of it.
    pub words: Arc<str>,
}

/// A check that is to be registered, and how it begins where it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What is asked for.
    pub asked: Arc<Asked>,
    /// How it begins.
    pub health: Health,
    /// With what words.
    pub output: Arc<str>,
}

/// What comes with a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// These are to be there. One that is there already under its name keeps what it says.
    pub begun: Vec<Begun>,
    /// And no others.
    pub replace: bool,
}

/// A host that somebody named, with checks of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// What the front that registered it keeps of it.
    pub words: Arc<str>,
    /// Its checks, by name.
    pub checks: Vec<Named>,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
}

/// A check with a name, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What was asked for.
    pub asked: Arc<Asked>,
    /// What it says.
    pub verdict: Verdict,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
    /// The revision that said last how it is known what it says.
    pub defined: u64,
}

impl Named {
    /// What it means for its owner.
    pub fn health(&self) -> Health {
        match self.asked.how {
            How::Maintenance => Health::Maintenance,
            _ => self.verdict.health,
        }
    }

    /// How it is looked at.
    pub fn check(&self) -> Option<&Check> {
        match &self.asked.how {
            How::Look(check) => Some(check),
            _ => None,
        }
    }

    /// It has to be told within this.
    pub fn ttl(&self) -> Option<Duration> {
        match self.asked.how {
            How::Ttl(ttl) => Some(ttl),
            _ => None,
        }
    }

    /// When its owner is removed for it, after it has become so.
    pub fn removes_after(&self) -> Option<Duration> {
        self.asked.remove_after.filter(|_| self.verdict.health == Health::Critical)
    }

    /// The same, saying this now.
    pub fn saying(&self, health: Health, output: &str, number: u64) -> Self {
        Self { verdict: Verdict::new(health, output), modified: number, ..self.clone() }
    }

    fn new(begun: &Begun, number: u64) -> Self {
        let verdict = Verdict::new(begun.health, &begun.output);
        Self { asked: begun.asked.clone(), verdict, created: number, modified: number, defined: number }
    }

    fn redefine(&mut self, begun: &Begun, number: u64) {
        if begun.asked.how == How::Stated {
            let verdict = Verdict::new(begun.health, &begun.output);
            if verdict != self.verdict {
                (self.verdict, self.modified) = (verdict, number);
            }
        }
        if self.asked != begun.asked {
            if self.asked.how != begun.asked.how {
                self.defined = number;
            }
            (self.asked, self.modified) = (begun.asked.clone(), number);
        }
    }
}

/// The worst of them, with its words; None where all is well.
pub(super) fn worst(checks: &[Named]) -> Option<(Health, &Arc<str>)> {
    let ill = checks.iter().filter(|check| check.health() != Health::Passing);
    ill.max_by_key(|check| check.health()).map(|check| (check.health(), &check.verdict.output))
}

/// Those that are there with those that are asked for, by name. What changes, changes as of revision `number`.
pub(super) fn merged(before: &[Named], checks: &Checks, number: u64) -> Vec<Named> {
    let is_asked = |named: &&Named| checks.begun.iter().any(|begun| begun.asked.id == named.asked.id);
    let mut all: Vec<Named> = before.iter().filter(|named| !checks.replace || is_asked(named)).cloned().collect();
    for begun in &checks.begun {
        match all.iter_mut().find(|named| named.asked.id == begun.asked.id) {
            Some(known) => known.redefine(begun, number),
            None => all.push(Named::new(begun, number)),
        }
    }
    all.sort_by(|a, b| a.asked.id.cmp(&b.asked.id));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Critical, Maintenance, Passing, Warning};

    fn begun(id: &str, how: How, health: Health) -> Begun {
        let asked = Asked { id: id.into(), how, remove_after: None, words: "{}".into() };
        Begun { asked: Arc::new(asked), health, output: "".into() }
    }

    fn ttl(seconds: u64) -> How {
        How::Ttl(Duration::from_secs(seconds))
    }

    fn of(begun: Vec<Begun>, replace: bool) -> Checks {
        Checks { begun, replace }
    }

    #[test]
    fn what_is_registered_again_keeps_what_it_says_and_what_is_stated_does_not() {
        let first = merged(&[], &of(vec![begun("b", ttl(5), Critical), begun("a", How::Stated, Passing)], false), 7);
        assert_eq!(first.iter().map(|n| &*n.asked.id).collect::<Vec<_>>(), ["a", "b"]);
        let told: Vec<_> = first.iter().map(|n| n.saying(Passing, "well", 8)).collect();
        let same = merged(&told, &of(vec![begun("b", ttl(5), Critical)], false), 9);
        assert_eq!(same, told, "nothing changes");
        let longer = merged(&told, &of(vec![begun("b", ttl(6), Critical)], true), 9);
        assert_eq!(longer.len(), 1, "the other is not asked for any more");
        let b = &longer[0];
        assert_eq!((b.health(), b.created, b.modified, b.defined), (Passing, 7, 9, 9));
        let stated = merged(&told, &of(vec![begun("a", How::Stated, Warning)], false), 9);
        assert_eq!((stated[0].health(), stated[0].modified, stated[0].defined), (Warning, 9, 7));
    }

    #[test]
    fn the_worst_counts_and_maintenance_is_worse_than_all() {
        let all = merged(&[], &of(vec![begun("a", ttl(5), Warning), begun("b", ttl(5), Critical)], false), 1);
        assert_eq!(worst(&all).map(|w| w.0), Some(Critical));
        assert_eq!(worst(&merged(&[], &of(vec![begun("a", ttl(5), Passing)], false), 1)), None);
        let out = merged(&all, &of(vec![begun("m", How::Maintenance, Critical)], false), 2);
        assert_eq!(worst(&out).map(|w| w.0), Some(Maintenance));
    }
}
