//! What operators may ask for about backups of the cluster: to make and delete them, to restore one, to give a restore up, and how
//! far all of that is. The work is begun when this answers, and done by `archivist/whole.rs`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stator_archive::Manifest;
use stator_cluster::{ConsistencyLevel, FORMATS_OF_PARTS};

use super::contents;
use super::record::{RestorePhase, WholeBackup, WholeRestore, WholeStatus};
use crate::archivist::restore_progress_key;
use crate::archivist::whole::is_on_its_way;
use crate::arn;
use crate::backup::Backups;
use crate::catalog::{Table, TableDefinition};
use crate::identity::store::Identities;
use crate::message::{backup, table};
use crate::operation::Context;
use crate::wire::error::ApiError;

/// Longest name of a backup, as of one of a table.
const NAME_LENGTH_MAX: usize = 255;
/// So many names are told in a refusal.
const NAMES_TOLD: usize = 10;

/// A change of the backups of the cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, tag = "change")]
pub(crate) enum ChangeBackups {
    /// One is to be made.
    Create {
        /// How it is named.
        #[serde(default)]
        name: String,
    },
    /// One is to be removed, or not to be made after all.
    Delete {
        /// Its id.
        id: String,
    },
}

/// A change of the restore of the cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, tag = "change")]
pub(crate) enum ChangeRestore {
    /// A backup is to be restored.
    Begin {
        /// Its id.
        backup: String,
        /// The tables that are wanted; all of them if there are none.
        #[serde(default)]
        tables: Vec<String>,
        /// Whether what is there is left alone, where it would otherwise be refused.
        #[serde(default)]
        skip_existing: bool,
        /// Whether users, groups, roles and policies are left out.
        #[serde(default)]
        without_identities: bool,
    },
    /// The restore that is under way is to be given up; tables that are not complete go.
    Cancel {},
}

/// A backup of the cluster as operators are told of it; the names are part of the node's API.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ShownBackup {
    id: String,
    name: String,
    /// `creating`, `available` or `failed`.
    status: &'static str,
    /// Milliseconds since the Unix epoch.
    created_at_ms: i64,
    moment_ms: Option<i64>,
    tables: u64,
    identities: u64,
    items: u64,
    item_bytes: u64,
    copied_bytes: u64,
    /// While it is being made.
    items_read: u64,
    items_expected: u64,
    left_out: Vec<String>,
    /// Why it was not made at the last try.
    failure: Option<String>,
}

impl From<WholeBackup> for ShownBackup {
    fn from(record: WholeBackup) -> Self {
        Self {
            id: record.id,
            name: record.name,
            status: match record.status {
                WholeStatus::Creating => "creating",
                WholeStatus::Available => "available",
                WholeStatus::Failed => "failed",
                WholeStatus::Deleted => "deleted",
            },
            created_at_ms: record.created_at_ms,
            moment_ms: (record.moment_ms > 0).then_some(record.moment_ms),
            tables: record.table_count,
            identities: record.identities,
            items: record.items,
            item_bytes: record.size,
            copied_bytes: record.copied,
            items_read: record.progress.0,
            items_expected: record.progress.1,
            left_out: record.left_out,
            failure: Some(record.failure).filter(|failure| !failure.is_empty()),
        }
    }
}

/// How far the restore is that was asked for last; the names are part of the node's API.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ShownRestore {
    backup: String,
    /// `tables`, `items`, `complete`, `cancelling` or `cancelled`.
    phase: &'static str,
    begun_at_ms: i64,
    tables: u64,
    /// Those whose items are on their way.
    tables_left: Vec<String>,
    /// Of a thousand, how much of the items is there.
    permille: u32,
    identities: u64,
    skipped: Vec<String>,
}

/// All backups of the cluster, the oldest first.
///
/// # Errors
/// ValidationException when this node was not told where backups are; when the metadata cannot be read.
pub(crate) async fn all(context: &Context) -> Result<Vec<ShownBackup>, ApiError> {
    let all = context.backups()?.all_whole().await.map_err(backup::failed)?;
    let shown = all
        .into_iter()
        .filter(|record| record.status != WholeStatus::Deleted);
    Ok(shown.map(ShownBackup::from).collect())
}

/// Begins or removes a backup of the cluster.
///
/// # Errors
/// ValidationException, BackupInUseException, BackupNotFoundException; failures of the cluster.
pub(crate) async fn change(context: &Context, change: ChangeBackups) -> Result<ShownBackup, ApiError> {
    match change {
        ChangeBackups::Create { name } => create(context, name).await,
        ChangeBackups::Delete { id } => delete(context, &id).await,
    }
}

async fn create(context: &Context, name: String) -> Result<ShownBackup, ApiError> {
    let backups = context.backups()?;
    if name.chars().count() > NAME_LENGTH_MAX || !name.bytes().all(arn::is_table_name_byte) {
        return Err(ApiError::validation(format!(
            "the name of a backup has at most {NAME_LENGTH_MAX} of the characters a-z, A-Z, 0-9, _, - and ."
        )));
    }
    let all = backups.all_whole().await.map_err(backup::failed)?;
    if let Some(other) = all.iter().find(|record| record.status == WholeStatus::Creating) {
        return Err(ApiError::BackupInUse(format!(
            "backup {} of the cluster is being made; wait until it is complete, or delete it",
            other.id
        )));
    }
    let now_ms = context.clock.now_ms();
    let mut random = [0; 4];
    (context.random)(&mut random).map_err(|error| ApiError::Internal(error.to_string()))?;
    let id = format!("{now_ms:014}-{:08x}", u32::from_le_bytes(random));
    let record = WholeBackup::new(id, name, now_ms);
    if !backups.add_whole(&record).await.map_err(backup::failed)? {
        return Err(ApiError::Internal("the id of the backup is taken".to_owned()));
    }
    Ok(record.into())
}

async fn delete(context: &Context, id: &str) -> Result<ShownBackup, ApiError> {
    let backups = context.backups()?;
    let restore = backups.whole_restore().await.map_err(backup::failed)?;
    let is_read = |restore: &WholeRestore| restore.is_under_way() && restore.backup == id;
    let tables = context.catalog.all().await.map_err(table::catalog)?;
    let mut tables = tables.values();
    if restore.as_ref().is_some_and(is_read)
        || tables.any(|table| table.definition().is_being_restored_from(id))
    {
        return Err(ApiError::BackupInUse(format!("backup {id} is being restored")));
    }
    let changed = backups.change_whole(id, |record| {
        if record.status == WholeStatus::Deleted {
            return Err(not_found(id));
        }
        record.status = WholeStatus::Deleted;
        Ok(())
    });
    let record = changed.await.map_err(backup::failed)?;
    Ok(record.ok_or_else(|| not_found(id))??.into())
}

fn not_found(id: &str) -> ApiError {
    ApiError::BackupNotFound(format!("there is no backup {id} of the whole cluster"))
}

/// Begins a restore, or gives it up.
///
/// # Errors
/// ValidationException with what is in the way, BackupNotFoundException; failures of the cluster.
pub(crate) async fn change_restore(
    context: &Context,
    identities: &Identities,
    change: ChangeRestore,
) -> Result<ShownRestore, ApiError> {
    let backups = context.backups()?;
    match change {
        ChangeRestore::Begin {
            backup: id,
            tables,
            skip_existing,
            without_identities,
        } => {
            let before = backups.whole_restore().await.map_err(backup::failed)?;
            if let Some(before) = before.as_ref().filter(|before| before.is_under_way()) {
                return Err(ApiError::BackupInUse(format!(
                    "backup {} is being restored; wait until that is complete, or cancel it",
                    before.backup
                )));
            }
            let restore = WholeRestore {
                backup: id,
                begun_at_ms: context.clock.now_ms(),
                phase: RestorePhase::Tables,
                tables,
                identities: !without_identities,
                skipped: Vec::new(),
                made: (0, 0),
            };
            check(context, identities, &restore, skip_existing).await?;
            let begun = backups.begin_whole_restore(before.as_ref(), &restore).await;
            if !begun.map_err(backup::failed)? {
                return Err(ApiError::BackupInUse(
                    "another restore was begun at the same time".to_owned(),
                ));
            }
        }
        ChangeRestore::Cancel {} => {
            let changed = backups.change_whole_restore(|there| {
                if !there.is_under_way() {
                    return Err(ApiError::validation("no restore of the cluster is under way"));
                }
                there.phase = RestorePhase::Cancelling;
                Ok(())
            });
            let changed = changed.await.map_err(backup::failed)?;
            changed.ok_or_else(|| ApiError::validation("no restore of the cluster is under way"))??;
        }
    }
    let standing = standing(context).await?;
    standing.ok_or_else(|| ApiError::Internal("the restore is gone".to_owned()))
}

/// Refuses a restore that is not possible, or that would meet something of the same name.
async fn check(
    context: &Context,
    identities: &Identities,
    restore: &WholeRestore,
    skip_existing: bool,
) -> Result<(), ApiError> {
    let earlier = context.cluster.nodes_before(FORMATS_OF_PARTS);
    if !earlier.is_empty() {
        return Err(backup::whole_before_upgrade(&earlier));
    }
    let id = &restore.backup;
    let backups = context.backups()?;
    let record = backups.find_whole(id).await.map_err(backup::failed)?;
    let record = record.ok_or_else(|| not_found(id))?;
    if record.status != WholeStatus::Available {
        return Err(ApiError::BackupInUse(format!("backup {id} is not complete")));
    }
    let (definitions, rows) = read(backups, id).await?;
    let names: BTreeSet<&str> = definitions.iter().map(|table| table.name.as_str()).collect();
    if let Some(unknown) = restore.tables.iter().find(|name| !names.contains(name.as_str())) {
        return Err(ApiError::validation(format!(
            "backup {id} has no table {unknown}"
        )));
    }
    let there = context.catalog.all().await.map_err(table::catalog)?;
    let (taken, new): (Vec<&str>, Vec<&str>) = names
        .into_iter()
        .filter(|name| restore.wants(name))
        .partition(|name| there.contains_key(*name));
    if there.len() + new.len() > context.limits.tables_max {
        return Err(table::too_many(context.limits.tables_max));
    }
    let mut taken: Vec<String> = taken.into_iter().map(|name| format!("table {name}")).collect();
    if restore.identities {
        let rows = identities.taken(&rows).await;
        taken.extend(rows.map_err(|error| ApiError::Internal(error.to_string()))?);
    }
    if taken.is_empty() || skip_existing {
        return Ok(());
    }
    let more = taken.len().saturating_sub(NAMES_TOLD);
    taken.truncate(NAMES_TOLD);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Err(ApiError::validation(format!(
        "this cluster has {}{more} already; have them left alone (--skip-existing), restore other tables only (--table, \
         --without-identities), or delete them first",
        taken.join(", ")
    )))
}

/// What a backup has of tables and identities.
async fn read(backups: &Backups, id: &str) -> Result<(Vec<TableDefinition>, contents::Rows), ApiError> {
    let archive = backups.archive().await.map_err(backup::failed)?;
    let wanted = id.to_owned();
    let read = move || {
        let missing = || stator_archive::Error::Missing {
            name: format!("backup {wanted}"),
        };
        let manifest: Manifest = archive.backup(&wanted)?.ok_or_else(missing)?;
        let definitions = contents::definitions(&archive, &manifest)?;
        Ok::<_, contents::ContentsError>((definitions, contents::identities(&archive, &manifest)?))
    };
    let failed = |error: &dyn std::fmt::Display| ApiError::Internal(format!("backup {id}: {error}"));
    let read = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| failed(&error))?;
    read.map_err(|error| failed(&error))
}

/// How far the restore is that was asked for last; `None` if there was none.
///
/// # Errors
/// When the metadata cannot be read.
pub(crate) async fn standing(context: &Context) -> Result<Option<ShownRestore>, ApiError> {
    let backups = context.backups()?;
    let Some(restore) = backups.whole_restore().await.map_err(backup::failed)? else {
        return Ok(None);
    };
    let all = context.catalog.all().await.map_err(table::catalog)?;
    let left = all
        .values()
        .filter(|table| is_on_its_way(table.definition(), &restore));
    let left: Vec<_> = left.collect();
    let mut done = 0.0;
    for table in &left {
        done += share(context, table).await?;
    }
    let made = restore.made.0.max(left.len() as u64);
    let permille = match restore.phase {
        RestorePhase::Tables => 0,
        RestorePhase::Complete => 1000,
        _ => permille(made, left.len() as u64, done),
    };
    Ok(Some(ShownRestore {
        backup: restore.backup,
        phase: match restore.phase {
            RestorePhase::Tables => "tables",
            RestorePhase::Items => "items",
            RestorePhase::Complete => "complete",
            RestorePhase::Cancelling => "cancelling",
            RestorePhase::Cancelled => "cancelled",
        },
        begun_at_ms: restore.begun_at_ms,
        tables: made,
        tables_left: left.iter().map(|table| table.name().to_owned()).collect(),
        permille,
        identities: restore.made.1,
        skipped: restore.skipped,
    }))
}

/// Which part of a table's items is known to be written. Keys begin with tokens, which are hashes: half of them have half of the items
/// before them.
async fn share(context: &Context, table: &Table) -> Result<f64, ApiError> {
    let key = restore_progress_key(table.definition().id);
    let metadata = context.cluster.metadata();
    let written = context
        .cluster
        .read(metadata, &key, ConsistencyLevel::One)
        .await?;
    let token = written.as_ref().and_then(|key| key.first_chunk::<2>());
    Ok(token.map_or(0.0, |token| f64::from(u16::from_be_bytes(*token)) / 65_536.0))
}

/// Of so many tables so many are left, of which these shares are there.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "it is between 0 and 1000, and shown to people"
)]
fn permille(tables: u64, left: u64, shares: f64) -> u32 {
    if tables == 0 {
        return 1000;
    }
    let done = tables.saturating_sub(left) as f64 + shares;
    (1000.0 * done / tables as f64).clamp(0.0, 1000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_is_as_far_as_its_tables_are() {
        assert_eq!(permille(0, 0, 0.0), 1000);
        assert_eq!(permille(4, 4, 0.0), 0);
        assert_eq!(permille(4, 2, 0.0), 500);
        assert_eq!(permille(4, 2, 1.0), 750);
        assert_eq!(permille(2, 0, 0.0), 1000);
    }

    #[test]
    fn a_backup_is_shown_without_what_is_not_known_of_it() {
        let mut record = WholeBackup::new("1-a".into(), "n".into(), 5);
        let shown = ShownBackup::from(record.clone());
        assert_eq!(
            (shown.status, shown.moment_ms, shown.failure),
            ("creating", None, None)
        );
        record.status = WholeStatus::Failed;
        (record.moment_ms, record.failure) = (6, "no room".into());
        let shown = ShownBackup::from(record);
        assert_eq!((shown.status, shown.moment_ms), ("failed", Some(6)));
        assert_eq!(shown.failure.as_deref(), Some("no room"));
    }
}
