//! `stator demo-cluster`: three nodes in one command, and no process left when it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use compat_tests::load::{create_table, read};
use compat_tests::{Access, Mode, Random, Sdk, address, holds_within, stator};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// Ends the whole cluster when a test fails: its nodes end with their parent.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn pid(number: u64) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

fn start(directory: &Path, more: &[&str]) -> (Demo, Value) {
    let mut child = stator()
        .unwrap()
        .args(["demo-cluster", "--nodes", "3", "--json", "--dir"])
        .arg(directory)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let demo = Demo(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (demo, serde_json::from_str(&line).unwrap())
}

fn sdk(ready: &Value, node: usize) -> Sdk {
    let text = |name: &str| ready[name].as_str().unwrap();
    let ca_file = PathBuf::from(text("ca_file"));
    let access = Access::new(
        text("region"),
        text("access_key_id"),
        text("secret_access_key"),
        Some(&ca_file),
    );
    let endpoint = ready["nodes"][node]["endpoint"].as_str().unwrap();
    let random = Random::new(1, 1);
    Sdk::new(
        access.unwrap(),
        address(endpoint).unwrap(),
        Mode::Standard,
        random,
    )
}

fn pids(ready: &Value) -> Vec<Pid> {
    let nodes = ready["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3, "{ready}");
    nodes
        .iter()
        .map(|node| pid(node["pid"].as_u64().unwrap()))
        .collect()
}

#[test]
fn what_one_node_takes_all_nodes_give() {
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, ready) = start(&directory.path().join("demo"), &[]);
    let nodes = pids(&ready);
    create_table(&mut sdk(&ready, 0), "demo").unwrap();
    let item = json!({ "TableName": "demo", "Item": { "pk": { "S": "a" }, "v": { "N": "5" } } });
    sdk(&ready, 1).ok("PutItem", &item).unwrap();
    for node in 0..3 {
        assert_eq!(
            read(&mut sdk(&ready, node), "demo", "a").unwrap(),
            Some(5),
            "node {node}"
        );
    }
    kill_process(pid(demo.0.id().into()), Signal::TERM).unwrap();
    let ended = holds_within(ENDED_WITHIN, || demo.0.try_wait().unwrap().is_some());
    assert!(ended, "demo-cluster goes on after SIGTERM");
    assert!(
        nodes.iter().all(|node| test_kill_process(*node).is_err()),
        "a node goes on"
    );
}

#[test]
fn nodes_end_with_a_parent_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let (demo, ready) = start(&directory.path().join("demo"), &["--durability", "interval"]);
    let nodes = pids(&ready);
    drop(demo);
    // Whoever adopts them may take a moment to notice.
    let ended = holds_within(ENDED_WITHIN, || {
        nodes
            .iter()
            .all(|node| test_kill_process(*node).is_err() || is_zombie(*node))
    });
    assert!(ended, "a node goes on");
}

/// Whether a process has ended and nobody has asked how (Linux, `proc(5)`: the field after the name in `stat`).
fn is_zombie(process: Pid) -> bool {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

#[test]
fn a_node_that_is_killed_is_started_again_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (_demo, ready) = start(&directory.path().join("demo"), &["--restart"]);
    create_table(&mut sdk(&ready, 0), "demo").unwrap();
    kill_process(pids(&ready)[2], Signal::KILL).unwrap();
    let list = json!({});
    assert!(holds_within(ENDED_WITHIN, || sdk(&ready, 2)
        .ok("ListTables", &list)
        .is_ok()));
}
