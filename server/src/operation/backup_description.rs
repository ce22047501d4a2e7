//! What CreateBackup, DescribeBackup, DeleteBackup and ListBackups say of a backup, and how requests name one.

use std::sync::Arc;

use super::Context;
use crate::arn;
use crate::backup::{BackupRecord, BackupStatus, Backups};
use crate::catalog::TableDefinition;
use crate::constraint::Constraints;
use crate::message::backup;
use crate::whole::record::WholeStatus;
use crate::wire::error::ApiError;

/// A backup as the API describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BackupDescription {
    pub(crate) record: BackupRecord,
    pub(crate) arn: String,
    pub(crate) table_arn: String,
    /// The key that the table was encrypted with, if one of the account's was asked for.
    pub(crate) key_arn: Option<String>,
}

impl BackupDescription {
    pub(super) fn new(context: &Context, record: BackupRecord) -> Self {
        let table_arn = arn::table(&context.region, &record.table().name);
        let account_key = record.table().account_key;
        Self {
            arn: arn::backup(&table_arn, &record.id),
            table_arn,
            key_arn: account_key.then(|| arn::account_key(&context.region)),
            record,
        }
    }
}

impl Context {
    /// The backups of the cluster.
    ///
    /// # Errors
    /// ValidationException when this node was not told where they are to be.
    pub(crate) fn backups(&self) -> Result<&Arc<Backups>, ApiError> {
        let backups = self.backups.as_ref();
        backups.ok_or_else(|| ApiError::validation(backup::NOWHERE))
    }

    /// The id of a backup that is asked for now.
    ///
    /// # Errors
    /// InternalServerError when the operating system has no randomness to give.
    pub(super) fn new_backup_id(&self, now_ms: i64) -> Result<String, ApiError> {
        let mut random = [0; 4];
        (self.random)(&mut random).map_err(|error| ApiError::Internal(error.to_string()))?;
        Ok(format!("{now_ms:014}-{:08x}", u32::from_le_bytes(random)))
    }

    /// Whether a backup of a table is being made.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(super) async fn is_being_backed_up(&self, name: &str) -> Result<bool, ApiError> {
        let Some(backups) = &self.backups else {
            return Ok(false);
        };
        let Some(table) = self.catalog.table(name) else {
            return Ok(false);
        };
        let whole = backups.all_whole().await.map_err(backup::failed)?;
        let mut whole = whole.iter().map(|record| record.status);
        if whole.any(|status| status == WholeStatus::Creating) && table.definition().has_items() {
            return Ok(true);
        }
        let (id, mut is_found) = (table.definition().id, false);
        let each = backups.each(|record| {
            is_found |= record.status == BackupStatus::Creating && record.table().id == id;
        });
        each.await.map_err(backup::failed)?;
        Ok(is_found)
    }

    /// The backup of an ARN that is shown to clients.
    ///
    /// # Errors
    /// BackupNotFoundException, ValidationException for what is no ARN of a backup.
    pub(super) async fn backup(&self, arn: &str) -> Result<BackupRecord, ApiError> {
        let (table, id) = arn::backup_parts(arn).ok_or_else(backup::invalid_arn)?;
        let found = self.backups()?.find(table, id).await.map_err(backup::failed)?;
        found
            .filter(|record| record.status != BackupStatus::Deleted)
            .ok_or_else(|| backup::not_found(arn))
    }
}

/// Refuses a table that is being restored or deleted: as in DynamoDB, there is none yet, or none any more, to be backed up,
/// restored or exported. `named` is what the request calls it.
///
/// Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks: table-restore.md, DDB-TABLE-217 ("Table
/// not found", and not that it is in use); service.md, DDB-TABLE-374 and DDB-TABLE-455, which accept a backup for a second or so
/// after DeleteTable and then find no table either.
///
/// # Errors
/// TableNotFoundException.
pub(super) fn check_is_there(definition: &TableDefinition, named: &str) -> Result<(), ApiError> {
    if definition.deletion.is_some() || definition.is_being_restored() {
        return Err(backup::no_table(named));
    }
    Ok(())
}

/// Refuses a table that cannot be backed up in its present state.
///
/// Source: as above, import.md, DDB-IMPORT-001, for one that is being imported.
///
/// # Errors
/// As [`check_is_there`], ContinuousBackupsUnavailableException.
pub(super) fn check_backed_up(definition: &TableDefinition) -> Result<(), ApiError> {
    check_is_there(definition, &definition.name)?;
    if definition.import.is_some() {
        return Err(backup::history_of_new_table(&definition.name));
    }
    Ok(())
}

/// Notes what the service model has against the ARN of a backup at `member`. What is empty is no ARN, and told as that. Source: the
/// service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-457.md.
pub(super) fn check_arn(constraints: &mut Constraints, member: &str, text: Option<&String>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        constraints.length(member, text, text.chars().count(), 37, 1024);
    }
}

/// The ARN of a request that has nothing else.
///
/// # Errors
/// ValidationException.
pub(super) fn only(backup_arn: Option<String>) -> Result<String, ApiError> {
    let mut constraints = Constraints::default();
    constraints.required("backupArn", backup_arn.as_ref());
    check_arn(&mut constraints, "backupArn", backup_arn.as_ref());
    constraints.finish()?;
    Ok(backup_arn.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_a_length_unless_it_is_empty() {
        let asked = |text: &str| only(Some(text.to_owned()));
        assert_eq!(
            asked(""),
            Ok(String::new()),
            "it is found to be no ARN of a backup"
        );
        assert!(asked("arn").unwrap_err().to_string().contains("'backupArn'"));
        let missing = only(None).unwrap_err().to_string();
        assert!(missing.contains("Value null at 'backupArn'"), "{missing}");
    }
}
