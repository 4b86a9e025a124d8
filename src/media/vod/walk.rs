//! The samples of a file one by one, both tracks together in the order of their times: for who sends them at their pace.

use super::{
    Source,
    pieces::{check, key_at_or_before, scale, scale_up, seek, ticks_at},
};
use crate::{
    base::Wall,
    media::Error,
    model::{TrackKind, TrackSamples, frame::VIDEO_TIMESCALE},
};

/// One sample: where it lies, and when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Video or audio.
    pub track: TrackKind,
    /// Where it lies in the file.
    pub offset: u64,
    /// Bytes.
    pub bytes: u32,
    /// When it is decoded, since the file's start, in the track's timescale.
    pub ticks: u64,
    /// From decoding to showing, in the same.
    pub shown_after: i32,
    /// How long it lasts, in the same.
    pub lasts: u32,
    /// Decoding can begin here.
    pub key: bool,
}

/// A walk along one file, which may grow meanwhile.
#[derive(Debug)]
pub struct Walk {
    source: Source,
    video: Place,
    audio: Place,
}

/// Where a walk stands in one track: at which sample, when, in which chunk, and where in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    sample: usize,
    ticks: u64,
    chunk: usize,
    in_chunk: u32,
    offset: Option<u64>,
}

impl Walk {
    /// From the key frame at or before `from`, with the sound from there on; from the first frame where the file begins later.
    pub fn new(source: Source, from: Wall) -> Result<Self, Error> {
        check(&source)?;
        let (video, audio) = (&source.table.video, &source.table.audio);
        let wanted = ticks_at(from, source.segment.start, VIDEO_TIMESCALE);
        let (mut shown, at) = seek(video, 0, video.first_ticks, wanted);
        // A moment within a picture is that picture's.
        if at > wanted || shown == video.sizes.len() {
            shown = shown.saturating_sub(1);
        }
        let first = key_at_or_before(video, shown);
        let ticks = video.first_ticks + video.durations[..first].iter().map(|d| u64::from(*d)).sum::<u64>();
        let heard = if first == 0 { 0 } else { scale_up(ticks, VIDEO_TIMESCALE, source.table.audio_timescale) };
        let (sound, sound_ticks) = seek(audio, 0, audio.first_ticks, heard);
        let (video, audio) = (Place::at(video, first, ticks), Place::at(audio, sound, sound_ticks));
        Ok(Self { source, video, audio })
    }

    /// The same file, of which more is known by now.
    pub fn renew(&mut self, source: Source) -> Result<(), Error> {
        check(&source)?;
        self.source = source;
        Ok(())
    }

    /// The file as it is known.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// When the next picture is decoded, since the file's start.
    pub fn video_ticks(&self) -> u64 {
        self.video.ticks
    }

    /// Which track goes on first; None at the end.
    fn next_track(&self) -> Option<TrackKind> {
        let table = &self.source.table;
        let has = |place: &Place, track: &TrackSamples| place.sample < track.sizes.len();
        match (has(&self.video, &table.video), has(&self.audio, &table.audio)) {
            (false, false) => None,
            (true, false) => Some(TrackKind::Video),
            (false, true) => Some(TrackKind::Audio),
            (true, true) => {
                let heard = scale(self.audio.ticks, table.audio_timescale, VIDEO_TIMESCALE);
                Some(if heard < self.video.ticks { TrackKind::Audio } else { TrackKind::Video })
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Placed;

    fn next(&mut self) -> Option<Placed> {
        let track = self.next_track()?;
        let table = &self.source.table;
        match track {
            TrackKind::Video => self.video.step(&table.video, track),
            TrackKind::Audio => self.audio.step(&table.audio, track),
        }
    }
}

impl Place {
    fn at(track: &TrackSamples, sample: usize, ticks: u64) -> Self {
        let mut place = Self { sample, ticks, ..Self::default() };
        let mut left = sample;
        for chunk in &track.chunks {
            let here = chunk.samples as usize;
            if left < here {
                break;
            }
            left -= here;
            place.chunk += 1;
        }
        place.in_chunk = u32::try_from(left).unwrap_or(u32::MAX);
        if let Some(chunk) = track.chunks.get(place.chunk).filter(|_| left > 0) {
            let before: u64 = track.sizes[sample - left..sample].iter().map(|s| u64::from(*s)).sum();
            place.offset = Some(chunk.offset + before);
        }
        place
    }

    fn step(&mut self, track: &TrackSamples, kind: TrackKind) -> Option<Placed> {
        let (bytes, lasts) = (*track.sizes.get(self.sample)?, *track.durations.get(self.sample)?);
        let chunk = track.chunks.get(self.chunk)?;
        let offset = self.offset.unwrap_or(chunk.offset);
        let number = u32::try_from(self.sample).ok()?;
        let placed = Placed {
            track: kind,
            offset,
            bytes,
            ticks: self.ticks,
            shown_after: track.offset(self.sample),
            lasts,
            key: kind == TrackKind::Audio || track.keys.binary_search(&number).is_ok(),
        };
        self.sample += 1;
        self.ticks += u64::from(lasts);
        self.in_chunk += 1;
        self.offset = Some(offset + u64::from(bytes));
        if self.in_chunk >= chunk.samples {
            (self.chunk, self.in_chunk, self.offset) = (self.chunk + 1, 0, None);
        }
        Some(placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SampleTable, Segment, SessionId, Sum, segment::Chunk};
    use proptest::prelude::*;
    use std::sync::Arc;

    const START: i64 = 1_795_249_800_000_000;

    /// 25 pictures a second with a key frame each ten, sound at 8 kHz in packets of a fiftieth, in fragments of both.
    fn source(fragments: &[(u32, u32)]) -> Source {
        let mut table =
            SampleTable { video_entry: vec![1], audio_entry: vec![1], audio_timescale: 8000, ..SampleTable::default() };
        let mut offset = 1000;
        for (pictures, sounds) in fragments {
            for (track, count, bytes, lasts) in
                [(&mut table.video, *pictures, 500, 3600), (&mut table.audio, *sounds, 80, 160)]
            {
                if count > 0 {
                    track.chunks.push(Chunk { offset, samples: count });
                }
                for _ in 0..count {
                    let bytes = bytes + track.sizes.len() as u32;
                    track.sizes.push(bytes);
                    track.durations.push(lasts);
                    offset += u64::from(bytes);
                }
            }
            offset += 77;
        }
        table.video.keys = (0..table.video.sizes.len() as u32).step_by(10).collect();
        let segment = Segment {
            stream: "n/1/main".parse().unwrap(),
            start: Wall::from_micros(START),
            duration_ticks: table.video.duration_ticks(),
            bytes: offset,
            frames: table.video.sizes.len() as u32,
            session: SessionId(1),
            index: 0,
            name_suffix: 0,
            closed: true,
            sum: Sum::default(),
        };
        Source { segment, table: Arc::new(table) }
    }

    #[test]
    fn a_walk_begins_with_the_key_frame_at_or_before() {
        let source = source(&[(12, 24), (13, 26), (5, 0)]);
        for (millis, first) in [(-1000, 0), (0, 0), (399, 0), (400, 10), (401, 10), (799, 10), (800, 20), (5000, 20)] {
            let from = Wall::from_micros(START + millis * 1000);
            let all: Vec<Placed> = Walk::new(source.clone(), from).unwrap().collect();
            let picture = all.iter().find(|p| p.track == TrackKind::Video).unwrap();
            assert!(picture.key, "{millis}");
            assert_eq!(picture.ticks, first * 3600, "{millis}");
            let sound = all.iter().find(|p| p.track == TrackKind::Audio);
            assert_eq!(sound.map(|s| s.ticks), Some(first * 320), "{millis}");
        }
    }

    proptest! {
        #[test]
        fn every_sample_from_there_on_comes_once_in_order_and_lies_where_it_does(
            fragments in prop::collection::vec((1u32..20, 0u32..30), 1..6), millis in -100i64..4000,
        ) {
            let source = source(&fragments);
            let table = source.table.clone();
            let walk = Walk::new(source, Wall::from_micros(START + millis * 1000)).unwrap();
            let all: Vec<Placed> = walk.collect();
            for (kind, track) in [(TrackKind::Video, &table.video), (TrackKind::Audio, &table.audio)] {
                let placed: Vec<&Placed> = all.iter().filter(|p| p.track == kind).collect();
                let left_out = track.sizes.len() - placed.len();
                let mut where_it_lies = track.chunks.iter().flat_map(|chunk| {
                    let before: usize = track.chunks.iter().take_while(|c| c.offset < chunk.offset).map(|c| c.samples as usize).sum();
                    (0..chunk.samples as usize).map(move |n| {
                        chunk.offset + track.sizes[before..before + n].iter().map(|s| u64::from(*s)).sum::<u64>()
                    })
                }).skip(left_out);
                for (n, p) in placed.iter().enumerate() {
                    prop_assert_eq!((Some(p.offset), p.bytes), (where_it_lies.next(), track.sizes[left_out + n]));
                    prop_assert_eq!(p.ticks, track.durations[..left_out + n].iter().map(|d| u64::from(*d)).sum::<u64>());
                }
            }
            // Neither track runs ahead of the other by more than a sample while both go on.
            let micros = |p: &Placed| p.ticks * 1_000_000 / if p.track == TrackKind::Video { 90_000 } else { 8_000 };
            for pair in all.windows(2) {
                prop_assert!(micros(&pair[1]) + 40_000 >= micros(&pair[0]));
            }
        }

        #[test]
        fn a_walk_along_a_file_that_grows_is_the_walk_along_the_whole(
            fragments in prop::collection::vec((1u32..20, 0u32..30), 2..6), known in 1usize..5,
        ) {
            let known = known.min(fragments.len() - 1);
            let (part, whole) = (source(&fragments[..known]), source(&fragments));
            let from = Wall::from_micros(START);
            let mut walk = Walk::new(part, from).unwrap();
            let mut all: Vec<Placed> = walk.by_ref().collect();
            walk.renew(whole.clone()).unwrap();
            all.extend(walk);
            let mut wanted: Vec<Placed> = Walk::new(whole, from).unwrap().collect();
            let order = |p: &Placed| (p.track == TrackKind::Audio, p.ticks);
            all.sort_by_key(order);
            wanted.sort_by_key(order);
            prop_assert_eq!(all, wanted);
        }
    }
}
