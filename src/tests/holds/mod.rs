//! The proxy of a whole daemon under what must not harm it: instances that come and go, tables that change, peers that are
//! slow, silent or rude. Each test runs a daemon in a process of its own, whose memory and tasks are looked at.
//!
//! Short by default; `benches/rig/hold` goes on for as long as one likes.

mod flapping;
mod flat;
mod floods;
mod origin;
mod site;
mod streams;
mod survives;

/// A number that `benches/rig/hold` sets, or how much is done within all the tests.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}
