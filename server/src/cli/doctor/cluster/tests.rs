//! Answers of nodes, and what is said of them.

use serde_json::{Value, json};

use super::super::State;
use super::*;

fn node(node: u64) -> Value {
    json!({"node": node, "address": format!("10.0.0.{node}:7400"), "liveness": "alive", "standing": "member",
        "data_bytes": 1_000_000, "free_bytes": 9_000_000, "software": "0.1.0"})
}

fn group(range: Option<u32>) -> Value {
    json!({"range": range, "leader": 1, "lag": 0, "is_filled": true, "diverged_at": null})
}

/// What a node of a cluster that is well says.
fn well(number: u64) -> Value {
    json!({"node": number, "now_ms": 5_000, "nodes": [node(1), node(2)], "groups": [group(None), group(Some(0))],
        "hints": {"waiting": 0}, "moves": {"pending": 0, "lost": []},
        "scrub": {"undecided": 0, "files_damaged": 0, "suspects": 0, "is_beyond_repair": false}})
}

/// An answer that was asked for between 4,990 and 5,010 ms.
fn answer(status: Value) -> Answer {
    Answer {
        status: serde_json::from_value(status).unwrap(),
        asked_ms: 4_990,
        answered_ms: 5_010,
    }
}

/// The checks that are not well when something is changed in what the first of two nodes says.
fn amiss(change: impl Fn(&mut Value)) -> Vec<(&'static str, State)> {
    let mut first = well(1);
    change(&mut first);
    let others = [("https://10.0.0.2:8000".to_owned(), Ok(answer(well(2))))];
    let checks = judge(&answer(first), &others).into_iter();
    let checks = checks.filter(|check| check.state != State::Ok);
    checks.map(|check| (check.name, check.state)).collect()
}

#[test]
fn a_cluster_that_is_well_is_called_so() {
    assert_eq!(amiss(|_| {}), []);
}

#[test]
fn each_trouble_is_told_by_the_check_that_is_for_it() {
    let troubles = [
        ("nodes", State::Fail, "/nodes/1/liveness", json!("down")),
        ("nodes", State::Warn, "/nodes/1/standing", json!("rejoining")),
        ("versions", State::Warn, "/nodes/1/software", json!("0.2.0")),
        ("clocks", State::Warn, "/now_ms", json!(5_511)),
        ("clocks", State::Fail, "/now_ms", json!(-80_000)),
        ("copies", State::Warn, "/groups/1/is_filled", json!(false)),
        ("copies", State::Warn, "/groups/1/lag", json!(10_001)),
        ("copies", State::Warn, "/moves/pending", json!(3)),
        ("copies", State::Warn, "/moves/lost", json!([2])),
        ("damage", State::Fail, "/scrub/is_beyond_repair", json!(true)),
        ("damage", State::Fail, "/groups/0/diverged_at", json!(7)),
        ("damage", State::Warn, "/scrub/suspects", json!(1)),
        ("hints", State::Warn, "/hints/waiting", json!(5)),
        ("disks", State::Warn, "/nodes/0/free_bytes", json!(1000)),
    ];
    for (check, state, place, value) in troubles {
        let change = |status: &mut Value| *status.pointer_mut(place).unwrap() = value.clone();
        assert_eq!(amiss(change), [(check, state)], "{check}");
    }
}

#[test]
fn a_range_is_without_a_leader_when_nobody_knows_one() {
    let without = |status: &mut Value| status["groups"][1]["leader"] = Value::Null;
    assert_eq!(amiss(without), []);
    let mut status = well(1);
    without(&mut status);
    let checks = judge(&answer(status), &[]);
    let leaders = checks.iter().find(|check| check.name == "leaders").unwrap();
    assert_eq!(leaders.found, "missing: 1 (range 0)");
}

#[test]
fn the_way_of_an_answer_is_not_taken_for_an_offset() {
    let at = |now_ms: i64| {
        let mut status = well(1);
        status["now_ms"] = now_ms.into();
        offset(&answer(status)).unwrap()
    };
    assert_eq!((at(4_990), at(5_010)), (0, 0));
    assert_eq!((at(4_980), at(5_030)), (-10, 20));
}

#[test]
fn a_node_that_does_not_answer_is_a_warning_with_what_was_tried() {
    let others = [(
        "https://10.0.0.2:8000".to_owned(),
        Err("no answer from x".to_owned()),
    )];
    let checks = judge(&answer(well(1)), &others);
    assert_eq!(
        (checks[1].state, checks[1].found.as_str()),
        (State::Warn, "no answer from x")
    );
}
