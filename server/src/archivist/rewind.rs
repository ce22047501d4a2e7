//! Restoring a table from the history of another one, which may be in use meanwhile.
//!
//! The moment is closed in all ranges first, so that what the history says of it stays the same from then on, however often
//! it is read; transactions are in it whole or not at all. Then of each item the version goes into the table that counts at the moment.
//! Not here: which one that is (`derive/history.rs`), how items are written (`restore.rs`).

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction, Keyspace};
use stator_model::key::after_prefix;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::restore::Cells;
use super::{Archivist, JobError, PAGE_BYTES, PAGES_AHEAD};
use crate::catalog::{Table, history_keyspace};
use crate::derive::history::{AsOf, Version};

/// How many versions are looked at before others get their turn.
const ROWS: usize = 4096;

impl Archivist {
    /// Writes the items of a history at a moment, in milliseconds since the Unix epoch, behind those that are there.
    pub(super) async fn rewind(
        &self,
        table: &Table,
        (history, at_ms): (Uuid, i64),
        progress: &[u8],
    ) -> Result<(), JobError> {
        self.require_latest().await?;
        let at_ms = u64::try_from(at_ms).unwrap_or_default();
        let keyspace = self.cluster().keyspace(&history_keyspace(history));
        let keyspace = keyspace.ok_or(JobError::NoHistory)?;
        self.cluster().close_time(at_ms).await?;
        let done = self.progress(progress).await?;
        let (pages, mut received) = mpsc::channel(PAGES_AHEAD);
        let reader = HistoryReader {
            cluster: self.cluster().clone(),
            keyspace,
            as_of: AsOf::new(at_ms),
            start: first_behind(done.as_deref()),
        };
        let reading = tokio::spawn(reader.read(pages));
        let written = self.write_items(table, progress, done, &mut received).await;
        drop(received);
        let read = reading.await?;
        written?;
        read
    }
}

/// Where to begin when all versions of an item are done with.
fn first_behind(done: Option<&[u8]>) -> Bound<Vec<u8>> {
    match done {
        None => Bound::Unbounded,
        // There is always one, as what versions begin with ends with a zero.
        Some(versions) => after_prefix(versions.to_vec()).map_or(Bound::Unbounded, Bound::Included),
    }
}

struct HistoryReader {
    cluster: Cluster,
    keyspace: Keyspace,
    as_of: AsOf,
    start: Bound<Vec<u8>>,
}

impl HistoryReader {
    async fn read(mut self, pages: mpsc::Sender<Cells>) -> Result<(), JobError> {
        loop {
            let (page, is_end) = self.next_page().await?;
            // Nobody listens when it failed there.
            if !page.is_empty() && pages.send(page).await.is_err() {
                return Ok(());
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// The next items, and whether there are no more.
    async fn next_page(&mut self) -> Result<(Cells, bool), JobError> {
        let bounds = Bounds {
            start: self.start.clone(),
            end: Bound::Unbounded,
        };
        let (mut page, mut bytes, mut rows) = (Cells::new(), 0, 0);
        let (mut last, mut malformed) = (None, false);
        let bytes_max = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        let (level, as_of) = (ConsistencyLevel::Quorum, &mut self.as_of);
        self.cluster
            .range(self.keyspace, &bounds, Direction::Forward, level, |row| {
                let Some(version) = Version::read(row.key(), row.cell()) else {
                    malformed = true;
                    return ControlFlow::Break(());
                };
                if as_of.counts(&version)
                    && let Some(cell) = version.cell
                {
                    bytes += version.of.len() + cell.len();
                    page.push((Bytes::copy_from_slice(version.of), Bytes::copy_from_slice(cell)));
                }
                rows += 1;
                if rows < ROWS && bytes < bytes_max {
                    return ControlFlow::Continue(());
                }
                last = Some(row.key().to_vec());
                ControlFlow::Break(())
            })
            .await?;
        if malformed {
            return Err(JobError::Item("a row of the history is no version".to_owned()));
        }
        let is_end = last.is_none();
        self.start = last.map_or(Bound::Unbounded, Bound::Excluded);
        Ok((page, is_end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_goes_on_behind_all_versions_of_the_item_that_was_done_last() {
        assert_eq!(first_behind(None), Bound::Unbounded);
        let next = first_behind(Some(b"12345678pk\0\0sort\0\0"));
        assert_eq!(next, Bound::Included(b"12345678pk\0\0sort\0\x01".to_vec()));
    }
}
