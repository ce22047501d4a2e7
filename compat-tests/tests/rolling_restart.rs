//! A new version is brought in: each node in turn gets SIGTERM, ends, and is started again, while clients work with the SDKs'
//! default retries, boto3 among them. None of them sees an error.

use std::time::Duration;

use compat_tests::load::{Load, Settings};
use compat_tests::{Balancer, Cluster, Durability, Mode, now, pause, python};

/// How long all nodes run between two restarts.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long a node may take to hand over what it leads, to answer what it was asked, and to end.
const ENDS_WITHIN: Duration = Duration::from_secs(12);
/// How long clients may wait for the next answered write: a planned stop waits for no election.
const GAP_MAX: Duration = Duration::from_secs(1);

#[test]
fn a_rolling_restart_costs_no_client_an_error() {
    let rounds = std::env::var("STATOR_RESTARTS").map_or(2, |text| text.parse().unwrap());
    let mut cluster = Cluster::start(3, Durability::Sync).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let python = python();
    if python.is_none() {
        eprintln!(
            "rolling restart: no Python with boto3 (STATOR_PYTHON names one): its clients are left out"
        );
    }
    let settings = Settings {
        clients: 16,
        // Three attempts each, as boto3 with `retries={"mode": "standard"}`.
        modes: vec![Mode::Standard],
        boto: (3, python),
        ..Settings::usual("rolling", 4)
    };
    let load = Load::new(settings, cluster.access(), balancer.address()).unwrap();
    let report = load.run(|| {
        for _ in 0..rounds {
            for place in 0..3 {
                pause(BETWEEN);
                let member = cluster.member(place)?;
                let begun = now();
                let status = member.terminate()?;
                let took = begun.elapsed();
                eprintln!(
                    "node {} ended {} ms after SIGTERM: {status}",
                    member.id,
                    took.as_millis()
                );
                assert!(
                    status.success() && took < ENDS_WITHIN,
                    "node {}: {status}",
                    member.id
                );
                member.start()?.ready()?;
            }
        }
        pause(BETWEEN);
        Ok(())
    });
    let report = report
        .inspect_err(|error| eprintln!("rolling restart: {error}"))
        .unwrap();
    eprintln!("rolling restart: {report}");
    for failure in &report.failures {
        eprintln!("{failure}");
    }
    assert_eq!(report.failures.len(), 0, "clients saw errors");
    assert!(
        report.gap.length < GAP_MAX,
        "no write was answered for {}",
        report.gap
    );
    assert!(report.writes > 100 && report.counters > 0, "hardly a load");
}
