//! DescribeExport.

use super::export_table_to_point_in_time::ExportDescription;
use super::{Context, Operation};
use crate::arn;
use crate::constraint::Constraints;
use crate::message::transfer;
use crate::transfer::ExportRecord;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeExport {
    pub(crate) export_arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeExportOutput {
    pub(crate) export: ExportDescription,
}

impl Operation for DescribeExport {
    type Output = DescribeExportOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("exportArn", self.export_arn.as_ref());
        let text = self.export_arn.unwrap_or_default();
        if !text.is_empty() {
            constraints.length("exportArn", &text, text.chars().count(), 37, 1024);
        }
        constraints.finish()?;
        let parts = arn::export_parts(&text);
        let (table, id) = parts.ok_or_else(|| ApiError::validation(transfer::INVALID_EXPORT_ARN))?;
        let found = context.transfers()?.find::<ExportRecord>(table, id).await;
        let record = found.map_err(transfer::failed)?;
        let record = record.ok_or_else(|| transfer::no_export(&text))?;
        Ok(DescribeExportOutput {
            export: ExportDescription::new(context, record),
        })
    }
}
