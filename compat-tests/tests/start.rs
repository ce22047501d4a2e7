//! Starting and stopping a node, as somebody at a shell does.

use std::time::Duration;

use compat_tests::{Client, Node, now, stator};
use serde_json::json;

#[test]
fn a_node_is_ready_within_a_second_and_ends_cleanly() {
    // The first start may have to build the binary.
    stator().unwrap();
    let begun = now();
    let node = Node::start(["--ephemeral"]).unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "ready after {took:?}");
    let directory = node.data_dir().to_owned();
    assert!(directory.is_dir());
    assert!(node.interrupt().unwrap().success());
    assert!(
        !directory.exists(),
        "an ephemeral directory goes with the process"
    );
}

#[test]
fn a_second_node_on_the_same_directory_is_refused_and_the_first_serves_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let node = Node::start(["--data-dir", path]).unwrap();
    let second = stator()
        .unwrap()
        .args(["dev", "--port", "0", "--data-dir", path])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("is in use by another process"), "{said}");
    let listed = Client::connect(&node)
        .unwrap()
        .call("ListTables", &json!({}))
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(listed, json!({ "TableNames": [] }));
}

#[test]
fn addresses_beyond_loopback_are_refused() {
    let refused = stator()
        .unwrap()
        .args(["dev", "--host", "0.0.0.0"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("not a loopback address")
    );
}
