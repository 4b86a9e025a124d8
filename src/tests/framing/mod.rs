//! What two parsers could read differently: cases as data, told of by [`cases`] and mutated by [`mutants`].

pub mod cases;
pub mod mutants;
