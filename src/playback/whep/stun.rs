//! Whom a first datagram is for, without looking at what it proves. Pure.

/// A binding request's type.
const BINDING_REQUEST: [u8; 2] = [0, 1];
const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER_BYTES: usize = 20;
const USERNAME: [u8; 2] = [0, 6];

/// The name that a binding request calls us by: what stands before the colon of its user name. None: it is something else.
pub(super) fn callee(datagram: &[u8]) -> Option<&str> {
    let (head, mut rest) = datagram.split_at_checked(HEADER_BYTES)?;
    if head[..2] != BINDING_REQUEST || head[4..8] != MAGIC {
        return None;
    }
    loop {
        let (attribute, after) = rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([attribute[2], attribute[3]]));
        let value = after.get(..len)?;
        if attribute[..2] == USERNAME {
            return Some(std::str::from_utf8(value).ok()?.split_once(':')?.0);
        }
        rest = after.get(len.next_multiple_of(4)..)?;
    }
}

/// Whether it is of STUN at all, by RFC 7983.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binding request of these attributes.
    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = [&BINDING_REQUEST[..], &[0, 0], &MAGIC, &[7; 12]].concat();
        for (kind, value) in attributes {
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            out.extend_from_slice(value);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn who_is_called_stands_before_the_colon() {
        let call = request(&[(0x24, &[1, 2, 3, 4]), (0x8022, b"odd"), (6, b"ours:theirs")]);
        assert_eq!(callee(&call), Some("ours"));
        assert!(is_stun(&call) && !is_stun(&[22, 254]) && !is_stun(&[]));
        for len in 0..call.len() - 1 {
            assert_eq!(callee(&call[..len]), None, "{len}");
        }
        for (at, byte) in [(0, 1), (1, 2), (4, 0)] {
            let mut other = call.clone();
            other[at] = byte;
            assert_eq!(callee(&other), None, "{at}");
        }
        assert_eq!(callee(&request(&[(6, b"alone")])), None);
        assert_eq!(callee(&request(&[(6, &[0xff, b':'])])), None);
    }
}
