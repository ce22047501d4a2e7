//! Compaction: merging sstables down the levels.
//!
//! Invariant: [`picker`] decides and touches nothing, [`job`] carries out and decides nothing, [`retention`] says
//! which versions a snapshot may still ask for.

pub(crate) mod job;
pub(crate) mod picker;
pub(crate) mod retention;
