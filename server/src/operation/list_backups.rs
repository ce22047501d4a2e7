//! ListBackups.

use std::collections::BTreeMap;

use super::backup_description::{self, BackupDescription};
use super::{Context, Operation, table_name};
use crate::arn;
use crate::backup::{BackupKind, BackupRecord, BackupStatus};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::backup;
use crate::wire::error::ApiError;

/// Most backups in one answer, and how many there are when the request does not say.
const PAGE_MAX: i32 = 100;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListBackups {
    pub(crate) table_name: Option<String>,
    pub(crate) limit: Option<i32>,
    /// Inclusive, in milliseconds since the Unix epoch.
    pub(crate) time_range_lower_bound_ms: Option<i64>,
    /// Exclusive.
    pub(crate) time_range_upper_bound_ms: Option<i64>,
    pub(crate) exclusive_start_backup_arn: Option<String>,
    pub(crate) backup_type: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ListBackupsOutput {
    /// In the order of the names of their tables, and of their times.
    pub(crate) backups: Vec<BackupDescription>,
    /// That of the last of them, when there are more.
    pub(crate) last_evaluated_backup_arn: Option<String>,
}

/// `BackupType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackupType {
    User,
    System,
    AwsBackup,
    All,
}

impl BackupType {
    /// The backups that are of this type. None is of another service.
    fn kinds(self) -> &'static [BackupKind] {
        match self {
            Self::User => &[BackupKind::User],
            Self::System => &[BackupKind::System],
            Self::AwsBackup => &[],
            Self::All => &[BackupKind::User, BackupKind::System],
        }
    }
}

impl ModelEnum for BackupType {
    const NAMES: &'static [&'static str] = &["USER", "SYSTEM", "AWS_BACKUP", "ALL"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "USER" => Self::User,
            "SYSTEM" => Self::System,
            "AWS_BACKUP" => Self::AwsBackup,
            "ALL" => Self::All,
            _ => return None,
        })
    }
}

/// A request that is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    table: Option<String>,
    from_ms: i64,
    until_ms: i64,
    /// Table and id of the backup behind which to begin.
    behind: Option<(String, String)>,
    /// Backups of these kinds.
    kinds: &'static [BackupKind],
    limit: usize,
}

/// The first backups that were found, by the names of their tables and their ids.
type Page = BTreeMap<(String, String), BackupRecord>;

impl Operation for ListBackups {
    type Output = ListBackupsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let wanted = self.validate()?;
        let mut page = Page::default();
        if let Some(backups) = &context.backups {
            let each = backups.each(|record| wanted.take(&mut page, record));
            each.await.map_err(backup::failed)?;
        }
        let (page, has_more) = wanted.cut(page);
        let describe = |record| BackupDescription::new(context, record);
        let backups: Vec<_> = page.into_iter().map(describe).collect();
        let last = backups.last().filter(|_| has_more);
        Ok(ListBackupsOutput {
            last_evaluated_backup_arn: last.map(|last| last.arn.clone()),
            backups,
        })
    }
}

impl ListBackups {
    fn validate(self) -> Result<Wanted, ApiError> {
        let mut constraints = Constraints::default();
        if let Some(name) = &self.table_name {
            constraints.length("tableName", name, name.chars().count(), 1, 1024);
        }
        constraints.at_least("limit", self.limit, 1);
        constraints.at_most("limit", self.limit, PAGE_MAX);
        let start = self.exclusive_start_backup_arn;
        backup_description::check_arn(&mut constraints, "exclusiveStartBackupArn", start.as_ref());
        let of_type: Option<BackupType> = constraints.one_of("backupType", self.backup_type.as_deref());
        constraints.finish()?;
        let from_ms = self.time_range_lower_bound_ms.unwrap_or(i64::MIN);
        let until_ms = self.time_range_upper_bound_ms.unwrap_or(i64::MAX);
        if from_ms > until_ms {
            return Err(ApiError::validation(backup::TIMES_TURNED));
        }
        let table = self.table_name.as_deref().map(table_name::resolve).transpose()?;
        let behind = match &start {
            Some(arn) => Some(arn::backup_parts(arn).ok_or_else(backup::invalid_arn)?),
            None => None,
        };
        Ok(Wanted {
            table: table.map(str::to_owned),
            from_ms,
            until_ms,
            behind: behind.map(|(table, id)| (table.to_owned(), id.to_owned())),
            // Source: API reference of DynamoDB, ListBackups, "BackupType".
            kinds: of_type.unwrap_or(BackupType::User).kinds(),
            limit: usize::try_from(self.limit.unwrap_or(PAGE_MAX)).unwrap_or_default(),
        })
    }
}

impl Wanted {
    fn is_wanted(&self, record: &BackupRecord) -> bool {
        let table = &record.table().name;
        let behind = self.behind.as_ref();
        self.kinds.contains(&record.kind)
            && record.status != BackupStatus::Deleted
            && self.table.as_ref().is_none_or(|wanted| wanted == table)
            && (self.from_ms..self.until_ms).contains(&record.created_at_ms)
            && behind.is_none_or(|(of, id)| (&table[..], &record.id[..]) > (&of[..], &id[..]))
    }

    /// Adds a backup to those that were found, if it is wanted and not behind all of a page.
    fn take(&self, page: &mut Page, record: BackupRecord) {
        if !self.is_wanted(&record) {
            return;
        }
        page.insert((record.table().name.clone(), record.id.clone()), record);
        // One more says that there are more.
        if page.len() > self.limit + 1 {
            page.pop_last();
        }
    }

    /// The backups of a page, and whether there are more.
    fn cut(&self, page: Page) -> (Vec<BackupRecord>, bool) {
        let has_more = page.len() > self.limit;
        (page.into_values().take(self.limit).collect(), has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    fn backups() -> Vec<BackupRecord> {
        let backup = |(table, at_ms): (&str, i64)| {
            let mut definition = definition();
            table.clone_into(&mut definition.name);
            BackupRecord::new(format!("{at_ms:014}-0000000a"), "name".into(), at_ms, definition)
        };
        [("Tab", 30), ("Tab", 10), ("Other", 20), ("Tab", 40)]
            .map(backup)
            .into()
    }

    /// What a request gets of some backups; no more of them are held than a page has, and one.
    fn listed(request: ListBackups, all: Vec<BackupRecord>) -> (Vec<BackupRecord>, bool) {
        let wanted = request.validate().unwrap();
        let mut page = Page::default();
        for record in all {
            wanted.take(&mut page, record);
            assert!(page.len() <= wanted.limit + 1);
        }
        wanted.cut(page)
    }

    fn times(request: ListBackups) -> (Vec<i64>, bool) {
        let (page, has_more) = listed(request, backups());
        (page.iter().map(|record| record.created_at_ms).collect(), has_more)
    }

    #[test]
    fn backups_come_by_table_and_time_in_pages() {
        assert_eq!(times(ListBackups::default()), (vec![20, 10, 30, 40], false));
        let of_table = ListBackups {
            table_name: Some("arn:aws:dynamodb:eu-west-1:000000000000:table/Tab".into()),
            limit: Some(2),
            ..ListBackups::default()
        };
        assert_eq!(times(of_table.clone()), (vec![10, 30], true));
        let next = ListBackups {
            exclusive_start_backup_arn: Some(
                "arn:aws:dynamodb:eu-west-1:000000000000:table/Tab/backup/00000000000030-0000000a".into(),
            ),
            ..of_table
        };
        assert_eq!(times(next), (vec![40], false));
    }

    #[test]
    fn a_range_of_times_has_its_lower_end_and_not_its_upper_one() {
        let within = ListBackups {
            time_range_lower_bound_ms: Some(10),
            time_range_upper_bound_ms: Some(30),
            ..ListBackups::default()
        };
        assert_eq!(times(within), (vec![20, 10], false));
        let turned = ListBackups {
            time_range_lower_bound_ms: Some(30),
            time_range_upper_bound_ms: Some(10),
            ..ListBackups::default()
        };
        assert_eq!(turned.validate(), Err(ApiError::validation(backup::TIMES_TURNED)));
    }

    #[test]
    fn backups_are_listed_by_who_has_asked_for_them() {
        let mut all = backups();
        all[1].kind = BackupKind::System;
        for (of_type, wanted) in [
            (Some("USER"), vec![20, 30, 40]),
            (Some("SYSTEM"), vec![10]),
            (Some("ALL"), vec![20, 10, 30, 40]),
            (None, vec![20, 30, 40]),
            (Some("AWS_BACKUP"), vec![]),
        ] {
            let request = ListBackups {
                backup_type: of_type.map(str::to_owned),
                ..ListBackups::default()
            };
            let (page, _) = listed(request, all.clone());
            let listed: Vec<_> = page.iter().map(|record| record.created_at_ms).collect();
            assert_eq!(listed, wanted, "{of_type:?}");
        }
    }

    #[test]
    fn what_breaks_the_model_is_told_together() {
        let request = ListBackups {
            limit: Some(101),
            backup_type: Some("MINE".into()),
            ..ListBackups::default()
        };
        assert_eq!(
            request.validate(),
            Err(ApiError::validation(
                "2 validation errors detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value \
                 less than or equal to 100; Value 'MINE' at 'backupType' failed to satisfy constraint: Member must satisfy \
                 enum value set: [USER, SYSTEM, AWS_BACKUP, ALL]"
            ))
        );
    }
}
