//! Which instance of a service takes a request: policies as pure functions of counters and time.
//!
//! Owns: the counters that outlive a change of the table. Never does: I/O, clocks, locks.
