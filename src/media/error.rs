//! What can be wrong with media.

use crate::base::Kind;

/// Media that cannot be written, read or planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A fragment without a single sample.
    #[error("a fragment needs at least one sample")]
    Empty,
    /// More than a box or file may hold.
    #[error("{what} is {size}, more than the {limit} that are allowed")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// How much it is.
        size: u64,
        /// How much it may be.
        limit: u64,
    },
    /// The file is not footage that skyvis wrote.
    #[error("not skyvis footage: {what} at byte {offset}")]
    NotOurs {
        /// What is wrong.
        what: &'static str,
        /// Where in the file.
        offset: u64,
    },
    /// What another program wrote into a pipe cannot be read.
    #[error("the piped MP4 cannot be read: {0}")]
    Piped(&'static str),
    /// Something that is no whole picture, or not one of ours.
    #[error("not a picture: {0}")]
    Picture(&'static str),
    /// A parameter set that cannot be used.
    #[error("parameter set: {0}")]
    ParameterSet(&'static str),
    /// A sample table that contradicts itself.
    #[error("sample table of {start}: {what}")]
    Table {
        /// Start of the segment whose table it is.
        start: crate::base::Wall,
        /// What is wrong.
        what: &'static str,
    },
    /// Two codecs of pictures in one file, which players do not take.
    #[error(
        "the pictures change from {before} to {after} at {at}, which no player takes in one file; ask for the time before \
         and the time after it, or use HLS"
    )]
    Mixed {
        /// Of the footage before, as its sample entry is called.
        before: String,
        /// Of the footage after.
        after: String,
        /// Where it changes.
        at: crate::base::Wall,
    },
    /// No frame lies in the range.
    #[error("no frame lies in the range")]
    NoFrames,
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoFrames => Kind::NotFound,
            Self::Table { .. } | Self::NotOurs { .. } => Kind::Storage,
            Self::Piped(_) | Self::Picture(_) => Kind::Peer,
            Self::Empty | Self::TooLarge { .. } | Self::Mixed { .. } | Self::ParameterSet(_) => Kind::Invalid,
        }
    }
}
