//! Rows as earlier versions wrote them: read for ever, never written.

use crate::model::{SampleTable, TrackSamples, segment::Chunk};
use serde::{Deserialize, Serialize};

/// A sample table from before samples had offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldTable {
    init_bytes: u32,
    video_entry: Vec<u8>,
    audio_entry: Vec<u8>,
    width: u16,
    height: u16,
    audio_timescale: u32,
    video: OldSamples,
    audio: OldSamples,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OldSamples {
    first_ticks: u64,
    sizes: Vec<u32>,
    durations: Vec<u32>,
    keys: Vec<u32>,
    chunks: Vec<Chunk>,
}

impl From<OldTable> for SampleTable {
    fn from(old: OldTable) -> Self {
        let OldTable { init_bytes, video_entry, audio_entry, width, height, audio_timescale, video, audio } = old;
        let (video, audio) = (video.into(), audio.into());
        Self { init_bytes, video_entry, audio_entry, width, height, audio_timescale, video, audio }
    }
}

impl From<OldSamples> for TrackSamples {
    fn from(old: OldSamples) -> Self {
        let OldSamples { first_ticks, sizes, durations, keys, chunks } = old;
        Self { first_ticks, sizes, durations, offsets: Vec::new(), keys, chunks }
    }
}

#[cfg(test)]
impl OldTable {
    /// As the version before would have written it.
    pub(super) fn of(table: SampleTable) -> Self {
        let SampleTable { init_bytes, video_entry, audio_entry, width, height, audio_timescale, video, audio } = table;
        let old = |track: TrackSamples| {
            let TrackSamples { first_ticks, sizes, durations, keys, chunks, .. } = track;
            OldSamples { first_ticks, sizes, durations, keys, chunks }
        };
        let (video, audio) = (old(video), old(audio));
        Self { init_bytes, video_entry, audio_entry, width, height, audio_timescale, video, audio }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the version before wrote for a small table.
    const WRITTEN: [u8; 25] =
        [200, 8, 4, 97, 118, 99, 49, 0, 128, 1, 96, 0, 0, 2, 10, 20, 2, 144, 28, 144, 28, 1, 0, 1, 200];

    #[test]
    fn a_table_of_the_version_before_is_read() {
        let mut bytes = WRITTEN.to_vec();
        bytes.extend([8, 2]); // the chunk: offset 1096 goes on, two samples
        bytes.extend([0, 0, 0, 0, 0]); // no sound
        let table: SampleTable = postcard::from_bytes::<OldTable>(&bytes).unwrap().into();
        assert_eq!((table.init_bytes, &table.video_entry[..]), (1096, &b"avc1"[..]));
        assert_eq!((table.width, table.height, table.audio_timescale), (128, 96, 0));
        assert_eq!((table.video.sizes, table.video.durations), (vec![10, 20], vec![3600, 3600]));
        assert_eq!(table.video.keys, [0]);
        assert_eq!(table.video.chunks, [Chunk { offset: 1096, samples: 2 }]);
        assert!(table.video.offsets.is_empty() && table.audio.sizes.is_empty());
    }
}
