//! Item collections as writes tell of them: `ReturnItemCollectionMetrics` and `ItemCollectionMetrics`.
//!
//! The size is read after the write, at the level of the write, so that it has the write in it. Source: Amazon DynamoDB API
//! Reference, ItemCollectionMetrics. Not here: how sizes come about (`derive/collection.rs`).

use std::collections::HashSet;

use futures_util::future::try_join_all;
use stator_cluster::{ConsistencyLevel, sum_of};
use stator_model::item::{Item, ItemRef};
use stator_model::key::{KeyBytes, partition_of};

use super::Context;
use crate::catalog::Table;
use crate::constraint::ModelEnum;
use crate::wire::error::ApiError;

/// Bytes of the unit in which sizes are told.
const GIGABYTE: u64 = 1 << 30;

/// `ReturnItemCollectionMetrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CollectionMetrics {
    Size,
    #[default]
    None,
}

impl ModelEnum for CollectionMetrics {
    const NAMES: &'static [&'static str] = &["SIZE", "NONE"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "SIZE" => Self::Size,
            "NONE" => Self::None,
            _ => return None,
        })
    }
}

/// An item collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemCollection {
    /// Its partition key.
    pub(crate) key: Item,
    bytes: u64,
}

impl ItemCollection {
    /// The collection of an item, after a write of it; `None` for a table without local indexes.
    ///
    /// # Errors
    /// Failures of the cluster, although the write stands: the same request again has the same answer as the first, and no
    /// other effect.
    pub(super) async fn read(
        context: &Context,
        table: &Table,
        (item, key): (ItemRef<'_>, &KeyBytes),
        level: ConsistencyLevel,
    ) -> Result<Option<Self>, ApiError> {
        let Some(keyspace) = table.definition().collections() else {
            return Ok(None);
        };
        let keyspace = context
            .cluster
            .keyspace(&keyspace)
            .ok_or(ApiError::TableDropped)?;
        let level = match level {
            ConsistencyLevel::One => ConsistencyLevel::One,
            ConsistencyLevel::Quorum | ConsistencyLevel::All => ConsistencyLevel::Quorum,
        };
        let row = context
            .cluster
            .read(keyspace, partition_of(key.as_bytes()), level)
            .await?;
        let malformed = || ApiError::Internal("the size of an item collection cannot be read".to_owned());
        let partition = table.schema().partition.name.as_bytes();
        Ok(Some(Self {
            key: Item::build(item.iter().filter(|(name, _)| *name == partition)),
            bytes: sum_of(row.as_ref()).ok_or_else(malformed)?,
        }))
    }

    /// The collections of items of one table, each once.
    ///
    /// # Errors
    /// As [`ItemCollection::read`].
    pub(super) async fn read_all(
        context: &Context,
        table: &Table,
        items: impl Iterator<Item = (ItemRef<'_>, &KeyBytes)>,
        level: ConsistencyLevel,
    ) -> Result<Vec<Self>, ApiError> {
        let mut seen = HashSet::new();
        let mut firsts: Vec<_> = items.collect();
        firsts.retain(|(_, key)| seen.insert(partition_of(key.as_bytes()).to_vec()));
        let read = firsts
            .into_iter()
            .map(|item| Self::read(context, table, item, level));
        let read = try_join_all(read).await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Between which whole numbers of gigabytes its size lies.
    pub(crate) fn range_gb(&self) -> [f64; 2] {
        let whole = u32::try_from(self.bytes / GIGABYTE).unwrap_or(u32::MAX);
        [f64::from(whole), f64::from(whole) + 1.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers are exact")]
    fn a_size_lies_between_two_gigabytes() {
        let range = |bytes| {
            let key = Item::empty();
            ItemCollection { key, bytes }.range_gb()
        };
        assert_eq!(range(0), [0.0, 1.0]);
        assert_eq!(range(GIGABYTE - 1), [0.0, 1.0]);
        assert_eq!(range(GIGABYTE), [1.0, 2.0]);
        assert_eq!(range(10 * GIGABYTE), [10.0, 11.0]);
    }
}
