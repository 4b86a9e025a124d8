//! Frames in flight: one publisher, many readers, bounded rings.
