//! Reads that must see every write that was acknowledged before they began.
//!
//! Invariant: a read joins a round that has not begun when it comes, never one that is under way, and every round has a
//! context of its own (ReadIndex; Ongaro, "Consensus: Bridging Theory and Practice", 6.4). A round that is lost with the
//! leadership is refused, not asked again. Not here: reading cells.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use super::quiet::Reason;
use super::replica::{Refused, Replica, State, Todo};
use crate::follow::{self, Step};
use crate::raft::ReadContext;
use crate::seldom::Empty;
use crate::world::NodeId;

/// Gets the entry up to which a read sees everything, once it is applied.
pub(super) type Waiter = oneshot::Sender<Result<u64, Refused>>;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Those that come with the next round.
    next: Vec<Waiter>,
    /// The round that is under way.
    round: Option<(ReadContext, Vec<Waiter>)>,
    /// What waits until an entry is applied.
    waiting: BTreeMap<u64, Vec<Waiter>>,
}

impl Empty for Reads {
    const NOTHING: &'static Self = &Self {
        next: Vec::new(),
        round: None,
        waiting: BTreeMap::new(),
    };

    fn is_nothing(&self) -> bool {
        !self.are_under_way() && self.waiting.is_empty()
    }
}

impl Replica {
    /// Waits until this replica, as the leader, has applied all that was committed when this was called; gives the entry
    /// up to which that is.
    pub(crate) async fn read_index(self: &Arc<Self>) -> Result<u64, Refused> {
        let answered = {
            let mut state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            if state.core.is_alone() {
                return Ok(state.applied);
            }
            let (waiter, answered) = oneshot::channel();
            state.reads.next.push(waiter);
            let mut todo = Todo::default();
            self.wake(&mut state, Reason::Read, &mut todo);
            self.advance_with(state, todo);
            self.host.outbox.flush();
            answered
        };
        answered
            .await
            .unwrap_or_else(|_| Err(Refused::NotNow("the replica was closed".to_owned())))
    }

    /// The same for a read at QUORUM on this node: nothing to wait for when there is only one voter.
    pub(crate) async fn read_barrier(self: &Arc<Self>) -> Result<(), Refused> {
        if self.serves_alone() {
            return Ok(());
        }
        let span = follow::open(Step::Barrier);
        let seen = self.read_index().await;
        follow::end(span, &seen);
        seen.map(drop)
    }

    /// The same for whoever fills a member. A leader that has committed nothing in its term yet does not wait for that: it may
    /// be the member that its majority lacks. What it has applied was committed all the same.
    pub(crate) async fn filling_barrier(self: &Arc<Self>) -> Result<(), Refused> {
        let is_new = {
            let state = self.state.lock();
            state.leads() && !state.core.may_serve()
        };
        if is_new {
            return Ok(());
        }
        self.read_barrier().await
    }

    /// Waits until everything up to an entry is applied, on any replica.
    pub(crate) async fn wait_applied(self: &Arc<Self>, index: u64) -> Result<(), Refused> {
        let answered = {
            let mut state = self.state.lock();
            if state.applied >= index {
                return Ok(());
            }
            if self.is_retired() {
                return Err(Refused::NotNow("the replica has been given up".to_owned()));
            }
            let (waiter, answered) = oneshot::channel();
            state.reads.waiting.entry(index).or_default().push(waiter);
            answered
        };
        answered
            .await
            .unwrap_or_else(|_| Err(Refused::NotNow("the replica was closed".to_owned())))
            .map(drop)
    }

    /// Somebody takes this replica for the leader: its group may rest under a leader that is gone.
    pub(super) fn is_not_leader(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Refused {
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Asked, &mut todo);
        self.advance_with(state, todo);
        self.host.outbox.flush();
        Refused::NotLeader(self.other_leader())
    }

    /// The leader, if that is another node.
    pub(super) fn other_leader(&self) -> Option<NodeId> {
        self.leader().filter(|node| *node != self.host.node)
    }
}

impl Reads {
    /// Nothing is applied any more that somebody could wait for.
    pub(super) fn end_waiting(&mut self, todo: &mut Todo) {
        for waiter in std::mem::take(&mut self.waiting).into_values().flatten() {
            let cause = "the replica has been given up".to_owned();
            todo.answer(waiter, Err(Refused::NotNow(cause)));
        }
    }

    /// Whether anybody waits for a round.
    pub(super) fn are_under_way(&self) -> bool {
        !self.next.is_empty() || self.round.is_some()
    }
}

impl State {
    /// Begins a round if reads wait and none is under way.
    pub(super) fn begin_reads(&mut self, todo: &mut Todo) -> Option<ReadContext> {
        if self.reads.next.is_empty() || self.reads.round.is_some() {
            return None;
        }
        let waiters = std::mem::take(&mut self.reads.next);
        self.read_context += 1;
        let context = ReadContext(self.read_context);
        if self.core.read_index(context) {
            self.reads.round = Some((context, waiters));
            return Some(context);
        }
        for waiter in waiters {
            todo.answer(waiter, Err(Refused::NotLeader(None)));
        }
        None
    }

    /// A round has ended: its reads may see what is applied up to `index`, when it is.
    pub(super) fn read_may_see(&mut self, context: ReadContext, index: u64, todo: &mut Todo) {
        let Some((_, waiters)) = self.reads.round.take_if(|(round, _)| *round == context) else {
            return;
        };
        if index <= self.applied {
            for waiter in waiters {
                todo.answer(waiter, Ok(index));
            }
        } else {
            self.reads.waiting.entry(index).or_default().extend(waiters);
        }
    }

    /// Entries were applied.
    pub(super) fn answer_applied(&mut self, todo: &mut Todo) {
        // So it is as a rule, and they need not come to be for it.
        if self.reads.waiting.is_empty() {
            return;
        }
        while let Some(first) = self.reads.waiting.first_entry() {
            if *first.key() > self.applied {
                return;
            }
            let (index, waiters) = first.remove_entry();
            for waiter in waiters {
                todo.answer(waiter, Ok(index));
            }
        }
    }

    /// Leadership is over: rounds will not end. What is to be applied is applied all the same.
    pub(super) fn end_reads(&mut self, todo: &mut Todo) {
        let round = self.reads.round.take().map(|(_, waiters)| waiters);
        let next = std::mem::take(&mut self.reads.next);
        for waiter in round.into_iter().flatten().chain(next) {
            todo.answer(waiter, Err(Refused::NotLeader(None)));
        }
    }
}
