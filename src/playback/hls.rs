//! Playlists, and what they name.

use super::{
    Error,
    plan::{Plan, Planner},
    route::{self, Seal},
};
use crate::{
    base::Wall,
    media::{
        self, hls,
        vod::{self, Cut, PartRange},
    },
    model::{Range, Segment, StreamKey, frame::VIDEO_TIMESCALE, segment::ticks_to_micros},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

/// A playlist that follows a stream ends after so long, in hours: it is fetched again every second or two, whole.
pub(super) const FOLLOW_HOURS_MAX: i64 = 4;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Footage is listed so soon after it was live.
const LISTED_MICROS_MAX: i64 = 2_000_000;

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
pub(super) async fn whole(planner: &Planner, stream: &StreamKey, range: Range, seal: Seal<'_>) -> Result<Text, Error> {
    let segments = planner.segments(stream, range).await?;
    no_pictures(&segments)?;
    let begun = planner.clock.now();
    let sources = planner.sources(segments).await?;
    playable(stream, &sources)?;
    match vod::plan_hls_playlist(&sources, range, Cut::WHOLE) {
        Err(media::Error::NoFrames) => Err(planner.no_footage(stream, range).await?),
        planned => {
            let text = render(&sources, &planned?, range.from, false, seal);
            planner.meters.plan_seconds.observe(begun.elapsed().as_secs_f64());
            Ok(text)
        }
    }
}

/// The playlist of all there is from `from` on, and of what will come. It may still be empty.
pub(super) async fn growing(planner: &Planner, stream: &StreamKey, from: Wall, seal: Seal<'_>) -> Result<Text, Error> {
    let end = from.plus_micros(FOLLOW_HOURS_MAX * HOUR_MICROS);
    follow(planner, stream, Range { from, to: end }, seal, Until::Time).await
}

/// The playlist of a range that was not over when it was asked for first: it grows until all of the range is there.
pub(super) async fn following(
    planner: &Planner,
    stream: &StreamKey,
    range: Range,
    seal: Seal<'_>,
) -> Result<Text, Error> {
    follow(planner, stream, range, seal, Until::Whole).await
}

/// When a playlist that grows is whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Once its time is over, whatever is there.
    Time,
    /// Once all of it is there: a file that grows beyond the range gives its last part when it is closed.
    Whole,
}

impl Until {
    fn is_over(self, range: Range, segments: &[Segment], now: Wall) -> bool {
        match self {
            Self::Time => now > range.to,
            Self::Whole => now > range.to.plus_micros(LISTED_MICROS_MAX) && segments.iter().all(|s| s.closed),
        }
    }
}

async fn follow(
    planner: &Planner,
    stream: &StreamKey,
    range: Range,
    seal: Seal<'_>,
    until: Until,
) -> Result<Text, Error> {
    let now = planner.clock.wall();
    let segments = match planner.segments(stream, range).await {
        Err(Error::NoFootage { .. }) if !until.is_over(range, &[], now) => Vec::new(),
        // What is to be recorded for the first time.
        Err(Error::NoSuchStream(_)) if until == Until::Whole && !until.is_over(range, &[], now) => Vec::new(),
        segments => segments?,
    };
    let ended = until.is_over(range, &segments, now);
    no_pictures(&segments)?;
    let begun = planner.clock.now();
    let sources = planner.sources(segments).await?;
    playable(stream, &sources)?;
    let parts = match vod::plan_hls_playlist(&sources, range, Cut::GROWING) {
        Err(media::Error::NoFrames) if !ended => Vec::new(),
        Err(media::Error::NoFrames) => return Err(planner.no_footage(stream, range).await?),
        parts => parts?,
    };
    let text = render(&sources, &parts, range.from, !ended, seal);
    planner.meters.plan_seconds.observe(begun.elapsed().as_secs_f64());
    Ok(text)
}

fn no_pictures(segments: &[Segment]) -> Result<(), Error> {
    if segments.iter().any(Segment::is_picture) { Err(Error::PicturesOnly) } else { Ok(()) }
}

fn render(sources: &[vod::Source], parts: &[vod::Part], from: Wall, growing: bool, seal: Seal<'_>) -> Text {
    let playlist = hls::Playlist { sources, parts, from, growing };
    let sealed = |uri: String| {
        let seal = seal(&uri);
        uri + &seal
    };
    let text = hls::render(
        &playlist,
        |part| sealed(route::part_uri(&part.range)),
        |source, hash| sealed(route::init_uri(hash, source.segment.start)),
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

/// One part that a playlist named, and what of time it shows.
pub(super) async fn part(
    planner: &Planner,
    stream: &StreamKey,
    range: &PartRange,
) -> Result<(Arc<Plan>, Range), Error> {
    let source = planner.source_at(stream, range.segment).await?;
    let layout = vod::plan_hls_segment(&source, range)?;
    let shown = shown(&source, range);
    Ok((Arc::new(Plan::new(layout, vec![planner.footage.path(&source.segment)])), shown))
}

/// From the first picture of a part to the end of its last.
fn shown(source: &vod::Source, part: &PartRange) -> Range {
    let video = &source.table.video;
    let at = |sample: u32| {
        let before = video.durations.iter().take(usize::try_from(sample).unwrap_or(usize::MAX));
        let ticks = video.first_ticks + before.map(|d| u64::from(*d)).sum::<u64>();
        source.segment.start.plus_micros(ticks_to_micros(ticks, VIDEO_TIMESCALE))
    };
    Range { from: at(part.video.start), to: at(part.video.end) }
}
