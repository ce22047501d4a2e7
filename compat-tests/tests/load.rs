//! The load and its measures, tried on a single node: what the tests of whole clusters rely on.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use compat_tests::load::fault::{Fault, Faults};
use compat_tests::load::{GivenUp, Load, Report, Settings};
use compat_tests::{Balancer, Cluster, Durability, Random, Result, pause};

const SEED: u64 = 7;

fn load(cluster: &Cluster, balancer: &Balancer, table: &str) -> Load {
    let settings = Settings {
        clients: 8,
        ..Settings::usual(table, SEED)
    };
    Load::new(settings, cluster.access(), balancer.address()).unwrap()
}

fn show(report: Result<Report>) -> Report {
    let report = report.inspect_err(|error| eprintln!("{error}")).unwrap();
    eprintln!("{report}");
    report
        .failures
        .iter()
        .take(5)
        .for_each(|failure| eprintln!("  {failure}"));
    report
}

#[test]
fn a_load_without_faults_is_linearizable_and_has_no_errors() {
    let cluster = Cluster::of_one_dev_node(Durability::Interval).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let report = load(&cluster, &balancer, "calm").run(|| {
        pause(Duration::from_secs(2));
        Ok(())
    });
    let report = show(report);
    assert_eq!(report.failures, []);
    assert!(report.writes > 100 && report.refused_conditions > 0 && report.reads > 0);
    assert_eq!(report.judged.undecided, 0);
    assert!(report.counters >= 8);
}

#[test]
fn a_frozen_node_answers_late_and_its_silence_is_measured() {
    let mut cluster = Cluster::of_one_dev_node(Durability::Interval).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let load = load(&cluster, &balancer, "frozen");
    let report = load.run(|| {
        let faults = Faults::new(SEED, &[Fault::Freeze]);
        assert_eq!(faults.run(&mut cluster, Duration::from_secs(3))?.len(), 1);
        Ok(())
    });
    let report = show(report);
    assert_eq!(report.failures, []);
    assert!(report.gap.length >= Duration::from_millis(4900), "{}", report.gap);
    assert!(report.gap_of_an_item >= report.gap && report.slowest >= report.gap.length);
}

#[test]
fn a_node_alone_that_is_killed_loses_nothing_and_does_nothing_twice() {
    let mut cluster = Cluster::of_one_dev_node(Durability::Interval).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let load = load(&cluster, &balancer, "killed");
    let report = load.run(|| {
        let faults = Faults::new(SEED, &[Fault::Kill]);
        assert!(!faults.run(&mut cluster, Duration::from_secs(4))?.is_empty());
        Ok(())
    });
    // Nobody answers while it is away, so that clients may give up.
    let report = show(report);
    assert!(report.retries > 0 && report.writes > 100);
    assert_eq!(report.judged.undecided, 0);
}

#[test]
fn an_answer_that_is_lost_does_not_make_the_next_attempt_do_it_again() {
    const LOST_PERCENT: u64 = 5;
    let cluster = Cluster::of_one_dev_node(Durability::Interval).unwrap();
    let random = Random::new(SEED, 0);
    let balancer =
        Balancer::losing_answers(cluster.addresses(), cluster.health_check(), random, LOST_PERCENT).unwrap();
    let report = load(&cluster, &balancer, "lossy").run(|| {
        pause(Duration::from_secs(3));
        Ok(())
    });
    let report = show(report);
    // All four attempts of a call lose their answers once in 160,000 calls, and a load here is several thousand.
    let is_unlucky = |failure: &GivenUp| {
        failure
            .what
            .ends_with("given up after 4 attempts: no status line")
    };
    let (unlucky, others): (Vec<_>, Vec<_>) = report.failures.iter().partition(|failure| is_unlucky(failure));
    assert!(others.is_empty(), "{others:?}");
    assert!(unlucky.len() <= 2, "{unlucky:?}");
    assert!(report.retries > 10 && report.writes > 100);
    assert_eq!(report.judged.undecided, 0);
}
