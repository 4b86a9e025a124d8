//! TCP routes: a connection to a port is carried to an instance of a service, whatever is spoken on it. By the name that
//! a TLS client asks for, one port can lead to several services; what is encrypted stays so.
//!
//! Owns: the choice of the route and of the instance, trying another one while nothing was carried. Never does: reads
//! what is carried, but for a TLS client's first message, or keeps a connection of one client for another.
//!
//! Flow: accepted → (name of the TLS client) → route → instance → both ways until both have ended.

#[doc(hidden)]
pub mod fuzz;
mod hello;
mod outgoing;
mod serve;

#[cfg(test)]
pub(super) use hello::tests::hello;
pub use outgoing::Version as PreludeVersion;
pub(super) use serve::serve;

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// TLS, for this host, in lower case.
    Name(Box<str>),
    /// TLS, for no host.
    NoName,
    /// Something else.
    NotTls,
    /// It cannot be told yet.
    More,
}
