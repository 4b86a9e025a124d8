//! A virtual file: bytes at hand, then slices of other files.

use bytes::Bytes;
use std::ops::Range;

/// The `source` of a slice that lies in [`Layout::inserts`] and in no file.
pub const INSERTED: usize = usize::MAX;

/// A run of bytes of one source's file, or of [`Layout::inserts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Number of the source in the list that was planned from, or [`INSERTED`].
    pub source: usize,
    /// First byte in its file.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// A virtual file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Its first bytes.
    pub head: Bytes,
    /// What is put between slices of files: parameter sets, where the format changes on the way.
    pub inserts: Bytes,
    slices: Vec<Slice>,
    /// Where each slice ends in the virtual file.
    ends: Vec<u64>,
    /// Two layouts with the same tag have the same bytes, as footage files only ever grow.
    pub tag: String,
}

impl Layout {
    /// `head`, and behind it `slices`.
    pub fn new(head: Bytes, slices: Vec<Slice>, tag: String) -> Self {
        let mut end = head.len() as u64;
        let ends = slices.iter().map(|s| {
            end += s.len;
            end
        });
        Self { ends: ends.collect(), head, inserts: Bytes::new(), slices, tag }
    }

    /// Length of the virtual file.
    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(self.head.len() as u64)
    }

    /// Whether it has no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slices of other files, in order.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// The part of the head that lies in a range of the virtual file.
    pub fn head_in(&self, range: &Range<u64>) -> Bytes {
        let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.head.len());
        let (start, end) = (clip(range.start), clip(range.end));
        if start < end { self.head.slice(start..end) } else { Bytes::new() }
    }

    /// The slices, cut to a range of the virtual file.
    pub fn slices_in(&self, range: Range<u64>) -> impl Iterator<Item = Slice> + '_ {
        let first = self.ends.partition_point(|end| *end <= range.start);
        let pairs = self.slices[first..].iter().zip(&self.ends[first..]);
        pairs.map_while(move |(slice, end)| {
            let start = end - slice.len;
            let (from, to) = (range.start.max(start), range.end.min(*end));
            (from < to).then(|| Slice { offset: slice.offset + (from - start), len: to - from, ..*slice })
        })
    }

    /// Memory that it takes, for caches.
    pub fn memory_bytes(&self) -> usize {
        self.head.len() + self.inserts.len() + self.slices.len() * (size_of::<Slice>() + size_of::<u64>())
    }
}

/// Gathers slices, joining those that lie one behind the other.
#[derive(Debug, Default)]
pub(super) struct Slices {
    slices: Vec<Slice>,
    len: u64,
}

impl Slices {
    pub(super) fn push(&mut self, slice: Slice) {
        self.len += slice.len;
        match self.slices.last_mut() {
            Some(last) if last.source == slice.source && last.offset + last.len == slice.offset => {
                last.len += slice.len
            }
            _ if slice.len == 0 => {}
            _ => self.slices.push(slice),
        }
    }

    /// What comes next lies so far on in a source's file. Where little lies between it and what was gathered last, that is
    /// gathered, too: nobody is told what it means, and a piece less is to be sent.
    pub(super) fn bridge(&mut self, source: usize, offset: u64, bytes_max: u64) {
        let Some(last) = self.slices.last_mut().filter(|last| last.source == source) else { return };
        let between = offset.checked_sub(last.offset + last.len).filter(|between| *between <= bytes_max);
        last.len += between.unwrap_or_default();
        self.len += between.unwrap_or_default();
    }

    /// Bytes gathered.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn into_vec(self) -> Vec<Slice> {
        self.slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_way_on_in_the_same_file_is_bridged() {
        let mut slices = Slices::default();
        slices.bridge(0, 5, 9);
        slices.push(Slice { source: 0, offset: 100, len: 50 });
        for (source, offset) in [(1, 160), (0, 149), (0, 160)] {
            slices.bridge(source, offset, 9);
            assert_eq!(slices.len(), 50, "{source} {offset}");
        }
        slices.bridge(0, 159, 9);
        assert_eq!(slices.len(), 59);
        slices.push(Slice { source: 0, offset: 159, len: 1 });
        assert_eq!(slices.into_vec(), [Slice { source: 0, offset: 100, len: 60 }]);
    }
}
