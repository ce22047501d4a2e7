//! Reads a history as it was at a moment, or between two, while its table is in use.
//!
//! The moment is closed in all ranges first, so that what the history says of it stays the same from then on, however often
//! it is read; transactions are in it whole or not at all. Not here: which versions count (`derive/history.rs`), who needs
//! them (`archivist/rewind.rs`, `transfer/porter/past.rs`), and that they are not removed meanwhile (`pruner.rs`).

use std::ops::{Bound, ControlFlow};

use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction, Keyspace};
use uuid::Uuid;

use crate::catalog::history_keyspace;
use crate::derive::history::{Choice, Version};

/// How many versions are looked at before others get their turn.
const ROWS: usize = 4096;
/// A page has about so many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// The cluster; worth another try.
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
    /// Recovery was turned off, or the table deleted.
    #[error("the history is gone")]
    Gone,
    /// There is a row that this program does not know.
    #[error("a row of the history is no version")]
    Malformed,
}

/// Every range asks its leaders to know all that this node knows of the metadata.
///
/// # Errors
/// When a range has no leader.
pub(crate) async fn require_latest(cluster: &Cluster) -> Result<(), stator_cluster::Error> {
    cluster.catch_up_metadata().await?;
    let known = cluster.metadata_index();
    cluster.require(known).await
}

/// What is chosen of some versions.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) chosen: Vec<T>,
    /// About how many bytes were taken.
    pub(crate) bytes: usize,
    /// Whether there are no more.
    pub(crate) is_end: bool,
}

/// Reads what a choice takes of a history, in the order of the items.
#[derive(Debug)]
pub(crate) struct HistoryReader<C> {
    cluster: Cluster,
    keyspace: Keyspace,
    choice: C,
    start: Bound<Vec<u8>>,
}

impl<C: Choice> HistoryReader<C> {
    /// Of a history, from a key on. No version is chosen that is later than the moment, in milliseconds since the Unix epoch,
    /// which is closed by this.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub(crate) async fn open(
        cluster: &Cluster,
        (history, at_ms): (Uuid, u64),
        choice: C,
        start: Bound<Vec<u8>>,
    ) -> Result<Self, HistoryError> {
        require_latest(cluster).await?;
        let keyspace = cluster.keyspace(&history_keyspace(history));
        let keyspace = keyspace.ok_or(HistoryError::Gone)?;
        cluster.close_time(at_ms).await?;
        Ok(Self {
            cluster: cluster.clone(),
            keyspace,
            choice,
            start,
        })
    }

    /// The next ones. There may be none in a page that is not the last one.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub(crate) async fn next_page(&mut self) -> Result<Page<C::Chosen>, HistoryError> {
        let bounds = Bounds {
            start: self.start.clone(),
            end: Bound::Unbounded,
        };
        let (mut chosen, mut bytes, mut rows) = (Vec::new(), 0, 0);
        let (mut last, mut malformed) = (None, false);
        let (level, choice) = (ConsistencyLevel::Quorum, &mut self.choice);
        self.cluster
            .range(self.keyspace, &bounds, Direction::Forward, level, |row| {
                let Some(version) = Version::read(row.key(), row.cell()) else {
                    malformed = true;
                    return ControlFlow::Break(());
                };
                bytes += choice.look(&version, &mut chosen);
                rows += 1;
                if rows < ROWS && bytes < PAGE_BYTES {
                    return ControlFlow::Continue(());
                }
                last = Some(row.key().to_vec());
                ControlFlow::Break(())
            })
            .await?;
        if malformed {
            return Err(HistoryError::Malformed);
        }
        let is_end = last.is_none();
        match last {
            Some(last) => self.start = Bound::Excluded(last),
            None => self.choice.end(&mut chosen),
        }
        Ok(Page {
            chosen,
            bytes,
            is_end,
        })
    }
}
