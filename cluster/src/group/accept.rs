//! Rows of other ranges, on the leader of the range that they belong to; and what leaders must know.
//!
//! Invariant: the rows of one source come in the order of its log, and each is taken once: what the source sends again is
//! known by its index, whether it is applied or only proposed. Not here: sending (`forward.rs`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::derive::{Known, behind};
use super::effect::{Accept, Record};
use super::quiet::Reason;
use super::replica::{Pending, Refused, Replica, State, Todo};
use crate::command::MalformedCommand;
use crate::level::ConsistencyLevel;

/// What this leadership has proposed and not applied yet, of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepting {
    /// The last entry of the source.
    source_index: u64,
    /// The entry here.
    index: u64,
}

/// What is to be done with rows.
enum Step {
    /// They are applied.
    Done,
    /// Wait for an entry of the term.
    Wait(u64, u64),
    /// Wait for a proposal.
    Proposed(oneshot::Receiver<Result<(), Refused>>),
}

impl Replica {
    /// Takes rows as the leader, and answers when they are applied, or were before. `record` is what goes into the log.
    pub(crate) async fn accept(self: &Arc<Self>, record: Bytes) -> Result<(), Refused> {
        let Ok(Record::Accept(accept)) = Record::decode(record.clone()) else {
            let detail = "it is no rows of a range".to_owned();
            return Err(Refused::Finally(MalformedCommand { detail }.into()));
        };
        self.host.admit(record.len()).await;
        match self.begin_accept(accept, record)? {
            Step::Done => Ok(()),
            Step::Wait(term, index) => self.confirm(term, index).await,
            Step::Proposed(outcome) => settled(outcome).await,
        }
    }

    fn begin_accept(self: &Arc<Self>, mut accept: Accept, mut record: Bytes) -> Result<Step, Refused> {
        let mut state = self.state.lock();
        if !state.core.may_serve() {
            return Err(self.is_not_leader(state));
        }
        let (source, last) = (accept.source, accept.last().unwrap_or_default());
        let applied = state.accepted.get(&source).copied().unwrap_or_default();
        if last <= applied {
            return Ok(Step::Done);
        }
        let accepting = state.accepting.get(&source).copied();
        let taken = accepting.map_or(applied, |accepting| accepting.source_index.max(applied));
        if let Some(accepting) = accepting.filter(|_| last <= taken) {
            return Ok(Step::Wait(state.core.term(), accepting.index));
        }
        if accept.rows.first().is_some_and(|row| row.source_index <= taken) {
            accept.rows.retain(|row| row.source_index > taken);
            record = accept.encode();
        }
        let Some((index, _)) = state.core.propose(record) else {
            return Err(Refused::NotLeader(self.other_leader()));
        };
        let source_index = last;
        state.accepting.insert(source, Accepting { source_index, index });
        Ok(Step::Proposed(self.pend(state, index)))
    }

    /// Has a proposal go out; gives what waits for it to be applied.
    pub(super) fn pend(
        self: &Arc<Self>,
        mut state: parking_lot::MutexGuard<'_, State>,
        index: u64,
    ) -> oneshot::Receiver<Result<(), Refused>> {
        let (wake, outcome) = oneshot::channel();
        let level = ConsistencyLevel::Quorum;
        state.pending.push_back(Pending { index, level, wake });
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Proposal, &mut todo);
        self.advance_with(state, todo);
        self.host.outbox.flush();
        outcome
    }

    /// Sees to it that no leader of this group takes a write without knowing the metadata up to an entry of group 0, from
    /// the time on when this is answered.
    pub(crate) async fn require(self: &Arc<Self>, known: u64) -> Result<(), Refused> {
        let outcome = {
            let mut state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            if state.required >= known {
                return Ok(());
            }
            // The last one that is applied counts after a start, so that none of them asks for less than one before it.
            let known = known.max(state.requiring);
            let Some((index, _)) = state.core.propose(Record::require(known)) else {
                return Err(Refused::NotLeader(self.other_leader()));
            };
            // Whatever is proposed from now on comes behind it.
            state.requiring = known;
            self.pend(state, index)
        };
        settled(outcome).await
    }
}

/// What has come of a proposal.
pub(super) async fn settled(outcome: oneshot::Receiver<Result<(), Refused>>) -> Result<(), Refused> {
    let closed = |_| Err(Refused::Unknown("the node was closed meanwhile".to_owned()));
    outcome.await.unwrap_or_else(closed)
}

impl State {
    /// Refuses what takes less of the metadata into account than leaders of this group have to. If it follows from more than
    /// they have to know, those that come later have to know it, too: a leader that does not would leave behind what this one
    /// has derived. The caller proposes it next.
    pub(super) fn hold_to(&mut self, known: Known) -> Result<(), Refused> {
        let asked = self.required.max(self.requiring);
        if known.up_to < asked {
            return Err(behind());
        }
        if known.since > asked && self.core.propose(Record::require(known.since)).is_some() {
            self.requiring = known.since;
        }
        Ok(())
    }

    /// Rows of a source are applied.
    pub(super) fn take_accept(&mut self, index: u64, accept: &Accept) {
        let last = accept.last().unwrap_or_default();
        let mark = self.accepted.entry(accept.source).or_default();
        *mark = last.max(*mark);
        if self
            .accepting
            .get(&accept.source)
            .is_some_and(|accepting| accepting.index <= index)
        {
            self.accepting.remove(&accept.source);
        }
        // Those that are found out say nothing.
        for row in &accept.rows {
            self.count(row.keyspace, row.change);
        }
    }
}
