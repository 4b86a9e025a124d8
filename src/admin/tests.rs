//! The endpoint as a whole.
