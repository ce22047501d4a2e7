//! DescribeTimeToLive: which attribute says when items are due, and whether it counts yet.

use super::table_description::TableStatus;
use super::{Context, Operation, in_use, table_name};
use crate::catalog::{TableDefinition, TimeToLive};
use crate::constraint::Constraints;
use crate::message::{self, time_to_live};
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
        table_name::check_of_table(&mut constraints, self.table_name.as_ref());
        constraints.finish()?;
        let name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?.to_owned();
        let table = context
            .catalog
            .latest(&name)
            .await
            .map_err(message::table::catalog)?;
        let table = table.ok_or_else(|| message::no_table_named(&name))?;
        check(table.definition())?;
        Ok(DescribeTimeToLiveOutput {
            time_to_live: table.definition().time_to_live.clone(),
        })
    }
}

/// Refuses a table whose items are still on their way, or that is being deleted.
fn check(definition: &TableDefinition) -> Result<(), ApiError> {
    match in_use::status(definition) {
        TableStatus::Creating => Err(time_to_live::not_told("CREATING")),
        TableStatus::Deleting => Err(time_to_live::not_told("DELETING")),
        TableStatus::Active | TableStatus::Updating => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Deletion;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn nothing_is_told_of_a_table_that_is_being_deleted() {
        let mut table = definition();
        assert_eq!(check(&table), Ok(()));
        table.deletion = Some(Deletion {
            backup: "id".into(),
            asked_at_ms: 0,
        });
        assert_eq!(
            check(&table),
            Err(ApiError::validation(
                "Cannot describe time to live while table is in DELETING state: Current table state is DELETING"
            ))
        );
    }
}
