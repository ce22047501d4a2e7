//! The tables: their definitions, where their rows lie, how many there are.
//!
//! Readers take one atomic load and no lock; changes are serialized, made durable in the metadata keyspace first and
//! shown afterwards. Invariant: a table that is shown has a keyspace, and after [`Catalog::open`] every table keyspace
//! belongs to a table, so that a crash between the two steps of a change leaves nothing behind.

mod record;
mod table;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction, Keyspace, WriteOptions};
use tokio::sync::Mutex;

pub(crate) use record::{BillingMode, OnDemandLimits, TableClass, TableDefinition, Throughput, WarmUnits};
pub(crate) use table::Table;

use crate::command::Install;

/// Keyspace of definitions and of whatever else the cluster agrees on.
const METADATA: &str = "metadata";
/// Prefix of the names of keyspaces that hold the rows of a table; the table's id follows.
const TABLE_KEYSPACE: &str = "table/";
/// Prefix of the keys of definitions in the metadata keyspace; the table's name follows.
const DEFINITION: &[u8] = b"table/";

/// The tables by name.
pub(crate) type Tables = BTreeMap<String, Arc<Table>>;

/// Why the catalog could not be changed.
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
    /// A definition on disk cannot be read.
    #[error("the definition of table {name} cannot be read: {detail}; restore the node's data from a backup")]
    Malformed {
        /// The name.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// The cluster failed under it.
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
}

/// The catalog of a node.
#[derive(Debug)]
pub(crate) struct Catalog {
    cluster: Cluster,
    metadata: Keyspace,
    tables: ArcSwap<Tables>,
    /// Held by the one change that is under way.
    changing: Mutex<()>,
}

impl Catalog {
    /// Reads the definitions and drops keyspaces that a crash has left without a table.
    ///
    /// # Errors
    /// [`CatalogError`] when the metadata cannot be read.
    pub(crate) async fn open(cluster: Cluster) -> Result<Self, CatalogError> {
        let metadata = match cluster.keyspace(METADATA) {
            Some(keyspace) => keyspace,
            None => cluster.create_keyspace(METADATA)?,
        };
        let mut definitions = Vec::new();
        let all = Bounds {
            start: std::ops::Bound::Unbounded,
            end: std::ops::Bound::Unbounded,
        };
        cluster
            .range(
                metadata,
                &all,
                Direction::Forward,
                ConsistencyLevel::Quorum,
                |row| {
                    if let Some(name) = row.key().strip_prefix(DEFINITION) {
                        definitions.push((String::from_utf8_lossy(name).into_owned(), row.to_cell()));
                    }
                    std::ops::ControlFlow::Continue(())
                },
            )
            .await?;
        let mut tables = Tables::new();
        for (name, cell) in definitions {
            let definition =
                TableDefinition::from_bytes(&cell).map_err(|detail| CatalogError::Malformed {
                    name: name.clone(),
                    detail,
                })?;
            let keyspace =
                cluster
                    .keyspace(&keyspace_name(&definition))
                    .ok_or_else(|| CatalogError::Malformed {
                        name: name.clone(),
                        detail: "its keyspace is missing".to_owned(),
                    })?;
            tables.insert(name, Arc::new(Table::new(definition, keyspace)));
        }
        for (keyspace, name) in cluster.keyspaces() {
            let orphan = name.starts_with(TABLE_KEYSPACE)
                && !tables
                    .values()
                    .any(|table| keyspace_name(table.definition()) == name);
            if orphan {
                cluster.drop_keyspace(keyspace)?;
            }
        }
        let catalog = Self {
            cluster,
            metadata,
            tables: ArcSwap::from_pointee(tables),
            changing: Mutex::new(()),
        };
        catalog.count_rows()?;
        Ok(catalog)
    }

    /// Counts the rows of all tables, as of now, beside whatever else goes on.
    fn count_rows(&self) -> Result<(), CatalogError> {
        for table in self.tables.load().values() {
            let (rows, table) = (self.cluster.local_rows(table.keyspace())?, Arc::clone(table));
            tokio::task::spawn_blocking(move || {
                if let Err(error) = table.count_rows(rows) {
                    tracing::warn!(table = table.name(), %error, "the rows could not be counted");
                }
            });
        }
        Ok(())
    }

    /// The table of a name.
    pub(crate) fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.load().get(name).cloned()
    }

    /// All tables in the order of their names, as of now.
    pub(crate) fn tables(&self) -> Arc<Tables> {
        self.tables.load_full()
    }

    /// Makes a table.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] and failures of the cluster.
    pub(crate) async fn create(&self, definition: TableDefinition) -> Result<Arc<Table>, CatalogError> {
        let _changing = self.changing.lock().await;
        let name = definition.name.clone();
        if self.table(&name).is_some() {
            return Err(CatalogError::Exists { name });
        }
        let keyspace = self.cluster.create_keyspace(&keyspace_name(&definition))?;
        self.install(&name, Some(definition.to_bytes())).await?;
        let table = Arc::new(Table::new(definition, keyspace));
        self.show(|tables| {
            tables.insert(name.clone(), Arc::clone(&table));
        });
        Ok(table)
    }

    /// Changes a table's definition; `change` may refuse. The key schema and the id must stay as they are.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] and failures of the cluster; inside, whatever `change` refuses with.
    pub(crate) async fn change<E>(
        &self,
        name: &str,
        change: impl FnOnce(&Table, &mut TableDefinition) -> Result<(), E>,
    ) -> Result<Result<Arc<Table>, E>, CatalogError> {
        let _changing = self.changing.lock().await;
        let table = self.table(name).ok_or_else(|| CatalogError::Missing {
            name: name.to_owned(),
        })?;
        let mut definition = table.definition().clone();
        if let Err(refusal) = change(&table, &mut definition) {
            return Ok(Err(refusal));
        }
        self.install(name, Some(definition.to_bytes())).await?;
        let changed = Arc::new(table.with_definition(definition));
        self.show(|tables| {
            tables.insert(name.to_owned(), Arc::clone(&changed));
        });
        Ok(Ok(changed))
    }

    /// Removes a table and its rows; `check` may refuse.
    ///
    /// # Errors
    /// As [`Catalog::change`].
    pub(crate) async fn remove<E>(
        &self,
        name: &str,
        check: impl FnOnce(&Table) -> Result<(), E>,
    ) -> Result<Result<Arc<Table>, E>, CatalogError> {
        let _changing = self.changing.lock().await;
        let table = self.table(name).ok_or_else(|| CatalogError::Missing {
            name: name.to_owned(),
        })?;
        if let Err(refusal) = check(&table) {
            return Ok(Err(refusal));
        }
        // After the first step the table is gone; should the second not come, opening the catalog does it.
        self.install(name, None).await?;
        self.show(|tables| {
            tables.remove(name);
        });
        self.cluster.drop_keyspace(table.keyspace())?;
        Ok(Ok(table))
    }

    async fn install(&self, name: &str, cell: Option<Bytes>) -> Result<(), CatalogError> {
        let key = [DEFINITION, name.as_bytes()].concat();
        Ok(self
            .cluster
            .write(self.metadata, &key, WriteOptions::default(), &Install(cell))
            .await?)
    }

    fn show(&self, change: impl FnOnce(&mut Tables)) {
        let mut tables = Tables::clone(&self.tables.load());
        change(&mut tables);
        self.tables.store(Arc::new(tables));
    }
}

fn keyspace_name(definition: &TableDefinition) -> String {
    format!("{TABLE_KEYSPACE}{}", definition.id)
}
