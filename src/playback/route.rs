//! The addresses under `/media/`, read and written. Pure.

use super::{Error, live, whep};
use crate::{
    base::{Secret, Wall},
    media::vod::PartRange,
    model::StreamKey,
    serve::{Request, decode_component, encode_component},
};
use http::Method;
use std::ops::Range;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `…/vod.mp4`
    Mp4,
    /// `…/vod.m3u8`
    Playlist,
    /// `…/snapshot.jpg[?at=…]`
    Snapshot,
    /// `…/live.m3u8` and what it names under `…/live/`
    Live(live::Asked),
    /// `…/live.ws`
    LiveSocket,
    /// `…/whep`
    Whep,
    /// `…/whep/<session>`
    WhepSession(String),
    /// `…/hls/init-<hash>.mp4?file=<segment's start>`
    Init { hash: String, segment: Wall },
    /// `…/hls/<segment's start>_<video samples>_<audio samples>.m4s?t=<decoding time>`
    Part(PartRange),
}

/// The longest name of a format.
const HASH_BYTES_MAX: usize = 64;

/// Whether a request is for footage at all; the listener for players has nothing else.
pub(super) fn is_media(request: &Request) -> Result<(), Error> {
    let shown = || request.path().chars().take(200).collect();
    if request.path().starts_with("/media/") { Ok(()) } else { Err(Error::NoSuchPath(shown())) }
}

/// Splits a request's path into the stream and what is asked of it.
pub(super) fn parse(request: &Request) -> Result<(StreamKey, Route), Error> {
    let unknown = || Error::NoSuchPath(request.path().chars().take(200).collect());
    let rest = request.path().strip_prefix("/media/").ok_or_else(unknown)?;
    let parts: Vec<String> = rest.split('/').map(decode_component).collect::<Option<_>>().ok_or_else(unknown)?;
    let [device, channel, profile, tail @ ..] = &parts[..] else { return Err(unknown()) };
    let stream: StreamKey = format!("{device}/{channel}/{profile}").parse().map_err(|_| unknown())?;
    let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
    let route = match tail[..] {
        ["vod.mp4"] => Some(Route::Mp4),
        ["vod.m3u8"] => Some(Route::Playlist),
        ["snapshot.jpg"] => Some(Route::Snapshot),
        ["hls", name] => hls(name, request),
        ["live.m3u8"] => Some(Route::Live(live::Asked::playlist(request)?)),
        ["live.ws"] => Some(Route::LiveSocket),
        ["live", name] => live::Asked::file(name, request).map(Route::Live),
        ["whep"] => Some(Route::Whep),
        ["whep", session] => Some(Route::WhepSession(session.to_owned())),
        _ => None,
    };
    Ok((stream, route.ok_or_else(unknown)?))
}

impl Route {
    /// Whether there is such a method of it.
    pub(super) fn takes(&self, method: &Method) -> Result<(), Error> {
        let (methods, refusal) = match self {
            Self::Whep => (&[Method::POST, Method::OPTIONS][..], whep::Error::Method(whep::ALLOW).into()),
            Self::WhepSession(_) => {
                (&[Method::DELETE, Method::OPTIONS][..], whep::Error::Method(whep::ALLOW_SESSION).into())
            }
            _ => (&[Method::GET][..], Error::Method),
        };
        if methods.contains(method) { Ok(()) } else { Err(refusal) }
    }
}

/// What a playlist names, by its name below `hls/`.
pub(super) fn hls(name: &str, request: &Request) -> Option<Route> {
    init(name, request).or_else(|| part(name, request))
}

fn init(name: &str, request: &Request) -> Option<Route> {
    let hash = name.strip_prefix("init-")?.strip_suffix(".mp4")?.to_owned();
    let is_hash = hash.len() <= HASH_BYTES_MAX && hash.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hash {
        return None;
    }
    Some(Route::Init { hash, segment: Wall::from_micros(request.query("file")?.parse().ok()?) })
}

fn part(name: &str, request: &Request) -> Option<Route> {
    let mut fields = name.strip_suffix(".m4s")?.split('_');
    let (segment, video, audio) = (fields.next()?, fields.next()?, fields.next()?);
    let range = PartRange {
        segment: Wall::from_micros(segment.parse().ok()?),
        video: samples(video)?,
        audio: samples(audio)?,
        ticks: request.query("t")?.parse().ok()?,
    };
    fields.next().is_none().then_some(Route::Part(range))
}

fn samples(text: &str) -> Option<Range<u32>> {
    let (start, end) = text.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// Address of a part, relative to its playlist.
pub(super) fn part_uri(range: &PartRange) -> String {
    let PartRange { segment, video, audio, ticks } = range;
    let (v, a) = (video, audio);
    format!("hls/{}_{}-{}_{}-{}.m4s?t={ticks}", segment.micros(), v.start, v.end, a.start, a.end)
}

/// Address of an init segment, relative to the playlist.
pub(super) fn init_uri(hash: &str, segment: Wall) -> String {
    format!("hls/init-{hash}.mp4?file={}", segment.micros())
}

/// What stands behind an address of ours in a playlist, so that a player who follows it is let in.
pub(super) type Seal<'a> = &'a (dyn Fn(&str) -> String + Send + Sync);

/// The operator's token behind every address, as it came.
pub(super) fn token_seal(token: Option<&Secret>) -> impl Fn(&str) -> String + Send + Sync + use<> {
    let query = token.map(|t| format!("&token={}", encode_component(t.expose()))).unwrap_or_default();
    move |_| query.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(uri: &str) -> Result<(StreamKey, Route), Error> {
        parse(&Request::local(Method::GET, uri.parse().unwrap(), ""))
    }

    #[test]
    fn addresses() {
        let (stream, route) = read("/media/nvr1/3/main/vod.mp4?from=x").unwrap();
        assert_eq!((stream.to_string().as_str(), route), ("nvr1/3/main", Route::Mp4));
        assert_eq!(read("/media/nvr1/3/sub/vod.m3u8").unwrap().1, Route::Playlist);
        assert_eq!(read("/media/nvr1/3/sub/whep").unwrap().1, Route::Whep);
        assert_eq!(read("/media/nvr1/3/sub/whep/0a").unwrap().1, Route::WhepSession("0a".into()));
        for uri in ["/media/gw:AB-1/3/main/vod.mp4", "/media/gw%3AAB-1/3/main/vod.mp4"] {
            assert_eq!(read(uri).unwrap().0.to_string(), "gw:AB-1/3/main", "{uri}");
        }
        for uri in [
            "/media/",
            "/media/nvr1/3/main",
            "/media/nvr1/3/main/",
            "/media/nvr1/3/third/vod.mp4",
            "/media/NVR/3/main/vod.mp4",
            "/media/nvr1/3/main/vod.mp4/x",
            "/media/../3/main/vod.mp4",
            "/media/nvr1/3/main/hls/init-00.mp4",
            "/media/nvr1/3/main/hls/1_2-3.m4s?t=1",
            "/media/nvr1/3/main/hls/1_2-3_4-5.m4s",
            "/media/nvr1%2F3/main/vod.mp4",
            "/other/nvr1/3/main/vod.mp4",
        ] {
            assert!(matches!(read(uri), Err(Error::NoSuchPath(_))), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn what_a_playlist_names_is_what_is_read(
            segment in any::<i64>(), v in any::<(u32, u32)>(), a in any::<(u32, u32)>(), ticks in any::<u64>(),
            token in "[ -~]{0,12}",
        ) {
            let range = PartRange { segment: Wall::from_micros(segment), video: v.0..v.1, audio: a.0..a.1, ticks };
            let seal = token_seal(Some(&Secret::new(token.clone())));
            let uri = part_uri(&range);
            let uri = format!("/media/n/1/main/{uri}{}", seal(&uri));
            prop_assert_eq!(read(&uri).unwrap().1, Route::Part(range));
            let request = Request::local(Method::GET, uri.parse().unwrap(), "");
            prop_assert_eq!(request.query("token"), Some(token));
            let uri = format!("/media/n/1/main/{}", init_uri("ab12", Wall::from_micros(segment)));
            let wanted = Route::Init { hash: "ab12".into(), segment: Wall::from_micros(segment) };
            prop_assert_eq!(read(&uri).unwrap().1, wanted);
        }
    }
}
