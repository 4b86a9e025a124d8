//! What every simulated camera sends: one clip of H.264 and AAC, made once by ffmpeg, cut into frames and packets.

use std::{error::Error, path::Path, process::Command};

/// Bytes of one RTP packet, as cameras have them.
const PACKET_BYTES_MAX: usize = 1400;
/// Interleaved frame's head and RTP's head.
pub const HEAD_BYTES: usize = 4 + 12;
pub const VIDEO_TYPE: u8 = 96;
pub const AUDIO_TYPE: u8 = 104;
pub const AUDIO_RATE: u64 = 16_000;
pub const AUDIO_SAMPLES: u64 = 1024;

/// Packets of one access unit or sound, one behind the other, as they go to a socket but for number and time.
pub struct Unit {
    pub bytes: Vec<u8>,
    /// Where each packet begins.
    pub packets: Vec<usize>,
}

/// The clip; it begins with a key frame and can be looped.
pub struct Clip {
    pub sps: Vec<u8>,
    pub pps: Vec<u8>,
    pub video: Vec<Unit>,
    pub audio: Vec<Unit>,
}

impl Clip {
    /// Makes it with ffmpeg, or takes what an earlier run made.
    pub fn get(dir: &Path, bits_per_second: u64) -> Result<Self, Box<dyn Error>> {
        let h264 = dir.join(format!("clip-{bits_per_second}.h264"));
        let aac = dir.join("clip.aac");
        if !h264.exists() || !aac.exists() {
            let rate = bits_per_second.to_string();
            let buffer = (bits_per_second / 2).to_string();
            let picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25", "-t", "8", "-c:v", "libx264"];
            let coding = ["-preset", "veryfast", "-b:v", &rate, "-minrate", &rate, "-maxrate", &rate, "-bufsize"];
            let more =
                [&buffer, "-x264-params", "nal-hrd=cbr:force-cfr=1", "-g", "50", "-keyint_min", "50", "-bf", "0"];
            let end = ["-pix_fmt", "yuv420p", "-bsf:v", "h264_metadata=aud=insert", "-f", "h264"];
            let temporary = h264.with_extension("new");
            ffmpeg(picture.into_iter().chain(coding).chain(more).chain(end), &temporary)?;
            std::fs::rename(&temporary, &h264)?;
            let tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=16000", "-t", "8", "-ac", "1"];
            ffmpeg(tone.into_iter().chain(["-c:a", "aac", "-b:a", "32k", "-f", "adts"]), &aac)?;
        }
        Ok(Self::of(&std::fs::read(h264)?, &std::fs::read(aac)?))
    }

    fn of(h264: &[u8], adts: &[u8]) -> Self {
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        let mut units: Vec<Vec<&[u8]>> = Vec::new();
        for nal in nals(h264) {
            match nal[0] & 0x1f {
                9 => units.push(Vec::new()),
                kind => {
                    match kind {
                        7 => sps = nal.to_vec(),
                        8 => pps = nal.to_vec(),
                        _ => {}
                    }
                    units.last_mut().expect("each access unit begins with a delimiter").push(nal);
                }
            }
        }
        let video = units.iter().map(|nals| Unit::video(nals)).collect();
        let mut audio = Vec::new();
        let mut rest = adts;
        while rest.len() > 7 {
            let len = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
            audio.push(Unit::audio(&rest[7..len]));
            rest = &rest[len..];
        }
        Self { sps, pps, video, audio }
    }

    /// Bytes of a second of media, with RTP's heads.
    pub fn bytes_per_second(&self) -> f64 {
        let sum = |units: &[Unit]| units.iter().map(|u| u.bytes.len()).sum::<usize>() as f64 / units.len() as f64;
        sum(&self.video) * 25.0 + sum(&self.audio) * AUDIO_RATE as f64 / AUDIO_SAMPLES as f64
    }
}

impl Unit {
    fn video(nals: &[&[u8]]) -> Self {
        let mut unit = Self { bytes: Vec::new(), packets: Vec::new() };
        for (n, nal) in nals.iter().enumerate() {
            let last = n + 1 == nals.len();
            if nal.len() + HEAD_BYTES <= PACKET_BYTES_MAX {
                unit.packet(0, VIDEO_TYPE, last, &[nal]);
                continue;
            }
            let pieces: Vec<_> = nal[1..].chunks(PACKET_BYTES_MAX - HEAD_BYTES - 2).collect();
            for (m, piece) in pieces.iter().enumerate() {
                let ends = m + 1 == pieces.len();
                let edge = if m == 0 { 0x80 } else { 0 } | if ends { 0x40 } else { 0 };
                let head = [nal[0] & 0xe0 | 28, nal[0] & 0x1f | edge];
                unit.packet(0, VIDEO_TYPE, last && ends, &[&head, piece]);
            }
        }
        unit
    }

    fn audio(frame: &[u8]) -> Self {
        let mut unit = Self { bytes: Vec::new(), packets: Vec::new() };
        let size = u16::try_from(frame.len() << 3).expect("a sound is short").to_be_bytes();
        unit.packet(2, AUDIO_TYPE, true, &[&[0, 16], &size, frame]);
        unit
    }

    /// One NAL unit that fits a packet and is not the last of its access unit.
    pub fn single(nal: &[u8]) -> Self {
        let mut unit = Self { bytes: Vec::new(), packets: Vec::new() };
        unit.packet(0, VIDEO_TYPE, false, &[nal]);
        unit
    }

    fn packet(&mut self, channel: u8, payload_type: u8, marker: bool, payload: &[&[u8]]) {
        let len = 12 + payload.iter().map(|p| p.len()).sum::<usize>();
        self.packets.push(self.bytes.len());
        self.bytes.extend_from_slice(&[b'$', channel]);
        self.bytes.extend_from_slice(&u16::try_from(len).expect("a packet is short").to_be_bytes());
        self.bytes.extend_from_slice(&[0x80, payload_type | if marker { 0x80 } else { 0 }]);
        self.bytes.extend_from_slice(&[0; 6]);
        self.bytes.extend_from_slice(&[0x5c, 0x1e, 0, channel]);
        payload.iter().for_each(|p| self.bytes.extend_from_slice(p));
    }

    /// Sets number and time of its packets; the number that comes next.
    pub fn stamp(&mut self, mut sequence: u16, timestamp: u32) -> u16 {
        for at in &self.packets {
            self.bytes[at + 6..at + 8].copy_from_slice(&sequence.to_be_bytes());
            self.bytes[at + 8..at + 12].copy_from_slice(&timestamp.to_be_bytes());
            sequence = sequence.wrapping_add(1);
        }
        sequence
    }
}

/// The NAL units of a stream with start codes.
fn nals(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (3..stream.len()).filter(|at| stream[at - 3..*at] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).map(|next| next - 3).chain([stream.len()]);
    let trimmed = starts.iter().zip(ends).map(|(start, end)| {
        let nal = &stream[*start..end];
        &nal[..nal.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)]
    });
    trimmed.filter(|nal| !nal.is_empty()).collect()
}

fn ffmpeg<'a>(args: impl IntoIterator<Item = &'a str>, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-v", "error", "-y"]).args(args).arg(out).status()?;
    if status.success() { Ok(()) } else { Err("ffmpeg could not make the clip".into()) }
}
