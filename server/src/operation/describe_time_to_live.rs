//! DescribeTimeToLive: which attribute says when items are due, and whether it counts yet.

use super::{Context, Operation, table_name};
use crate::catalog::TimeToLive;
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct DescribeTimeToLive {
    pub(crate) table_name: Option<String>,
}

/// The answer; `None` when no attribute does.
#[derive(Debug)]
pub(crate) struct DescribeTimeToLiveOutput {
    pub(crate) time_to_live: Option<TimeToLive>,
}

impl Operation for DescribeTimeToLive {
    type Output = DescribeTimeToLiveOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        table_name::check(&mut constraints, self.table_name.as_ref());
        constraints.finish()?;
        let name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?.to_owned();
        let table = context
            .catalog
            .latest(&name)
            .await
            .map_err(message::table::catalog)?;
        let table = table.ok_or_else(|| message::no_table_named(&name))?;
        Ok(DescribeTimeToLiveOutput {
            time_to_live: table.definition().time_to_live.clone(),
        })
    }
}
