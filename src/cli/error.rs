//! Why a command failed, in one sentence that says what to do.

use crate::{
    app, archive,
    base::{Kind, time::NotATime},
    config::{Faults, nginx},
    disk,
    model::key::BadKey,
    outbound, sim, store,
};
use std::{io, path::PathBuf};

/// It ran and failed.
const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
const EXIT_USAGE: u8 = 2;
/// The config is wrong (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A command of the contract without its code.
    #[error("`skyvis {0}` is not built yet in this version")]
    NotBuilt(&'static str),
    /// A text is not a time.
    #[error(transparent)]
    Time(#[from] NotATime),
    /// A text is not a stream.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The daemon could not start, or had to end.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The config has faults.
    #[error("{0}")]
    Config(#[from] Faults),
    /// A configuration of nginx cannot be read.
    #[error(transparent)]
    Nginx(nginx::Fault),
    /// Nobody listens.
    #[error(
        "no daemon answers at {address} ({why}); start it with `systemctl start skyvis` or `skyvis run`, \
         or name another with --admin"
    )]
    NotRunning {
        /// Where it was looked for.
        address: String,
        /// What the system said.
        why: String,
    },
    /// A token is needed, or another one.
    #[error("{address} asks for a token{}; name its file with --token-file", if *.sent { " other than the one that was sent" } else { "" })]
    Token {
        /// Who asks.
        address: String,
        /// Whether one was sent.
        sent: bool,
    },
    /// The daemon refused.
    #[error("the daemon refused: {0}")]
    Refused(String),
    /// The daemon's answer broke off or makes no sense.
    #[error("talking to the daemon at {address}: {why}")]
    Answer {
        /// Whom was talked to.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// A request failed in a way that has its own words.
    #[error(transparent)]
    Outbound(#[from] outbound::Error),
    /// A file that must not be lost stands in the way.
    #[error("{} exists; give another name, or --force to replace it", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The footage or its index refused.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The simulator could not be started.
    #[error(transparent)]
    Simulator(#[from] sim::Error),
    /// Index and files differ.
    #[error("{faults} of footage's rows or files are not as they should be; {advice}")]
    Unsound {
        /// How many.
        faults: u64,
        /// What to do.
        advice: String,
    },
    /// There is nothing to work on.
    #[error("{0}")]
    Nothing(String),
    /// The answer could not be written.
    #[error("the answer could not be written: {0}")]
    Output(io::Error),
    /// The process could not be set up.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// Ctrl-C, or a signal to end.
    #[error("interrupted; {0}")]
    Interrupted(String),
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::App(e) => e.kind(),
            Self::Usage(_) | Self::NotBuilt(_) | Self::Time(_) | Self::Key(_) | Self::Config(_) | Self::Nginx(_) => {
                Kind::Invalid
            }
            Self::NotRunning { .. } | Self::Answer { .. } | Self::Refused(_) => Kind::Peer,
            Self::Token { .. } => Kind::Denied,
            Self::Outbound(e) => e.kind(),
            Self::Exists(_) => Kind::Conflict,
            Self::Disk(e) => e.kind(),
            Self::Store(e) => e.kind(),
            Self::Archive(e) => e.kind(),
            Self::Simulator(e) => e.kind(),
            Self::Unsound { .. } => Kind::Storage,
            Self::Nothing(_) => Kind::NotFound,
            Self::Output(_) | Self::Start(_) => Kind::Storage,
            Self::Interrupted(_) => Kind::Stopped,
        }
    }

    /// The exit code that the contract gives it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NotBuilt(_) | Self::Time(_) | Self::Key(_) => EXIT_USAGE,
            Self::Simulator(e) if e.kind() == Kind::Invalid => EXIT_USAGE,
            Self::Config(_) | Self::Nginx(_) => EXIT_CONFIG,
            Self::App(e) => e.exit_code(),
            _ => EXIT_FAILED,
        }
    }
}
