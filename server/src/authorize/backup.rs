//! Backups and restored tables.

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::create_backup::CreateBackup;
use crate::operation::delete_backup::DeleteBackup;
use crate::operation::describe_backup::DescribeBackup;
use crate::operation::describe_continuous_backups::DescribeContinuousBackups;
use crate::operation::list_backups::ListBackups;
use crate::operation::restore_table_from_backup::RestoreTableFromBackup;
use crate::wire::error::ApiError;

/// What writes items and reads them: a restore needs all of that on the new table, as it makes one with items in it.
///
/// Source: Amazon DynamoDB Developer Guide, "Using IAM with DynamoDB backup and restore".
const RESTORES: [&str; 8] = [
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:BatchWriteItem",
    "dynamodb:RestoreTableFromBackup",
];

impl Authorize for CreateBackup {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let table = Resource::of(self.table_name.as_deref(), None);
        judge
            .require("dynamodb:CreateBackup", table, &Facts::default())
            .await
    }
}

impl Authorize for DescribeContinuousBackups {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let table = Resource::of(self.table_name.as_deref(), None);
        let action = "dynamodb:DescribeContinuousBackups";
        judge.require(action, table, &Facts::default()).await
    }
}

impl Authorize for DescribeBackup {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let backup = Resource::Backup(self.backup_arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:DescribeBackup", backup, &Facts::default())
            .await
    }
}

impl Authorize for DeleteBackup {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let backup = Resource::Backup(self.backup_arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:DeleteBackup", backup, &Facts::default())
            .await
    }
}

impl Authorize for ListBackups {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        judge
            .require("dynamodb:ListBackups", Resource::Any, &Facts::default())
            .await
    }
}

impl Authorize for RestoreTableFromBackup {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts::default();
        let backup = Resource::Backup(self.backup_arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:RestoreTableFromBackup", backup, &facts)
            .await?;
        let table = Resource::of(self.target_table_name.as_deref(), None);
        for action in RESTORES {
            judge.require(action, table, &facts).await?;
        }
        Ok(())
    }
}
