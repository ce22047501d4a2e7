//! One table as operations see it: definition, keyspace, key bytes, row count.

use std::sync::Arc;

use stator_cluster::{ConsistencyLevel, Keyspace, LocalRows};
use stator_model::item::ItemRef;
use stator_model::key::{KeyBytes, KeyError, KeySchema};

use super::record::TableDefinition;
use super::tally::Tally;
use crate::consistency;

/// A table. Its definition never changes; a changed table is a new value that shares keyspace and tally.
#[derive(Debug)]
pub(crate) struct Table {
    definition: TableDefinition,
    keyspace: Keyspace,
    /// Mixed into the hash of partition keys; see `docs/format/key.md`.
    seed: u64,
    level: Option<ConsistencyLevel>,
    tally: Arc<Tally>,
}

impl Table {
    /// A table whose rows are not counted yet, or that has none.
    pub(super) fn new(definition: TableDefinition, keyspace: Keyspace) -> Self {
        let (seed, _) = definition.id.as_u64_pair();
        Self {
            level: consistency::of_tags(&definition.tags),
            definition,
            keyspace,
            seed,
            tally: Arc::default(),
        }
    }

    pub(super) fn with_definition(&self, definition: TableDefinition) -> Self {
        Self {
            level: consistency::of_tags(&definition.tags),
            definition,
            keyspace: self.keyspace,
            seed: self.seed,
            tally: Arc::clone(&self.tally),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    pub(crate) fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    pub(crate) fn schema(&self) -> &KeySchema {
        &self.definition.key_schema
    }

    pub(crate) fn keyspace(&self) -> Keyspace {
        self.keyspace
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The consistency level that its tag names.
    pub(crate) fn level(&self) -> Option<ConsistencyLevel> {
        self.level
    }

    /// Rows and bytes, kept current by every write.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Key bytes of an item that is to be stored.
    ///
    /// # Errors
    /// [`KeyError`] when it has no valid key.
    pub(crate) fn key_of_item(&self, item: ItemRef<'_>) -> Result<KeyBytes, KeyError> {
        self.definition.key_schema.key_of_item(self.seed, item)
    }

    /// Key bytes of a key.
    ///
    /// # Errors
    /// [`KeyError`] when it is not exactly a key.
    pub(crate) fn key_of_key(&self, key: ItemRef<'_>) -> Result<KeyBytes, KeyError> {
        self.definition.key_schema.key_of_key(self.seed, key)
    }

    /// Counts the rows of one moment, taken before the first write since the node started; later writes are counted as
    /// they come. Reads the whole table, so it belongs on a thread that may wait for the disk.
    pub(super) fn count_rows(&self, mut rows: LocalRows) -> Result<(), stator_cluster::Error> {
        while let Some(row) = rows.next_row()? {
            let size = ItemRef::from_stored(row.cell()).map_or(0, ItemRef::size);
            self.tally.add(1, i64::try_from(size).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
