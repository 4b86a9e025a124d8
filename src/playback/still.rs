//! Pictures of moments: what the camera shows now, and what was recorded, decoded by whoever can, in the width that is
//! asked for, and remembered for who asks again.

use super::{Error, plan::Planner};
use crate::{
    base::Wall,
    live::{Hub, NoPicture, Undecoded},
    media::{fmp4::demux, jpeg},
    model::{
        Frame, Range, SampleTable, SessionId, StreamFormat, StreamKey, TrackKind, VideoFormat, frame::VIDEO_TIMESCALE,
        segment::ticks_to_micros,
    },
    serve::Request,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Pictures made at the same time; others wait, and mostly find what they wait for among those that are remembered.
const MADE_AT_ONCE_MAX: usize = 2;
/// Memory for pictures that were made, in bytes: some eighty of full size.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// The widths that may be asked for, in pixels.
const WIDTH_MIN: u16 = 16;
const WIDTH_MAX: u16 = 8192;
/// The next key frame of a stream that runs is there within so long.
const KEY_FRAME_WAIT_MAX: Duration = Duration::from_secs(10);

/// A picture, and what it is known by.
pub(super) struct Still {
    pub(super) jpeg: Bytes,
    pub(super) tag: String,
}

/// Makes them.
pub(super) struct Stills {
    hub: Hub,
    turns: Semaphore,
    kept: Mutex<Kept>,
}

/// The last ones, oldest first.
#[derive(Default)]
struct Kept {
    pictures: VecDeque<(String, Bytes)>,
    bytes: usize,
}

impl Kept {
    fn get(&mut self, tag: &str) -> Option<Bytes> {
        let at = self.pictures.iter().position(|(kept, _)| kept == tag)?;
        let found = self.pictures.remove(at)?;
        let jpeg = found.1.clone();
        self.pictures.push_back(found);
        Some(jpeg)
    }

    fn put(&mut self, tag: &str, jpeg: &Bytes) {
        self.bytes += jpeg.len();
        self.pictures.push_back((tag.to_owned(), jpeg.clone()));
        while self.bytes > KEPT_BYTES_MAX {
            let Some((_, gone)) = self.pictures.pop_front() else { break };
            self.bytes -= gone.len();
        }
    }
}

/// The width that a request asks for.
pub(super) fn width(request: &Request) -> Result<Option<u16>, Error> {
    let Some(text) = request.query("width").filter(|text| !text.is_empty()) else { return Ok(None) };
    let width = text.parse().ok().filter(|width| (WIDTH_MIN..=WIDTH_MAX).contains(width));
    let what = || format!("must be a number of pixels from {WIDTH_MIN} to {WIDTH_MAX}");
    width.map(Some).ok_or_else(|| Error::Bad { name: "width", what: what() })
}

impl Stills {
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, turns: Semaphore::new(MADE_AT_ONCE_MAX), kept: Mutex::default() }
    }

    /// What a stream shows now: from the camera, or of its last key frame where that gives no pictures.
    pub(super) async fn now(&self, stream: &StreamKey, width: Option<u16>) -> Result<Still, Error> {
        match self.hub.picture(stream).await {
            Ok(picture) => {
                let tag = format!("{stream}-{}", picture.taken.micros());
                self.of_jpeg(picture.data, (picture.width, picture.height), tag, width).await
            }
            Err(none) if none.unsupported => self.of_live(stream, none, width).await,
            Err(none) => Err(Error::NoPicture(none.to_string())),
        }
    }

    /// What was recorded at a moment.
    pub(super) async fn at(
        &self,
        planner: &Planner,
        stream: &StreamKey,
        at: Wall,
        width: Option<u16>,
    ) -> Result<Still, Error> {
        // Moments are told in milliseconds: a picture that begins within this one is meant.
        let segments = planner.segments(stream, Range { from: at, to: at.plus_micros(1000) }).await?;
        let picture = segments.iter().rfind(|segment| segment.is_picture());
        let Some(segment) = picture.or(segments.last()) else { return Err(Error::Gone) };
        let path = planner.footage.path(segment);
        if segment.is_picture() {
            let data = read(planner, path, 0, segment.bytes).await?;
            let size = jpeg::size(&data)?;
            let tag = format!("{stream}-{}-{}", segment.start.micros(), segment.bytes);
            return self.of_jpeg(data, size, tag, width).await;
        }
        let table = planner.footage.table(segment).await?;
        let key = KeyFrame::at(segment.start, &table, at).ok_or(Error::Gone)?;
        let format = demux::video_format(&table.video_entry)?;
        let tag = named(&format!("{stream}-{}-{}", segment.start.micros(), key.offset), format.width, width);
        let data = async { read(planner, path, key.offset, key.bytes).await };
        let frame = async {
            Ok(Frame {
                session: SessionId(0),
                track: TrackKind::Video,
                ticks: 0,
                offset: 0,
                wall: key.wall,
                key: true,
                data: data.await?,
                format: Arc::new(StreamFormat { video: format, audio: None }),
            })
        };
        self.made(tag, frame, width).await
    }

    /// Of the key frame that a viewer would begin with.
    async fn of_live(&self, stream: &StreamKey, none: NoPicture, width: Option<u16>) -> Result<Still, Error> {
        let frame = tokio::time::timeout(KEY_FRAME_WAIT_MAX, self.hub.key_frame(stream)).await.ok().flatten();
        let frame = frame.ok_or_else(|| Error::NoPicture(format!("{none}; and no key frame came")))?;
        let tag = named(&format!("{stream}-{}", frame.wall.micros()), frame.format.video.width, width);
        self.made(tag, async { Ok(frame) }, width).await
    }

    async fn of_jpeg(
        &self,
        data: Bytes,
        (own_width, own_height): (u16, u16),
        tag: String,
        width: Option<u16>,
    ) -> Result<Still, Error> {
        let Some(width) = width.filter(|width| *width < own_width) else { return Ok(Still { jpeg: data, tag }) };
        let frame = Frame {
            session: SessionId(0),
            track: TrackKind::Video,
            ticks: 0,
            offset: 0,
            wall: Wall::default(),
            key: true,
            data,
            format: Arc::new(StreamFormat { video: jpeg::video_format(own_width, own_height), audio: None }),
        };
        self.made(named(&tag, own_width, Some(width)), async { Ok(frame) }, Some(width)).await
    }

    /// One that is remembered, or is made now.
    async fn made(
        &self,
        tag: String,
        frame: impl Future<Output = Result<Frame, Error>>,
        width: Option<u16>,
    ) -> Result<Still, Error> {
        if let Some(jpeg) = self.kept(|kept| kept.get(&tag)) {
            return Ok(Still { jpeg, tag });
        }
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        if let Some(jpeg) = self.kept(|kept| kept.get(&tag)) {
            return Ok(Still { jpeg, tag });
        }
        let frame = frame.await?;
        let VideoFormat { width: own, .. } = frame.format.video;
        let decoder = self.hub.decoder().ok_or_else(|| Error::NoDecoder("this daemon has no decoder".into()))?;
        let jpeg = decoder.jpeg(frame, width.filter(|width| *width < own)).await.map_err(|why| match why {
            Undecoded { missing: true, text } => Error::NoDecoder(text),
            Undecoded { missing: false, text } => Error::Undecoded(text),
        })?;
        self.kept(|kept| kept.put(&tag, &jpeg));
        Ok(Still { jpeg, tag })
    }

    fn kept<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A picture's name in a width; wider than it is it does not become.
fn named(tag: &str, own: u16, width: Option<u16>) -> String {
    format!("{tag}-w{}", width.map_or(own, |width| width.min(own)))
}

/// Where a key frame lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyFrame {
    offset: u64,
    bytes: u64,
    wall: Wall,
}

impl KeyFrame {
    /// The last one that is shown at a moment or before, or the first of the segment.
    fn at(start: Wall, table: &SampleTable, at: Wall) -> Option<Self> {
        let video = &table.video;
        let ticks_max = at.micros_since(start).max(0).cast_unsigned() * u64::from(VIDEO_TIMESCALE) / 1_000_000;
        let (mut ticks, mut found) = (video.first_ticks, None);
        let mut keys = video.keys.iter().copied().peekable();
        let mut chunks = video.chunks.iter();
        let (mut left, mut offset) = (0, 0);
        for (n, (size, duration)) in video.sizes.iter().zip(&video.durations).enumerate() {
            if left == 0 {
                let chunk = chunks.next()?;
                (left, offset) = (chunk.samples, chunk.offset);
            }
            if keys.next_if(|key| usize::try_from(*key) == Ok(n)).is_some() {
                let shown = ticks.saturating_add_signed(video.offset(n).into());
                if found.is_some() && shown > ticks_max {
                    break;
                }
                let wall = start.plus_micros(ticks_to_micros(shown, VIDEO_TIMESCALE));
                found = Some(Self { offset, bytes: u64::from(*size), wall });
            }
            left -= 1;
            offset += u64::from(*size);
            ticks += u64::from(*duration);
        }
        found
    }
}

async fn read(planner: &Planner, path: PathBuf, offset: u64, bytes: u64) -> Result<Bytes, Error> {
    let len = usize::try_from(bytes).map_err(|_| Error::Gone)?;
    let read = planner.disk.run(move |files| {
        let mut buffer = vec![0; len];
        files.open_read(&path)?.read_exact_at(offset, &mut buffer)?;
        Ok::<_, crate::disk::Error>(buffer)
    });
    Ok(read.await??.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        fixture::{Options, clip},
        fmp4::Origin,
        tests::footage,
    };

    #[test]
    fn kept_pictures_are_bounded_and_the_last_used_stay() {
        let mut kept = Kept::default();
        let picture = Bytes::from(vec![0; KEPT_BYTES_MAX / 4]);
        for n in 0..4 {
            kept.put(&n.to_string(), &picture);
        }
        assert!(kept.get("0").is_some());
        kept.put("4", &picture);
        assert_eq!((kept.get("1"), kept.pictures.len(), kept.bytes), (None, 4, KEPT_BYTES_MAX));
        assert!(["0", "2", "3", "4"].iter().all(|tag| kept.get(tag).is_some()));
    }

    #[test]
    fn the_key_frame_of_a_moment_is_the_last_one_that_was_shown_by_then() {
        let clip = clip(Options::default());
        let start: Wall = "2026-11-21T08:30:00Z".parse().unwrap();
        let origin = Origin { stream: "nvr1/1/main".parse().unwrap(), start, session: SessionId(1), index: 0 };
        // Fragments of ten pictures, key frames each 25.
        let (file, table) = footage(&clip, &origin, 0..100, 10);
        for (millis, wanted) in [(-5, 0), (0, 0), (999, 0), (1000, 25), (1039, 25), (2500, 50), (90_000, 75)] {
            let found = KeyFrame::at(start, &table, start.plus_micros(millis * 1000)).unwrap();
            let at = usize::try_from(found.offset).unwrap();
            assert_eq!(file[at..at + found.bytes as usize], clip.video[wanted].0, "{millis}");
            assert_eq!(found.wall, start.plus_micros(wanted as i64 * 40_000));
        }
        assert_eq!(KeyFrame::at(start, &SampleTable::default(), start), None);
    }
}
