//! DeleteTable. The table is gone when this is answered; its streams can be read for another day.

use super::{
    Context, Operation, in_use,
    table_description::{TableDescription, TableStatus, Tallies},
    table_name,
};
use crate::catalog::TableDefinition;
use crate::message::table;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteTable {
    pub(crate) table_name: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DeleteTableOutput {
    pub(crate) table_description: TableDescription,
}

impl Operation for DeleteTable {
    type Output = DeleteTableOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let name = table_name::only(self.table_name)?;
        if context.is_being_backed_up(&name).await? {
            return Err(table::being_backed_up(&name));
        }
        if context.is_being_read_back(&name).await? {
            return Err(table::being_read_back(&name));
        }
        let (removed, tally) = context
            .catalog
            .remove(&name, context.clock.now_ms(), check)
            .await
            .map_err(table::catalog)??;
        let (definition, status) = (removed.definition().clone(), TableStatus::Deleting);
        Ok(DeleteTableOutput {
            table_description: TableDescription::new(context, definition, &Tallies::of_gone(tally), status),
        })
    }
}

/// Refuses to delete a table with deletion protection, or one that is changing.
fn check(definition: &TableDefinition) -> Result<(), ApiError> {
    if definition.deletion_protection {
        return Err(ApiError::validation(table::PROTECTED));
    }
    in_use::check_delete(definition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn a_protected_table_stays() {
        let mut definition = definition();
        assert_eq!(check(&definition), Ok(()));
        definition.deletion_protection = true;
        assert_eq!(
            check(&definition),
            Err(ApiError::validation(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection \
                 first."
            ))
        );
    }
}
