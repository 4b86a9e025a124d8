//! What two parsers could read differently, as data: [`cases`] and [`mutants`] of them. The codec reads them alone
//! ([`walk`]); here they go through the whole proxy.

pub mod cases;
mod evil;
pub mod mutants;
mod origins;
mod rig;
mod through;
pub mod walk;
