//! Telephone sound as cameras send it, decoded to samples, and samples stored without loss as FLAC.
//!
//! Browsers play neither G.711 nor G.722, G.726 or raw samples out of an MP4, but FLAC. Decoding is exact, and FLAC loses
//! nothing, so what is stored is what any decoder would have made of what the camera sent.
//!
//! Never does: sound that is coded well already (AAC is kept as it is), choosing what to do with a codec.
//!
//! The flow: a packet's payload → [`Decoder::decode`] → samples → [`flac::Encoder::frame`] → one sample of the MP4.

pub mod flac;
mod g711;
mod g722;
mod g726;
mod l16;
#[cfg(test)]
mod tests;
mod unflac;

pub use g711::{encode_alaw, encode_ulaw, is_alaw, is_ulaw};
pub use l16::Order;
pub use unflac::decode as decode_flac;

/// How sound that is not kept as it is was coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// G.711, the logarithmic law of North America and Japan.
    Ulaw,
    /// G.711, the logarithmic law of the rest of the world.
    Alaw,
    /// G.722 at 64 kbit/s: 16,000 samples a second, whatever its RTP clock says.
    G722,
    /// G.726 with so many bits a sample, 2 to 5, the first sample in the low bits (RFC 3551).
    G726(u8),
    /// Samples of 16 bits, in this order of bytes where it is known.
    L16(Option<Order>),
}

/// Makes samples of what one track of a session sends. It has a memory: packets must come in order.
#[derive(Debug)]
pub enum Decoder {
    /// G.711.
    Table(&'static [i16; 256]),
    /// G.722.
    G722(Box<g722::Decoder>),
    /// G.726.
    G726(Box<g726::Decoder>),
    /// Raw samples.
    L16(l16::Decoder),
}

impl Decoder {
    /// At the begin of a stream.
    pub fn new(coding: Coding) -> Self {
        match coding {
            Coding::Ulaw => Self::Table(&g711::ULAW),
            Coding::Alaw => Self::Table(&g711::ALAW),
            Coding::G722 => Self::G722(Box::default()),
            Coding::G726(bits) => Self::G726(Box::new(g726::Decoder::new(bits))),
            Coding::L16(order) => Self::L16(l16::Decoder::new(order)),
        }
    }

    /// The samples of one packet, channels interleaved.
    pub fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        match self {
            Self::Table(table) => payload.iter().map(|code| table[usize::from(*code)]).collect(),
            Self::G722(decoder) => decoder.decode(payload),
            Self::G726(decoder) => decoder.decode(payload),
            Self::L16(decoder) => decoder.decode(payload),
        }
    }
}

impl Coding {
    /// Samples that are heard in one tick of its RTP clock.
    pub const fn samples_per_tick(self) -> u32 {
        // RFC 3551, 4.5.2: G.722's clock was set to 8000 by mistake and has to stay so.
        if matches!(self, Self::G722) { 2 } else { 1 }
    }
}
