//! The mark that each simulated access unit carries in an SEI message (`user_data_unregistered`): which frame it is.
//! A test reads it back from whatever was recorded and knows whether a frame is missing, doubled or out of place.

use super::bits;
use crate::{base::Wall, model::VideoCodec};
use bytes::Bytes;

const UUID: [u8; 16] = *b"skyvis-sim-frame";
const USER_DATA_UNREGISTERED: u8 = 5;
const MARK_BYTES: usize = UUID.len() + 4 + 8 + 8;
const H264_SEI: u8 = 6;
const H265_PREFIX_SEI: u8 = 39;

/// Which frame an access unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The stream's id as Hikvision counts: channel × 100 + 1 for main, + 2 for sub.
    pub stream: u32,
    /// Counts up by one per frame of the stream's running time, whether anybody watches or not.
    pub counter: u64,
    /// When the simulator took it, by the device's clock.
    pub wall: Wall,
}

impl Mark {
    /// The SEI NAL unit.
    pub fn to_nal(self, codec: VideoCodec) -> Bytes {
        let mut payload = vec![USER_DATA_UNREGISTERED, MARK_BYTES as u8];
        payload.extend_from_slice(&UUID);
        payload.extend_from_slice(&self.stream.to_be_bytes());
        payload.extend_from_slice(&self.counter.to_be_bytes());
        payload.extend_from_slice(&self.wall.micros().to_be_bytes());
        payload.push(0x80);
        match codec {
            VideoCodec::H264 => bits::nal(&[H264_SEI], &payload),
            VideoCodec::H265 => bits::nal(&[H265_PREFIX_SEI << 1, 1], &payload),
            // RTP carries no more of a JPEG than its scan: there is no place for a mark.
            VideoCodec::Mjpeg => Bytes::new(),
        }
    }

    /// The mark in an access unit whose NAL units each stand behind their length in 4 bytes, as MP4 samples and
    /// `model::Frame` have them.
    pub fn find(sample: &[u8]) -> Option<Self> {
        let mut rest = sample;
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            if let Some(mark) = Self::from_nal(nal) {
                return Some(mark);
            }
            rest = tail;
        }
        None
    }

    /// The marks of a whole stream of NAL units behind start codes, in its order.
    pub fn all_in_annex_b(stream: &[u8]) -> Vec<Self> {
        // Emulation prevention keeps three bytes 0 0 1 from occurring within a NAL unit.
        let mut starts: Vec<usize> =
            (0..stream.len().saturating_sub(2)).filter(|i| stream[*i..].starts_with(&[0, 0, 1])).collect();
        starts.push(stream.len());
        starts.windows(2).filter_map(|w| Self::from_nal(stream.get(w[0] + 3..w[1])?)).collect()
    }

    /// The mark in one NAL unit, of either codec.
    pub fn from_nal(nal: &[u8]) -> Option<Self> {
        let head = match nal {
            [H264_SEI, ..] => 1,
            [first, _, ..] if first >> 1 == H265_PREFIX_SEI => 2,
            _ => return None,
        };
        let payload = bits::unescape(&nal[head..]);
        let mark = payload.strip_prefix(&[USER_DATA_UNREGISTERED, MARK_BYTES as u8])?.strip_prefix(&UUID)?;
        let (stream, rest) = mark.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (wall, _) = rest.split_first_chunk()?;
        Some(Self {
            stream: u32::from_be_bytes(*stream),
            counter: u64::from_be_bytes(*counter),
            wall: Wall::from_micros(i64::from_be_bytes(*wall)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_mark_is_found_again(stream in 0u32..1000, counter in 0u64..1 << 40, micros in 0i64..1 << 52, h264: bool) {
            let mark = Mark { stream, counter, wall: Wall::from_micros(micros) };
            let nal = mark.to_nal(if h264 { VideoCodec::H264 } else { VideoCodec::H265 });
            let mut sample = vec![0, 0, 0, 2, 0x41, 0x9a];
            sample.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            sample.extend_from_slice(&nal);
            proptest::prop_assert_eq!(Mark::find(&sample), Some(mark));
            proptest::prop_assert_eq!(Mark::find(&sample[..sample.len() - 1]), None);
        }
    }
}
