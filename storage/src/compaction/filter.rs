//! What the owner says about entries when they are written anew.
//!
//! Invariant: an answer changes only what readers of the present see; what a snapshot holds stays as it was.

use crate::entry::{KeyspaceId, SequenceNumber};

/// Asked by compactions about the newest version of a key. Called on background threads, often, and in no particular
/// order of keys: it must be quick and must not call the engine.
pub trait CompactionFilter: Send + Sync + std::fmt::Debug {
    /// Whether a value has expired, so that the key reads as absent from now on. Once `true` for a value, always `true`.
    fn is_expired(&self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> bool {
        let _ = (keyspace, key, value);
        false
    }

    /// Whether the tombstone of a key, under which nothing older lies, may go. An owner that replicates keeps it until
    /// every replica has it. Once `true` for a tombstone, always `true`.
    fn may_purge(&self, keyspace: KeyspaceId, key: &[u8], sequence: SequenceNumber) -> bool {
        let _ = (keyspace, key, sequence);
        true
    }
}

/// Nothing expires, every tombstone may go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeepAll;

impl CompactionFilter for KeepAll {}
