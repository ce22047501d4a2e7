//! Versions: which keyspaces there are and which sstables make them up, at one moment.
//!
//! Invariant: a version never changes; an edit makes a new one. From level 1 on the sstables of a level do not overlap
//! and all versions of a key lie in one of them. Not here: how edits become durable (`version/manifest.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{KeyspaceId, SequenceNumber};
use crate::settings::CompactionStrategy;
use crate::sstable::Sstable;

use self::edit::Change;

pub(crate) mod edit;
pub(crate) mod manifest;

/// The number of levels, with level 0.
pub(crate) const LEVELS: usize = 7;

/// How what is written to a keyspace comes back after a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The engine logs it: [`Engine::commit`](crate::Engine::commit).
    #[default]
    Logged,
    /// Its owner keeps it in a stream of its own and applies it again: [`Engine::apply`](crate::Engine::apply).
    Replayed,
}

/// What is settled for a keyspace when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceOptions {
    /// Where what is written to it lies before it is flushed.
    pub recovery: Recovery,
    /// How its sstables are merged.
    pub compaction: CompactionStrategy,
}

/// The sstables of one keyspace.
#[derive(Clone, Debug)]
pub(crate) struct KeyspaceVersion {
    pub(crate) id: KeyspaceId,
    pub(crate) name: String,
    /// If the keyspace was dropped: only snapshots from before this sequence number still see it.
    pub(crate) dropped_at: Option<SequenceNumber>,
    pub(crate) options: KeyspaceOptions,
    /// Level 0: newest first. Others: by key.
    pub(crate) levels: Vec<Vec<Arc<Sstable>>>,
}

impl KeyspaceVersion {
    pub(crate) fn new(id: KeyspaceId, name: String, options: KeyspaceOptions) -> Self {
        Self {
            id,
            name,
            dropped_at: None,
            options,
            levels: vec![Vec::new(); LEVELS],
        }
    }

    /// The change that creates the keyspace.
    pub(crate) fn created(&self) -> Change {
        Change::KeyspaceCreated {
            id: self.id,
            name: self.name.clone(),
            options: self.options,
        }
    }

    /// The version edit that creates the keyspace.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::new();
        edit::encode(&self.created(), &mut bytes);
        Bytes::from(bytes)
    }

    /// The one sstable of a level from 1 on that may hold `key`.
    pub(crate) fn candidate(&self, level: usize, key: &[u8]) -> Option<&Arc<Sstable>> {
        let sstables = &self.levels[level];
        let at = sstables.partition_point(|sstable| &sstable.meta.last_key[..] < key);
        sstables.get(at).filter(|sstable| sstable.meta.covers(key))
    }

    pub(crate) fn sstables(&self) -> impl Iterator<Item = &Arc<Sstable>> {
        self.levels.iter().flatten()
    }

    /// Adds an sstable at its place.
    pub(crate) fn add(&mut self, level: usize, sstable: Arc<Sstable>) {
        let sstables = &mut self.levels[level];
        let at = if level == 0 {
            // What was written at different times has different sequence numbers; a merge of neighbours stays between.
            sstables.partition_point(|other| other.meta.largest_sequence > sstable.meta.largest_sequence)
        } else {
            sstables.partition_point(|other| other.meta.last_key < sstable.meta.last_key)
        };
        debug_assert!(
            level == 0
                || sstables.iter().all(|other| !other
                    .meta
                    .overlaps(&sstable.meta.first_key, &sstable.meta.last_key)),
            "sstables of a level do not overlap"
        );
        sstables.insert(at, sstable);
    }

    /// Takes an sstable out.
    pub(crate) fn remove(&mut self, level: usize, number: u64) -> Option<Arc<Sstable>> {
        let at = self.levels[level]
            .iter()
            .position(|sstable| sstable.meta.number == number)?;
        Some(self.levels[level].remove(at))
    }
}

/// All keyspaces at one moment, the dropped ones that a snapshot still sees among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) keyspaces: BTreeMap<KeyspaceId, Arc<KeyspaceVersion>>,
}

impl Version {
    /// A keyspace that has not been dropped.
    pub(crate) fn live(&self, id: KeyspaceId) -> Option<&Arc<KeyspaceVersion>> {
        self.keyspaces
            .get(&id)
            .filter(|keyspace| keyspace.dropped_at.is_none())
    }

    /// A keyspace as a snapshot of `sequence` sees it.
    pub(crate) fn at(&self, id: KeyspaceId, sequence: SequenceNumber) -> Option<&Arc<KeyspaceVersion>> {
        self.keyspaces
            .get(&id)
            .filter(|keyspace| keyspace.dropped_at.is_none_or(|dropped| sequence < dropped))
    }

    /// The keyspaces that have not been dropped.
    pub(crate) fn all_live(&self) -> impl Iterator<Item = &Arc<KeyspaceVersion>> {
        self.keyspaces
            .values()
            .filter(|keyspace| keyspace.dropped_at.is_none())
    }
}
