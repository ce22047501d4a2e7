//! The steps of requests that are traced, for whoever collects them.
//!
//! Where steps go is an argument ([`Tracer`]): this crate knows no format of traces and no way to their collectors. A step that
//! begins is a part of the one that the task is doing at that moment ([`inside`]), also when several go on in one task by turns.
//! Invariant: of a request that is not traced no step is made, no time is read, and nothing is allocated or locked. A step that is
//! dropped has ended, as one that was given up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{CURRENT, current, seen};
use crate::ring::RangeId;
use crate::world::NodeId;

/// The id of a trace, as W3C's Trace Context has it: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a step within its trace: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// Gets steps when they have ended. It is called on the threads that serve, so that it must not wait.
pub trait Tracer: Send + Sync + fmt::Debug {
    /// How long it is since some fixed moment. Never goes back.
    fn now(&self) -> Duration;

    /// An id that no other step of the trace has.
    fn new_span(&self) -> SpanId;

    /// Takes a step that has ended.
    fn ended(&self, span: Span);
}

/// The trace of a request.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// Who gets its steps.
    pub tracer: Arc<dyn Tracer>,
}

/// A step that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// The step that it is a part of.
    pub parent: SpanId,
    /// What was done.
    pub step: Step,
    /// When it began, by [`Tracer::now`].
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Whether it has failed or was given up.
    pub failed: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The coordinator lets an operation be done by a replica, wherever that is.
    Route {
        /// The token range; none for the metadata.
        range: Option<RangeId>,
        /// Whether only the leader will do.
        leader: bool,
        /// The node whose replica was asked last; none before the first try.
        node: Option<NodeId>,
        /// How many replicas were asked, one after the other.
        tries: usize,
    },
    /// Another node is asked.
    Ask {
        /// That node.
        node: NodeId,
        /// The kind of question.
        what: &'static str,
    },
    /// A question of another node is answered.
    Serve {
        /// That node.
        node: NodeId,
        /// The kind of question.
        what: &'static str,
    },
    /// The leader waits for the key's turn and decides a command.
    Decide,
    /// The leader's own log writes an entry, and syncs it if it is to.
    Log,
    /// The leader waits for a majority to have an entry.
    Commit,
    /// A committed entry waits for its turn and goes into the engine.
    Apply,
    /// A leader makes sure that it still leads before it reads.
    Barrier,
    /// The engine reads a cell.
    Read,
    /// The engine reads a run of cells, and whoever visits them looks at each.
    Scan,
}

/// A step that has begun.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    trace: Trace,
    parent: SpanId,
    id: SpanId,
    begun: Duration,
    failed: bool,
    pub(crate) step: Step,
}

/// Begins a step, if the request of this task is traced.
pub(crate) fn open(step: Step) -> Option<OpenSpan> {
    let (trace, parent) = trace()?;
    Some(OpenSpan {
        id: trace.tracer.new_span(),
        begun: trace.tracer.now(),
        failed: true,
        trace,
        parent,
        step,
    })
}

/// The trace of this task's request, and the step that it is doing.
fn trace() -> Option<(Trace, SpanId)> {
    let trace = seen(|request| request.trace.clone()).flatten()?;
    Some((trace, current()))
}

impl OpenSpan {
    /// Its trace and its id.
    pub(crate) fn place(&self) -> (TraceId, SpanId) {
        (self.trace.id, self.id)
    }

    /// Ends it.
    pub(crate) fn end(mut self, failed: bool) {
        self.failed = failed;
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let tracer = &self.trace.tracer;
        tracer.ended(Span {
            trace: self.trace.id,
            id: self.id,
            parent: self.parent,
            step: self.step,
            begun: self.begun,
            ended: tracer.now(),
            failed: self.failed,
        });
    }
}

/// Ends a step, if one has begun.
pub(crate) fn end<T, E>(span: Option<OpenSpan>, outcome: &Result<T, E>) {
    if let Some(span) = span {
        span.end(outcome.is_err());
    }
}

/// Ends a step that has come to its end, if one has begun.
pub(crate) fn done(span: Option<OpenSpan>) {
    if let Some(span) = span {
        span.end(false);
    }
}

/// Does something as a part of a step, if one has begun.
pub(crate) fn inside<F: Future>(span: Option<&OpenSpan>, doing: F) -> impl Future<Output = F::Output> {
    // No `async fn`, which would have room for `doing` twice.
    CURRENT.scope(span.map_or_else(current, |span| span.id), doing)
}

/// An entry whose way through log, majority and engine is watched. The moments are in nanoseconds by [`Tracer::now`], 0 for what
/// has not happened.
#[derive(Debug)]
pub(crate) struct Watch {
    trace: Trace,
    parent: SpanId,
    proposed: Duration,
    logged: AtomicU64,
    committed: AtomicU64,
    applied: AtomicU64,
}

/// Begins to watch an entry that is about to be proposed, if the request of this task is traced.
pub(crate) fn watch() -> Option<Arc<Watch>> {
    let (trace, parent) = trace()?;
    Some(Arc::new(Watch {
        proposed: trace.tracer.now(),
        trace,
        parent,
        logged: AtomicU64::new(0),
        committed: AtomicU64::new(0),
        applied: AtomicU64::new(0),
    }))
}

impl Watch {
    /// This node's log has it.
    pub(crate) fn is_logged(&self) {
        self.note(&self.logged);
    }

    /// A majority has it.
    pub(crate) fn is_committed(&self) {
        self.note(&self.committed);
    }

    /// The engine has it.
    pub(crate) fn is_applied(&self) {
        self.note(&self.applied);
    }

    fn note(&self, moment: &AtomicU64) {
        let now = u64::try_from(self.trace.tracer.now().as_nanos()).unwrap_or(u64::MAX);
        moment.store(now, Ordering::Release);
    }

    /// Tells the steps that the entry has taken so far.
    pub(crate) fn tell(&self) {
        let read = |moment: &AtomicU64| {
            let moment = moment.load(Ordering::Acquire);
            (moment > 0).then(|| Duration::from_nanos(moment))
        };
        let (proposed, committed) = (Some(self.proposed), read(&self.committed));
        for (step, begun, ended) in [
            (Step::Log, proposed, read(&self.logged)),
            (Step::Commit, proposed, committed),
            (Step::Apply, committed, read(&self.applied)),
        ] {
            let Some((begun, ended)) = begun.zip(ended) else {
                continue;
            };
            self.trace.tracer.ended(Span {
                trace: self.trace.id,
                id: self.trace.tracer.new_span(),
                parent: self.parent,
                step,
                begun,
                ended: ended.max(begun),
                failed: false,
            });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
