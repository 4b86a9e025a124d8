//! Tests of the table as a whole.

mod fixture;
mod groups;
mod matching;

pub(in crate::proxy) use fixture::{PANICS, instance, route, upstreams, with};
