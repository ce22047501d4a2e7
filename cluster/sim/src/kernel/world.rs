//! `World` and `Network` as a simulated node, or a client outside of the cluster, has them.
//!
//! Invariant: what an incarnation spawns, sends or waits for ends with it; a handle that outlives it reads clocks and does
//! nothing else.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_cluster::{Network, NodeId, Priority, Task, World};

use super::state::{Owner, State};
use crate::random::Stream;
use crate::trace::Record;

/// The kernel's state, shared by everything that was given out.
pub(super) type Shared = Arc<Mutex<State>>;

pub(super) struct SimulatedWorld {
    shared: Shared,
    owner: Owner,
    random: Mutex<Stream>,
}

impl SimulatedWorld {
    pub(super) fn new(shared: Shared, owner: Owner, random: Stream) -> Self {
        Self {
            shared,
            owner,
            random: Mutex::new(random),
        }
    }
}

impl fmt::Debug for SimulatedWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedWorld")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl World for SimulatedWorld {
    fn now(&self) -> Duration {
        let state = self.shared.lock();
        let node = self.owner.node().and_then(|node| state.nodes.get(&node));
        Duration::from_nanos(node.map_or(state.now, |node| node.clock.steady(state.now)))
    }

    fn unix_ms(&self) -> u64 {
        let state = self.shared.lock();
        let node = self.owner.node().and_then(|node| state.nodes.get(&node));
        let outside = super::clock::Clock::new(0, 0);
        node.map_or(outside, |node| node.clock).unix_ms(state.now)
    }

    fn random_u64(&self) -> u64 {
        self.random.lock().next_u64()
    }

    fn sleep(&self, duration: Duration) -> Task {
        let timer = self.shared.lock().set_timer(self.owner, duration);
        Box::pin(Sleep {
            shared: Arc::clone(&self.shared),
            timer,
        })
    }

    fn spawn(&self, task: Task) {
        let refused = self.shared.lock().spawn(self.owner, task);
        // A task may do anything when it is dropped, so that the lock must be free.
        drop(refused);
    }
}

/// Waits for a timer, and takes it back when it is dropped.
struct Sleep {
    shared: Shared,
    timer: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        let Some(timer) = state.timers.get_mut(&self.timer) else {
            // Its owner is dead, and so is whoever waits for it.
            return Poll::Pending;
        };
        if timer.has_fired {
            return Poll::Ready(());
        }
        let former = timer.waker.replace(context.waker().clone());
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let timer = self.shared.lock().timers.remove(&self.timer);
        drop(timer);
    }
}

pub(super) struct SimulatedNetwork {
    shared: Shared,
    owner: Owner,
}

impl SimulatedNetwork {
    pub(super) fn new(shared: Shared, owner: Owner) -> Self {
        Self { shared, owner }
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNetwork")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl Network for SimulatedNetwork {
    fn send(&self, to: NodeId, _priority: Priority, message: Bytes) {
        self.shared.lock().send(self.owner, to, message);
    }

    fn introduce(&self, node: NodeId, address: &str) {
        let mut state = self.shared.lock();
        if !state.is_alive(self.owner) {
            return;
        }
        let Some(id) = self.owner.node() else {
            return;
        };
        if let Some(own) = state.nodes.get_mut(&id) {
            own.introduced.insert(node, address.to_owned());
        }
        state.record(Record::Note(format!(
            "node {id} is told that node {node} is at {address}"
        )));
    }
}
