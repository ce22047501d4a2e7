//! How large an item collection is: the items of one partition key in a table with local indexes, and their rows in these.
//!
//! Invariant: the sum of a collection is that of the sizes of its items and rows, as the tallies of table and indexes count
//! them; a collection of nothing has none. Who adds up is `stator_cluster`.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Item collections in local secondary indexes".

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{DerivedRow, DerivedSum, Growth, Route, UnfitSum};
use stator_model::item::ItemRef;
use stator_model::key::partition_of;

use super::{Images, unfit};
use crate::catalog::TableDefinition;
use crate::limits::Limits;
use crate::message;

/// The item collections of a table, as their sizes are derived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DerivedCollections {
    keyspace: Arc<str>,
    bytes_max: u64,
}

impl DerivedCollections {
    /// `None` for a table without local indexes, which has no item collections.
    pub(super) fn new(table: &TableDefinition, limits: Limits) -> Option<Self> {
        Some(Self {
            keyspace: table.collections()?,
            bytes_max: limits.item_collection_bytes_max,
        })
    }

    /// What a write changes, which also changes these rows of indexes.
    pub(super) fn sum(&self, images: &Images<'_>, rows: &[DerivedRow]) -> DerivedSum {
        let size = |item: Option<ItemRef<'_>>| {
            let size = item.map_or(0, ItemRef::size);
            i64::try_from(size).unwrap_or(i64::MAX)
        };
        let of_local_indexes = rows.iter().filter(|row| row.route == Route::Beside);
        // Local indexes are as old as their table, so that nothing of them has to be found out.
        let bytes = |row: &DerivedRow| match row.growth {
            Growth::By(_, bytes) => bytes,
            Growth::Found => 0,
        };
        let rows: i64 = of_local_indexes.map(bytes).sum();
        DerivedSum {
            keyspace: Arc::clone(&self.keyspace),
            key: Bytes::copy_from_slice(partition_of(images.key)),
            change: size(images.after) - size(images.before) + rows,
            max: self.bytes_max,
            too_large: UnfitSum {
                code: unfit::COLLECTION_TOO_LARGE,
                reason: message::COLLECTION_TOO_LARGE,
            },
        }
    }
}
