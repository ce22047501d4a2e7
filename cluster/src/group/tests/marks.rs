//! What a group keeps about itself, when a start could not read it, or has read it wrong.

use std::ops::Bound;

use futures_util::FutureExt as _;
use stator_storage::{Direction, StreamId};

use super::super::forward::Forwarding;
use super::super::scrub::Healing;
use super::*;
use crate::metadata::keyspaces::OWN_MARKS;

const CLOSED_MS: u64 = 1_000;

/// The group has closed a time; what node 2 knows of it is gone from its memory.
fn forgotten() -> (Group, Arc<Replica>) {
    let group = Group::led();
    let leader = group.replica(1);
    let mut close = Call::new(async move { leader.close_time(CLOSED_MS).await });
    group.run();
    assert!(matches!(close.poll(), Some(Ok(_))));
    group.tick(1, 3);
    let replica = group.replica(2);
    {
        let mut state = replica.state.lock();
        assert!(state.closed_at_ms > CLOSED_MS && state.last_at_ms > CLOSED_MS);
        (state.closed_at_ms, state.last_at_ms) = (0, 0);
        state.forwarding = Forwarding::new(VecDeque::new(), state.applied);
    }
    (group, replica)
}

fn knows_again(replica: &Arc<Replica>) -> bool {
    let state = replica.state.lock();
    let times = [state.closed_at_ms, state.last_at_ms];
    times.iter().all(|time| *time > CLOSED_MS) && !state.forwarding.is_logged_beyond(0)
}

/// The marks of a group on a node.
fn marks(group: &Group, node: u64) -> Vec<(Bytes, Bytes)> {
    let host = &group.nodes[&NodeId(node)].host;
    let (start, end) = (GROUP.to_be_bytes(), (GROUP + 1).to_be_bytes());
    let bounds = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
    let mut rows = (host.engine.snapshot())
        .range(host.keyspaces.marks(), bounds, Direction::Forward)
        .unwrap();
    let mut marks = Vec::new();
    while rows.advance().unwrap() {
        marks.push((
            Bytes::copy_from_slice(rows.key()),
            Bytes::copy_from_slice(rows.value()),
        ));
    }
    marks
}

#[test]
fn marks_that_are_put_right_are_known_again() {
    let (group, replica) = forgotten();
    let right = marks(&group, 1);
    let host = &group.nodes[&NodeId(2)].host;
    let mut batch = WriteBatch::new();
    for (key, _) in &right {
        batch.delete(host.keyspaces.marks(), key);
    }
    host.engine.apply_now(batch, StreamId(1 << 40), 1).unwrap();
    let healing = Healing {
        index: replica.state.lock().applied,
        keyspace: OWN_MARKS,
        span: (
            Bound::Included(GROUP.to_be_bytes().to_vec()),
            Bound::Excluded((GROUP + 1).to_be_bytes().to_vec()),
        ),
        cells: right.clone(),
    };
    let healed = replica.heal(healing).now_or_never();
    assert!(matches!(healed, Some(Ok(1..))), "{healed:?}");
    assert_eq!(marks(&group, 2), right);
    assert!(knows_again(&replica));
}

#[test]
fn marks_that_nothing_was_wrong_with_are_known_before_a_replica_is_believed_again() {
    let (_group, replica) = forgotten();
    assert!(!knows_again(&replica));
    let known = replica.know_marks().now_or_never();
    assert!(matches!(known, Some(Ok(()))), "{known:?}");
    assert!(knows_again(&replica));
}
