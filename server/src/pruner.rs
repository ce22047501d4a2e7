//! Removes versions of items that no table can be restored to any more.
//!
//! Each node does it for the token ranges that it leads: it walks through the histories, as slowly as it takes not to be
//! noticed. Invariant: only versions go that count at no moment from the horizon on; the horizon is [`SLACK_MS`] before the
//! first moment that clients can restore, and before that of every
//! restore and export that is under way. Not here: which versions those are
//! (`derive/history.rs`).

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use stator_cluster::{Bounds, ConsistencyLevel, Direction, Error, Keyspace, LedRange, WriteOptions};
use tokio::time::Instant;
use uuid::Uuid;

use crate::catalog::{CatalogError, History, Tables};
use crate::command::Install;
use crate::derive::history::{Outdated, Version};
use crate::transfer::{self, ExportRecord, TransferError};
use crate::upkeep::Upkeep;

/// How long after the end of a walk the next one begins.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Versions are kept for so much longer than they must be, in milliseconds: a restore may just have begun that this node has not
/// heard of, and clocks differ.
const SLACK_MS: i64 = 10 * 60 * 1000;
/// How many rows are looked at before others get their turn.
const ROWS: usize = 1024;
/// How many bytes a node looks at in a second at most.
const BYTES_PER_SECOND: u64 = 8 << 20;
/// How long to wait at least after some rows have been removed.
const PAUSE: Duration = Duration::from_millis(50);

/// Why nothing can be removed now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PruneError {
    /// It is not known which tables there are.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It is not known which exports there are.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

/// Where a walk goes on.
struct Walk {
    start: Bound<Vec<u8>>,
    outdated: Outdated,
}

impl Upkeep {
    /// Removes what is too old again and again, for as long as the process runs.
    pub(crate) async fn prune(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.prune_all().await {
                tracing::debug!(%error, "old versions are removed later");
            }
        }
    }

    /// Removes what is too old now, of all histories. Gives how many versions have gone.
    ///
    /// # Errors
    /// See [`PruneError`]. What cannot be removed now is left for another time.
    pub(crate) async fn prune_all(&self) -> Result<u64, PruneError> {
        // Before it is known what is in use: whoever begins to use something afterwards has its moment checked by the time that it is
        // then, however long this takes.
        let now_ms = self.now_ms();
        let tables = self.catalog.all().await?;
        let exports = transfer::all::<ExportRecord>(&self.cluster).await?;
        let in_use = in_use(&tables, &exports);
        let mut removed = 0;
        for table in tables.values() {
            let Some(history) = &table.definition().history else {
                continue;
            };
            let Some(keyspace) = self.cluster.keyspace(&history.keyspace()) else {
                continue;
            };
            let Some(horizon_ms) = horizon_ms(history, &in_use, now_ms) else {
                continue;
            };
            for range in self.cluster.led_ranges() {
                match self.prune_range(keyspace, &range, horizon_ms).await {
                    Ok(versions) => removed += versions,
                    Err(error) => {
                        tracing::debug!(table = table.name(), %error, "old versions are removed later");
                    }
                }
            }
        }
        Ok(removed)
    }

    async fn prune_range(&self, keyspace: Keyspace, range: &LedRange, horizon_ms: u64) -> Result<u64, Error> {
        let mut walk = Walk {
            start: range.bounds.start.clone(),
            outdated: Outdated::new(horizon_ms),
        };
        let mut removed = 0;
        loop {
            let begun = Instant::now();
            let (keys, bytes, is_end) = self.outdated_in(keyspace, range, &mut walk).await?;
            let mut pause = Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND);
            if !keys.is_empty() {
                pause = pause.max(PAUSE);
            }
            for key in keys {
                removed += u64::from(self.remove(keyspace, &key).await?);
            }
            if is_end {
                return Ok(removed);
            }
            tokio::time::sleep_until(begun + pause).await;
        }
    }

    /// The keys of the next versions that may go, how many bytes were looked at, and whether the range has no more.
    async fn outdated_in(
        &self,
        keyspace: Keyspace,
        range: &LedRange,
        walk: &mut Walk,
    ) -> Result<(Vec<Vec<u8>>, u64, bool), Error> {
        let bounds = Bounds {
            start: walk.start.clone(),
            end: range.bounds.end.clone(),
        };
        let (mut keys, mut bytes, mut rows) = (Vec::new(), 0, 0);
        let mut last = None;
        let one = ConsistencyLevel::One;
        self.cluster
            .range(keyspace, &bounds, Direction::Forward, one, |row| {
                bytes += (row.key().len() + row.cell().len()) as u64;
                rows += 1;
                if let Some(version) = Version::read(row.key(), row.cell()) {
                    walk.outdated.look(row.key(), &version, &mut keys);
                } else {
                    tracing::error!("a row of a history is no version that this program knows");
                }
                if rows < ROWS {
                    return ControlFlow::Continue(());
                }
                last = Some(row.key().to_vec());
                ControlFlow::Break(())
            })
            .await?;
        let is_end = last.is_none();
        match last {
            Some(last) => walk.start = Bound::Excluded(last),
            None => walk.outdated.end(&mut keys),
        }
        Ok((keys, bytes, is_end))
    }

    /// Removes a version; `false` if it is gone already.
    async fn remove(&self, keyspace: Keyspace, key: &[u8]) -> Result<bool, Error> {
        let level = ConsistencyLevel::One;
        let Some(cell) = self.cluster.read(keyspace, key, level).await? else {
            return Ok(false);
        };
        // A version never changes.
        let install = Install {
            expected: Some(cell),
            cell: None,
        };
        let options = WriteOptions::default();
        self.cluster.write(keyspace, key, options, &install).await?;
        Ok(true)
    }
}

/// The histories that are read by restores and exports that are under way, and from which moments on.
fn in_use(tables: &Tables, exports: &[ExportRecord]) -> Vec<(Uuid, i64)> {
    let restores = tables.values().filter_map(|table| {
        let restore = table.definition().restore.as_ref()?;
        Some((restore.history.filter(|_| restore.in_progress)?, restore.at_ms))
    });
    let exports = exports.iter().filter(|export| export.ended_ms.is_none());
    restores.chain(exports.filter_map(ExportRecord::reads)).collect()
}

/// Up to where versions of a history that are out of date may go; `None` while it is not complete.
fn horizon_ms(history: &History, in_use: &[(Uuid, i64)], now_ms: i64) -> Option<u64> {
    let (earliest_ms, _) = history.restorable(now_ms)?;
    let moments = in_use.iter().filter(|(id, _)| *id == history.id);
    let needed_ms = moments.map(|(_, at_ms)| *at_ms).fold(earliest_ms, i64::min);
    Some(u64::try_from(needed_ms.saturating_sub(SLACK_MS)).unwrap_or_default())
}
