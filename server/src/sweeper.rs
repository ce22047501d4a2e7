//! Deletes items that are due.
//!
//! Each node does it for the token ranges that it leads: rows of due times lie beside the items, in the order of the time
//! within each bucket of tokens. Invariant: an item is deleted by a command that looks once more whether it is due; no more
//! items go in a second than the settings allow, so that clients do not notice. Not here: the rows
//! (`derive/time_to_live.rs`).
//!
//! Rules: Amazon DynamoDB Developer Guide, "Using time to live (TTL)".

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use stator_cluster::{Bounds, ConsistencyLevel, Direction, Error, Keyspace, LedRange, WriteOptions};
use tokio::time::Instant;

use crate::catalog::{Table, TimeToLiveStatus};
use crate::command::{Expire, OLDEST_S};
use crate::derive::time_to_live::{BUCKET_BYTES, read_key};
use crate::upkeep::Upkeep;

/// How many items are deleted at the same time: few, so that no client finds a heap of them before its own request.
const AT_ONCE: usize = 4;
/// Deletions take one part in so many of the time at most, so that they make room where disk or processors are busy.
const BUSY_SHARE: u32 = 2;
/// How many are looked for at a time.
const BATCH: usize = 256;

/// Where a look goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// From this key on.
    From(Vec<u8>),
    /// The range is done.
    End,
}

impl Upkeep {
    /// Deletes what is due again and again, for as long as the process runs.
    pub(crate) async fn sweep(self) {
        loop {
            tokio::time::sleep(self.settings.sweep_interval()).await;
            let Ok(tables) = self.catalog.all().await else {
                continue;
            };
            for table in tables.values() {
                if let Err(error) = self.sweep_table(table).await {
                    tracing::warn!(table = table.name(), %error, "some of what is due is deleted later");
                }
            }
        }
    }

    /// Deletes what is due of a table. A range in which that fails is looked at again the next time, and keeps no other waiting.
    async fn sweep_table(&self, table: &Arc<Table>) -> Result<(), Error> {
        let due = table.definition().time_to_live.as_ref();
        let due = due.filter(|due| due.status == TimeToLiveStatus::Enabled);
        let Some(due) = due.filter(|_| table.definition().has_items()) else {
            return Ok(());
        };
        let Some(keyspace) = self.cluster.keyspace(&due.keyspace()) else {
            return Ok(());
        };
        let ranges = self.cluster.led_ranges();
        each(ranges, |range| {
            self.sweep_range(table, (&due.attribute, keyspace), range)
        })
        .await
    }

    async fn sweep_range(
        &self,
        table: &Table,
        (attribute, keyspace): (&str, Keyspace),
        range: LedRange,
    ) -> Result<(), Error> {
        let now_s = u64::try_from(self.now_ms() / 1000).unwrap_or_default();
        let mut next = Next::From(first_key(&range));
        while let Next::From(key) = next {
            let mut items = Vec::new();
            next = self.due_in(keyspace, &range, (key, now_s), &mut items).await?;
            self.expire(table, attribute, now_s, items).await?;
        }
        Ok(())
    }

    /// The keys of some items that are due, and where to go on.
    async fn due_in(
        &self,
        keyspace: Keyspace,
        range: &LedRange,
        (key, now_s): (Vec<u8>, u64),
        items: &mut Vec<Vec<u8>>,
    ) -> Result<Next, Error> {
        let bounds = Bounds {
            start: Bound::Included(key),
            end: range.bounds.end.clone(),
        };
        let mut next = Next::End;
        let one = ConsistencyLevel::One;
        self.cluster
            .range(keyspace, &bounds, Direction::Forward, one, |row| {
                let Some((due_s, item)) = read_key(row.key()) else {
                    return ControlFlow::Continue(());
                };
                if due_s > now_s {
                    next = after_bucket(row.key());
                    return ControlFlow::Break(());
                }
                if due_s < now_s.saturating_sub(OLDEST_S) {
                    return ControlFlow::Continue(());
                }
                items.push(item.to_vec());
                if items.len() == BATCH {
                    next = Next::From([row.key(), &[0]].concat());
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
            .await?;
        Ok(next)
    }

    async fn expire(
        &self,
        table: &Table,
        attribute: &str,
        now_s: u64,
        items: Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        let rate = f64::from(self.settings.sweep_items_per_second);
        let mut at = Instant::now();
        for items in items.chunks(AT_ONCE) {
            tokio::time::sleep_until(at).await;
            let begun = Instant::now();
            let expire = Expire { attribute, now_s };
            let mut deletions = Vec::with_capacity(items.len());
            for item in items {
                let options = WriteOptions::default();
                let deletion = self.cluster.write(table.keyspace(), item, options, &expire);
                deletions.push(async {
                    match deletion.await {
                        // An item that a transaction is about to write is looked at again by the next sweep.
                        Err(Error::TransactionConflict) => Ok(()),
                        gone => gone.map(|_| ()),
                    }
                });
            }
            try_join_all(deletions).await?;
            at = (at + share(items.len(), rate)).max(begun + begun.elapsed() * BUSY_SHARE);
        }
        tokio::time::sleep_until(at).await;
        Ok(())
    }
}

/// Sweeps ranges one after the other, also those behind one that fails; gives the first failure.
async fn each<R, S>(ranges: Vec<R>, mut sweep: impl FnMut(R) -> S) -> Result<(), Error>
where
    S: Future<Output = Result<(), Error>>,
{
    let mut outcome = Ok(());
    for range in ranges {
        outcome = outcome.and(sweep(range).await);
    }
    outcome
}

/// The time of so many items at a rate a second.
fn share(items: usize, rate: f64) -> Duration {
    Duration::from_secs_f64(f64::from(u32::try_from(items).unwrap_or(u32::MAX)) / rate)
}

fn first_key(range: &LedRange) -> Vec<u8> {
    match &range.bounds.start {
        Bound::Included(key) | Bound::Excluded(key) => key.clone(),
        Bound::Unbounded => Vec::new(),
    }
}

/// The first key behind all of the bucket of a key.
fn after_bucket(key: &[u8]) -> Next {
    let bucket = key.first_chunk::<BUCKET_BYTES>().copied().unwrap_or_default();
    match u16::from_be_bytes(bucket).checked_add(1) {
        Some(next) => Next::From(next.to_be_bytes().to_vec()),
        None => Next::End,
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn ranges_behind_one_that_fails_are_swept_and_the_failure_is_told() {
        let mut swept = Vec::new();
        let sweep = |range: u8| {
            swept.push(range);
            ready(match range {
                1 => Err(Error::NoSuchKeyspace),
                2 => Err(Error::TransactionConflict),
                _ => Ok(()),
            })
        };
        let outcome = each(vec![0, 1, 2, 3], sweep).await;
        assert!(matches!(outcome, Err(Error::NoSuchKeyspace)), "{outcome:?}");
        assert_eq!(swept, [0, 1, 2, 3]);
    }

    #[test]
    fn the_next_bucket_comes_behind_all_of_this_one() {
        assert_eq!(after_bucket(&[0, 0, 9, 9]), Next::From(vec![0, 1]));
        assert_eq!(after_bucket(&[0, 255, 9]), Next::From(vec![1, 0]));
        assert_eq!(after_bucket(&[255, 255, 0]), Next::End);
    }
}
