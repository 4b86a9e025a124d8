//! What handles ask of the task.

use super::{
    Checks, Error, LeaseView, Owner, Session, Spec, StaticInstance, Step, Stepped, Txn, TxnAnswer, Who,
    draft::{Change, Draft, Resolved},
};
use crate::model::{Health, InstanceKey, ServiceName, service::Source};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Where an answer goes.
pub(super) type Done<T> = oneshot::Sender<Result<T, Error>>;

/// One thing asked for.
pub(super) enum Command {
    Register {
        key: InstanceKey,
        spec: Arc<Spec>,
        resolved: Option<Resolved>,
        source: Source,
        checks: Option<Checks>,
        done: Done<Change>,
    },
    SetChecks {
        owner: Owner,
        checks: Checks,
        done: Done<Change>,
    },
    DropCheck {
        owner: Owner,
        id: Arc<str>,
        done: Done<Change>,
    },
    Tell {
        owner: Owner,
        id: Arc<str>,
        health: Health,
        output: String,
        done: Done<Change>,
    },
    SetNode {
        name: Arc<str>,
        words: Arc<str>,
        done: Done<Change>,
    },
    DropNode {
        name: Arc<str>,
        done: Done<Change>,
    },
    Deregister {
        key: InstanceKey,
        done: Done<Change>,
    },
    DeregisterService {
        service: ServiceName,
        done: Done<Change>,
    },
    SetStatic {
        wanted: Vec<StaticInstance>,
        resolved: Vec<Option<Resolved>>,
        /// Where instances are keys.
        prefix: Bytes,
        done: Done<Change>,
    },
    Renew {
        key: InstanceKey,
        done: Done<(Duration, Change)>,
    },
    Report {
        who: Who,
        defined: u64,
        health: Health,
        output: String,
        done: Done<Change>,
    },
    Resolved {
        key: InstanceKey,
        address: Arc<str>,
        resolved: Resolved,
    },
    Txn {
        txn: Txn,
        done: Done<TxnAnswer>,
        room: Option<OwnedSemaphorePermit>,
    },
    Steps {
        steps: Vec<Step>,
        done: Done<Stepped>,
    },
    CreateSession {
        session: Session,
        done: Done<u64>,
    },
    RenewSession {
        id: Arc<str>,
        done: Done<Arc<Session>>,
    },
    EndSession {
        id: Arc<str>,
        done: Done<bool>,
    },
    Compact {
        revision: u64,
        done: Done<()>,
    },
    Grant {
        id: i64,
        ttl: Duration,
        done: Done<(i64, Duration)>,
    },
    KeepAlive {
        id: i64,
        done: Done<Duration>,
    },
    Revoke {
        id: i64,
        done: Done<(u64, Option<u64>)>,
    },
    /// Reads what only the task knows.
    Leases {
        done: Done<Vec<i64>>,
    },
    /// The same.
    Lease {
        id: i64,
        done: Done<LeaseView>,
    },
}

/// An answer that waits for the commit.
pub(super) struct Waiting {
    /// The answer holds whether or not the commit succeeds.
    settled: bool,
    send: Box<dyn FnOnce(Option<&Error>) + Send>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Waiting {
    fn new<T: Send + 'static>(done: Done<T>, result: Result<T, Error>, settled: bool) -> Self {
        let send = Box::new(move |failed: Option<&Error>| {
            // Whoever asked may have gone away; what was asked for holds all the same.
            let _ = done.send(match failed {
                Some(error) => result.and(Err(error.clone())),
                None => result,
            });
        });
        Self { settled, send, _room: None }
    }

    /// Answers. What was settled before is not touched by a commit that failed.
    pub fn answer(self, failed: Option<&Error>) {
        (self.send)(failed.filter(|_| !self.settled));
    }
}

fn of_change(done: Done<Change>, result: Result<Change, Error>) -> Waiting {
    let settled = result.as_ref().is_ok_and(|change| change.settled);
    Waiting::new(done, result, settled)
}

/// A result, and whether it holds whatever becomes of its turn.
fn apart<T>(result: Result<(T, bool), Error>) -> (Result<T, Error>, bool) {
    match result {
        Ok((answer, settled)) => (Ok(answer), settled),
        Err(error) => (Err(error), false),
    }
}

impl Command {
    /// Stages it. None where nobody waits for an answer.
    pub fn stage(self, draft: &mut Draft<'_>) -> Option<Waiting> {
        Some(match self {
            Self::Register { key, spec, resolved, source, checks, done } => {
                of_change(done, draft.register(&key, &spec, resolved.as_ref(), source, checks.as_ref()))
            }
            Self::SetChecks { owner, checks, done } => of_change(done, draft.set_checks(&owner, &checks)),
            Self::DropCheck { owner, id, done } => of_change(done, draft.drop_check(&owner, &id)),
            Self::Tell { owner, id, health, output, done } => of_change(done, draft.tell(&owner, &id, health, &output)),
            Self::SetNode { name, words, done } => of_change(done, draft.set_node(&name, &words)),
            Self::DropNode { name, done } => of_change(done, draft.drop_node(&name)),
            Self::Deregister { key, done } => of_change(done, draft.deregister(&key)),
            Self::DeregisterService { service, done } => of_change(done, draft.deregister_service(&service)),
            Self::SetStatic { wanted, resolved, prefix, done } => {
                let moved = draft.set_prefix(&prefix);
                let change = draft.set_static(&wanted, &resolved);
                of_change(done, change.map(|c| Change { settled: c.settled && !moved, ..c }))
            }
            Self::Renew { key, done } => {
                let result = draft.renew(&key);
                let settled = result.as_ref().is_ok_and(|(_, change)| change.settled);
                Waiting::new(done, result, settled)
            }
            Self::Report { who: Who { owner, check }, defined, health, output, done } => {
                let told = match (&owner, check) {
                    (owner, Some(id)) => draft.report_named(owner, &id, defined, health, &output),
                    (Owner::Instance(key), None) => draft.report(key, defined, health, &output),
                    (Owner::Node(name), None) => Err(Error::NoNode(name.clone())),
                };
                of_change(done, told)
            }
            Self::Resolved { key, address, resolved } => {
                draft.resolved(&key, &address, &resolved);
                return None;
            }
            Self::Txn { txn, done, room } => {
                let (result, settled) = apart(draft.txn(&txn));
                Waiting { _room: room, ..Waiting::new(done, result, settled) }
            }
            Self::Steps { steps, done } => {
                let (result, settled) = apart(draft.steps(&steps));
                Waiting::new(done, result, settled)
            }
            Self::CreateSession { session, done } => Waiting::new(done, draft.create_session(session), false),
            Self::RenewSession { id, done } => {
                let (result, settled) = apart(draft.renew_session(&id));
                Waiting::new(done, result, settled)
            }
            Self::EndSession { id, done } => Waiting::new(done, Ok(draft.end_session(&id)), false),
            Self::Compact { revision, done } => Waiting::new(done, draft.compact(revision), false),
            Self::Grant { id, ttl, done } => Waiting::new(done, draft.grant(id, ttl, rand::random), false),
            Self::KeepAlive { id, done } => {
                let (result, settled) = apart(draft.keep_alive(id));
                Waiting::new(done, result, settled)
            }
            Self::Revoke { id, done } => Waiting::new(done, draft.revoke(id), false),
            // The task answers these itself.
            Self::Lease { done, .. } => Waiting::new(done, Err(Error::Busy), false),
            Self::Leases { done } => Waiting::new(done, Err(Error::Busy), false),
        })
    }
}
