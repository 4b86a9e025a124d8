//! What lets a request be found again in other logs: its id, and `traceparent`.

use super::limits::REQUEST_ID_BYTES_MAX;

/// The hexadecimal digits of a request's id.
pub const REQUEST_ID_DIGITS: usize = 32;

/// The text of an id of our own.
pub fn request_id(random: u128) -> [u8; REQUEST_ID_DIGITS] {
    let mut text = [b'0'; REQUEST_ID_DIGITS];
    let mut rest = random;
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    text
}

/// Whether a request id of somebody else can stand in our logs and headers.
pub(super) fn is_request_id(text: &[u8]) -> bool {
    let is_harmless = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=@".contains(b);
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.iter().all(is_harmless)
}

/// Whether it is a `traceparent` (W3C Trace Context). What is none is dropped, and `tracestate` with it.
pub(super) fn is_trace_parent(text: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    let Some((head, rest)) = text.split_at_checked(55) else { return false };
    let (version, trace, parent, flags) = (&head[..2], &head[3..35], &head[36..52], &head[53..]);
    let has_dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
    // A later version may go on behind another dash.
    let is_ended = rest.is_empty() || (version != b"00" && rest[0] == b'-');
    has_dashes
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && version != b"ff"
        && !is_zero(trace)
        && !is_zero(parent)
        && is_ended
}
