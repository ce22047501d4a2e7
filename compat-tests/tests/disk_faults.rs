//! Disks that fail under a node: it ends at once and says why, the others go on, nothing that was acknowledged is lost, and
//! the node comes back when the cause is gone.
//!
//! Why a failed sync ends the process instead of being tried again: after the error nobody knows what the disk holds, and
//! kernels tell of it once (PostgreSQL wiki, "Fsync Errors"; Rebello and others, "Can Applications Recover from fsync
//! Failures?", USENIX ATC 2020).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compat_tests::chaos::{SMALL_ENGINE, fail_disk};
use compat_tests::load::{Load, Settings};
use compat_tests::{Balancer, Cluster, Durability, Inside, Mode, Random, Sdk, holds_within, pause};
use serde_json::json;

/// How long clients may wait for the next answered write when a node has ended.
const GAP_MAX: Duration = Duration::from_secs(2);
/// How long a node is away.
const AWAY: Duration = Duration::from_millis(500);
/// How long all nodes run between two failures: a client with three attempts, of which each may wait for a second, is not to
/// meet one failure after the other.
const BETWEEN: Duration = Duration::from_millis(2500);
/// Within which time a node without room notices it, and one that cannot start gives up.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// One cluster at a time: how long silence lasts would otherwise hang on the neighbours.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each node's disk fails in turn, the leaders' as well as the others'.
fn each_node_fails(name: &str, inside: Inside) {
    let _alone = alone();
    let (mut cluster, _links) = Cluster::breakable(3, Durability::Sync, SMALL_ENGINE).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let settings = Settings::usual(name, 11);
    let load = Load::new(settings, cluster.access(), balancer.address()).unwrap();
    let report = load.run(|| {
        for place in 0..3 {
            pause(BETWEEN);
            let member = cluster.member(place)?;
            let took = fail_disk(member, inside)?;
            eprintln!("{name}: node {} ended after {} ms", member.id, took.as_millis());
            pause(AWAY);
            member.door()?.set(Inside::default())?;
            member.start()?.ready()?;
        }
        Ok(())
    });
    let report = report.inspect_err(|error| eprintln!("{name}: {error}")).unwrap();
    eprintln!("{name}: {report}");
    assert_eq!(report.failures, [], "{name}: clients saw errors");
    assert!(
        report.gap.length < GAP_MAX,
        "{name}: no write was answered for {}",
        report.gap
    );
    assert!(
        report.writes > 100 && report.counters > 0,
        "{name}: hardly a load"
    );
}

#[test]
fn a_node_whose_sync_fails_ends_at_once_and_the_others_go_on() {
    let inside = Inside {
        cannot_sync: true,
        ..Inside::default()
    };
    each_node_fails("fsync", inside);
}

#[test]
fn a_node_whose_disk_takes_no_more_ends_at_once_and_the_others_go_on() {
    let inside = Inside {
        takes_nothing: true,
        ..Inside::default()
    };
    each_node_fails("enospc", inside);
}

/// What is in files already goes on until another file is needed. A start needs one.
#[test]
fn a_node_without_room_ends_says_so_again_at_its_start_and_comes_back_when_there_is_room() {
    const VALUE: &str = "The quick brown fox jumps over the lazy dog. ";
    let _alone = alone();
    let (mut cluster, _links) = Cluster::breakable(3, Durability::Sync, SMALL_ENGINE).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let mut sdk = Sdk::new(
        cluster.access(),
        balancer.address(),
        Mode::LegacyPython,
        Random::new(1, 1),
    );
    compat_tests::load::create_table(&mut sdk, "room").unwrap();
    let member = cluster.member(1).unwrap();
    let full = Inside {
        is_full: true,
        ..Inside::default()
    };
    member.door().unwrap().set(full).unwrap();
    let (mut written, mut ended) = (0, None);
    assert!(
        holds_within(NOTICED_WITHIN, || {
            let item = json!({ "pk": { "S": written.to_string() }, "text": { "S": VALUE.repeat(400) } });
            sdk.ok("PutItem", &json!({ "TableName": "room", "Item": item }))
                .unwrap();
            written += 1;
            ended = member.has_ended().unwrap();
            ended.is_some()
        }),
        "{written} items of 18 KB went into no room"
    );
    assert_eq!(ended.unwrap().code(), Some(1));
    let says_so = |said: &str| said.contains("cannot") && said.contains("No space left on device");
    let said = member.stderr();
    let last = said.lines().last().unwrap();
    assert!(says_so(last) && last.contains("cannot go on"), "{last}");

    // The message of a start that finds no room is as clear.
    let refused = member.start().unwrap().ready();
    assert!(refused.is_err(), "it has started without room");
    assert!(holds_within(NOTICED_WITHIN, || member
        .has_ended()
        .unwrap()
        .is_some()));
    let said = member.stderr();
    let last = said.lines().last().unwrap();
    assert!(says_so(last), "{last}");

    member.door().unwrap().set(Inside::default()).unwrap();
    member.start().unwrap().ready().unwrap();
    let address = member.address;
    let mut direct = Sdk::new(cluster.access(), address, Mode::LegacyPython, Random::new(1, 2));
    for number in 0..written {
        let key = json!({ "pk": { "S": number.to_string() } });
        let found = direct.ok(
            "GetItem",
            &json!({ "TableName": "room", "Key": key, "ConsistentRead": true }),
        );
        assert!(
            found.unwrap()["Item"].is_object(),
            "item {number} of {written} is gone"
        );
    }
}
