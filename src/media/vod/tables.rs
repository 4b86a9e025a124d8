//! The sample tables of a track of a virtual MP4.

use crate::media::fmp4::boxes::Boxes;

/// One track's tables as they grow, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Tables<'a> {
    /// (samples, ticks each)
    stts: Vec<(u32, u32)>,
    sizes: Vec<u32>,
    /// (samples, ticks from decoding to showing)
    ctts: Vec<(u32, i32)>,
    /// Numbers of key frames, from 1.
    keys: Vec<u32>,
    /// (first chunk, samples a chunk, sample description), each from 1
    stsc: Vec<(u32, u32, u32)>,
    /// Where chunks begin, counted from the first byte of media.
    chunks: Vec<u64>,
    /// Sample entries.
    pub(super) entries: Vec<&'a [u8]>,
    /// Sum of the durations.
    pub(super) ticks: u64,
}

impl<'a> Tables<'a> {
    pub(super) fn reserve(&mut self, samples: usize) {
        self.sizes.reserve(samples);
    }

    /// Adds samples one behind the other. A duration of 0 would make two samples share a moment. `offsets` may be
    /// empty.
    pub(super) fn push_samples(
        &mut self,
        sizes: &[u32],
        durations: &[u32],
        offsets: &[i32],
        keys: impl Iterator<Item = u32>,
    ) {
        match offsets {
            [] => self.push_offsets(sizes.len(), 0),
            offsets => offsets.iter().for_each(|offset| self.push_offsets(1, *offset)),
        }
        let base = u32::try_from(self.sizes.len()).expect("plan_mp4 bounds the number of samples") + 1;
        self.sizes.extend_from_slice(sizes);
        self.keys.extend(keys.map(|k| base + k));
        for duration in durations {
            self.push_duration((*duration).max(1));
        }
    }

    fn push_offsets(&mut self, samples: usize, offset: i32) {
        let samples = u32::try_from(samples).expect("plan_mp4 bounds the number of samples");
        match self.ctts.last_mut() {
            Some((count, each)) if *each == offset => *count += samples,
            _ if samples == 0 => {}
            _ => self.ctts.push((samples, offset)),
        }
    }

    fn push_duration(&mut self, duration: u32) {
        self.ticks += u64::from(duration);
        match self.stts.last_mut() {
            Some((count, each)) if *each == duration => *count += 1,
            _ => self.stts.push((1, duration)),
        }
    }

    /// Makes the last sample end at `end`, or a tick after it began where `end` is before that.
    pub(super) fn end_last_at(&mut self, end: u64) {
        let Some((count, each)) = self.stts.last_mut() else { return };
        let start = self.ticks - u64::from(*each);
        let duration = u32::try_from(end.saturating_sub(start).max(1)).unwrap_or(u32::MAX);
        if duration == *each {
            return;
        }
        *count -= 1;
        if *count == 0 {
            self.stts.pop();
        }
        self.ticks = start;
        self.push_duration(duration);
    }

    /// Adds a chunk of samples in the format of `entry`.
    pub(super) fn push_chunk(&mut self, media_offset: u64, samples: u32, entry: u32) {
        self.chunks.push(media_offset);
        let number = u32::try_from(self.chunks.len()).expect("there are no more chunks than samples");
        if self.stsc.last().is_none_or(|(_, s, e)| (*s, *e) != (samples, entry)) {
            self.stsc.push((number, samples, entry));
        }
    }

    /// Number, from 1, of a sample entry among those of the track.
    pub(super) fn entry(&mut self, entry: &'a [u8]) -> u32 {
        let at = self.entries.iter().rposition(|e| *e == entry).unwrap_or_else(|| {
            self.entries.push(entry);
            self.entries.len() - 1
        });
        u32::try_from(at + 1).expect("there are no more entries than sources")
    }

    /// Bytes that [`Tables::write`] makes at most.
    pub(super) fn bytes_bound(&self) -> usize {
        128 + self.stts.len() * 8
            + self.ctts.len() * 8
            + self.sizes.len() * 4
            + self.keys.len() * 4
            + self.stsc.len() * 12
            + self.chunks.len() * 8
    }

    /// Writes what follows `stsd` in `stbl`. Gives back where the first chunk offset stands, to be moved by
    /// [`Tables::place_media`].
    pub(super) fn write(&self, out: &mut Boxes, video: bool, wide: bool) -> usize {
        out.full(b"stts", 0, 0, |b| {
            b.count(self.stts.len());
            for (count, each) in &self.stts {
                b.u32(*count);
                b.u32(*each);
            }
        });
        if self.ctts.iter().any(|(_, offset)| *offset != 0) {
            out.full(b"ctts", 1, 0, |b| {
                b.count(self.ctts.len());
                for (count, each) in &self.ctts {
                    b.u32(*count);
                    b.u32(each.cast_unsigned());
                }
            });
        }
        if video {
            out.full(b"stss", 0, 0, |b| {
                b.count(self.keys.len());
                self.keys.iter().for_each(|k| b.u32(*k));
            });
        }
        out.full(b"stsc", 0, 0, |b| {
            b.count(self.stsc.len());
            for (first, samples, entry) in &self.stsc {
                b.u32(*first);
                b.u32(*samples);
                b.u32(*entry);
            }
        });
        out.full(b"stsz", 0, 0, |b| {
            b.u32(0);
            b.count(self.sizes.len());
            self.sizes.iter().for_each(|s| b.u32(*s));
        });
        out.full(if wide { b"co64" } else { b"stco" }, 0, 0, |b| {
            b.count(self.chunks.len());
            b.zeros(self.chunks.len() * if wide { 8 } else { 4 });
        });
        out.len() - self.chunks.len() * if wide { 8 } else { 4 }
    }

    /// Fills in the chunk offsets at `at`, now that it is known where media begins.
    pub(super) fn place_media(&self, out: &mut Boxes, at: usize, media_at: u64, wide: bool) {
        for (n, chunk) in self.chunks.iter().enumerate() {
            let offset = media_at + chunk;
            if wide {
                out.patch_u64(at + n * 8, offset);
            } else {
                out.patch_u32(at + n * 4, u32::try_from(offset).expect("plan_mp4 makes large files wide"));
            }
        }
    }
}
