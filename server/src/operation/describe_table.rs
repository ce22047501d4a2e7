//! DescribeTable.

use super::{
    Context, Operation, in_use,
    table_description::{TableDescription, Tallies},
    table_name,
};
use crate::message;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeTable {
    pub(crate) table_name: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeTableOutput {
    pub(crate) table: TableDescription,
}

impl Operation for DescribeTable {
    type Output = DescribeTableOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let name = table_name::only(self.table_name)?;
        let table = context
            .catalog
            .latest(&name)
            .await
            .map_err(message::table::catalog)?
            .ok_or_else(|| message::no_table_named(&name))?;
        let tallies = Tallies::of(context, &table).await;
        let definition = table.definition().clone();
        let status = in_use::status(&definition);
        Ok(DescribeTableOutput {
            table: TableDescription::new(context, definition, &tallies, status),
        })
    }
}
