//! What each stream's recording is doing, for the API.

use crate::model::StreamKey;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What a stream's recording is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Frames go to the disk.
    pub recording: bool,
    /// Why not, or what is amiss: `disabled`, `bad_frames`, `sync_stretched`, or one of `disk::Trouble`.
    pub reason: Option<String>,
}

/// Of all streams that are live.
pub type Statuses = BTreeMap<StreamKey, Status>;

/// Where streams write what they do.
#[derive(Clone)]
pub struct Board(Arc<watch::Sender<Arc<Statuses>>>);

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Arc::default())))
    }
}

impl Board {
    /// As it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Statuses>> {
        self.0.subscribe()
    }

    /// A stream does this now. True where that is news.
    pub fn set(&self, stream: &StreamKey, recording: bool, reason: Option<&str>) -> bool {
        let status = Status { recording, reason: reason.map(str::to_owned) };
        self.0.send_if_modified(|all| {
            let news = all.get(stream) != Some(&status);
            if news {
                Arc::make_mut(all).insert(stream.clone(), status);
            }
            news
        })
    }

    /// A stream is not live any more.
    pub fn remove(&self, stream: &StreamKey) {
        self.0.send_if_modified(|all| all.contains_key(stream) && Arc::make_mut(all).remove(stream).is_some());
    }
}
