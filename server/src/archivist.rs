//! Makes backups, restores tables from them and from histories, and removes what was deleted, as operations have asked for.
//!
//! The node that leads the metadata group does it. Invariant: everything may be begun again, by another node, at any point:
//! a backup is there when its manifest is, and its row says so afterwards; a table can be used when all of its items are
//! written, and its definition says so afterwards. Two nodes that believe to lead do the same twice, which changes nothing.
//! Not here: how a moment is chosen (`stator_cluster`), what an archive is (`stator_archive`).

mod restore;
mod rewind;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_archive::{Archive, Manifest, Swept};
use stator_cluster::{Cluster, Cut, Keyspace};
use stator_model::item::Item;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backup::{BYTES_PER_SECOND, BackupCounters, BackupError, BackupRecord, BackupStatus, Backups};
use crate::catalog::{CatalogError, Restore, Table};
use crate::history_reader::HistoryError;
use crate::upkeep::Upkeep;

/// How often it is looked for something to do when nothing has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after something has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// So many backups and restores are under way at a time.
const JOBS_MAX: usize = 4;
/// A backup that has failed so often is given up.
const TRIES: u32 = 20;
/// How often chunks that no backup needs are looked for after a deletion.
const SWEEP: Duration = Duration::from_secs(30);
/// How often others are told that a backup is still being made.
const ALIVE: Duration = Duration::from_secs(60);
/// What is read of a cut at once.
const PAGE_BYTES: u32 = 1 << 20;
/// So many pages are on their way to the archive.
const PAGES_AHEAD: usize = 4;

/// Why a job was not completed; it is begun again.
#[derive(Debug, thiserror::Error)]
enum JobError {
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
    #[error("this node was not told where backups are")]
    NoBackups,
    #[error("the table cannot be restored from the history of another one: {0}")]
    History(#[from] HistoryError),
}

impl From<stator_archive::Error> for JobError {
    fn from(error: stator_archive::Error) -> Self {
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
enum Job {
    Make(BackupRecord),
    Remove(BackupRecord),
    Restore(Arc<Table>),
}

impl Job {
    /// What tells it from others that are to be done at the same time.
    fn name(&self) -> String {
        match self {
            Self::Make(record) => format!("make {}", record.id),
            Self::Remove(record) => format!("remove {}", record.id),
            Self::Restore(table) => format!("restore {}", table.definition().id),
        }
    }
}

/// Works as long as its process does. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Archivist {
    upkeep: Upkeep,
    /// `None` where there are none: tables are restored from histories only.
    backups: Option<Arc<Backups>>,
    counters: Arc<BackupCounters>,
    desk: Arc<Mutex<Desk>>,
}

#[derive(Debug, Default)]
struct Desk {
    under_way: HashSet<String>,
    /// How often a backup has failed.
    failures: BTreeMap<String, u32>,
    /// When chunks are to be looked for that no backup needs.
    sweep_at: Option<Instant>,
}

impl Archivist {
    /// Of a node's upkeep.
    pub(crate) fn new(upkeep: Upkeep, backups: Option<Arc<Backups>>) -> Self {
        let counters = backups.as_ref().map(|backups| Arc::clone(&backups.counters));
        // Whoever was to sweep may be gone.
        let desk = Desk {
            sweep_at: Some(Instant::now() + SWEEP),
            ..Desk::default()
        };
        Self {
            upkeep,
            backups,
            counters: counters.unwrap_or_default(),
            desk: Arc::new(Mutex::new(desk)),
        }
    }

    fn cluster(&self) -> &Cluster {
        &self.upkeep.cluster
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
        let mut changes = self.cluster().metadata_changes();
        let mut has_adopted = false;
        loop {
            let changed = tokio::time::timeout(LOOK, changes.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return;
            }
            if !self.cluster().leads_metadata() {
                has_adopted = false;
                continue;
            }
            if !has_adopted {
                match self.adopt().await {
                    Ok(()) => has_adopted = true,
                    Err(error) => {
                        tracing::warn!(%error, "backups that others have made are looked for later");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
            match self.jobs().await {
                Ok(jobs) => {
                    for job in jobs {
                        self.begin(job);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "backups cannot be looked after now");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            let is_due = self.desk.lock().sweep_at.is_some_and(|at| at <= Instant::now());
            if is_due {
                self.sweep().await;
            }
        }
    }

    /// Does all that is left to do, one after the other.
    #[cfg(test)]
    pub(crate) async fn look_after_all(&self) -> Result<(), String> {
        for job in self.jobs().await.map_err(|error| error.to_string())? {
            self.carry_out(&job).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Takes over backups that are in the archive and that the cluster does not know: another one has made them, or this one
    /// has lost its metadata. A backup that was deleted leaves the archive before its row goes, so that it is none of those.
    pub(crate) async fn adopt(&self) -> Result<(), BackupError> {
        let Some(backups) = self.backups.as_ref().filter(|backups| backups.has_archive()) else {
            return Ok(());
        };
        let archive = backups.archive().await?;
        // Before the rows: a backup that is complete from now on has one, and is none of these.
        let listing = archive.clone();
        let ids = tokio::task::spawn_blocking(move || listing.backups()).await??;
        let known: HashSet<String> = backups.all().await?.into_iter().map(|record| record.id).collect();
        for id in ids.into_iter().filter(|id| !known.contains(id)) {
            let reading = archive.clone();
            let wanted = id.clone();
            let manifest = tokio::task::spawn_blocking(move || reading.backup(&wanted)).await?;
            let record = match manifest {
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

    /// All that is left to do.
    async fn jobs(&self) -> Result<Vec<Job>, JobError> {
        let mut jobs = Vec::new();
        let records = match &self.backups {
            Some(backups) => backups.all().await?,
            None => Vec::new(),
        };
        for record in records {
            match record.status {
                BackupStatus::Creating => jobs.push(Job::Make(record)),
                BackupStatus::Deleted => jobs.push(Job::Remove(record)),
                BackupStatus::Available => {}
            }
        }
        let tables = self.upkeep.catalog.all().await?;
        let restored = tables.values().filter(|table| {
            let restore = table.definition().restore.as_ref();
            let is_possible = |restore: &Restore| self.backups.is_some() || restore.history.is_some();
            restore.is_some_and(|restore| restore.in_progress && is_possible(restore))
        });
        jobs.extend(restored.cloned().map(Job::Restore));
        Ok(jobs)
    }

    /// Begins a job, unless it is under way or there are enough.
    fn begin(&self, job: Job) {
        let name = job.name();
        {
            let mut desk = self.desk.lock();
            if desk.under_way.len() >= JOBS_MAX || !desk.under_way.insert(name.clone()) {
                return;
            }
        }
        let archivist = self.clone();
        tokio::spawn(async move {
            let counters = &archivist.counters;
            counters.under_way.fetch_add(1, Ordering::Relaxed);
            let done = archivist.carry_out(&job).await;
            counters.under_way.fetch_sub(1, Ordering::Relaxed);
            let ended = if done.is_ok() {
                &counters.completed
            } else {
                &counters.failed
            };
            ended.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = done {
                tracing::warn!(job = name, %error, "a backup or restore is completed later");
                tokio::time::sleep(PAUSE).await;
            }
            archivist.desk.lock().under_way.remove(&name);
        });
    }

    async fn carry_out(&self, job: &Job) -> Result<(), JobError> {
        match job {
            Job::Make(record) => {
                let made = self.make(record).await;
                if made.is_err() && !matches!(made, Err(JobError::NotLeading)) {
                    self.has_failed(record).await?;
                }
                made
            }
            Job::Remove(record) => self.remove(record).await,
            Job::Restore(table) => self.restore(table).await,
        }
    }

    /// Notes that a backup has failed once more, and gives it up if that is often enough: as long as it is to be made, its table
    /// cannot be deleted.
    async fn has_failed(&self, record: &BackupRecord) -> Result<(), JobError> {
        let failures = {
            let mut desk = self.desk.lock();
            let failures = desk.failures.entry(record.id.clone()).or_default();
            *failures += 1;
            *failures
        };
        if failures >= TRIES {
            tracing::error!(
                backup = record.id,
                table = record.table().name,
                "a backup is given up"
            );
            self.forget(record).await?;
        }
        Ok(())
    }

    async fn forget(&self, record: &BackupRecord) -> Result<(), JobError> {
        self.desk.lock().failures.remove(&record.id);
        Ok(self.backups()?.forget(record).await?)
    }

    async fn make(&self, record: &BackupRecord) -> Result<(), JobError> {
        let (catalog, wanted) = (&self.upkeep.catalog, record.table());
        let table = catalog.latest(&wanted.name).await?;
        let Some(table) = table.filter(|table| table.definition().id == wanted.id) else {
            tracing::warn!(
                backup = record.id,
                table = wanted.name,
                "there is nothing to make a backup of"
            );
            return self.forget(record).await;
        };
        let archive = self.backups()?.archive().await?;
        let base = self.base(&archive, record).await?;
        let cut = self.cluster().cut(&[table.keyspace()]).await?;
        let made = self.write(&archive, base, record, (&table, &cut)).await;
        self.cluster().end_cut(cut).await;
        let made = made?;
        let (name, id) = (&wanted.name, &record.id);
        let changed = self.backups()?.change(name, id, |there| {
            if there.status == BackupStatus::Creating {
                *there = made.clone();
            }
            Ok::<(), std::convert::Infallible>(())
        });
        changed.await?;
        Ok(())
    }

    /// The last backup of the same table, to build on.
    async fn base(&self, archive: &Archive, record: &BackupRecord) -> Result<Option<Manifest>, JobError> {
        let all = self.backups()?.all().await?;
        let of_table = all
            .into_iter()
            .filter(|other| other.status == BackupStatus::Available && other.table().id == record.table().id);
        let Some(last) = of_table.max_by_key(|other| other.moment_ms) else {
            return Ok(None);
        };
        let archive = archive.clone();
        let read = move || archive.backup(&last.id);
        match tokio::task::spawn_blocking(read).await? {
            Ok(base) => Ok(base),
            Err(error) => {
                tracing::warn!(%error, "a backup that cannot be read is not built on");
                Ok(None)
            }
        }
    }

    /// Writes the cells of a cut into the archive; gives the backup as it has become.
    async fn write(
        &self,
        archive: &Archive,
        base: Option<Manifest>,
        record: &BackupRecord,
        (table, cut): (&Table, &Cut),
    ) -> Result<BackupRecord, JobError> {
        let mut made = record.clone();
        made.status = BackupStatus::Available;
        made.moment_ms = i64::try_from(cut.at_ms()).unwrap_or(i64::MAX);
        made.set_table(table.definition().clone());
        let (pages, received) = mpsc::channel(PAGES_AHEAD);
        let now_ms = self.upkeep.clone();
        let now_ms = move || u64::try_from(now_ms.now_ms()).unwrap_or_default();
        let archive = archive.clone();
        let writing =
            tokio::task::spawn_blocking(move || write_pages(&archive, base.as_ref(), made, received, now_ms));
        let sent = self.send_pages(cut, table.keyspace(), pages).await;
        // What has failed there tells more than that nobody listens any more.
        let (made, manifest) = writing.await??;
        sent?;
        let counter = &self.counters.bytes_copied;
        counter.fetch_add(manifest.copied(), Ordering::Relaxed);
        tracing::info!(
            backup = made.id,
            table = table.name(),
            items = made.items,
            copied_bytes = manifest.copied(),
            "a backup is complete"
        );
        Ok(made)
    }

    async fn send_pages(
        &self,
        cut: &Cut,
        keyspace: Keyspace,
        pages: mpsc::Sender<Page>,
    ) -> Result<(), JobError> {
        let mut pace = Pace::new(self.bytes_per_second());
        let mut kept_at = Instant::now();
        for range in cut.ranges() {
            let mut behind = None;
            loop {
                let page = self
                    .cluster()
                    .read_cut(cut, keyspace, range, behind, PAGE_BYTES)
                    .await?;
                behind = page.next.clone();
                let bytes: usize = page.rows.iter().map(|(key, cell)| key.len() + cell.len()).sum();
                if !page.rows.is_empty() && pages.send(Page::Cells(page.rows)).await.is_err() {
                    return Ok(());
                }
                let counter = &self.counters.bytes_read;
                counter.fetch_add(bytes as u64, Ordering::Relaxed);
                pace.has_moved(bytes).await;
                if kept_at.elapsed() >= ALIVE {
                    kept_at = Instant::now();
                    self.cluster().keep_cut(cut).await?;
                }
                if !self.cluster().leads_metadata() {
                    return Err(JobError::NotLeading);
                }
                if behind.is_none() {
                    break;
                }
            }
        }
        pages.send(Page::End).await.ok();
        Ok(())
    }

    /// Removes a backup that was deleted, and notes that chunks may have become useless.
    async fn remove(&self, record: &BackupRecord) -> Result<(), JobError> {
        let archive = self.backups()?.archive().await?;
        let id = record.id.clone();
        tokio::task::spawn_blocking(move || archive.remove(&id)).await??;
        self.forget(record).await?;
        self.desk.lock().sweep_at = Some(Instant::now() + PAUSE);
        Ok(())
    }

    async fn sweep(&self) {
        let swept = async {
            let Some(backups) = self.backups.as_ref().filter(|backups| backups.has_archive()) else {
                return Ok(Swept::Removed(0));
            };
            let archive = backups.archive().await?;
            let now_ms = u64::try_from(self.upkeep.now_ms()).unwrap_or_default();
            Ok::<_, JobError>(tokio::task::spawn_blocking(move || archive.sweep(now_ms)).await??)
        };
        let swept = swept.await;
        let mut desk = self.desk.lock();
        desk.sweep_at = match swept {
            Ok(Swept::Removed(chunks)) => {
                tracing::debug!(chunks, "what no backup needs is removed from the archive");
                None
            }
            Ok(Swept::Later) => Some(Instant::now() + SWEEP),
            Err(error) => {
                tracing::warn!(%error, "what no backup needs is removed from the archive later");
                Some(Instant::now() + SWEEP)
            }
        };
    }
}

/// What is sent to whoever writes to the archive.
#[derive(Debug)]
enum Page {
    Cells(Vec<(Bytes, Bytes)>),
    /// There are no more. Without it, they were cut short.
    End,
}

/// Writes pages as a backup, on a thread that may wait; gives the backup as it has become.
fn write_pages(
    archive: &Archive,
    base: Option<&Manifest>,
    mut made: BackupRecord,
    mut pages: mpsc::Receiver<Page>,
    now_ms: impl Fn() -> u64,
) -> Result<(BackupRecord, Manifest), JobError> {
    let mut backup = archive.begin(&made.id, base, now_ms())?;
    let mut alive_at = Instant::now();
    (made.items, made.size) = (0, 0);
    loop {
        match pages.blocking_recv() {
            Some(Page::Cells(cells)) => {
                for (key, cell) in &cells {
                    let measured = Item::measured(cell.clone());
                    let (_, size) = measured.map_err(|error| JobError::Item(error.to_string()))?;
                    made.items += 1;
                    made.size += i64::try_from(size).unwrap_or_default();
                    backup.push(key, cell)?;
                }
            }
            Some(Page::End) => break,
            None => return Err(JobError::NotLeading),
        }
        if alive_at.elapsed() >= ALIVE {
            alive_at = Instant::now();
            backup.is_alive(now_ms())?;
        }
    }
    let manifest = backup.finish(made.to_bytes())?;
    Ok((made, manifest))
}

/// Holds something to a rate, over its whole life.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    bytes: u64,
    bytes_per_second: u64,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            begun: Instant::now(),
            bytes: 0,
            bytes_per_second: bytes_per_second.max(1),
        }
    }

    /// When so many bytes may have been moved.
    fn due(&self) -> Duration {
        Duration::from_nanos(
            u64::try_from(u128::from(self.bytes) * 1_000_000_000 / u128::from(self.bytes_per_second))
                .unwrap_or(u64::MAX),
        )
    }

    /// Waits until it is time to go on after these bytes.
    pub(crate) async fn has_moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let ahead = self.due().saturating_sub(self.begun.elapsed());
        if !ahead.is_zero() {
            tokio::time::sleep(ahead).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_all_bytes() {
        let mut pace = Pace::new(1 << 20);
        pace.bytes = 3 << 20;
        assert_eq!(pace.due(), Duration::from_secs(3));
        pace.bytes = 1 << 60;
        assert!(
            pace.due() > Duration::from_secs(1 << 30),
            "it does not wrap around"
        );
    }
}
