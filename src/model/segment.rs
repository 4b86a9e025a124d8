//! Recorded footage: one file, and where each sample lies in it.

use super::{SessionId, StreamKey, Sum, frame::VIDEO_TIMESCALE, span::JOIN_MICROS_MAX};
use crate::base::Wall;
use serde::{Deserialize, Serialize};

/// Set in [`Segment::name_suffix`] where the file is a picture (`.jpg`). The row's shape is older than pictures, and stays
/// readable both ways.
pub const PICTURE: u32 = 1 << 31;

/// One recorded file of one stream. What the index keeps, and all of it can be read back from the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The stream.
    pub stream: StreamKey,
    /// When its first video frame was taken.
    pub start: Wall,
    /// Sum of the video samples' durations, in 90 kHz ticks.
    pub duration_ticks: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Video frames.
    pub frames: u32,
    /// The RTSP session that it was recorded from.
    pub session: SessionId,
    /// Its place in that session, from 0: segment n+1 of a session was begun where segment n ended.
    pub index: u32,
    /// The distinguishing part of the file's name, 0 for the plain name, else the `n` of `-n`.
    pub name_suffix: u32,
    /// True once no more will be added to it.
    pub closed: bool,
    /// Of the whole file; known once closed.
    pub sum: Sum,
}

impl Segment {
    /// The end of its last frame.
    pub fn end(&self) -> Wall {
        self.start.plus_micros(ticks_to_micros(self.duration_ticks, VIDEO_TIMESCALE))
    }

    /// Whether the file is a picture and not video.
    pub fn is_picture(&self) -> bool {
        self.name_suffix & PICTURE != 0
    }

    /// Whether `self` follows `earlier` with nothing missing between.
    pub fn continues(&self, earlier: &Segment) -> bool {
        self.is_picture() == earlier.is_picture()
            && self.session == earlier.session
            && self.index == earlier.index.wrapping_add(1)
            // A file may have lost its end after the next one was begun. Pictures last as long as was asked for.
            && (self.is_picture() || self.start.micros_since(earlier.end()).abs() <= JOIN_MICROS_MAX)
    }
}

/// Ticks to microseconds, rounded down, without overflow for any recording that fits a disk.
pub fn ticks_to_micros(ticks: u64, timescale: u32) -> i64 {
    i64::try_from(u128::from(ticks) * 1_000_000 / u128::from(timescale.max(1))).unwrap_or(i64::MAX)
}

/// Where the samples of one segment lie in its file: all that playback needs without opening the file.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SampleTable {
    /// Length of what is in front of the first fragment (`ftyp`, `moov`, the origin box), in bytes.
    pub init_bytes: u32,
    /// The `stsd` entry (`avc1`, `hvc1`, `mp4v`) of the video track.
    #[serde(with = "serde_bytes_vec")]
    pub video_entry: Vec<u8>,
    /// The `stsd` entry of the audio track; empty without audio.
    #[serde(with = "serde_bytes_vec")]
    pub audio_entry: Vec<u8>,
    /// Pixels, as the track header says them.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Ticks per second of the audio track; 0 without audio.
    pub audio_timescale: u32,
    /// Video samples.
    pub video: TrackSamples,
    /// Audio samples; their `first_ticks` is relative to the segment's start.
    pub audio: TrackSamples,
}

/// The samples of one track, in decoding order. Vectors run in parallel.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackSamples {
    /// Decoding time of the first sample since the segment's start, in the track's timescale.
    pub first_ticks: u64,
    /// Bytes of each sample.
    pub sizes: Vec<u32>,
    /// Ticks that each sample lasts.
    pub durations: Vec<u32>,
    /// Ticks from each sample's decoding to its showing; empty where all are 0.
    pub offsets: Vec<i32>,
    /// Numbers of the samples at which decoding can begin, ascending. Empty for audio: all are.
    pub keys: Vec<u32>,
    /// Runs of samples that lie together in the file, one a fragment.
    pub chunks: Vec<Chunk>,
}

/// A run of samples of one track that lie one behind the other in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Where the run's first byte lies in the file.
    pub offset: u64,
    /// How many samples.
    pub samples: u32,
}

impl TrackSamples {
    /// Sum of the durations.
    pub fn duration_ticks(&self) -> u64 {
        self.durations.iter().map(|d| u64::from(*d)).sum()
    }

    /// From decoding to showing of sample number `n`.
    pub fn offset(&self, n: usize) -> i32 {
        self.offsets.get(n).copied().unwrap_or(0)
    }

    /// Adds the samples of the next fragment. `keys` of `more` are counted from its own first sample.
    pub fn append(&mut self, more: &TrackSamples) {
        let base = u32::try_from(self.sizes.len()).unwrap_or(u32::MAX);
        if self.sizes.is_empty() {
            self.first_ticks = more.first_ticks;
        }
        // Most streams show pictures as they are decoded, and keep no offsets at all.
        if !more.offsets.is_empty() {
            self.offsets.resize(self.sizes.len(), 0);
            self.offsets.extend_from_slice(&more.offsets);
        } else if !self.offsets.is_empty() {
            self.offsets.resize(self.sizes.len() + more.sizes.len(), 0);
        }
        self.sizes.extend_from_slice(&more.sizes);
        self.durations.extend_from_slice(&more.durations);
        self.keys.extend(more.keys.iter().map(|k| k.saturating_add(base)));
        self.chunks.extend_from_slice(&more.chunks);
    }
}

/// Byte vectors as one block, not as a sequence of numbers.
mod serde_bytes_vec {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(v: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(v)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        <Vec<u8>>::deserialize(d)
    }
}
