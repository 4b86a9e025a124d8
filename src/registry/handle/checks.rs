//! Checks that have names, and nodes.

use super::Registry;
use crate::{
    model::Health,
    registry::{Checks, Error, How, Look, Named, Node, Owner, Who, Written, command::Command, record::Verdict},
};
use std::sync::Arc;
use tokio::sync::watch;

impl Registry {
    /// The nodes that somebody named.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.0.door.shared.read().nodes.values().cloned().collect()
    }

    /// One of them.
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.0.door.shared.read().nodes.get(name).cloned()
    }

    /// The last revision of services and keys, as it moves.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.door.shared.head.subscribe()
    }

    /// Adds checks to an instance or a node, or changes them; a node that is not known yet is made.
    pub async fn set_checks(&self, owner: Owner, checks: Checks) -> Result<Written, Error> {
        checked(&checks)?;
        let change = self.ask(|done| Command::SetChecks { owner, checks, done }).await?;
        Ok(self.written(change).await)
    }

    /// Takes a check away.
    pub async fn drop_check(&self, owner: Owner, id: Arc<str>) -> Result<Written, Error> {
        let change = self.ask(|done| Command::DropCheck { owner, id, done }).await?;
        Ok(self.written(change).await)
    }

    /// Says what a check says, whose way to be known that is; it has to be said again within its ttl. The same again
    /// writes nothing and wakes nobody: its words are kept in memory.
    pub async fn tell(&self, owner: Owner, id: Arc<str>, health: Health, output: String) -> Result<Written, Error> {
        let (who, said) = (Who::named(owner.clone(), id.clone()), Verdict::new(health, &output).output);
        let change = self.ask(|done| Command::Tell { owner, id, health, output, done }).await?;
        let look = Look { at: self.0.door.clock.wall(), health, output: said, in_a_row: 1 };
        self.0.looks.put(who, look);
        Ok(self.written(change).await)
    }

    /// Names a node, with what its front keeps of it.
    pub async fn set_node(&self, name: Arc<str>, words: Arc<str>) -> Result<Written, Error> {
        let change = self.ask(|done| Command::SetNode { name, words, done }).await?;
        Ok(self.written(change).await)
    }

    /// Takes a node away, with all that is on it.
    pub async fn drop_node(&self, name: Arc<str>) -> Result<Written, Error> {
        let change = self.ask(|done| Command::DropNode { name, done }).await?;
        Ok(self.written(change).await)
    }

    /// What a check says now, with its last words.
    pub fn words_of(&self, owner: &Owner, named: &Named) -> Arc<str> {
        let last = self.last_word(owner, &named.asked.id).filter(|look| look.health == named.verdict.health);
        last.map_or_else(|| named.verdict.output.clone(), |look| look.output)
    }
}

/// Refuses checks that cannot be looked at.
pub(super) fn checked(checks: &Checks) -> Result<(), Error> {
    for begun in &checks.begun {
        if let How::Look(check) = &begun.asked.how {
            check.checked().map_err(|fault| Error::Invalid(fault.to_string()))?;
        }
    }
    Ok(())
}
