//! Frames in flight: one publisher a stream, many readers, a bounded ring between them.
//!
//! A reader that is too slow never holds the publisher back: it skips to the next key frame and is told how many
//! frames it lost. Never does: touch a disk, know what a camera or a file is.
//!
//! ```text
//! camera ── Publisher::publish ──► ring of one stream ──► Reader::next ── recorder, players
//!                                  (bounded in frames and bytes, and all rings together; a frame goes once all readers have
//!                                  it and no viewer who comes would begin with it)
//!        ── absent, roster ──►       why nothing comes, and what should
//!        ◄── demand ──               whether it is wanted at all: `Hub::hold`, and who reads
//!        ◄── picture ──              a still of now: `Hub::picture`, one at a time
//! ```

mod absence;
mod budget;
mod hub;
mod ring;
mod still;

pub use absence::{Absence, Hold, PICTURES, Roster};
pub use budget::ALL_RINGS_BYTES_MAX;
pub use hub::Hub;
pub use ring::{Delivery, Publisher, RING_BYTES_MAX, RING_FRAMES_MAX, Reader};
pub use still::{Decoder, NoPicture, Picture, Stills, Undecoded};

#[cfg(test)]
mod tests;
