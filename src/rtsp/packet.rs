//! Access units as RTP packets in interleaved frames: H.264 (RFC 6184), H.265 (RFC 7798), AAC (RFC 3640, AAC-hbr).

use super::rtcp::Sender;
use crate::model::VideoCodec;
use bytes::Bytes;

/// The most bytes of one RTP packet; fits an Ethernet frame, as cameras have it, though TCP would not mind more.
const PACKET_MAX_BYTES: usize = 1_400;
const RTP_HEAD_BYTES: usize = 12;
const PAYLOAD_MAX_BYTES: usize = PACKET_MAX_BYTES - RTP_HEAD_BYTES;
const RTP_VERSION_2: u8 = 0x80;
const MARKER: u8 = 0x80;

const H264_STAP_A: u8 = 24;
const H264_FU_A: u8 = 28;
const H265_AP: u8 = 48;
const H265_FU: u8 = 49;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// One track's packets, in order.
#[derive(Clone, Debug)]
pub struct Packetiser {
    channel: u8,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    packets: u32,
    octets: u32,
}

impl Packetiser {
    /// Packets for one interleaved channel, the first with this sequence number.
    pub fn new(channel: u8, payload_type: u8, ssrc: u32, sequence: u16) -> Self {
        Self { channel, payload_type, ssrc, sequence, packets: 0, octets: 0 }
    }

    /// The synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The next packet's sequence number.
    pub fn next_sequence(&self) -> u16 {
        self.sequence
    }

    /// Packets and payload octets so far, for sender reports.
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// Who sends them, for its reports.
    pub fn sender<'a>(&self, name: &'a str) -> Sender<'a> {
        Sender { ssrc: self.ssrc, packets: self.packets, octets: self.octets, name }
    }

    /// Appends one access unit of video, given as whole NAL units.
    pub fn video(&mut self, codec: VideoCodec, nals: &[Bytes], timestamp: u32, out: &mut Vec<u8>) {
        for (n, nal) in nals.iter().enumerate() {
            let last = n + 1 == nals.len();
            if nal.len() <= PAYLOAD_MAX_BYTES {
                self.packet(last, timestamp, &[nal], out);
                continue;
            }
            match codec {
                VideoCodec::H264 => {
                    let indicator = [nal[0] & 0xe0 | H264_FU_A];
                    self.fragments(&indicator, nal[0] & 0x1f, &nal[1..], (last, timestamp), out);
                }
                VideoCodec::H265 => {
                    let head = [nal[0] & 0x81 | H265_FU << 1, nal[1]];
                    self.fragments(&head, nal[0] >> 1 & 0x3f, &nal[2..], (last, timestamp), out);
                }
                VideoCodec::Mjpeg => {}
            }
        }
    }

    fn fragments(&mut self, head: &[u8], nal_type: u8, body: &[u8], at: (bool, u32), out: &mut Vec<u8>) {
        let (last, timestamp) = at;
        let mut parts = body.chunks(PAYLOAD_MAX_BYTES - head.len() - 1).peekable();
        let mut bits = FU_START;
        while let Some(part) = parts.next() {
            let end = parts.peek().is_none();
            let fu_head = [bits | if end { FU_END } else { 0 } | nal_type];
            self.packet(last && end, timestamp, &[head, &fu_head, part], out);
            bits = 0;
        }
    }

    /// Appends one access unit whose small NAL units share a packet: STAP-A of H.264, an aggregation packet of H.265.
    pub fn video_aggregated(&mut self, codec: VideoCodec, nals: &[Bytes], timestamp: u32, out: &mut Vec<u8>) {
        let head: &[u8] = if codec == VideoCodec::H264 { &[H264_STAP_A] } else { &[H265_AP << 1, 1] };
        let mut together = head.to_vec();
        let fits = |nal: &&Bytes| {
            let len = together.len() + 2 + nal.len();
            together.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            together.extend_from_slice(nal);
            len <= PAYLOAD_MAX_BYTES
        };
        let small = nals.iter().take_while(fits).count();
        if small < 2 {
            return self.video(codec, nals, timestamp, out);
        }
        let used = head.len() + nals[..small].iter().map(|nal| 2 + nal.len()).sum::<usize>();
        let mut units = vec![Bytes::copy_from_slice(&together[..used])];
        units.extend_from_slice(&nals[small..]);
        self.video(codec, &units, timestamp, out);
    }

    /// Appends one packet of sound as it is.
    pub fn sound(&mut self, frame: &[u8], timestamp: u32, out: &mut Vec<u8>) {
        self.packet(false, timestamp, &[frame], out);
    }

    /// The interleaved channel that its packets are for.
    pub fn channel(&self) -> u8 {
        self.channel
    }

    /// Appends one raw AAC frame, in several packets where it is long (RFC 3640, 3.2.3.1: all say the whole's size).
    pub fn aac(&mut self, frame: &[u8], timestamp: u32, out: &mut Vec<u8>) {
        // One AU header of 16 bits: the size in 13 of them, then an index of 0.
        let size = (frame.len() as u16 & 0x1fff) << 3;
        let head = [0, 16, (size >> 8) as u8, size as u8];
        let mut parts = frame.chunks(PAYLOAD_MAX_BYTES - head.len()).peekable();
        while let Some(part) = parts.next() {
            self.packet(parts.peek().is_none(), timestamp, &[&head, part], out);
        }
    }

    /// Appends samples of so many bytes each, a moment of all channels, in as many packets as they need.
    pub fn samples(&mut self, samples: &[u8], sample_bytes: usize, timestamp: u32, out: &mut Vec<u8>) {
        let sample_bytes = sample_bytes.max(1);
        let each = PAYLOAD_MAX_BYTES / sample_bytes;
        for (n, part) in samples.chunks(each * sample_bytes).enumerate() {
            self.packet(false, timestamp.wrapping_add((n * each) as u32), &[part], out);
        }
    }

    fn packet(&mut self, marker: bool, timestamp: u32, payload: &[&[u8]], out: &mut Vec<u8>) {
        let payload_len: usize = payload.iter().map(|p| p.len()).sum();
        interleaved_head(self.channel, RTP_HEAD_BYTES + payload_len, out);
        out.push(RTP_VERSION_2);
        out.push(self.payload_type | if marker { MARKER } else { 0 });
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        payload.iter().for_each(|part| out.extend_from_slice(part));
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
    }
}

/// Appends the head of an interleaved frame of `len` bytes.
pub(super) fn interleaved_head(channel: u8, len: usize, out: &mut Vec<u8>) {
    debug_assert!(len <= usize::from(u16::MAX));
    out.extend_from_slice(&[b'$', channel]);
    out.extend_from_slice(&(len as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::message::{Item, Parser};

    /// `(marker, sequence, timestamp, payload)` of each packet.
    fn packets(bytes: &[u8]) -> Vec<(bool, u16, u32, Bytes)> {
        let mut parser = Parser::default();
        parser.buffer().extend_from_slice(bytes);
        std::iter::from_fn(|| parser.take().unwrap())
            .map(|item| {
                let Item::Frame { channel: 4, data } = item else { panic!("{item:?}") };
                assert_eq!((data[0], data[1] & 0x7f, &data[8..12]), (0x80, 96, &[0, 0, 0, 9][..]));
                let sequence = u16::from_be_bytes([data[2], data[3]]);
                let timestamp = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
                (data[1] & MARKER != 0, sequence, timestamp, data.slice(12..))
            })
            .collect()
    }

    /// Puts fragments together as a receiver does.
    fn nals(codec: VideoCodec, packets: &[(bool, u16, u32, Bytes)]) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        for (_, _, _, p) in packets {
            let (is_fu, head_len) = match codec {
                VideoCodec::H264 => (p[0] & 0x1f == H264_FU_A, 1),
                _ => (p[0] >> 1 & 0x3f == H265_FU, 2),
            };
            if !is_fu {
                out.push(p.to_vec());
                continue;
            }
            let fu = p[head_len];
            if fu & FU_START != 0 {
                out.push(match codec {
                    VideoCodec::H264 => vec![p[0] & 0xe0 | fu & 0x1f],
                    _ => vec![p[0] & 0x81 | (fu & 0x3f) << 1, p[1]],
                });
            }
            out.last_mut().unwrap().extend_from_slice(&p[head_len + 1..]);
        }
        out
    }

    proptest::proptest! {
        #[test]
        fn access_units_read_back(
            lens in proptest::collection::vec(2usize..5000, 1..6), first: u16, timestamp: u32, h264: bool
        ) {
            let codec = if h264 { VideoCodec::H264 } else { VideoCodec::H265 };
            let head: &[u8] = if h264 { &[0x65] } else { &[0x26, 1] };
            let unit: Vec<Bytes> =
                lens.iter().map(|len| (0..*len).map(|n| *head.get(n).unwrap_or(&(n as u8))).collect()).collect();
            let mut packetiser = Packetiser::new(4, 96, 9, first);
            let mut out = Vec::new();
            packetiser.video(codec, &unit, timestamp, &mut out);
            let sent = packets(&out);
            proptest::prop_assert_eq!(nals(codec, &sent), unit);
            for (n, (marker, sequence, at, payload)) in sent.iter().enumerate() {
                proptest::prop_assert_eq!(*marker, n + 1 == sent.len());
                proptest::prop_assert_eq!(*sequence, first.wrapping_add(n as u16));
                proptest::prop_assert_eq!(*at, timestamp);
                proptest::prop_assert!(payload.len() <= PAYLOAD_MAX_BYTES);
            }
            proptest::prop_assert_eq!(packetiser.sent().0 as usize, sent.len());
        }
    }

    #[test]
    fn long_sound_goes_in_several_packets() {
        let mut out = Vec::new();
        let mut packetiser = Packetiser::new(4, 96, 9, 0);
        packetiser.aac(&[7; 3000], 1024, &mut out);
        let sent = packets(&out);
        assert_eq!(sent.iter().map(|p| p.0).collect::<Vec<_>>(), [false, false, true]);
        assert!(sent.iter().all(|p| p.2 == 1024 && p.3[..4] == [0, 16, (3000u16 >> 5) as u8, (3000u16 << 3) as u8]));
        assert_eq!(sent.iter().map(|p| p.3.len() - 4).sum::<usize>(), 3000);
        out.clear();
        packetiser.samples(&[1; 2000], 4, 50, &mut out);
        let sent = packets(&out);
        let [(_, _, 50, first), (_, _, then, second)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!((first.len() / 4, first.len() + second.len()), ((*then - 50) as usize, 2000));
    }

    #[test]
    fn aac_carries_its_size() {
        let mut out = Vec::new();
        Packetiser::new(4, 96, 9, 0).aac(&[7; 300], 1024, &mut out);
        let sent = packets(&out);
        let [(true, 0, 1024, payload)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(payload[..4], [0, 16, (300u16 << 3 >> 8) as u8, (300u16 << 3) as u8]);
        assert_eq!(payload[4..], [7; 300]);
    }
}
