//! What each stream's transcoding is doing, for the API.

use crate::model::{StreamFormat, StreamKey, VideoCodec};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What goes out under the stream's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing yet: the source has not begun, or ffmpeg has not answered.
    #[default]
    Starting,
    /// What ffmpeg makes of it.
    Running,
    /// The source as it comes; the reason says why.
    Original,
}

/// What a stream's transcoding is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What goes out.
    pub state: State,
    /// `no_ffmpeg`, `ffmpeg_failed` or `ffmpeg_limit`.
    pub reason: Option<&'static str>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// How the pictures that go out are coded: codec, width, height.
    pub format: Option<(VideoCodec, u16, u16)>,
    /// Processes that were begun anew.
    pub restarts: u64,
}

/// Of all streams that are transcoded.
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

    /// Changes what is shown of a stream; true where its state or reason is another one now.
    pub fn show(&self, stream: &StreamKey, change: impl FnOnce(&mut Status)) -> bool {
        let mut news = false;
        self.0.send_if_modified(|all| {
            let before = all.get(stream).cloned();
            let mut now = before.clone().unwrap_or_default();
            change(&mut now);
            news = before.as_ref().map(|b| (b.state, b.reason)) != Some((now.state, now.reason));
            let differs = before.as_ref() != Some(&now);
            if differs {
                Arc::make_mut(all).insert(stream.clone(), now);
            }
            differs
        });
        news
    }

    /// A stream is not transcoded any more.
    pub fn remove(&self, stream: &StreamKey) {
        self.0.send_if_modified(|all| all.contains_key(stream) && Arc::make_mut(all).remove(stream).is_some());
    }
}

/// What is shown of a format.
pub fn shown(format: &StreamFormat) -> (VideoCodec, u16, u16) {
    (format.video.codec, format.video.width, format.video.height)
}
