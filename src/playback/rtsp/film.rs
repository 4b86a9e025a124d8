//! Recorded footage as packets, in order, each with the time at which it is due: read a little ahead of who watches.

use super::{
    address::Footage as Asked,
    press::{Chunk, Mark, Press, micros_of},
    shape::{Shape, Speech},
};
use crate::{
    base::Clock,
    disk::Disk,
    media::{
        entry,
        vod::{Placed, Source, Walk},
    },
    model::{Range, Segment, StreamKey, TrackKind, frame::VIDEO_TIMESCALE},
    playback::{Error, Footage},
};
use bytes::Bytes;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Files that are looked up at once.
const SEGMENTS_AT_ONCE: usize = 16;
/// Packets of pictures and sounds that are made ahead of who watches: half a second or so.
pub(super) const AHEAD_MAX: usize = 32;
/// What is read at once, in bytes and in time.
const BLOCK_BYTES_MAX: u64 = 256 << 10;
const BLOCK_MICROS_MAX: i64 = 500_000;
/// Pieces of a file that lie this near to each other are read as one.
const JOINED_BYTES_MAX: u64 = 16 << 10;
/// The largest picture that is believed.
const SAMPLE_BYTES_MAX: u32 = 32 << 20;
/// Sound at the begin of a file that is listened to, to tell how it goes: half a second of telephone packets.
const HEARD_SAMPLES_MAX: usize = 25;
/// How often it is looked whether a file has grown.
const GROWN_EVERY: Duration = Duration::from_millis(400);
/// Footage that does not go on for so long has ended.
const TAIL_MAX: Duration = Duration::from_secs(30);
/// Faster than this only key frames are shown.
pub(super) const ALL_FRAMES_SCALE_MAX: f64 = 4.0;

/// One picture or sound on its way.
pub(super) struct Shot {
    pub(super) chunk: Arc<Chunk>,
    /// When it is due after the first one.
    pub(super) due_micros: i64,
}

/// Where footage comes from.
#[derive(Clone)]
pub(super) struct Library {
    pub(super) footage: Arc<dyn Footage>,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
}

/// What is to be shown.
pub(super) struct Film {
    pub(super) library: Library,
    pub(super) stream: StreamKey,
    pub(super) shape: Arc<Shape>,
    pub(super) marks: [Mark; 2],
    pub(super) asked: Asked,
    /// So much faster than it was, above 0.
    pub(super) scale: f64,
}

impl Library {
    /// Files with footage of that time, the first few, by their start.
    async fn segments(&self, stream: &StreamKey, asked: Asked) -> Result<Vec<Segment>, Error> {
        let range = Range { from: asked.from, to: asked.to.unwrap_or(Range::ALL.to) };
        let mut segments = self.footage.segments(stream, range, SEGMENTS_AT_ONCE).await?;
        segments.retain(|segment| !segment.is_picture());
        segments.sort_by_key(|segment| (segment.start, segment.name_suffix));
        Ok(segments)
    }

    /// What the footage of that time consists of, and when it begins.
    pub(super) async fn describe(&self, stream: &StreamKey, asked: Asked) -> Result<Shape, Error> {
        for segment in self.segments(stream, asked).await? {
            let table = match self.footage.table(&segment).await {
                Err(Error::Gone) => continue,
                table => table?,
            };
            let mut heard = Vec::new();
            let is_flac = matches!(entry::audio(&table.audio_entry), Some(entry::Audio::Flac { .. }));
            if is_flac {
                let walk = Walk::new(Source { segment: segment.clone(), table: table.clone() }, segment.start)?;
                let sounds = walk.filter(|placed| placed.track == TrackKind::Audio).take(HEARD_SAMPLES_MAX).collect();
                heard =
                    self.read(self.footage.path(&segment), sounds).await?.into_iter().map(|(_, data)| data).collect();
            }
            let speech = Speech::of(&table.audio_entry, table.audio_timescale, heard.iter().map(|data| &data[..]));
            let shape = Shape::of(&table.video_entry, (table.width, table.height), speech);
            return shape.ok_or(Error::MotionJpeg(stream.clone()));
        }
        let range = Range { from: asked.from, to: asked.to.unwrap_or(Range::ALL.to) };
        Err(Error::NoFootage { stream: stream.clone(), range, before: None, after: None })
    }

    /// The bytes of samples of one file.
    async fn read(&self, path: PathBuf, samples: Vec<Placed>) -> Result<Vec<(Placed, Bytes)>, Error> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.disk.run(move |files| {
            let file = files.open_read(&path)?;
            let mut order: Vec<(u64, u64)> =
                samples.iter().map(|s| (s.offset, s.offset + u64::from(s.bytes))).collect();
            order.sort_unstable();
            let mut pieces: Vec<(u64, u64)> = Vec::new();
            for (from, to) in order {
                match pieces.last_mut() {
                    Some((_, end)) if from <= *end + JOINED_BYTES_MAX => *end = to.max(*end),
                    _ => pieces.push((from, to)),
                }
            }
            let mut blocks = Vec::with_capacity(pieces.len());
            for (from, to) in pieces {
                let mut block = vec![0; usize::try_from(to - from).unwrap_or(0)];
                file.read_exact_at(from, &mut block)?;
                blocks.push((from, Bytes::from(block)));
            }
            let of = |sample: &Placed| {
                let at = blocks.partition_point(|(from, _)| *from <= sample.offset).checked_sub(1)?;
                let (from, block) = &blocks[at];
                let begin = usize::try_from(sample.offset - from).ok()?;
                Some(block.slice(begin..begin + sample.bytes as usize))
            };
            Ok::<_, Error>(samples.iter().filter_map(|sample| Some((*sample, of(sample)?))).collect())
        });
        read.await?
    }
}

/// Where a film has come.
struct Showing {
    press: Press,
    /// Parameter sets of the file in hand.
    sets: Vec<Bytes>,
    /// Where the ticks of the file in hand begin on the line, at 90 kHz.
    zero: i64,
    /// Where the line has come to.
    end: i64,
}

impl Film {
    /// Hands all of it out, until it ends or nobody takes it.
    pub(super) async fn run(self, out: mpsc::Sender<Shot>) {
        let shown = self.show(&out).await;
        if let Err(error) = shown {
            let kind = error.kind();
            tracing::warn!(stream = %self.stream, %error, ?kind, "footage that is watched by RTSP ends here");
        }
    }

    async fn show(&self, out: &mpsc::Sender<Shot>) -> Result<(), Error> {
        let mut showing = Showing { press: Press::new(&self.shape, self.marks), sets: Vec::new(), zero: 0, end: 0 };
        let mut walk: Option<Walk> = None;
        let mut since = self.library.clock.now();
        loop {
            let from = walk.as_ref().map_or(self.asked.from, |walk| walk.source().segment.start);
            let segments = self.library.segments(&self.stream, Asked { from, ..self.asked }).await?;
            let mut news = false;
            for segment in segments {
                let place = |s: &Segment| (s.start, s.name_suffix);
                let before = walk.as_ref().map(|walk| walk.source().segment.clone());
                if before.as_ref().is_some_and(|before| place(&segment) < place(before)) {
                    continue;
                }
                let table = match self.library.footage.table(&segment).await {
                    Err(Error::Gone) => continue,
                    table => table?,
                };
                let source = Source { segment, table };
                let mut next = match (walk.take(), before) {
                    (Some(mut same), Some(before)) if place(&source.segment) == place(&before) => {
                        same.renew(source)?;
                        same
                    }
                    (_, before) => {
                        let Some(next) = self.begin(source, before.as_ref(), &mut showing)? else { return Ok(()) };
                        next
                    }
                };
                let path = self.library.footage.path(&next.source().segment);
                while let Some(block) = self.block(&mut next) {
                    news = true;
                    let ended = block.1;
                    let read = match self.library.read(path.clone(), block.0).await {
                        // A file that is gone or cut is a gap.
                        Err(error) => {
                            tracing::debug!(stream = %self.stream, %error, "footage is left out");
                            Vec::new()
                        }
                        Ok(read) => read,
                    };
                    if !self.hand_out(&mut showing, &next.source().segment, read, out).await || ended {
                        return Ok(());
                    }
                }
                walk = Some(next);
            }
            let now = self.library.clock.now();
            if news {
                since = now;
                continue;
            }
            let over = self.asked.to.is_some_and(|to| self.library.clock.wall() > to.plus(GROWN_EVERY * 5));
            if over || walk.is_none() || now.saturating_duration_since(since) > TAIL_MAX || out.is_closed() {
                return Ok(());
            }
            self.library.clock.sleep(GROWN_EVERY).await;
        }
    }

    /// The next file; None where it is of another shape.
    fn begin(&self, source: Source, before: Option<&Segment>, showing: &mut Showing) -> Result<Option<Walk>, Error> {
        let table = &source.table;
        let speech = self.shape.speech.clone();
        let shape = Shape::of(&table.video_entry, (table.width, table.height), speech);
        let Some(shape) = shape.filter(|shape| self.shape.takes(shape)) else { return Ok(None) };
        showing.sets = shape.sets;
        let follows = before.is_some_and(|before| source.segment.continues(before));
        let length = before.map_or(0, |before| i64::try_from(before.duration_ticks).unwrap_or(0));
        let from = self.asked.from;
        let walk = Walk::new(source, from)?;
        showing.zero = if follows { showing.zero + length } else { showing.end - first_ticks(&walk) };
        Ok(Some(walk))
    }

    /// What is read next of a file, and whether the film ends with it; None where there is no more by now.
    fn block(&self, walk: &mut Walk) -> Option<(Vec<Placed>, bool)> {
        let rate = walk.source().table.audio_timescale;
        let start = walk.source().segment.start;
        let same_sound = self.has_sound(walk.source());
        let (mut block, mut bytes, mut first, mut any) = (Vec::new(), 0, None, false);
        while bytes < BLOCK_BYTES_MAX {
            let Some(placed) = walk.next() else { break };
            any = true;
            let rate = if placed.track == TrackKind::Video { VIDEO_TIMESCALE } else { rate };
            let at = micros_of(i64::try_from(placed.ticks).unwrap_or(i64::MAX), rate);
            if placed.track == TrackKind::Video && self.asked.to.is_some_and(|to| start.plus_micros(at) >= to) {
                return Some((block, true));
            }
            let goes = match placed.track {
                TrackKind::Video => placed.key || self.scale <= ALL_FRAMES_SCALE_MAX,
                TrackKind::Audio => same_sound && (self.scale - 1.0).abs() < f64::EPSILON,
            };
            if goes && placed.bytes <= SAMPLE_BYTES_MAX {
                block.push(placed);
                bytes += u64::from(placed.bytes);
            }
            if at - *first.get_or_insert(at) >= BLOCK_MICROS_MAX {
                break;
            }
        }
        any.then_some((block, false))
    }

    /// Whether the sound of a file is what who watches was told of.
    fn has_sound(&self, source: &Source) -> bool {
        let Some(speech) = &self.shape.speech else { return false };
        let table = &source.table;
        let is_aac = matches!(speech.coding, super::shape::Coding::Aac(_));
        match Speech::of(&table.audio_entry, table.audio_timescale, []) {
            Some(found) if is_aac => found == *speech,
            Some(found) => {
                let plain = found.coding == super::shape::Coding::L16;
                plain && (found.rate, found.channels) == (speech.rate, speech.channels)
            }
            None => false,
        }
    }

    /// False: nobody takes it any more.
    async fn hand_out(
        &self,
        showing: &mut Showing,
        segment: &Segment,
        read: Vec<(Placed, Bytes)>,
        out: &mpsc::Sender<Shot>,
    ) -> bool {
        for (placed, data) in read {
            let rate = showing.press.rate(placed.track);
            let ticks = i64::try_from(placed.ticks).unwrap_or(i64::MAX);
            let zero = i64::try_from(i128::from(showing.zero) * i128::from(rate) / i128::from(VIDEO_TIMESCALE));
            let at = zero.unwrap_or(0) + ticks;
            let wall = segment.start.plus_micros(micros_of(ticks, rate));
            if placed.track == TrackKind::Video {
                showing.end = at + i64::from(placed.lasts);
            }
            let shown = self.scaled(at + i64::from(placed.shown_after));
            let chunk = match placed.track {
                TrackKind::Video => {
                    let sets = placed.key.then_some(&showing.sets[..]);
                    Some(showing.press.picture(&data, sets, shown, wall))
                }
                TrackKind::Audio => showing.press.sound(&data, shown, wall),
            };
            let Some(chunk) = chunk.filter(|chunk| !chunk.bytes.is_empty()) else { continue };
            let shot = Shot { chunk: Arc::new(chunk), due_micros: micros_of(self.scaled(at), rate) };
            if out.send(shot).await.is_err() {
                return false;
            }
        }
        true
    }

    fn scaled(&self, ticks: i64) -> i64 {
        if (self.scale - 1.0).abs() < f64::EPSILON { ticks } else { (ticks as f64 / self.scale).round() as i64 }
    }
}

fn first_ticks(walk: &Walk) -> i64 {
    i64::try_from(walk.video_ticks()).unwrap_or(0)
}
