//! ListExports: those that began within the last 90 days, under way or over.

use super::export_table_to_point_in_time::ExportDescription;
use super::transfer_page::listed;
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
        let limit = ("maxResults", self.max_results);
        let (wanted, shown) = listed::<ExportRecord>(
            context,
            self.table_arn.as_deref(),
            limit,
            self.next_token.as_ref(),
        )
        .await?;
        let described = shown
            .into_iter()
            .map(|record| ExportDescription::new(context, record));
        let (page, next_token) = wanted.page(described.map(|export| (export.arn.clone(), export)).collect());
        Ok(ListExportsOutput {
            exports: page.into_iter().map(|(_, export)| export).collect(),
            next_token,
        })
    }
}
