//! A small FLAC encoder (RFC 9639): every packet becomes a frame of its own, by constant, fixed-predictor or verbatim
//! subframes with Rice codes. It leaves out what costs time and gives little at telephone rates: linear prediction and
//! stereo decorrelation.

use super::super::{Error, fmp4::boxes::Boxes};
use bytes::Bytes;

/// The most samples of one channel in one frame: what `dfLa` promises decoders.
pub const FRAME_SAMPLES_MAX: usize = 4096;
/// The least that `dfLa` may say.
const FRAME_SAMPLES_MIN: u16 = 16;
const BITS: u32 = 16;
/// The highest order of FLAC's fixed predictors.
const ORDER_MAX: usize = 4;
/// Residuals are split into up to 2^3 partitions, each with a parameter of its own.
const PARTITION_ORDER_MAX: u32 = 3;
/// The highest Rice parameter of 4 bits; 15 would be an escape.
const RICE_MAX: u32 = 14;
/// The frame's number counts samples in 36 bits.
const NUMBER_MASK: u64 = (1 << 36) - 1;

/// Makes frames of one track.
#[derive(Debug)]
pub struct Encoder {
    channels: usize,
    rate: u32,
    number: u64,
}

impl Encoder {
    /// One or two channels.
    pub fn new(channels: u8, rate: u32) -> Self {
        Self { channels: usize::from(channels.clamp(1, 2)), rate, number: 0 }
    }

    /// One frame of samples, channels interleaved: 1 to [`FRAME_SAMPLES_MAX`] of each.
    pub fn frame(&mut self, samples: &[i16]) -> Bytes {
        let count = (samples.len() / self.channels).clamp(1, FRAME_SAMPLES_MAX);
        let mut out = self.header(count);
        for channel in 0..self.channels {
            let of_channel = samples.iter().skip(channel).step_by(self.channels).take(count);
            let of_channel: Vec<i32> = of_channel.map(|s| i32::from(*s)).collect();
            subframe(&mut out, &of_channel);
        }
        out.align();
        let crc = crc_16(&out.bytes);
        out.put(u32::from(crc), 16);
        self.number = (self.number + count as u64) & NUMBER_MASK;
        out.bytes.into()
    }

    fn header(&self, count: usize) -> Bits {
        let mut out = Bits::default();
        // Sync, and blocks of any size: their first sample is numbered, not they.
        out.put(0xfff9, 16);
        out.put(0b0111, 4);
        out.put(rate_code(self.rate), 4);
        out.put(self.channels as u32 - 1, 4);
        out.put(0b1000, 4);
        out.number(self.number);
        out.put(count as u32 - 1, 16);
        let crc = crc_8(&out.bytes);
        out.put(u32::from(crc), 8);
        out
    }
}

/// The complete `fLaC` box for the MP4 sample description.
pub fn sample_entry(channels: u8, rate: u32) -> Result<Bytes, Error> {
    if !(1..=2).contains(&channels) || rate == 0 || rate >= 1 << 20 {
        return Err(Error::ParameterSet("sound with so many channels or samples a second is not stored"));
    }
    let mut out = Boxes::default();
    out.boxed(b"fLaC", |b| {
        b.zeros(6);
        b.u16(1);
        b.zeros(8);
        b.u16(u16::from(channels));
        b.u16(BITS as u16);
        b.zeros(4);
        b.u32(u32::from(u16::try_from(rate).unwrap_or(0)) << 16);
        b.full(b"dfLa", 0, 0, |b| {
            // The last metadata block, of type STREAMINFO.
            b.u32(0x8000_0000 | 34);
            b.u16(FRAME_SAMPLES_MIN);
            b.u16(FRAME_SAMPLES_MAX as u16);
            // Lengths of frames, and of the whole: not known.
            b.zeros(6);
            b.u64(u64::from(rate) << 44 | u64::from(channels - 1) << 41 | u64::from(BITS - 1) << 36);
            b.zeros(16);
        });
    });
    Ok(out.into_bytes().into())
}

fn rate_code(rate: u32) -> u32 {
    match rate {
        8_000 => 0b0100,
        16_000 => 0b0101,
        22_050 => 0b0110,
        24_000 => 0b0111,
        32_000 => 0b1000,
        44_100 => 0b1001,
        48_000 => 0b1010,
        // As the stream's description says.
        _ => 0,
    }
}

fn subframe(out: &mut Bits, samples: &[i32]) {
    if samples.iter().all(|s| *s == samples[0]) {
        out.put(0, 8);
        return out.signed(samples[0], BITS);
    }
    // G.711 leaves two or three low bits unused.
    let wasted = samples.iter().fold(0, |all, s| all | s).trailing_zeros().min(BITS - 1);
    let samples: Vec<i32> = samples.iter().map(|s| s >> wasted).collect();
    let bits = BITS - wasted;
    let fixed = (0..=ORDER_MAX.min(samples.len() - 1)).map(|order| Fixed::of(&samples, order, bits));
    let best = fixed.min_by_key(|f| f.bits).filter(|f| f.bits < samples.len() as u64 * u64::from(bits));
    let kind = best.as_ref().map_or(1, |f| 8 + f.order as u32);
    out.put(kind << 1 | u32::from(wasted > 0), 8);
    if wasted > 0 {
        out.put(1, wasted);
    }
    match best {
        Some(fixed) => fixed.write(out, &samples, bits),
        None => samples.iter().for_each(|s| out.signed(*s, bits)),
    }
}

/// Residuals of one fixed predictor and how they are split.
struct Fixed {
    order: usize,
    residuals: Vec<u32>,
    partition_order: u32,
    parameters: Vec<u32>,
    bits: u64,
}

impl Fixed {
    fn of(samples: &[i32], order: usize, bits: u32) -> Self {
        let mut differences = samples.to_vec();
        for _ in 0..order {
            differences = differences.windows(2).map(|w| w[1] - w[0]).collect();
        }
        // Zigzag: small numbers of either sign become small numbers.
        let residuals: Vec<u32> = differences.iter().map(|d| (d << 1 ^ d >> 31).cast_unsigned()).collect();
        let mut best: Option<(u64, u32, Vec<u32>)> = None;
        for partition_order in 0..=PARTITION_ORDER_MAX {
            let parts = 1usize << partition_order;
            if !samples.len().is_multiple_of(parts) || samples.len() / parts <= order {
                break;
            }
            let mut parameters = Vec::with_capacity(parts);
            let mut cost = 0;
            for part in partitions(&residuals, samples.len() / parts, order) {
                let (parameter, part_bits) = rice(part);
                parameters.push(parameter);
                cost += part_bits + 4;
            }
            if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                best = Some((cost, partition_order, parameters));
            }
        }
        let (cost, partition_order, parameters) = best.unwrap_or((u64::MAX / 2, 0, vec![0]));
        Self { order, residuals, partition_order, parameters, bits: cost + order as u64 * u64::from(bits) + 6 }
    }

    fn write(&self, out: &mut Bits, samples: &[i32], bits: u32) {
        samples[..self.order].iter().for_each(|s| out.signed(*s, bits));
        out.put(0, 2);
        out.put(self.partition_order, 4);
        let parts = partitions(&self.residuals, samples.len() >> self.partition_order, self.order);
        for (part, parameter) in parts.zip(&self.parameters) {
            out.put(*parameter, 4);
            for residual in part {
                out.zeros(residual >> parameter);
                out.put(1, 1);
                out.put(residual & ((1 << parameter) - 1), *parameter);
            }
        }
    }
}

/// The first partition lacks the samples that the predictor starts from.
fn partitions(residuals: &[u32], len: usize, order: usize) -> impl Iterator<Item = &[u32]> {
    let (first, rest) = residuals.split_at(len.saturating_sub(order).min(residuals.len()));
    std::iter::once(first).chain(rest.chunks(len.max(1)))
}

/// The best parameter for some residuals, and the bits that they take with it.
fn rice(residuals: &[u32]) -> (u32, u64) {
    let bits = |k: u32| residuals.iter().map(|r| u64::from(r >> k) + 1 + u64::from(k)).sum::<u64>();
    let sum: u64 = residuals.iter().map(|r| u64::from(*r)).sum();
    let mean = sum / residuals.len().max(1) as u64;
    let near = (64 - mean.leading_zeros()).min(RICE_MAX);
    let around = near.saturating_sub(2)..=(near + 1).min(RICE_MAX);
    around.map(|k| (k, bits(k))).min_by_key(|(_, bits)| *bits).unwrap_or((0, 0))
}

/// Bits into bytes, the highest first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    /// The `len` low bits of `value`, 32 at most.
    fn put(&mut self, value: u32, len: u32) {
        self.held = self.held << len | u64::from(value) & ((1 << len) - 1);
        self.count += len;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count) as u8);
        }
        self.held &= (1 << self.count) - 1;
    }

    fn signed(&mut self, value: i32, len: u32) {
        self.put(value.cast_unsigned(), len);
    }

    fn zeros(&mut self, mut count: u32) {
        while count > 0 {
            let some = count.min(32);
            self.put(0, some);
            count -= some;
        }
    }

    fn align(&mut self) {
        self.put(0, self.count.next_multiple_of(8) - self.count);
    }

    /// As UTF-8 would write it, though up to 36 bits.
    fn number(&mut self, number: u64) {
        if number < 0x80 {
            return self.put(number as u32, 8);
        }
        let more = (1..=6).find(|more| number >> (6 * more) < 1 << (6 - more)).unwrap_or(6);
        let head = (0xff00u32 >> (more + 1)) & 0xff;
        self.put(head | (number >> (6 * more)) as u32, 8);
        for n in (0..more).rev() {
            self.put(0x80 | (number >> (6 * n) & 0x3f) as u32, 8);
        }
    }
}

fn crc_8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ byte, |c, _| c << 1 ^ if c & 0x80 != 0 { 0x07 } else { 0 }))
}

fn crc_16(bytes: &[u8]) -> u16 {
    let step = |c: u16| c << 1 ^ if c & 0x8000 != 0 { 0x8005 } else { 0 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ u16::from(*byte) << 8, |c, _| step(c)))
}
