//! What every room's error answers: whose fault it is, which is what decides on retry and on an HTTP status.

/// The kind of a failure. Each room's `Error` has `kind()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller asked for something malformed.
    Invalid,
    /// What was asked for does not exist.
    NotFound,
    /// It exists in a state that does not allow this.
    Conflict,
    /// The caller may not.
    Denied,
    /// A bounded queue or limit is full; try again.
    Busy,
    /// A peer (camera, upstream) failed or could not be reached.
    Peer,
    /// No room on the disk.
    NoSpace,
    /// The disk or database failed.
    Storage,
    /// The room has stopped.
    Stopped,
    /// A bug.
    Internal,
}
