//! Why a session ended or never began, and what that means for the next try.

use super::budget::Locked;

/// What a person is shown of a failure, at most.
const TEXT_CHARS_MAX: usize = 240;

/// What retina says of a description in which it found nothing to play.
const NO_STREAMS: &str = "No parseable streams";

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The connection was not had, or was lost. A try costs nothing: again in about a second, for as long as it takes.
    Lost,
    /// The device took the connection and the login, and sends nothing. Tried again as a lost connection is.
    Silent,
    /// The login was refused.
    Refused,
    /// No login may be tried.
    Locked,
    /// The device knows nothing of what was asked for: the URL may be another by now. Later, as anything else.
    NoSuchStream,
    /// The device sends all the while, and no picture comes of it. Later, as anything else.
    Flood,
    /// Anything else: exponentially later.
    Other,
}

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    /// What to do next.
    pub kind: FailureKind,
    /// What a person is shown. Bounded, without credentials.
    pub text: String,
}

impl Failure {
    pub(super) fn lost(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Lost, text: bounded(&text.into()) }
    }

    pub(super) fn silent(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Silent, text: bounded(&text.into()) }
    }

    pub(super) fn flood(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Flood, text: bounded(&text.into()) }
    }

    pub(super) fn other(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, text: bounded(&text.into()) }
    }

    /// What retina says of one step. It tells causes apart by status and by the first words of its text, which are
    /// pinned with its version.
    pub(super) fn of_step(step: &str, error: &retina::Error) -> Self {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_end_matches([':', ' ']);
        let (kind, text) = match error.status_code() {
            Some(401) => (FailureKind::Refused, "RTSP 401: the device refused the user or password".to_owned()),
            Some(404) => (FailureKind::NoSuchStream, "RTSP 404: the device has no such stream".to_owned()),
            Some(454) => (FailureKind::Lost, "RTSP 454: the device has forgotten the session".to_owned()),
            Some(461) => {
                (FailureKind::Other, "RTSP 461: the device refuses this transport; try the other one".to_owned())
            }
            Some(status @ (300..=399 | 410 | 451)) => {
                (FailureKind::NoSuchStream, format!("RTSP {status} to {step}: the stream is no longer there"))
            }
            Some(453) => (FailureKind::Other, "RTSP 453: the device has no bandwidth left for this stream".to_owned()),
            Some(503) => (FailureKind::Other, "RTSP 503: the device is too busy for this stream".to_owned()),
            Some(200..=299) if first.contains(NO_STREAMS) => {
                (FailureKind::Other, "its description (SDP) has no video that can be recorded".to_owned())
            }
            Some(200..=299) => (FailureKind::Other, format!("the answer to {step} makes no sense: {}", after(first))),
            Some(status) => (FailureKind::Other, format!("RTSP {status} to {step}")),
            None if is_connection(first) => (FailureKind::Lost, format!("the connection was lost: {first}")),
            None => (FailureKind::Other, format!("{step}: {first}")),
        };
        Self { kind, text: bounded(&text) }
    }

    pub(super) fn of_lock(locked: Locked) -> Self {
        Self { kind: FailureKind::Locked, text: bounded(&locked.reason) }
    }
}

/// Number of the track that an error about one packet is about. retina says it in its error's fields alone, which are
/// pinned with its version.
pub(super) fn track_of(error: &retina::Error) -> Option<usize> {
    let fields = format!("{error:?}");
    let rest = fields.strip_prefix("RtpPacketError").or_else(|| fields.strip_prefix("PacketError"))?;
    let number = rest.split_once("stream_id: ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_connection(text: &str) -> bool {
    ["Unable to connect", "Error reading from", "Error writing to", "Timeout"].iter().any(|s| text.starts_with(s))
}

/// retina's texts of answers begin with `<status> response to <method> CSeq=<n>: `.
fn after(text: &str) -> &str {
    text.split_once("CSeq=").and_then(|(_, t)| t.split_once(": ")).map_or(text, |(_, t)| t)
}

fn bounded(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_hold_no_line_breaks() {
        let f = Failure::other(format!("a\nb{}", "x".repeat(10_000)));
        assert_eq!(f.text.chars().count(), TEXT_CHARS_MAX);
        assert!(f.text.starts_with("a b"));
    }

    #[test]
    fn the_cause_stands_behind_retinas_preamble() {
        assert_eq!(after("200 OK response to DESCRIBE CSeq=2: bad sdp: x"), "bad sdp: x");
        assert_eq!(after("else"), "else");
    }
}
