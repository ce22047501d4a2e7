//! DescribeBulkOperation.

use super::start_bulk_put_items::BulkDescription;
use super::{Context, Operation};
use crate::arn;
use crate::constraint::Constraints;
use crate::message::transfer;
use crate::transfer::BulkRecord;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeBulkOperation {
    pub(crate) arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeBulkOperationOutput {
    pub(crate) operation: BulkDescription,
}

impl Operation for DescribeBulkOperation {
    type Output = DescribeBulkOperationOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let arn = checked(self.arn)?;
        let record = context.bulk_operation(&arn).await?;
        Ok(DescribeBulkOperationOutput {
            operation: BulkDescription::new(context, record),
        })
    }
}

/// The ARN of a request that has nothing else.
///
/// # Errors
/// ValidationException for what breaks the service model.
pub(super) fn checked(arn: Option<String>) -> Result<String, ApiError> {
    let mut constraints = Constraints::default();
    constraints.required("bulkOperationArn", arn.as_ref());
    if let Some(arn) = &arn {
        constraints.length("bulkOperationArn", arn, arn.chars().count(), 37, 1024);
    }
    constraints.finish()?;
    Ok(arn.unwrap_or_default())
}

impl Context {
    /// The bulk operation of an ARN.
    ///
    /// # Errors
    /// ResourceNotFoundException, ValidationException for what is no ARN of one.
    pub(super) async fn bulk_operation(&self, arn: &str) -> Result<BulkRecord, ApiError> {
        let parts = arn::bulk_operation_parts(arn);
        let (table, id) = parts.ok_or_else(|| transfer::invalid_arn("BulkOperationArn", arn))?;
        let found = self.transfers()?.find::<BulkRecord>(table, id).await;
        let found = found.map_err(transfer::failed)?;
        found
            .filter(|record| record.table == table)
            .ok_or_else(|| transfer::no_bulk_operation(arn))
    }
}
