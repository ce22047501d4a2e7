//! Exports and imports: what they need of tables, and of buckets.
//!
//! The node reads and writes buckets with a key pair of its own, so that what a caller may do there is asked of its policies,
//! with the actions and ARNs of S3: otherwise whoever may import a table could read every bucket. What is asked about is the
//! prefix of the request, once, and not every object below it.

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::describe_export::DescribeExport;
use crate::operation::describe_import::DescribeImport;
use crate::operation::export_table_to_point_in_time::ExportTableToPointInTime;
use crate::operation::import_table::ImportTable;
use crate::operation::list_exports::ListExports;
use crate::operation::list_imports::ListImports;
use crate::wire::error::ApiError;

impl Authorize for ImportTable {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts::default();
        let table = self.table.as_ref().and_then(|table| table.table_name.as_deref());
        let table = Resource::of(table, None);
        judge.require("dynamodb:ImportTable", table, &facts).await?;
        let source = self.source.clone().unwrap_or_default();
        let bucket = source.bucket.as_deref().unwrap_or_default();
        let prefix = source.prefix.as_deref().unwrap_or_default();
        judge
            .require("s3:ListBucket", Resource::Bucket(bucket, None), &facts)
            .await?;
        judge
            .require("s3:GetObject", Resource::Bucket(bucket, Some(prefix)), &facts)
            .await
    }
}

impl Authorize for DescribeImport {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let import = Resource::Import(self.import_arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:DescribeImport", import, &Facts::default())
            .await
    }
}

impl Authorize for ListImports {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        judge
            .require("dynamodb:ListImports", Resource::Any, &Facts::default())
            .await
    }
}

impl Authorize for ExportTableToPointInTime {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts::default();
        let table = Resource::of(self.table_arn.as_deref(), None);
        let action = "dynamodb:ExportTableToPointInTime";
        judge.require(action, table, &facts).await?;
        let bucket = self.bucket.as_deref().unwrap_or_default();
        let prefix = self.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        let key = format!("{prefix}{separator}AWSDynamoDB/");
        judge
            .require("s3:PutObject", Resource::Bucket(bucket, Some(&key)), &facts)
            .await
    }
}

impl Authorize for DescribeExport {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let export = Resource::Export(self.export_arn.as_deref().unwrap_or_default());
        judge
            .require("dynamodb:DescribeExport", export, &Facts::default())
            .await
    }
}

impl Authorize for ListExports {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        judge
            .require("dynamodb:ListExports", Resource::Any, &Facts::default())
            .await
    }
}
