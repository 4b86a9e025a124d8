//! What a route changes in the fields of a head.

use super::{
    field::Kind,
    text::{is_token, is_value, push_field},
};

/// The most fields that a route sets or removes in one direction.
pub const EDITS_MAX: usize = 64;

/// Fields to set and to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    set: Vec<(Box<str>, Box<str>)>,
    remove: Vec<Box<str>>,
}

/// A change that cannot be made; says why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadEdit {
    /// Not the name of a field.
    #[error("`{0}` is not the name of a header")]
    Name(String),
    /// A value with a control character.
    #[error("the value of `{0}` has a control character")]
    Value(String),
    /// How a message is read or routed is not for a route to say.
    #[error("`{0}` is set by the proxy itself; leave it out")]
    Own(String),
    /// `Host` has a key of its own.
    #[error("`Host` is changed by `host_header`")]
    Host,
    /// More than [`EDITS_MAX`].
    #[error("there are more than {EDITS_MAX} of them")]
    TooMany,
}

impl Edits {
    /// Checks them.
    pub fn new(set: Vec<(String, String)>, remove: Vec<String>) -> Result<Self, BadEdit> {
        if set.len() + remove.len() > EDITS_MAX {
            return Err(BadEdit::TooMany);
        }
        for name in set.iter().map(|(name, _)| name).chain(&remove) {
            check_name(name)?;
        }
        if let Some((name, _)) = set.iter().find(|(_, value)| !is_value(value.as_bytes())) {
            return Err(BadEdit::Value(name.clone()));
        }
        Ok(Self {
            set: set.into_iter().map(|(name, value)| (name.into(), value.trim().into())).collect(),
            remove: remove.into_iter().map(Into::into).collect(),
        })
    }

    /// These, and fields of ours that are removed too, where they are not set.
    #[must_use]
    pub fn removing(&self, names: &[&str]) -> Self {
        let mut more = self.clone();
        more.remove.extend(names.iter().filter(|name| !self.sets(name.as_bytes())).map(|name| (*name).into()));
        more
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Whether a field of this name is not passed on as it came.
    pub(super) fn takes(&self, name: &[u8]) -> bool {
        let is_it = |other: &str| other.as_bytes().eq_ignore_ascii_case(name);
        self.remove.iter().any(|other| is_it(other)) || self.sets(name)
    }

    /// Whether a field of this name is set.
    pub(super) fn sets(&self, name: &[u8]) -> bool {
        self.set.iter().any(|(other, _)| other.as_bytes().eq_ignore_ascii_case(name))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.set {
            push_field(out, name.as_bytes(), value.as_bytes());
        }
    }
}

fn check_name(name: &str) -> Result<(), BadEdit> {
    if !is_token(name.as_bytes()) {
        return Err(BadEdit::Name(name.chars().take(64).collect()));
    }
    match Kind::of(name.as_bytes()) {
        Kind::Host => Err(BadEdit::Host),
        Kind::ContentLength | Kind::Expect => Err(BadEdit::Own(name.to_owned())),
        kind if kind.is_hop_by_hop() => Err(BadEdit::Own(name.to_owned())),
        _ => Ok(()),
    }
}
