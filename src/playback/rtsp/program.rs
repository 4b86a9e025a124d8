//! What an address names, found: a stream that is live, or footage of it; and how it is described.

use super::{
    Shared,
    address::{Address, Footage},
    outlet::Outlet,
    shape::Shape,
};
use crate::{
    base::Wall,
    model::{StreamKey, TrackKind},
    playback::Error,
};
use std::{sync::Arc, time::Duration};

/// How long a client waits for the first key frame of a stream that nobody watched.
pub(super) const FIRST_PICTURE_MAX: Duration = Duration::from_secs(10);

/// Something that can be shown.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) stream: StreamKey,
    pub(super) footage: Option<Footage>,
    pub(super) shape: Arc<Shape>,
    /// Of what is live.
    pub(super) outlet: Option<Arc<Outlet>>,
}

impl Program {
    /// Finds what an address names.
    pub(super) async fn find(shared: &Shared, address: &Address) -> Result<Self, Error> {
        let stream = address.stream.clone();
        if let Some(footage) = address.footage {
            let shape = Arc::new(shared.library.describe(&stream, footage).await?);
            return Ok(Self { stream, footage: Some(footage), shape, outlet: None });
        }
        let outlet = shared.outlets.of(&stream)?;
        match tokio::time::timeout(FIRST_PICTURE_MAX, outlet.shape()).await {
            Ok(Some(shape)) => Ok(Self { stream, footage: None, shape, outlet: Some(outlet) }),
            Ok(None) if outlet.is_unfit() => Err(Error::MotionJpeg(stream)),
            _ => Err(Error::NotLive(stream)),
        }
    }

    /// Whether it is what an address names; one that names a track may leave the time out.
    pub(super) fn is(&self, address: &Address) -> bool {
        self.stream == address.stream && address.footage.is_none_or(|footage| self.footage == Some(footage))
    }

    /// The track of that number.
    pub(super) fn track(&self, number: u8) -> Option<TrackKind> {
        match number {
            1 => Some(TrackKind::Video),
            2 if self.shape.speech.is_some() => Some(TrackKind::Audio),
            _ => None,
        }
    }

    /// The session description. Controls are whole addresses, since not all clients build them on one with a query.
    pub(super) fn description(&self, base: &str, query: &str, local: std::net::IpAddr, now: Wall) -> String {
        let (kind, any) = if local.is_ipv4() { ("IP4", "0.0.0.0") } else { ("IP6", "::") };
        let range = match self.footage {
            None => "npt=now-".to_owned(),
            Some(Footage { to: None, .. }) => "npt=0-".to_owned(),
            Some(Footage { from, to: Some(to) }) => {
                format!("npt=0-{:.3}", to.micros_since(from) as f64 / 1e6)
            }
        };
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=- {} 1 IN {kind} {local}", now.micros()),
            format!("s={}", self.stream),
            format!("c=IN {kind} {any}"),
            "t=0 0".to_owned(),
            format!("a=range:{range}"),
            format!("a=control:{base}{query}"),
        ];
        lines.extend(self.shape.media_lines(base, query));
        lines.join("\r\n") + "\r\n"
    }
}
