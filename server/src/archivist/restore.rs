//! Restoring a table: its items are written as any others are, so that all that follows from them comes by itself.
//!
//! How far it has come is a row of the metadata, so that whoever goes on begins there; what is written twice is the same. When
//! all is written, the definition says first that the table takes no more, and every leader is held to that, so that a node
//! that believes to be restoring changes nothing when clients may.

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stator_archive::Archive;
use stator_cluster::{Bounds, ConsistencyLevel, Direction, Error, Row, Unfit, WriteOptions};
use stator_model::item::Item;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Archivist, JobError, PAGE_BYTES, PAGES_AHEAD, PAUSE, Pace, Worker as _, hold_back};
use crate::aside::aside;
use crate::catalog::{CatalogError, Restore, Table};
use crate::command::Deposit;
use crate::compare_and_set;
use crate::derive::unfit;
use crate::history_reader::require_latest;
use crate::whole::contents::{item_key, key_in_table};

/// So many items are on their way into the table.
const WRITES_AT_ONCE: usize = 256;
/// How often it is noted how far a restore has come.
const NOTE: Duration = Duration::from_secs(5);
/// What the rows begin with that say how far; the table's id follows.
const PROGRESS: &[u8] = b"restore/";
/// The first key after all with that prefix.
const PROGRESS_END: &[u8] = b"restore0";

/// Cells in the order of their keys, with these: those in the archive, or what their versions begin with.
pub(super) type Cells = Vec<(Bytes, Bytes)>;

impl Archivist {
    /// Writes the items of a table that is to be restored, and says when they are all there.
    pub(super) async fn restore(&self, table: &Table) -> Result<(), JobError> {
        let definition = table.definition();
        let Some(restore) = &definition.restore else {
            return Ok(());
        };
        let key = progress_key(definition.id);
        if !restore.is_sealed {
            match restore.history {
                Some(history) => self.rewind(table, (history, restore.at_ms), &key).await?,
                None => self.write_all(table, restore, &key).await?,
            }
            // What follows from the items is to be there as well.
            self.cluster().settled().await?;
            self.change(table, |restore| restore.is_sealed = true).await?;
        }
        self.require_latest().await?;
        if let Some(part) = restore.part {
            self.complete_part(table, (restore.backup.clone(), part)).await?;
        } else {
            self.change(table, |restore| restore.in_progress = false).await?;
            self.compare_replicas().await;
        }
        self.note_progress(&key, None).await?;
        tracing::info!(
            table = table.name(),
            backup = restore.backup,
            at_ms = restore.at_ms,
            "a table is restored"
        );
        Ok(())
    }

    /// Has all that came in compared on its replicas now, and not only when its turn comes. A restore is complete whatever becomes
    /// of it: the turn comes.
    pub(super) async fn compare_replicas(&self) {
        match self.cluster().begin_repair().await {
            Ok(silent) => {
                for node in silent {
                    tracing::warn!(
                        node = node.0,
                        "a node could not be asked to compare what was restored"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "what was restored is not compared at once"),
        }
    }

    /// Every range asks its leaders to know all that this node knows of the metadata.
    pub(super) async fn require_latest(&self) -> Result<(), JobError> {
        Ok(require_latest(self.cluster()).await?)
    }

    async fn change(&self, table: &Table, change: impl Fn(&mut Restore)) -> Result<(), JobError> {
        let changed = self.upkeep.catalog.change(table.name(), |there| {
            // Another table may have the name by now.
            if there.id == table.definition().id
                && let Some(restore) = &mut there.restore
            {
                change(restore);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        match changed.await {
            Ok(_) | Err(CatalogError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn write_all(&self, table: &Table, restore: &Restore, key: &[u8]) -> Result<(), JobError> {
        let archive = self.backups()?.archive().await?;
        self.require_latest().await?;
        let done = self.progress(key).await?;
        let (pages, mut received) = mpsc::channel(PAGES_AHEAD);
        let (source, behind) = ((restore.backup.clone(), restore.part), done.clone());
        let reading = aside("restore", move || read_pages(&archive, source, behind, &pages));
        let written = self.write_items(table, key, done, &mut received).await;
        drop(received);
        let read = reading.await?;
        written?;
        read
    }

    pub(super) async fn write_items(
        &self,
        table: &Table,
        progress: &[u8],
        mut done: Option<Bytes>,
        pages: &mut mpsc::Receiver<Cells>,
    ) -> Result<(), JobError> {
        let cluster = self.cluster();
        let mut pace = Pace::new(self.bytes_per_second(), cluster.steady_now());
        let mut noted_at = cluster.steady_now();
        while let Some(page) = pages.recv().await {
            if !self.is_wanted(table) {
                return Ok(());
            }
            if !self.cluster().leads_metadata() {
                return Err(JobError::NotLeading);
            }
            let bytes: usize = page.iter().map(|(key, cell)| key.len() + cell.len()).sum();
            let last = page.last().map(|(key, _)| key.clone());
            let writes = page.into_iter().map(|(_, cell)| self.write_item(table, cell));
            stream::iter(writes)
                .buffer_unordered(WRITES_AT_ONCE)
                .try_for_each(async |()| Ok(()))
                .await?;
            done = last.or(done);
            if cluster.steady_now().saturating_sub(noted_at) >= NOTE {
                noted_at = cluster.steady_now();
                self.note_progress(progress, done.clone()).await?;
            }
            let counter = &self.counters.bytes_restored;
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
            hold_back(pace.has_done(bytes as u64, cluster.steady_now())).await;
        }
        Ok(())
    }

    /// Whether the table is still there to be restored.
    fn is_wanted(&self, table: &Table) -> bool {
        let known = self.upkeep.catalog.table(table.name());
        known.is_some_and(|known| known.definition().id == table.definition().id)
    }

    /// Writes an item, as often as it takes.
    async fn write_item(&self, table: &Table, cell: Bytes) -> Result<(), JobError> {
        let item = Item::from_stored(cell).map_err(|error| JobError::Item(error.to_string()))?;
        // The token of a key is another one in each table.
        let key = table.key_of_item(item.as_ref());
        let key = key.map_err(|error| JobError::Item(format!("an item has no key: {error:?}")))?;
        let command = Deposit { item };
        loop {
            let options = WriteOptions::default();
            match self
                .cluster()
                .write(table.keyspace(), key.as_bytes(), options, &command)
                .await
            {
                // When there is no keyspace, the table is deleted under it.
                Ok(_) | Err(Error::NoSuchKeyspace) => return Ok(()),
                // Somebody else has restored it.
                Err(Error::Unfit(Unfit {
                    code: unfit::NOT_RESTORED,
                    ..
                })) => return Err(JobError::NotLeading),
                Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {
                    tracing::debug!(%error, "an item is restored later");
                    if !self.cluster().leads_metadata() {
                        return Err(JobError::NotLeading);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The last key that is known to be restored.
    pub(super) async fn progress(&self, key: &[u8]) -> Result<Option<Bytes>, JobError> {
        let (metadata, level) = (self.cluster().metadata(), ConsistencyLevel::Quorum);
        Ok(self.cluster().read(metadata, key, level).await?)
    }

    /// Forgets how far restores have come whose tables are not being restored any more: they were deleted while nobody was at it,
    /// or whoever was at it ended before its last step.
    pub(super) async fn forget_progress(&self) -> Result<(), JobError> {
        let bounds = Bounds {
            start: Bound::Included(PROGRESS.to_vec()),
            end: Bound::Excluded(PROGRESS_END.to_vec()),
        };
        let mut rows = Vec::new();
        let collect = |row: &Row<'_>| {
            rows.push((row.key().to_vec(), Bytes::copy_from_slice(row.cell())));
            ControlFlow::Continue(())
        };
        let (metadata, level) = (self.cluster().metadata(), ConsistencyLevel::One);
        self.cluster()
            .range(metadata, &bounds, Direction::Forward, level, collect)
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        // Behind the rows: a table is there before its row.
        self.upkeep.catalog.catch_up().await?;
        let tables = self.upkeep.catalog.known();
        for (key, cell) in rows {
            let mut restored = tables.values().map(|table| table.definition());
            let is_needed = restored.any(|table| table.is_being_restored() && key == progress_key(table.id));
            if !is_needed {
                compare_and_set::install(self.cluster(), &key, Some(cell), None).await?;
            }
        }
        Ok(())
    }

    /// Should another node have come first, its progress stays.
    async fn note_progress(&self, key: &[u8], done: Option<Bytes>) -> Result<(), JobError> {
        let expected = self.progress(key).await?;
        compare_and_set::install(self.cluster(), key, expected, done).await?;
        Ok(())
    }
}

/// The key of the row that says how far the restore of a table is.
pub(crate) fn progress_key(table: Uuid) -> Vec<u8> {
    [PROGRESS, &table.as_bytes()[..]].concat()
}

/// Reads the cells of a backup behind a key, or those of one table of a backup of the cluster, on a thread that may wait.
fn read_pages(
    archive: &Archive,
    (id, part): (String, Option<Uuid>),
    behind: Option<Bytes>,
    pages: &mpsc::Sender<Cells>,
) -> Result<(), JobError> {
    let manifest = archive
        .backup(&id)?
        .ok_or_else(|| stator_archive::Error::Missing {
            name: format!("backup {id}"),
        })?;
    let behind = match part {
        Some(part) => Some(item_key(part, behind.as_deref().unwrap_or_default())),
        None => behind,
    };
    let mut cells = archive.cells(&manifest, behind.as_deref())?;
    let mut next = || -> Result<Option<(Bytes, Bytes)>, stator_archive::Error> {
        let Some((key, cell)) = cells.next_cell()? else {
            return Ok(None);
        };
        let key = match part {
            Some(part) => key_in_table(part, &key),
            None => Some(key),
        };
        Ok(key.map(|key| (key, cell)))
    };
    loop {
        let (mut page, mut bytes) = (Cells::new(), 0);
        while bytes < PAGE_BYTES
            && let Some((key, cell)) = next()?
        {
            bytes += key.len() + cell.len();
            page.push((key, cell));
        }
        // Nobody listens when it failed there.
        if page.is_empty() || pages.blocking_send(page).is_err() {
            return Ok(());
        }
    }
}
