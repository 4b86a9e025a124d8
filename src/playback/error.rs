//! Why a request for footage is refused, and how that is said.

use super::{plays, whep};
use crate::{
    base::{Kind, Wall},
    disk, media,
    model::{Range, StreamKey},
    serve::{Response, problem},
};
use http::{HeaderValue, StatusCode, header};

/// Why a request for footage failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of playback.
    #[error("there is nothing at {0}; media paths are /media/<device>/<channel>/<main|sub>/vod.mp4 and …/vod.m3u8")]
    NoSuchPath(String),
    /// Anything but GET and HEAD.
    #[error("footage can only be read: use GET or HEAD")]
    Method,
    /// A parameter is missing.
    #[error("`{0}` is missing; write ?from=2026-11-21T08:30:00Z&to=2026-11-21T08:35:00Z")]
    Missing(&'static str),
    /// A parameter is not what it should be.
    #[error("`{name}`: {what}")]
    Bad {
        /// The parameter.
        name: &'static str,
        /// What is wrong.
        what: String,
    },
    /// `to` is not after `from`.
    #[error("`to` ({}) must be after `from` ({})", .0.to, .0.from)]
    Backwards(Range),
    /// More than one answer holds.
    #[error("the range is too long: {0}")]
    TooLong(String),
    /// Nothing of this stream was ever recorded, or all of it is gone.
    #[error("there is no footage of {0}")]
    NoSuchStream(StreamKey),
    /// There is footage, but not in this range.
    #[error("there is no footage of {stream} between {} and {}; {}", range.from, range.to, nearest(*before, *after))]
    NoFootage {
        /// The stream.
        stream: StreamKey,
        /// What was asked for.
        range: Range,
        /// Where the footage before it ends.
        before: Option<Wall>,
        /// Where the footage after it begins.
        after: Option<Wall>,
    },
    /// Pictures that no player of HLS takes.
    #[error(
        "{0} is Motion JPEG, which no browser and no player of HLS takes; fetch …/vod.mp4?from=…&to=… and play it in VLC or \
         ffmpeg, or set the camera to H.264"
    )]
    MotionJpeg(StreamKey),
    /// Pictures and video in one range.
    #[error(
        "the range holds single pictures and video, which no file holds together; ask for what is before or after {0}"
    )]
    Mixed(Wall),
    /// HLS of single pictures.
    #[error(
        "this range was recorded as single pictures, which HLS cannot carry; fetch vod.mp4?from&to, or snapshot.jpg?at"
    )]
    PicturesOnly,
    /// Nothing here makes pictures of key frames.
    #[error("a picture has to be made of video or in another size for this, and there is nothing here to do that: {0}")]
    NoDecoder(String),
    /// A key frame of which no picture could be made.
    #[error("no picture could be made of the key frame: {0}")]
    Undecoded(String),
    /// A stream that does not run now.
    #[error("{0} is not live now; GET /api/v1/streams says why, and which streams are")]
    NotLive(StreamKey),
    /// More streams are watched live than are shown.
    #[error("{0} streams are watched live already, more than which are not shown at the same time")]
    TooManyShows(usize),
    /// A request for WebSocket that is none.
    #[error("{0}")]
    NoSocket(&'static str),
    /// The camera gave no picture.
    #[error("the camera gave no picture: {0}")]
    NoPicture(String),
    /// A part of a playlist whose file is gone.
    #[error("this part of the footage is gone")]
    Gone,
    /// No token, or a wrong one.
    #[error(
        "footage needs the operator's token: send `Authorization: Bearer …`, or Basic with any user and the token as \
         password, or ?token=…"
    )]
    Denied,
    /// No token could be right, since none is set.
    #[error("no token is set, so footage is served to this host at the admin endpoint alone; set playback.token_file")]
    NoToken,
    /// A file of what has no end.
    #[error("what is live has no end, and so there is no file of it; play index.m3u8")]
    LiveFile,
    /// A form that cannot be read.
    #[error("the form could not be read: {0}")]
    Form(String),
    /// A play that is refused.
    #[error(transparent)]
    Play(#[from] plays::Error),
    /// What is not shown by WebRTC.
    #[error(transparent)]
    Whep(#[from] whep::Error),
    /// Media that cannot be planned from.
    #[error(transparent)]
    Media(#[from] media::Error),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The archive failed.
    #[error("archive: {0}")]
    Archive(String),
}

fn nearest(before: Option<Wall>, after: Option<Wall>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("the footage before it ends {before}, the next begins {after}"),
        (Some(before), None) => format!("the footage before it ends {before}"),
        (None, Some(after)) => format!("the next footage begins {after}"),
        (None, None) => "GET /api/v1/recordings says where there is some".into(),
    }
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Method
            | Self::Missing(_)
            | Self::Bad { .. }
            | Self::Backwards(_)
            | Self::TooLong(_)
            | Self::Form(_)
            | Self::LiveFile
            | Self::NoSocket(_)
            | Self::MotionJpeg(_) => Kind::Invalid,
            Self::NoSuchPath(_) | Self::NoSuchStream(_) | Self::NoFootage { .. } | Self::Gone => Kind::NotFound,
            Self::Mixed(_) | Self::PicturesOnly | Self::NoDecoder(_) => Kind::Invalid,
            Self::NoPicture(_) | Self::Undecoded(_) | Self::NotLive(_) => Kind::Peer,
            Self::TooManyShows(_) => Kind::Busy,
            Self::Denied | Self::NoToken => Kind::Denied,
            Self::Play(e) => e.kind(),
            Self::Whep(e) => e.kind(),
            Self::Media(e) => e.kind(),
            Self::Disk(e) => e.kind(),
            Self::Archive(_) => Kind::Storage,
        }
    }

    /// The word that counts it.
    pub(super) fn outcome(&self) -> &'static str {
        match self.kind() {
            Kind::Invalid => "bad_request",
            Kind::NotFound => "not_found",
            Kind::Denied => "denied",
            Kind::Busy => "busy",
            _ => "failed",
        }
    }

    /// Status, stable name and title.
    fn named(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoSuchPath(_) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed"),
            Self::Missing(_) | Self::Bad { .. } => (StatusCode::BAD_REQUEST, "bad-parameter", "Bad parameter"),
            Self::LiveFile => (StatusCode::NOT_FOUND, "live-play", "No file of what is live"),
            Self::Form(_) => (StatusCode::BAD_REQUEST, "bad-form", "Bad form"),
            Self::Backwards(_) => (StatusCode::BAD_REQUEST, "bad-range", "Bad range of time"),
            Self::Mixed(_) => (StatusCode::BAD_REQUEST, "mixed-range", "Pictures and video in one range"),
            Self::PicturesOnly => (StatusCode::CONFLICT, "pictures-only", "Recorded as pictures"),
            Self::NoDecoder(_) => (StatusCode::NOT_IMPLEMENTED, "no-decoder", "No decoder"),
            Self::Undecoded(_) => (StatusCode::BAD_GATEWAY, "peer-failed", "A peer failed"),
            Self::NoPicture(_) => (StatusCode::SERVICE_UNAVAILABLE, "no-picture", "No picture"),
            Self::NotLive(_) => (StatusCode::SERVICE_UNAVAILABLE, "not-live", "Not live"),
            Self::TooManyShows(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Self::NoSocket(_) => (StatusCode::UPGRADE_REQUIRED, "websocket-needed", "WebSocket needed"),
            Self::TooLong(_) | Self::Media(media::Error::TooLarge { .. }) => {
                (StatusCode::BAD_REQUEST, "range-too-long", "Range too long")
            }
            Self::MotionJpeg(_) => (StatusCode::NOT_ACCEPTABLE, "motion-jpeg", "No HLS of Motion JPEG"),
            Self::Media(media::Error::Mixed { .. }) => {
                (StatusCode::BAD_REQUEST, "mixed-codecs", "Two codecs in the range")
            }
            Self::NoSuchStream(_) => (StatusCode::NOT_FOUND, "no-such-stream", "No such stream"),
            Self::NoFootage { .. } => (StatusCode::NOT_FOUND, "no-footage", "No footage in the range"),
            Self::Gone | Self::Media(media::Error::NoFrames) => (StatusCode::NOT_FOUND, "footage-gone", "Footage gone"),
            Self::Denied | Self::NoToken => (StatusCode::UNAUTHORIZED, "token-needed", "Token needed"),
            Self::Play(e) => named_play(e),
            Self::Whep(e) => e.named(),
            Self::Media(_) | Self::Disk(_) | Self::Archive(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "storage", "Storage failed")
            }
        }
    }

    /// The kind of failure in words.
    pub(super) fn title(&self) -> &'static str {
        self.named().2
    }

    /// What went wrong this time. What went wrong inside is for the log, not for the client.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Media(media::Error::TooLarge { .. } | media::Error::Mixed { .. } | media::Error::NoFrames) => {
                self.to_string()
            }
            Self::Media(_) | Self::Disk(_) | Self::Archive(_) => {
                "the footage could not be read; the log says why".into()
            }
            Self::Play(plays::Error::Store(_) | plays::Error::Unwritten(_) | plays::Error::Thread(_)) => {
                "that it is watched could not be written down, so it is not shown; the log says why".into()
            }
            Self::Play(plays::Error::Authorizer(_)) => {
                "whether this may be seen could not be asked; try again in a moment".into()
            }
            other => other.to_string(),
        }
    }

    /// The answer that says so.
    pub(super) fn response(&self) -> Response {
        let (status, slug, title) = self.named();
        let mut response = problem(status, slug, title, self.detail());
        let headers = response.headers_mut();
        let challenges: &[&'static str] = match self {
            Self::Denied | Self::NoToken => &["Bearer realm=\"skyvis media\"", "Basic realm=\"skyvis media\""],
            Self::Play(plays::Error::PasswordNeeded | plays::Error::WrongPassword) => {
                &["Basic realm=\"skyvis play\", charset=\"UTF-8\""]
            }
            _ => &[],
        };
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        match self {
            Self::NoSocket(_) => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::Method => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"))),
            Self::Whep(whep::Error::Method(allow)) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::Whep(whep::Error::ContentType) => {
                headers.insert(header::ACCEPT, HeaderValue::from_static(whep::CONTENT_TYPE));
            }
            Self::Play(plays::Error::Refused(wait) | plays::Error::Full(wait)) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            Self::NotLive(_)
            | Self::TooManyShows(_)
            | Self::Whep(whep::Error::Full(_) | whep::Error::AddressFull(_))
            | Self::Play(plays::Error::Busy | plays::Error::Unwritten(_)) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        response
    }
}

/// What becomes of who asks for a play.
fn named_play(error: &plays::Error) -> (StatusCode, &'static str, &'static str) {
    use plays::Error as E;
    match error {
        E::NotKnown => (StatusCode::NOT_FOUND, "no-such-play", "No such play"),
        E::Revoked => (StatusCode::GONE, "play-revoked", "Link withdrawn"),
        E::Expired => (StatusCode::GONE, "play-expired", "Link expired"),
        E::PasswordNeeded => (StatusCode::UNAUTHORIZED, "password-needed", "Password needed"),
        E::WrongPassword => (StatusCode::UNAUTHORIZED, "wrong-password", "Wrong password"),
        E::NoPass => (StatusCode::FORBIDDEN, "link-stale", "Link has run out"),
        E::Refused(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-tries", "Too many wrong passwords"),
        E::Full(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-viewers", "Too many viewers"),
        E::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
        E::Authorizer(_) => (StatusCode::BAD_GATEWAY, "peer-failed", "A peer failed"),
        E::Grant(_) | E::Password(_) => (StatusCode::BAD_REQUEST, "invalid", "Invalid request"),
        E::TooMany(_) => (StatusCode::CONFLICT, "conflict", "Conflict"),
        E::Unwritten(_) | E::Store(_) | E::Thread(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage", "Storage failed"),
    }
}
