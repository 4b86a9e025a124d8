//! Packets within a connection, each behind its length in 16 bits, by RFC 4571. Pure.

use bytes::{Buf, Bytes, BytesMut};

/// What viewers send is short: checks, reports, a handshake in pieces of a network's size.
pub(super) const PACKET_BYTES_MAX: usize = 2_000;

/// What came of a connection.
#[derive(Default)]
pub(super) struct Packets(BytesMut);

/// More than a viewer has to say at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Packets {
    /// Where what comes is put.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The next packet that is whole.
    pub(super) fn take(&mut self) -> Result<Option<Bytes>, TooLong> {
        let Some(head) = self.0.first_chunk::<2>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes(*head));
        if len > PACKET_BYTES_MAX {
            return Err(TooLong);
        }
        if self.0.len() < 2 + len {
            return Ok(None);
        }
        self.0.advance(2);
        Ok(Some(self.0.split_to(len).freeze()))
    }
}

/// The same packet as it goes into a connection.
pub(super) fn framed(packet: &[u8]) -> Bytes {
    let len = u16::try_from(packet.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&len, packet].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in_however_they_are_cut(
            wanted in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..PACKET_BYTES_MAX), 0..8),
            piece in 1usize..3_000,
        ) {
            let sent: Vec<u8> = wanted.iter().flat_map(|packet| framed(packet)).collect();
            let (mut packets, mut got) = (Packets::default(), Vec::new());
            for piece in sent.chunks(piece) {
                packets.buffer().extend_from_slice(piece);
                while let Some(packet) = packets.take().unwrap() {
                    got.push(packet.to_vec());
                }
            }
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_waited_for() {
        let mut packets = Packets::default();
        packets.buffer().extend_from_slice(&(PACKET_BYTES_MAX as u16 + 1).to_be_bytes());
        assert_eq!(packets.take(), Err(TooLong));
    }
}
