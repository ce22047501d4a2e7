//! Removes records of streams that are too old to be read.
//!
//! Each node does it for the token ranges that it leads. Invariant: only records that nobody is shown any more go. Not
//! here: which those are for readers (`operation/shards.rs`).

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use bytes::Bytes;
use stator_cluster::{Bounds, ConsistencyLevel, Direction, Error, Keyspace, WriteOptions};

use crate::catalog::CatalogError;
use crate::command::Install;
use crate::derive::stream::{shard_prefix, time_of};
use crate::operation::shards::RETENTION_MS;
use crate::upkeep::Upkeep;

/// How often old records are looked for.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many are removed before others get their turn.
const BATCH: usize = 256;
/// How long that takes at least.
const PAUSE: Duration = Duration::from_millis(50);

impl Upkeep {
    /// Removes what is too old again and again, for as long as the process runs.
    pub(crate) async fn trim(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.trim_all().await {
                tracing::debug!(%error, "old records are removed later");
            }
        }
    }

    /// Removes what is too old now, of all streams, those of deleted tables included.
    ///
    /// # Errors
    /// Those of the catalog. What cannot be removed now is left for another time.
    pub(crate) async fn trim_all(&self) -> Result<(), CatalogError> {
        let tables = self.catalog.all().await?;
        let deleted = self.catalog.deleted();
        let of_tables = tables.values().flat_map(|table| &table.definition().streams);
        let of_deleted = deleted.iter().flat_map(|table| &table.streams);
        for stream in of_tables.chain(of_deleted) {
            let Some(keyspace) = self.cluster.keyspace(&stream.keyspace()) else {
                continue;
            };
            for shard in &stream.shards {
                let prefix = shard_prefix(stream, shard.number);
                if !self.leads(&prefix) {
                    continue;
                }
                if let Err(error) = self.trim_shard(keyspace, &prefix).await {
                    tracing::debug!(stream = %stream.id, %error, "old records are removed later");
                }
            }
        }
        Ok(())
    }

    fn leads(&self, key: &[u8]) -> bool {
        self.cluster.led_ranges().iter().any(|range| {
            let after = match &range.bounds.start {
                Bound::Included(start) | Bound::Excluded(start) => key >= &start[..],
                Bound::Unbounded => true,
            };
            let before = match &range.bounds.end {
                Bound::Included(end) | Bound::Excluded(end) => key < &end[..],
                Bound::Unbounded => true,
            };
            after && before
        })
    }

    async fn trim_shard(&self, keyspace: Keyspace, prefix: &[u8]) -> Result<(), Error> {
        let horizon_ms = u64::try_from(self.now_ms() - RETENTION_MS).unwrap_or_default();
        loop {
            let old = self.oldest(keyspace, prefix, horizon_ms).await?;
            let is_all = old.len() < BATCH;
            for (key, cell) in old {
                let install = Install {
                    expected: Some(cell),
                    cell: None,
                };
                let options = WriteOptions::default();
                self.cluster.write(keyspace, &key, options, &install).await?;
            }
            if is_all {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The first records of a shard, as far as they are too old.
    async fn oldest(
        &self,
        keyspace: Keyspace,
        prefix: &[u8],
        horizon_ms: u64,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, Error> {
        let bounds = Bounds {
            start: Bound::Included(prefix.to_vec()),
            end: stator_model::key::after_prefix(prefix.to_vec()).map_or(Bound::Unbounded, Bound::Excluded),
        };
        let (mut old, one) = (Vec::new(), ConsistencyLevel::One);
        self.cluster
            .range(keyspace, &bounds, Direction::Forward, one, |row| {
                let is_old = time_of(row.cell()).is_some_and(|at_ms| at_ms < horizon_ms);
                if !is_old || old.len() == BATCH {
                    return ControlFlow::Break(());
                }
                old.push((row.key().to_vec(), Bytes::copy_from_slice(row.cell())));
                ControlFlow::Continue(())
            })
            .await?;
        Ok(old)
    }
}
