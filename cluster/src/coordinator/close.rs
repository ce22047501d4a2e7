//! Closing a time in all ranges: from then on what is versioned by time shows what was there at that time, whenever it is
//! read.
//!
//! Invariant: when [`Cluster::close_time`] has returned, every version of that time or of an earlier one is applied by the leader of
//! its range, and none comes later. So a transaction, whose versions have one time, is seen whole or not at all. Not here: one
//! range (`group/close.rs`).

use futures_util::future::try_join_all;

use super::Cluster;
use super::route::{Place, Route, unexpected};
use crate::error::Error;
use crate::node::group_of;
use crate::node::message::{Ask, Close, Tell};

/// How many ranges are asked at the same time.
const AT_ONCE: usize = 32;

impl Cluster {
    /// Closes a time, in milliseconds since the Unix epoch, in all token ranges: nothing that is logged from then on has this
    /// time or an earlier one, even if clocks go back. It should not be in the future: writes would have that time. Gives a
    /// time at which nothing is that was logged before the call and is later.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a range has no leader, or a transaction does not come to its end; it may be tried again.
    pub async fn close_time(&self, at_ms: u64) -> Result<u64, Error> {
        let mut latest_ms = at_ms;
        for ranges in self.ranges()?.chunks(AT_ONCE) {
            let all = ranges.iter().map(|range| self.close_of(group_of(*range), at_ms));
            let closed = try_join_all(all).await?;
            latest_ms = closed.into_iter().fold(latest_ms, u64::max);
        }
        Ok(latest_ms)
    }

    async fn close_of(&self, group: u32, at_ms: u64) -> Result<u64, Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let attempt = async {
                match place {
                    Place::Here(replica) => replica.close_time(at_ms).await,
                    Place::There(node) => {
                        let close = Close { group, at_ms };
                        match self.ask(node, Ask::Close(close), left).await? {
                            Tell::Index(last_ms) => Ok(last_ms),
                            _ => Err(unexpected(node)),
                        }
                    }
                }
            };
            let outcome = route.attempt(left, attempt).await;
            if let Some(last_ms) = route.settle(outcome)? {
                return Ok(last_ms);
            }
        }
    }
}
