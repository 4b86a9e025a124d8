//! Plays: grants to see one stream over one interval, or live, and the record of who made use of them.
//!
//! Owns: the rows of plays and views, what wrong tries cost, whose places are taken. Never does: serve a byte of
//! footage, know how an address or a page looks.
//!
//! ```text
//! API ──► Plays::create, revoke ──► durable, then in force (and running answers end)
//! a request ──► Plays::enter ──► known? over? the password's turn (tries) ── a place (places) ── a view (rows) ──► Entry
//! Entry ── counts what is sent ──► PlaysTask writes it down every few seconds
//! ```

mod authorize;
mod book;
mod enter;
mod error;
mod grant;
mod pass;
mod password;
mod places;
mod rows;
mod task;
#[cfg(test)]
pub(super) mod tests;
pub(in crate::playback) mod tries;

pub use authorize::{Asking, Services};
pub use book::{Plays, Totals};
pub use enter::{Entry, Given, Knock, Watching};
pub use error::Error;
pub use grant::{BadGrant, EXPIRES_IN_MAX, NotAPlay, Play, PlayId, PlaySpec, Shown};
pub(super) use pass::{FILES, fuzz as fuzz_pass};
pub use password::{BadPassword, PASSWORD_BYTES_MAX, PasswordHash};
pub use rows::View;
pub use task::PlaysTask;
pub use tries::{Origin, Tries};

use crate::{
    base::{Clock, Metrics},
    disk::Disk,
    events::Events,
    store::Store,
};
use std::{sync::Arc, time::Duration};

/// How long a play lasts where nobody says.
pub const EXPIRY_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// What plays are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a play lasts where its maker does not say.
    pub expiry_default: Duration,
    /// What links are built on; None: on what the request that made them was sent to.
    pub wan_endpoint: Option<String>,
    /// Who is asked instead of our own passwords.
    pub authorize: Option<Asking>,
}

impl Default for Config {
    fn default() -> Self {
        Self { expiry_default: EXPIRY_DEFAULT, wan_endpoint: None, authorize: None }
    }
}

/// What plays stand on.
pub struct Deps {
    /// Where they are kept.
    pub store: Store,
    /// Passwords are hashed on threads beside its own.
    pub disk: Disk,
    /// Whom to tell.
    pub events: Events,
    /// Says when now is.
    pub clock: Clock,
    /// Where wrong tries and views are counted.
    pub metrics: Metrics,
    /// Where a service of the registry is to be found.
    pub services: Arc<dyn Services>,
}

/// As an earlier process left them. Blocks for as long as reading them takes.
pub fn build(config: Config, deps: Deps) -> Result<(Plays, PlaysTask), crate::store::Error> {
    let plays = Plays::open(config, deps)?;
    Ok((plays.clone(), PlaysTask::new(plays)))
}
