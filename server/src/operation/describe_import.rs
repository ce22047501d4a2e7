//! DescribeImport.

use super::import_table::ImportDescription;
use super::{Context, Operation};
use crate::arn;
use crate::constraint::Constraints;
use crate::message::transfer;
use crate::transfer::ImportRecord;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeImport {
    pub(crate) import_arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeImportOutput {
    pub(crate) import: ImportDescription,
}

impl Operation for DescribeImport {
    type Output = DescribeImportOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("importArn", self.import_arn.as_ref());
        let text = self.import_arn.unwrap_or_default();
        if !text.is_empty() {
            constraints.length("importArn", &text, text.chars().count(), 37, 1024);
        }
        constraints.finish()?;
        let parts = arn::import_parts(&text);
        let (table, id) = parts.ok_or_else(|| ApiError::validation(transfer::INVALID_IMPORT_ARN))?;
        let found = context.transfers()?.find::<ImportRecord>(table, id).await;
        let record = found.map_err(transfer::failed)?;
        let record = record.ok_or_else(|| transfer::no_import(&text))?;
        Ok(DescribeImportOutput {
            import: ImportDescription::new(context, record)?,
        })
    }
}
