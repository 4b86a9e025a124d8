//! The way back to the camera: a picture of now, asked for by who records or watches, answered by who knows the camera.

use crate::{base::Wall, model::GapCause};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A picture this young answers the next request too: however many ask, the camera is asked once in so long.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// A JPEG, whole, as the camera sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub data: Bytes,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// When it was taken, in UTC, as well as is known.
    pub taken: Wall,
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NoPicture {
    /// The device has none to give, now or ever; a key frame of the stream may do instead.
    pub unsupported: bool,
    /// What footage that is missing is to be put down to.
    pub cause: GapCause,
    /// For people.
    pub text: String,
}

/// Who can ask a camera for a picture.
pub trait Stills: Send + Sync {
    /// What the camera shows now. Bounded in time and bytes.
    fn picture(&self) -> BoxFuture<'_, Result<Picture, NoPicture>>;
}

/// Why no picture was made of a key frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Undecoded {
    /// This host has nothing to make it by.
    pub missing: bool,
    /// For people.
    pub text: String,
}

/// Who can make a picture of a key frame.
pub trait Decoder: Send + Sync {
    /// The JPEG of a frame that stands for itself, made so wide where that is said.
    fn jpeg(&self, frame: crate::model::Frame, width: Option<u16>) -> BoxFuture<'_, Result<Bytes, Undecoded>>;
}

/// The door of one stream: one request at a time.
pub(super) struct Door {
    stills: Arc<dyn Stills>,
    last: tokio::sync::Mutex<Option<(Instant, Picture)>>,
}

impl Door {
    pub(super) fn new(stills: Arc<dyn Stills>) -> Self {
        Self { stills, last: tokio::sync::Mutex::default() }
    }

    pub(super) async fn picture(&self) -> Result<Picture, NoPicture> {
        let mut last = self.last.lock().await;
        if let Some((at, picture)) = &*last
            && at.elapsed() < SHARED_FOR
        {
            return Ok(picture.clone());
        }
        let picture = self.stills.picture().await?;
        *last = Some((Instant::now(), picture.clone()));
        Ok(picture)
    }
}

impl NoPicture {
    /// Nobody is there to be asked.
    pub fn absent() -> Self {
        Self { unsupported: false, cause: GapCause::Unknown, text: "there is no such camera now".to_owned() }
    }
}
