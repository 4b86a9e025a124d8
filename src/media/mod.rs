//! Formats as pure functions: fragmented MP4, HLS text, parameter sets. No I/O, no clock, no async.
