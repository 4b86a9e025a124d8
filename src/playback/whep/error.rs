//! Why somebody is not shown a stream by WebRTC, and how that is said.

use super::{CONTENT_TYPE, OFFER_BYTES_MAX};
use crate::{base::Kind, model::VideoCodec};
use http::StatusCode;

/// Why a stream is not shown by WebRTC.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens.
    #[error("WebRTC is turned off here: `playback.webrtc_listen` is empty; watch live.ws or live.m3u8")]
    Off,
    /// A method that this address does not have.
    #[error("a session is begun by POST of an offer and ended by DELETE of its address; there is nothing else to it")]
    Method(&'static str),
    /// A body that is no offer.
    #[error("an offer is a session description: POST what setLocalDescription made, as `Content-Type: {CONTENT_TYPE}`")]
    ContentType,
    /// Too long.
    #[error("the offer is longer than {OFFER_BYTES_MAX} bytes; offer one track of video and one of audio")]
    TooLong,
    /// It could not be read to its end.
    #[error("the offer could not be read: {0}")]
    Body(String),
    /// An offer that cannot be taken.
    #[error("the offer cannot be taken: {0}")]
    BadOffer(&'static str),
    /// One that cannot be taken in detail.
    #[error("the offer cannot be taken: {0}; POST what createOffer made, unchanged")]
    Malformed(String),
    /// The viewer has no decoder for it.
    #[error("the stream is {}, which the offer does not take by WebRTC; watch live.ws or live.m3u8", name(*.0))]
    Codec(VideoCodec),
    /// B-frames.
    #[error(
        "the camera sends pictures in another order than they are shown in, which WebRTC cannot carry; watch live.ws or \
         live.m3u8, or turn B-frames off in the camera"
    )]
    Reordered,
    /// More than are served.
    #[error("{0} watch by WebRTC already; try again later, or watch live.m3u8")]
    Full(usize),
    /// More than one address may have.
    #[error("{0} sessions are open from this address already; end those that nobody watches")]
    AddressFull(usize),
    /// It has ended, or never was.
    #[error("there is no such session; it has ended, or this is not its address")]
    NoSession,
    /// The library failed.
    #[error("the session could not be made: {0}")]
    Failed(String),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSession => Kind::NotFound,
            Self::Full(_) | Self::AddressFull(_) => Kind::Busy,
            Self::Failed(_) => Kind::Internal,
            _ => Kind::Invalid,
        }
    }

    /// Status, stable name and title.
    pub(in crate::playback) fn named(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Off => (StatusCode::NOT_IMPLEMENTED, "webrtc-off", "WebRTC is off"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "offer-needed", "An offer is needed"),
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "offer-too-long", "Offer too long"),
            Self::Body(_) | Self::BadOffer(_) | Self::Malformed(_) => {
                (StatusCode::BAD_REQUEST, "bad-offer", "Bad offer")
            }
            Self::Codec(_) => (StatusCode::NOT_ACCEPTABLE, "codec-not-offered", "Codec not offered"),
            Self::Reordered => (StatusCode::NOT_ACCEPTABLE, "reordered", "Pictures out of order"),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Self::AddressFull(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-sessions", "Too many sessions"),
            Self::NoSession => (StatusCode::NOT_FOUND, "no-such-session", "No such session"),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed", "Failed"),
        }
    }
}

const fn name(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "H.264",
        VideoCodec::H265 => "H.265",
        VideoCodec::Mjpeg => "Motion JPEG",
    }
}
