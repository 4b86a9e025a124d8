//! Playlists, and what they name.

use super::{
    Error,
    plan::{Plan, Planner},
    route,
};
use crate::{
    base::{Secret, Wall},
    media::{
        self, hls,
        vod::{self, Cut, PartRange},
    },
    model::{Range, Segment, StreamKey},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

/// A playlist that follows a stream ends after so long, in hours: it is fetched again every second or two, whole.
pub(super) const FOLLOW_HOURS_MAX: i64 = 4;
const HOUR_MICROS: i64 = 3_600_000_000;

/// A playlist's text and its tag.
pub(super) struct Text {
    pub(super) bytes: Bytes,
    pub(super) tag: String,
}

/// Motion JPEG in a playlist would be a playlist that nothing plays.
fn playable(stream: &StreamKey, sources: &[vod::Source]) -> Result<(), Error> {
    let is_jpeg = |source: &vod::Source| source.table.video_entry.get(4..8) == Some(b"mp4v");
    if sources.iter().any(is_jpeg) { Err(Error::MotionJpeg(stream.clone())) } else { Ok(()) }
}

/// The playlist of what there is in `range`.
pub(super) async fn whole(
    planner: &Planner,
    stream: &StreamKey,
    range: Range,
    token: Option<&Secret>,
) -> Result<Text, Error> {
    let segments = planner.segments(stream, range).await?;
    no_pictures(&segments)?;
    let begun = planner.clock.now();
    let sources = planner.sources(segments).await?;
    playable(stream, &sources)?;
    match vod::plan_hls_playlist(&sources, range, Cut::WHOLE) {
        Err(media::Error::NoFrames) => Err(planner.no_footage(stream, range).await?),
        planned => {
            let text = render(&sources, &planned?, range.from, false, token);
            planner.meters.plan_seconds.observe(begun.elapsed().as_secs_f64());
            Ok(text)
        }
    }
}

/// The playlist of all there is from `from` on, and of what will come. It may still be empty.
pub(super) async fn growing(
    planner: &Planner,
    stream: &StreamKey,
    from: Wall,
    token: Option<&Secret>,
) -> Result<Text, Error> {
    let end = from.plus_micros(FOLLOW_HOURS_MAX * HOUR_MICROS);
    let range = Range { from, to: end };
    let ended = planner.clock.wall() > end;
    let segments = match planner.segments(stream, range).await {
        Err(Error::NoFootage { .. }) if !ended => Vec::new(),
        segments => segments?,
    };
    no_pictures(&segments)?;
    let begun = planner.clock.now();
    let sources = planner.sources(segments).await?;
    playable(stream, &sources)?;
    let parts = match vod::plan_hls_playlist(&sources, range, Cut::GROWING) {
        Err(media::Error::NoFrames) if !ended => Vec::new(),
        Err(media::Error::NoFrames) => return Err(planner.no_footage(stream, range).await?),
        parts => parts?,
    };
    let text = render(&sources, &parts, from, !ended, token);
    planner.meters.plan_seconds.observe(begun.elapsed().as_secs_f64());
    Ok(text)
}

fn no_pictures(segments: &[Segment]) -> Result<(), Error> {
    if segments.iter().any(Segment::is_picture) { Err(Error::PicturesOnly) } else { Ok(()) }
}

fn render(sources: &[vod::Source], parts: &[vod::Part], from: Wall, growing: bool, token: Option<&Secret>) -> Text {
    let playlist = hls::Playlist { sources, parts, from, growing };
    let text = hls::render(
        &playlist,
        |part| route::part_uri(&part.range, token),
        |source, hash| route::init_uri(hash, source.segment.start, token),
    );
    let digest = Sha256::digest(&text);
    let tag = digest[..16].iter().fold(String::new(), |mut tag, b| {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{b:02x}");
        tag
    });
    Text { bytes: text.into(), tag }
}

/// `ftyp moov` of the format that a playlist named.
pub(super) async fn init(planner: &Planner, stream: &StreamKey, hash: &str, segment: Wall) -> Result<Bytes, Error> {
    let source = planner.source_at(stream, segment).await?;
    if vod::init_hash(&source.table) != hash {
        return Err(Error::Gone);
    }
    Ok(vod::init_segment(&source.table))
}

/// One part that a playlist named.
pub(super) async fn part(planner: &Planner, stream: &StreamKey, range: &PartRange) -> Result<Arc<Plan>, Error> {
    let source = planner.source_at(stream, range.segment).await?;
    let layout = vod::plan_hls_segment(&source, range)?;
    Ok(Arc::new(Plan { layout, paths: vec![planner.footage.path(&source.segment)] }))
}
