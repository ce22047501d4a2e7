//! ListImports: those that began within the last 90 days, under way or over.

use super::import_table::ImportDescription;
use super::transfer_page::listed;
use super::{Context, Operation};
use crate::transfer::ImportRecord;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListImports {
    pub(crate) table_arn: Option<String>,
    pub(crate) page_size: Option<i32>,
    pub(crate) next_token: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ListImportsOutput {
    pub(crate) imports: Vec<ImportDescription>,
    pub(crate) next_token: Option<String>,
}

impl Operation for ListImports {
    type Output = ListImportsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let limit = ("pageSize", self.page_size);
        let (wanted, shown) = listed::<ImportRecord>(
            context,
            self.table_arn.as_deref(),
            limit,
            self.next_token.as_ref(),
        )
        .await?;
        let described: Result<Vec<_>, ApiError> = shown
            .into_iter()
            .map(|record| ImportDescription::new(context, record))
            .collect();
        let described = described?.into_iter();
        let (page, next_token) = wanted.page(described.map(|import| (import.arn.clone(), import)).collect());
        Ok(ListImportsOutput {
            imports: page.into_iter().map(|(_, import)| import).collect(),
            next_token,
        })
    }
}
