//! Tests of the codec, over the cases that the whole proxy is tested with too.

mod bodies;
mod forwarding;
mod heads;
mod parsers;
mod paths;
mod preludes;
mod properties;
mod replies;
mod trust;
mod verdicts;
