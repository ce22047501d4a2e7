//! Runs a scenario under many seeds, on several threads, each run on one of them.
//!
//! Invariant: which failures are reported depends on the seeds alone, not on threads or the machine's time, which is used
//! for telling how far it is. Only how many further seeds were run when there are enough failures may differ.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::kept;
use crate::random::Seed;
use crate::scenario::{Report, Scenario, run_seed};
use crate::shrink::shrink;
use crate::trace;

/// How often somebody is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How often a failing seed is run again to find a shorter schedule.
const SHRINK_ATTEMPTS_MAX: usize = 200;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many seeds.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// How many at once.
    pub threads: usize,
    /// Runs with these entries of each seed's schedule only.
    pub keep_faults: Option<Vec<usize>>,
    /// Runs each seed twice and compares the traces.
    pub is_twice: bool,
    /// Looks for a shorter schedule of each seed that fails.
    pub is_shortened: bool,
    /// Ends after so many failing seeds, of which the first are reported.
    pub failures_max: usize,
    /// What is kept and printed of each run.
    pub trace: trace::Settings,
}

/// A seed that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// Why.
    pub reason: String,
    /// The faults that it takes, in words: a part of the seed's schedule.
    pub faults: Vec<String>,
    /// The end of the trace of the failing run with these faults.
    pub trace: Vec<String>,
    /// The command that runs it again.
    pub reproduce: String,
    /// The line that keeps it for the tests, and the file that it goes into.
    pub keep: String,
}

/// What has come of all seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Operations of clients in all of them.
    pub operations: usize,
    /// Those whose outcome nobody knows.
    pub operations_unknown: usize,
    /// Keys for which a checker gave up.
    pub undecided: usize,
    /// Faults in all of them.
    pub faults: usize,
    /// Events in all of them.
    pub events: u64,
    /// Simulated time in all of them.
    pub simulated: Duration,
    /// Those that failed, by seed.
    pub failures: Vec<Failure>,
}

struct Outcome {
    report: Report,
    faults: usize,
    failure: Option<Failure>,
}

/// Runs all seeds. `progress` is called about once a second.
pub fn run(scenario: &dyn Scenario, settings: &Settings, mut progress: impl FnMut(&Summary)) -> Summary {
    let next = AtomicU64::new(0);
    let is_enough = AtomicBool::new(false);
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..settings.threads.max(1) {
            let (sender, next, is_enough) = (sender.clone(), &next, &is_enough);
            scope.spawn(move || {
                while !is_enough.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= settings.seeds {
                        break;
                    }
                    let seed = settings.first_seed.wrapping_add(number);
                    if sender.send(outcome(scenario, settings, seed)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut summary = Summary::default();
        let mut last_told = crate::clock::now();
        loop {
            match outcomes.recv_timeout(PROGRESS_EVERY) {
                Ok(outcome) => summary.add(outcome),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if summary.failures.len() >= settings.failures_max {
                is_enough.store(true, Ordering::Relaxed);
            }
            if last_told.elapsed() >= PROGRESS_EVERY {
                progress(&summary);
                last_told = crate::clock::now();
            }
        }
        // Seeds are begun in order and brought to their end, so that the lowest that fail are all among these.
        summary.failures.sort_by_key(|failure| failure.seed);
        summary.failures.truncate(settings.failures_max);
        summary
    })
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.operations += outcome.report.operations;
        self.operations_unknown += outcome.report.operations_unknown;
        self.undecided += outcome.report.undecided;
        self.events += outcome.report.ended.events;
        self.simulated += outcome.report.ended.simulated;
        self.faults += outcome.faults;
        self.failures.extend(outcome.failure);
    }
}

fn outcome(scenario: &dyn Scenario, settings: &Settings, number: u64) -> Outcome {
    let seed = Seed(number);
    let planned = scenario.schedule(seed).entries.len();
    let keep = settings.keep_faults.as_deref();
    let report = run_seed(scenario, seed, keep, settings.trace);
    let mut reason = report.ended.failure.clone();
    if reason.is_none() && settings.is_twice {
        let again = run_seed(scenario, seed, keep, settings.trace);
        if (again.ended.hash, &again.ended.failure) != (report.ended.hash, &report.ended.failure) {
            reason = Some(format!(
                "the same seed has given two traces: {:016x} and {:016x}",
                report.ended.hash, again.ended.hash
            ));
        }
    }
    let failure = reason.map(|reason| match keep {
        Some(keep) => failure(scenario, number, reason, &report, keep),
        None if settings.is_shortened => shortened(scenario, number, planned, reason, &report),
        None => {
            let all: Vec<usize> = (0..planned).collect();
            failure(scenario, number, reason, &report, &all)
        }
    });
    let faults = keep.map_or(planned, <[usize]>::len);
    Outcome {
        report,
        faults,
        failure,
    }
}

/// Runs a failing seed again and again with fewer faults.
fn shortened(scenario: &dyn Scenario, seed: u64, planned: usize, reason: String, report: &Report) -> Failure {
    let silent = trace::Settings::default();
    let mut shortest = None;
    let kept = shrink(planned, SHRINK_ATTEMPTS_MAX, |places| {
        let report = run_seed(scenario, Seed(seed), Some(places), silent);
        let fails = report.ended.failure.is_some();
        if fails {
            shortest = Some(report);
        }
        fails
    });
    let report = shortest.as_ref().unwrap_or(report);
    let reason = report.ended.failure.clone().unwrap_or(reason);
    failure(scenario, seed, reason, report, &kept)
}

fn failure(scenario: &dyn Scenario, seed: u64, reason: String, report: &Report, kept: &[usize]) -> Failure {
    let schedule = scenario.schedule(Seed(seed)).only(kept);
    Failure {
        seed,
        faults: schedule.entries.iter().map(ToString::to_string).collect(),
        trace: report.ended.trace.clone(),
        reproduce: reproduce(scenario.name(), seed, kept),
        keep: format!(
            "cluster/sim/seeds/{}.txt: {}",
            scenario.name(),
            kept::line(seed, kept, &reason)
        ),
        reason,
    }
}

fn reproduce(scenario: &str, seed: u64, kept: &[usize]) -> String {
    let kept = kept::places_in_words(kept);
    format!(
        "cargo xtask sim --scenario {scenario} --first-seed {seed} --seeds 1 --keep-faults {kept} --trace"
    )
}

impl Failure {
    /// All of it, to be read.
    pub fn describe(&self) -> String {
        let mut text = format!("seed {} fails: {}\n", self.seed, self.reason);
        let mut say = |line: &str| {
            // Writing into a string does not fail.
            writeln!(text, "{line}").ok();
        };
        if !self.trace.is_empty() {
            say("  the end of its trace:");
            self.trace.iter().for_each(|line| say(&format!("    {line}")));
        }
        say(&format!(
            "  seed {} fails with {} faults:",
            self.seed,
            self.faults.len()
        ));
        self.faults.iter().for_each(|line| say(&format!("    {line}")));
        say(&format!("  {}", self.reproduce));
        say(&format!("  to keep it: {}", self.keep));
        text
    }
}
