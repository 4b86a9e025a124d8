//! Which stream an RTSP URL means. Hikvision's forms, in any case.

use crate::model::Profile;

const PREFIXES: [&str; 3] = ["/isapi/streaming/channels/", "/psia/streaming/channels/", "/streaming/channels/"];
const TRACK: &str = "/trackid=";

/// A stream, perhaps one track of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub channel: u32,
    pub profile: Profile,
    pub track: Option<u8>,
}

impl Target {
    /// Reads a request's URI to a gateway, which says what its paths mean.
    pub fn behind(uri: &str, find: impl FnOnce(&str) -> Option<(u32, Profile)>) -> Option<Self> {
        let whole = path(uri);
        let end = whole.to_ascii_lowercase().find(TRACK).unwrap_or(whole.len());
        let (path, track) = whole.split_at(end);
        let track = match track.get(TRACK.len()..) {
            Some(number) => Some(number.trim_end_matches('/').parse().ok()?),
            None => None,
        };
        let (channel, profile) = find(path.trim_end_matches('/'))?;
        Some(Self { channel, profile, track })
    }

    /// Reads a request's URI. A device shows its first channel where none is named.
    pub fn parse(uri: &str) -> Option<Self> {
        let path = path(uri).to_ascii_lowercase();
        let (path, track) = match path.split_once(TRACK) {
            Some((path, number)) => (path, Some(number.trim_end_matches('/').parse().ok()?)),
            None => (path.as_str(), None),
        };
        let path = path.trim_end_matches('/');
        let (channel, profile) = if path.is_empty() {
            (1, Profile::Main)
        } else if let Some(id) = PREFIXES.iter().find_map(|p| path.strip_prefix(p)) {
            stream_of_id(id.parse().ok()?)?
        } else {
            stream_of_old_form(path)?
        };
        Some(Self { channel, profile, track })
    }
}

/// The URL's base for controls: what came before a track, without query and slash.
pub(super) fn base(uri: &str) -> &str {
    let uri = uri.split('?').next().unwrap_or(uri);
    let end = uri.to_ascii_lowercase().find(TRACK).unwrap_or(uri.len());
    uri[..end].trim_end_matches('/')
}

fn path(uri: &str) -> &str {
    let uri = uri.split('?').next().unwrap_or(uri);
    match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => uri,
    }
}

/// `101` is channel 1, main. Firmware 5.1 and older says `1`.
fn stream_of_id(id: u32) -> Option<(u32, Profile)> {
    match (id / 100, id % 100) {
        (0, channel) if channel > 0 => Some((channel, Profile::Main)),
        (channel, 1) => Some((channel, Profile::Main)),
        (channel, 2) => Some((channel, Profile::Sub)),
        _ => None,
    }
}

/// `/h264/ch1/main/av_stream`.
fn stream_of_old_form(path: &str) -> Option<(u32, Profile)> {
    let mut parts = path.strip_prefix("/h264/ch")?.split('/');
    let channel = parts.next()?.parse().ok().filter(|c| *c > 0)?;
    let profile = parts.next()?.parse().ok()?;
    Some((channel, profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_url_is_understood() {
        let main = |channel| Some(Target { channel, profile: Profile::Main, track: None });
        let sub = |channel| Some(Target { channel, profile: Profile::Sub, track: None });
        for (uri, target) in [
            ("rtsp://h:554/Streaming/Channels/101", main(1)),
            ("rtsp://h/streaming/channels/1202/?transportmode=unicast", sub(12)),
            ("rtsp://h/ISAPI/Streaming/channels/101", main(1)),
            ("rtsp://h/PSIA/streaming/Channels/302", sub(3)),
            ("rtsp://h/Streaming/Channels/3", main(3)),
            ("rtsp://h/h264/ch7/sub/av_stream", sub(7)),
            ("rtsp://h", main(1)),
            ("rtsp://h/", main(1)),
            ("rtsp://h/Streaming/Channels/103", None),
            ("rtsp://h/Streaming/Channels/0", None),
            ("rtsp://h/Streaming/Channels/99999999999", None),
            ("rtsp://h/elsewhere", None),
        ] {
            assert_eq!(Target::parse(uri), target, "{uri}");
        }
        let track = Target::parse("rtsp://h/Streaming/Channels/101/trackID=2?x=y").unwrap();
        assert_eq!(track.track, Some(2));
        assert_eq!(base("rtsp://h/Streaming/Channels/101/trackID=2?x=y"), "rtsp://h/Streaming/Channels/101");
    }
}
