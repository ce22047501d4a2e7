//! Scenarios: a cluster, its clients, what breaks it and what is checked, under a name.
//!
//! Invariant: a scenario is a pure function of its seed and schedule. Not here: running many seeds (`runner`).

pub mod capacity;
pub mod cluster;
pub mod register;
mod surroundings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::fault::Schedule;
use crate::kernel::{Ended, panic_message};
use crate::random::Seed;
use crate::trace;

/// What one run is made of.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its seed.
    pub seed: Seed,
    /// What is broken: what the scenario has planned for the seed, or less.
    pub schedule: Schedule,
    /// What is kept and printed of it. How messages are put into words is the scenario's own matter.
    pub trace: trace::Settings,
}

/// What has come of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended; a failure is in there.
    pub ended: Ended,
    /// Operations of clients.
    pub operations: usize,
    /// Those of them whose outcome nobody knows.
    pub operations_unknown: usize,
    /// Keys for which a checker gave up.
    pub undecided: usize,
}

/// Something to run under many seeds.
pub trait Scenario: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &str;

    /// What it is, in a line.
    fn summary(&self) -> &str;

    /// What a seed breaks.
    fn schedule(&self, seed: Seed) -> Schedule;

    /// Runs once.
    fn run(&self, run: &Run) -> Report;
}

/// Every scenario of the binary.
pub fn all() -> Vec<Arc<dyn Scenario>> {
    let register: Arc<dyn Scenario> = Arc::new(register::RegisterScenario::default());
    std::iter::once(register).chain(cluster::all()).collect()
}

/// Runs a seed with its whole schedule, or with these entries of it only. A panic is a failure.
pub fn run_seed(
    scenario: &dyn Scenario,
    seed: Seed,
    keep: Option<&[usize]>,
    trace: trace::Settings,
) -> Report {
    let planned = scenario.schedule(seed);
    let schedule = keep.map_or_else(|| planned.clone(), |places| planned.only(places));
    let run = Run {
        seed,
        schedule,
        trace,
    };
    catch_unwind(AssertUnwindSafe(|| scenario.run(&run))).unwrap_or_else(|panic| Report {
        ended: Ended {
            hash: 0,
            events: 0,
            simulated: Duration::ZERO,
            failure: Some(format!("the scenario panicked: {}", panic_message(&*panic))),
            trace: Vec::new(),
        },
        operations: 0,
        operations_unknown: 0,
        undecided: 0,
    })
}
