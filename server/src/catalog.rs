//! The tables: their definitions, and where their rows lie. A node's view of cells that all nodes share.
//!
//! Definitions are cells of the cluster's metadata (`docs/format/metadata.md`). Readers take one atomic load and no lock;
//! the view is read anew whenever the metadata has changed on this node ([`Catalog::follow`]), and before an answer that
//! depends on what other nodes have acknowledged. Invariants: a table that is shown has a keyspace; an older view never
//! replaces a newer one. How definitions are changed is the part of `change.rs`.

mod change;
mod deleted;
mod record;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction, Error, Keyspace};
use tokio::sync::{Mutex, watch};

use self::deleted::{DELETED, DELETED_END};
use crate::derive::Derivations;

pub(crate) use record::{
    BillingMode, COLLECTION_KEYSPACE, DUE_KEYSPACE, DeletedTable, Deletion, HISTORY_KEYSPACE, History,
    INDEX_KEYSPACE, Import, IndexDefinition, IndexStatus, OnDemandLimits, PERIOD_DAYS_MAX, ResourcePolicy,
    Restore, SLOTS, STREAM_KEYSPACE, Shard, StreamDefinition, StreamStatus, StreamView, TableClass,
    TableDefinition, Throughput, TimeToLive, TimeToLiveStatus, WarmUnits, history_keyspace,
};
pub(crate) use table::{Table, TableIndex};

/// Prefix of the names of keyspaces that hold the rows of a table; the table's id follows.
const TABLE_KEYSPACE: &str = "table/";
/// Prefix of the keys of definitions in the metadata; the table's name follows.
const DEFINITION: &[u8] = b"table/";
/// The first key after all with that prefix.
const DEFINITIONS_END: &[u8] = b"table0";

/// The tables by name.
pub(crate) type Tables = BTreeMap<String, Arc<Table>>;

/// Why the catalog could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    /// There is a table of that name.
    #[error("table {name} exists")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no table of that name.
    #[error("table {name} does not exist")]
    Missing {
        /// The name.
        name: String,
    },
    /// Others have changed the definition each time before this change came to it; it can be tried again.
    #[error("the definition of table {name} is being changed by others all the time; try again")]
    Contended {
        /// The name.
        name: String,
    },
    /// A definition on disk cannot be read.
    #[error(
        "the definition of table {name} cannot be read: {detail}; bring all nodes to neighbouring versions, or restore \
             the data from a backup"
    )]
    Malformed {
        /// The name.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// The cluster failed under it.
    #[error(transparent)]
    Cluster(#[from] Error),
}

impl CatalogError {
    /// Whether the cluster cannot say now what there is.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Cluster(Error::Unavailable { .. }))
    }
}

/// What to do about a definition without a keyspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WithoutKeyspace {
    /// Not to show the table: whoever is making it is between two steps.
    Hide,
    /// To make the keyspace: whoever was making the table may be gone.
    Make,
}

/// The catalog of a node.
#[derive(Debug)]
pub(crate) struct Catalog {
    cluster: Cluster,
    tables: ArcSwap<Tables>,
    /// See `deleted.rs`.
    deleted: ArcSwap<Vec<DeletedTable>>,
    /// The change of the metadata up to which all tables are shown; `None` when one is hidden. Held while they are read.
    shown: Mutex<Option<u64>>,
    /// What the leaders of this node derive from items; shown the same definitions.
    derivations: Arc<Derivations>,
    changes: watch::Receiver<u64>,
}

impl Catalog {
    /// Reads the definitions, and drops keyspaces that a deletion has left behind.
    ///
    /// # Errors
    /// [`CatalogError`] when the metadata cannot be read. That other nodes are not there is none: what this one knows is
    /// shown then, and nothing is dropped.
    pub(crate) async fn open(
        cluster: Cluster,
        derivations: Arc<Derivations>,
    ) -> Result<Arc<Self>, CatalogError> {
        let catalog = Self {
            derivations,
            changes: cluster.metadata_changes(),
            cluster,
            tables: ArcSwap::default(),
            deleted: ArcSwap::default(),
            shown: Mutex::new(None),
        };
        match catalog.clean_up().await {
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "the tables may not be the latest");
                catalog.refresh(WithoutKeyspace::Hide).await?;
            }
            result => result?,
        }
        Ok(Arc::new(catalog))
    }

    /// Keeps the view current for as long as there is a catalog.
    pub(crate) async fn follow(catalog: Weak<Self>) {
        let Some(mut changes) = catalog.upgrade().map(|catalog| catalog.changes.clone()) else {
            return;
        };
        while changes.changed().await.is_ok() {
            let Some(catalog) = catalog.upgrade() else { return };
            if let Err(error) = catalog.refresh(WithoutKeyspace::Hide).await {
                tracing::warn!(%error, "the tables could not be read anew");
            }
        }
    }

    /// The table of a name, as of now on this node.
    pub(crate) fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.load().get(name).cloned()
    }

    /// All tables, as of now on this node.
    pub(crate) fn known(&self) -> Arc<Tables> {
        self.tables.load_full()
    }

    /// The table of a name. One that is not known here is looked for in what all nodes have acknowledged.
    ///
    /// # Errors
    /// [`CatalogError::Cluster`] when it is not known here and others cannot be asked.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Arc<Table>>, CatalogError> {
        if let Some(table) = self.table(name) {
            return Ok(Some(table));
        }
        self.catch_up().await?;
        Ok(self.table(name))
    }

    /// The table of a name with all changes that any node has acknowledged. When others cannot be asked, one that is known
    /// here is given as it is known.
    ///
    /// # Errors
    /// As [`Catalog::find`].
    pub(crate) async fn latest(&self, name: &str) -> Result<Option<Arc<Table>>, CatalogError> {
        let caught_up = self.catch_up().await;
        match (self.table(name), caught_up) {
            (table, Ok(())) => Ok(table),
            (Some(table), Err(error)) if error.is_unavailable() => Ok(Some(table)),
            (_, Err(error)) => Err(error),
        }
    }

    /// All tables that any node has acknowledged, in the order of their names. When others cannot be asked, those that are
    /// known here.
    ///
    /// # Errors
    /// [`CatalogError`] when the metadata cannot be read.
    pub(crate) async fn all(&self) -> Result<Arc<Tables>, CatalogError> {
        match self.catch_up().await {
            Err(error) if !error.is_unavailable() => Err(error),
            _ => Ok(self.tables.load_full()),
        }
    }

    /// Shows whatever any node has acknowledged so far.
    ///
    /// # Errors
    /// [`CatalogError::Cluster`] when others cannot be asked, [`CatalogError::Malformed`].
    pub(crate) async fn catch_up(&self) -> Result<(), CatalogError> {
        self.cluster.catch_up_metadata().await?;
        self.refresh(WithoutKeyspace::Make).await
    }

    /// Reads the definitions anew, unless nothing has changed since they were read.
    async fn refresh(&self, without_keyspace: WithoutKeyspace) -> Result<(), CatalogError> {
        let mut shown = self.shown.lock().await;
        // Looked at before the definitions are read: what changes meanwhile is seen at the next time, at the latest.
        let change = *self.changes.borrow();
        if *shown == Some(change) {
            return Ok(());
        }
        let definitions = self.definitions().await?;
        let mut deleted = self.read_deleted().await?;
        // First of all: what this node leads waits for it, and what it says about a table needs no keyspace.
        self.derive_by(change, &definitions)?;
        let known = self.tables.load_full();
        let (mut tables, mut all) = (Tables::new(), true);
        for (name, cell) in definitions {
            let kept = known.get(&name).filter(|table| *table.cell() == cell);
            let (id, keyspace_name) = if let Some(table) = kept {
                (table.definition().id, keyspace_name(table.definition()))
            } else {
                let definition = definition(&name, &cell)?;
                (definition.id, keyspace_name(&definition))
            };
            deleted.retain(|deleted| deleted.id != id);
            let keyspace = match self.cluster.keyspace(&keyspace_name) {
                Some(keyspace) => Some(keyspace),
                None if without_keyspace == WithoutKeyspace::Make => {
                    self.make_keyspaces(&name, &definition(&name, &cell)?).await?
                }
                None => {
                    all = false;
                    None
                }
            };
            let Some(keyspace) = keyspace else { continue };
            let table = match kept {
                Some(table) if table.keyspace() == keyspace => Arc::clone(table),
                _ => Arc::new(Table::new(definition(&name, &cell)?, cell, keyspace)),
            };
            tables.insert(name, table);
        }
        self.tables.store(Arc::new(tables));
        self.deleted.store(Arc::new(deleted));
        *shown = all.then_some(change);
        Ok(())
    }

    /// Shows definitions to the leaders of this node.
    fn derive_by(&self, change: u64, definitions: &[(String, Bytes)]) -> Result<(), CatalogError> {
        if change <= self.derivations.known() {
            return Ok(());
        }
        let read = |(name, cell): &(String, Bytes)| definition(name, cell);
        let definitions = definitions.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let named = definitions
            .iter()
            .map(|definition| (keyspace_name(definition), definition));
        self.derivations.show(change, named);
        Ok(())
    }

    /// All definitions as this node has them, by name.
    async fn definitions(&self) -> Result<Vec<(String, Bytes)>, CatalogError> {
        let cells = self.cells(DEFINITION, DEFINITIONS_END).await?;
        let named = |(name, cell): (Vec<u8>, _)| (String::from_utf8_lossy(&name).into_owned(), cell);
        Ok(cells.into_iter().map(named).collect())
    }

    /// What this node has of deleted tables.
    async fn read_deleted(&self) -> Result<Vec<DeletedTable>, CatalogError> {
        let cells = self.cells(DELETED, DELETED_END).await?;
        let read = cells.iter().map(|(_, cell)| deleted::read(cell));
        let mut all = read.collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|one, two| (&one.name, one.deleted_at_ms).cmp(&(&two.name, two.deleted_at_ms)));
        Ok(all)
    }

    /// Cells of the metadata between a prefix and its end, as this node has them, by what follows the prefix.
    async fn cells(&self, prefix: &[u8], end: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, CatalogError> {
        let bounds = Bounds {
            start: Bound::Included(prefix.to_vec()),
            end: Bound::Excluded(end.to_vec()),
        };
        let mut cells = Vec::new();
        let metadata = self.cluster.metadata();
        self.cluster
            .range(
                metadata,
                &bounds,
                Direction::Forward,
                ConsistencyLevel::One,
                |row| {
                    if let Some(rest) = row.key().strip_prefix(prefix) {
                        // Copied, because views outlive by far the memory of the engine that they would hold.
                        cells.push((rest.to_vec(), Bytes::copy_from_slice(row.cell())));
                    }
                    ControlFlow::Continue(())
                },
            )
            .await?;
        Ok(cells)
    }

    /// Makes the keyspaces of a table: first those of what is derived from its items, so that no item comes before them.
    /// `None` when the table was deleted meanwhile, perhaps after somebody else had made and dropped its keyspace: then it
    /// is dropped again.
    async fn make_keyspaces(
        &self,
        name: &str,
        table: &TableDefinition,
    ) -> Result<Option<Keyspace>, CatalogError> {
        for derived in table.derived_keyspaces() {
            self.cluster.create_keyspace(&derived).await?;
        }
        let keyspace_name = keyspace_name(table);
        let keyspace = self.cluster.create_keyspace(&keyspace_name).await?;
        let cell = self
            .cluster
            .read(
                self.cluster.metadata(),
                &definition_key(name),
                ConsistencyLevel::Quorum,
            )
            .await?;
        let still = match cell {
            Some(cell) => self::keyspace_name(&definition(name, &cell)?) == keyspace_name,
            None => false,
        };
        if still {
            return Ok(Some(keyspace));
        }
        // What is derived is dropped by the next look for what is left over.
        self.cluster.drop_keyspace(keyspace).await?;
        Ok(None)
    }

    /// Shows all tables, and drops keyspaces that no definition names any more: a definition is there before its keyspaces
    /// and goes before them.
    ///
    /// # Errors
    /// As [`Catalog::catch_up`].
    pub(crate) async fn clean_up(&self) -> Result<(), CatalogError> {
        self.cluster.catch_up_metadata().await?;
        // Before the definitions: a keyspace that is made from now on is none of those looked at.
        let keyspaces = self.cluster.keyspaces();
        self.refresh(WithoutKeyspace::Make).await?;
        let tables = self.tables.load();
        let mut wanted: HashSet<Arc<str>> = HashSet::new();
        for table in tables.values() {
            wanted.insert(keyspace_name(table.definition()).into());
            wanted.extend(table.definition().derived_keyspaces());
        }
        for deleted in self.deleted.load().iter() {
            wanted.extend(deleted.streams.iter().map(StreamDefinition::keyspace));
        }
        let ours = [
            TABLE_KEYSPACE,
            INDEX_KEYSPACE,
            STREAM_KEYSPACE,
            DUE_KEYSPACE,
            COLLECTION_KEYSPACE,
            HISTORY_KEYSPACE,
        ];
        for (keyspace, name) in keyspaces {
            let is_ours = ours.iter().any(|prefix| name.starts_with(prefix));
            if is_ours && !wanted.contains(&*name) {
                tracing::info!(keyspace = name, "dropping what no table has any more");
                self.cluster.drop_keyspace(keyspace).await?;
            }
        }
        Ok(())
    }
}

/// The key of a table's definition.
fn definition_key(name: &str) -> Vec<u8> {
    [DEFINITION, name.as_bytes()].concat()
}

/// The definition that a cell holds.
fn definition(name: &str, cell: &[u8]) -> Result<TableDefinition, CatalogError> {
    TableDefinition::from_bytes(cell).map_err(|detail| CatalogError::Malformed {
        name: name.to_owned(),
        detail,
    })
}

fn keyspace_name(definition: &TableDefinition) -> String {
    format!("{TABLE_KEYSPACE}{}", definition.id)
}
