//! Bits change in any file of a node, while it runs and while it does not: that is noticed, put right from the other nodes, and never
//! served.
//!
//! `STATOR_ROT_PLACES` says at how many places (`cargo xtask rot`); a few are in every test run.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use compat_tests::chaos::{self, SMALL_ENGINE};
use compat_tests::load::bulk::Bulk;
use compat_tests::load::{Load, Settings};
use compat_tests::rot::Place;
use compat_tests::{Balancer, Cluster, Durability, Mode, Random, Result, Sdk, holds_within};

/// Places of a usual test run.
const PLACES: usize = 8;
/// So many change before the node is looked after.
const AT_ONCE: usize = 4;
/// Within which time a node that cannot start says so, and one that can has been put right.
const WITHIN: Duration = Duration::from_secs(120);
/// What lies on the disks beside what clients work on.
const ITEMS: u64 = 1_500;
const BYTES: usize = 2_000;

/// What has become of the places.
#[derive(Debug, Default)]
struct Outcome {
    places: usize,
    /// The node has named the file.
    noticed: usize,
    /// The file had gone before anybody read it.
    gone: usize,
    /// Starts that were refused.
    refused: usize,
}

fn places() -> usize {
    let places = std::env::var("STATOR_ROT_PLACES").ok();
    places.map_or(PLACES, |places| places.parse().unwrap())
}

fn seed() -> u64 {
    let seed = std::env::var("STATOR_ROT_SEED").ok();
    seed.map_or(7, |seed| seed.parse().unwrap())
}

#[test]
fn a_bit_that_changes_in_any_file_of_a_node_is_noticed_and_healed_and_never_served() {
    let mut cluster = Cluster::configured(3, Durability::Sync, SMALL_ENGINE).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let bulk = Bulk {
        table: "cold".to_owned(),
        items: ITEMS,
        bytes: BYTES,
    };
    let (access, address) = (cluster.access(), balancer.address());
    let mut sdk = Sdk::new(access.clone(), address, Mode::Standard, Random::new(seed(), 1));
    compat_tests::load::create_table(&mut sdk, &bulk.table).unwrap();
    bulk.write(&access, address).unwrap();
    let settings = Settings {
        clients: 8,
        pause: Duration::from_millis(10),
        ..Settings::usual("warm", seed())
    };
    let load = Load::new(settings, access.clone(), address).unwrap();
    let mut outcome = Outcome::default();
    let report = load.run(|| {
        let mut random = Random::new(seed(), 2);
        for round in 0.. {
            if outcome.places >= places() {
                break;
            }
            one_round(&mut cluster, round, &mut random, &mut outcome).inspect_err(|_| cluster.show())?;
        }
        Ok(())
    });
    let report = report.unwrap();
    eprintln!("{outcome:?}\n{report}");
    bulk.check(&access, address).unwrap();
    chaos::alike(&cluster, &["cold".to_owned(), "warm".to_owned()]).unwrap();
    assert_eq!(report.failures, [], "clients saw errors");
    assert!(report.writes > 50 && report.counters > 0, "hardly a load");
    assert!(outcome.noticed > outcome.places / 3, "{outcome:?}");
}

/// Bits of one node change, while it runs or while it does not; then everything is put right.
fn one_round(cluster: &mut Cluster, round: usize, random: &mut Random, outcome: &mut Outcome) -> Result<()> {
    let victim = round % cluster.members.len();
    let is_running = round.is_multiple_of(2);
    let said_before = cluster.member(victim)?.stderr().len();
    if !is_running {
        cluster.member(victim)?.kill()?;
    }
    let mut changed = Vec::new();
    while changed.len() < AT_ONCE {
        changed.extend(cluster.member(victim)?.rot(random)?);
    }
    eprintln!("node {}: {changed:?}", cluster.member(victim)?.id);
    if is_running {
        repaired(cluster)?;
        cluster.member(victim)?.kill()?;
    }
    let has_started = start_or_be_refused(cluster, victim, &changed, said_before)?;
    chaos::wait_until_whole(cluster)?;
    repaired(cluster)?;
    let said = cluster.member(victim)?.stderr();
    let said = said.get(said_before..).unwrap_or_default();
    for place in &changed {
        outcome.places += 1;
        if said.contains(&place.name()) {
            outcome.noticed += 1;
        } else if !has_started || !place.is_there() {
            outcome.gone += 1;
        } else if place.is_in_sstable() {
            return Err(format!("{place} has changed, and nobody has noticed").into());
        }
    }
    outcome.refused += usize::from(!has_started);
    Ok(())
}

/// Starts the node. If it refuses, it has to say why, and gets an empty directory, as its message says.
fn start_or_be_refused(
    cluster: &mut Cluster,
    victim: usize,
    changed: &[Place],
    said_before: usize,
) -> Result<bool> {
    let member = cluster.member(victim)?;
    if member.start()?.ready().is_ok() {
        return Ok(true);
    }
    let mut has_ended = false;
    holds_within(WITHIN, || {
        has_ended = matches!(member.has_ended(), Ok(Some(_)));
        has_ended
    });
    let said = member.stderr();
    let said = said.get(said_before..).unwrap_or_default();
    let last = said.lines().last().unwrap_or_default();
    let names_one = changed.iter().any(|place| last.contains(&place.name()));
    if !has_ended || !names_one {
        return Err(format!("a start after {changed:?} ends: {has_ended}, with: {last}").into());
    }
    eprintln!("node {} does not start: {last}", member.id);
    member.wipe()?;
    member.start()?.ready()?;
    Ok(false)
}

/// Waits for `stator repair`.
fn repaired(cluster: &Cluster) -> Result<()> {
    let mut repair = cluster.repair()?;
    let mut outcome = Ok(false);
    holds_within(WITHIN, || {
        outcome = repair.is_done();
        !matches!(outcome, Ok(false))
    });
    if outcome? {
        return Ok(());
    }
    Err(format!("repair is not done after {} s", WITHIN.as_secs()).into())
}
