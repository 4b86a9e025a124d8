//! Tests that see the whole crate: the order of rooms, and flows of a whole daemon.

mod architecture;
