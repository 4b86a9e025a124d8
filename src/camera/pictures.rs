//! What the pictures of a session are: where decoding can begin, and when each is to be decoded. Pure.

use super::reorder::Reorder;
use crate::{
    media::{
        avc::{self, NalKind},
        order::{self, Reordering},
    },
    model::{VideoCodec, VideoFormat},
};
use std::time::Duration;

/// After so long without a key frame, pictures that say they are whole again count as such: a stream by intra refresh has
/// no others. A player that begins there shows a picture that completes itself within a second or so.
pub(super) const RECOVERY_AFTER: Duration = Duration::from_secs(10);

/// What one access unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    /// Decoding can begin here.
    Key,
    /// It needs others.
    Delta,
    /// It holds no picture at all: parameter sets, filler or messages alone.
    Empty,
}

/// What is known of a session's pictures.
#[derive(Debug)]
pub(super) struct Pictures {
    codec: VideoCodec,
    reordering: Reordering,
    reorder: Reorder,
    by_recovery: bool,
}

impl Pictures {
    /// Of a session whose stream is known to have no key frames, or not.
    pub(super) fn new(by_recovery: bool) -> Self {
        let (codec, reordering) = (VideoCodec::H264, Reordering::Never);
        Self { codec, reordering, reorder: Reorder::default(), by_recovery }
    }

    /// Whether pictures that complete themselves stand in for key frames.
    pub(super) fn are_by_recovery(&self) -> bool {
        self.by_recovery
    }

    /// From now on they are of this format.
    pub(super) fn follow(&mut self, format: &VideoFormat) {
        self.codec = format.codec;
        self.reordering = order::reordering(format.codec, &format.sample_entry);
    }

    /// What a picture is. `without_key`: how long ago the last key picture came, or the session began.
    pub(super) fn look(&mut self, data: &[u8], without_key: Duration) -> Picture {
        if self.codec == VideoCodec::Mjpeg {
            return Picture::Key;
        }
        let (mut key, mut delta) = (false, false);
        for nal in avc::nals(data) {
            match avc::nal_kind(self.codec, nal) {
                NalKind::KeySlice => key = true,
                NalKind::Slice => delta = true,
                NalKind::ParameterSet | NalKind::Other => {}
            }
        }
        match (key, delta) {
            (true, false) => {
                self.by_recovery = false;
                Picture::Key
            }
            (false, false) => Picture::Empty,
            (_, true) if order::has_recovery_point(self.codec, data) => {
                self.by_recovery |= without_key >= RECOVERY_AFTER;
                if self.by_recovery { Picture::Key } else { Picture::Delta }
            }
            (_, true) => Picture::Delta,
        }
    }

    /// The decoding time of a picture that is shown at `shown`, both in 90 kHz ticks.
    pub(super) fn decoded_at(&mut self, shown: i64, data: &[u8]) -> i64 {
        let may_go_back = match self.reordering {
            Reordering::Never => false,
            Reordering::Allowed => true,
            Reordering::ByPicture => order::is_bipredictive(data),
        };
        self.reorder.place(shown, may_go_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn of(codec: VideoCodec) -> Pictures {
        let sample_entry = Bytes::new();
        let mut pictures = Pictures::new(false);
        pictures.follow(&VideoFormat { codec, rfc6381: String::new(), width: 16, height: 16, sample_entry });
        pictures
    }

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        avc::sample_of(nals.iter().copied()).to_vec()
    }

    const IDR: &[u8] = &[0x65, 0x88];
    const P: &[u8] = &[0x41, 0x9a];
    const AUD: &[u8] = &[9, 0x10];
    const RECOVERY: &[u8] = &[6, 6, 1, 0x84, 0x80];

    #[test]
    fn several_slices_delimiters_and_units_without_a_picture() {
        let mut h264 = of(VideoCodec::H264);
        assert_eq!(h264.look(&unit(&[AUD, IDR, IDR, IDR]), Duration::ZERO), Picture::Key);
        assert_eq!(h264.look(&unit(&[AUD, P, P]), Duration::ZERO), Picture::Delta);
        assert_eq!(h264.look(&unit(&[AUD, RECOVERY]), Duration::ZERO), Picture::Empty);
        assert_eq!(h264.look(&[], Duration::ZERO), Picture::Empty);
        let mut h265 = of(VideoCodec::H265);
        // BLA, IDR and CRA: decoding can begin at any of them.
        for kind in [16u8, 18, 19, 20, 21] {
            assert_eq!(h265.look(&unit(&[&[kind << 1, 1, 0x80]]), Duration::ZERO), Picture::Key, "{kind}");
        }
        for kind in [0u8, 1, 8, 9] {
            assert_eq!(h265.look(&unit(&[&[kind << 1, 1, 0x80]]), Duration::ZERO), Picture::Delta, "{kind}");
        }
        assert_eq!(of(VideoCodec::Mjpeg).look(&[0xff, 0xd8], Duration::ZERO), Picture::Key);
    }

    #[test]
    fn recovery_points_count_where_no_key_frame_comes_and_no_longer_once_one_does() {
        let mut pictures = of(VideoCodec::H264);
        let recovery = unit(&[RECOVERY, P]);
        assert_eq!(pictures.look(&recovery, Duration::from_secs(9)), Picture::Delta);
        assert_eq!(pictures.look(&unit(&[P]), RECOVERY_AFTER), Picture::Delta);
        assert_eq!(pictures.look(&recovery, RECOVERY_AFTER), Picture::Key);
        assert!(pictures.are_by_recovery());
        assert_eq!(pictures.look(&recovery, Duration::ZERO), Picture::Key, "from then on");
        assert_eq!(pictures.look(&unit(&[IDR]), Duration::ZERO), Picture::Key);
        assert_eq!(pictures.look(&recovery, Duration::ZERO), Picture::Delta);
        assert_eq!(Pictures::new(true).look(&recovery, Duration::ZERO), Picture::Key, "known from the session before");
        let mut h265 = of(VideoCodec::H265);
        let recovery = unit(&[&[39 << 1, 1, 6, 1, 0x84, 0x80], &[1 << 1, 1, 0x80]]);
        assert_eq!(h265.look(&recovery, Duration::ZERO), Picture::Delta);
        assert_eq!(h265.look(&recovery, RECOVERY_AFTER), Picture::Key);
    }
}
