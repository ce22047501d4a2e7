//! Hints, as the leader of their range takes them.

use super::*;

/// The keyspace of the cells.
const CELLS: u32 = 7;

/// Three replicas of which the first leads, with the keyspace.
fn led() -> Group {
    let group = Group::led();
    for node in group.nodes.values() {
        node.host.keyspaces.create(CELLS, "cells").unwrap();
        node.host.keyspaces.applied(u64::from(CELLS));
    }
    group
}

/// What the first node answers to a write.
fn outcome(group: &Group, key: &str, options: WriteOptions, change: &Change) -> Answer {
    let replica = group.replica(1);
    let target = Target {
        keyspace: CELLS,
        key: key.as_bytes(),
    };
    let mut write = Box::pin(replica.write(target, &options, change));
    for _ in 0..3 {
        let polled = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(answer) = polled {
            return answer;
        }
        group.run();
    }
    panic!("no answer");
}

#[test]
fn a_hint_that_does_not_fit_is_refused_for_good_and_another_retry_is_not() {
    let group = led();
    let hint = outcome(&group, "unfit", again(1), &Change::Hinted("a", 1));
    assert!(matches!(hint, Err(Refused::Finally(Error::Unfit(_)))), "{hint:?}");
    let retry = outcome(&group, "unfit", again(2), &Change::Append("a"));
    assert!(matches!(retry, Err(Refused::Unknown(_))), "{retry:?}");
    let fits = outcome(&group, "fit", again(3), &Change::Hinted("a", 1));
    assert_eq!(fits.unwrap(), "");
}

/// The clock of the first node is set to a time.
fn at(group: &Group, ms: u64) {
    *group.nodes[&NodeId(1)].world.unix_ms.lock() = ms;
}

#[test]
fn a_hint_that_may_be_forgotten_does_not_take_effect_again() {
    const BEGIN_MS: u64 = 1_000_000;
    let mut group = led();
    at(&group, BEGIN_MS);
    let hint = Change::Hinted("x", BEGIN_MS - 1);
    assert_eq!(outcome(&group, "key", again(1), &hint).unwrap(), "");
    assert_eq!(
        outcome(&group, "key", again(1), &hint).unwrap(),
        "",
        "it is known"
    );
    for second in 1..=130 {
        at(&group, BEGIN_MS + second * 1000);
        let other = outcome(&group, "other", invocation(100 + second), &Change::Append(""));
        assert!(other.is_ok(), "{other:?}");
    }
    let is_too_late = |group: &Group| {
        let refused = outcome(group, "key", again(1), &hint);
        assert!(
            matches!(refused, Err(Refused::Finally(Error::Unfit(_)))),
            "{refused:?}"
        );
    };
    is_too_late(&group);
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(1).campaign();
    group.run();
    is_too_late(&group);
    // One that was made since then takes effect, and so does one that was kept long ago in a range that is not busy.
    let late = Change::Hinted("z", BEGIN_MS + 20_000);
    assert_eq!(outcome(&group, "key", again(2), &late).unwrap(), "x");
    assert_eq!(outcome(&group, "key", again(2), &late).unwrap(), "x");
    let read = outcome(&group, "key", invocation(3), &Change::Append("")).unwrap();
    assert_eq!(read, "xz");
}
