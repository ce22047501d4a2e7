//! Making backups of the whole cluster.
//!
//! One cut goes through all tables, so that all of them are as they were at one moment. Definitions and identities lie in the metadata,
//! which no cut holds: they are read before the cut and behind it, and if they are the same, they were so at its moment. Otherwise it is tried
//! again. Invariant: as for a backup of one table, it is there when its manifest is. Not here: restoring (`whole/restore.rs`).

mod restore;
mod write;

pub(crate) use self::restore::is_on_its_way;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stator_archive::{Archive, Manifest};
use stator_cluster::{Cut, Error};
use stator_iam::directory::sealing::WrappingKey;
use tokio::sync::mpsc;

use self::write::{Head, Part, write_parts};
use super::make::Ground;
use super::{Archivist, JobError, PAGES_AHEAD, Worker as _};
use crate::aside::aside;
use crate::backup::{BackupError, Backups};
use crate::catalog::Table;
use crate::cut_walk::CutWalk;
use crate::desk::PAUSE;
use crate::identity::store::Identities;
use crate::identity::store::carry::{ARCHIVE, Carried};
use crate::whole::record::{WholeBackup, WholeStatus};

/// How often it is tried to find a moment at which nobody changes definitions or identities.
const MOMENTS: u32 = 10;
/// How often it is noted how far a backup is, and looked whether it is still wanted.
const NOTE: Duration = Duration::from_secs(5);
/// What the key is for that secrets of identities are sealed under in an archive.
const PURPOSE: &[u8] = b"stator identity";

/// The key of an archive under which the sealing keys of identities are wrapped in it.
fn wrapping_of(archive: &Archive) -> WrappingKey {
    WrappingKey::derive(ARCHIVE.to_owned(), &archive.derive_key(PURPOSE)[..])
}

/// All that is in the metadata and goes into a backup.
#[derive(Debug)]
struct Standing {
    /// In the order of their ids, as their items are written.
    tables: Vec<Arc<Table>>,
    left_out: Vec<String>,
    identities: Carried,
}

impl Standing {
    fn is_like(&self, other: &Self) -> bool {
        let definitions = |of: &Self| -> Vec<_> {
            let tables = of.tables.iter();
            tables.map(|table| table.definition().clone()).collect()
        };
        self.left_out == other.left_out
            && self.identities == other.identities
            && definitions(self) == definitions(other)
    }
}

impl Archivist {
    /// The identities of the cluster.
    fn identities(&self) -> Result<&Arc<Identities>, JobError> {
        self.identities.as_ref().ok_or(JobError::NoBackups)
    }

    /// Makes a backup of the cluster.
    pub(super) async fn make_whole(&self, record: &WholeBackup) -> Result<(), JobError> {
        let archive = self.archive_to_write().await?;
        let ground = self.whole_ground(&archive).await?;
        let (standing, cut) = self.moment().await?;
        let (of, is_built) = ((&standing, &cut), ground.base.is_some());
        let mut made = Box::pin(self.write_whole(&archive, ground, record, of)).await;
        if let Err(error) = &made
            && is_built
            && error.is_damage()
        {
            tracing::warn!(backup = record.id, %error, "a backup is not built on one that is damaged");
            made = Box::pin(self.write_whole(&archive, Ground::DAMAGED, record, of)).await;
        }
        self.cluster().end_cut(cut).await;
        let made = made?;
        let changed = self.backups()?.change_whole(&record.id, |there| {
            if there.status == WholeStatus::Creating {
                *there = made.clone();
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let there = changed.await?.and_then(Result::ok);
        if there.is_none_or(|there| there.status != WholeStatus::Available) {
            // Whoever removes it may have been here before its manifest was.
            let id = record.id.clone();
            tokio::task::spawn_blocking(move || archive.remove(&id)).await??;
            self.sweep.set(self.cluster().steady_now() + PAUSE);
        }
        Ok(())
    }

    /// Takes over a backup that another cluster has made.
    pub(super) async fn adopt_whole(
        &self,
        backups: &Backups,
        id: &str,
        manifest: &Manifest,
    ) -> Result<(), BackupError> {
        match WholeBackup::from_bytes(manifest.about()) {
            Ok(mut record) if record.id == id => {
                tracing::info!(
                    backup = id,
                    "a backup of a whole cluster is taken over from the archive"
                );
                record.copied = manifest.copied();
                backups.add_whole(&record).await?;
            }
            Ok(_) => tracing::warn!(backup = id, "a backup in the archive has another id in it"),
            Err(detail) => tracing::warn!(backup = id, detail, "a backup in the archive cannot be read"),
        }
        Ok(())
    }

    /// The last backup of the cluster, to build on.
    async fn whole_ground(&self, archive: &Archive) -> Result<Ground, JobError> {
        let all = self.backups()?.all_whole().await?;
        let available = all
            .into_iter()
            .filter(|other| other.status == WholeStatus::Available);
        match available.max_by_key(|other| other.moment_ms) {
            Some(last) => Ground::of(archive, last.id).await,
            None => Ok(Ground::NOTHING),
        }
    }

    async fn standing(&self) -> Result<Standing, JobError> {
        self.upkeep.catalog.catch_up().await?;
        let known = self.upkeep.catalog.known();
        let has_items = |table: &&Arc<Table>| table.definition().has_items();
        let left_out = known.values().filter(|table| !has_items(table));
        let left_out = left_out.map(|table| table.name().to_owned()).collect();
        let mut tables: Vec<_> = known.values().filter(has_items).cloned().collect();
        tables.sort_by_key(|table| table.definition().id);
        Ok(Standing {
            tables,
            left_out,
            identities: self.identities()?.carried().await?,
        })
    }

    /// A moment of all tables, with what the metadata said then.
    async fn moment(&self) -> Result<(Standing, Cut), JobError> {
        for attempt in 0..MOMENTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let before = self.standing().await?;
            let keyspaces: Vec<_> = before.tables.iter().map(|table| table.keyspace()).collect();
            let cut = match self.cluster().cut(&keyspaces).await {
                Ok(cut) => cut,
                // A table is gone that was there before.
                Err(Error::NoSuchKeyspace) => continue,
                Err(error) => return Err(error.into()),
            };
            match self.standing().await {
                Ok(after) if after.is_like(&before) => return Ok((before, cut)),
                Ok(_) => self.cluster().end_cut(cut).await,
                Err(error) => {
                    self.cluster().end_cut(cut).await;
                    return Err(error);
                }
            }
        }
        Err(JobError::Restless)
    }

    /// Writes all of a moment into the archive; gives the backup as it has become.
    async fn write_whole(
        &self,
        archive: &Archive,
        ground: Ground,
        record: &WholeBackup,
        (standing, cut): (&Standing, &Cut),
    ) -> Result<WholeBackup, JobError> {
        let ring = self
            .identities()?
            .wrapped_for(&standing.identities, &wrapping_of(archive))?;
        let head = Head::new(
            standing.tables.iter().map(|table| table.definition()),
            &standing.identities,
            ring,
        );
        let mut made = record.clone();
        made.status = WholeStatus::Available;
        made.moment_ms = i64::try_from(cut.at_ms()).unwrap_or(i64::MAX);
        made.left_out = standing.left_out.clone();
        made.identities = standing.identities.rows.len() as u64;
        made.failure = String::new();
        let (pages, received) = mpsc::channel(PAGES_AHEAD);
        let upkeep = self.upkeep.clone();
        let clocks = move || {
            let now_ms = u64::try_from(upkeep.now_ms()).unwrap_or_default();
            (now_ms, upkeep.cluster.steady_now())
        };
        let to = archive.clone();
        let writing = aside("backup", move || {
            write_parts(&to, &ground, (made, head), received, clocks)
        });
        let sent = self.send_whole(record, (standing, cut), pages).await;
        let (made, manifest) = match (sent, writing.await?) {
            // The writer only knows that nothing comes any more.
            (Err(error), Err(JobError::NotLeading) | Ok(_)) | (_, Err(error)) => return Err(error),
            (Ok(()), Ok(written)) => written,
        };
        let counter = &self.counters.bytes_copied;
        counter.fetch_add(manifest.copied(), Ordering::Relaxed);
        tracing::info!(
            backup = made.id,
            tables = made.table_count,
            identities = made.identities,
            items = made.items,
            copied_bytes = manifest.copied(),
            "a backup of the cluster is complete"
        );
        Ok(made)
    }

    async fn send_whole(
        &self,
        record: &WholeBackup,
        (standing, cut): (&Standing, &Cut),
        pages: mpsc::Sender<Part>,
    ) -> Result<(), JobError> {
        let mut expected = 0;
        for table in &standing.tables {
            expected += self.cluster().tally(table.keyspace()).await.items;
        }
        let cluster = self.cluster();
        let mut walk = CutWalk::new(cluster, cut, self.bytes_per_second());
        let (mut read, mut noted_at) = (0, cluster.steady_now());
        for (place, table) in standing.tables.iter().enumerate() {
            // Whoever does not take a part has an error of his own.
            if walk.keep_while(pages.send(Part::Table(place))).await?.is_err() {
                return Ok(());
            }
            walk.enter(table.keyspace());
            while let Some(page) = walk.next().await? {
                let counter = &self.counters.bytes_read;
                counter.fetch_add(page.bytes, Ordering::Relaxed);
                read += page.rows.len() as u64;
                if !page.rows.is_empty()
                    && walk
                        .keep_while(pages.send(Part::Cells(page.rows)))
                        .await?
                        .is_err()
                {
                    return Ok(());
                }
                if cluster.steady_now().saturating_sub(noted_at) >= NOTE {
                    noted_at = cluster.steady_now();
                    self.note_whole(record, (read, expected)).await?;
                }
            }
        }
        // Whoever has given it up is not to find it complete.
        self.note_whole(record, (read, expected)).await?;
        drop(walk.keep_while(pages.send(Part::End)).await?);
        Ok(())
    }

    /// Notes how far a backup is.
    async fn note_whole(&self, record: &WholeBackup, progress: (u64, u64)) -> Result<(), JobError> {
        let noted = self.backups()?.change_whole(&record.id, |there| {
            if there.status != WholeStatus::Creating {
                return Err(JobError::Cancelled);
            }
            there.progress = progress;
            Ok(())
        });
        noted.await?.unwrap_or(Err(JobError::Cancelled)).map(drop)
    }

    /// Notes why a backup was not made at this try.
    pub(super) async fn note_failure(&self, record: &WholeBackup, error: &JobError) -> Result<(), JobError> {
        if matches!(error, JobError::NotLeading | JobError::Cancelled) {
            return Ok(());
        }
        let noted = self.change_if_creating(record, |there| there.failure = error.to_string());
        noted.await.map(drop)
    }

    /// Gives up a backup that has failed often enough, or that is not wanted any more.
    pub(super) async fn give_up_whole(&self, record: &WholeBackup, error: &JobError) -> Result<(), JobError> {
        if matches!(error, JobError::Cancelled) {
            return Ok(());
        }
        let given_up = self.change_if_creating(record, |there| {
            there.failure = error.to_string();
            there.status = WholeStatus::Failed;
        });
        // Another node may have made it meanwhile.
        if given_up.await? == Some(WholeStatus::Failed) {
            self.leave_to_sweep(&record.id).await;
        }
        Ok(())
    }

    /// Changes a backup that is still to be made; gives how it stands then.
    async fn change_if_creating(
        &self,
        record: &WholeBackup,
        change: impl Fn(&mut WholeBackup),
    ) -> Result<Option<WholeStatus>, JobError> {
        let changed = self.backups()?.change_whole(&record.id, |there| {
            if there.status == WholeStatus::Creating {
                change(there);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let there = changed.await?.and_then(Result::ok);
        Ok(there.map(|there| there.status))
    }

    /// Removes a backup of the cluster that was deleted, and notes that chunks may have become useless. One that is being restored
    /// stays until that is done.
    pub(super) async fn remove_whole(&self, record: &WholeBackup) -> Result<(), JobError> {
        let restore = self.backups()?.whole_restore().await?;
        let is_read = restore.is_some_and(|restore| restore.is_under_way() && restore.backup == record.id);
        if is_read || self.is_being_restored(&record.id).await? {
            return Ok(());
        }
        let archive = self.backups()?.archive().await?;
        let id = record.id.clone();
        tokio::task::spawn_blocking(move || archive.remove(&id)).await??;
        self.backups()?.forget_whole(&record.id).await?;
        self.sweep.set(self.cluster().steady_now() + PAUSE);
        Ok(())
    }
}
