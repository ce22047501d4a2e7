//! ListImports: those that began within the last 90 days, under way or over.

use super::import_table::ImportDescription;
use super::transfer_page::{Wanted, is_listed};
use super::{Context, Operation, table_name};
use crate::constraint::Constraints;
use crate::message::transfer;
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
        let mut constraints = Constraints::default();
        if let Some(arn) = &self.table_arn {
            constraints.length("tableArn", arn, arn.chars().count(), 1, 1024);
        }
        let wanted = Wanted::of(
            constraints,
            ("pageSize", self.page_size),
            self.next_token.as_ref(),
        )?;
        let table = self.table_arn.as_deref().map(table_name::resolve).transpose()?;
        let all = match &context.transfers {
            Some(transfers) => transfers.all::<ImportRecord>().await.map_err(transfer::failed)?,
            None => Vec::new(),
        };
        let now_ms = context.clock.now_ms();
        let shown = all.into_iter().filter(|record| {
            table.is_none_or(|table| record.table == table) && is_listed(record.started_ms, now_ms)
        });
        let described: Result<Vec<_>, ApiError> = shown
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
