//! Bits into bytes as H.264 writes them: most significant first, Exp-Golomb numbers, emulation prevention.

use bytes::Bytes;

/// Collects bits.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that do not fill a byte yet, in the low end.
    pending: u64,
    pending_len: u32,
}

impl BitWriter {
    /// The `len` low bits of `value`, 32 at most.
    pub fn bits(&mut self, value: u32, len: u32) {
        debug_assert!(len <= 32 && (len == 32 || value >> len == 0));
        self.pending = self.pending << len | u64::from(value);
        self.pending_len += len;
        while self.pending_len >= 8 {
            self.pending_len -= 8;
            self.bytes.push((self.pending >> self.pending_len) as u8);
        }
        self.pending &= (1 << self.pending_len) - 1;
    }

    /// One bit.
    pub fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// Unsigned Exp-Golomb, `ue(v)`. Below 2^16 − 1.
    pub fn ue(&mut self, value: u32) {
        let plus_one = value + 1;
        let len = 32 - plus_one.leading_zeros();
        self.bits(plus_one, 2 * len - 1);
    }

    /// Signed Exp-Golomb, `se(v)`.
    pub fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 { 2 * magnitude - 1 } else { 2 * magnitude });
    }

    /// Ends with `rbsp_trailing_bits` and gives the bytes of the payload.
    pub fn finish(mut self) -> Vec<u8> {
        self.flag(true);
        if self.pending_len > 0 {
            self.bits(0, 8 - self.pending_len);
        }
        self.bytes
    }
}

/// A NAL unit: header bytes, then the payload with emulation prevention.
pub fn nal(header: &[u8], payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(header.len() + payload.len() + payload.len() / 64 + 4);
    out.extend_from_slice(header);
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out.into()
}

/// A NAL unit's bytes without emulation prevention.
pub fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_is_the_standards() {
        let mut w = BitWriter::default();
        for v in [0, 1, 2, 3, 7] {
            w.ue(v);
        }
        w.se(-1);
        w.se(1);
        // 1 010 011 00100 0001000 011 010 1
        assert_eq!(w.finish(), [0b1010_0110, 0b0100_0001, 0b0000_1101, 0b0100_0000]);
    }

    proptest::proptest! {
        #[test]
        fn escaping_hides_start_codes_and_reads_back(
            payload in proptest::collection::vec(proptest::sample::select(vec![0u8, 0, 0, 1, 2, 3, 9]), 0..200)
        ) {
            let escaped = nal(&[0x65], &payload);
            proptest::prop_assert!(!escaped.windows(3).any(|w| w[..2] == [0, 0] && w[2] < 3));
            proptest::prop_assert_eq!(&unescape(&escaped)[1..], &payload[..]);
        }
    }
}
