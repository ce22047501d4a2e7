//! Rows of other ranges, on the leader of the range that they belong to; and what leaders must know.
//!
//! Invariant: the rows of one source come in the order of its log, and each is taken once: what the source sends again is
//! known by its entry, whether it is applied or only proposed. Not here: sending (`forward.rs`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::apply::Done;
use super::derive::{Known, behind};
use super::effect::{Accept, Record};
use super::quiet::Reason;
use super::replica::{Pending, Refused, Replica, State, Todo};
use super::rows::Sent;
use crate::command::MalformedCommand;
use crate::level::ConsistencyLevel;

/// How far a source is taken: an entry of its log.
///
/// Its index alone does not name it. With durability `interval` a power cut may take the end of a source's log whose rows are
/// taken here; entries that come later get those indices, with a later term, because terms are synced always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Upto {
    pub(super) index: u64,
    /// `None` if the source did not name it.
    pub(super) term: Option<u64>,
}

impl Upto {
    /// Without a term.
    pub(super) fn index(index: u64) -> Self {
        Self { index, term: None }
    }

    /// Whether it has an entry of the source. Along a log terms never fall, so that a later term is behind, whatever its index
    /// is; but if another power cut takes all that the later term had, a replica that has kept what the first one took of others may
    /// bring back entries of an earlier term, which are taken for known then.
    pub(super) fn has(self, entry: Self) -> bool {
        match (self.term, entry.term) {
            (Some(mine), Some(other)) if mine != other => other < mine,
            _ => entry.index <= self.index,
        }
    }

    /// The later one of two.
    fn max(self, other: Self) -> Self {
        if self.has(other) { self } else { other }
    }
}

/// What this leadership has proposed and not applied yet, of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepting {
    /// The last entry of the source.
    source: Upto,
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
        let (source, last) = (accept.source, accept.upto());
        let applied = state.accepted.get(&source).copied().unwrap_or_default();
        if applied.has(last) {
            return Ok(Step::Done);
        }
        let accepting = state.accepting.get(&source).copied();
        let taken = accepting.map_or(applied, |accepting| applied.max(accepting.source));
        if let Some(accepting) = accepting.filter(|_| taken.has(last)) {
            return Ok(Step::Wait(state.core.term(), accepting.index));
        }
        let term = accept.term;
        let is_taken = |row: &Sent| {
            let index = row.source_index;
            taken.has(Upto { index, term })
        };
        if accept.rows.first().is_some_and(is_taken) {
            accept.rows.retain(|row| !is_taken(row));
            record = accept.encode();
        }
        let Some((index, _)) = state.core.propose(record) else {
            return Err(Refused::NotLeader(self.other_leader()));
        };
        let accepting = Accepting { source: last, index };
        state.accepting.insert(source, accepting);
        Ok(Step::Proposed(self.pend(state, index)))
    }

    /// Entries are applied. Once rows of others have named a term, this node does it, too.
    pub(super) fn look_at_terms(&self, run: &[Done]) {
        let mut records = run.iter().filter_map(|done| done.record.as_ref());
        if !self.host.names_terms() && records.any(Record::names_term) {
            self.host.name_terms();
        }
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
        let last = accept.upto();
        let mark = self.accepted.entry(accept.source).or_default();
        *mark = mark.max(last);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn upto(index: u64, term: u64) -> Upto {
        let term = Some(term);
        Upto { index, term }
    }

    #[test]
    fn an_entry_of_a_later_term_is_not_taken_for_one_that_was_lost_with_its_index() {
        let taken = upto(9, 3);
        assert!(taken.has(upto(9, 3)) && taken.has(upto(4, 2)));
        assert!(!taken.has(upto(10, 3)));
        assert!(!taken.has(upto(7, 4)), "entries 7 to 9 of term 3 were lost");
        let taken = taken.max(upto(7, 4));
        assert_eq!(taken, upto(7, 4));
        assert!(taken.has(upto(6, 3)) && !taken.has(upto(8, 4)));
        assert_eq!(taken.max(upto(6, 4)), taken);
    }

    #[test]
    fn without_a_term_only_the_index_counts() {
        for taken in [Upto::index(9), upto(9, 3)] {
            assert!(taken.has(Upto::index(9)) && !taken.has(Upto::index(10)));
        }
        assert!(Upto::index(9).has(upto(9, 3)) && !Upto::index(9).has(upto(10, 3)));
        assert_eq!(upto(9, 3).max(Upto::index(12)), Upto::index(12));
    }
}
