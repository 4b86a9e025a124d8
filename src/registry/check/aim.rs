//! What is looked at.

use crate::{
    model::Health,
    registry::{Check, Node, Owner, Record, Who, named::Named},
};
use std::sync::Arc;

/// Something to look at, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// Whose check, and which.
    pub who: Who,
    /// How it is looked at.
    pub check: Check,
    /// The revision that said so last.
    pub defined: u64,
    /// What is known of it.
    pub known: Option<Health>,
    /// Where the check means its instance: that one.
    pub(super) record: Option<Arc<Record>>,
}

impl Aim {
    /// All that an instance is looked at by.
    pub(in crate::registry) fn of_record(record: &Arc<Record>) -> Vec<Self> {
        let own = record.spec.check.as_ref().map(|check| Self {
            who: Who::of(record.key.clone()),
            check: check.clone(),
            defined: record.defined,
            known: record.verdict.as_ref().map(|verdict| verdict.health),
            record: Some(record.clone()),
        });
        let owner = || Owner::Instance(record.key.clone());
        own.into_iter().chain(record.checks.iter().filter_map(|named| Self::of_named(owner(), named))).collect()
    }

    /// All that a node is looked at by.
    pub(in crate::registry) fn of_node(node: &Node) -> Vec<Self> {
        let owner = || Owner::Node(node.name.clone());
        node.checks.iter().filter_map(|named| Self::of_named(owner(), named)).collect()
    }

    fn of_named(owner: Owner, named: &Named) -> Option<Self> {
        let check = named.check()?.clone();
        // What was never looked at is critical by default, and one look is enough to know better. What is in is not taken
        // out so quickly, whoever said that it is well.
        let is_known = named.verdict.health.is_live() || named.modified != named.defined;
        let known = is_known.then_some(named.verdict.health);
        let who = Who::named(owner, named.asked.id.clone());
        Some(Self { who, check, defined: named.defined, known, record: None })
    }
}
