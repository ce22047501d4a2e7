//! Who reads a table beside its clients: backups of it that are being made, and tables that are being restored from its history.
//!
//! Invariant: whoever begins to read writes that down first where he is looked for (the row of a backup, the table that is being
//! restored), and then in the definition of what he reads. Whoever ends a table or its history notes what the definition says,
//! looks who reads it, and changes it only if it still says the same. So of two who come at the same moment one finds the other:
//! both change the same cell, and nobody changes it as it was before.

use uuid::Uuid;

use super::Context;
use crate::catalog::{CatalogError, TableDefinition};
use crate::message::{backup, table};
use crate::wire::error::ApiError;

/// What a definition has said before it was looked who reads the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    table: Uuid,
    reads_begun: u64,
}

impl Look {
    /// At a table as it is before somebody looks who reads it.
    pub(crate) fn at(definition: &TableDefinition) -> Self {
        Self {
            table: definition.id,
            reads_begun: definition.reads_begun,
        }
    }

    /// Whether nobody has begun to read the table since, and it is the same one. Asked inside of the compare-and-set.
    pub(crate) fn holds(self, definition: &TableDefinition) -> bool {
        self == Self::at(definition)
    }
}

impl Context {
    /// Writes down in the definition of a table that somebody has begun to read it; `check` may refuse.
    ///
    /// # Errors
    /// TableNotFoundException, what `check` refuses with, failures of the cluster.
    pub(crate) async fn begin_reading(
        &self,
        name: &str,
        check: impl Fn(&TableDefinition) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let changed = self.catalog.change(name, |definition| {
            check(definition)?;
            definition.reads_begun = definition.reads_begun.wrapping_add(1);
            Ok::<(), ApiError>(())
        });
        match changed.await {
            Ok(begun) => begun.map(drop),
            Err(CatalogError::Missing { name }) => Err(backup::no_table(&name)),
            Err(error) => Err(table::catalog(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn a_look_holds_until_somebody_begins_to_read_the_table_or_it_is_another_one() {
        let mut table = definition();
        let look = Look::at(&table);
        table.deletion_protection = true;
        assert!(look.holds(&table));
        table.reads_begun += 1;
        assert!(!look.holds(&table));
        let look = Look::at(&table);
        table.id = Uuid::from_u128(99);
        assert!(!look.holds(&table));
    }
}
