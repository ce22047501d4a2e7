//! What a page is read from: a table, or one of its indexes.
//!
//! Invariant: the keys of a source identify its rows, so that a page that ends at a row goes on behind it. Not here:
//! filling pages.

use std::sync::Arc;

use stator_cluster::Keyspace;
use stator_model::expression::Projection as Paths;
use stator_model::expression::key_condition::KeyAttribute;
use stator_model::index::{IndexKind, Projection};
use stator_model::item::{Item, ItemRef};
use stator_model::key::{self, KeyError, partition_prefix};

use super::{PagePlan, Select};
use crate::catalog::{IndexStatus, Table, TableIndex};
use crate::message;
use crate::operation::Context;
use crate::wire::error::ApiError;

/// See the head of the file.
#[derive(Debug)]
pub(in crate::operation) struct Source {
    pub(in crate::operation) table: Arc<Table>,
    /// Name of the index.
    index: Option<String>,
}

impl Source {
    /// The source that a request names.
    ///
    /// # Errors
    /// ResourceNotFoundException, ServiceUnavailable, and ValidationException for an index that is not there or not yet.
    pub(in crate::operation) async fn find(
        context: &Context,
        name: &str,
        index: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut table = context.table(name).await?;
        let Some(index) = index else {
            return Ok(Self { table, index: None });
        };
        if status(&table, index) != Some(IndexStatus::Active) {
            // Another node may have made it.
            let latest = context
                .catalog
                .latest(name)
                .await
                .map_err(message::table::catalog)?;
            table = latest.ok_or_else(message::no_table)?;
        }
        match status(&table, index) {
            Some(IndexStatus::Active) => Ok(Self {
                table,
                index: Some(index.to_owned()),
            }),
            Some(IndexStatus::Creating | IndexStatus::Backfilling) => Err(message::index::backfilling(index)),
            Some(IndexStatus::Deleting) | None => Err(message::index::no_index(index)),
        }
    }

    /// A table or one of its indexes, whatever state the index is in; `None` when there is no such index.
    pub(in crate::operation) fn of(table: Arc<Table>, index: Option<&str>) -> Option<Self> {
        if let Some(index) = index {
            table.index(index)?;
        }
        Some(Self {
            table,
            index: index.map(str::to_owned),
        })
    }

    /// The index, if it is one.
    pub(in crate::operation) fn index(&self) -> Option<&TableIndex> {
        self.table.index(self.index.as_deref()?)
    }

    /// The keyspace of its rows.
    ///
    /// # Errors
    /// [`ApiError::TableDropped`] when this node has not heard of it, or it is gone.
    pub(super) fn keyspace(&self, context: &Context) -> Result<Keyspace, ApiError> {
        match self.index() {
            None => Ok(self.table.keyspace()),
            Some(index) => {
                let keyspace = context.cluster.keyspace(&index.definition.keyspace());
                keyspace.ok_or(ApiError::TableDropped)
            }
        }
    }

    /// The attributes that a query gives values for.
    pub(in crate::operation) fn hash(&self) -> Vec<KeyAttribute<'_>> {
        match self.index() {
            None => vec![as_expression(&self.table.schema().partition)],
            Some(index) => index.keys.hash().iter().map(as_expression).collect(),
        }
    }

    /// The attributes that order the rows of a query.
    pub(in crate::operation) fn range(&self) -> Vec<KeyAttribute<'_>> {
        match self.index() {
            None => self.table.schema().sort.iter().map(as_expression).collect(),
            Some(index) => index.keys.range().iter().map(as_expression).collect(),
        }
    }

    /// What all rows with these hash values begin with.
    pub(in crate::operation) fn prefix(&self, hash: &[&[u8]]) -> Vec<u8> {
        match (self.index(), hash) {
            (None, [partition]) => partition_prefix(self.table.seed(), partition, 0),
            (None, _) => Vec::new(),
            (Some(index), hash) => index.keys.prefix(hash),
        }
    }

    /// Whether range values are escaped in its keys, because others follow them.
    pub(in crate::operation) fn is_escaped(&self) -> bool {
        self.index.is_some()
    }

    /// True for an attribute of its key.
    pub(in crate::operation) fn is_key(&self, name: &[u8]) -> bool {
        match self.index() {
            None => self.table.schema().contains(name),
            Some(index) => index.keys.contains(name),
        }
    }

    /// The key bytes of the row that an ExclusiveStartKey names.
    ///
    /// # Errors
    /// [`KeyError`] when it is not exactly a key.
    pub(in crate::operation) fn row_of_key(&self, key: ItemRef<'_>) -> Result<Vec<u8>, KeyError> {
        match self.index() {
            None => self.table.key_of_key(key).map(key::KeyBytes::into_vec),
            Some(index) => index.keys.row_of_key(key),
        }
    }

    /// The attributes that identify a row.
    pub(super) fn key_of_row(&self, row: ItemRef<'_>) -> Item {
        match self.index() {
            None => self.table.schema().project(row),
            Some(index) => index.keys.key_of_row(row),
        }
    }

    /// Checks that what is read can be read with the consistency that is asked for.
    ///
    /// # Errors
    /// ValidationException for a strongly consistent read of a global index.
    pub(in crate::operation) fn check_consistency(&self, plan: &PagePlan) -> Result<(), ApiError> {
        let kind = self.index().map(|index| index.keys.kind());
        if plan.consistent && kind == Some(IndexKind::Global) {
            return Err(message::index::consistent_global());
        }
        Ok(())
    }

    /// Whether the items have to be fetched because the rows lack attributes that are asked for.
    ///
    /// # Errors
    /// ValidationException for a global index, which fetches nothing.
    pub(super) fn fetches(&self, plan: &PagePlan) -> Result<bool, ApiError> {
        self.check_consistency(plan)?;
        let Some(TableIndex { definition, keys }) = self.index() else {
            return Ok(false);
        };
        if definition.projection == Projection::All {
            return Ok(false);
        }
        let mut unseen = Vec::new();
        if let Some(filter) = &plan.filter {
            filter.for_each_path(&mut |path| {
                let name = path.top_level();
                if !definition.projection.has(keys, name.as_bytes()) && !unseen.contains(&name.to_owned()) {
                    unseen.push(name.to_owned());
                }
            });
        }
        if !unseen.is_empty() {
            let unseen: Vec<&str> = unseen.iter().map(String::as_str).collect();
            return Err(message::index::filter_not_projected(&definition.name, &unseen));
        }
        let asks_all = plan.select == Some(Select::AllAttributes);
        let paths = plan.projection.iter().flat_map(Paths::paths);
        let mut missing = Vec::new();
        for name in paths.map(stator_model::expression::Path::top_level) {
            if !definition.projection.has(keys, name.as_bytes()) && !missing.contains(&name) {
                missing.push(name);
            }
        }
        match keys.kind() {
            IndexKind::Local => Ok(asks_all || !missing.is_empty()),
            IndexKind::Global if asks_all => Err(message::index::not_all_projected(&definition.name)),
            IndexKind::Global if !missing.is_empty() => {
                Err(message::index::not_projected(&definition.name, &missing))
            }
            IndexKind::Global => Ok(false),
        }
    }
}

fn status(table: &Table, index: &str) -> Option<IndexStatus> {
    Some(table.index(index)?.definition.status)
}

fn as_expression(attribute: &key::KeyAttribute) -> KeyAttribute<'_> {
    KeyAttribute {
        name: &attribute.name,
        kind: attribute.kind,
    }
}
