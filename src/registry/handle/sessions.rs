//! Sessions, steps, and how new keys are.

use super::Registry;
use crate::registry::{
    Entry, Error, Keys, Session, Step, Stepped,
    command::Command,
    kv::{Overlay, View},
};
use bytes::Bytes;
use std::sync::Arc;

impl Registry {
    /// Runs steps: all of them, durable, one revision if they write; or none.
    pub async fn steps(&self, steps: Vec<Step>) -> Result<Stepped, Error> {
        let stepped = self.ask(|done| Command::Steps { steps, done }).await?;
        self.served_if(stepped.instances).await;
        Ok(stepped)
    }

    /// Somebody is there who can hold keys. The revision that made it.
    pub async fn create_session(&self, session: Session) -> Result<u64, Error> {
        self.ask(|done| Command::CreateSession { session, done }).await
    }

    /// A session begins anew. Nothing is written.
    pub async fn renew_session(&self, id: Arc<str>) -> Result<Arc<Session>, Error> {
        self.ask(|done| Command::RenewSession { id, done }).await
    }

    /// Ends a session. Whether there was one.
    pub async fn end_session(&self, id: Arc<str>) -> Result<bool, Error> {
        self.ask(|done| Command::EndSession { id, done }).await
    }

    /// Keys that begin like this are instances; empty: none are.
    pub fn service_prefix(&self) -> Bytes {
        self.0.door.shared.read().prefix.clone()
    }

    /// All sessions by id, and the last revision that changed one of them.
    pub fn sessions(&self) -> (Vec<Arc<Session>>, u64) {
        let state = self.0.door.shared.read();
        (state.sessions.values().map(|held| held.session.clone()).collect(), state.last_session)
    }

    /// Keys as they are, with the last revision that changed one of them, be it that one went. That never goes back; where
    /// the history does not reach so far, it may be a later one.
    pub fn newest(&self, keys: &Keys) -> (Vec<(Bytes, Arc<Entry>)>, u64) {
        let state = self.0.door.shared.read();
        let over = Overlay::default();
        let view = View::of(&state.space, &over, state.revision);
        let entries: Vec<_> = view.iter(keys).map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let modified = entries.iter().map(|(_, entry)| entry.modified).max().unwrap_or(0);
        let log = &state.space.log;
        let touched = log.from(modified + 1).rev().find(|r| r.changes.iter().any(|c| keys.contains(&c.key)));
        let newest = touched.map_or(log.compacted(), |revision| revision.number).max(modified);
        (entries, newest)
    }
}
