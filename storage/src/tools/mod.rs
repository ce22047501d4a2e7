//! Work on the directory of an engine that is not running: verify, dump, repair; and the checkpoint of a running one.
//!
//! Invariant: nothing here writes into a directory without holding its lock, and only `repair` writes at all.

mod checkpoint;
mod dump;
mod log;
mod offline;
mod repair;
mod verify;

pub(crate) use checkpoint::checkpoint;

pub use checkpoint::Checkpoint;
pub use dump::{DumpOptions, dump};
pub use repair::{Repair, repair};
pub use verify::{Verification, verify};

/// How far a long work is: bytes done and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);
