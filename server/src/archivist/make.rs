//! Making backups of single tables.
//!
//! Invariant: one that is there is never made again in its place, of another moment. Not here: those of the whole cluster
//! (`whole.rs`), what is done when one fails (`desk.rs`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use stator_archive::{Archive, Backup, Manifest};
use stator_cluster::{Cut, Keyspace};
use stator_model::item::Item;
use tokio::sync::mpsc;

use super::{ALIVE, Archivist, JobError, PAGES_AHEAD, WANTED};
use crate::aside::{Helpers, aside};
use crate::backup::{BackupRecord, BackupStatus};
use crate::catalog::Table;
use crate::cut_walk::CutWalk;
use crate::desk::{PAUSE, Worker as _};

/// What a backup is built on, and how.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) base: Option<Manifest>,
    /// Whether something in the archive is known to be damaged, so that what is there is looked at.
    is_damaged: bool,
}

impl Ground {
    pub(super) const NOTHING: Self = Self {
        base: None,
        is_damaged: false,
    };
    pub(super) const DAMAGED: Self = Self {
        base: None,
        is_damaged: true,
    };

    /// An earlier backup, if it can be read.
    pub(super) async fn of(archive: &Archive, id: String) -> Result<Self, JobError> {
        let archive = archive.clone();
        match tokio::task::spawn_blocking(move || archive.backup(&id)).await? {
            Ok(base) => Ok(Self {
                base,
                ..Self::NOTHING
            }),
            Err(error) => {
                tracing::warn!(%error, "a backup that cannot be read is not built on");
                // A place that does not answer for a moment says nothing of what lies there.
                let is_damaged = error.is_damage();
                Ok(if is_damaged { Self::DAMAGED } else { Self::NOTHING })
            }
        }
    }

    /// Begins a backup on it.
    pub(super) fn begin(&self, archive: &Archive, id: &str, now_ms: u64) -> Result<Backup, JobError> {
        let backup = archive.begin(id, self.base.as_ref(), now_ms)?;
        let backup = backup.helped_by(&Helpers::begin()?);
        Ok(if self.is_damaged {
            backup.comparing()
        } else {
            backup
        })
    }
}

impl Archivist {
    /// The archive, unless chunks are being removed from it. Asked before clients' writes are held for a cut.
    pub(super) async fn archive_to_write(&self) -> Result<Archive, JobError> {
        let archive = self.backups()?.archive().await?;
        let now_ms = u64::try_from(self.upkeep.now_ms()).unwrap_or_default();
        let looked = archive.clone();
        if tokio::task::spawn_blocking(move || looked.is_being_swept(now_ms)).await?? {
            return Err(stator_archive::Error::Sweeping.into());
        }
        Ok(archive)
    }

    pub(super) async fn make(&self, record: &BackupRecord) -> Result<(), JobError> {
        match self.require_wanted(record).await {
            Ok(()) => {}
            // Somebody has made it, or it was deleted, since this was found to be left to do.
            Err(JobError::NotLeading | JobError::Cancelled) => return Ok(()),
            Err(error) => return Err(error),
        }
        let (catalog, wanted) = (&self.upkeep.catalog, record.table());
        let table = catalog.latest(&wanted.name).await?;
        let Some(table) = table.filter(|table| table.definition().id == wanted.id) else {
            tracing::warn!(
                backup = record.id,
                table = wanted.name,
                "there is nothing to make a backup of"
            );
            return self.abandon(record).await;
        };
        let archive = self.archive_to_write().await?;
        let ground = self.ground(&archive, record).await?;
        let cut = self.cluster().cut(&[table.keyspace()]).await?;
        let is_built = ground.base.is_some();
        let mut made = Box::pin(self.write(&archive, ground, record, (&table, &cut))).await;
        if let Err(error) = &made
            && is_built
            && error.is_damage()
        {
            tracing::warn!(backup = record.id, %error, "a backup is not built on one that is damaged");
            made = Box::pin(self.write(&archive, Ground::DAMAGED, record, (&table, &cut))).await;
        }
        self.cluster().end_cut(cut).await;
        let made = made?;
        let (name, id) = (&wanted.name, &record.id);
        let changed = self.backups()?.change(name, id, |there| {
            if there.status == BackupStatus::Creating {
                *there = made.clone();
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let there = changed.await?.and_then(Result::ok);
        if there.is_none_or(|there| there.status != BackupStatus::Available) {
            // Whoever removes it may have been here before its manifest was.
            let id = id.clone();
            tokio::task::spawn_blocking(move || archive.remove(&id)).await??;
            self.sweep.set(self.cluster().steady_now() + PAUSE);
        }
        Ok(())
    }

    /// Refuses to go on with a backup that is not to be made any more.
    async fn require_wanted(&self, record: &BackupRecord) -> Result<(), JobError> {
        let found = self.backups()?.find(&record.table().name, &record.id).await?;
        match found.map(|found| found.status) {
            Some(BackupStatus::Creating) => Ok(()),
            // It is there: another node has made it.
            Some(BackupStatus::Available) => Err(JobError::NotLeading),
            Some(BackupStatus::Deleted) | None => Err(JobError::Cancelled),
        }
    }

    /// The last backup of the same table, to build on.
    async fn ground(&self, archive: &Archive, record: &BackupRecord) -> Result<Ground, JobError> {
        let mut last: Option<(i64, String)> = None;
        let look = |other: BackupRecord| {
            let is_one = other.status == BackupStatus::Available && other.table().id == record.table().id;
            if is_one
                && last
                    .as_ref()
                    .is_none_or(|(moment_ms, _)| *moment_ms <= other.moment_ms)
            {
                last = Some((other.moment_ms, other.id));
            }
        };
        self.backups()?.each(look).await?;
        match last {
            Some((_, id)) => Ground::of(archive, id).await,
            None => Ok(Ground::NOTHING),
        }
    }

    /// Writes the cells of a cut into the archive; gives the backup as it has become.
    async fn write(
        &self,
        archive: &Archive,
        ground: Ground,
        record: &BackupRecord,
        (table, cut): (&Table, &Cut),
    ) -> Result<BackupRecord, JobError> {
        let mut made = record.clone();
        made.status = BackupStatus::Available;
        made.moment_ms = i64::try_from(cut.at_ms()).unwrap_or(i64::MAX);
        made.set_table(table.definition().clone());
        let (pages, received) = mpsc::channel(PAGES_AHEAD);
        let upkeep = self.upkeep.clone();
        let clocks = move || {
            let now_ms = u64::try_from(upkeep.now_ms()).unwrap_or_default();
            (now_ms, upkeep.cluster.steady_now())
        };
        let archive = archive.clone();
        let writing = aside("backup", move || {
            write_pages(&archive, &ground, made, received, clocks)
        });
        let sent = Box::pin(self.send_pages(record, cut, table.keyspace(), pages)).await;
        let written = writing.await?;
        if matches!(sent, Err(JobError::Cancelled)) {
            return Err(JobError::Cancelled);
        }
        // What has failed there tells more than that nobody listens any more.
        let (made, manifest) = written?;
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
        record: &BackupRecord,
        cut: &Cut,
        keyspace: Keyspace,
        pages: mpsc::Sender<Page>,
    ) -> Result<(), JobError> {
        let cluster = self.cluster();
        let mut wanted_at = cluster.steady_now();
        let mut walk = CutWalk::new(cluster, cut, self.bytes_per_second());
        walk.enter(keyspace);
        while let Some(page) = walk.next().await? {
            let counter = &self.counters.bytes_read;
            counter.fetch_add(page.bytes, Ordering::Relaxed);
            // Whoever does not take it has an error of his own.
            if !page.rows.is_empty()
                && walk
                    .keep_while(pages.send(Page::Cells(page.rows)))
                    .await?
                    .is_err()
            {
                return Ok(());
            }
            if cluster.steady_now().saturating_sub(wanted_at) >= WANTED {
                wanted_at = cluster.steady_now();
                self.require_wanted(record).await?;
            }
        }
        // Whoever has given it up is not to find it complete, and who has made it not another one in its place.
        self.require_wanted(record).await?;
        drop(walk.keep_while(pages.send(Page::End)).await?);
        Ok(())
    }
}

/// What is sent to whoever writes to the archive.
#[derive(Debug)]
enum Page {
    Cells(Vec<(Bytes, Bytes)>),
    /// There are no more. Without it, they were cut short.
    End,
}

/// Writes pages as a backup, on a thread that may wait; gives the backup as it has become. `clocks` tell the time in
/// milliseconds since the Unix epoch, and that of the steady clock.
fn write_pages(
    archive: &Archive,
    ground: &Ground,
    mut made: BackupRecord,
    mut pages: mpsc::Receiver<Page>,
    clocks: impl Fn() -> (u64, Duration),
) -> Result<(BackupRecord, Manifest), JobError> {
    let (begun_ms, mut alive_at) = clocks();
    let mut backup = ground.begin(archive, &made.id, begun_ms)?;
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
        let (now_ms, now) = clocks();
        if now.saturating_sub(alive_at) >= ALIVE {
            alive_at = now;
            backup.is_alive(now_ms)?;
        }
    }
    let manifest = backup.finish(made.to_bytes())?;
    Ok((made, manifest))
}
