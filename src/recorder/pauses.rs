//! The pauses that people asked for, kept over restarts.

use super::{Error, Pause};
use crate::{
    model::StreamKey,
    store::{self, Batch, Codec, Keyspace, Store},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// By the stream's key. As JSON, so that fields can be added later.
const PAUSES: Keyspace<Pause> = Keyspace::new(0x30, "pauses", Codec::Json);

/// All of them.
pub type Pauses = BTreeMap<StreamKey, Pause>;

/// Where they are kept. Cheap to clone.
#[derive(Clone)]
pub struct PauseBook {
    store: Store,
    now: Arc<watch::Sender<Arc<Pauses>>>,
}

impl PauseBook {
    /// As an earlier process left them. Blocks for a few reads.
    pub fn open(store: Store) -> Result<Self, store::Error> {
        let mut pauses = Pauses::new();
        for row in store.range(&PAUSES, ..) {
            let (key, pause) = row?;
            if let Some(stream) = std::str::from_utf8(&key).ok().and_then(|key| key.parse().ok()) {
                pauses.insert(stream, pause);
            }
        }
        Ok(Self { store, now: Arc::new(watch::Sender::new(Arc::new(pauses))) })
    }

    /// As they change.
    pub fn watch(&self) -> watch::Receiver<Arc<Pauses>> {
        self.now.subscribe()
    }

    /// Sets a stream's pause, or ends it: durable first, then in force. The one that it had.
    pub async fn set(&self, stream: &StreamKey, pause: Option<Pause>) -> Result<Option<Pause>, Error> {
        let key = stream.to_string();
        let batch = match &pause {
            Some(pause) => Batch::new().put(&PAUSES, key.as_bytes(), pause)?,
            None if !self.now.borrow().contains_key(stream) => return Ok(None),
            None => Batch::new().delete(&PAUSES, key.as_bytes()),
        };
        self.store.commit(batch).await?;
        let mut before = None;
        self.now.send_modify(|all| {
            let all = Arc::make_mut(all);
            before = match pause {
                Some(pause) => all.insert(stream.clone(), pause),
                None => all.remove(stream),
            };
        });
        Ok(before)
    }
}
