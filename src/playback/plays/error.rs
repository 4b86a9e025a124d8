//! Why a play is not made, or not seen.

use super::{BadGrant, BadPassword};
use crate::{base::Kind, disk, store};
use std::time::Duration;

/// Why a play was not made, not found, or not shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such play, or none any more.
    #[error("there is no such play; the link may be mistyped, or so old that nothing of it is kept")]
    NotKnown,
    /// It was taken back.
    #[error("this link was withdrawn; ask whoever gave it to you for another one")]
    Revoked,
    /// It had its time.
    #[error("this link has expired; ask whoever gave it to you for another one")]
    Expired,
    /// It wants a password, and none came.
    #[error(
        "this play needs its password: by the page's form, `Authorization: Basic` with any user name, or ?password=…"
    )]
    PasswordNeeded,
    /// Not this one.
    #[error("the password is wrong")]
    WrongPassword,
    /// What only a playlist names.
    #[error("this address is none that the playlist gave out, or it has run out; fetch the playlist again")]
    NoPass,
    /// Too many wrong ones.
    #[error("too many wrong passwords; try again in {} s", .0.as_secs_f64().ceil())]
    Refused(Duration),
    /// As many watch as may.
    #[error("as many people watch this as may at the same time; try again in {} s", .0.as_secs_f64().ceil())]
    Full(Duration),
    /// More is asked for at once than can be done.
    #[error("too many people ask at once; try again in a moment")]
    Busy,
    /// Who was to say whether it may be seen did not.
    #[error("whether this may be seen could not be asked: {0}")]
    Authorizer(String),
    /// What nobody could find later is not shown.
    #[error("that it is watched could not be written down, so it is not shown: {0}")]
    Unwritten(store::Error),
    /// No play can be like this.
    #[error(transparent)]
    Grant(#[from] BadGrant),
    /// Not a password.
    #[error(transparent)]
    Password(#[from] BadPassword),
    /// More than are kept.
    #[error("there are {0} plays, more than which are not kept; revoke some that nobody needs")]
    TooMany(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A thread failed.
    #[error(transparent)]
    Thread(#[from] disk::Error),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotKnown | Self::Revoked | Self::Expired => Kind::NotFound,
            Self::PasswordNeeded | Self::WrongPassword | Self::NoPass => Kind::Denied,
            Self::Refused(_) | Self::Full(_) | Self::Busy => Kind::Busy,
            Self::Authorizer(_) => Kind::Peer,
            Self::Grant(_) | Self::Password(_) => Kind::Invalid,
            Self::TooMany(_) => Kind::Conflict,
            Self::Unwritten(e) | Self::Store(e) => e.kind(),
            Self::Thread(e) => e.kind(),
        }
    }
}
