//! Bytes of heads: places in a buffer, tokens, numbers.

/// A place in the buffer of a head, which is no longer than 64 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: u16,
    len: u16,
}

impl Span {
    /// From `from` up to `to`, which lie within the first 64 KiB.
    pub(super) fn new(from: usize, to: usize) -> Self {
        let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self { from: place(from), len: place(to.saturating_sub(from)) }
    }

    /// Where `part` lies in `whole`, of which it is a slice.
    pub(super) fn within(whole: &[u8], part: &[u8]) -> Self {
        let from = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(from + part.len() <= whole.len(), "a part of the whole");
        Self::new(from, from + part.len())
    }

    /// The bytes there; nothing of a buffer that is too short.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.from()..self.to()).unwrap_or_default()
    }

    pub(super) fn from(self) -> usize {
        usize::from(self.from)
    }

    pub(super) fn to(self) -> usize {
        usize::from(self.from) + usize::from(self.len)
    }

    pub(super) fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Whether it is a token of RFC 9110.
pub(in crate::proxy) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token_byte(*b))
}

pub(super) fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Whether a field's value has nothing in it that ends a line or is shown by nobody.
pub(in crate::proxy) fn is_value(text: &[u8]) -> bool {
    text.iter().all(|b| is_value_byte(*b))
}

pub(super) fn is_value_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// A number of digits only. `None`: not one, or over 64 bits.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// The value of a hexadecimal digit.
pub(super) fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// A number in decimal, at the end of `out`.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `name: value` and the end of its line.
pub(in crate::proxy) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
