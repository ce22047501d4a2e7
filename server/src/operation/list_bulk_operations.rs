//! ListBulkOperations: those that began within the last 90 days, under way or over, the latest first.

use super::start_bulk_put_items::BulkDescription;
use super::transfer_page::{Asked, listed};
use super::{Context, Operation};
use crate::transfer::BulkRecord;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListBulkOperations {
    pub(crate) max_results: Option<i32>,
    pub(crate) next_token: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ListBulkOperationsOutput {
    pub(crate) operations: Vec<BulkDescription>,
    pub(crate) next_token: Option<String>,
}

impl Operation for ListBulkOperations {
    type Output = ListBulkOperationsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let asked = Asked {
            table_arn: None,
            limit: ("maxResults", self.max_results),
            next_token: self.next_token.as_deref(),
        };
        let (records, next_token) = listed::<BulkRecord>(context, asked).await?;
        let described = records.into_iter();
        Ok(ListBulkOperationsOutput {
            operations: described
                .map(|record| BulkDescription::new(context, record))
                .collect(),
            next_token,
        })
    }
}
