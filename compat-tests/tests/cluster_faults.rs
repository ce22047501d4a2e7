//! Three nodes, 32 clients, and what befalls nodes: killed, frozen, two of three gone, robbed of their data.
//!
//! `cargo xtask faults --minutes N --seed S` runs the same for longer: `STATOR_FAULT_MINUTES`, `STATOR_FAULT_SEED`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use compat_tests::load::fault::{Fault, Faults};
use compat_tests::load::{Load, Report, Settings, create_table, read};
use compat_tests::{
    Answer, Balancer, Client, Cluster, Durability, Member, Mode, Random, Result, Sdk, holds_within, now,
    pause,
};
use serde_json::{Value, json};

/// How long clients may wait for the next answered write when a node has failed.
const GAP_MAX: Duration = Duration::from_secs(2);
/// Within which time a node that reaches no majority says so.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// Within which time nodes that are back have caught up.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// How long faults go on in a short run.
const SHORT: Duration = Duration::from_secs(4);
/// Histories are judged after so long in a long run, and kept no longer.
const ROUND: Duration = Duration::from_secs(60);

/// One cluster at a time: how long silence lasts would otherwise hang on the neighbours.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The seed of the run; another one each time unless it is given.
fn seed() -> u64 {
    let given = number("STATOR_FAULT_SEED");
    let seed = given.unwrap_or_else(|| {
        let time = compat_tests::time_of_day().duration_since(std::time::UNIX_EPOCH);
        u64::from(time.unwrap().subsec_nanos())
    });
    eprintln!("cargo xtask faults --seed {seed}");
    seed
}

/// Rounds of a run and how long each lasts.
fn rounds() -> (u64, Duration) {
    match number("STATOR_FAULT_MINUTES") {
        Some(minutes) => (minutes.max(1), ROUND),
        None => (1, SHORT),
    }
}

/// Lets clients write while nodes fail, and holds what they saw against what a store without faults would show. `lost` is
/// how many of a hundred answers are lost on their way.
fn endures(name: &str, kinds: &[Fault], lost: u64) {
    let _alone = alone();
    let seed = seed();
    let (rounds, length) = rounds();
    let mut cluster = Cluster::start(3, Durability::Sync).unwrap();
    let random = Random::new(seed, 3);
    let balancer =
        Balancer::losing_answers(cluster.addresses(), cluster.health_check(), random, lost).unwrap();
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        let settings = Settings::usual(&format!("{name}-{round}"), seed);
        let load = Load::new(settings, cluster.access(), balancer.address()).unwrap();
        let mut faults = Vec::new();
        let report = load.run(|| {
            faults = Faults::new(seed, kinds).run(&mut cluster, length)?;
            assert!(!faults.is_empty(), "nothing was broken");
            Ok(())
        });
        let report = judged(name, report);
        if lost == 0 {
            assert_excused(name, &report, &faults);
        }
    }
}

/// Holds that no client saw an error that it owes to one fault. What a second fault did to its last attempt is printed.
fn assert_excused(name: &str, report: &Report, faults: &[Range<Instant>]) {
    for failure in &report.failures {
        eprintln!("{name}: {failure}");
    }
    let failures = report.failures_of_one_fault(faults);
    assert!(failures.is_empty(), "{name}: clients saw errors: {failures:?}");
}

fn judged(name: &str, report: Result<Report>) -> Report {
    let report = report.inspect_err(|error| eprintln!("{name}: {error}")).unwrap();
    eprintln!("{name}: {report}");
    assert_eq!(
        report.judged.undecided, 0,
        "{name}: a history could not be judged"
    );
    assert!(
        report.gap.length < GAP_MAX,
        "{name}: no write was answered for {}",
        report.gap
    );
    assert!(
        report.writes > 100 && report.counters > 0,
        "{name}: hardly a load"
    );
    report
}

#[test]
fn kill_9_of_any_node_loses_nothing_and_repeats_nothing() {
    endures("kill", &[Fault::Kill], 0);
}

#[test]
fn a_node_that_is_frozen_for_five_seconds_costs_no_client_an_error() {
    endures("freeze", &[Fault::Freeze], 0);
}

/// A client that has lost its answer asks another node, which may ask another leader. Some calls lose all their answers.
#[test]
fn an_answer_that_is_lost_with_its_node_is_not_made_up_for_by_doing_it_again() {
    endures("lossy", &[Fault::Kill], 3);
}

const TABLE: &str = "faults";

/// A client of one node, past any balancer.
fn sdk(cluster: &Cluster, member: &Member, mode: Mode) -> Sdk {
    Sdk::new(cluster.access(), member.address, mode, Random::new(member.id, 9))
}

fn put(key: &str, value: u32) -> Value {
    json!({ "TableName": TABLE, "Item": { "pk": { "S": key }, "v": { "N": value.to_string() } } })
}

/// One attempt at a level of consistency, and how long it took.
fn once(cluster: &Cluster, place: usize, operation: &str, body: &Value, level: &str) -> (Answer, Duration) {
    let mut client = Client::open(cluster.access(), cluster.members[place].address).unwrap();
    let begun = now();
    let headers = [("x-stator-consistency", level)];
    let answer = client.call_with(operation, body, &headers).unwrap();
    (answer, begun.elapsed())
}

/// Holds that a node refuses in time, with an error that SDKs try again.
fn refuses(cluster: &Cluster, place: usize, operation: &str, body: &Value) {
    let (answer, took) = once(cluster, place, operation, body, "QUORUM");
    assert!(
        matches!(answer.status, 500 | 503),
        "{operation} without a majority: {} {}",
        answer.status,
        answer.body
    );
    assert!(took < REFUSED_WITHIN, "{operation} was refused after {took:?}");
}

fn get(key: &str) -> Value {
    json!({ "TableName": TABLE, "Key": { "pk": { "S": key } } })
}

#[test]
fn with_two_of_three_nodes_gone_one_answers_and_quorum_refuses_at_once() {
    const HINTED: u32 = 20;
    let _alone = alone();
    let mut random = Random::new(seed(), 1);
    let mut cluster = Cluster::start(3, Durability::Sync).unwrap();
    let left = *random.pick(&[0, 1, 2]).unwrap();
    let mut client = sdk(&cluster, &cluster.members[left], Mode::Standard);
    create_table(&mut client, TABLE).unwrap();
    client.ok("PutItem", &put("before", 7)).unwrap();
    // ONE reads whatever the node has applied, which is told apart from "nothing" only once it is there.
    let has_it =
        |cluster: &Cluster| once(cluster, left, "GetItem", &get("before"), "ONE").0.body["Item"]["v"].clone();
    assert!(holds_within(CAUGHT_UP_WITHIN, || has_it(&cluster) == json!({ "N": "7" })));
    for place in (0..3).filter(|place| *place != left) {
        cluster.members[place].kill().unwrap();
    }
    refuses(&cluster, left, "PutItem", &put("refused", 1));
    // Ranges that it has led take writes at ONE into their own log until it knows that nobody follows.
    let knows = holds_within(CAUGHT_UP_WITHIN, || {
        let status = cluster.members[left].status().unwrap();
        let mut groups = status["groups"].as_array().into_iter().flatten();
        groups.all(|group| group["leader"].is_null())
    });
    assert!(knows, "it takes itself for a leader");
    for value in 1..=HINTED {
        let (answer, _) = once(&cluster, left, "PutItem", &put("hinted", value), "ONE");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(has_it(&cluster), json!({ "N": "7" }));
    refuses(&cluster, left, "PutItem", &put("refused", 1));
    refuses(&cluster, left, "GetItem", &get("before"));
    let mut conditional = put("hinted", 99);
    conditional["ConditionExpression"] = json!("attribute_not_exists(pk)");
    let (answer, _) = once(&cluster, left, "PutItem", &conditional, "ONE");
    assert_eq!(answer.error(), Some("ValidationException"), "{}", answer.body);
    let status = cluster.members[left].status().unwrap();
    let hints = &status["hints"];
    assert_eq!(hints["waiting"], json!(HINTED), "{hints}");

    // What was acknowledged waits on the disk.
    cluster.members[left].kill().unwrap();
    cluster.start_all().unwrap();
    let mut seen = 0;
    let arrived = holds_within(CAUGHT_UP_WITHIN, || {
        let value = read(&mut client, TABLE, "hinted")
            .unwrap_or_default()
            .unwrap_or(0);
        assert!(value >= seen, "{value} after {seen}: out of order");
        seen = value;
        value == i64::from(HINTED)
    });
    assert!(arrived, "{seen} of {HINTED} hinted writes have arrived");
    assert!(holds_within(CAUGHT_UP_WITHIN, || {
        let status = cluster.members[left].status();
        status.is_ok_and(|status| status["hints"]["waiting"] == json!(0))
    }));
}

/// A node that was not there when another one went has no gossip of it, only the layout, which names it first for many ranges.
#[test]
fn a_node_that_starts_after_another_one_has_gone_asks_those_that_are_there() {
    const KEYS: u32 = 60;
    let _alone = alone();
    let mut places = [0, 1, 2, 3, 4];
    places.rotate_left(usize::try_from(Random::new(seed(), 4).below(5)).unwrap());
    let [gone, started, other, ..] = places;
    let mut cluster = Cluster::start(5, Durability::Sync).unwrap();
    create_table(&mut sdk(&cluster, &cluster.members[other], Mode::Standard), TABLE).unwrap();
    cluster.members[gone].kill().unwrap();
    cluster.members[started].kill().unwrap();
    cluster.members[started].start().unwrap().ready().unwrap();
    let everyone_leads = holds_within(CAUGHT_UP_WITHIN, || {
        let mut client = sdk(&cluster, &cluster.members[other], Mode::Standard);
        (0..KEYS).all(|key| client.ok("PutItem", &put(&format!("key-{key}"), key)).is_ok())
    });
    assert!(everyone_leads, "four of five nodes do not take all writes");
    for key in 0..KEYS {
        let name = format!("key-{key}");
        let (answer, took) = once(&cluster, started, "GetItem", &get(&name), "QUORUM");
        assert_eq!(answer.status, 200, "{name} after {took:?}: {}", answer.body);
        assert_eq!(answer.body["Item"]["v"], json!({ "N": key.to_string() }));
    }
}

/// Whether a status says that a node has lost its data and has no vote yet.
fn is_rejoining(status: &Value, id: u64) -> bool {
    let mut nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.any(|node| node["node"] == json!(id) && node["standing"] == json!("rejoining"))
}

#[test]
fn a_node_that_has_lost_its_data_does_not_vote_as_what_it_was() {
    let _alone = alone();
    let seed = seed();
    let mut cluster = Cluster::start(3, Durability::Sync).unwrap();
    let mut places = [0, 1, 2];
    places.rotate_left(usize::try_from(Random::new(seed, 2).below(3)).unwrap());
    let [wiped, gone, left] = places;
    let mut client = sdk(&cluster, &cluster.members[left], Mode::Standard);
    create_table(&mut client, TABLE).unwrap();
    let balancer = Balancer::start(
        vec![cluster.members[gone].address, cluster.members[left].address],
        cluster.health_check(),
    )
    .unwrap();
    let settings = Settings {
        clients: 8,
        ..Settings::usual("wiped", seed)
    };
    let load = Load::new(settings, cluster.access(), balancer.address()).unwrap();
    let report = load.run(|| {
        let member = cluster.member(wiped)?;
        let id = member.id;
        member.kill()?;
        member.wipe()?;
        member.start()?.ready()?;
        let says_so = holds_within(CAUGHT_UP_WITHIN, || {
            let status = cluster.members[left].status();
            status.is_ok_and(|status| is_rejoining(&status, id))
        });
        assert!(says_so, "the status does not say that node {id} rejoins");
        pause(Duration::from_secs(1));
        Ok(())
    });
    let report = judged("wiped", report);
    assert_eq!(report.failures, [], "clients saw errors");
    client.ok("PutItem", &put("kept", 7)).unwrap();

    // One that votes is left beside the one that must not.
    cluster.members[gone].kill().unwrap();
    refuses(&cluster, left, "PutItem", &put("kept", 8));
    refuses(&cluster, wiped, "PutItem", &put("kept", 9));
    refuses(&cluster, left, "GetItem", &get("kept"));
    cluster.start_all().unwrap();
    let mut kept = None;
    let is_there = holds_within(CAUGHT_UP_WITHIN, || {
        kept = read(&mut client, TABLE, "kept").unwrap_or_default();
        kept.is_some()
    });
    // The refused ones may have been proposed, and then take effect when there is a majority again.
    assert!(is_there && matches!(kept, Some(7..=9)), "{kept:?}");
}

/// A node without the others takes connections and answers on them, so that its clients would stay. It sends them away.
#[test]
fn a_node_that_is_cut_off_costs_no_client_an_error() {
    let _alone = alone();
    let seed = seed();
    let (rounds, length) = rounds();
    let (mut cluster, links) = Cluster::with_links(3, Durability::Sync).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        let settings = Settings::usual(&format!("cut-{round}"), seed);
        let load = Load::new(settings, cluster.access(), balancer.address()).unwrap();
        let mut faults = Vec::new();
        let report = load.run(|| {
            let cuts = Faults::new(seed, &[Fault::Cut]).with_links(&links);
            faults = cuts.run(&mut cluster, length * 3)?;
            assert!(!faults.is_empty(), "nothing was broken");
            Ok(())
        });
        let report = judged("cut", report);
        assert_excused("cut", &report, &faults);
    }
}
