//! Reading ranges: cursors over memtables and sstables, merged.
//!
//! Invariant: a cursor goes one way from its seek on; versions come in order (by key, newest first) when it goes
//! forward and in exactly the reverse order when it goes backward.

mod level;
mod memtable;
pub(crate) mod merge;
pub(crate) mod range;

/// The order of a range read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}
