//! Which keys are meant.

use bytes::Bytes;
use std::ops::Bound;

/// One key, or a run of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// This one.
    One(Bytes),
    /// From the first up to and without the second.
    Between(Bytes, Bytes),
    /// This one and all behind it.
    From(Bytes),
}

impl Keys {
    /// All that begin like this.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let prefix = prefix.into();
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Self::Between(prefix, end.into());
            }
        }
        Self::From(prefix)
    }

    /// Every key.
    pub fn all() -> Self {
        Self::From(Bytes::new())
    }

    /// Whether a key is among them.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Between(from, end) => key >= &from[..] && key < &end[..],
            Self::From(from) => key >= &from[..],
        }
    }

    /// Whether it can hold no key at all.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Between(from, end) if from >= end)
    }

    /// For a map of keys. None where there is nothing.
    pub(super) fn bounds(&self) -> Option<(Bound<&[u8]>, Bound<&[u8]>)> {
        match self {
            Self::One(one) => Some((Bound::Included(one), Bound::Included(one))),
            Self::Between(from, end) => (from < end).then_some((Bound::Included(from), Bound::Excluded(end))),
            Self::From(from) => Some((Bound::Included(from), Bound::Unbounded)),
        }
    }
}

/// A key for people: what is no text is shown in hex.
pub fn show(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => key.iter().map(|b| format!("\\x{b:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_prefix_means_what_begins_with_it(
            prefix in proptest::collection::vec(250u8..=255, 0..4),
            key in proptest::collection::vec(250u8..=255, 0..6),
        ) {
            let keys = Keys::prefix(prefix.clone());
            proptest::prop_assert_eq!(keys.contains(&key), key.starts_with(&prefix));
            proptest::prop_assert!(!keys.is_empty());
        }
    }

    #[test]
    fn keys_that_are_no_text_can_be_shown() {
        assert_eq!(show(b"a/b"), "a/b");
        assert_eq!(show(b"\xff\n"), "\\xff\\x0a");
    }
}
