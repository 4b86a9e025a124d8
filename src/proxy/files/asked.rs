//! What of a request decides on how a file is answered: conditions, ranges, codings. Copied, so that the buffer that the
//! request came in need not be held.

/// The fields that matter. A field that stands several times is one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Asked {
    /// Nothing but the head is wanted.
    pub(in crate::proxy) head_only: bool,
    pub(super) if_match: Option<Vec<u8>>,
    pub(super) if_none_match: Option<Vec<u8>>,
    pub(super) if_modified_since: Option<Vec<u8>>,
    pub(super) if_unmodified_since: Option<Vec<u8>>,
    pub(super) if_range: Option<Vec<u8>>,
    pub(super) range: Option<Vec<u8>>,
    pub(super) accept_encoding: Option<Vec<u8>>,
}

impl Asked {
    /// Nothing but a method yet.
    pub(in crate::proxy) fn new(head_only: bool) -> Self {
        Self { head_only, ..Self::default() }
    }

    /// Takes one field in.
    pub(in crate::proxy) fn field(&mut self, name: &[u8], value: &[u8]) {
        // Most names are ruled out by their length.
        let place = match name.len() {
            5 if name.eq_ignore_ascii_case(b"range") => &mut self.range,
            8 if name.eq_ignore_ascii_case(b"if-range") => &mut self.if_range,
            8 if name.eq_ignore_ascii_case(b"if-match") => &mut self.if_match,
            13 if name.eq_ignore_ascii_case(b"if-none-match") => &mut self.if_none_match,
            15 if name.eq_ignore_ascii_case(b"accept-encoding") => &mut self.accept_encoding,
            17 if name.eq_ignore_ascii_case(b"if-modified-since") => &mut self.if_modified_since,
            19 if name.eq_ignore_ascii_case(b"if-unmodified-since") => &mut self.if_unmodified_since,
            _ => return,
        };
        match place {
            None => *place = Some(value.to_vec()),
            Some(list) => {
                list.extend_from_slice(b", ");
                list.extend_from_slice(value);
            }
        }
    }
}
