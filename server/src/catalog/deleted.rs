//! Deleted tables whose streams can still be read: cells of the metadata, under the ids of the tables.
//!
//! Order of steps: what is kept of a table is there before its definition goes. So a cell of a table that is there is of a
//! deletion that did not come to its end, or has not yet: it is not shown, and the next deletion writes it anew. Invariant: the
//! keyspace of a stream that is shown is there.

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::ConsistencyLevel;
use uuid::Uuid;

use super::record::DeletedTable;
use super::{Catalog, CatalogError, TableDefinition};
use crate::compare_and_set::TRIES;

/// Prefix of the keys of what is kept of deleted tables; the 16 bytes of the table's id follow.
pub(super) const DELETED: &[u8] = b"deleted/";
/// The first key after all with that prefix.
pub(super) const DELETED_END: &[u8] = b"deleted0";

fn key(id: Uuid) -> Vec<u8> {
    [DELETED, id.as_bytes()].concat()
}

/// What a cell keeps.
pub(super) fn read(cell: &[u8]) -> Result<DeletedTable, CatalogError> {
    DeletedTable::from_bytes(cell).map_err(|detail| CatalogError::Malformed {
        name: "that was deleted".to_owned(),
        detail,
    })
}

impl Catalog {
    /// What is kept of deleted tables, as of now on this node, in the order of their names and then of their ends.
    pub(crate) fn deleted(&self) -> Arc<Vec<DeletedTable>> {
        self.deleted.load_full()
    }

    /// Keeps what is left of a table that is about to be deleted.
    pub(super) async fn keep_streams(
        &self,
        table: &TableDefinition,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let Some(deleted) = DeletedTable::of(table, now_ms) else {
            return Ok(());
        };
        self.replace_deleted(deleted.id, &deleted.name, |_| Some(deleted.to_bytes()))
            .await
    }

    /// Changes what is kept of a deleted table, if it still is.
    ///
    /// # Errors
    /// [`CatalogError::Contended`] and failures of the cluster.
    pub(crate) async fn change_deleted(
        &self,
        deleted: &DeletedTable,
        change: impl Fn(&mut DeletedTable),
    ) -> Result<(), CatalogError> {
        self.replace_deleted(deleted.id, &deleted.name, |known| {
            let mut known = known?;
            change(&mut known);
            Some(known.to_bytes())
        })
        .await
    }

    /// Keeps nothing of a deleted table any more.
    ///
    /// # Errors
    /// As [`Catalog::change_deleted`].
    pub(crate) async fn forget_deleted(&self, deleted: &DeletedTable) -> Result<(), CatalogError> {
        self.replace_deleted(deleted.id, &deleted.name, |_| None).await?;
        self.clean_up().await
    }

    async fn replace_deleted(
        &self,
        id: Uuid,
        name: &str,
        replace: impl Fn(Option<DeletedTable>) -> Option<Bytes>,
    ) -> Result<(), CatalogError> {
        let (metadata, key) = (self.cluster.metadata(), key(id));
        for _ in 0..TRIES {
            let level = ConsistencyLevel::Quorum;
            let expected = self.cluster.read(metadata, &key, level).await?;
            let cell = replace(expected.as_deref().map(read).transpose()?);
            if cell == expected || self.install_at(&key, expected, cell).await? {
                self.show().await;
                return Ok(());
            }
        }
        Err(CatalogError::Contended {
            name: name.to_owned(),
        })
    }
}
