//! Backups: cells of tables, encrypted and checked, in a place that outlives the cluster (`docs/format/archive.md`).
//!
//! A backup is a manifest that names **runs**: cells in the order of their keys, in chunks. The first run is complete; each
//! further one says what has changed since, so that a backup of a table that has hardly changed copies hardly anything. A
//! chunk is named after what is in it and never changes; it stays as long as any manifest names it. Invariants: a backup is
//! there exactly if its manifest is, and that is written last; nothing is read that does not prove to be what was written.
//! Synchronous, without threads of its own; time, the place and who seals chunks are arguments. Not here: what keys and cells
//! mean, whose moment they are of, how fast they come.

mod archive;
mod backup;
mod block;
mod chunk;
mod error;
mod hands;
mod key;
mod manifest;
mod merge;
mod run;
mod seal;
mod store;
#[cfg(test)]
mod tests;

pub use archive::{Archive, INTENT_AGE_MS, Swept};
pub use backup::Backup;
pub use error::Error;
pub use hands::{Hands, Work};
pub use key::{KEY_BYTES, WrappingKey};
pub use manifest::{Description, Manifest, Verified};
pub use merge::Cells;
pub use store::{DirectoryStore, Store};
