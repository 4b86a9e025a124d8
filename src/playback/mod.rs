//! Segments to players: MP4 ranges, HLS.
