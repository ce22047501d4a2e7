//! ListExports: those that began within the last 90 days, under way or over.

use super::export_table_to_point_in_time::ExportDescription;
use super::transfer_page::{Asked, listed};
use super::{Context, Operation};
use crate::transfer::ExportRecord;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListExports {
    pub(crate) table_arn: Option<String>,
    pub(crate) max_results: Option<i32>,
    pub(crate) next_token: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ListExportsOutput {
    pub(crate) exports: Vec<ExportDescription>,
    pub(crate) next_token: Option<String>,
}

impl Operation for ListExports {
    type Output = ListExportsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let asked = Asked {
            table_arn: self.table_arn.as_deref(),
            limit: ("maxResults", self.max_results),
            next_token: self.next_token.as_deref(),
        };
        let (records, next_token) = listed::<ExportRecord>(context, asked).await?;
        let described = records.into_iter();
        Ok(ListExportsOutput {
            exports: described
                .map(|record| ExportDescription::new(context, record))
                .collect(),
            next_token,
        })
    }
}
