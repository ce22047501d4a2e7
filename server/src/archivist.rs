//! Makes backups, restores tables from them and from histories, and removes what was deleted, as operations have asked for.
//!
//! The node that leads the metadata group does it. Invariant: everything may be begun again, by another node, at any point:
//! a backup is there when its manifest is, and its row says so afterwards; a table can be used when all of its items are
//! written, and its definition says so afterwards. Two nodes that believe to lead do the same twice, which changes nothing.
//! Not here: how a moment is chosen (`stator_cluster`), what an archive is (`stator_archive`).

mod deletion;
mod make;
mod restore;
mod rewind;
pub(crate) mod whole;

pub(crate) use self::restore::progress_key as restore_progress_key;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stator_archive::Swept;
use stator_cluster::Cluster;

use crate::backup::{BYTES_PER_SECOND, BackupCounters, BackupError, BackupRecord, BackupStatus, Backups};
use crate::catalog::{CatalogError, Restore, Table};
use crate::cut_walk::WalkError;
use crate::desk::{self, Desk, JobCounters, Outlook, PAUSE, Worker};
use crate::history_reader::HistoryError;
use crate::identity::error::IdentityError;
use crate::identity::store::Identities;
use crate::pace::{Alarm, Pace, hold_back};
use crate::upkeep::Upkeep;
use crate::whole::contents::ContentsError;
use crate::whole::record::{WholeBackup, WholeRestore, WholeStatus};

/// How often chunks that no backup needs are looked for after a deletion.
const SWEEP: Duration = Duration::from_secs(30);
/// How often others are told that a backup is still being made.
const ALIVE: Duration = Duration::from_secs(60);
/// How often it is looked whether a backup is still wanted.
const WANTED: Duration = Duration::from_millis(500);
/// What is read of a backup at once.
const PAGE_BYTES: usize = 1 << 20;
/// So many pages are on their way to the archive.
const PAGES_AHEAD: usize = 4;

/// Why a job was not completed; it is begun again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    Item(String),
    #[error("another node does it now")]
    NotLeading,
    #[error("an operator has cancelled it")]
    Cancelled,
    #[error("this node was not told where backups are")]
    NoBackups,
    #[error("the table cannot be restored from the history of another one: {0}")]
    History(#[from] HistoryError),
    #[error(transparent)]
    Contents(#[from] ContentsError),
    #[error("identities: {0}")]
    Identity(#[from] IdentityError),
    #[error("tables or identities were changed at each moment that was looked at")]
    Restless,
    #[error("no random numbers: {0}")]
    Random(std::io::Error),
}

impl From<WalkError> for JobError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Cluster(error) => Self::Cluster(error),
            WalkError::NotLeading => Self::NotLeading,
        }
    }
}

impl JobError {
    /// Whether something of the archive is gone or not what was written.
    fn is_damage(&self) -> bool {
        matches!(self, Self::Backup(BackupError::Archive(error)) if error.is_damage())
    }

    /// Whether it is only a matter of waiting until somebody else is done.
    fn is_sweeping(&self) -> bool {
        matches!(
            self,
            Self::Backup(BackupError::Archive(stator_archive::Error::Sweeping))
        )
    }
}

impl From<stator_archive::Error> for JobError {
    fn from(error: stator_archive::Error) -> Self {
        Self::Backup(error.into())
    }
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        Self::Backup(error.into())
    }
}

impl From<tokio::task::JoinError> for JobError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Backup(error.into())
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Make(BackupRecord),
    Remove(BackupRecord),
    /// One that was kept for long enough.
    Expire(BackupRecord),
    Restore(Arc<Table>),
    /// A table that is being deleted, with its last backup.
    Delete(Arc<Table>),
    MakeWhole(WholeBackup),
    RemoveWhole(WholeBackup),
    RestoreWhole(WholeRestore),
}

/// Works as long as its process does. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Archivist {
    upkeep: Upkeep,
    /// `None` where there are none: tables are restored from histories only.
    backups: Option<Arc<Backups>>,
    /// Who there is; for backups of the whole cluster.
    identities: Option<Arc<Identities>>,
    counters: Arc<BackupCounters>,
    desk: Desk,
    /// When chunks are to be looked for that no backup needs.
    sweep: Arc<Alarm>,
}

impl Archivist {
    /// Of a node's upkeep.
    pub(crate) fn new(upkeep: Upkeep, backups: Option<Arc<Backups>>) -> Self {
        let counters = backups.as_ref().map(|backups| Arc::clone(&backups.counters));
        let sweep = Arc::new(Alarm::default());
        // Whoever was to sweep may be gone.
        sweep.set(upkeep.cluster.steady_now() + SWEEP);
        Self {
            upkeep,
            backups,
            identities: None,
            counters: counters.unwrap_or_default(),
            desk: Desk::default(),
            sweep,
        }
    }

    /// With identities, which backups of the whole cluster have in them.
    pub(crate) fn knowing(mut self, identities: &Arc<Identities>) -> Self {
        self.identities = Some(Arc::clone(identities));
        self
    }

    fn backups(&self) -> Result<&Arc<Backups>, JobError> {
        self.backups.as_ref().ok_or(JobError::NoBackups)
    }

    /// How many bytes a job moves in a second at most.
    fn bytes_per_second(&self) -> u64 {
        let backups = self.backups.as_ref();
        backups.map_or(BYTES_PER_SECOND, |backups| backups.bytes_per_second())
    }

    /// Looks for something to do, for as long as the process runs.
    pub(crate) async fn run(self) {
        desk::run(self).await;
    }

    /// Does all that is left to do, one after the other.
    #[cfg(test)]
    pub(crate) async fn look_after_all(&self) -> Result<(), String> {
        desk::look_after_all(self).await
    }

    /// Takes over backups that are in the archive and that the cluster does not know: another one has made them, or this one
    /// has lost its metadata. A backup that was deleted leaves the archive before its row goes, so that it is none of those.
    pub(crate) async fn adopt(&self) -> Result<(), BackupError> {
        let Some(backups) = &self.backups else {
            return Ok(());
        };
        let Some(archive) = backups.archive_if_any().await? else {
            return Ok(());
        };
        // Before the rows: a backup that is complete from now on has one, and is none of these.
        let listing = archive.clone();
        let ids = tokio::task::spawn_blocking(move || listing.backups()).await??;
        let mut known = HashSet::new();
        let note = |record: BackupRecord| {
            known.insert(record.id);
        };
        backups.each(note).await?;
        known.extend(backups.all_whole().await?.into_iter().map(|record| record.id));
        for id in ids.into_iter().filter(|id| !known.contains(id)) {
            let reading = archive.clone();
            let wanted = id.clone();
            let manifest = tokio::task::spawn_blocking(move || reading.backup(&wanted)).await?;
            let record = match manifest {
                Ok(Some(manifest)) if WholeBackup::is_whole(manifest.about()) => {
                    self.adopt_whole(backups, &id, &manifest).await?;
                    continue;
                }
                Ok(Some(manifest)) => {
                    BackupRecord::from_bytes(manifest.about()).map_err(|(_, detail)| detail)
                }
                Ok(None) => continue,
                Err(error) => Err(error.to_string()),
            };
            match record {
                Ok(record) if record.id == id => {
                    tracing::info!(
                        backup = id,
                        table = record.table().name,
                        "a backup is taken over from the archive"
                    );
                    backups.add(&record).await?;
                }
                Ok(_) => tracing::warn!(backup = id, "a backup in the archive has another id in it"),
                Err(detail) => tracing::warn!(backup = id, detail, "a backup in the archive cannot be read"),
            }
        }
        Ok(())
    }

    async fn forget(&self, record: &BackupRecord) -> Result<bool, JobError> {
        Ok(self.backups()?.forget(record).await?)
    }

    /// Forgets a backup that was not made; what was written for it goes with the next sweep. One that another node has made
    /// meanwhile stays.
    async fn abandon(&self, record: &BackupRecord) -> Result<(), JobError> {
        if self.forget(record).await? {
            self.leave_to_sweep(&record.id).await;
        }
        Ok(())
    }

    /// Says in the archive that a backup is not being made any more, if the archive can be written, and has chunks looked for.
    async fn leave_to_sweep(&self, id: &str) {
        self.sweep.set(self.cluster().steady_now() + PAUSE);
        let Ok(backups) = self.backups() else { return };
        if let Ok(archive) = backups.archive().await {
            let wanted = id.to_owned();
            let removed = tokio::task::spawn_blocking(move || archive.remove(&wanted)).await;
            if !matches!(removed, Ok(Ok(()))) {
                tracing::warn!(
                    backup = id,
                    "what was written for a backup that is given up is removed later"
                );
            }
        }
    }

    /// Removes a backup that was deleted, and notes that chunks may have become useless. One that a table is being restored from
    /// stays until that is done: the restore may have been asked for at the same moment.
    async fn remove(&self, record: &BackupRecord) -> Result<(), JobError> {
        if self.is_being_restored(&record.id).await? {
            return Ok(());
        }
        let archive = self.backups()?.archive().await?;
        let id = record.id.clone();
        tokio::task::spawn_blocking(move || archive.remove(&id)).await??;
        self.forget(record).await?;
        self.sweep.set(self.cluster().steady_now() + PAUSE);
        Ok(())
    }

    /// Whether a table is being restored from a backup.
    async fn is_being_restored(&self, id: &str) -> Result<bool, JobError> {
        let tables = self.upkeep.catalog.all().await?;
        Ok(tables
            .values()
            .any(|table| table.definition().is_being_restored_from(id)))
    }

    async fn sweep_archive(&self) -> Result<Swept, JobError> {
        let Some(backups) = &self.backups else {
            return Ok(Swept::Removed(0));
        };
        let Some(archive) = backups.archive_if_any().await? else {
            return Ok(Swept::Removed(0));
        };
        let upkeep = self.upkeep.clone();
        let clock = move || u64::try_from(upkeep.now_ms()).unwrap_or_default();
        Ok(tokio::task::spawn_blocking(move || archive.sweep(clock)).await??)
    }
}

impl Worker for Archivist {
    const JOB: &'static str = "a backup or restore";
    type Job = Job;
    type Error = JobError;

    fn cluster(&self) -> &Cluster {
        &self.upkeep.cluster
    }

    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn counters(&self) -> &JobCounters {
        &self.counters.jobs
    }

    fn name(job: &Job) -> String {
        match job {
            // One that is to be removed waits until nobody makes it any more.
            Job::Make(record) | Job::Remove(record) | Job::Expire(record) => {
                format!("backup {}", record.id)
            }
            Job::MakeWhole(record) | Job::RemoveWhole(record) => format!("backup {}", record.id),
            Job::Restore(table) => format!("restore {}", table.definition().id),
            Job::Delete(table) => format!("delete {}", table.definition().id),
            Job::RestoreWhole(restore) => format!("restore {}", restore.backup),
        }
    }

    /// As long as a backup is to be made, its table cannot be deleted. A table that is being deleted waits for its last one.
    fn outlook(job: &Job, error: &JobError) -> Outlook {
        match (job, error) {
            (
                Job::Remove(_)
                | Job::Expire(_)
                | Job::Delete(_)
                | Job::RemoveWhole(_)
                | Job::Restore(_)
                | Job::RestoreWhole(_),
                _,
            )
            | (Job::Make(_) | Job::MakeWhole(_), JobError::NotLeading) => Outlook::Good,
            (Job::Make(_) | Job::MakeWhole(_), error) if error.is_sweeping() => Outlook::Good,
            (Job::Make(_) | Job::MakeWhole(_), JobError::Cancelled) => Outlook::Hopeless,
            (Job::Make(_) | Job::MakeWhole(_), _) => Outlook::Fair,
        }
    }

    async fn prepare(&self) -> Result<(), JobError> {
        // Whoever led before may have left chunks that no backup needs.
        self.sweep.set(self.cluster().steady_now() + SWEEP);
        Ok(self.adopt().await?)
    }

    async fn keep_house(&self) {
        if !self.sweep.rings(self.cluster().steady_now()) {
            return;
        }
        match self.sweep_archive().await {
            Ok(Swept::Removed(chunks)) => {
                tracing::debug!(chunks, "what no backup needs is removed from the archive");
                return;
            }
            Ok(Swept::Later) => {}
            Err(error) => {
                tracing::warn!(%error, "what no backup needs is removed from the archive later");
            }
        }
        self.sweep.set(self.cluster().steady_now() + SWEEP);
    }

    async fn jobs(&self) -> Result<Vec<Job>, JobError> {
        if let Err(error) = self.forget_progress().await {
            tracing::debug!(%error, "how far restores had come is forgotten later");
        }
        let mut jobs = Vec::new();
        let mut records = Vec::new();
        if let Some(backups) = &self.backups {
            // Most are there to stay.
            let collect = |record: BackupRecord| {
                if record.status != BackupStatus::Available || self.is_expired(&record) {
                    records.push(record);
                }
            };
            backups.each(collect).await?;
        }
        // Before the tables: those that it has made are among them then.
        let whole_restore = match &self.backups {
            Some(backups) => backups.whole_restore().await?,
            None => None,
        };
        let tables = self.upkeep.catalog.all().await?;
        let deleted = |table: &&Arc<Table>| self.backups.is_some() && table.definition().deletion.is_some();
        let last: HashSet<&str> = (tables.values().filter(deleted))
            .filter_map(|table| Some(table.definition().deletion.as_ref()?.backup.as_str()))
            .collect();
        for record in records {
            match record.status {
                // It is the business of the deletion.
                _ if last.contains(record.id.as_str()) => {}
                BackupStatus::Creating => jobs.push(Job::Make(record)),
                BackupStatus::Deleted => jobs.push(Job::Remove(record)),
                BackupStatus::Available if self.is_expired(&record) => jobs.push(Job::Expire(record)),
                BackupStatus::Available => {}
            }
        }
        jobs.extend(tables.values().filter(deleted).cloned().map(Job::Delete));
        let restored = tables.values().filter(|table| {
            let restore = table.definition().restore.as_ref();
            let is_possible = |restore: &Restore| self.backups.is_some() || restore.history.is_some();
            restore.is_some_and(|restore| restore.in_progress && is_possible(restore))
        });
        jobs.extend(restored.cloned().map(Job::Restore));
        if let Some(backups) = &self.backups {
            for record in backups.all_whole().await? {
                match record.status {
                    WholeStatus::Creating => jobs.push(Job::MakeWhole(record)),
                    WholeStatus::Deleted => jobs.push(Job::RemoveWhole(record)),
                    WholeStatus::Available | WholeStatus::Failed => {}
                }
            }
        }
        let due = whole_restore.filter(|restore| Self::is_due(restore, tables.values()));
        jobs.extend(due.map(Job::RestoreWhole));
        Ok(jobs)
    }

    async fn carry_out(&self, job: &Job) -> Result<(), JobError> {
        let done = Box::pin(self.carry_out_once(job)).await;
        if let (Err(JobError::Backup(error)), Some(backups)) = (&done, &self.backups) {
            backups.note_failure(error);
        }
        done
    }

    async fn give_up(&self, job: &Job, error: JobError) -> Result<(), JobError> {
        match job {
            Job::Make(record) => self.abandon(record).await,
            Job::MakeWhole(record) => self.give_up_whole(record, &error).await,
            Job::Remove(_)
            | Job::Expire(_)
            | Job::Restore(_)
            | Job::Delete(_)
            | Job::RemoveWhole(_)
            | Job::RestoreWhole(_) => Err(error),
        }
    }
}

impl Archivist {
    async fn carry_out_once(&self, job: &Job) -> Result<(), JobError> {
        match job {
            Job::Make(record) => Box::pin(self.make(record)).await,
            Job::Remove(record) => self.remove(record).await,
            Job::Expire(record) => self.expire(record).await,
            Job::Restore(table) => Box::pin(self.restore(table)).await,
            Job::Delete(table) => Box::pin(self.delete(table)).await,
            Job::MakeWhole(record) => {
                let made = Box::pin(self.make_whole(record)).await;
                if let Err(error) = &made {
                    self.note_failure(record, error).await?;
                }
                made
            }
            Job::RemoveWhole(record) => self.remove_whole(record).await,
            Job::RestoreWhole(restore) => self.restore_whole(restore).await,
        }
    }
}
