//! The checkers of histories: pure functions from what was seen to what must not have been.
//!
//! Invariant: a checker that finds nothing has looked at everything it was given, or says that it could not decide.

pub mod linearizable;
pub mod model;
pub mod register;
pub mod serializable;
