//! What all clients share, and how one of them has an operation done by a node.
//!
//! Invariant: the history says no more than is known. What was refused is taken back; what has no answer stays open; what
//! was sent several times under one invocation id is one operation, and what is answered to one attempt holds for all. Not
//! here: what clients do all day.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use parking_lot::Mutex;
use stator_cluster::{ConsistencyLevel, Invocation, InvocationId, NodeId, World, WriteOptions};
use tokio::sync::oneshot;

use super::bank::Ledger;
use super::command::{Answered, Command};
use super::deriving::Deriving;
use super::invariant::Invariant;
use super::invariant::committed::Glimpse;
use super::node::{Answering, Node, Trouble};
use super::place::Place;
use crate::check::cell::{Input, Output, Stored};
use crate::history::{Client, History};
use crate::kernel::Control;
use crate::random::Stream;

/// How long a client waits for one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How often a client sends a write that it may send again.
const ATTEMPTS_MAX: usize = 4;

/// The nodes that run, to be called by tasks of their own.
pub(super) type Running = Arc<Mutex<BTreeMap<NodeId, Weak<dyn Node>>>>;

/// What all clients share.
#[derive(Clone)]
pub(super) struct Everyone {
    pub(super) control: Control,
    pub(super) world: Arc<dyn World>,
    pub(super) running: Running,
    pub(super) nodes: Arc<[NodeId]>,
    pub(super) history: History<Place, Input, Output>,
    pub(super) glimpses: Arc<Mutex<Vec<Glimpse>>>,
    /// Clients at work.
    pub(super) busy: Arc<Mutex<u64>>,
    /// What follows from writes, if anything does.
    pub(super) deriving: Option<Arc<Deriving>>,
    /// What clients of the bank have seen.
    pub(super) ledger: Ledger,
}

/// What a read has found: a cell, or none.
pub(super) type Found = Option<Stored>;

/// What has come of asking a node once.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    /// An answer.
    Answered(T),
    /// Nobody knows whether it was done, or will be.
    Unknown,
    /// It surely was not done and never will be.
    Refused,
    /// There is no such keyspace.
    Gone,
}

/// What has come of a write and of all attempts at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// The answer, if there was one.
    pub(super) answered: Option<Answered>,
    /// Some attempt has no answer, and may still be under way.
    pub(super) is_open: bool,
}

/// How a write is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) level: ConsistencyLevel,
    /// Under an invocation id, and again under the same one while nobody knows whether it was done.
    pub(super) is_repeated: bool,
}

impl Everyone {
    /// A client begins to work; it is waited for.
    pub(super) fn employ(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.busy.lock() += 1;
        let busy = Arc::clone(&self.busy);
        self.control.spawn(Box::pin(async move {
            work.await;
            *busy.lock() -= 1;
        }));
    }

    /// Whether some client is at work.
    pub(super) fn is_busy(&self) -> bool {
        *self.busy.lock() > 0
    }

    /// The run fails.
    pub(super) fn breaks(&self, invariant: Invariant, what: impl std::fmt::Display) {
        self.control.fail(invariant.broken(what));
    }

    /// Waits.
    pub(super) async fn pause(&self, milliseconds: u64) {
        self.world.sleep(Duration::from_millis(milliseconds)).await;
    }

    /// Waits until then.
    pub(super) async fn wait_for(&self, at: Duration) {
        self.world.sleep(at.saturating_sub(self.control.now())).await;
    }

    /// A node that runs, to be looked at.
    pub(super) fn node(&self, node: NodeId) -> Option<Arc<dyn Node>> {
        self.running.lock().get(&node).and_then(Weak::upgrade)
    }

    /// Any node.
    pub(super) fn any_node(&self, stream: &mut Stream) -> NodeId {
        stream.pick(&self.nodes).copied().unwrap_or(NodeId(0))
    }

    /// Has a node do something, and waits for the answer for a while. `what` is for the trace.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        node: NodeId,
        what: impl std::fmt::Display,
        call: impl FnOnce(Arc<dyn Node>) -> Answering<'static, T> + Send + 'static,
    ) -> Attempt<T> {
        let (answer, answered) = oneshot::channel();
        let running = Arc::clone(&self.running);
        let incarnation = self.control.incarnation(node);
        let is_taken = self.control.spawn_on(
            node,
            Box::pin(async move {
                let called = running.lock().get(&node).and_then(Weak::upgrade);
                let result = match called {
                    Some(called) => call(called).await,
                    None => Err(Trouble::Unavailable("it is not open".to_owned())),
                };
                // The client may have lost its patience.
                answer.send(result).ok();
            }),
        );
        if !is_taken {
            return Attempt::Refused;
        }
        self.control.note(format!("node {node} is asked: {what}"));
        let result = match select(answered, self.world.sleep(PATIENCE)).await {
            Either::Left((Ok(result), _)) => result,
            Either::Left((Err(_), _)) => Err(Trouble::Unknown("the node has ended".to_owned())),
            Either::Right(_) => Err(Trouble::Unknown("no answer in time".to_owned())),
        };
        match result {
            Ok(answer) => Attempt::Answered(answer),
            Err(trouble) => {
                self.control
                    .note(format!("node {node} gives no answer to {what}: {trouble}"));
                self.without_answer(node, incarnation, trouble)
            }
        }
    }

    /// Asks any nodes until one has answered.
    pub(super) async fn insist<T: Send + 'static>(
        &self,
        stream: &mut Stream,
        what: &str,
        call: impl Fn(Arc<dyn Node>) -> Answering<'static, T> + Clone + Send + 'static,
    ) -> T {
        loop {
            let node = self.any_node(stream);
            if let Attempt::Answered(answer) = self.ask(node, what, call.clone()).await {
                return answer;
            }
            let pause = stream.between(50, 300);
            self.pause(pause).await;
        }
    }

    fn without_answer<T>(&self, node: NodeId, incarnation: u64, trouble: Trouble) -> Attempt<T> {
        match trouble {
            Trouble::Unknown(_) => Attempt::Unknown,
            Trouble::Unavailable(_) => Attempt::Refused,
            Trouble::NoSuchKeyspace => Attempt::Gone,
            Trouble::Broken(cause) => {
                if self.control.is_up(node) && self.control.incarnation(node) == incarnation {
                    self.breaks(Invariant::Sound, format_args!("node {node} has failed: {cause}"));
                }
                Attempt::Unknown
            }
        }
    }

    /// Reads a cell at QUORUM or ALL; `None` without an answer, outside of it.
    pub(super) async fn read(
        &self,
        client: Client,
        node: NodeId,
        place: &Place,
        level: ConsistencyLevel,
    ) -> Option<Found> {
        let operation = self
            .history
            .begin(client, place.clone(), Input::Read, self.control.now());
        let found = self.look(client, node, place, level).await;
        match found {
            Some(found) => self.history.end(operation, Output::found(found)),
            None => self.history.withdraw(operation),
        }
        found
    }

    /// Reads a cell at ONE; `None` without an answer, outside of it.
    pub(super) async fn glimpse(&self, client: Client, node: NodeId, place: &Place) -> Option<Found> {
        let began = self.history.moment();
        let found = self.look(client, node, place, ConsistencyLevel::One).await?;
        self.glimpses.lock().push(Glimpse {
            client,
            place: place.clone(),
            began,
            ended: self.history.moment(),
            found,
        });
        Some(found)
    }

    async fn look(
        &self,
        client: Client,
        node: NodeId,
        place: &Place,
        level: ConsistencyLevel,
    ) -> Option<Found> {
        let what = format!("{client} reads {place} at {level:?}");
        let asked = place.clone();
        let attempt = self
            .ask(node, &what, move |node| {
                Box::pin(async move { node.read(&asked, level).await })
            })
            .await;
        match attempt {
            Attempt::Answered(found) => {
                self.control
                    .note(format!("node {node} has answered {what}: {found:?}"));
                Some(found)
            }
            Attempt::Unknown | Attempt::Refused => None,
            Attempt::Gone => {
                self.does_not_know(node, place);
                None
            }
        }
    }

    /// A node says that a keyspace is not there which was made and not dropped.
    fn does_not_know(&self, node: NodeId, place: &Place) {
        self.breaks(
            Invariant::Keyspaces,
            format_args!(
                "node {node} does not know keyspace {}, which is there",
                place.keyspace
            ),
        );
    }

    /// Does a write, again under the same invocation id on another node while nobody knows whether it was done, as an
    /// SDK does.
    pub(super) async fn write(
        &self,
        client: Client,
        stream: &mut Stream,
        place: &Place,
        input: Input,
        sending: Sending,
    ) -> Written {
        let call = InvocationId::hashed(&input.by().unwrap_or(0).to_le_bytes());
        let attempts = if sending.is_repeated { ATTEMPTS_MAX } else { 1 };
        // The first attempt of which nobody knows what has become.
        let mut open = None;
        let written = |answered, open: Option<_>| Written {
            answered,
            is_open: open.is_some(),
        };
        for attempt in 0..attempts {
            if attempt > 0 {
                self.pause(stream.between(20, 200)).await;
            }
            let node = self.any_node(stream);
            let operation = self
                .history
                .begin(client, place.clone(), input, self.control.now());
            let options = WriteOptions {
                level: sending.level,
                invocation: sending.is_repeated.then_some(Invocation {
                    id: call,
                    is_repeated: attempt > 0,
                }),
            };
            match self.attempt_write(client, node, place, input, options).await {
                Attempt::Answered(answered) => {
                    let Some(output) = answered.output() else {
                        self.breaks(
                            Invariant::Sound,
                            format_args!("{place} holds bytes that nobody wrote"),
                        );
                        return written(None, open);
                    };
                    match open {
                        // At ONE an answer does not say when it takes effect, or that it will.
                        _ if sending.level == ConsistencyLevel::One => {
                            if open.is_some() {
                                self.history.withdraw(operation);
                            }
                        }
                        // What is answered to one attempt holds for all, refused or not.
                        Some(first) => {
                            self.history.withdraw(operation);
                            self.history.end(first, output);
                        }
                        None => self.history.end(operation, output),
                    }
                    return written(Some(answered), open);
                }
                Attempt::Unknown if open.is_none() => open = Some(operation),
                Attempt::Unknown | Attempt::Refused => self.history.withdraw(operation),
                Attempt::Gone => {
                    self.history.withdraw(operation);
                    self.does_not_know(node, place);
                }
            }
        }
        written(None, open)
    }

    async fn attempt_write(
        &self,
        client: Client,
        node: NodeId,
        place: &Place,
        input: Input,
        options: WriteOptions,
    ) -> Attempt<Answered> {
        let what = format!("{client} writes {place} at {:?}: {input:?}", options.level);
        let asked = place.clone();
        let attempt = self
            .ask(node, &what, move |node| {
                Box::pin(async move { node.write(&asked, options, &Command(input)).await })
            })
            .await;
        if let Attempt::Answered(answered) = &attempt {
            self.control
                .note(format!("node {node} has answered {what}: {answered:?}"));
        }
        attempt
    }
}
