//! `rtsp://host/<device>/<channel>/<main|sub>[/trackID=<n>][?starttime=…&endtime=…]`. Pure.

use crate::{
    base::Wall,
    model::StreamKey,
    playback::Error,
    rtsp::play::moment,
    serve::{decode_component, parse_query},
};

/// Begins a track's name, in any case.
const TRACK: &str = "/trackid=";
/// The longest address that is read, in bytes.
const ADDRESS_BYTES_MAX: usize = 2048;

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) stream: StreamKey,
    /// None: all of it.
    pub(super) track: Option<u8>,
    /// None: what is live.
    pub(super) footage: Option<Footage>,
}

/// Recorded footage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footage {
    pub(super) from: Wall,
    /// None: up to what is recorded now, and on.
    pub(super) to: Option<Wall>,
}

impl Address {
    pub(super) fn parse(uri: &str) -> Result<Self, Error> {
        let unknown = || Error::NoSuchPath(uri.chars().take(200).collect());
        if uri.len() > ADDRESS_BYTES_MAX {
            return Err(unknown());
        }
        let (before, query) = uri.split_once('?').unwrap_or((uri, ""));
        let path = match before.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
            None => before,
        };
        // Some clients put a track's name behind the whole address, query and all.
        let ((path, in_path), (query, in_query)) = (split_track(path), split_track(query));
        let track = match in_path.or(in_query) {
            Some(number) => Some(number.trim_end_matches('/').parse().map_err(|_| unknown())?),
            None => None,
        };
        let parts: Option<Vec<String>> = path.trim_matches('/').split('/').map(decode_component).collect();
        let stream = match parts.as_deref() {
            Some([device, channel, profile]) => {
                format!("{device}/{channel}/{profile}").parse().map_err(|_| unknown())?
            }
            _ => return Err(unknown()),
        };
        Ok(Self { stream, track, footage: footage(query)? })
    }
}

fn split_track(text: &str) -> (&str, Option<&str>) {
    match text.to_ascii_lowercase().rfind(TRACK) {
        Some(at) => (&text[..at], Some(&text[at + TRACK.len()..])),
        None => (text, None),
    }
}

fn footage(query: &str) -> Result<Option<Footage>, Error> {
    let pairs = parse_query(query.trim_end_matches('/'));
    let time = |name: &'static str| {
        let found = pairs.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty());
        let read = |text: &String| {
            let what = || "is no time: write 20260101T000000Z or 2026-01-01T00:00:00Z".to_owned();
            moment(text).ok_or_else(|| Error::Bad { name, what: what() })
        };
        found.map(|(_, text)| read(text)).transpose()
    };
    match (time("starttime")?, time("endtime")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::Bad { name: "starttime", what: "is missing, and there is an endtime".into() }),
        (Some(from), Some(to)) if to <= from => {
            Err(Error::Bad { name: "endtime", what: "must be after starttime".into() })
        }
        (Some(from), to) => Ok(Some(Footage { from, to })),
    }
}

/// An address without the name of a track, a slash at its end, the user that asks, and its query; and the query with its
/// question mark. What controls are built on.
pub(super) fn base(uri: &str) -> (String, String) {
    let (before, query) = uri.split_once('?').unwrap_or((uri, ""));
    let base = split_track(before).0.trim_end_matches('/');
    let base = match base.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => base.to_owned(),
    };
    let query = split_track(query).0.trim_end_matches('/');
    (base, if query.is_empty() { String::new() } else { format!("?{query}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let read = |uri: &str| Address::parse(uri).unwrap_or_else(|e| panic!("{uri}: {e}"));
        for (uri, track) in [
            ("rtsp://h/nvr1/3/main", None),
            ("rtsp://h:8554/nvr1/3/main/", None),
            ("rtsp://u:p@h/nvr1/3/main?transportmode=unicast", None),
            ("/nvr1/3/main", None),
            ("rtsp://h/nvr1/3/main/trackID=2", Some(2)),
            ("rtsp://h/nvr1/3/main/trackid=2/", Some(2)),
        ] {
            let wanted = Address { stream: "nvr1/3/main".parse().unwrap(), track, footage: None };
            assert_eq!(read(uri), wanted, "{uri}");
        }
        assert_eq!(read("rtsp://h/gw%3AAB-1/3/sub").stream.to_string(), "gw:AB-1/3/sub");
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        let to = Some("2026-01-01T00:05:00Z".parse().unwrap());
        for (uri, track, to) in [
            ("rtsp://h/n/1/main?starttime=20260101T000000Z&endtime=20260101T000500Z", None, to),
            ("rtsp://h/n/1/main?StartTime=20260101t000000z", None, None),
            ("rtsp://h/n/1/main/?starttime=2026-01-01T08:00:00%2B08:00&endtime=2026-01-01T00:05:00Z", None, to),
            ("rtsp://h/n/1/main/trackID=1?starttime=20260101T000000Z&endtime=20260101T000500Z", Some(1), to),
            ("rtsp://h/n/1/main?starttime=20260101T000000Z&endtime=20260101T000500Z/trackID=1", Some(1), to),
        ] {
            let address = read(uri);
            assert_eq!((address.track, address.footage), (track, Some(Footage { from, to })), "{uri}");
        }
        for uri in [
            "rtsp://h",
            "rtsp://h/",
            "rtsp://h/n/1",
            "rtsp://h/n/1/third",
            "rtsp://h/n/1/main/x",
            "*",
            "",
            "rtsp://h/n/1/main/trackID=x",
        ] {
            assert!(matches!(Address::parse(uri), Err(Error::NoSuchPath(_))), "{uri}");
        }
        for query in
            ["starttime=yesterday", "endtime=20260101T000000Z", "starttime=20260101T000000Z&endtime=20260101T000000Z"]
        {
            assert!(matches!(Address::parse(&format!("rtsp://h/n/1/main?{query}")), Err(Error::Bad { .. })), "{query}");
        }
    }

    #[test]
    fn controls_are_built_on_the_address_without_a_password() {
        for (uri, wanted) in [
            ("rtsp://u:p@h:1/n/1/main/", ("rtsp://h:1/n/1/main", "")),
            ("rtsp://h/n/1/main/trackID=1?starttime=a", ("rtsp://h/n/1/main", "?starttime=a")),
            ("rtsp://h/n/1/main?starttime=a/trackID=1", ("rtsp://h/n/1/main", "?starttime=a")),
        ] {
            assert_eq!(base(uri), (wanted.0.to_owned(), wanted.1.to_owned()), "{uri}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_address_is_borne(uri in "(rtsp://)?[a-z0-9/@?=&%:.TZ-]{0,60}(/trackID=)?\\PC{0,10}") {
            let (base, query) = base(&uri);
            if let Ok(address) = Address::parse(&uri) {
                // What is built on it names the same.
                let control = format!("{base}/trackID=7{query}");
                let again = Address::parse(&control);
                proptest::prop_assert!(again.is_ok_and(|a| a == Address { track: Some(7), ..address }), "{}", control);
            }
        }
    }
}
