//! What is asked of a show, and what it answers: now, or as soon as it is there.

use super::{
    playlist,
    show::{Next, Show, Shows},
};
use crate::{
    model::StreamKey,
    playback::{Error, route::Seal},
    serve::Request,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// Who waits for what is to come waits so many target durations at most, as RFC 8216bis has it.
const WAIT_TARGETS: u32 = 3;
/// A stream that is asked for the first time has its first part within this time: its next key frame, and half a second.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// No client waits for what comes later than this many segments from now.
const AHEAD_SEGMENTS_MAX: u64 = 2;

/// What of a show is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::playback) enum Asked {
    /// `live.m3u8[?_HLS_msn=…[&_HLS_part=…]][&_HLS_skip=YES]`
    Playlist {
        /// Not before this segment is whole, or has so many parts and one more.
        until: Option<(u64, Option<usize>)>,
        /// Only what is new.
        skips: bool,
    },
    /// `live/init-<n>.mp4?v=…`
    Init(u64, u32),
    /// `live/<n>.m4s?v=…`
    Segment(u64, u64),
    /// `live/<n>.<part>.m4s?v=…`
    Part(u64, u64, usize),
}

/// What is answered.
pub(in crate::playback) enum Answer {
    /// A playlist.
    Text(String),
    /// Media.
    Media(Bytes),
}

impl Asked {
    /// The playlist, with what the client says of how it wants it.
    pub(in crate::playback) fn playlist(request: &Request) -> Result<Self, Error> {
        let number = |name: &'static str| match request.query(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| Error::Bad { name, what: "is not a number".into() }),
        };
        let (segment, part) = (number("_HLS_msn")?, number("_HLS_part")?);
        let until = match (segment, part) {
            (None, Some(_)) => {
                return Err(Error::Bad { name: "_HLS_part", what: "stands without `_HLS_msn`".into() });
            }
            (segment, part) => segment.map(|segment| (segment, part.map(|p| usize::try_from(p).unwrap_or(usize::MAX)))),
        };
        let skips = request.query("_HLS_skip").is_some_and(|skip| matches!(skip.as_str(), "YES" | "v2"));
        Ok(Self::Playlist { until, skips })
    }

    /// What a playlist names, by its name below `live/`.
    pub(in crate::playback) fn file(name: &str, request: &Request) -> Option<Self> {
        let show = u64::from_str_radix(&request.query("v")?, 16).ok()?;
        if let Some(number) = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            return Some(Self::Init(show, number.parse().ok()?));
        }
        let name = name.strip_suffix(".m4s")?;
        match name.split_once('.') {
            None => Some(Self::Segment(show, name.parse().ok()?)),
            Some((segment, part)) => Some(Self::Part(show, segment.parse().ok()?, part.parse().ok()?)),
        }
    }

    /// Its address as a playlist has it; none for the playlist itself.
    pub(in crate::playback) fn uri(&self) -> Option<String> {
        match self {
            Self::Playlist { .. } => None,
            Self::Init(show, number) => Some(playlist::init_uri(*show, *number)),
            Self::Segment(show, number) => Some(playlist::segment_uri(*show, *number)),
            Self::Part(show, number, part) => Some(playlist::part_uri(*show, *number, *part)),
        }
    }
}

impl Shows {
    /// Answers, where need be once it is there.
    pub(in crate::playback) async fn answer(
        &self,
        stream: &StreamKey,
        asked: &Asked,
        seal: Seal<'_>,
    ) -> Result<Answer, Error> {
        let show = self.of(stream)?;
        match asked {
            Asked::Playlist { until, skips } => {
                first(&show, stream).await?;
                if let Some((segment, part)) = *until {
                    wait(&show, stream, segment, part).await?;
                }
                let text = show.look(|window| playlist::render(show.id, window, *skips, seal));
                text.map(Answer::Text).ok_or_else(|| Error::NotLive(stream.clone()))
            }
            Asked::Init(id, ..) | Asked::Segment(id, ..) | Asked::Part(id, ..) if *id != show.id => Err(Error::Gone),
            Asked::Init(_, number) => media(show.look(|window| window.init(*number))),
            Asked::Segment(_, number) => media(show.look(|window| window.segment(*number)?.bytes())),
            Asked::Part(_, number, part) => {
                // A hint is followed before the part is there.
                wait(&show, stream, *number, Some(*part)).await?;
                media(show.look(|window| Some(window.segment(*number)?.parts.get(*part)?.bytes.clone())))
            }
        }
    }
}

fn media(found: Option<Option<Bytes>>) -> Result<Answer, Error> {
    found.flatten().map(Answer::Media).ok_or(Error::Gone)
}

/// Waits until there is a segment at all.
async fn first(show: &Arc<Show>, stream: &StreamKey) -> Result<(), Error> {
    let mut next = show.watch();
    let known = next.wait_for(|next| next.ended || next.begun || next.is_jpeg);
    match tokio::time::timeout(FIRST_WAIT, known).await {
        Ok(Ok(next)) if next.is_jpeg => Err(Error::MotionJpeg(stream.clone())),
        Ok(Ok(next)) if next.begun => Ok(()),
        _ => Err(Error::NotLive(stream.clone())),
    }
}

/// Waits until a segment is whole, or has this part. One that nobody would wait for is refused.
async fn wait(show: &Arc<Show>, stream: &StreamKey, segment: u64, part: Option<usize>) -> Result<(), Error> {
    let mut next = show.watch();
    let now = *next.borrow_and_update();
    if segment >= now.segment.saturating_add(AHEAD_SEGMENTS_MAX) {
        let what = format!("segment {segment} comes too late to be waited for; {} is next", now.segment);
        return Err(Error::Bad { name: "_HLS_msn", what });
    }
    let is_there = |next: &Next| match part {
        _ if next.segment > segment => true,
        Some(part) => next.segment == segment && next.part > part,
        None => false,
    };
    let target = show.look(|window| window.lengths.target_seconds).unwrap_or(1);
    let limit = Duration::from_secs(target) * WAIT_TARGETS;
    let waited = async { next.wait_for(|next| next.ended || is_there(next)).await.map(|next| is_there(&next)) };
    match tokio::time::timeout(limit, waited).await {
        Ok(Ok(true)) => Ok(()),
        _ => Err(Error::NotLive(stream.clone())),
    }
}

/// Any text as an address of a show.
pub(in crate::playback) fn fuzz(text: &str) {
    let Ok(uri) = format!("/live/{text}").parse::<http::Uri>() else { return };
    let request = Request::local(http::Method::GET, uri, "");
    let name = request.path().trim_start_matches("/live/").to_owned();
    if let Some(asked) = Asked::file(&name, &request) {
        let uri = asked.uri().expect("a file has an address");
        let again = Request::local(http::Method::GET, format!("/{uri}").parse().expect("one of ours"), "");
        let name = again.path().trim_start_matches("/live/").to_owned();
        assert_eq!(Asked::file(&name, &again), Some(asked));
    }
    let _ = Asked::playlist(&request);
}
