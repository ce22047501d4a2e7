//! ListExports: those that began within the last 90 days, under way or over.

use super::export_table_to_point_in_time::ExportDescription;
use super::transfer_page::{Wanted, is_listed};
use super::{Context, Operation, table_name};
use crate::constraint::Constraints;
use crate::message::transfer;
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
        let mut constraints = Constraints::default();
        if let Some(arn) = &self.table_arn {
            constraints.length("tableArn", arn, arn.chars().count(), 1, 1024);
        }
        let wanted = Wanted::of(
            constraints,
            ("maxResults", self.max_results),
            self.next_token.as_ref(),
        )?;
        let table = self.table_arn.as_deref().map(table_name::resolve).transpose()?;
        let all = match &context.transfers {
            Some(transfers) => transfers.all::<ExportRecord>().await.map_err(transfer::failed)?,
            None => Vec::new(),
        };
        let now_ms = context.clock.now_ms();
        let shown = all.into_iter().filter(|record| {
            table.is_none_or(|table| record.table == table) && is_listed(record.started_ms, now_ms)
        });
        let described = shown.map(|record| ExportDescription::new(context, record));
        let (page, next_token) = wanted.page(described.map(|export| (export.arn.clone(), export)).collect());
        Ok(ListExportsOutput {
            exports: page.into_iter().map(|(_, export)| export).collect(),
            next_token,
        })
    }
}
