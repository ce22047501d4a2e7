//! The scenarios with nodes that are one node in truth: right ones survive every seed, and whatever is wrong with one is
//! noticed, by the invariant that is meant to.

mod ideal;

use std::sync::Arc;

use self::ideal::{Wrong, ideal};
use super::invariant::Invariant;
use super::{ClusterScenario, MinorityScenario, WipedScenario};
use crate::random::Seed;
use crate::runner::{Settings, Summary, run};
use crate::scenario::{Scenario, run_seed};
use crate::trace;

fn seeds(scenario: &dyn Scenario, seeds: u64) -> Summary {
    let settings = Settings {
        seeds,
        first_seed: 1,
        threads: 2,
        keep_faults: None,
        is_twice: false,
        is_shortened: false,
        failures_max: 1,
        trace: trace::Settings::default(),
    };
    run(scenario, &settings, |_| {})
}

fn random(wrong: Wrong) -> ClusterScenario {
    ClusterScenario::random(ideal(wrong)).of_models()
}

/// Expects that what is wrong is noticed by one of these invariants within so many seeds.
fn is_noticed(scenario: &dyn Scenario, by: &[Invariant], within_seeds: u64) {
    let summary = seeds(scenario, within_seeds);
    let reason = summary.failures.first().map(|failure| failure.reason.as_str());
    let is_expected = reason.is_some_and(|reason| by.iter().any(|by| reason.starts_with(by.name())));
    assert!(is_expected, "{reason:?}");
}

#[test]
fn right_nodes_survive_every_seed_of_every_scenario() {
    let scenarios: [(Arc<dyn Scenario>, u64); 3] = [
        (Arc::new(random(Wrong::Nothing)), 20),
        (
            Arc::new(ClusterScenario::blackout(ideal(Wrong::Nothing)).of_models()),
            5,
        ),
        (Arc::new(MinorityScenario::new(ideal(Wrong::Nothing))), 10),
    ];
    for (scenario, count) in scenarios {
        let summary = seeds(&*scenario, count);
        assert_eq!(summary.failures, [], "{}", scenario.name());
        assert_eq!(
            (summary.seeds, summary.undecided),
            (count, 0),
            "{}",
            scenario.name()
        );
        assert!(
            summary.operations > 20 * usize::try_from(count).unwrap(),
            "{summary:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = random(Wrong::Nothing);
    let run = |seed| run_seed(&scenario, Seed(seed), None, trace::Settings::default());
    let first = run(3);
    assert_eq!(first, run(3));
    assert_ne!(first.ended.hash, run(4).ended.hash);
    assert!(
        first.operations > 500 && first.operations_unknown > 0,
        "{first:?}"
    );
}

#[test]
fn additions_that_are_done_again_when_they_are_sent_again_are_noticed() {
    let by = [Invariant::Counted, Invariant::Linearizable];
    is_noticed(&random(Wrong::ForgetsInvocations), &by, 10);
}

#[test]
fn reads_at_quorum_of_what_one_node_has_applied_are_noticed() {
    is_noticed(&random(Wrong::ReadsItself), &[Invariant::Linearizable], 5);
}

#[test]
fn reads_at_one_of_what_is_not_committed_are_noticed() {
    is_noticed(&random(Wrong::ShowsProposals), &[Invariant::Linearizable], 10);
}

#[test]
fn conditions_that_fail_on_what_is_not_committed_are_noticed() {
    is_noticed(&random(Wrong::JudgesProposals), &[Invariant::Linearizable], 10);
}

#[test]
fn writes_that_are_refused_and_done_are_noticed() {
    is_noticed(&random(Wrong::DoesWhatItRefuses), &[Invariant::Committed], 5);
}

#[test]
fn acknowledged_writes_that_a_start_forgets_are_noticed() {
    let scenario = ClusterScenario::blackout(ideal(Wrong::ForgetsAtStart)).of_models();
    is_noticed(&scenario, &[Invariant::Counted, Invariant::Linearizable], 5);
}

#[test]
fn a_replica_that_leaves_out_an_entry_is_noticed() {
    is_noticed(&random(Wrong::LeavesOut), &[Invariant::Converged], 5);
}

#[test]
fn a_new_keyspace_that_a_node_does_not_know_is_noticed() {
    is_noticed(&random(Wrong::KnowsLate), &[Invariant::Keyspaces], 5);
}

#[test]
fn a_second_leader_is_noticed() {
    is_noticed(&random(Wrong::TwoLeaders), &[Invariant::OneLeader], 1);
}

#[test]
fn a_range_read_that_gives_a_row_twice_is_noticed() {
    is_noticed(&random(Wrong::VisitsTwice), &[Invariant::Ordered], 5);
}

#[test]
fn hints_in_the_wrong_order_are_noticed() {
    let scenario = MinorityScenario::new(ideal(Wrong::DrainsBackwards));
    is_noticed(&scenario, &[Invariant::Drained], 5);
}

#[test]
fn a_node_that_goes_on_without_a_majority_is_noticed() {
    let scenario = MinorityScenario::new(ideal(Wrong::NeedsNobody));
    is_noticed(&scenario, &[Invariant::Refused], 1);
}

#[test]
fn a_node_that_decides_without_its_disk_is_noticed() {
    // These nodes have no disks at all, and hear each other across every partition.
    is_noticed(
        &WipedScenario::new(ideal(Wrong::Nothing)),
        &[Invariant::NoVote],
        1,
    );
}

#[test]
fn a_node_that_does_not_answer_when_all_is_whole_is_noticed() {
    is_noticed(&random(Wrong::FallsSilent), &[Invariant::Available], 5);
}
