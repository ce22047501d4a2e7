//! ListImports: those that began within the last 90 days, under way or over.

use super::import_table::ImportDescription;
use super::transfer_page::{Asked, listed};
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
        let asked = Asked {
            table_arn: self.table_arn.as_deref(),
            limit: ("pageSize", self.page_size),
            next_token: self.next_token.as_deref(),
        };
        let (records, next_token) = listed::<ImportRecord>(context, asked).await?;
        let described = records.into_iter();
        let described: Result<_, ApiError> = described
            .map(|record| ImportDescription::new(context, record))
            .collect();
        Ok(ListImportsOutput {
            imports: described?,
            next_token,
        })
    }
}
