//! DeleteTable. The table is gone when this is answered; its streams can be read for another day.
//!
//! One with point-in-time recovery, on a node that knows where backups are, goes when a last backup of it is made
//! (`archivist/deletion.rs`). Until then it is DELETING, and nobody reads or writes its items.

use super::{
    Context, Operation, in_use,
    readers::Look,
    table_description::{TableDescription, TableStatus, Tallies},
    table_name,
};
use crate::catalog::{CatalogError, Deletion, Table, TableDefinition};
use crate::compare_and_set::TRIES;
use crate::message::{self, table};
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
        for _ in 0..TRIES {
            match Box::pin(Self::attempt(context, &name)).await {
                Ok(output) => return Ok(output),
                Err(Stay::Refused(error)) => return Err(error),
                Err(Stay::ToLookAgain | Stay::ForLastBackup) => {}
            }
        }
        Err(table::catalog(CatalogError::Contended { name }))
    }
}

/// Why a table does not go at once.
#[derive(Debug, PartialEq)]
enum Stay {
    Refused(ApiError),
    /// Until a last backup of it is made.
    ForLastBackup,
    /// Somebody may read it who was not there when it was looked who does.
    ToLookAgain,
}

impl From<ApiError> for Stay {
    fn from(refusal: ApiError) -> Self {
        Self::Refused(refusal)
    }
}

impl DeleteTable {
    /// Deletes a table if nothing that is found speaks against it, or has it wait for its last backup.
    async fn attempt(context: &Context, name: &str) -> Result<DeleteTableOutput, Stay> {
        let table = context.catalog.latest(name).await;
        let table = table.map_err(table::catalog)?;
        let table = table.ok_or_else(|| message::no_table_named(name))?;
        if table.definition().deletion.is_some() {
            // No error. Source: service model of DynamoDB, DeleteTable.
            return Ok(Self::describe(context, &table).await);
        }
        let look = Look::at(table.definition());
        if context.is_being_backed_up(name).await? {
            return Err(table::being_backed_up(name).into());
        }
        if context.is_being_read_back(name).await? {
            return Err(table::being_read_back(name).into());
        }
        let now_ms = context.clock.now_ms();
        let keeps_backups = context.backups.is_some();
        let may_go = |definition: &TableDefinition| may_go(definition, look, keeps_backups);
        let removed = Box::pin(context.catalog.remove(name, now_ms, may_go));
        match removed.await.map_err(table::catalog)? {
            Ok((removed, tally)) => {
                let (definition, status) = (removed.definition().clone(), TableStatus::Deleting);
                let tallies = Tallies::of_gone(tally);
                Ok(DeleteTableOutput {
                    table_description: TableDescription::new(context, definition, &tallies, status),
                })
            }
            Err(Stay::ForLastBackup) => {
                let deletion = Deletion {
                    backup: context.new_backup_id(now_ms)?,
                    asked_at_ms: now_ms,
                };
                let changed = context.catalog.change(name, |definition| {
                    may_end(definition, look)?;
                    definition.deletion = Some(deletion.clone());
                    Ok::<(), Stay>(())
                });
                let changed = Box::pin(changed).await.map_err(table::catalog)??;
                Ok(Self::describe(context, &changed).await)
            }
            Err(stay) => Err(stay),
        }
    }

    /// Describes a table that waits for its last backup.
    async fn describe(context: &Context, table: &Table) -> DeleteTableOutput {
        let tallies = Tallies::of(context, table).await;
        let (definition, status) = (table.definition().clone(), TableStatus::Deleting);
        DeleteTableOutput {
            table_description: TableDescription::new(context, definition, &tallies, status),
        }
    }
}

/// Refuses to delete a table with deletion protection, or one that is changing.
fn check(definition: &TableDefinition) -> Result<(), ApiError> {
    if definition.deletion_protection {
        return Err(ApiError::validation(table::PROTECTED));
    }
    in_use::check_delete(definition)
}

/// Whether a table may be deleted of which nobody was found to read it. Asked inside of the compare-and-set.
fn may_end(definition: &TableDefinition, look: Look) -> Result<(), Stay> {
    if !look.holds(definition) {
        return Err(Stay::ToLookAgain);
    }
    check(definition).map_err(Stay::Refused)
}

/// Whether a table may go at once. Asked inside of the compare-and-set: point-in-time recovery may just have been turned on.
fn may_go(definition: &TableDefinition, look: Look, keeps_backups: bool) -> Result<(), Stay> {
    may_end(definition, look)?;
    if keeps_backups && definition.history.is_some() {
        return Err(Stay::ForLastBackup);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::catalog::History;
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

    #[test]
    fn a_table_that_has_point_in_time_recovery_by_now_stays_for_its_last_backup() {
        let mut definition = definition();
        let look = Look::at(&definition);
        assert_eq!(may_go(&definition, look, true), Ok(()));
        definition.history = Some(History::new(Uuid::from_u128(1), 35));
        assert_eq!(may_go(&definition, look, true), Err(Stay::ForLastBackup));
        assert_eq!(
            may_go(&definition, look, false),
            Ok(()),
            "there is nowhere to keep it"
        );
        definition.deletion_protection = true;
        assert!(matches!(may_go(&definition, look, true), Err(Stay::Refused(_))));
    }

    #[test]
    fn a_table_stays_that_somebody_has_begun_to_read_since_it_was_looked() {
        let mut definition = definition();
        let look = Look::at(&definition);
        definition.reads_begun += 1;
        for keeps_backups in [true, false] {
            assert_eq!(may_go(&definition, look, keeps_backups), Err(Stay::ToLookAgain));
        }
        assert_eq!(may_end(&definition, Look::at(&definition)), Ok(()));
    }
}
