//! ITU-T G.711: logarithmic samples of 8 bits, by table.

/// µ-law.
pub(super) const ULAW: [i16; 256] = table(Law::U);
/// A-law.
pub(super) const ALAW: [i16; 256] = table(Law::A);

/// What is added before µ-law's logarithm is taken.
const ULAW_BIAS: i32 = 0x84;
/// The loudest that µ-law can say.
const ULAW_MAX: i32 = 32_635;

const fn table(law: Law) -> [i16; 256] {
    let mut out = [0; 256];
    let mut code = 0;
    while code < 256 {
        out[code] = match law {
            Law::U => decode_ulaw(code as u8),
            Law::A => decode_alaw(code as u8),
        };
        code += 1;
    }
    out
}

#[derive(Clone, Copy)]
enum Law {
    U,
    A,
}

const fn decode_ulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((((code & 0x0f) as i32) << 3) + ULAW_BIAS) << ((code & 0x70) >> 4);
    let value = magnitude - ULAW_BIAS;
    (if code & 0x80 != 0 { -value } else { value }) as i16
}

const fn decode_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code & 0x70) >> 4;
    let step = ((code & 0x0f) as i32) << 1;
    let magnitude = if segment == 0 { step + 1 } else { (step + 1 + 32) << (segment - 1) };
    let value = magnitude << 3;
    (if code & 0x80 != 0 { value } else { -value }) as i16
}

/// The µ-law code nearest to a sample.
pub fn encode_ulaw(sample: i16) -> u8 {
    let sample = i32::from(sample);
    let magnitude = sample.abs().min(ULAW_MAX) + ULAW_BIAS;
    // The highest set bit lies at 7 to 14.
    let segment = (31 - magnitude.leading_zeros() as i32 - 7).clamp(0, 7);
    let code = (segment << 4 | (magnitude >> (segment + 3)) & 0x0f) as u8;
    !(if sample < 0 { code | 0x80 } else { code })
}

/// The A-law code nearest to a sample.
pub fn encode_alaw(sample: i16) -> u8 {
    let sample = i32::from(sample) >> 3;
    let magnitude = if sample < 0 { -sample - 1 } else { sample };
    let segment = (31 - (magnitude | 1).leading_zeros() as i32 - 4).clamp(0, 7);
    let step = if segment < 2 { magnitude >> 1 } else { magnitude >> segment };
    let code = (segment << 4 | step & 0x0f) as u8;
    (if sample < 0 { code } else { code | 0x80 }) ^ 0x55
}

/// Whether a sample is one that A-law can say, so that its code gives it back as it was.
pub fn is_alaw(sample: i16) -> bool {
    ALAW[usize::from(encode_alaw(sample))] == sample
}

/// Whether a sample is one that µ-law can say.
pub fn is_ulaw(sample: i16) -> bool {
    ULAW[usize::from(encode_ulaw(sample))] == sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decode_and_encode_to_themselves() {
        assert_eq!((ULAW[0xff], ULAW[0x00], ULAW[0x80]), (0, -32_124, 32_124));
        assert_eq!((ALAW[0xd5], ALAW[0x55], ALAW[0x2a]), (8, -8, -32_256));
        for code in 0..=255u8 {
            assert_eq!(ALAW[usize::from(encode_alaw(ALAW[usize::from(code)]))], ALAW[usize::from(code)]);
            assert_eq!(ULAW[usize::from(encode_ulaw(ULAW[usize::from(code)]))], ULAW[usize::from(code)]);
        }
    }
}
