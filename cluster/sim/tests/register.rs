//! The whole: a right register survives every seed, each broken rule is found within a few, and what was found is made
//! short and runs again.

use std::time::Duration;

use stator_sim::fault::Fault;
use stator_sim::random::Seed;
use stator_sim::runner::{self, Settings, Summary};
use stator_sim::scenario::register::{Answers, Keeps, Reads, RegisterScenario, Rules};
use stator_sim::scenario::{Scenario, run_seed};
use stator_sim::trace;

fn scenario(rules: Rules) -> RegisterScenario {
    RegisterScenario {
        rules,
        ..RegisterScenario::default()
    }
}

fn run(rules: Rules, seeds: u64) -> Summary {
    let settings = Settings {
        seeds,
        first_seed: 1,
        threads: 2,
        keep_faults: None,
        is_twice: false,
        is_shortened: true,
        failures_max: 1,
        trace: trace::Settings::default(),
    };
    runner::run(&scenario(rules), &settings, |_| {})
}

/// Expects a failure within so many seeds, and one that its own command reproduces.
fn is_caught(rules: Rules, within_seeds: u64) -> RegisterFailure {
    let summary = run(rules, within_seeds);
    let [failure] = summary.failures.as_slice() else {
        unreachable!("{rules:?} was not caught within {within_seeds} seeds");
    };
    assert!(failure.reason.contains("not linearizable"), "{}", failure.reason);
    let words = failure.reproduce.split_whitespace();
    let kept = words.skip_while(|word| *word != "--keep-faults").nth(1);
    let kept = kept.unwrap_or_default().split(',');
    let kept: Vec<usize> = kept.filter_map(|place| place.parse().ok()).collect();
    assert_eq!(kept.len(), failure.faults.len());

    let seed = Seed(failure.seed);
    let trace = trace::Settings::default();
    let again = run_seed(&scenario(rules), seed, Some(&kept), trace);
    assert_eq!(again.ended.failure.as_ref(), Some(&failure.reason));
    assert!(!again.ended.trace.is_empty());
    let planned = scenario(rules).schedule(seed);
    RegisterFailure {
        faults: planned
            .only(&kept)
            .entries
            .into_iter()
            .map(|entry| entry.fault)
            .collect(),
        planned: planned.entries.len(),
    }
}

struct RegisterFailure {
    faults: Vec<Fault>,
    planned: usize,
}

#[test]
fn a_right_register_survives_every_seed() {
    let summary = run(Rules::default(), 30);
    assert_eq!(summary.failures, []);
    assert_eq!((summary.seeds, summary.undecided), (30, 0));
    assert!(
        summary.operations > 20_000 && summary.operations_unknown > 50,
        "{summary:?}"
    );
    assert!(summary.faults > 100, "{summary:?}");
}

#[test]
fn reads_without_a_majority_are_caught_within_5_seeds() {
    let rules = Rules {
        reads: Reads::Alone,
        ..Rules::default()
    };
    is_caught(rules, 5);
}

#[test]
fn writes_that_a_crash_loses_are_caught_within_20_seeds() {
    let rules = Rules {
        keeps: Keeps::InMemory,
        ..Rules::default()
    };
    let failure = is_caught(rules, 20);
    let is_crash = |fault: &Fault| matches!(fault, Fault::Kill(_) | Fault::PowerCut { .. });
    assert!(failure.faults.iter().any(is_crash), "{:?}", failure.faults);
    assert!(failure.faults.len() < failure.planned, "{:?}", failure.faults);
}

#[test]
fn answers_before_the_sync_are_caught_within_100_seeds() {
    let rules = Rules {
        answers: Answers::BeforeSync,
        ..Rules::default()
    };
    let failure = is_caught(rules, 100);
    let is_power_cut = |fault: &Fault| matches!(fault, Fault::PowerCut { .. });
    assert!(failure.faults.iter().any(is_power_cut), "{:?}", failure.faults);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let right = scenario(Rules::default());
    let run = |seed| run_seed(&right, Seed(seed), None, trace::Settings::default());
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first.ended.hash, run(2).ended.hash);
    assert!(first.ended.simulated >= Duration::from_secs(15));
}

#[test]
fn what_the_seeds_give_does_not_depend_on_the_number_of_threads() {
    let summary = |threads| {
        let settings = Settings {
            seeds: 4,
            first_seed: 100,
            threads,
            keep_faults: None,
            is_twice: true,
            is_shortened: true,
            failures_max: 1,
            trace: trace::Settings::default(),
        };
        runner::run(&scenario(Rules::default()), &settings, |_| {})
    };
    assert_eq!(summary(1), summary(3));
}
