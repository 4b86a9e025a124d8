//! The picture as a person sees it, on a raster of macroblocks: the channel's number, the running time, a frame
//! counter, and a bar that moves with every frame; and for programs the time to the millisecond, as a bar code.

use crate::base::Wall;

/// Luma of what is behind the figures.
const BACKGROUND: u8 = 52;
const FIGURE: u8 = 225;
const SECOND_FIGURE: u8 = 160;
const BAR_TRACK: u8 = 36;
const BAR: u8 = 240;

/// Bars in the top row, dark for 0 and bright for 1: the low 32 bits of the milliseconds since the epoch, the highest
/// first, and 8 bits of the sum of their bytes. Whoever looks at a picture can say how old it is.
const BARS: usize = 40;

const GLYPH_WIDTH: usize = 3;
const GLYPH_HEIGHT: usize = 5;

/// One brightness per macroblock, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Macroblocks in a row.
    pub width: usize,
    /// Rows of macroblocks.
    pub height: usize,
    /// `width * height` luma values.
    pub luma: Vec<u8>,
}

impl Canvas {
    /// An empty picture of so many macroblocks.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, luma: vec![BACKGROUND; width * height] }
    }

    /// Draws one frame of a stream.
    pub fn draw(&mut self, channel: u32, counter: u64, wall: Wall) {
        self.luma.fill(BACKGROUND);
        let seconds = wall.millis().div_euclid(1000);
        let (h, m, s) = (seconds.div_euclid(3600).rem_euclid(24), seconds.div_euclid(60) % 60, seconds % 60);
        let name = format!("CH {channel}");
        let time = format!("{h:02}:{m:02}:{s:02}");
        let line = |n: usize, of: usize| (self.height.saturating_sub(1 + of * GLYPH_HEIGHT)) * n / (of + 1);
        // A small picture has room for less: first the counter goes, then the hours.
        if self.height > 4 + 3 * GLYPH_HEIGHT {
            let gap = line(1, 3);
            self.line(gap, &name, FIGURE);
            self.line(2 * gap + GLYPH_HEIGHT, &time, FIGURE);
            self.line(3 * gap + 2 * GLYPH_HEIGHT, &format!("{:06}", counter % 1_000_000), SECOND_FIGURE);
            if gap > 0 && self.width >= BARS {
                self.bar_code(wall);
            }
        } else {
            let short = if self.width < text_width(&time) { &time[3..] } else { &time[..] };
            let name = if self.width < text_width(&name) { name.replace(' ', "") } else { name };
            self.line(0, &name, FIGURE);
            self.line(GLYPH_HEIGHT + usize::from(self.height > 2 * GLYPH_HEIGHT + 1), short, SECOND_FIGURE);
        }
        self.bar(counter);
    }

    fn bar_code(&mut self, wall: Wall) {
        let millis = wall.millis().rem_euclid(1 << 32) as u64;
        let sum = millis.to_be_bytes().iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let code = millis << 8 | u64::from(sum);
        for (n, bar) in self.luma[..BARS].iter_mut().enumerate() {
            *bar = if code >> (BARS - 1 - n) & 1 == 1 { BAR } else { BAR_TRACK };
        }
    }

    fn bar(&mut self, counter: u64) {
        let width = self.width;
        let at = (counter % width as u64) as usize;
        if let Some(row) = self.luma.chunks_exact_mut(width).last() {
            row.fill(BAR_TRACK);
            row[at] = BAR;
        }
    }

    /// A line of text, centred; what does not fit is cut off.
    fn line(&mut self, top: usize, text: &str, luma: u8) {
        let mut left = self.width.saturating_sub(text_width(text)) / 2;
        for c in text.chars() {
            self.glyph(left, top, c, luma);
            left += advance(c);
        }
    }

    fn glyph(&mut self, left: usize, top: usize, c: char, luma: u8) {
        for (y, row) in glyph(c).iter().enumerate() {
            for x in 0..GLYPH_WIDTH {
                let inside = left + x < self.width && top + y < self.height;
                if inside && row >> (GLYPH_WIDTH - 1 - x) & 1 == 1 {
                    self.luma[(top + y) * self.width + left + x] = luma;
                }
            }
        }
    }
}

fn text_width(text: &str) -> usize {
    text.chars().map(advance).sum::<usize>().saturating_sub(1)
}

/// How far the next character stands. A colon and a blank are narrow.
fn advance(c: char) -> usize {
    match c {
        ':' | ' ' => 2,
        _ => GLYPH_WIDTH + 1,
    }
}

/// Rows from the top, three bits each.
fn glyph(c: char) -> [u8; GLYPH_HEIGHT] {
    match c {
        '0' => [0b111, 0b101, 0b101, 0b101, 0b111],
        '1' => [0b010, 0b110, 0b010, 0b010, 0b111],
        '2' => [0b111, 0b001, 0b111, 0b100, 0b111],
        '3' => [0b111, 0b001, 0b111, 0b001, 0b111],
        '4' => [0b101, 0b101, 0b111, 0b001, 0b001],
        '5' => [0b111, 0b100, 0b111, 0b001, 0b111],
        '6' => [0b111, 0b100, 0b111, 0b101, 0b111],
        '7' => [0b111, 0b001, 0b010, 0b010, 0b010],
        '8' => [0b111, 0b101, 0b111, 0b101, 0b111],
        '9' => [0b111, 0b101, 0b111, 0b001, 0b111],
        'C' => [0b111, 0b100, 0b100, 0b100, 0b111],
        'H' => [0b101, 0b101, 0b111, 0b101, 0b101],
        ':' => [0b000, 0b100, 0b000, 0b100, 0b000],
        _ => [0; GLYPH_HEIGHT],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_can_be_read_to_the_millisecond_where_there_is_room_for_it() {
        let wall = Wall::from_millis(1_795_262_400_123);
        let mut canvas = Canvas::new(40, 22);
        canvas.draw(3, 7, wall);
        let code = canvas.luma[..40].iter().fold(0u64, |code, luma| code << 1 | u64::from(*luma > 128));
        assert_eq!(
            (code >> 8, code as u8),
            (1_795_262_400_123 % (1 << 32), {
                (1_795_262_400_123u64 as u32).to_be_bytes().iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))
            })
        );
        let mut small = Canvas::new(20, 11);
        small.draw(3, 7, wall);
        assert!(small.luma[..20].iter().all(|luma| *luma != BAR), "its figures need the room");
    }
}
