//! The commit log: framed records in preallocated segment files (`docs/format/log.md`).
//!
//! Invariant: only the last segment can be torn. Not here: who writes when (`commit.rs`), what a payload means
//! (`batch.rs`).

pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod segment;
