//! Closing a time, on the leader: from then on nothing is logged in the group that has this time or an earlier one.
//!
//! What is versioned by time ([`crate::Action::Version`]) can then be read as it was at that time, again and again, while
//! writes go on. Invariant: when [`Replica::close_time`] has returned, all versions of the group up to the time are applied,
//! those of transactions that were prepared here included, and no later leader makes another one, because it knows from the
//! log what was closed. Not here: all groups (`coordinator/close.rs`), which time a transaction gets
//! (`coordinator/transact.rs`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::accept::settled;
use super::effect::mark;
use super::replica::{Refused, Replica};
use crate::transaction::TransactionId;

/// Version of the records of this file.
pub(super) const VERSION_OF_TIMES: u8 = 6;
/// Kind of the record that closes a time.
pub(super) const CLOSE: u8 = 14;

/// How often prepared transactions are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The record as bytes: nothing behind it has an earlier time.
fn close(at_ms: u64) -> Bytes {
    mark(VERSION_OF_TIMES, CLOSE, at_ms)
}

impl Replica {
    /// Closes a time, in milliseconds since the Unix epoch, as the leader. Gives the time of the last entry before: nothing
    /// that was logged before the call is later.
    pub(crate) async fn close_time(self: &Arc<Self>, at_ms: u64) -> Result<u64, Refused> {
        let (last_at_ms, prepared, outcome) = {
            let mut state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            let prepared: Vec<_> = state.locks.all().collect();
            let wanted = at_ms.saturating_add(1);
            let last_at_ms = state.last_at_ms;
            if state.closed_at_ms >= wanted {
                (last_at_ms, prepared, None)
            } else {
                state.last_at_ms = last_at_ms.max(wanted);
                let record = close(state.last_at_ms);
                let Some((index, _)) = state.core.propose(record) else {
                    return Err(Refused::NotLeader(self.other_leader()));
                };
                (last_at_ms, prepared, Some(self.pend(state, index)))
            }
        };
        if let Some(outcome) = outcome {
            settled(outcome).await?;
        } else {
            // Another leader may have closed it later, with more before it.
            self.read_barrier().await?;
        }
        self.wait_for_end(prepared).await?;
        Ok(last_at_ms)
    }

    /// Waits until transactions that are prepared here have come to an end.
    async fn wait_for_end(&self, mut prepared: Vec<TransactionId>) -> Result<(), Refused> {
        let world = &self.host.world;
        let until = world.now() + self.host.settings.timing.patience() / 4;
        loop {
            {
                let state = self.state.lock();
                prepared.retain(|id| state.locks.is_there(*id));
            }
            if prepared.is_empty() {
                return Ok(());
            }
            if world.now() >= until {
                let cause = "a transaction has not come to its end yet";
                return Err(Refused::NotNow(cause.to_owned()));
            }
            world.sleep(LOOK).await;
        }
    }
}
