//! ITU-T G.726: adaptive differences of 2 to 5 bits a sample, packed as RFC 3551 says, the first sample in the low bits.

/// A number as the predictor multiplies it: a sign, an exponent of 4 bits and a mantissa of 6.
#[derive(Clone, Copy, Debug)]
struct Float {
    negative: bool,
    exponent: i32,
    mantissa: i32,
}

impl Float {
    const ZERO: Self = Self { negative: false, exponent: 0, mantissa: 32 };

    fn of(value: i32) -> Self {
        let size = value.abs();
        let exponent = 32 - size.leading_zeros() as i32;
        let mantissa = if size == 0 { 32 } else { (size << 6) >> exponent };
        Self { negative: value < 0, exponent, mantissa }
    }

    fn times(self, other: Self) -> i32 {
        let exponent = self.exponent + other.exponent;
        let product = (self.mantissa * other.mantissa + 0x30) >> 4;
        let product = if exponent > 19 { product << (exponent - 19) } else { product >> (19 - exponent) };
        // The standard keeps 16 bits.
        i32::from((if self.negative == other.negative { product } else { -product }) as i16)
    }
}

/// What differs from rate to rate. Indexed by the code.
#[derive(Debug)]
struct Tables {
    /// Logarithms of differences; the least number means none.
    quant: &'static [i32],
    speed: &'static [i32],
    flat: &'static [i32],
}

const NONE: i32 = i16::MIN as i32;

const TABLES: [Tables; 4] = [
    Tables { quant: &[116, 365, 365, 116], speed: &[-22, 439, 439, -22], flat: &[0, 7, 7, 0] },
    Tables {
        quant: &[NONE, 135, 273, 373, 373, 273, 135, NONE],
        speed: &[-4, 30, 137, 582, 582, 137, 30, -4],
        flat: &[0, 1, 2, 7, 7, 2, 1, 0],
    },
    Tables {
        quant: &[NONE, 4, 135, 213, 273, 323, 373, 425, 425, 373, 323, 273, 213, 135, 4, NONE],
        speed: &[-12, 18, 41, 64, 112, 198, 355, 1122, 1122, 355, 198, 112, 64, 41, 18, -12],
        flat: &[0, 0, 0, 1, 1, 1, 3, 7, 7, 3, 1, 1, 1, 0, 0, 0],
    },
    Tables {
        quant: &[
            NONE, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566, 566, 539, 514, 488, 459,
            429, 395, 358, 318, 274, 224, 169, 104, 28, -66, NONE,
        ],
        speed: &[
            14, 14, 24, 39, 40, 41, 58, 100, 141, 179, 219, 280, 358, 440, 529, 696, 696, 529, 440, 358, 280, 219, 179,
            141, 100, 58, 41, 40, 39, 24, 14, 14,
        ],
        flat: &[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6, 6, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
    },
];

/// The state of a stream.
#[derive(Debug)]
pub struct Decoder {
    bits: u32,
    tables: &'static Tables,
    signals: [Float; 2],
    differences: [Float; 6],
    poles: [i32; 2],
    zeros: [i32; 6],
    signs: [i32; 2],
    short: i32,
    long: i32,
    speed: i32,
    fast: i32,
    slow: i32,
    scale: i32,
    estimate: i32,
    zero_estimate: i32,
    tone: bool,
}

impl Decoder {
    /// `bits` a sample, 2 to 5.
    pub(super) fn new(bits: u8) -> Self {
        let bits = bits.clamp(2, 5);
        Self {
            bits: u32::from(bits),
            tables: &TABLES[usize::from(bits - 2)],
            signals: [Float::ZERO; 2],
            differences: [Float::ZERO; 6],
            poles: [0; 2],
            zeros: [0; 6],
            signs: [1; 2],
            short: 0,
            long: 0,
            speed: 0,
            fast: 544,
            slow: 34_816,
            scale: 544,
            estimate: 0,
            zero_estimate: 0,
            tone: false,
        }
    }

    pub(super) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let mut out = Vec::with_capacity(payload.len() * 8 / self.bits as usize);
        let (mut held, mut count) = (0u32, 0);
        for byte in payload {
            held |= u32::from(*byte) << count;
            count += 8;
            while count >= self.bits {
                out.push(self.sample((held & ((1 << self.bits) - 1)) as usize));
                held >>= self.bits;
                count -= self.bits;
            }
        }
        out
    }

    fn sample(&mut self, code: usize) -> i16 {
        let negative = code >> (self.bits - 1) != 0;
        let size = self.difference(code);
        let transition = self.tone && size > (3 * self.threshold()) >> 2;
        let difference = if negative { -size } else { size };
        let signal = i32::from((self.estimate + difference) as i16);
        let sign = (self.zero_estimate + difference).signum();
        self.adapt(transition, sign, difference.signum());
        self.signs = [if sign == 0 { 1 } else { sign }, self.signs[0]];
        self.signals = [Float::of(signal), self.signals[0]];
        self.differences.copy_within(..5, 1);
        self.differences[0] = Float { negative, ..Float::of(difference) };
        self.tone = self.poles[1] < -11_776;
        self.follow(code, transition);
        self.estimate();
        (signal * 4).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    fn difference(&self, code: usize) -> i32 {
        let log = self.tables.quant[code] + (self.scale >> 2);
        if log < 0 { 0 } else { ((128 + (log & 0x7f)) << (log >> 7 & 0xf)) >> 7 }
    }

    fn threshold(&self) -> i32 {
        let whole = self.slow >> 15;
        if whole > 9 { 0x1f << 10 } else { (0x20 + (self.slow >> 10 & 0x1f)) << whole }
    }

    /// The predictor learns from the last difference.
    fn adapt(&mut self, transition: bool, sign: i32, difference_sign: i32) {
        if transition {
            (self.poles, self.zeros) = ([0; 2], [0; 6]);
            return;
        }
        let [last, before] = self.signs;
        let pull = ((-self.poles[0] * last * sign) >> 5).clamp(-256, 255);
        self.poles[1] += 128 * sign * before + pull - (self.poles[1] >> 7);
        self.poles[1] = self.poles[1].clamp(-12_288, 12_288);
        let limit = 15_360 - self.poles[1];
        self.poles[0] += 192 * sign * last - (self.poles[0] >> 8);
        self.poles[0] = self.poles[0].clamp(-limit, limit);
        for (zero, difference) in self.zeros.iter_mut().zip(&self.differences) {
            *zero += 128 * difference_sign * if difference.negative { -1 } else { 1 } - (*zero >> 8);
        }
    }

    /// The quantiser's scale follows the signal.
    fn follow(&mut self, code: usize, transition: bool) {
        let flat = self.tables.flat[code] << 4;
        self.short += flat + (-self.short >> 5);
        self.long += flat + (-self.long >> 7);
        if transition {
            self.speed = 256;
        } else {
            self.speed += -self.speed >> 4;
            if self.scale <= 1535 || self.tone || ((self.short << 2) - self.long).abs() >= self.long >> 3 {
                self.speed += 0x20;
            }
        }
        self.fast = (self.scale + self.tables.speed[code] + (-self.scale >> 5)).clamp(544, 5120);
        self.slow += self.fast + (-self.slow >> 6);
        let mixed = if self.speed >= 256 { 64 } else { self.speed >> 2 };
        self.scale = (self.slow + (self.fast - (self.slow >> 6)) * mixed) >> 6;
    }

    fn estimate(&mut self) {
        let zeros: i32 = self.zeros.iter().zip(&self.differences).map(|(z, d)| Float::of(*z >> 2).times(*d)).sum();
        let poles: i32 = self.poles.iter().zip(&self.signals).map(|(p, s)| Float::of(*p >> 2).times(*s)).sum();
        self.zero_estimate = zeros >> 1;
        self.estimate = (zeros + poles) >> 1;
    }
}
