//! TLS towards clients: which certificate for which name, and the handshake.
//!
//! Owns: the certificates in force, the keys of session tickets, the handshakes under way. Never does: reads a file on a
//! worker, lets go of a certificate that works for one that does not.
//!
//! Flow: files → `pair` (checked) → `store` (in force, swapped whole) → `accept` (a client's hello picks one).

mod accept;
mod follow;
mod names;
mod pair;
mod site;
mod store;
mod validity;

pub(super) use accept::{Secured, accept};
pub use follow::TlsTask;
pub(super) use follow::build;
pub(super) use pair::{check, validity_of};
pub use site::{Identity, MinVersion, Site};
pub use store::{SiteState, Tls};
pub(super) use validity::Validity;
