//! DescribeContinuousBackups. A table can be backed up at any time; what it was at any second of the past is not kept.

use super::{Context, Operation, table_name};
use crate::message::{self, backup};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeContinuousBackups {
    pub(crate) table_name: Option<String>,
}

/// The answer: as DynamoDB describes a table without point-in-time recovery.
#[derive(Debug)]
pub(crate) struct DescribeContinuousBackupsOutput;

impl Operation for DescribeContinuousBackups {
    type Output = DescribeContinuousBackupsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let name = table_name::only(self.table_name)?;
        let table = context.catalog.latest(&name).await;
        let table = table.map_err(message::table::catalog)?;
        table.ok_or_else(|| backup::no_table(&name))?;
        Ok(DescribeContinuousBackupsOutput)
    }
}
