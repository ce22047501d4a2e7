//! The cluster around a node: who answers, with which clock and version, and whether all data is where it should be.
//!
//! What is asked for is separate from what is said of it, which is pure. Other nodes are asked where they are reached by nodes, at the
//! port of this node's API.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Deserialize;

use super::Check;
use crate::cli::ask::AskError;
use crate::cli::reach::{Reached, with_port};
use crate::cli::status::bytes;
use crate::clock::{Clock as _, SystemClock};
use crate::http::admin::STATUS_PATH;

/// Clocks that differ by so much make items expire, and records of streams be dated, at different times.
const OFFSET_MS: i64 = 500;
/// A twelfth of what signatures allow.
const OFFSET_MS_MAX: i64 = 75_000;
/// A follower that is so far behind will be filled from the start.
const LAG_ENTRIES: u64 = 10_000;
/// A node's disk with less free space than this part of its data has no room for compactions.
const FREE_PART: u64 = 4;

/// What a node says, as far as it is judged.
#[derive(Debug, Clone, Deserialize)]
struct Status {
    node: u64,
    #[serde(default)]
    now_ms: Option<i64>,
    nodes: Vec<Node>,
    groups: Vec<Group>,
    hints: Hints,
    #[serde(default)]
    moves: Moves,
    #[serde(default)]
    scrub: Scrub,
}

#[derive(Debug, Clone, Deserialize)]
struct Node {
    #[serde(rename = "node")]
    id: u64,
    address: String,
    liveness: String,
    #[serde(default)]
    standing: String,
    data_bytes: u64,
    free_bytes: u64,
    software: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Group {
    range: Option<u32>,
    leader: Option<u64>,
    lag: Option<u64>,
    #[serde(default)]
    is_filled: bool,
    #[serde(default)]
    diverged_at: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Hints {
    waiting: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Moves {
    pending: u64,
    lost: Vec<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Scrub {
    undecided: u64,
    files_damaged: u64,
    suspects: u64,
    is_beyond_repair: bool,
}

/// A node that answered: what it said, and when it was asked.
#[derive(Debug, Clone)]
struct Answer {
    status: Status,
    asked_ms: i64,
    answered_ms: i64,
}

/// Who was asked, and what came of it.
type Asked = (String, Result<Answer, String>);

/// Asks the node and those that it knows, and judges what they say.
pub(super) async fn examine(reached: &Reached, peers: &[String]) -> Vec<Check> {
    let own = ask(reached, &reached.endpoint).await;
    let first = match own {
        Ok(answer) => answer,
        Err(problem) => {
            let advice =
                "is it started? its log says why it does not serve; --offline looks at this machine only";
            return vec![Check::fail("node", problem, advice)];
        }
    };
    let port = reached.config.http.listen.port();
    let others = first
        .status
        .nodes
        .iter()
        .filter(|node| node.id != first.status.node && node.liveness != "down" && peers.is_empty());
    let guessed = others.filter_map(|node| Some(format!("https://{}", with_port(&node.address, port).ok()?)));
    let endpoints: Vec<String> = guessed.chain(peers.iter().cloned()).collect();
    let answers = join_all(endpoints.iter().map(|endpoint| ask(reached, endpoint))).await;
    let others: Vec<Asked> = endpoints.into_iter().zip(answers).collect();
    judge(&first, &others)
}

async fn ask(reached: &Reached, endpoint: &str) -> Result<Answer, String> {
    let asked_ms = SystemClock.now_ms();
    let body = reached
        .asker_of(endpoint)
        .get(STATUS_PATH)
        .await
        .map_err(|error| match &error {
            AskError::Refused { body, .. }
                if body.contains("Signature expired") || body.contains("Signature not yet") =>
            {
                format!(
                    "{endpoint} refuses the signature for its date: the clocks are more than 15 minutes apart"
                )
            }
            error => error.to_string(),
        })?;
    let answered_ms = SystemClock.now_ms();
    let status = serde_json::from_slice(&body);
    let status = status.map_err(|error| format!("the answer of {endpoint} is not understood: {error}"))?;
    Ok(Answer {
        status,
        asked_ms,
        answered_ms,
    })
}

fn judge(first: &Answer, others: &[Asked]) -> Vec<Check> {
    let mut checks = vec![Check::ok("node", format!("node {} serves", first.status.node))];
    for (_, answer) in others {
        if let Err(problem) = answer {
            let advice =
                "if its API is elsewhere, name it with --peer; otherwise look at its log and at the network";
            checks.push(Check::warn("node", problem.clone(), advice));
        }
    }
    let answers: Vec<&Answer> = [first]
        .into_iter()
        .chain(others.iter().filter_map(|(_, answer)| answer.as_ref().ok()))
        .collect();
    checks.extend([
        nodes(&first.status),
        versions(&first.status),
        clocks(&answers),
        leaders(&answers),
        copies(&answers),
        damage(&answers),
        hints(&answers),
        disks(&first.status),
    ]);
    checks
}

fn nodes(status: &Status) -> Check {
    let named = |wanted: &dyn Fn(&Node) -> bool| {
        let named = status.nodes.iter().filter(|node| wanted(node));
        named
            .map(|node| format!("node {} at {}", node.id, node.address))
            .collect::<Vec<_>>()
    };
    let away = named(&|node| node.liveness != "alive");
    let rejoining = named(&|node| node.standing == "rejoining");
    if !away.is_empty() {
        let found = format!(
            "{} of {} are away: {}",
            away.len(),
            status.nodes.len(),
            away.join(", ")
        );
        Check::fail(
            "nodes",
            found,
            "start them, or give them up with `stator remove`; then their ranges get other replicas",
        )
    } else if !rejoining.is_empty() {
        let found = format!(
            "filled anew after the loss of their data: {}",
            rejoining.join(", ")
        );
        Check::warn(
            "nodes",
            found,
            "wait until that is done before another one is stopped",
        )
    } else {
        Check::ok("nodes", format!("all {} are alive", status.nodes.len()))
    }
}

fn versions(status: &Status) -> Check {
    let mut versions = BTreeMap::<&str, Vec<String>>::new();
    // A node that was never met has said nothing.
    for node in status.nodes.iter().filter(|node| !node.software.is_empty()) {
        versions
            .entry(&node.software)
            .or_default()
            .push(node.id.to_string());
    }
    let told: Vec<String> = versions
        .iter()
        .map(|(version, nodes)| format!("{version} on {}", nodes.join(", ")))
        .collect();
    let found = told.join("; ");
    if versions.len() > 1 {
        Check::warn("versions", found, "finish the upgrade, one node after the other")
    } else {
        Check::ok("versions", found)
    }
}

/// How far the clock of a node is ahead of this machine's at least, in milliseconds, whatever the way took.
fn offset(answer: &Answer) -> Option<i64> {
    let now_ms = answer.status.now_ms?;
    Some(if now_ms > answer.answered_ms {
        now_ms - answer.answered_ms
    } else if now_ms < answer.asked_ms {
        now_ms - answer.asked_ms
    } else {
        0
    })
}

fn clocks(answers: &[&Answer]) -> Check {
    let offsets: Vec<(i64, u64)> = answers
        .iter()
        .filter_map(|answer| Some((offset(answer)?, answer.status.node)))
        .collect();
    let advice = "let chrony, systemd-timesyncd or ntpd keep the clocks of all machines";
    let Some((worst, node)) = offsets.iter().max_by_key(|(offset, _)| offset.abs()) else {
        return Check::warn(
            "clocks",
            "no node tells its time",
            "use one version of the program everywhere",
        );
    };
    let found = format!(
        "of {} nodes; furthest from this machine's: node {node}, by {worst} ms at least",
        offsets.len()
    );
    match worst.abs() {
        far if far > OFFSET_MS_MAX => Check::fail("clocks", found, advice),
        some if some > OFFSET_MS => Check::warn("clocks", found, advice),
        _ => Check::ok(
            "clocks",
            format!("of {} nodes are with this machine's", offsets.len()),
        ),
    }
}

fn group_name(group: &Group) -> String {
    group
        .range
        .map_or_else(|| "metadata".to_owned(), |range| format!("range {range}"))
}

/// Some names, and how many there are.
fn some(names: &BTreeSet<String>) -> String {
    let mut told: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
    if names.len() > told.len() {
        told.push("…");
    }
    format!("{} ({})", names.len(), told.join(", "))
}

/// The groups of all answers for which something holds.
fn groups(answers: &[&Answer], holds: impl Fn(&Group) -> bool) -> BTreeSet<String> {
    let groups = answers.iter().flat_map(|answer| &answer.status.groups);
    groups.filter(|group| holds(group)).map(group_name).collect()
}

fn leaders(answers: &[&Answer]) -> Check {
    // What one node knows of a leader is enough.
    let led = groups(answers, |group| group.leader.is_some());
    let without = groups(answers, |group| group.leader.is_none());
    let without: BTreeSet<String> = without.difference(&led).cloned().collect();
    if without.is_empty() {
        Check::ok("leaders", format!("{} groups have one", led.len()))
    } else {
        let advice =
            "they take no writes: start the nodes that are away, or look why these do not reach each other";
        Check::fail("leaders", format!("missing: {}", some(&without)), advice)
    }
}

fn copies(answers: &[&Answer]) -> Check {
    let unfilled = groups(answers, |group| !group.is_filled);
    let behind = groups(answers, |group| group.lag.is_some_and(|lag| lag > LAG_ENTRIES));
    let moves = answers
        .iter()
        .map(|answer| answer.status.moves.pending)
        .max()
        .unwrap_or_default();
    let lost: BTreeSet<u64> = answers
        .iter()
        .flat_map(|answer| answer.status.moves.lost.clone())
        .collect();
    if !lost.is_empty() {
        let found = format!(
            "{} nodes are held for lost, and {moves} replicas move",
            lost.len()
        );
        Check::warn(
            "copies",
            found,
            "wait until nothing moves before a node is stopped; start the lost ones, or remove them",
        )
    } else if !unfilled.is_empty() || moves > 0 {
        let found = format!("{moves} replicas move, {} are being filled", unfilled.len());
        Check::warn(
            "copies",
            found,
            "wait until that is done before a node is stopped",
        )
    } else if !behind.is_empty() {
        let found = format!(
            "more than {LAG_ENTRIES} entries behind: followers of {}",
            some(&behind)
        );
        Check::warn(
            "copies",
            found,
            "look at the disks and the network of the nodes that follow",
        )
    } else {
        Check::ok("copies", "all are filled and follow")
    }
}

fn damage(answers: &[&Answer]) -> Check {
    let diverged = groups(answers, |group| group.diverged_at.is_some());
    let sum = |of: fn(&Scrub) -> u64| -> u64 { answers.iter().map(|answer| of(&answer.status.scrub)).sum() };
    let (files, suspects, undecided) = (
        sum(|scrub| scrub.files_damaged),
        sum(|scrub| scrub.suspects),
        sum(|scrub| scrub.undecided),
    );
    if answers.iter().any(|answer| answer.status.scrub.is_beyond_repair) {
        Check::fail(
            "damage",
            "something is damaged that no other node has",
            "restore it from a backup, and replace the disk",
        )
    } else if !diverged.is_empty() {
        let advice =
            "save the data directory, empty it, and start the node with --rejoin (docs/operations.md)";
        Check::fail(
            "damage",
            format!("diverged after a power cut: {}", some(&diverged)),
            advice,
        )
    } else if files + suspects > 0 {
        let found = format!("{files} files are damaged, {suspects} replicas are under suspicion");
        Check::warn(
            "damage",
            found,
            "`stator repair` puts it right now; a disk that does it again should be replaced",
        )
    } else if undecided > 0 {
        Check::warn(
            "damage",
            format!("{undecided} differences that nobody could decide"),
            "`stator repair`, and look at the disks",
        )
    } else {
        Check::ok("damage", "none is known")
    }
}

fn hints(answers: &[&Answer]) -> Check {
    let waiting: u64 = answers.iter().map(|answer| answer.status.hints.waiting).sum();
    if waiting == 0 {
        Check::ok("hints", "none wait")
    } else {
        let found = format!("{waiting} writes wait for a majority");
        Check::warn(
            "hints",
            found,
            "they are delivered when enough nodes are there; start those that are away",
        )
    }
}

/// Disks of all nodes, as gossip tells them.
fn disks(status: &Status) -> Check {
    let full: Vec<String> = status
        .nodes
        .iter()
        .filter(|node| node.data_bytes > 0 && node.free_bytes < node.data_bytes / FREE_PART)
        .map(|node| {
            format!(
                "node {}: {} free, {} of data",
                node.id,
                bytes(node.free_bytes),
                bytes(node.data_bytes)
            )
        })
        .collect();
    if full.is_empty() {
        Check::ok("disks", "all nodes have room")
    } else {
        Check::warn(
            "disks",
            full.join("; "),
            "add disks or nodes: a node whose disk is full stops (`stator plan`)",
        )
    }
}

#[cfg(test)]
mod tests;
