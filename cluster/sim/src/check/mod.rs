//! The checkers: pure functions from what was seen to what must not have been.
//!
//! Invariant: a checker that finds nothing has looked at everything it was given, or says that it could not decide.
//! Those that judge histories alone are of `stator-history`.

pub mod convergence;
pub mod version;

pub use stator_history::check::{linearizable, model, register};
