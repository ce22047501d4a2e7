//! Backups of the whole cluster: asking a running cluster to make, delete and restore them, and showing how far it is.
//!
//! The cluster carries everything out by itself, whatever becomes of a command: interrupting one interrupts nothing, and
//! `stator backup status` shows how far it is. Not here: what is asked of the node (`http/admin/backups.rs`).

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};

use super::BackupCommandError;
use crate::cli::ask::{AskError, Asker};
use crate::cli::nodes::{NodesError, Whom};
use crate::cli::reach::Reach;
use crate::http::admin::{BACKUPS_PATH, RESTORE_PATH};

/// How often the node is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// Options of `stator backup create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What the backup is called in lists
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    whom: Whom,
}

/// Options of `stator backup status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print one object of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Options of `stator backup delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Its id; one that is being made is given up
    id: String,
    #[command(flatten)]
    reach: Reach,
}

/// Options of `stator backup restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup's id
    #[arg(required_unless_present = "cancel")]
    id: Option<String>,
    /// A table to restore, once for each; all of the backup's if there are none
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    /// Leave tables and identities alone that are there already, where they would otherwise be in the way
    #[arg(long)]
    skip_existing: bool,
    /// Restore no users, groups, roles and policies
    #[arg(long)]
    without_identities: bool,
    /// Give up the restore that is under way: tables that are not complete are removed, others stay
    #[arg(long, conflicts_with_all = ["id", "tables", "skip_existing", "without_identities"])]
    cancel: bool,
    #[command(flatten)]
    whom: Whom,
}

/// What a node says of a backup, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Backup {
    id: String,
    name: String,
    status: String,
    tables: u64,
    identities: u64,
    items: u64,
    copied_bytes: u64,
    items_read: u64,
    items_expected: u64,
    left_out: Vec<String>,
    failure: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Backups {
    backups: Vec<Backup>,
}

/// What a node says of a restore.
#[derive(Debug, Deserialize)]
struct Standing {
    backup: String,
    phase: String,
    tables: u64,
    tables_left: Vec<String>,
    permille: u64,
    identities: u64,
    skipped: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Restores {
    restore: Option<Standing>,
}

/// What has come of something: a sentence, or why it has failed.
type Outcome = Result<String, String>;

fn end(outcome: Outcome) -> Result<(), BackupCommandError> {
    let sentence = outcome.map_err(BackupCommandError::Cluster)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{sentence}")?;
    Ok(out.flush()?)
}

fn bar(template: &str) -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template(template);
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

/// Asks once.
fn once<T>(
    reach: &Reach,
    ask: impl AsyncFnOnce(&Asker<'_>) -> Result<T, NodesError>,
) -> Result<T, BackupCommandError> {
    let reached = reach.read()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(ask(&reached.asker()))?)
}

/// Asks until what is told is an outcome.
async fn follow<T: for<'a> Deserialize<'a>>(
    asker: &Asker<'_>,
    path: &str,
    mut look: impl FnMut(T) -> Option<Outcome>,
) -> Result<Outcome, NodesError> {
    loop {
        tokio::time::sleep(LOOK).await;
        let told = match asker.get(path).await {
            Ok(answer) => serde_json::from_slice(&answer)?,
            // A node that is busy, or starts anew, is asked again.
            Err(AskError::NoAnswer { .. }) => continue,
            Err(AskError::Refused { status, .. }) if status.is_server_error() => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(outcome) = look(told) {
            return Ok(outcome);
        }
    }
}

async fn post(asker: &Asker<'_>, path: &str, change: &Value) -> Result<bytes::Bytes, NodesError> {
    Ok(asker.post(path, serde_json::to_vec(change)?.into()).await?)
}

/// Has a backup made of the whole cluster.
pub(super) fn create(options: &Create) -> Result<(), BackupCommandError> {
    let outcome = options.whom.ask(async |asker| {
        let change = json!({"change": "create", "name": options.name});
        let begun: Backup = serde_json::from_slice(&post(asker, BACKUPS_PATH, &change).await?)?;
        let id = begun.id;
        if options.whom.no_wait() {
            return Ok(Ok(format!(
                "backup {id} is being made; `stator backup status` says how far it is"
            )));
        }
        let bar = bar("{bar:40} {pos}/{len} items {msg}");
        let outcome = follow(asker, BACKUPS_PATH, |told: Backups| {
            let found = told.backups.iter().find(|backup| backup.id == id);
            if let (Some(bar), Some(found)) = (&bar, found) {
                bar.set_length(found.items_expected);
                bar.set_position(found.items_read);
                bar.set_message(found.failure.clone().unwrap_or_default());
            }
            made(&id, found)
        });
        let outcome = outcome.await;
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        outcome
    })?;
    end(outcome)
}

/// What has come of a backup, if something has.
fn made(id: &str, found: Option<&Backup>) -> Option<Outcome> {
    let Some(found) = found else {
        return Some(Err(format!("backup {id} was deleted")));
    };
    match found.status.as_str() {
        "creating" => None,
        "available" => {
            let mut sentence = format!(
                "backup {id} is complete: {} tables, {} identities, {} items; {} bytes were written for it",
                found.tables, found.identities, found.items, found.copied_bytes
            );
            if !found.left_out.is_empty() {
                sentence.push_str("\nwithout tables that were being restored or imported: ");
                sentence.push_str(&found.left_out.join(", "));
            }
            Some(Ok(sentence))
        }
        _ => {
            let failure = found.failure.as_deref().unwrap_or("see the log of the nodes");
            Some(Err(format!("backup {id} was given up: {failure}")))
        }
    }
}

/// Says how far backups and the restore are.
pub(super) fn status(options: &Status) -> Result<(), BackupCommandError> {
    let text = once(&options.reach, async |asker| {
        let (backups, restore) = (asker.get(BACKUPS_PATH).await?, asker.get(RESTORE_PATH).await?);
        if options.json {
            let (mut all, restore): (Value, Value) = (
                serde_json::from_slice(&backups)?,
                serde_json::from_slice(&restore)?,
            );
            all["restore"] = restore["restore"].clone();
            return Ok(all.to_string());
        }
        let backups: Backups = serde_json::from_slice(&backups)?;
        let restores: Restores = serde_json::from_slice(&restore)?;
        Ok(described(&backups.backups, restores.restore.as_ref()))
    })?;
    end(Ok(text))
}

fn described(backups: &[Backup], restore: Option<&Standing>) -> String {
    let mut lines = Vec::new();
    for backup in backups {
        let Backup { id, name, status, .. } = backup;
        let what = match status.as_str() {
            "creating" => format!("{} of {} items", backup.items_read, backup.items_expected),
            _ => format!(
                "{} tables, {} identities, {} items",
                backup.tables, backup.identities, backup.items
            ),
        };
        let failure = backup
            .failure
            .as_ref()
            .map_or_else(String::new, |failure| format!("; {failure}"));
        lines.push(format!("{id}  {name}  {status}: {what}{failure}"));
    }
    if let Some(restore) = restore {
        let percent = restore.permille / 10;
        lines.push(format!(
            "restore of {}: {}, {percent} %",
            restore.backup, restore.phase
        ));
    }
    if lines.is_empty() {
        lines.push("no backup of the whole cluster was made".to_owned());
    }
    lines.join("\n")
}

/// Has a backup removed.
pub(super) fn delete(options: &Delete) -> Result<(), BackupCommandError> {
    let id = &options.id;
    once(&options.reach, async |asker| {
        let change = json!({"change": "delete", "id": id});
        post(asker, BACKUPS_PATH, &change).await.map(drop)
    })?;
    end(Ok(format!(
        "backup {id} is gone; what no other one needs is removed from the archive within some minutes"
    )))
}

/// Has a backup restored, or a restore given up.
pub(super) fn restore(options: &Restore) -> Result<(), BackupCommandError> {
    let outcome = options.whom.ask(async |asker| {
        let change = match &options.id {
            Some(id) => json!({
                "change": "begin",
                "backup": id,
                "tables": options.tables,
                "skip_existing": options.skip_existing,
                "without_identities": options.without_identities,
            }),
            None => json!({"change": "cancel"}),
        };
        post(asker, RESTORE_PATH, &change).await?;
        if options.whom.no_wait() {
            return Ok(Ok(
                "it is under way; `stator backup status` says how far it is".to_owned()
            ));
        }
        let bar = bar("{bar:40} {percent} % {msg}");
        let outcome = follow(asker, RESTORE_PATH, |told: Restores| {
            let standing = told.restore?;
            if let Some(bar) = &bar {
                bar.set_length(1000);
                bar.set_position(standing.permille);
                let left = standing.tables_left.len() as u64;
                bar.set_message(format!("{left} of {} tables left", standing.tables));
            }
            restored(&standing)
        });
        let outcome = outcome.await;
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        outcome
    })?;
    end(outcome)
}

/// What has come of a restore, if something has.
fn restored(standing: &Standing) -> Option<Outcome> {
    let backup = &standing.backup;
    match standing.phase.as_str() {
        "complete" => {
            let mut sentence = format!(
                "backup {backup} is restored: {} tables, {} identities",
                standing.tables, standing.identities
            );
            if !standing.skipped.is_empty() {
                sentence.push_str("\nleft alone, because they were there: ");
                sentence.push_str(&standing.skipped.join(", "));
            }
            Some(Ok(sentence))
        }
        "cancelled" => Some(Ok(format!(
            "the restore of backup {backup} is given up; tables that were complete are there"
        ))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(status: &str) -> Backup {
        let told = json!({"id": "1-a", "name": "n", "status": status, "tables": 2, "identities": 3, "items": 4,
            "copied_bytes": 5, "items_read": 1, "items_expected": 4, "left_out": ["t"], "failure": "no room",
            "of a later version": 1});
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn a_backup_comes_to_an_end_when_it_is_there_or_given_up() {
        assert_eq!(made("1-a", Some(&backup("creating"))), None);
        let complete = made("1-a", Some(&backup("available"))).unwrap().unwrap();
        assert_eq!(
            complete,
            "backup 1-a is complete: 2 tables, 3 identities, 4 items; 5 bytes were written for it\n\
             without tables that were being restored or imported: t"
        );
        let failed = made("1-a", Some(&backup("failed"))).unwrap().unwrap_err();
        assert_eq!(failed, "backup 1-a was given up: no room");
        assert_eq!(made("1-a", None), Some(Err("backup 1-a was deleted".to_owned())));
    }

    #[test]
    fn it_is_said_how_far_everything_is() {
        let standing = json!({"backup": "1-a", "phase": "items", "tables": 2, "tables_left": ["t"], "permille": 505,
            "identities": 0, "skipped": []});
        let mut standing: Standing = serde_json::from_value(standing).unwrap();
        assert_eq!(
            described(&[backup("creating")], Some(&standing)),
            "1-a  n  creating: 1 of 4 items; no room\nrestore of 1-a: items, 50 %"
        );
        assert_eq!(described(&[], None), "no backup of the whole cluster was made");
        assert_eq!(restored(&standing), None);
        (standing.phase, standing.skipped) = ("complete".to_owned(), vec!["user ann".to_owned()]);
        assert_eq!(
            restored(&standing).unwrap().unwrap(),
            "backup 1-a is restored: 2 tables, 0 identities\nleft alone, because they were there: user ann"
        );
    }
}
