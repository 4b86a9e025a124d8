//! Bounds of what a peer makes this process hold. Not of upstream: see README.md.

/// The longest status line and headers of a message. Devices need a few hundred bytes.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest message: a description, with its headers.
pub const MESSAGE_BYTES_MAX: usize = HEAD_BYTES_MAX + (256 << 10);
/// The most that one connection, or one track by datagrams, may hold: what came and is not handed out as frames yet. Twice
/// the largest picture that anybody takes, since sound that lies between its packets is held with it. The buffer's own size
/// is a power of two, so that this is also the most that is allocated for it.
pub const HELD_BYTES_MAX: usize = 32 << 20;
/// What an error says where [`HELD_BYTES_MAX`] is reached.
pub const HELD_TOO_MUCH: &str = "it sent 32 MiB without a whole picture in them";
/// Room that one read asks for at most.
const READ_BYTES: usize = 64 << 10;

/// Whether so many held bytes leave no room for another read.
pub(crate) fn is_reached(held: usize) -> bool {
    held + READ_BYTES > HELD_BYTES_MAX
}
