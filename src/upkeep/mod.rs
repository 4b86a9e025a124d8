//! Reconcilers: periodic and poked, idempotent, without input. Rooms say what; upkeep says when.
