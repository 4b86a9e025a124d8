//! Frames of WebSocket as bytes. Pure.

use bytes::{Bytes, BytesMut};

/// The final frame of a message.
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// What a frame that is about the connection holds at most, RFC 6455 §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// Who is only told something has little to say: bytes of a message, and of all messages that are thrown away unread.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;

/// Nothing more comes: the server goes.
pub(super) const GOING_AWAY: u16 = 1001;
/// What was sent is no WebSocket.
const PROTOCOL_ERROR: u16 = 1002;
/// A message is longer than it may be.
const TOO_BIG: u16 = 1009;

/// A message of text, framed.
pub fn text(text: &str) -> Bytes {
    framed(TEXT, &[text.as_bytes()])
}

/// A message of bytes, framed; the pieces come one behind the other.
pub fn binary(pieces: &[&[u8]]) -> Bytes {
    framed(BINARY, pieces)
}

pub(super) fn ping() -> Bytes {
    framed(PING, &[])
}

pub(super) fn close(code: u16) -> Bytes {
    framed(CLOSE, &[&code.to_be_bytes()])
}

fn framed(opcode: u8, pieces: &[&[u8]]) -> Bytes {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut out = BytesMut::with_capacity(len + 10);
    out.extend_from_slice(&[FIN | opcode]);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => out.extend_from_slice(&[short]),
        (_, Ok(middle)) => {
            out.extend_from_slice(&[126]);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[127]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    out.freeze()
}

/// What a client's bytes come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// To be sent back.
    Answer(Bytes),
    /// The last frame of this connection, to be sent back.
    Last(Bytes),
}

/// Reads what a client sends, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// A frame's head as far as it is there.
    head: Vec<u8>,
    /// The frame whose content comes now.
    frame: Option<Frame>,
    /// So much came of a message that is not whole.
    message: Option<u64>,
    ended: bool,
}

#[derive(Debug)]
struct Frame {
    opcode: u8,
    left: u64,
    mask: [u8; 4],
    /// Of one that is about the connection: what came of its content.
    content: Vec<u8>,
}

impl Reader {
    /// Takes the next bytes. Nothing is heard behind the last frame.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        while !self.ended {
            if self.frame.is_none() {
                let Some((first, rest)) = bytes.split_first() else { break };
                bytes = rest;
                self.head.push(*first);
                if let Err(code) = self.begin() {
                    self.ended = true;
                    heard.push(Heard::Last(close(code)));
                }
            }
            let Some(frame) = &mut self.frame else { continue };
            let here = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
            if frame.opcode >= CLOSE {
                frame.content.extend_from_slice(&bytes[..here]);
            }
            bytes = &bytes[here..];
            frame.left -= here as u64;
            if frame.left > 0 {
                break;
            }
            let said = self.frame.take().and_then(Frame::said);
            self.ended = matches!(said, Some(Heard::Last(_)));
            heard.extend(said);
        }
        heard
    }

    /// Begins a frame, if its head is whole.
    fn begin(&mut self) -> Result<(), u16> {
        let [first, second, more @ ..] = &self.head[..] else { return Ok(()) };
        let (opcode, len) = (first & OPCODE, second & !MASKED);
        let final_one = first & FIN != 0;
        if first & RESERVED != 0 || second & MASKED == 0 {
            return Err(PROTOCOL_ERROR);
        }
        let len_bytes = match len {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((len_more, mask)) = more.split_at_checked(len_bytes) else { return Ok(()) };
        let Ok(mask) = <[u8; 4]>::try_from(mask) else { return Ok(()) };
        let left = match len_bytes {
            0 => u64::from(len),
            _ => len_more.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
        };
        match (opcode, self.message) {
            (CLOSE | PING | PONG, _) if final_one && left <= CONTROL_BYTES_MAX as u64 => {}
            (CONTINUATION, Some(_)) | (TEXT | BINARY, None) => {
                let all = self.message.unwrap_or(0).saturating_add(left);
                if all > MESSAGE_BYTES_MAX {
                    return Err(TOO_BIG);
                }
                self.message = (!final_one).then_some(all);
            }
            _ => return Err(PROTOCOL_ERROR),
        }
        self.head.clear();
        self.frame = Some(Frame { opcode, left, mask, content: Vec::new() });
        Ok(())
    }
}

impl Frame {
    /// What it is answered by.
    fn said(mut self) -> Option<Heard> {
        self.content.iter_mut().enumerate().for_each(|(n, byte)| *byte ^= self.mask[n % 4]);
        match (self.opcode, &self.content[..]) {
            (PING, content) => Some(Heard::Answer(framed(PONG, &[content]))),
            (CLOSE, []) => Some(Heard::Last(framed(CLOSE, &[]))),
            (CLOSE, [a, b, why @ ..]) => {
                let code = u16::from_be_bytes([*a, *b]);
                // Those that may be sent, RFC 6455 §7.4.
                let is_one =
                    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) && std::str::from_utf8(why).is_ok();
                Some(Heard::Last(close(if is_one { code } else { PROTOCOL_ERROR })))
            }
            (CLOSE, _) => Some(Heard::Last(close(PROTOCOL_ERROR))),
            _ => None,
        }
    }
}

/// Any bytes as what a client sends: in pieces it is the same, and little is kept of it.
pub fn fuzz(data: &[u8]) {
    let whole = Reader::default().feed(data);
    let mut reader = Reader::default();
    let mut pieces = Vec::new();
    for piece in data.chunks(usize::from(data.first().copied().unwrap_or(0)) % 7 + 1) {
        pieces.extend(reader.feed(piece));
        let kept = reader.head.len() + reader.frame.as_ref().map_or(0, |frame| frame.content.len());
        assert!(kept <= CONTROL_BYTES_MAX + 14);
    }
    assert_eq!(whole, pieces);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as a client sends it.
    fn sent(first: u8, content: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut out = framed(first & OPCODE, &[content]).to_vec();
        let head = out.len() - content.len();
        out[0] = first;
        out[1] |= MASKED;
        out.splice(head..head, mask);
        out[head + 4..].iter_mut().enumerate().for_each(|(n, byte)| *byte ^= mask[n % 4]);
        out
    }

    #[test]
    fn messages_are_framed_as_the_rfc_has_it() {
        assert_eq!(text("Hello")[..], *b"\x81\x05Hello");
        assert_eq!(binary(&[&[7; 200], &[8; 56]])[..5], [0x82, 126, 1, 0, 7]);
        assert_eq!(binary(&[&[7; 70_000]])[..11], [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 7]);
        assert_eq!((close(1001)[..].to_vec(), ping()[..].to_vec()), (vec![0x88, 2, 3, 0xe9], vec![0x89, 0]));
    }

    #[test]
    fn what_is_about_the_connection_is_answered_and_the_rest_is_not_looked_at() {
        // The masked "Hello" of RFC 6455 §5.7, as a message and as a ping.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut reader = Reader::default();
        assert_eq!(reader.feed(&hello), []);
        assert_eq!(reader.feed(&[&[0x89], &hello[1..]].concat()), [Heard::Answer(framed(PONG, &[b"Hello"]))]);
        // A ping may stand between the pieces of a message.
        let parts = [sent(TEXT, b"a"), sent(FIN | PING, b""), sent(CONTINUATION, b"b"), sent(FIN, b"c")].concat();
        assert_eq!(reader.feed(&parts), [Heard::Answer(framed(PONG, &[]))]);
        assert_eq!(reader.feed(&sent(FIN | PONG, b"x")), []);
        let last = sent(FIN | CLOSE, &[3, 0xe8, b'b', b'y', b'e']);
        assert_eq!(reader.feed(&[last, sent(FIN | PING, b"")].concat()), [Heard::Last(close(1000))]);
    }

    #[test]
    fn what_is_no_websocket_ends_it() {
        let unmasked = text("x").to_vec();
        for (bytes, code) in [
            (unmasked, PROTOCOL_ERROR),
            (sent(FIN | 0x40 | TEXT, b"x"), PROTOCOL_ERROR),
            (sent(FIN | 3, b"x"), PROTOCOL_ERROR),
            (sent(PING, b""), PROTOCOL_ERROR),
            (sent(FIN | PING, &[0; 126]), PROTOCOL_ERROR),
            (sent(FIN, b"continues nothing"), PROTOCOL_ERROR),
            ([sent(TEXT, b"a"), sent(FIN | TEXT, b"b")].concat(), PROTOCOL_ERROR),
            (sent(FIN | BINARY, &[0; 65_537]), TOO_BIG),
            ([sent(BINARY, &[0; 65_000]), sent(FIN, &[0; 1_000])].concat(), TOO_BIG),
            (sent(FIN | CLOSE, &[3]), PROTOCOL_ERROR),
            (sent(FIN | CLOSE, &[3, 0xed]), PROTOCOL_ERROR),
            (sent(FIN | CLOSE, &[3, 0xe8, 0xff]), PROTOCOL_ERROR),
        ] {
            assert_eq!(Reader::default().feed(&bytes), [Heard::Last(close(code))], "{:?}", &bytes[..6]);
        }
        assert_eq!(Reader::default().feed(&sent(FIN | CLOSE, b"")), [Heard::Last(framed(CLOSE, &[]))]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_alike_in_pieces(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            fuzz(&data);
        }

        #[test]
        fn pings_are_heard_however_they_are_cut(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..125), 1..6), step in 1usize..40,
        ) {
            let bytes: Vec<u8> = contents.iter().flat_map(|content| sent(FIN | PING, content)).collect();
            let mut reader = Reader::default();
            let heard: Vec<Heard> = bytes.chunks(step).flat_map(|piece| reader.feed(piece)).collect();
            let wanted: Vec<Heard> = contents.iter().map(|content| Heard::Answer(framed(PONG, &[content]))).collect();
            prop_assert_eq!(heard, wanted);
        }
    }
}
