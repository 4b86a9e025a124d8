//! ITU-T G.722 at 64 kbit/s: two bands of 8,000 samples a second, each by adaptive differences, joined to 16,000.

/// Samples that the joining filter looks back on.
const FILTER_TAPS: usize = 24;

const INV_LOG2: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
const HIGH_LOG_STEP: [i32; 2] = [798, -214];
const HIGH_QUANT: [i32; 4] = [-926, -202, 926, 202];
const LOW_LOG_STEP: [i32; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
const LOW_QUANT_4: [i32; 16] =
    [0, -2557, -1612, -1121, -786, -530, -323, -150, 2557, 1612, 1121, 786, 530, 323, 150, 0];
const LOW_QUANT_6: [i32; 64] = [
    -17, -17, -17, -17, -3101, -2738, -2376, -2088, -1873, -1689, -1535, -1399, -1279, -1170, -1072, -982, -899, -822,
    -750, -682, -618, -558, -501, -447, -396, -347, -300, -254, -211, -170, -130, -91, 3101, 2738, 2376, 2088, 1873,
    1689, 1535, 1399, 1279, 1170, 1072, 982, 899, 822, 750, 682, 618, 558, 501, 447, 396, 347, 300, 254, 211, 170, 130,
    91, 54, 17, -54, -17,
];
const FILTER: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// The state of a stream.
#[derive(Debug)]
pub struct Decoder {
    low: Band,
    high: Band,
    /// The last samples of both bands, sums and differences in turn, the newest at the end.
    past: [i32; FILTER_TAPS],
}

impl Default for Decoder {
    fn default() -> Self {
        let band = |scale| Band { scale, ..Band::default() };
        Self { low: band(8), high: band(2), past: [0; FILTER_TAPS] }
    }
}

#[derive(Debug, Default)]
struct Band {
    /// Predicted next sample.
    predicted: i32,
    /// Its part from the zeros.
    zeros: i32,
    last: i32,
    signs: [bool; 2],
    poles: [i32; 2],
    weights: [i32; 6],
    differences: [i32; 6],
    log: i32,
    scale: i32,
}

impl Decoder {
    pub(super) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let mut out = Vec::with_capacity(payload.len() * 2);
        for code in payload {
            let (high, low) = (usize::from(code >> 6), usize::from(code & 0x3f));
            let low_sample = clip_15(((self.low.scale * LOW_QUANT_6[low]) >> 10) + self.low.predicted);
            self.low.follow_low(low >> 2);
            let difference = (self.high.scale * HIGH_QUANT[high]) >> 10;
            let high_sample = clip_15(difference + self.high.predicted);
            self.high.follow_high(difference, high);
            self.past.copy_within(2.., 0);
            self.past[FILTER_TAPS - 2] = low_sample + high_sample;
            self.past[FILTER_TAPS - 1] = low_sample - high_sample;
            let (mut first, mut second) = (0, 0);
            for (i, pair) in self.past.chunks_exact(2).enumerate() {
                second += pair[0] * FILTER[i];
                first += pair[1] * FILTER[11 - i];
            }
            out.extend([clip_16(first >> 11) as i16, clip_16(second >> 11) as i16]);
        }
        out
    }
}

impl Band {
    fn follow_low(&mut self, code: usize) {
        self.predict((self.scale * LOW_QUANT_4[code]) >> 10);
        self.log = (((self.log * 127) >> 7) + LOW_LOG_STEP[code]).clamp(0, 18_432);
        self.scale = linear(self.log - (8 << 11));
    }

    fn follow_high(&mut self, difference: i32, code: usize) {
        self.predict(difference);
        self.log = (((self.log * 127) >> 7) + HIGH_LOG_STEP[code & 1]).clamp(0, 22_528);
        self.scale = linear(self.log - (10 << 11));
    }

    fn predict(&mut self, difference: i32) {
        let sign = |same: bool| if same { 1 } else { -1 };
        let negative = self.zeros + difference < 0;
        let (first, second) = (sign(negative != self.signs[0]), sign(negative == self.signs[1]));
        self.signs = [negative, self.signs[0]];
        self.poles[1] =
            (((first * self.poles[0].clamp(-8191, 8191)) >> 5) + second * 128 + ((self.poles[1] * 127) >> 7))
                .clamp(-12_288, 12_288);
        let limit = 15_360 - self.poles[1];
        self.poles[0] = (-192 * first + ((self.poles[0] * 255) >> 8)).clamp(-limit, limit);
        self.zeros = 0;
        for k in (0..6).rev() {
            let newer = if k == 0 { difference * 2 } else { self.differences[k - 1] };
            let step = if (self.differences[k] ^ difference) < 0 { -128 } else { 128 };
            self.weights[k] = ((self.weights[k] * 255) >> 8) + if difference == 0 { 0 } else { step };
            self.differences[k] = newer;
            self.zeros += (newer * self.weights[k]) >> 15;
        }
        let sample = clip_16((self.predicted + difference) * 2);
        self.predicted = clip_16(self.zeros + ((self.poles[0] * sample) >> 15) + ((self.poles[1] * self.last) >> 15));
        self.last = sample;
    }
}

fn linear(log: i32) -> i32 {
    let value = INV_LOG2[(log >> 6 & 31) as usize];
    let shift = log >> 11;
    if shift < 0 { value >> -shift } else { value << shift }
}

fn clip_15(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

fn clip_16(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}
