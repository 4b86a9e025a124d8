//! The task: takes commands, stages, commits once, publishes, answers; and what runs out, runs out here.

use super::{
    Deps, Error, GRACE, LeaseView, Owner, Record, Registry,
    command::{Command, Waiting},
    deadlines::Deadlines,
    draft::{Draft, Due, Effect, Finished},
    handle::Door,
    metrics::Meters,
    notices::Teller,
    pace::{Moment, Pace, micros, plus},
    publish::{Publisher, whole},
    resolve::Resolver,
    rows,
    session::PATIENCE,
    state::{Shared, Staged, State},
};
use crate::{
    base::{Backoff, Clock, Kind},
    model::Health,
    store::Store,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Commands that may wait: a second of writes at the rate of a good disk. Beyond it callers are told that it is busy.
const COMMANDS_MAX: usize = 4_096;
/// Commands of one commit. More would let the first of them wait longer than a commit takes.
const COMMANDS_PER_COMMIT_MAX: usize = 512;
/// From so many commands on, one turn of the runtime is waited for more of them.
const GATHERS_FROM: usize = 4;
/// What runs out in one turn: a thousand at once must not hold up a register.
const DUE_PER_TURN_MAX: usize = 512;
/// Turns of commands before what is due comes in between, renewals of it that wait in the queue going first.
const TURNS_BEFORE_DUE_MAX: u32 = 8;
/// How long to wait before what is due is tried again on a store that refused it.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// Owns all state. Nothing else can change it.
pub struct RegistryTask {
    shared: Arc<Shared>,
    store: Store,
    clock: Clock,
    pace: Pace,
    commands: mpsc::Receiver<Command>,
    publisher: Publisher,
    /// Grows with each change of what is to be checked.
    checks: watch::Sender<u64>,
    deadlines: Deadlines<Due>,
    teller: Teller,
    meters: Meters,
    resolver: Resolver,
    /// What is due waits until then, after a commit that failed.
    due_from: Moment,
    backoff: Backoff,
}

/// Reads what was kept and makes handle and task. Blocks. What the configuration names comes with
/// [`Registry::apply`], once the task runs.
pub fn build(deps: Deps) -> Result<(Registry, RegistryTask), Error> {
    let state = rows::load(&deps.store)?;
    let meters = Meters::new(&deps.metrics);
    let publisher = Publisher::new(whole(&state));
    meters.show(&state, 0);
    meters.count(&publisher.subscribe().borrow());
    let pace = Pace::new(deps.clock.clone());
    let deadlines = after_start(&state);
    let shared = Arc::new(Shared::new(state));
    let checks = watch::Sender::new(0);
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let door = Door {
        commands: sender.clone(),
        shared: shared.clone(),
        catalog: publisher.subscribe(),
        checks: checks.subscribe(),
        clock: deps.clock.clone(),
        lookup: deps.lookup.clone(),
        meters: meters.clone(),
    };
    let task = RegistryTask {
        resolver: Resolver::new(shared.clone(), sender.downgrade(), deps.lookup, deps.clock.clone()),
        shared,
        store: deps.store,
        clock: deps.clock,
        pace,
        commands,
        publisher,
        checks,
        deadlines,
        teller: Teller::new(deps.events),
        meters,
        due_from: 0,
        backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
    };
    Ok((Registry::new(door), task))
}

/// Everything has its whole time again, and the grace at least.
fn after_start(state: &State) -> Deadlines<Due> {
    let mut deadlines = Deadlines::default();
    for record in state.records() {
        if let Some(ttl) = record.spec.ttl.filter(|_| !record.expired) {
            deadlines.set(Due::Ttl(record.key.clone()), micros(ttl.max(GRACE)));
        }
        if let Some(after) = record.removed_after().filter(|_| record.health() == Health::Critical) {
            deadlines.set(Due::Removal(record.key.clone()), micros(after.max(GRACE)));
        }
    }
    let of_instances = state.records().map(|r| (Owner::Instance(r.key.clone()), &r.checks));
    let of_nodes = state.nodes.values().map(|node| (Owner::Node(node.name.clone()), &node.checks));
    for (owner, checks) in of_instances.chain(of_nodes) {
        for named in checks {
            if let Some(ttl) = named.ttl().filter(|_| named.verdict.health.is_live()) {
                deadlines.set(Due::Check(owner.clone(), named.asked.id.clone()), micros(ttl.max(GRACE)));
            }
            if let (Owner::Instance(key), Some(after)) = (&owner, named.removes_after()) {
                deadlines.set(Due::Reap(key.clone(), named.asked.id.clone()), micros(after.max(GRACE)));
            }
        }
    }
    for held in state.sessions.values() {
        if let Some(ttl) = held.session.ttl {
            deadlines.set(Due::Session(held.session.id.clone()), micros((ttl * PATIENCE).max(GRACE)));
        }
    }
    for (id, lease) in &state.leases {
        deadlines.set(Due::Lease(*id), micros(lease.ttl.max(GRACE)));
    }
    deadlines
}

/// What is looked at of an instance, beside its own check.
fn looked(record: &Record) -> Vec<(&Arc<str>, u64)> {
    let looked = record.checks.iter().filter(|named| named.check().is_some());
    looked.map(|named| (&named.asked.id, named.defined)).collect()
}

impl RegistryTask {
    /// Works until stopped, and then through what waits already.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut resolver = self.resolver.clone();
        tokio::join!(resolver.run(stop.clone()), self.serve(&stop));
    }

    async fn serve(&mut self, stop: &CancellationToken) {
        let mut batch = Vec::with_capacity(COMMANDS_PER_COMMIT_MAX);
        let mut turns = 0;
        loop {
            let wake = self.deadlines.next().map(|at| at.max(self.due_from));
            let taken = tokio::select! {
                biased;
                () = stop.cancelled(), if !self.commands.is_closed() => {
                    self.commands.close();
                    continue;
                }
                taken = self.commands.recv_many(&mut batch, COMMANDS_PER_COMMIT_MAX) => Some(taken),
                () = self.pace.until(wake) => None,
            };
            match taken {
                Some(0) => return,
                Some(taken) => {
                    turns += 1;
                    self.gather(&mut batch, taken).await;
                    self.turn(&mut batch).await;
                }
                // Whoever slept through a deadline by far had no way to take renewals either.
                None => self.woke_late(wake),
            }
            if self.commands.is_empty() || turns >= TURNS_BEFORE_DUE_MAX {
                turns = 0;
                self.run_out().await;
            }
        }
    }

    /// Lets those who are about to ask come along where many ask: a commit costs the same for a few more of them.
    async fn gather(&mut self, batch: &mut Vec<Command>, taken: usize) {
        if (GATHERS_FROM..COMMANDS_PER_COMMIT_MAX).contains(&taken) {
            tokio::task::yield_now().await;
            while batch.len() < COMMANDS_PER_COMMIT_MAX
                && let Ok(command) = self.commands.try_recv()
            {
                batch.push(command);
            }
        }
    }

    /// One turn of commands.
    async fn turn(&mut self, batch: &mut Vec<Command>) {
        self.meters.commands.inc_by(batch.len() as u64);
        let mut waiting = Vec::with_capacity(batch.len());
        let finished = {
            let state = self.shared.read();
            let mut draft = Draft::new(&state, self.pace.now(), self.clock.wall());
            for command in batch.drain(..) {
                match command {
                    Command::Lease { id, done } => drop(done.send(self.lease(&state, id))),
                    Command::Leases { done } => drop(done.send(Ok(self.leases(&state)))),
                    command => waiting.extend(command.stage(&mut draft)),
                }
            }
            draft.finish()
        };
        self.finish(finished, waiting).await;
    }

    /// One turn of what is due.
    async fn run_out(&mut self) {
        let now = self.pace.now();
        if now < self.due_from {
            return;
        }
        let due = self.deadlines.due(now, DUE_PER_TURN_MAX);
        if due.is_empty() {
            return;
        }
        let finished = {
            let state = self.shared.read();
            let mut draft = Draft::new(&state, now, self.clock.wall());
            draft.expire(&due);
            draft.finish()
        };
        if self.finish(finished, Vec::new()).await {
            self.backoff.reset();
        } else {
            self.due_from = plus(self.pace.now(), self.backoff.next(rand::random()));
        }
    }

    /// Makes a turn durable, publishes it, answers. False where it could not be stored.
    async fn finish(&mut self, mut finished: Finished, waiting: Vec<Waiting>) -> bool {
        let stored = match finished.staged.is_empty() {
            true => Ok(()),
            false => self.commit(&mut finished.staged).await,
        };
        self.meters.renewals.inc_by(finished.at_once.len() as u64);
        self.set(finished.at_once);
        if stored.is_ok() {
            if !finished.staged.is_empty() {
                self.publish(finished.staged);
            }
            self.set(finished.effects);
            self.teller.tell(finished.notices, self.pace.now());
        }
        let failed = stored.as_ref().err();
        waiting.into_iter().for_each(|w| w.answer(failed));
        failed.is_none()
    }

    async fn commit(&mut self, staged: &mut Staged) -> Result<(), Error> {
        let batch = {
            let state = self.shared.read();
            let log = &state.space.log;
            let now = self.pace.now();
            if staged.compacted.is_none() && log.excess(None, now).is_some() {
                staged.compacted = log.excess(self.shared.cursors.slowest().0, now);
            }
            rows::batch(staged, &state)?
        };
        let begun = self.pace.now();
        let stored = self.store.commit(batch).await;
        if let Some(held) = self.pace.held_up_since(begun) {
            tracing::warn!(
                held_ms = held.as_millis() as u64,
                "the store held up the registry; nothing runs out for that time"
            );
        }
        match stored {
            Ok(_) => {
                self.meters.commits.inc();
                Ok(())
            }
            Err(error) => {
                self.meters.failed.inc();
                if error.kind() != Kind::Stopped {
                    tracing::error!(%error, "what the registry was told could not be stored, and was not done");
                }
                Err(error.into())
            }
        }
    }

    /// Shows what is durable now: first what can be read, then that there is something to read.
    fn publish(&mut self, staged: Staged) {
        let revision = staged.revision;
        let (mut checks, mut unresolved) = (false, false);
        let watchers = self.shared.cursors.slowest().1;
        {
            let mut state = self.shared.write();
            // Whoever learns of it by the catalog reads the state that it is of.
            self.publisher.publish(&staged);
            for (key, record) in &staged.records {
                let before = state.record(key);
                self.meters.moved(before.map(|r| r.health()), record.as_ref().map(|r| r.health()));
                let is_checked =
                    |r: &Arc<Record>| r.spec.check.is_some() || r.checks.iter().any(|named| named.check().is_some());
                let same = match (before, record) {
                    (Some(b), Some(r)) => (b.defined, &b.targets) == (r.defined, &r.targets) && looked(b) == looked(r),
                    _ => false,
                };
                let is_new = record.as_ref().is_some_and(|r| r.targets.is_empty() && !r.spec.address.is_empty());
                unresolved |= is_new && before.is_none_or(|b| Some(&b.spec) != record.as_ref().map(|r| &r.spec));
                // What it said last is forgotten then.
                checks |= record.is_none() && before.is_some_and(|b| !b.checks.is_empty());
                checks |= !same && (before.is_some_and(is_checked) || record.as_ref().is_some_and(is_checked));
            }
            checks |= !staged.nodes.is_empty();
            state.take(staged);
            state.space.log.mark(self.pace.now(), revision);
            self.meters.show(&state, watchers);
        }
        self.shared.head.send_if_modified(|head| std::mem::replace(head, revision) != revision);
        if unresolved {
            self.shared.unresolved.notify_one();
        }
        if checks {
            self.checks.send_modify(|version| *version += 1);
        }
    }

    fn set(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect.at {
                Some(at) => self.deadlines.set(effect.what, at),
                None => self.deadlines.clear(&effect.what),
            }
        }
    }

    fn woke_late(&mut self, wanted: Option<Moment>) {
        if let Some(held) = wanted.and_then(|at| self.pace.held_up_since(at)) {
            tracing::warn!(
                held_ms = held.as_millis() as u64,
                "the registry was held up; nothing runs out for that time"
            );
        }
    }

    fn leases(&self, state: &State) -> Vec<i64> {
        let mut all: Vec<_> =
            state.leases.keys().map(|id| (self.deadlines.of(&Due::Lease(*id)).unwrap_or(0), *id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    fn lease(&self, state: &State, id: i64) -> Result<LeaseView, Error> {
        let lease = state.leases.get(&id).ok_or(Error::NoLease(id))?;
        let left = self.deadlines.of(&Due::Lease(id)).unwrap_or(0).saturating_sub(self.pace.now());
        let left = Duration::from_micros(left).min(lease.ttl);
        Ok(LeaseView { id, granted: lease.ttl, left, keys: lease.keys.iter().cloned().collect() })
    }
}
