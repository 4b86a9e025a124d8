//! A still of what a channel shows: baseline JPEG of flat macroblocks, drawn as the stream's pictures are, with their
//! mark as a comment. As small as an encoder can be: one coefficient a block, the tables of the standard's annex K.

use super::{Mark, encoder::Canvas, source::tint, state::Device};
use crate::model::Profile;

/// One coefficient a block: eight times the mean, divided by this.
const QUANT: u8 = 8;
/// Annex K.3: how many codes of each length, then the categories. The same for both kinds of plane here.
const DC_COUNTS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_CODES: [(u16, u8); 12] = [
    (0b00, 2),
    (0b010, 3),
    (0b011, 3),
    (0b100, 3),
    (0b101, 3),
    (0b110, 3),
    (0b1110, 4),
    (0b1_1110, 5),
    (0b11_1110, 6),
    (0b111_1110, 7),
    (0b1111_1110, 8),
    (0b1_1111_1110, 9),
];
/// What begins the comment that holds the mark.
const COMMENT: &str = "skyvis-sim-frame ";

/// The picture of now.
pub(super) fn take(device: &Device, channel: u32, profile: Profile) -> Vec<u8> {
    let size = device.channel(channel).map_or(device.options.size, |c| c.state.borrow().size);
    let size = if profile == Profile::Main { size } else { (size.0 / 2, size.1 / 2) };
    let (width, height) = (usize::from(size.0 / 16), usize::from(size.1 / 16));
    let mut canvas = Canvas::new(width, height);
    let wall = device.wall();
    let running = device.options.clock.now().saturating_duration_since(device.epoch);
    let counter = u64::try_from(running.as_micros()).unwrap_or(u64::MAX) * u64::from(device.options.fps) / 1_000_000;
    canvas.draw(channel, counter, wall);
    let comment = format!("{COMMENT}{} {counter} {}", channel * 100 + profile.number(), wall.micros());
    encode(&canvas, tint(channel), &comment)
}

impl Mark {
    /// The mark in a picture of a simulated camera.
    pub fn of_picture(jpeg: &[u8]) -> Option<Self> {
        let at = jpeg.windows(COMMENT.len()).position(|w| w == COMMENT.as_bytes())?;
        let rest = &jpeg[at + COMMENT.len()..];
        let text = std::str::from_utf8(&rest[..rest.iter().position(|b| *b == 0xff)?]).ok()?;
        let mut fields = text.split(' ');
        let (stream, counter) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { stream, counter, wall: crate::base::Wall::from_micros(fields.next()?.parse().ok()?) })
    }
}

fn encode(canvas: &Canvas, tint: (u8, u8), comment: &str) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    segment(&mut out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    segment(&mut out, 0xfe, comment.as_bytes());
    segment(&mut out, 0xdb, &[&[0][..], &[QUANT; 64]].concat());
    let side = |blocks: usize| u16::try_from(blocks * 16).unwrap_or(u16::MAX).to_be_bytes();
    let (height, width) = (side(canvas.height), side(canvas.width));
    // Three planes, colour at half the size: one macroblock is one unit of the scan.
    let frame = [8, height[0], height[1], width[0], width[1], 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
    segment(&mut out, 0xc0, &frame);
    let dc: Vec<u8> = (0..12).collect();
    segment(&mut out, 0xc4, &[&[0x00][..], &DC_COUNTS, &dc].concat());
    // Of the other coefficients there is but the end of the block.
    let ac = [[1].as_slice(), &[0; 15], &[0]].concat();
    segment(&mut out, 0xc4, &[&[0x10][..], &ac].concat());
    segment(&mut out, 0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    let mut bits = Bits { out, held: 0, count: 0 };
    let mut last = [0i32; 3];
    for luma in &canvas.luma {
        for (plane, value, blocks) in [(0, *luma, 4), (1, tint.0, 1), (2, tint.1, 1)] {
            for _ in 0..blocks {
                let level = (i32::from(value) - 128) * 8 / i32::from(QUANT);
                bits.difference(level - std::mem::replace(&mut last[plane], level));
                bits.put(0, 1);
            }
        }
    }
    bits.finish()
}

fn segment(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.extend([0xff, kind]);
    out.extend(u16::try_from(content.len() + 2).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(content);
}

struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u8,
}

impl Bits {
    fn put(&mut self, value: u16, bits: u8) {
        for at in (0..bits).rev() {
            self.held = self.held << 1 | u32::from(value >> at & 1);
            self.count += 1;
            if self.count == 8 {
                let byte = self.held as u8;
                self.out.push(byte);
                // A byte that looks like a marker is told apart by a zero.
                if byte == 0xff {
                    self.out.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }

    fn difference(&mut self, value: i32) {
        let category = (32 - value.unsigned_abs().leading_zeros()) as u8;
        let (code, bits) = DC_CODES[usize::from(category).min(11)];
        self.put(code, bits);
        let below = if value < 0 { value - 1 } else { value };
        self.put(below as u16 & ((1u32 << category) - 1) as u16, category);
    }

    fn finish(mut self) -> Vec<u8> {
        while self.count != 0 {
            self.put(1, 1);
        }
        self.out.extend([0xff, 0xd9]);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Wall,
        media::{fixture::run, jpeg},
    };

    #[test]
    fn it_is_a_picture_that_others_decode_as_it_was_drawn() {
        let mut canvas = Canvas::new(40, 22);
        canvas.draw(3, 1234, Wall::from_millis(1_795_262_400_000));
        let comment = format!("{COMMENT}301 1234 77");
        let bytes = encode(&canvas, (150, 110), &comment);
        assert_eq!(jpeg::size(&bytes).unwrap(), (640, 352));
        assert_eq!(Mark::of_picture(&bytes).map(|m| (m.stream, m.counter)), Some((301, 1234)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        std::fs::write(&path, &bytes).unwrap();
        let raw = dir.path().join("a.raw");
        let (from, to) = (path.to_str().unwrap(), raw.to_str().unwrap());
        run("ffmpeg", &["-v", "error", "-i", from, "-pix_fmt", "yuvj420p", "-f", "rawvideo", to]);
        let pixels = std::fs::read(raw).unwrap();
        for (n, luma) in canvas.luma.iter().enumerate() {
            let at = (n / 40 * 16 + 8) * 640 + n % 40 * 16 + 8;
            assert!(pixels[at].abs_diff(*luma) <= 1, "macroblock {n}: {} for {luma}", pixels[at]);
        }
    }
}
