//! A rotation of data keys ends on a node whose groups rest.

use super::*;

/// The node has a new data key, and is to write everything anew that is under older ones.
fn rotate(group: &Group, node: u64) {
    let engine = &group.nodes[&NodeId(node)].host.engine;
    engine.rotate_data_key(1).unwrap();
    engine.rewrite_old_files().unwrap();
    group.turn();
}

fn tick_all(group: &Group, ticks: u32) {
    for _ in 0..ticks {
        (1..=3).for_each(|node| group.tick(node, 1));
    }
}

/// How many data keys a node has.
fn keys(group: &Group, node: u64) -> usize {
    let engine = &group.nodes[&NodeId(node)].host.engine;
    engine.key_status().data_keys.len()
}

fn assert_rests_under_one_key(group: &Group) {
    for node in 1..=3 {
        assert!(group.replica(node).standing().is_quiet);
        let status = group.nodes[&NodeId(node)].host.engine.key_status();
        assert_eq!(status.data_keys.len(), 1, "node {node}: {status:?}");
        assert!(!status.is_rewriting, "node {node}: {status:?}");
    }
}

#[test]
fn a_group_that_rests_lets_go_of_an_old_key_without_waking() {
    let group = Group::led();
    let mut write = group.write_with(1, Change::Append("a"), invocation(1));
    group.run();
    answered(write.poll());
    tick_all(&group, 40);
    assert!((1..=3).all(|node| group.replica(node).standing().is_quiet));
    (1..=3).for_each(|node| rotate(&group, node));
    assert_eq!(keys(&group, 1), 2);
    for _ in 0..40 {
        for node in 1..=3 {
            group.replica(node).tick(&group.peers());
            group.turn();
        }
        assert!(group.basket.lock().is_empty(), "a group that rests says nothing");
    }
    assert_rests_under_one_key(&group);
    // What was remembered is still.
    let mut again = group.write_with(1, Change::Append("a"), invocation(1));
    group.run();
    assert_eq!(answered(again.poll()), "");
    assert_eq!(group.cell(1).unwrap(), "a");
}

#[test]
fn what_is_applied_after_the_rotation_does_not_keep_the_key_that_it_was_logged_under() {
    let group = Group::led();
    tick_all(&group, 40);
    let last = group.replica(3).state.lock().core.last();
    let mut write = group.write(1, Change::Append("a"));
    // The node has the entry in its log, and does not know yet that a majority has it.
    while group.replica(3).state.lock().logged == last {
        assert!(group.step(), "the entry has not come");
        group.turn();
    }
    assert_eq!(group.replica(3).state.lock().applied, last);
    rotate(&group, 3);
    group.run();
    answered(write.poll());
    (1..=2).for_each(|node| rotate(&group, node));
    tick_all(&group, 80);
    assert_eq!(group.cell(3).unwrap(), "a");
    assert_rests_under_one_key(&group);
}
