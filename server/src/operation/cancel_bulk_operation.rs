//! CancelBulkOperation. The operation ends after this is answered; what it has put stays.

use super::describe_bulk_operation::checked;
use super::{Context, Operation};
use crate::compare_and_set::TRIES;
use crate::message::transfer;
use crate::transfer::record::bulk::BulkStatus;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct CancelBulkOperation {
    pub(crate) arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct CancelBulkOperationOutput {
    pub(crate) arn: String,
    pub(crate) status: BulkStatus,
}

impl Operation for CancelBulkOperation {
    type Output = CancelBulkOperationOutput;

    /// One that is over stays what it is.
    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let arn = checked(self.arn)?;
        for _ in 0..TRIES {
            let record = context.bulk_operation(&arn).await?;
            let mut cancelling = record.clone();
            if record.status() == BulkStatus::InProgress {
                cancelling.set_status(BulkStatus::Cancelling);
            }
            let put = context.transfers()?.put(Some(&record), &cancelling).await;
            if put.map_err(transfer::failed)? {
                let status = cancelling.status();
                return Ok(CancelBulkOperationOutput { arn, status });
            }
        }
        let cause = "the bulk operation is being changed all the time; try again";
        Err(ApiError::Unavailable(cause.to_owned()))
    }
}
