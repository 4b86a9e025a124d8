//! Where host names lead: looked up when they are registered, and again and again.

use super::{command::Command, draft::Resolved, state::Shared};
use crate::{
    base::Clock,
    model::InstanceKey,
    outbound::{Lookup, resolve},
};
use futures_util::{FutureExt, StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often names are looked up again. The system's resolver does not say how long an answer is good for; it has a
/// cache of its own where somebody cared.
const EVERY: Duration = Duration::from_secs(15);
/// The same for a name that led nowhere.
const EVERY_UNRESOLVED: Duration = Duration::from_secs(3);
/// The longest that one lookup is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lookups at once, of those that this host has places for.
const AT_ONCE_MAX: usize = 8;
/// Looks one name up, within bounds.
pub(super) async fn resolved(lookup: &Lookup, host: &Arc<str>, port: u16) -> Resolved {
    match resolve(lookup, host, port, PATIENCE).await {
        Ok(found) => Resolved { targets: found.into(), problem: None },
        Err(why) => Resolved { targets: [].into(), problem: Some(format!("`{host}` does not resolve: {why}").into()) },
    }
}

/// Looks names up again.
#[derive(Clone)]
pub(super) struct Resolver {
    shared: Arc<Shared>,
    /// Weak, so that the task ends with its last handle.
    commands: mpsc::WeakSender<Command>,
    lookup: Lookup,
    clock: Clock,
}

/// A name, and who is there.
type Names = BTreeMap<(Arc<str>, u16), BTreeSet<InstanceKey>>;

impl Resolver {
    pub fn new(shared: Arc<Shared>, commands: mpsc::WeakSender<Command>, lookup: Lookup, clock: Clock) -> Self {
        Self { shared, commands, lookup, clock }
    }

    /// Until stopped.
    pub async fn run(&mut self, stop: CancellationToken) {
        let mut rounds: u32 = 0;
        loop {
            let all = rounds.is_multiple_of(u32::try_from(EVERY.as_secs() / EVERY_UNRESOLVED.as_secs()).unwrap_or(1));
            rounds = rounds.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round(all) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(EVERY_UNRESOLVED) => {}
                () = self.shared.unresolved.notified() => {
                    self.round(false).await;
                }
            }
        }
    }

    async fn round(&self, all: bool) {
        let names = self.names(all);
        let lookups: Vec<_> =
            names.into_iter().map(|((host, port), keys)| self.look(host, port, keys).boxed()).collect();
        let looked = stream::iter(lookups);
        let mut looked = std::pin::pin!(looked.buffer_unordered(AT_ONCE_MAX));
        while let Some((resolved, host, keys)) = looked.next().await {
            let Some(commands) = self.commands.upgrade() else { return };
            for key in keys {
                let command = Command::Resolved { key, address: host.clone(), resolved: resolved.clone() };
                if commands.send(command).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn look(
        &self,
        host: Arc<str>,
        port: u16,
        keys: BTreeSet<InstanceKey>,
    ) -> (Resolved, Arc<str>, BTreeSet<InstanceKey>) {
        (resolved(&self.lookup, &host, port).await, host, keys)
    }

    /// What to look up: everything, or what leads nowhere.
    fn names(&self, all: bool) -> Names {
        let mut names = Names::new();
        let state = self.shared.read();
        for record in state.records().filter(|r| r.spec.has_name()) {
            if all || record.targets.is_empty() || record.unresolved.is_some() {
                let keys = names.entry((record.spec.address.clone(), record.spec.port)).or_default();
                keys.insert(record.key.clone());
            }
        }
        names
    }
}
