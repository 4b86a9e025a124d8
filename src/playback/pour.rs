//! A virtual file as pieces for the kernel to send: parts of files, and bytes that stand between them.

use super::{metrics::Meters, plan::Plan};
use crate::{
    disk::{File, Files, Kept},
    media::vod::INSERTED,
    serve::{Piece, Pour},
};
use bytes::Bytes;
use std::{io, ops::Range, sync::Arc};
use tokio::time::Instant;

/// What is given of a file at once, in bytes, and so counted before it is sent.
const PIECE_BYTES_MAX: u64 = 2 << 20;

/// What is still to come of a plan.
pub(super) struct Pouring {
    pub(super) plan: Arc<Plan>,
    pub(super) range: Range<u64>,
    pub(super) files: Files,
    pub(super) meters: Meters,
    /// When it was asked for.
    pub(super) asked: Instant,
    /// The file that is sent from.
    pub(super) open: Option<(usize, Arc<Kept>)>,
}

impl Pour for Pouring {
    fn next(&mut self) -> io::Result<Piece> {
        if self.range.is_empty() {
            return Ok(Piece::End);
        }
        let head = self.plan.layout.head_in(&self.range);
        if !head.is_empty() {
            return Ok(self.bytes(head));
        }
        let Some(slice) = self.plan.layout.slices_in(self.range.clone()).next() else { return Ok(Piece::End) };
        if slice.source == INSERTED {
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let inserted = self.plan.layout.inserts.slice(at(slice.offset)..at(slice.offset + slice.len));
            return Ok(self.bytes(inserted));
        }
        let file = match &self.open {
            Some((source, file)) if *source == slice.source => file.clone(),
            _ => match self.files.open_read_cached(&self.plan.paths[slice.source]) {
                Some(file) => self.keep(slice.source, file),
                None => return Ok(Piece::Closed),
            },
        };
        let len = slice.len.min(PIECE_BYTES_MAX);
        self.gave(len);
        Ok(Piece::File(file, slice.offset..slice.offset + len))
    }

    fn open(&mut self) -> io::Result<()> {
        let Some(slice) = self.plan.layout.slices_in(self.range.clone()).next() else { return Ok(()) };
        let Some(path) = self.plan.paths.get(slice.source) else { return Ok(()) };
        let file = self.files.open_read(path).map_err(|error| {
            tracing::warn!(%error, "footage could not be read; the response is cut");
            io::Error::other(error)
        })?;
        self.keep(slice.source, file);
        Ok(())
    }
}

impl Pouring {
    fn bytes(&mut self, bytes: Bytes) -> Piece {
        self.gave(bytes.len() as u64);
        Piece::Bytes(bytes)
    }

    fn gave(&mut self, len: u64) {
        self.range.start += len;
        self.meters.sent_bytes.inc_by(len);
    }

    fn keep(&mut self, source: usize, file: File) -> Arc<Kept> {
        let file = Arc::new(Kept::new(file, self.plan.seen.of(source, self.asked)));
        self.open = Some((source, file.clone()));
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Metrics, disk::Disk, media::vod};

    #[tokio::test]
    async fn what_is_poured_is_what_the_layout_says_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..3).map(|n| dir.path().join(format!("{n}.mp4"))).collect();
        let bytes: Vec<Vec<u8>> =
            (0..3u32).map(|n| (0..300_000u32).map(|i| (i * 7 + n * 13) as u8).collect()).collect();
        paths.iter().zip(&bytes).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        let slice = |source, offset, len| vod::Slice { source, offset, len };
        let slices = vec![
            slice(0, 5, 200_001),
            slice(INSERTED, 2, 7),
            slice(1, 99_999, 1),
            slice(1, 0, 4_096),
            slice(2, 1, 299_999),
        ];
        let mut layout = vod::Layout::new(b"the head".as_slice().into(), slices.clone(), "t".into());
        layout.inserts = b"0123456789".as_slice().into();
        let of = |s: &vod::Slice| {
            let from = if s.source == INSERTED { &layout.inserts[..] } else { &bytes[s.source][..] };
            from[s.offset as usize..(s.offset + s.len) as usize].to_vec()
        };
        let whole = [b"the head".to_vec(), slices.iter().flat_map(of).collect()].concat();
        let plan = Arc::new(Plan::new(layout, paths));
        let pouring = |range: Range<usize>| Pouring {
            plan: plan.clone(),
            range: range.start as u64..range.end as u64,
            files: Disk::real(1).files(),
            meters: Meters::new(&Metrics::default()),
            asked: Instant::now(),
            open: None,
        };
        for range in [0..whole.len(), 3..4, 100..whole.len() - 100, 200_008..200_017, whole.len() - 1..whole.len()] {
            let (mut pouring, mut got) = (pouring(range.clone()), Vec::new());
            loop {
                match pouring.next().unwrap() {
                    Piece::Bytes(bytes) => got.extend_from_slice(&bytes),
                    Piece::File(file, part) => {
                        let begin = got.len();
                        got.resize(begin + (part.end - part.start) as usize, 0);
                        file.read_exact_at(part.start, &mut got[begin..]).unwrap();
                    }
                    Piece::Closed => pouring.open().unwrap(),
                    Piece::End => break,
                }
            }
            assert!(got == whole[range.clone()], "{range:?}");
        }
        std::fs::remove_file(&plan.paths[2]).unwrap();
        let mut cut = pouring(200_008..whole.len());
        let failed = loop {
            match cut.next().unwrap() {
                Piece::Closed => match cut.open() {
                    Ok(()) => {}
                    Err(error) => break error,
                },
                piece => assert!(!matches!(piece, Piece::End)),
            }
        };
        assert!(failed.to_string().contains("2.mp4"), "{failed}");
    }
}
