//! Pictures of one stream, asked of the device: at the budget's cost, one request at a time for each device.

use super::{
    poll::{Asker, Trouble},
    stream::{Gate, Shared},
};
use crate::{
    hikvision::{self, Client},
    live::{NoPicture, Picture, Stills},
    media::jpeg,
    model::{GapCause, StreamKey, StreamState, VideoCodec},
};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// One stream's pictures.
pub(super) struct StreamStills {
    pub key: StreamKey,
    pub shared: Arc<Shared>,
    pub gate: watch::Receiver<Gate>,
    /// Whether frames are wanted: None, or why not.
    pub demand: watch::Receiver<Option<crate::live::Hold>>,
}

impl Stills for StreamStills {
    fn picture(&self) -> BoxFuture<'_, Result<Picture, NoPicture>> {
        Box::pin(async move {
            let taken = self.take().await;
            self.show(&taken);
            taken
        })
    }
}

impl StreamStills {
    async fn take(&self) -> Result<Picture, NoPicture> {
        if let Gate::Closed { reason, cause, .. } = &*self.gate.borrow() {
            return Err(failed(cause.unwrap_or(GapCause::Connecting), reason.clone()));
        }
        if self.key.device.dev_index().is_some() {
            let text = "a device behind a gateway is not asked for pictures".to_owned();
            return Err(NoPicture { unsupported: true, cause: GapCause::StreamError, text });
        }
        let client: Arc<Client> =
            self.shared.client().ok_or_else(|| failed(GapCause::Connecting, "not asked yet".to_owned()))?;
        let id = self.key.channel * 100 + self.key.profile.number();
        // Who it is plays no part in asking for a picture.
        let asker = Asker { kind: super::DeviceKind::Camera, client: &client, budget: &self.shared.budget };
        let answer = asker.ask(async |c: &Client| c.picture(id).await).await.map_err(|t| self.trouble(t))?;
        let data = answer.map_err(|error| NoPicture {
            unsupported: matches!(error, hikvision::Error::Unsupported { .. } | hikvision::Error::Denied { .. }),
            cause: GapCause::StreamError,
            text: error.to_string(),
        })?;
        let taken = self.shared.board.clock().wall();
        let (width, height) = jpeg::size(&data).map_err(|e| failed(GapCause::StreamError, e.to_string()))?;
        Ok(Picture { data, width, height, taken })
    }

    fn trouble(&self, trouble: Trouble) -> NoPicture {
        match trouble {
            Trouble::Locked(locked) => failed(self.shared.budget.cause(Instant::now()), locked.reason),
            Trouble::Refused(reason) => failed(GapCause::Auth, reason),
            Trouble::Silent(reason) => failed(GapCause::Unreachable, reason),
            Trouble::Failed(reason) | Trouble::Untrusted(reason) => failed(GapCause::StreamError, reason),
        }
    }

    /// Where pictures stand for frames, they are what the stream does.
    fn show(&self, taken: &Result<Picture, NoPicture>) {
        let instead = self.demand.borrow().as_ref().is_some_and(crate::live::Hold::is_for_pictures);
        if !instead || matches!(&*self.gate.borrow(), Gate::Closed { .. }) {
            return;
        }
        self.shared.board.stream(&self.key, |view| match taken {
            Ok(picture) => {
                (view.state, view.reason) = (StreamState::Running, None);
                view.codec = Some(VideoCodec::Mjpeg);
                (view.width, view.height) = (Some(picture.width), Some(picture.height));
                view.last_frame = Some(picture.taken);
            }
            // A key frame may do; who records says so.
            Err(none) if none.unsupported => {}
            Err(none) => (view.state, view.reason) = (StreamState::Backoff, Some(none.text.clone())),
        });
    }
}

fn failed(cause: GapCause, text: String) -> NoPicture {
    NoPicture { unsupported: false, cause, text }
}
