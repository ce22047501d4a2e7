//! What follows from writes, when leaders change at the wrong moment.

use std::ops::Bound;

use super::super::effect::{Accept, Change as Growth, Record};
use super::super::fill::{Filled, Filling};
use super::super::host::{Courier, Delivery};
use super::super::rows::{RowKind, Sent};
use super::*;
use crate::derive::sum_of;
use crate::transaction::TransactionId;

/// The keyspace of the cells, and those of what follows.
const CELLS: u32 = 7;
const FILLED: u32 = 8;
const LENGTHS: u32 = 9;

/// Three replicas of which the first leads, with keyspaces.
fn led() -> Group {
    let group = Group::led();
    for node in group.nodes.values() {
        for (number, name) in [(CELLS, "cells"), (FILLED, "filled"), (LENGTHS, "lengths")] {
            node.host.keyspaces.create(number, name).unwrap();
            node.host.keyspaces.applied(u64::from(number));
        }
    }
    group
}

fn append(group: &Group, node: u64, key: &'static str, text: &'static str) -> Call<Answer> {
    let replica = group.replica(node);
    Call::new(async move {
        let target = Target {
            keyspace: CELLS,
            key: key.as_bytes(),
        };
        let change = Change::Append(text);
        replica.write(target, &WriteOptions::default(), &change).await
    })
}

/// A row as the engine of a node has it.
fn row(group: &Group, node: u64, keyspace: &str, key: &str) -> Option<Bytes> {
    let host = &group.nodes[&NodeId(node)].host;
    let id = host.keyspaces.named(keyspace).unwrap().1;
    let value = host.engine.get(id, key.as_bytes()).unwrap();
    value.map(stator_storage::Value::into_bytes)
}

fn length(group: &Group, node: u64) -> u64 {
    sum_of(row(group, node, "lengths", "sum").as_ref()).unwrap()
}

/// Another node leads for a while, and what the first one has proposed is overruled; then that one leads again.
fn lose_and_regain(group: &mut Group) {
    group.away = vec![NodeId(1)];
    group.run();
    let leader = group.fail_over();
    group.away.clear();
    group.tick(leader, 5);
    assert!(!group.replica(1).is_leader());
    // The layout prefers it.
    for _ in 0..100 {
        for node in 1..=3 {
            group.tick(node, 1);
        }
        if group.replica(1).is_leader() {
            return;
        }
    }
    panic!("leadership does not come back");
}

fn fill(group: &Group) -> Call<Result<Filled, Refused>> {
    let replica = group.replica(1);
    Call::new(async move {
        let filling = Filling {
            keyspace: CELLS,
            what: Bytes::new(),
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            required: 0,
            count: 10,
        };
        replica.fill(&filling).await
    })
}

#[test]
fn a_part_of_a_fill_does_not_span_two_leaderships() {
    let mut group = led();
    for key in ["a", "b"] {
        let mut write = append(&group, 1, key, "x");
        group.run();
        answered(write.poll());
    }
    // Somebody writes the second cell just when its turn has come.
    let host = Arc::clone(&group.nodes[&NodeId(1)].host);
    let mut latch = Box::pin(host.latches.acquire(CELLS, b"b"));
    let latch = latch.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(latch) = latch else {
        panic!("the latch is free")
    };
    group.away = vec![NodeId(1)];
    let mut first = fill(&group);
    lose_and_regain(&mut group);
    drop(latch);
    let outcome = first.poll();
    group.run();
    let outcome = outcome.or_else(|| first.poll());
    assert!(
        matches!(outcome, Some(Err(Refused::NotLeader(_)))),
        "the row of the first cell was lost: {outcome:?}"
    );
    assert_eq!(row(&group, 1, "filled", "a"), None);
    let mut again = fill(&group);
    group.run();
    let filled = again.poll().expect("no answer yet").expect("refused");
    assert_eq!((filled.cells, filled.last), (2, None));
    for key in ["a", "b"] {
        assert_eq!(row(&group, 1, "filled", key).unwrap(), "x");
    }
}

#[test]
fn a_sum_counts_what_is_proposed_and_nothing_that_is_overruled() {
    let mut group = led();
    let mut writes = [append(&group, 1, "a", "12345"), append(&group, 1, "b", "123")];
    group.run();
    for write in &mut writes {
        answered(write.poll());
    }
    assert_eq!(length(&group, 1), 8);
    group.away = vec![NodeId(1)];
    let mut lost = append(&group, 1, "c", "1234567");
    lose_and_regain(&mut group);
    assert!(matches!(lost.poll(), Some(Err(Refused::Unknown(_)))));
    let mut write = append(&group, 1, "c", "1");
    group.run();
    answered(write.poll());
    assert_eq!(length(&group, 1), 9);
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(2).campaign();
    group.run();
    let mut write = append(&group, 2, "a", "1");
    group.run();
    answered(write.poll());
    group.tick(2, 3);
    assert_eq!([1, 2, 3].map(|node| length(&group, node)), [10; 3]);
}

/// The leader takes rows of another range that follow from these entries of a term: each is appended to what is filled.
fn take(group: &Group, node: u64, term: u64, indices: &[u64]) {
    let sent = |index: &u64| Sent {
        source_index: *index,
        keyspace: FILLED,
        kind: RowKind::Append,
        change: Growth::default(),
        is_found: false,
        key: Bytes::from_static(b"s"),
        cell: Bytes::from_static(b"c"),
    };
    let accept = Accept {
        source: 77,
        term: Some(term),
        rows: indices.iter().map(sent).collect(),
    };
    let replica = group.replica(node);
    let mut taking = Call(Box::pin(async move { replica.accept(accept.encode()).await }));
    // What is known is answered at once.
    let outcome = taking.poll();
    group.run();
    outcome
        .or_else(|| taking.poll())
        .expect("no answer yet")
        .expect("refused");
}

/// How many rows were appended, as a node has them.
fn appended(group: &Group, node: u64) -> usize {
    let host = &group.nodes[&NodeId(node)].host;
    let id = host.keyspaces.named("filled").unwrap().1;
    let everything = (Bound::Unbounded, Bound::Unbounded);
    let snapshot = host.engine.snapshot();
    let mut rows = snapshot
        .range(id, everything, stator_storage::Direction::Forward)
        .unwrap();
    std::iter::from_fn(|| rows.advance().unwrap().then_some(())).count()
}

#[test]
fn rows_that_follow_from_entries_in_the_place_of_lost_ones_are_taken_and_each_once() {
    let mut group = led();
    take(&group, 1, 3, &[5, 6, 7]);
    take(&group, 1, 3, &[6, 7]);
    assert_eq!(appended(&group, 1), 3);
    // Its source has lost entries 6 and 7, and has others in their place.
    take(&group, 1, 4, &[6]);
    take(&group, 1, 4, &[6, 7]);
    assert_eq!(appended(&group, 1), 5);
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(2).campaign();
    group.run();
    take(&group, 2, 3, &[5]);
    take(&group, 2, 4, &[6, 7]);
    assert_eq!(appended(&group, 2), 5, "they are known from before the start");
    take(&group, 2, 4, &[8]);
    assert_eq!(appended(&group, 2), 6);
}

/// Keeps the rows that are to be brought to another range.
#[derive(Debug, Default)]
struct Catcher(Mutex<Vec<Accept>>);

impl Courier for Catcher {
    fn group_of(&self, key: &[u8]) -> Option<u32> {
        Some(if key == b"sent" { GROUP + 1 } else { GROUP })
    }

    fn deliver(&self, _: u32, rows: Bytes) -> Delivery {
        let Ok(Record::Accept(accept)) = Record::decode(rows) else {
            panic!("they are no rows")
        };
        self.0.lock().push(accept);
        Box::pin(std::future::ready(Ok(())))
    }

    fn resolve(&self, _: u32, _: &Bytes, _: (TransactionId, u64)) -> Delivery {
        unreachable!("nothing is prepared")
    }
}

#[test]
fn rows_name_their_term_from_the_time_on_when_all_nodes_are_to_and_not_before() {
    let group = led();
    let catcher = Arc::new(Catcher::default());
    let host = &group.nodes[&NodeId(1)].host;
    host.set_courier(Arc::clone(&catcher) as Arc<dyn Courier>);
    for text in ["a", "b"] {
        let mut write = append(&group, 1, "sent", text);
        group.run();
        answered(write.poll());
        host.name_terms();
    }
    let term = group.replica(1).state.lock().core.term();
    let named: Vec<_> = catcher.0.lock().iter().map(|accept| accept.term).collect();
    assert_eq!(named, [None, Some(term)]);
}

#[test]
fn who_has_rows_with_terms_names_them_itself_also_right_after_a_start() {
    let names = |group: &Group| [1, 2, 3].map(|node| group.nodes[&NodeId(node)].host.names_terms());
    let mut group = led();
    assert_eq!(names(&group), [false; 3]);
    take(&group, 1, 3, &[5]);
    group.tick(1, 3);
    assert_eq!(names(&group), [true; 3]);
    // Of one the engine has what they have left, of another one there is the log only.
    group.nodes[&NodeId(2)].host.engine.begin_flush().unwrap();
    group.turn();
    for node in [2, 3] {
        group.restart(node);
    }
    assert_eq!(names(&group), [true; 3]);
}
