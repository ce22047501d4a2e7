//! Bulk operations: what they need of tables, and of buckets as exports and imports do (`transfer.rs`).

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::cancel_bulk_operation::CancelBulkOperation;
use crate::operation::describe_bulk_operation::DescribeBulkOperation;
use crate::operation::list_bulk_operations::ListBulkOperations;
use crate::operation::start_bulk_put_items::StartBulkPutItems;
use crate::wire::error::ApiError;

impl Authorize for StartBulkPutItems {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts::default();
        let table = Resource::of(self.table_name.as_deref(), None);
        judge.require("dynamodb:StartBulkPutItems", table, &facts).await?;
        let input = self.input.clone().unwrap_or_default();
        let bucket = input.bucket.as_deref().unwrap_or_default();
        let prefix = input.prefix.as_deref().unwrap_or_default();
        judge
            .require("s3:ListBucket", Resource::Bucket(bucket, None), &facts)
            .await?;
        judge
            .require("s3:GetObject", Resource::Bucket(bucket, Some(prefix)), &facts)
            .await?;
        let output = self.output.clone().unwrap_or_default();
        let bucket = output.bucket.as_deref().unwrap_or_default();
        let prefix = output.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        let key = format!("{prefix}{separator}AWSDynamoDB/");
        judge
            .require("s3:PutObject", Resource::Bucket(bucket, Some(&key)), &facts)
            .await
    }
}

impl Authorize for DescribeBulkOperation {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let operation = Resource::BulkOperation(self.arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:DescribeBulkOperation", operation, &Facts::default())
            .await
    }
}

impl Authorize for CancelBulkOperation {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let operation = Resource::BulkOperation(self.arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:CancelBulkOperation", operation, &Facts::default())
            .await
    }
}

impl Authorize for ListBulkOperations {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        judge
            .require("dynamodb:ListBulkOperations", Resource::Any, &Facts::default())
            .await
    }
}
