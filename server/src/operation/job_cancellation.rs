//! Cancelling what the node that leads the metadata carries out, for operators: the API of DynamoDB ends bulk operations only,
//! and restores and imports with their tables.

use super::cancel_bulk_operation::CancelBulkOperation;
use super::{Context, Operation as _};
use crate::arn;
use crate::backup::BackupStatus;
use crate::compare_and_set::TRIES;
use crate::message::{backup, transfer};
use crate::transfer::ExportRecord;
use crate::wire::error::ApiError;

impl Context {
    /// Ends what an ARN names, if it is not over: a backup that is being made, an export or a bulk operation. What it has left
    /// behind is removed when whoever carries it out has stopped.
    ///
    /// # Errors
    /// ValidationException when that is no such thing; the errors of operations that describe it when it is not there.
    pub(crate) async fn cancel_job(&self, arn: &str) -> Result<(), ApiError> {
        if let Some((table, id)) = arn::backup_parts(arn) {
            let changed = self.backups()?.change(table, id, |record| {
                if record.status == BackupStatus::Available {
                    return Err(ApiError::validation(backup::COMPLETE));
                }
                record.status = BackupStatus::Deleted;
                Ok(())
            });
            let changed = changed.await.map_err(backup::failed)?;
            return changed.ok_or_else(|| backup::not_found(arn))?.map(drop);
        }
        if let Some((table, id)) = arn::export_parts(arn) {
            return self.cancel_export(arn, (table, id)).await;
        }
        if arn::bulk_operation_parts(arn).is_some() {
            let arn = Some(arn.to_owned());
            return CancelBulkOperation { arn }.run(self).await.map(drop);
        }
        Err(ApiError::validation(transfer::NOT_CANCELLED))
    }

    async fn cancel_export(&self, arn: &str, (table, id): (&str, &str)) -> Result<(), ApiError> {
        let transfers = self.transfers()?;
        for _ in 0..TRIES {
            let found = transfers.find::<ExportRecord>(table, id).await;
            let found = found.map_err(transfer::failed)?;
            let record = found.ok_or_else(|| transfer::no_export(arn))?;
            if record.ended_ms.is_some() {
                return Err(ApiError::validation(transfer::EXPORT_OVER));
            }
            let mut cancelled = record.clone();
            cancelled.is_cancelled = true;
            let put = transfers.put(Some(&record), &cancelled).await;
            if put.map_err(transfer::failed)? {
                return Ok(());
            }
        }
        let cause = "the export is being changed all the time; try again";
        Err(ApiError::Unavailable(cause.to_owned()))
    }
}
