//! Raw samples of 16 bits. RFC 3551 puts the high byte first; many Hikvision devices put the low byte first and do not say
//! so. The right order is the one in which the sound is smooth: swapped bytes are noise nearly as loud as can be.

/// Which byte of a sample comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The high one, as the RFC has it.
    Big,
    /// The low one.
    Little,
}

/// Nothing is decided by fewer samples that differ from their neighbours: an eighth of a second of telephone sound.
const EVIDENCE_SAMPLES_MIN: u32 = 1000;
/// One order must be this much rougher than the other.
const ROUGHER: u64 = 3;

/// Tells the order, and puts bytes into it.
#[derive(Debug)]
pub struct Decoder {
    order: Option<Order>,
    /// Sums of the steps from sample to sample, read in either order.
    big: u64,
    little: u64,
    samples: u32,
}

impl Decoder {
    /// None: to be told by what comes.
    pub(super) fn new(order: Option<Order>) -> Self {
        Self { order, big: 0, little: 0, samples: 0 }
    }

    pub(super) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let pairs = || payload.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        if self.order.is_none() {
            let (big, little) =
                (roughness(pairs().map(i16::from_be_bytes)), roughness(pairs().map(i16::from_le_bytes)));
            self.big += big;
            self.little += little;
            self.samples += u32::from(big != little) * u32::try_from(payload.len() / 2).unwrap_or(0);
            if self.samples >= EVIDENCE_SAMPLES_MIN {
                self.order = match (self.big, self.little) {
                    (big, little) if big > little.saturating_mul(ROUGHER) => Some(Order::Little),
                    (big, little) if little > big.saturating_mul(ROUGHER) => Some(Order::Big),
                    _ => None,
                };
            }
        }
        match self.order.unwrap_or(if self.little < self.big { Order::Little } else { Order::Big }) {
            Order::Big => pairs().map(i16::from_be_bytes).collect(),
            Order::Little => pairs().map(i16::from_le_bytes).collect(),
        }
    }
}

fn roughness(samples: impl Iterator<Item = i16>) -> u64 {
    let mut last: Option<i16> = None;
    let mut sum = 0;
    for sample in samples {
        sum += u64::from(last.map_or(0, |last| last.abs_diff(sample)));
        last = Some(sample);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(loud: f64) -> Vec<i16> {
        (0..4000).map(|n| ((f64::from(n) * 0.17).sin() * loud) as i16).collect()
    }

    #[test]
    fn the_order_of_bytes_is_heard_from_the_first_packet_on_loud_or_low() {
        for loud in [20_000.0, 900.0, 4.0] {
            let samples = tone(loud);
            for (order, bytes) in [
                (Order::Big, samples.iter().flat_map(|s| s.to_be_bytes()).collect::<Vec<u8>>()),
                (Order::Little, samples.iter().flat_map(|s| s.to_le_bytes()).collect()),
            ] {
                let mut decoder = Decoder::new(None);
                let heard: Vec<i16> = bytes.chunks(640).flat_map(|packet| decoder.decode(packet)).collect();
                assert_eq!(heard, samples, "{order:?} {loud}");
                assert_eq!(decoder.order, Some(order));
            }
        }
        let mut silent = Decoder::new(None);
        assert!(silent.decode(&[0; 8000]).iter().all(|s| *s == 0) && silent.order.is_none());
    }
}
