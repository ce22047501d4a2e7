//! DeleteBackup. The backup is gone for clients when this is answered; what only it needs goes from the archive later.

use super::backup_description::{self, BackupDescription};
use super::{Context, Operation};
use crate::arn;
use crate::backup::{BackupRecord, BackupStatus};
use crate::catalog::Tables;
use crate::message::{self, backup};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteBackup {
    pub(crate) backup_arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DeleteBackupOutput {
    pub(crate) backup: BackupDescription,
}

impl Operation for DeleteBackup {
    type Output = DeleteBackupOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let arn = backup_description::only(self.backup_arn)?;
        let (table, id) = arn::backup_parts(&arn).ok_or_else(backup::invalid_arn)?;
        let tables = context.catalog.all().await.map_err(message::table::catalog)?;
        let changed = context.backups()?.change(table, id, |record| {
            check(record, &tables, &arn)?;
            record.status = BackupStatus::Deleted;
            Ok::<(), ApiError>(())
        });
        let changed = changed.await.map_err(backup::failed)?;
        let record = changed.ok_or_else(|| backup::not_found(&arn))??;
        Ok(DeleteBackupOutput {
            backup: BackupDescription::new(context, record),
        })
    }
}

/// Refuses to delete a backup that is not complete, or that a table is being restored from.
fn check(record: &BackupRecord, tables: &Tables, arn: &str) -> Result<(), ApiError> {
    match record.status {
        BackupStatus::Creating => return Err(backup::being_created(arn)),
        BackupStatus::Deleted => return Err(backup::not_found(arn)),
        BackupStatus::Available => {}
    }
    let mut tables = tables.values();
    if tables.any(|table| table.definition().is_being_restored_from(&record.id)) {
        return Err(backup::being_restored(arn));
    }
    Ok(())
}
