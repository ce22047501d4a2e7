//! The loop: takes one event after the other and does what it says.
//!
//! Invariant: a panic in a node's or a client's code ends the run as failed, with its trace, and never the thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Context;
use std::time::Duration;

use super::Settings;
use super::control::Control;
use super::state::{Owner, State, Work};
use crate::random::{Seed, nanoseconds};
use crate::trace::Record;

/// A simulated world with its own time. When it is dropped, everything in it ends.
#[derive(Debug)]
pub struct Simulation {
    control: Control,
}

/// How a run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The hash of all that happened.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much simulated time has passed.
    pub simulated: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The last of the trace in words.
    pub trace: Vec<String>,
}

impl Simulation {
    /// An empty world.
    pub fn new(seed: Seed, settings: Settings) -> Self {
        Self {
            control: Control::new(State::new(seed, settings)),
        }
    }

    /// The hand on this world.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Runs to a moment of simulated time. False when the run has failed.
    pub fn run_until(&mut self, at: Duration) -> bool {
        self.run_while(at, || true);
        let mut state = self.control.shared().lock();
        if state.failure.is_none() {
            state.now = state.now.max(nanoseconds(at));
        }
        state.failure.is_none()
    }

    /// Runs for a while of simulated time. False when the run has failed.
    pub fn run_for(&mut self, time: Duration) -> bool {
        self.run_until(self.control.now().saturating_add(time))
    }

    /// Runs while `condition` holds, up to a moment of simulated time. True when the condition holds no more.
    pub fn run_while(&mut self, at_most: Duration, mut condition: impl FnMut() -> bool) -> bool {
        let limit = nanoseconds(at_most);
        while condition() {
            if self.has_failed() || !self.step(limit) {
                return false;
            }
        }
        true
    }

    /// Ends the run.
    pub fn finish(self) -> Ended {
        let state = self.control.shared().lock();
        Ended {
            hash: state.trace.hash(),
            events: state.events,
            simulated: Duration::from_nanos(state.now),
            failure: state.failure.clone(),
            trace: state.trace.lines(),
        }
    }

    fn has_failed(&self) -> bool {
        let (failed, events, events_max) = {
            let state = self.control.shared().lock();
            (state.failure.is_some(), state.events, state.settings.events_max)
        };
        if !failed && events >= events_max {
            self.control
                .fail(format!("the run does not end: {events} events have happened"));
        }
        failed || events >= events_max
    }

    /// Does what the next event says; false when there is none up to `limit`.
    fn step(&self, limit: u64) -> bool {
        let (owner, work) = {
            let mut state = self.control.shared().lock();
            state.collect_woken();
            match state.next(limit) {
                Some(next) => next,
                None => return false,
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work(owner, work)));
        if let Err(panic) = outcome {
            let who = owner
                .node()
                .map_or_else(|| "the scenario".to_owned(), |node| format!("node {node}"));
            self.control
                .fail(format!("{who} panicked: {}", panic_message(&*panic)));
        }
        if let Owner::Node(id, _) = owner {
            self.control.settle_power(id);
        }
        true
    }

    fn work(&self, owner: Owner, work: Work) {
        let shared = self.control.shared();
        match work {
            Work::Nothing => {}
            Work::Poll(task, mut future, waker) => {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                let finished = shared.lock().polled(task, future, polled.is_ready());
                drop(finished);
                self.stir(owner);
            }
            Work::Wake(waker) => waker.wake(),
            Work::Receive(inbox, from, message) => {
                inbox.receive(from, message);
                self.stir(owner);
            }
            Work::Turn(node, hook) => {
                let worked = hook();
                shared.lock().record(Record::Turn { node, worked });
                if worked {
                    self.stir(owner);
                }
            }
            Work::Call(call) => call(&self.control),
        }
    }

    /// Something has happened on a node: its disk may have work.
    fn stir(&self, owner: Owner) {
        if let Owner::Node(id, _) = owner {
            let mut state = self.control.shared().lock();
            if state.is_alive(owner) {
                state.schedule_turn(id);
            }
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let remains = self.control.shared().lock().close();
        // After a panic in foreign code its own ends may panic as well; the run has failed already.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(remains)));
        drop(dropped);
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a word".to_owned())
}
