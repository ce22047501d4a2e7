//! One table as operations see it: definition, keyspace, key bytes.

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{ConsistencyLevel, Keyspace};
use stator_iam::policy::{DocumentKind, Policy};
use stator_model::index::{IndexKeys, IndexKind, Misfit};
use stator_model::item::ItemRef;
use stator_model::key::{KeyBytes, KeyError, KeySchema};
use uuid::Uuid;

use super::record::{IndexDefinition, IndexStatus, ResourcePolicy, TableDefinition};
use crate::command::ITEM_BYTES_MAX;
use crate::consistency;
use crate::message;
use crate::wire::error::ApiError;

/// A table. Its definition never changes; a changed table is a new value with the same keyspace.
#[derive(Debug)]
pub(crate) struct Table {
    definition: TableDefinition,
    /// The definition as it is stored.
    cell: Bytes,
    keyspace: Keyspace,
    /// Mixed into the hash of partition keys; see `docs/format/key.md`.
    seed: u64,
    level: Option<ConsistencyLevel>,
    indexes: Vec<TableIndex>,
    /// The resource policies by the stream that they belong to; `None` is the table itself.
    policies: Vec<(Option<Uuid>, Arc<Policy>)>,
}

/// What stands for a policy that this program cannot read: nobody but root may do anything.
const UNREADABLE: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

/// An index of a table.
#[derive(Debug)]
pub(crate) struct TableIndex {
    pub(crate) definition: IndexDefinition,
    pub(crate) keys: IndexKeys,
}

impl Table {
    /// The table of a definition and its stored form.
    pub(super) fn new(definition: TableDefinition, cell: Bytes, keyspace: Keyspace) -> Self {
        let seed = definition.seed();
        let index = |index: &IndexDefinition| TableIndex {
            keys: index.keys(&definition.key_schema, seed),
            definition: index.clone(),
        };
        Self {
            indexes: definition.indexes.iter().map(index).collect(),
            level: consistency::of_tags(&definition.tags),
            policies: definition.resource_policies.iter().filter_map(compiled).collect(),
            definition,
            cell,
            keyspace,
            seed,
        }
    }

    pub(super) fn cell(&self) -> &Bytes {
        &self.cell
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

    /// The policy of the table, or of its stream with this id.
    pub(crate) fn policy(&self, stream: Option<Uuid>) -> Option<&Policy> {
        let mut policies = self.policies.iter();
        policies.find_map(|(of, policy)| (*of == stream).then_some(policy.as_ref()))
    }

    /// Its indexes, in the order of the definition.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = &TableIndex> {
        self.indexes.iter()
    }

    /// The index of a name.
    pub(crate) fn index(&self, name: &str) -> Option<&TableIndex> {
        self.indexes.iter().find(|index| index.definition.name == name)
    }

    /// Checks that every index takes an item: the keys that it has for it, and its size.
    ///
    /// # Errors
    /// ValidationException.
    pub(crate) fn check_index_keys(&self, item: ItemRef<'_>) -> Result<(), ApiError> {
        match self.index_misfit(item) {
            Some((misfit, index)) => Err(message::index::misfit(&misfit, index)),
            None => self.check_local_rows(item),
        }
    }

    /// Checks that an item is not too large together with its row in a local index.
    ///
    /// Source: Amazon DynamoDB Developer Guide, "Quotas: item size for tables with local secondary indexes".
    ///
    /// # Errors
    /// ValidationException.
    pub(crate) fn check_local_rows(&self, item: ItemRef<'_>) -> Result<(), ApiError> {
        let size = item.size();
        if 2 * size <= ITEM_BYTES_MAX {
            return Ok(());
        }
        let mut local = (self.indexes.iter()).filter(|index| index.definition.kind == IndexKind::Local);
        let is_too_large = local.any(|index| {
            let has_row = matches!(index.keys.row_key(item), Ok(Some(_)));
            let row = || index.keys.project(&index.definition.projection, item);
            has_row && size + row().as_ref().size() > ITEM_BYTES_MAX
        });
        if is_too_large {
            return Err(ApiError::validation(message::ITEM_TOO_LARGE));
        }
        Ok(())
    }

    /// What the first index that does not take the keys that an item has for it has against them, and its name.
    pub(crate) fn index_misfit(&self, item: ItemRef<'_>) -> Option<(Misfit, &str)> {
        let mut made = (self.indexes.iter()).filter(|index| index.definition.status != IndexStatus::Deleting);
        made.find_map(|index| {
            let misfit = index.keys.row_key(item).err()?;
            Some((misfit, index.definition.name.as_str()))
        })
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
}

fn compiled(policy: &ResourcePolicy) -> Option<(Option<Uuid>, Arc<Policy>)> {
    let read = |document| Policy::parse(document, DocumentKind::Resource);
    let compiled = read(&policy.document).or_else(|error| {
        tracing::error!(%error, "a resource policy cannot be read; it denies everything");
        read(UNREADABLE)
    });
    Some((policy.stream, Arc::new(compiled.ok()?)))
}
