//! Deletes tables that wait for a last backup: first the backup, then the table.
//!
//! Order of steps: the definition says that the table is being deleted; all leaders know it, which ends all writes; the row of the
//! backup is added; the backup is made; the table goes. So a write that was acknowledged is in the backup. Each step may be done
//! again. A backup that an operator has cancelled is not waited for.

use super::{Archivist, JobError};
use crate::backup::{BackupRecord, BackupStatus};
use crate::catalog::{CatalogError, Deletion, Table, TableDefinition};
use crate::desk::Worker as _;

impl Archivist {
    /// Brings a deletion to its end.
    pub(super) async fn delete(&self, table: &Table) -> Result<(), JobError> {
        let definition = table.definition();
        let Some(deletion) = &definition.deletion else {
            return Ok(());
        };
        self.require_latest().await?;
        let backups = self.backups()?;
        let found = backups.find(table.name(), &deletion.backup).await?;
        let record = if let Some(record) = found {
            record
        } else {
            let record = self.last_backup(deletion, table).await;
            backups.add(&record).await?;
            record
        };
        if record.status == BackupStatus::Creating {
            self.make(&record).await?;
        }
        let found = backups.find(table.name(), &deletion.backup).await?;
        match found.map(|record| record.status) {
            Some(BackupStatus::Available | BackupStatus::Deleted) => self.finish(table, deletion).await,
            // It is not of this table any more.
            Some(BackupStatus::Creating) | None => Ok(()),
        }
    }

    /// The last backup of a table, as it is when it is to be made.
    async fn last_backup(&self, deletion: &Deletion, table: &Table) -> BackupRecord {
        let mut record = BackupRecord::of_deletion(deletion, table.definition().clone());
        record.expect(&self.cluster().tally(table.keyspace()).await);
        record
    }

    async fn finish(&self, table: &Table, deletion: &Deletion) -> Result<(), JobError> {
        let id = table.definition().id;
        let check = |there: &TableDefinition| {
            let is_same = there.id == id && there.deletion.as_ref() == Some(deletion);
            if is_same { Ok(()) } else { Err(()) }
        };
        let removed = self
            .upkeep
            .catalog
            .remove(table.name(), self.upkeep.now_ms(), check);
        match removed.await {
            Ok(Ok(_)) => {
                tracing::info!(
                    table = table.name(),
                    backup = deletion.backup,
                    "a table is deleted"
                );
                Ok(())
            }
            // Another node has done it.
            Ok(Err(())) | Err(CatalogError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a backup go that is not kept any longer. One that a table is being restored from stays until that is done.
    pub(super) async fn expire(&self, record: &BackupRecord) -> Result<(), JobError> {
        if self.is_being_restored(&record.id).await? {
            return Ok(());
        }
        let changed = self.backups()?.change(&record.table().name, &record.id, |there| {
            there.status = BackupStatus::Deleted;
            Ok::<(), std::convert::Infallible>(())
        });
        changed.await?;
        Ok(())
    }

    /// Whether a backup is not kept any longer.
    pub(super) fn is_expired(&self, record: &BackupRecord) -> bool {
        record
            .expires_at_ms()
            .is_some_and(|at_ms| at_ms <= self.upkeep.now_ms())
    }
}
