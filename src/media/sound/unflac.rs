//! Frames of FLAC (RFC 9639) back to samples: those that [`super::flac::Encoder`] makes, and nothing more.

/// FLAC's sync code, behind which blocks have numbers of samples.
const SYNC: u32 = 0xfff9;
const BITS: u32 = 16;
const ORDER_MAX: u32 = 4;

/// The samples of one frame, channels interleaved, and how many channels those are. None where it is not a frame of ours.
pub fn decode(frame: &[u8]) -> Option<(Vec<i16>, usize)> {
    let mut bits = Bits { bytes: frame, at: 0 };
    if bits.take(16)? != SYNC || bits.take(4)? != 0b0111 {
        return None;
    }
    bits.take(4)?;
    let channels = bits.take(4)? as usize + 1;
    if channels > 2 || bits.take(4)? != 0b1000 {
        return None;
    }
    // The number of its first sample, as UTF-8 would write it: as many bytes more as its first has ones in front.
    let more = (bits.take(8)? as u8).leading_ones().saturating_sub(1);
    (0..more).try_for_each(|_| bits.take(8).map(drop))?;
    let count = bits.take(16)? as usize + 1;
    bits.take(8)?;
    if count > super::flac::FRAME_SAMPLES_MAX {
        return None;
    }
    let mut out = vec![0; count * channels];
    for channel in 0..channels {
        for (n, sample) in subframe(&mut bits, count)?.into_iter().enumerate() {
            out[n * channels + channel] = i16::try_from(sample).ok()?;
        }
    }
    Some((out, channels))
}

fn subframe(bits: &mut Bits<'_>, count: usize) -> Option<Vec<i32>> {
    let head = bits.take(8)?;
    let wasted = if head & 1 == 0 { 0 } else { bits.zeros()? + 1 };
    let width = BITS.checked_sub(wasted).filter(|width| *width > 0)?;
    let mut samples = Vec::with_capacity(count);
    match head >> 1 {
        0 => samples.resize(count, bits.signed(width)?),
        1 => {
            for _ in 0..count {
                samples.push(bits.signed(width)?);
            }
        }
        kind @ 8..=12 => {
            let order = (kind - 8).min(ORDER_MAX) as usize;
            for _ in 0..order {
                samples.push(bits.signed(width)?);
            }
            residuals(bits, count, order, &mut samples)?;
        }
        _ => return None,
    }
    samples.iter_mut().for_each(|sample| *sample <<= wasted);
    (samples.len() == count).then_some(samples)
}

fn residuals(bits: &mut Bits<'_>, count: usize, order: usize, samples: &mut Vec<i32>) -> Option<()> {
    if bits.take(2)? != 0 {
        return None;
    }
    let partitions = 1usize << bits.take(4)?;
    for partition in 0..partitions {
        let parameter = bits.take(4)?;
        let lead_in = if partition == 0 { order } else { 0 };
        for _ in 0..(count / partitions).checked_sub(lead_in)? {
            let folded = bits.zeros()?.checked_shl(parameter)? | bits.take(parameter)?;
            let residual = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
            let n = samples.len();
            let back = |k: usize| n.checked_sub(k).and_then(|at| samples.get(at)).copied();
            let (a, b, c, d) = (back(1), back(2), back(3), back(4));
            let predicted = match order {
                0 => 0,
                1 => a?,
                2 => a?.wrapping_mul(2).wrapping_sub(b?),
                3 => a?.wrapping_sub(b?).wrapping_mul(3).wrapping_add(c?),
                _ => a?.wrapping_add(c?).wrapping_mul(4).wrapping_sub(b?.wrapping_mul(6)).wrapping_sub(d?),
            };
            samples.push(predicted.wrapping_add(residual));
        }
    }
    Some(())
}

/// Bits out of bytes, the highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `len` bits, 32 at most.
    fn take(&mut self, len: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..len {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn signed(&mut self, len: u32) -> Option<i32> {
        let value = self.take(len)?;
        let unused = 32 - len;
        Some((value << unused).cast_signed() >> unused)
    }

    /// How many zeros stand before the next one, which is taken too.
    fn zeros(&mut self) -> Option<u32> {
        let mut count = 0;
        while self.take(1)? == 0 {
            count += 1;
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::flac::Encoder, *};
    use proptest::prelude::*;

    fn samples() -> impl Strategy<Value = Vec<i16>> {
        prop_oneof![
            prop::collection::vec(any::<i16>(), 2..2000),
            prop::collection::vec(-40i16..40, 2..2000),
            (any::<i16>(), 2usize..500).prop_map(|(s, n)| vec![s; n]),
            prop::collection::vec(-2000i16..2000, 2..2000).prop_map(|v| v.into_iter().map(|s| s << 3).collect()),
        ]
    }

    proptest! {
        #[test]
        fn what_the_encoder_made_comes_back(all in prop::collection::vec(samples(), 1..6), stereo: bool) {
            let channels = 1 + usize::from(stereo);
            let mut encoder = Encoder::new(channels as u8, 8000);
            for mut samples in all {
                samples.truncate(samples.len() / channels * channels);
                let frame = encoder.frame(&samples);
                prop_assert_eq!(decode(&frame), Some((samples, channels)));
            }
        }

        #[test]
        fn any_bytes_are_borne(mut bytes in prop::collection::vec(any::<u8>(), 0..400), head: bool) {
            if head && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[0xff, 0xf9, 0x74, 0x08]);
            }
            let _ = decode(&bytes);
        }
    }
}
