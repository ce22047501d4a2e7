//! CreateBackup. The backup is made after this is answered, of a moment behind the request (`archivist.rs`).

use super::backup_description::{BackupDescription, check_backed_up};
use super::{Context, Operation, table_name};
use crate::arn;
use crate::backup::BackupRecord;
use crate::constraint::Constraints;
use crate::message::{self, backup};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct CreateBackup {
    pub(crate) table_name: Option<String>,
    pub(crate) backup_name: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct CreateBackupOutput {
    pub(crate) backup: BackupDescription,
}

impl Operation for CreateBackup {
    type Output = CreateBackupOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let (table_name, backup_name) = self.validate()?;
        let backups = context.backups()?;
        let table = context.catalog.latest(&table_name).await;
        let table = table.map_err(message::table::catalog)?;
        let table = table.ok_or_else(|| backup::no_table(&table_name))?;
        let definition = table.definition();
        check_backed_up(definition)?;
        let now_ms = context.clock.now_ms();
        let id = context.new_backup_id(now_ms)?;
        let mut record = BackupRecord::new(id, backup_name, now_ms, definition.clone());
        record.expect(&context.cluster.tally(table.keyspace()).await);
        if !backups.add(&record).await.map_err(backup::failed)? {
            return Err(ApiError::Internal("the id of the backup is taken".to_owned()));
        }
        // The table may have been deleted, or made anew, since it was looked for.
        let begun = context.begin_reading(&table_name, |there| {
            if there.id != definition.id {
                return Err(backup::no_table(&table_name));
            }
            check_backed_up(there)
        });
        if let Err(refusal) = Box::pin(begun).await
            // One that was made meanwhile is there.
            && backups.forget(&record).await.map_err(backup::failed)?
        {
            return Err(refusal);
        }
        Ok(CreateBackupOutput {
            backup: BackupDescription::new(context, record),
        })
    }
}

impl CreateBackup {
    /// The names of the table and of the backup.
    fn validate(self) -> Result<(String, String), ApiError> {
        let mut constraints = Constraints::default();
        table_name::check_of_table(&mut constraints, self.table_name.as_ref());
        constraints.required("backupName", self.backup_name.as_ref());
        if let Some(name) = &self.backup_name {
            if name.is_empty() || !name.bytes().all(arn::is_table_name_byte) {
                let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
                constraints.violated("backupName", name, rule);
            }
            constraints.length("backupName", name, name.chars().count(), 3, 255);
        }
        constraints.finish()?;
        let table = table_name::resolve(&self.table_name.unwrap_or_default())?.to_owned();
        Ok((table, self.backup_name.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_together() {
        let request = |table: Option<&str>, backup: Option<&str>| CreateBackup {
            table_name: table.map(str::to_owned),
            backup_name: backup.map(str::to_owned),
        };
        let valid = request(Some("Music"), Some("a.b_c-9")).validate();
        assert_eq!(valid, Ok(("Music".to_owned(), "a.b_c-9".to_owned())));
        assert_eq!(
            request(None, Some("ab")).validate(),
            Err(ApiError::validation(
                "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be \
                 null; Value 'ab' at 'backupName' failed to satisfy constraint: Member must have length greater than or \
                 equal to 3"
            ))
        );
        assert_eq!(
            request(Some("Music"), Some("")).validate(),
            Err(ApiError::validation(
                "2 validation errors detected: Value '' at 'backupName' failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'backupName' failed to satisfy constraint: Member \
                 must have length greater than or equal to 3"
            ))
        );
        let wrong = request(Some("Music"), Some("a b")).validate().unwrap_err();
        assert!(wrong.to_string().contains("[a-zA-Z0-9_.-]+"), "{wrong}");
    }
}
