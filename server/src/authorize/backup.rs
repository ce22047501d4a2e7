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
use crate::operation::restore_table_to_point_in_time::RestoreTableToPointInTime;
use crate::operation::update_continuous_backups::UpdateContinuousBackups;
use crate::wire::error::ApiError;

/// What writes items and reads them: a restore needs all of that on the new table, as it makes one with items in it.
///
/// Source: Amazon DynamoDB Developer Guide, "Using IAM with DynamoDB backup and restore".
const RESTORES: [&str; 7] = [
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:BatchWriteItem",
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

impl Authorize for UpdateContinuousBackups {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let table = Resource::of(self.table_name.as_deref(), None);
        let action = "dynamodb:UpdateContinuousBackups";
        judge.require(action, table, &Facts::default()).await
    }
}

impl Authorize for RestoreTableFromBackup {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let backup = Resource::Backup(self.backup_arn.as_deref().unwrap_or_default());
        let target = self.target_table_name.as_deref();
        require_restore(judge, "dynamodb:RestoreTableFromBackup", backup, target).await
    }
}

impl Authorize for RestoreTableToPointInTime {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let source = self
            .source_table_name
            .as_deref()
            .or(self.source_table_arn.as_deref());
        let (source, target) = (Resource::of(source, None), self.target_table_name.as_deref());
        require_restore(judge, "dynamodb:RestoreTableToPointInTime", source, target).await
    }
}

/// What a restore needs on what it reads, and on the table that it makes.
async fn require_restore(
    judge: &Judge<'_>,
    action: &'static str,
    source: Resource<'_>,
    target: Option<&str>,
) -> Result<(), ApiError> {
    let facts = Facts::default();
    judge.require(action, source, &facts).await?;
    let table = Resource::of(target, None);
    for action in RESTORES.into_iter().chain([action]) {
        judge.require(action, table, &facts).await?;
    }
    Ok(())
}
