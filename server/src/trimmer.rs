//! Removes records of streams that are too old to be read.
//!
//! Each node does it for the token ranges that it leads. Invariant: only records that nobody is shown any more go. Not
//! here: which those are for readers (`operation/shards.rs`).

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use stator_cluster::{Bounds, ConsistencyLevel, Direction, Error, Keyspace, WriteOptions};

use crate::catalog::{CatalogError, Shard};
use crate::command::Install;
use crate::derive::stream::{shard_prefix, time_of};
use crate::operation::shards::RETENTION_MS;
use crate::upkeep::Upkeep;

/// How often old records are looked for.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many are removed before others get their turn.
const BATCH: usize = 256;
/// Bytes of them after which there are enough.
const BATCH_BYTES: usize = 4 << 20;
/// How many are removed at the same time, so that it goes faster than clients can write.
const AT_ONCE: usize = 16;
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
                let horizon_ms = horizon_ms(shard, self.now_ms());
                if let Err(error) = self.trim_shard(keyspace, &prefix, horizon_ms).await {
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

    async fn trim_shard(&self, keyspace: Keyspace, prefix: &[u8], horizon_ms: u64) -> Result<(), Error> {
        loop {
            let (old, is_all) = self.oldest(keyspace, prefix, horizon_ms).await?;
            for records in old.chunks(AT_ONCE) {
                let removals = records.iter().map(|record| self.remove_record(keyspace, record));
                try_join_all(removals).await?;
            }
            if is_all {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn remove_record(&self, keyspace: Keyspace, (key, cell): &(Vec<u8>, Bytes)) -> Result<(), Error> {
        let install = Install {
            expected: Some(cell.clone()),
            cell: None,
        };
        let options = WriteOptions::default();
        self.cluster.write(keyspace, key, options, &install).await?;
        Ok(())
    }

    /// The first records of a shard, as far as they are too old, and whether these are all.
    async fn oldest(
        &self,
        keyspace: Keyspace,
        prefix: &[u8],
        horizon_ms: u64,
    ) -> Result<(Vec<(Vec<u8>, Bytes)>, bool), Error> {
        let bounds = Bounds {
            start: Bound::Included(prefix.to_vec()),
            end: stator_model::key::after_prefix(prefix.to_vec()).map_or(Bound::Unbounded, Bound::Excluded),
        };
        let (mut old, mut bytes, mut is_all) = (Vec::new(), 0, true);
        let one = ConsistencyLevel::One;
        self.cluster
            .range(keyspace, &bounds, Direction::Forward, one, |row| {
                let is_old = time_of(row.cell()).is_some_and(|at_ms| at_ms < horizon_ms);
                if !is_old {
                    return ControlFlow::Break(());
                }
                bytes += row.cell().len();
                old.push((row.key().to_vec(), Bytes::copy_from_slice(row.cell())));
                if old.len() < BATCH && bytes < BATCH_BYTES {
                    return ControlFlow::Continue(());
                }
                is_all = false;
                ControlFlow::Break(())
            })
            .await?;
        Ok((old, is_all))
    }
}

/// Records of a shard that were taken before this time, in milliseconds since the Unix epoch, may go. Of a shard that was
/// closed so long ago these are all, whatever time they have of a clock that was ahead.
fn horizon_ms(shard: &Shard, now_ms: i64) -> u64 {
    let horizon_ms = now_ms.saturating_sub(RETENTION_MS);
    if shard.closed.is_some_and(|(at_ms, _)| at_ms < horizon_ms) {
        return u64::MAX;
    }
    u64::try_from(horizon_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_shard_that_was_closed_a_day_ago_everything_goes() {
        let mut shard = Shard {
            number: 1,
            opened_at_ms: 0,
            closed: None,
        };
        let now_ms = RETENTION_MS + 1000;
        assert_eq!(horizon_ms(&shard, now_ms), 1000);
        assert_eq!(horizon_ms(&shard, 5), 0);
        shard.closed = Some((1000, 7));
        assert_eq!(horizon_ms(&shard, now_ms), 1000);
        assert_eq!(horizon_ms(&shard, now_ms + 1), u64::MAX);
    }
}
