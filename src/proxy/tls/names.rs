//! Which entry a name belongs to. Pure.
//!
//! An exact name wins over a wildcard, which stands for one label as it does in certificates; the default takes the rest.

use crate::proxy::config::HostPattern;
use std::{collections::HashMap, sync::Arc};

/// A name in DNS has no more bytes.
const NAME_BYTES_MAX: usize = 255;

/// The entries of one listen address, by name. Entries are numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Names {
    exact: HashMap<Arc<str>, usize>,
    /// By what follows the first label, from its dot on.
    below: HashMap<Arc<str>, usize>,
    default: Option<usize>,
    first: Option<usize>,
}

impl Names {
    /// Adds an entry. Of two for one name, the first counts.
    pub(super) fn add(&mut self, entry: usize, names: &[HostPattern]) {
        self.first.get_or_insert(entry);
        if names.is_empty() {
            self.default.get_or_insert(entry);
        }
        for name in names {
            match name {
                HostPattern::Exact(name) => self.exact.entry(name.clone()).or_insert(entry),
                HostPattern::Below(suffix) => self.below.entry(suffix.clone()).or_insert(entry),
            };
        }
    }

    /// The entry for a name, in whatever case it is written and with or without the root's dot.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut room = [0; NAME_BYTES_MAX];
        let Some(lower) = room.get_mut(..name.len()) else { return self.default };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let Ok(lower) = std::str::from_utf8(lower) else { return self.default };
        let below = || lower.find('.').filter(|at| *at > 0).and_then(|at| self.below.get(&lower[at..]));
        self.exact.get(lower).or_else(below).copied().or(self.default)
    }

    /// The entry for a client that names none: the default, or else the first, since it cannot be told that it should
    /// have named one.
    pub(super) fn unnamed(&self) -> Option<usize> {
        self.default.or(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(all: &[&[&str]]) -> Names {
        let mut names = Names::default();
        for (entry, patterns) in all.iter().enumerate() {
            let pattern = |p: &&str| match p.strip_prefix('*') {
                Some(suffix) => HostPattern::Below(suffix.into()),
                None => HostPattern::Exact((*p).into()),
            };
            names.add(entry, &patterns.iter().map(pattern).collect::<Vec<_>>());
        }
        names
    }

    #[test]
    fn an_exact_name_wins_over_a_wildcard_of_one_label_and_that_over_the_default() {
        let all = names(&[&["*.example.com"], &["a.example.com", "b.example.com"], &[], &["example.com"]]);
        for (name, entry) in [
            ("a.example.com", 1),
            ("A.Example.COM.", 1),
            ("b.example.com", 1),
            ("c.example.com", 0),
            ("x.c.example.com", 2),
            (".example.com", 2),
            ("example.com", 3),
            ("com", 2),
            ("", 2),
            ("10.0.0.1", 2),
        ] {
            assert_eq!(all.find(name.as_bytes()), Some(entry), "{name}");
        }
        assert_eq!(all.unnamed(), Some(2));
    }

    #[test]
    fn without_a_default_other_names_have_no_entry_and_no_name_has_the_first() {
        let all = names(&[&["a.test"], &["b.test"]]);
        assert_eq!((all.find(b"c.test"), all.find(b"b.test"), all.unnamed()), (None, Some(1), Some(0)));
        assert_eq!(Names::default().unnamed(), None);
    }

    proptest! {
        #[test]
        fn no_name_is_too_odd(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            let all = names(&[&["*.example.com"], &["a.example.com"]]);
            prop_assert!(all.find(&name).is_none() || name.to_ascii_lowercase().ends_with(b"example.com") || name.ends_with(b"."));
        }
    }
}
