//! How the entries of transactions get their places in the log, and what is watched of their way.
//!
//! Invariant: an entry is proposed only in the leadership in which it was decided, and latches are let go when the overlay or the
//! locks say what comes. Not here: what is decided (`transact.rs`), what becomes of an entry (`apply.rs`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::accept::settled;
use super::derive::Known;
use super::effect::Effect;
use super::overlay::Image;
use super::prepared::{Commit, CommittedCell, Prepare};
use super::quiet::Reason as WakeReason;
use super::replica::{Pending, Refused, Replica, State, Todo};
use super::sums::Sums;
use super::write::Target;
use crate::command::Cell;
use crate::follow::{self, Watch};
use crate::latch::Latch;
use crate::level::ConsistencyLevel;

/// An entry that has its place in the log.
#[derive(Debug)]
pub(super) struct Proposed {
    index: u64,
    outcome: oneshot::Receiver<Result<(), Refused>>,
    /// Of a request that is traced.
    watch: Option<Arc<Watch>>,
}

impl Proposed {
    /// Waits until the entry stands as its level asks; gives its index.
    pub(super) async fn stands(self) -> Result<u64, Refused> {
        let outcome = settled(self.outcome).await;
        if let Some(watch) = self.watch {
            watch.tell();
        }
        outcome.map(|()| self.index)
    }
}

impl Replica {
    /// Locks what a transaction has been promised, in the term in which that was decided; gives the time of the entry, in
    /// milliseconds since the Unix epoch, if versions follow from it, and 0 otherwise.
    pub(super) async fn propose_prepare(
        self: &Arc<Self>,
        prepare: &Prepare,
        term: u64,
        (latches, makes_versions): (Vec<Latch>, bool),
    ) -> Result<(Proposed, u64), Refused> {
        let unix_ms = self.host.world.unix_ms();
        let watch = follow::watch();
        let keyspaces = || prepare.actions.iter().map(|action| action.keyspace);
        let mut state = self.when_unheld(keyspaces).await;
        if !state.leads() || state.core.term() != term {
            return Err(Refused::NotLeader(self.other_leader()));
        }
        let (locks, transaction) = (&state.locks, prepare.transaction);
        if locks.prepared(transaction).is_some() || locks.preparing(transaction).is_some() {
            // Another leader has prepared it since the look.
            return Err(Refused::NotNow("the transaction is prepared already".to_owned()));
        }
        let Some((index, _)) = state.core.propose(prepare.encode()) else {
            return Err(Refused::NotLeader(self.other_leader()));
        };
        state.locks.prepare(index, prepare);
        state.watch(index, watch.as_ref());
        drop(latches);
        // Of a leader that has closed a time, it is a later one.
        let at_ms = if makes_versions {
            state.last_at_ms = state.last_at_ms.max(unix_ms);
            state.last_at_ms
        } else {
            0
        };
        let outcome = self.pend(state, index);
        let proposed = Proposed {
            index,
            outcome,
            watch,
        };
        Ok((proposed, at_ms))
    }

    pub(super) fn committed(
        &self,
        target: Target<'_>,
        before: Option<&Cell>,
        cell: Option<Cell>,
    ) -> CommittedCell {
        CommittedCell {
            keyspace: target.keyspace,
            change: self.change(before, cell.as_ref()),
            key: Bytes::copy_from_slice(target.key),
            cell,
        }
    }

    /// Gives cells their place in the log when nobody holds them, if the leadership in which they were decided still lasts,
    /// and lets go of latches and locks. The time of the entry is the leader's, or that of `commit` if it is later.
    pub(super) async fn propose_commit(
        self: &Arc<Self>,
        mut commit: Commit,
        (term, known): (u64, Known),
        level: ConsistencyLevel,
        (latches, sums): (Vec<Latch>, Sums),
    ) -> Result<Proposed, Refused> {
        let (wake, outcome) = oneshot::channel();
        let watch = follow::watch();
        let unix_ms = self.host.world.unix_ms();
        commit.rows.extend(sums.rows());
        let mut encoded = commit.encode();
        let mut state = self
            .when_unheld(|| commit.cells.iter().map(|one| one.keyspace))
            .await;
        if !state.leads() || state.core.term() != term {
            return Err(Refused::NotLeader(self.other_leader()));
        }
        state.hold_to(known)?;
        // What comes behind it is not before the time that it was given.
        state.last_at_ms = state.last_at_ms.max(unix_ms).max(commit.at_ms);
        Effect::stamp(&mut encoded, state.last_at_ms);
        let Some((index, _)) = state.core.propose(encoded.freeze()) else {
            return Err(Refused::NotLeader(self.other_leader()));
        };
        state.locks.release(commit.transaction, index);
        state.remember_sums(index, &sums);
        state.watch(index, watch.as_ref());
        for CommittedCell {
            keyspace, key, cell, ..
        } in commit.cells
        {
            state.overlay.put(keyspace, key, Image { index, cell });
        }
        // Everybody is to have it, or a majority: nothing less makes a transaction.
        let level = match level {
            ConsistencyLevel::All => ConsistencyLevel::All,
            ConsistencyLevel::One | ConsistencyLevel::Quorum => ConsistencyLevel::Quorum,
        };
        state.pending.push_back(Pending { index, level, wake });
        drop((latches, sums));
        let mut todo = Todo::default();
        self.wake(&mut state, WakeReason::Proposal, &mut todo);
        self.advance_with(state, todo);
        self.host.outbox.flush();
        Ok(Proposed {
            index,
            outcome,
            watch,
        })
    }
}

impl State {
    /// Has the way of an entry be watched that was proposed last, if its request is traced.
    fn watch(&mut self, index: u64, watch: Option<&Arc<Watch>>) {
        if let Some(watch) = watch {
            self.watched.add(index, Arc::clone(watch));
        }
    }
}
