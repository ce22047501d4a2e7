//! What the owner says about entries when they are written anew.
//!
//! Invariant: the rules of a compaction are older than the snapshots that it takes account of. So a snapshot keeps every
//! value that had not expired when it was taken.

use std::sync::Arc;

use crate::entry::{KeyspaceId, SequenceNumber};

/// Gives each compaction its rules.
pub trait CompactionFilter: Send + Sync + std::fmt::Debug {
    /// The rules as of now. A compaction asks once, when it begins.
    fn rules(&self) -> Arc<dyn CompactionRules>;
}

/// Asked by a compaction about the newest version of a key. Called on a background thread, often, and in no particular
/// order of keys: it must be quick and must not call the engine.
///
/// Rules never change their answers: what they compare with, such as the time, is that of their making.
pub trait CompactionRules: Send + Sync + std::fmt::Debug {
    /// Whether a value has expired, so that the key reads as absent from now on. Later rules must say so too.
    fn is_expired(&self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> bool {
        let _ = (keyspace, key, value);
        false
    }

    /// Whether the tombstone of a key, under which nothing older lies, may go. An owner that replicates keeps it until
    /// every replica has it. Later rules must say so too.
    fn may_purge(&self, keyspace: KeyspaceId, key: &[u8], sequence: SequenceNumber) -> bool {
        let _ = (keyspace, key, sequence);
        true
    }
}

/// Nothing expires, every tombstone may go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeepAll;

impl CompactionRules for KeepAll {}

impl CompactionFilter for KeepAll {
    fn rules(&self) -> Arc<dyn CompactionRules> {
        Arc::new(Self)
    }
}
