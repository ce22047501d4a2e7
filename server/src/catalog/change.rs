//! Changing definitions: compare-and-set of their cells, so that nodes that change the same table at once do not undo
//! each other's changes.
//!
//! Order of steps: a table's definition comes before its keyspace and goes before it. So a keyspace without a definition is
//! always garbage, and a definition without a keyspace is a table whose keyspace whoever sees it makes. What is kept of a deleted
//! table is the part of `deleted.rs`.

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::Tally;

use super::{Catalog, CatalogError, STREAM_KEYSPACE, Table, TableDefinition, definition_key};
use crate::compare_and_set::{self, TRIES};

impl Catalog {
    /// Makes a table. It is there when its definition is: a keyspace that could not be made is made by whoever asks for
    /// the table first.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] and failures of the cluster.
    pub(crate) async fn create(&self, definition: &TableDefinition) -> Result<(), CatalogError> {
        let name = &definition.name;
        let exists = || CatalogError::Exists { name: name.clone() };
        self.catch_up().await?;
        if self.table(name).is_some() {
            return Err(exists());
        }
        if !self.install(name, None, Some(definition.to_bytes())).await? {
            return Err(exists());
        }
        if let Err(error) = self.make_keyspaces(name, definition).await {
            tracing::warn!(table = name, %error, "the keyspace of a new table is made when it is asked for");
        }
        self.show().await;
        Ok(())
    }

    /// Changes a table's definition; `change` may refuse, and is asked again when another node has changed the table
    /// first. The key schema and the id must stay as they are.
    ///
    /// # Errors
    /// [`CatalogError::Missing`], [`CatalogError::Contended`] and failures of the cluster; inside, whatever `change` refuses
    /// with.
    pub(crate) async fn change<E>(
        &self,
        name: &str,
        mut change: impl FnMut(&mut TableDefinition) -> Result<(), E>,
    ) -> Result<Result<Arc<Table>, E>, CatalogError> {
        for _ in 0..TRIES {
            let table = self.to_change(name).await?;
            let mut definition = table.definition().clone();
            if let Err(refusal) = change(&mut definition) {
                return Ok(Err(refusal));
            }
            let cell = definition.to_bytes();
            if self
                .install(name, Some(table.cell().clone()), Some(cell.clone()))
                .await?
            {
                self.show().await;
                return Ok(Ok(Arc::new(Table::new(definition, cell, table.keyspace()))));
            }
        }
        Err(CatalogError::Contended {
            name: name.to_owned(),
        })
    }

    /// Makes the keyspaces that a changed definition names and that are not there yet.
    ///
    /// # Errors
    /// Failures of the cluster.
    pub(crate) async fn make_derived_keyspaces(&self, table: &Table) -> Result<(), CatalogError> {
        for name in table.definition().derived_keyspaces() {
            if self.cluster.keyspace(&name).is_none() {
                self.cluster.create_keyspace(&name).await?;
            }
        }
        Ok(())
    }

    /// Removes a table and its rows, but for the records of its streams; `check` may refuse. Says what there was.
    ///
    /// # Errors
    /// As [`Catalog::change`].
    pub(crate) async fn remove<E>(
        &self,
        name: &str,
        now_ms: i64,
        check: impl Fn(&TableDefinition) -> Result<(), E>,
    ) -> Result<Result<(Arc<Table>, Tally), E>, CatalogError> {
        for _ in 0..TRIES {
            let table = self.to_change(name).await?;
            if let Err(refusal) = check(table.definition()) {
                return Ok(Err(refusal));
            }
            self.keep_streams(table.definition(), now_ms).await?;
            let tally = self.cluster.tally(table.keyspace()).await;
            if self.install(name, Some(table.cell().clone()), None).await? {
                // Without its definition the table is gone. Should rows stay, the next node that starts drops them.
                let derived = table.definition().derived_keyspaces();
                let derived = derived.iter().filter(|name| !name.starts_with(STREAM_KEYSPACE));
                let derived = derived.filter_map(|name| self.cluster.keyspace(name));
                for keyspace in std::iter::once(table.keyspace()).chain(derived) {
                    if let Err(error) = self.cluster.drop_keyspace(keyspace).await {
                        tracing::warn!(table = name, %error, "rows of a deleted table are dropped at the next start of a node");
                    }
                }
                self.show().await;
                return Ok(Ok((table, tally)));
            }
        }
        Err(CatalogError::Contended {
            name: name.to_owned(),
        })
    }

    /// The table of a name as it is now.
    async fn to_change(&self, name: &str) -> Result<Arc<Table>, CatalogError> {
        self.catch_up().await?;
        self.table(name).ok_or_else(|| CatalogError::Missing {
            name: name.to_owned(),
        })
    }

    /// Replaces the cell of a definition. `false` when it is not as expected, and not as wanted either: of two deletions,
    /// both are done, as DynamoDB answers a DeleteTable on a table that is being deleted.
    async fn install(
        &self,
        name: &str,
        expected: Option<Bytes>,
        cell: Option<Bytes>,
    ) -> Result<bool, CatalogError> {
        self.install_at(&definition_key(name), expected, cell).await
    }

    /// The same for any cell of the metadata.
    pub(super) async fn install_at(
        &self,
        key: &[u8],
        expected: Option<Bytes>,
        cell: Option<Bytes>,
    ) -> Result<bool, CatalogError> {
        Ok(compare_and_set::install(&self.cluster, key, expected, cell).await?)
    }

    /// Shows a change that stands. That it cannot be shown yet does not undo it.
    pub(super) async fn show(&self) {
        if let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "a change of the tables is shown later");
        }
    }
}
