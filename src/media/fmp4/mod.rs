//! Fragmented MP4 as skyvis writes it to disk.
//!
//! A file is `ftyp moov uuid` and then fragments, each `moof mdat`. The `uuid` box says where the footage comes from,
//! so that the index can be rebuilt from the files alone.

pub mod boxes;
pub mod demux;
pub mod moof;
pub mod origin;
pub mod parse;
pub mod read;
pub mod track;
pub mod write;

pub use origin::Origin;

/// Number of the video track in every file.
pub const VIDEO_TRACK: u32 = 1;
/// Number of the audio track, where there is one.
pub const AUDIO_TRACK: u32 = 2;
/// `sample_flags` of a frame at which decoding can begin.
pub const FLAGS_KEY: u32 = 0x0200_0000;
/// `sample_flags` of a frame that needs others.
pub const FLAGS_DELTA: u32 = 0x0101_0000;
