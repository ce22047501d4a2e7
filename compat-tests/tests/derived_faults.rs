//! Indexes and streams of three nodes, each of which is killed in turn while 32 clients write.
//!
//! `cargo xtask faults --minutes N derived` runs it for longer: `STATOR_FAULT_MINUTES` gives 200,000 writes for ten
//! minutes, `STATOR_FAULT_SEED` the seed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compat_tests::load::derived::Derived;
use compat_tests::{Balancer, Cluster, Durability, pause};

/// Writes of a short run.
const SHORT: u64 = 4_800;
/// Writes for each minute of a long run.
const PER_MINUTE: u64 = 20_000;
/// Items over which an index is made, in a short run and for each minute of a long one.
const ITEMS: u64 = 3_000;
const ITEMS_PER_MINUTE: u64 = 10_000;
/// How long all nodes run between two kills.
const BETWEEN: Duration = Duration::from_millis(700);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// One cluster at a time: both load the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn an_index_that_is_made_while_clients_write_is_exact_when_it_is_active() {
    let _alone = alone();
    let seed = number("STATOR_FAULT_SEED").unwrap_or(6);
    let minutes = number("STATOR_FAULT_MINUTES");
    let items = minutes.map_or(ITEMS, |minutes| minutes * ITEMS_PER_MINUTE);
    let writes = minutes.map_or(SHORT / 2, |minutes| minutes * PER_MINUTE / 4);
    let cluster = Cluster::start(3, Durability::Sync).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let mut derived = Derived::new(cluster.access(), balancer.address(), "late", seed).unwrap();
    derived.fill(items).unwrap();
    let audit = derived.run(writes, |derived| {
        let took = derived.make_late_index()?;
        eprintln!(
            "an index over {items} items was active after {:.1} s",
            took.as_secs_f64()
        );
        Ok(())
    });
    let audit = audit.inspect_err(|error| eprintln!("{error}")).unwrap();
    eprintln!("{audit:?}");
}

#[test]
fn what_follows_from_writes_is_exact_after_each_node_was_killed() {
    let _alone = alone();
    let seed = number("STATOR_FAULT_SEED").unwrap_or(5);
    let minutes = number("STATOR_FAULT_MINUTES");
    let writes = minutes.map_or(SHORT, |minutes| minutes * PER_MINUTE);
    let rounds = minutes.map_or(1, |minutes| minutes.max(1));
    let mut cluster = Cluster::start(3, Durability::Sync).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let mut derived = Derived::new(cluster.access(), balancer.address(), "derived", seed).unwrap();
    let audit = derived.run(writes, |_| {
        for _ in 0..rounds {
            for place in 0..3 {
                pause(BETWEEN);
                let member = cluster.member(place)?;
                member.kill()?;
                pause(BETWEEN);
                member.start()?.ready()?;
            }
        }
        Ok(())
    });
    let audit = audit.inspect_err(|error| eprintln!("{error}")).unwrap();
    eprintln!("{audit:?}");
    assert!(audit.writes >= writes / 32 * 32 && audit.changes > writes / 2);
}
