//! Reading a cut of the cluster page by page, as the jobs of the leader of the metadata do.
//!
//! Invariant: the cut is kept for as long as it is walked, however slowly its pages are taken, and nobody reads on who does not
//! lead any more. Not here: what becomes of the pages, whether somebody still wants them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use stator_cluster::ring::RangeId;
use stator_cluster::{Cluster, Cut, Error, Keyspace};

use crate::pace::{Pace, hold_back};

/// How often the nodes that keep a cut are told that it is still read.
const ALIVE: Duration = Duration::from_secs(60);
/// What is read at once.
const PAGE_BYTES: u32 = 1 << 20;

/// Why a cut is not read on.
#[derive(Debug)]
pub(crate) enum WalkError {
    Cluster(Error),
    /// Another node leads the metadata now.
    NotLeading,
}

impl From<Error> for WalkError {
    fn from(error: Error) -> Self {
        Self::Cluster(error)
    }
}

/// Some cells of a cut.
#[derive(Debug)]
pub(crate) struct CutPage {
    /// Keys and cells; none where a range has none.
    pub(crate) rows: Vec<(Bytes, Bytes)>,
    /// What these take.
    pub(crate) bytes: u64,
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct CutWalk<'a> {
    cluster: &'a Cluster,
    cut: &'a Cut,
    pace: Pace,
    /// What was read and is not held to the pace yet.
    unpaced: u64,
    /// When the cut was kept last, by the steady clock.
    kept_at: Duration,
    keyspace: Option<Keyspace>,
    /// Behind which key of the first of the ranges the next page begins.
    behind: Option<Bytes>,
    ranges: VecDeque<RangeId>,
}

impl<'a> CutWalk<'a> {
    /// A walk that reads so many bytes a second at most.
    pub(crate) fn new(cluster: &'a Cluster, cut: &'a Cut, bytes_per_second: u64) -> Self {
        let now = cluster.steady_now();
        Self {
            cluster,
            cut,
            pace: Pace::new(bytes_per_second, now),
            unpaced: 0,
            kept_at: now,
            keyspace: None,
            behind: None,
            ranges: VecDeque::new(),
        }
    }

    /// The cells of this keyspace come next, from the first range on.
    pub(crate) fn enter(&mut self, keyspace: Keyspace) {
        self.keyspace = Some(keyspace);
        self.behind = None;
        self.ranges = self.cut.ranges().collect();
    }

    /// The next page of the keyspace; `None` behind the last one.
    ///
    /// # Errors
    /// Those of [`Cluster::read_cut`] and [`Cluster::keep_cut`]; [`WalkError::NotLeading`].
    pub(crate) async fn next(&mut self) -> Result<Option<CutPage>, WalkError> {
        let (Some(keyspace), Some(range)) = (self.keyspace, self.ranges.front().copied()) else {
            return Ok(None);
        };
        let unpaced = std::mem::take(&mut self.unpaced);
        hold_back(self.pace.has_done(unpaced, self.cluster.steady_now())).await;
        self.keep_if_due().await?;
        if !self.cluster.leads_metadata() {
            return Err(WalkError::NotLeading);
        }
        let behind = self.behind.take();
        let page = self
            .cluster
            .read_cut(self.cut, keyspace, range, behind, PAGE_BYTES);
        let page = page.await?;
        self.behind = page.next;
        if self.behind.is_none() {
            self.ranges.pop_front();
        }
        let bytes: usize = page.rows.iter().map(|(key, cell)| key.len() + cell.len()).sum();
        self.unpaced = bytes as u64;
        Ok(Some(CutPage {
            rows: page.rows,
            bytes: bytes as u64,
        }))
    }

    async fn keep_if_due(&mut self) -> Result<(), WalkError> {
        let now = self.cluster.steady_now();
        if now.saturating_sub(self.kept_at) >= ALIVE {
            self.cluster.keep_cut(self.cut).await?;
            self.kept_at = now;
        }
        Ok(())
    }

    /// Waits for something that is done with a page, and keeps the cut for as long as that takes: whoever writes it may go through
    /// much of what was written earlier at once.
    ///
    /// # Errors
    /// Those of [`Cluster::keep_cut`].
    pub(crate) async fn keep_while<T>(&self, work: impl Future<Output = T>) -> Result<T, WalkError> {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(ALIVE, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => self.cluster.keep_cut(self.cut).await?,
            }
        }
    }
}
