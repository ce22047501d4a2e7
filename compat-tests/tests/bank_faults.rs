//! Money moves between items of three nodes while nodes are killed and links are cut.
//!
//! `cargo xtask faults --minutes N bank` runs it for longer: `STATOR_FAULT_MINUTES`, `STATOR_FAULT_SEED`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use compat_tests::load::bank::Bank;
use compat_tests::load::fault::{Fault, Faults};
use compat_tests::{Balancer, Cluster, Durability, Result, pause};
use serde_json::Value;

/// How long faults go on in a short run.
const SHORT: Duration = Duration::from_secs(8);
const CLIENTS: u64 = 8;
/// For how long an item may be locked.
const LOCKED_MAX: Duration = Duration::from_secs(5);
/// How often locks are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The longest that any node that leads has seen an item locked.
fn locked(status: &Value) -> Duration {
    let node = &status["node"];
    let groups = status["groups"].as_array().into_iter().flatten();
    let led = groups.filter(|group| group["leader"] == *node);
    let longest = led.filter_map(|group| group["locked_ms"].as_u64()).max();
    Duration::from_millis(longest.unwrap_or_default())
}

#[test]
fn no_money_is_made_or_lost_while_nodes_are_killed_and_links_are_cut() {
    let seed = number("STATOR_FAULT_SEED").unwrap_or(9);
    let length = number("STATOR_FAULT_MINUTES").map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    let (mut cluster, links) = Cluster::with_links(3, Durability::Sync).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let bank = Bank::open(cluster.access(), balancer.address(), "bank", seed, CLIENTS).unwrap();
    let probes: Vec<_> = cluster
        .members
        .iter()
        .map(compat_tests::Member::status_probe)
        .collect::<Result<_>>()
        .unwrap();
    let is_over = AtomicBool::new(false);
    let (longest, report) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                // A node that is away says nothing.
                let statuses = probes.iter().filter_map(|probe| probe.ask().ok());
                longest = statuses
                    .map(|status| locked(&status))
                    .fold(longest, Duration::max);
                pause(LOOK_EVERY);
            }
            longest
        });
        let report = bank.run(|| {
            let faults = Faults::new(seed, &[Fault::Kill, Fault::Cut]).with_links(&links);
            let faults = faults.run(&mut cluster, length)?;
            assert!(!faults.is_empty(), "nothing was broken");
            Ok(())
        });
        is_over.store(true, Ordering::Relaxed);
        (watch.join().unwrap(), report)
    });
    let report = report.inspect_err(|error| eprintln!("bank: {error}")).unwrap();
    eprintln!("bank: {report:?}, no lock longer than {} ms", longest.as_millis());
    assert!(longest < LOCKED_MAX, "an item was locked for {longest:?}");
    assert!(
        report.made > 50 && report.looks > 5 && report.again > 0,
        "hardly a bank"
    );
}
