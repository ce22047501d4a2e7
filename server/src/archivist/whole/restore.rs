//! Restoring a whole cluster: the tables are made, all at once, so that their names are taken; their items are written as those of
//! any table that is restored (`archivist/restore.rs`); identities come last.
//!
//! Identities come last because nobody but root can ask for anything before: no application finds half of its tables, and nobody
//! reads a table whose policies are not there yet. How far it is says the row of the restore, so that whoever goes on begins there;
//! a table that an operator has deleted meanwhile is not made again.

use std::sync::Arc;

use uuid::Uuid;

use super::super::{Archivist, JobError, Worker as _};
use super::wrapping_of;
use crate::catalog::{CatalogError, Restore, Table, TableDefinition};
use crate::random;
use crate::whole::anew;
use crate::whole::contents;
use crate::whole::record::{RestorePhase, WholeRestore};

impl Archivist {
    /// Whether there is something to do about a restore before or behind the items of tables.
    pub(in crate::archivist) fn is_due<'a>(
        restore: &WholeRestore,
        mut tables: impl Iterator<Item = &'a Arc<Table>>,
    ) -> bool {
        match restore.phase {
            RestorePhase::Tables | RestorePhase::Cancelling => true,
            RestorePhase::Items => !tables.any(|table| is_on_its_way(table.definition(), restore)),
            RestorePhase::Complete | RestorePhase::Cancelled => false,
        }
    }

    /// Takes the next step of a restore of the cluster.
    pub(in crate::archivist) async fn restore_whole(&self, restore: &WholeRestore) -> Result<(), JobError> {
        match restore.phase {
            RestorePhase::Tables => self.make_tables(restore).await,
            RestorePhase::Items => self.bring_identities(restore).await,
            RestorePhase::Cancelling => self.remove_unfinished(restore).await,
            RestorePhase::Complete | RestorePhase::Cancelled => Ok(()),
        }
    }

    /// Goes over to the next phase, if nobody else has.
    async fn proceed(&self, from: &WholeRestore, to: WholeRestore) -> Result<(), JobError> {
        let changed = self.backups()?.change_whole_restore(|there| {
            if there.phase == from.phase && there.begun_at_ms == from.begun_at_ms {
                *there = to.clone();
            }
            Ok::<(), std::convert::Infallible>(())
        });
        changed.await?;
        Ok(())
    }

    async fn make_tables(&self, restore: &WholeRestore) -> Result<(), JobError> {
        let archive = self.backups()?.archive().await?;
        let id = restore.backup.clone();
        let read = move || {
            let manifest = archive.backup(&id)?.ok_or_else(|| missing(&id))?;
            contents::definitions(&archive, &manifest)
        };
        let definitions = tokio::task::spawn_blocking(read).await??;
        let mut done = WholeRestore {
            phase: RestorePhase::Items,
            made: (0, 0),
            ..restore.clone()
        };
        for source in definitions.iter().filter(|source| restore.wants(&source.name)) {
            if !self.cluster().leads_metadata() {
                return Err(JobError::NotLeading);
            }
            if self.make_table(source, restore).await? {
                done.made.0 += 1;
            } else {
                done.skipped.push(format!("table {}", source.name));
            }
        }
        self.proceed(restore, done).await
    }

    /// Makes a table whose items are to be restored; `false` when another one has its name.
    async fn make_table(&self, source: &TableDefinition, restore: &WholeRestore) -> Result<bool, JobError> {
        let now_ms = self.upkeep.now_ms();
        let backup = (restore.backup.clone(), restore.begun_at_ms);
        let definition = anew::begun(source, backup, now_ms, new_id)?;
        match self.upkeep.catalog.create(&definition).await {
            Ok(()) => Ok(true),
            Err(CatalogError::Exists { name }) => {
                // It may be what a try before has made.
                let there = self.upkeep.catalog.latest(&name).await?;
                let is_ours = |there: &Restore| {
                    there.part == Some(source.id)
                        && there.backup == restore.backup
                        && there.at_ms == restore.begun_at_ms
                };
                let there = there
                    .as_ref()
                    .and_then(|there| there.definition().restore.as_ref());
                Ok(there.is_some_and(is_ours))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn bring_identities(&self, restore: &WholeRestore) -> Result<(), JobError> {
        // What is known of the tables may be old, as long as nobody could be asked.
        self.upkeep.catalog.catch_up().await?;
        if !Self::is_due(restore, self.upkeep.catalog.known().values()) {
            return Ok(());
        }
        let mut done = WholeRestore {
            phase: RestorePhase::Complete,
            ..restore.clone()
        };
        if restore.identities {
            let archive = self.backups()?.archive().await?;
            let wrapping = wrapping_of(&archive);
            let id = restore.backup.clone();
            let read = move || {
                let manifest = archive.backup(&id)?.ok_or_else(|| missing(&id))?;
                contents::identities(&archive, &manifest)
            };
            let rows = tokio::task::spawn_blocking(read).await??;
            let brought = self.identities()?.bring(&rows, &wrapping).await?;
            done.made.1 = brought.made;
            done.skipped.extend(brought.skipped);
        }
        tracing::info!(
            backup = restore.backup,
            tables = done.made.0,
            identities = done.made.1,
            skipped = done.skipped.len(),
            "the cluster is restored"
        );
        self.proceed(restore, done).await?;
        self.compare_replicas().await;
        Ok(())
    }

    /// Removes the tables whose items are not all there.
    async fn remove_unfinished(&self, restore: &WholeRestore) -> Result<(), JobError> {
        let catalog = &self.upkeep.catalog;
        for table in catalog.all().await?.values() {
            if !is_on_its_way(table.definition(), restore) {
                continue;
            }
            // It may have become complete, or another one, by now.
            let check = |there: &TableDefinition| {
                let is_it = there.id == table.definition().id && is_on_its_way(there, restore);
                is_it.then_some(()).ok_or(())
            };
            match catalog.remove(table.name(), self.upkeep.now_ms(), check).await {
                Ok(_) | Err(CatalogError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let done = WholeRestore {
            phase: RestorePhase::Cancelled,
            ..restore.clone()
        };
        self.proceed(restore, done).await
    }

    /// Says of a table of a backup of the cluster that it is complete, with all its settings.
    pub(in crate::archivist) async fn complete_part(
        &self,
        table: &Table,
        (backup, part): (String, Uuid),
    ) -> Result<(), JobError> {
        let archive = self.backups()?.archive().await?;
        let read = move || {
            let manifest = archive.backup(&backup)?.ok_or_else(|| missing(&backup))?;
            contents::definition_of(&archive, &manifest, part)
        };
        let source = tokio::task::spawn_blocking(read).await??;
        let (ids, now_ms) = ([new_id()?, new_id()?, new_id()?], self.upkeep.now_ms());
        let changed = self.upkeep.catalog.change(table.name(), |there| {
            // Another table may have the name by now.
            if there.id == table.definition().id {
                anew::complete(there, &source, ids, now_ms);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        match changed.await {
            // Whoever completes what was begun makes its keyspaces, if this does not.
            Ok(Ok(changed)) => Ok(self.upkeep.catalog.make_derived_keyspaces(&changed).await?),
            Err(CatalogError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether items of a table may still be on their way, from the backup that a restore is of.
pub(crate) fn is_on_its_way(table: &TableDefinition, restore: &WholeRestore) -> bool {
    let of = table.restore.as_ref();
    of.is_some_and(|of| of.in_progress && of.part.is_some() && of.backup == restore.backup)
}

fn new_id() -> Result<Uuid, JobError> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes).map_err(JobError::Random)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

fn missing(id: &str) -> stator_archive::Error {
    stator_archive::Error::Missing {
        name: format!("backup {id}"),
    }
}
