//! What must hold when everything is healed: nodes agree, nothing is locked, nothing waits, nothing has leaked.
//!
//! Invariant: only looks. A read at ALL mends what it finds; that it had to is an error here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::nemesis::{Going, forget};
use super::usage::Usage;
use crate::{Access, Balancer, Client, Cluster, Member, Result, clock, moves};

/// Within which time a cluster that is whole again has done what was left to do.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Within which time replicas move that have to: how many have to is another number then. How long all of it takes depends on how
/// many nodes share how many processors.
const MOVES_WITHIN: Duration = Duration::from_secs(120);
/// And all of it within that, whatever moves.
const MOVED_WITHIN: Duration = Duration::from_secs(1200);
/// How many nodes have each range.
const REPLICAS: usize = 3;
/// Items of a table that are read at ALL; all are compared as each node has them.
const READ_AT_ALL: usize = 400;
/// What names the level of a request (`server/src/consistency.rs`).
const LEVEL: &str = "x-stator-consistency";

/// What was compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Agreed {
    /// Items that every node has alike.
    pub items: usize,
    /// Items that were read at ALL.
    pub read_at_all: usize,
}

/// Waits until all nodes know each other again and every range has a leader.
///
/// # Errors
/// What is missing after a while, in words.
pub fn wait_until_whole(cluster: &Cluster) -> Result<()> {
    // Who has lost its disk is no member before it has everything again.
    wait_for(MOVES_WITHIN * 2, || {
        statuses(cluster)?.iter().try_for_each(is_whole)
    })
}

/// Waits until nodes that are to be gone are, and forgets them.
///
/// # Errors
/// The first one that is still there after a while.
pub(super) fn wait_until_gone(cluster: &mut Cluster, balancer: &Balancer, going: Going) -> Result<()> {
    let mut left = going;
    let mut gone = Vec::new();
    let mut outcome = Ok(());
    // All are looked at each time: what one waits for may be what another has failed at.
    holds_while_moving(cluster, || {
        left.retain(|node, change| match change.is_done() {
            Ok(is_done) => {
                gone.extend(is_done.then_some(*node));
                !is_done
            }
            Err(error) => {
                outcome = Err(format!("node {node}: {error}"));
                true
            }
        });
        outcome.is_err() || left.is_empty()
    });
    outcome?;
    if !left.is_empty() {
        let (nodes, pending) = (left.keys(), moves::pending(cluster));
        return Err(format!("nodes {nodes:?} do not go: {pending:?} replicas have to move").into());
    }
    for node in gone {
        if cluster.members.iter().any(|member| member.id == node) {
            forget(cluster, balancer, node)?;
        }
    }
    Ok(())
}

/// Waits until every range is on as many nodes as it is to be, no old copy is left, and all nodes have even shares.
///
/// # Errors
/// What is not so after a while.
pub(super) fn wait_until_even(cluster: &Cluster) -> Result<()> {
    let mut left = String::new();
    let is_even = || {
        moves::placed(cluster)?.is_even(REPLICAS)?;
        match moves::pending(cluster) {
            Some(0) => Ok(()),
            pending => Err(format!("{pending:?} replicas have to move").into()),
        }
    };
    let holds = holds_while_moving(cluster, || {
        let even: Result<()> = is_even();
        left = even.err().map(|error| error.to_string()).unwrap_or_default();
        left.is_empty()
    });
    if holds {
        return Ok(());
    }
    Err(format!("nothing moves any more: {left}").into())
}

/// Whether a condition comes to hold while replicas move.
fn holds_while_moving(cluster: &Cluster, mut condition: impl FnMut() -> bool) -> bool {
    let begun = clock::now();
    holds_while_changing(
        || clock::holds_within(MOVES_WITHIN, &mut condition),
        || moves::pending(cluster),
        || begun.elapsed() >= MOVED_WITHIN,
    )
}

/// Whether something comes to hold that is tried again and again: as long as what is left has changed with each try, and until
/// time is over.
fn holds_while_changing<T: PartialEq>(
    mut comes_to_hold: impl FnMut() -> bool,
    mut left: impl FnMut() -> T,
    mut is_over: impl FnMut() -> bool,
) -> bool {
    let mut before = left();
    loop {
        if comes_to_hold() {
            return true;
        }
        let now = left();
        if now == before || is_over() {
            return false;
        }
        before = now;
    }
}

/// Waits until the nodes have nothing left to do.
///
/// # Errors
/// What is left after a while, in words.
pub(super) fn wait_until_idle(cluster: &Cluster) -> Result<()> {
    wait_for(SETTLED_WITHIN, || {
        let statuses = statuses(cluster)?;
        statuses.iter().try_for_each(is_whole)?;
        statuses.iter().try_for_each(is_idle)?;
        are_even(&statuses)
    })
}

fn wait_for(limit: Duration, condition: impl Fn() -> Result<()>) -> Result<()> {
    let mut left = String::new();
    let holds = clock::holds_within(limit, || {
        left = condition()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        left.is_empty()
    });
    if holds {
        return Ok(());
    }
    Err(format!("{} s after everything was healed: {left}", limit.as_secs()).into())
}

fn statuses(cluster: &Cluster) -> Result<Vec<Value>> {
    cluster.members.iter().map(Member::status).collect()
}

fn groups(status: &Value) -> impl Iterator<Item = &Value> {
    status["groups"].as_array().into_iter().flatten()
}

fn is_whole(status: &Value) -> Result<()> {
    let node = &status["node"];
    let mut nodes = status["nodes"].as_array().into_iter().flatten();
    let takes_part =
        |other: &&Value| other["liveness"] == json!("alive") && other["standing"] == json!("member");
    if let Some(other) = nodes.find(|other| !takes_part(other)) {
        return Err(format!("node {node} says: {other}").into());
    }
    let is_led = |group: &&Value| group["diverged_at"].is_null() && !group["leader"].is_null();
    match groups(status).find(|group| !is_led(group)) {
        Some(group) => Err(format!("node {node} has the group {group}").into()),
        None => Ok(()),
    }
}

fn is_idle(status: &Value) -> Result<()> {
    let (node, waiting) = (&status["node"], &status["hints"]["waiting"]);
    if *waiting != json!(0) {
        return Err(format!("node {node} has {waiting} hints").into());
    }
    let is_idle = |group: &&Value| {
        let is_zero = |name: &str| group[name] == json!(0);
        is_zero("prepared") && is_zero("forwarding") && group["applied"] == group["committed"]
    };
    match groups(status).find(|group| !is_idle(group)) {
        Some(group) => Err(format!("node {node} has the group {group}").into()),
        None => Ok(()),
    }
}

/// Holds that each group is applied equally far wherever it has a replica.
fn are_even(statuses: &[Value]) -> Result<()> {
    let mut applied: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for group in statuses.iter().flat_map(groups) {
        let own = applied.entry(group["group"].to_string()).or_default();
        own.insert(group["applied"].to_string());
    }
    match applied.iter().find(|(_, indices)| indices.len() > 1) {
        Some((group, indices)) => Err(format!("group {group} is applied up to {indices:?}").into()),
        None => Ok(()),
    }
}

/// Holds that all nodes have the same items, also at ALL.
///
/// # Errors
/// The first item that they have not, and what each has.
pub(super) fn agree(cluster: &Cluster, tables: &[String]) -> Result<Agreed> {
    let repaired = |cluster: &Cluster| -> Result<Vec<Value>> {
        let statuses = cluster.members.iter().map(Member::status);
        statuses
            .map(|status| Ok(status?["read_repair"]["repaired"].clone()))
            .collect()
    };
    let agreed = alike(cluster, tables)?;
    let repaired = repaired(cluster)?;
    if repaired.iter().any(|count| *count != json!(0)) {
        return Err(format!("nodes have found replicas that differ, and repaired them: {repaired:?}").into());
    }
    Ok(agreed)
}

/// Holds that all nodes have the same items, also at ALL, after whatever was put right.
///
/// # Errors
/// The first item that they have not, and what each has.
pub fn alike(cluster: &Cluster, tables: &[String]) -> Result<Agreed> {
    let mut agreed = Agreed::default();
    for table in tables {
        let mut first: Option<BTreeMap<String, Value>> = None;
        for member in &cluster.members {
            let items = scan(cluster.access(), member.address, table)?;
            match &first {
                None => first = Some(items),
                Some(first) => differ(table, member.id, first, &items)?,
            }
        }
        let items = first.unwrap_or_default();
        let any = cluster.members.first().ok_or("no nodes")?;
        let mut client = Client::open(cluster.access(), any.address)?;
        for (key, item) in items.iter().take(READ_AT_ALL) {
            let request = json!({ "TableName": table, "Key": { "pk": { "S": key } } });
            let answer = client.call_with("GetItem", &request, &[(LEVEL, "ALL")])?.ok()?;
            if answer["Item"] != *item {
                return Err(format!("{table}, {key}: {item} on each node, {answer} at ALL").into());
            }
            agreed.read_at_all += 1;
        }
        agreed.items += items.len();
    }
    Ok(agreed)
}

/// All items of a table as one node has applied them.
fn scan(access: Access, node: SocketAddr, table: &str) -> Result<BTreeMap<String, Value>> {
    let mut client = Client::open(access, node)?;
    let (mut items, mut request) = (BTreeMap::new(), json!({ "TableName": table }));
    loop {
        let page = client.call_with("Scan", &request, &[(LEVEL, "ONE")])?.ok()?;
        for item in page["Items"].as_array().into_iter().flatten() {
            let key = item["pk"]["S"].as_str().ok_or("an item without a key")?;
            items.insert(key.to_owned(), item.clone());
        }
        match &page["LastEvaluatedKey"] {
            Value::Null => return Ok(items),
            last => request["ExclusiveStartKey"] = last.clone(),
        }
    }
}

fn differ(
    table: &str,
    node: u64,
    first: &BTreeMap<String, Value>,
    items: &BTreeMap<String, Value>,
) -> Result<()> {
    let keys: BTreeSet<&String> = first.keys().chain(items.keys()).collect();
    match keys.into_iter().find(|key| first.get(*key) != items.get(*key)) {
        None => Ok(()),
        Some(key) => {
            let (one, other) = (first.get(key), items.get(key));
            Err(format!("{table}, {key}: {one:?} on the first node, {other:?} on node {node}").into())
        }
    }
}

/// What each node has of the machine, by its number.
pub(super) type Usages = BTreeMap<u64, Usage>;

/// What each node has of the machine.
///
/// # Errors
/// When one does not run.
pub(super) fn usage(cluster: &Cluster) -> Result<Usages> {
    let members = cluster.members.iter();
    let usages = members.map(|member| {
        let pid = member.pid().ok_or("a node does not run")?;
        Ok((member.id, Usage::of(pid)?))
    });
    usages.collect()
}

/// Waits until each node that was there at first has about as much of the machine as then.
///
/// # Errors
/// What a node has that it does not let go of.
pub(super) fn nothing_leaked(cluster: &Cluster, first: &Usages) -> Result<Usages> {
    let mut now = usage(cluster)?;
    let leaked = |now: &Usages| {
        let both = now
            .iter()
            .filter_map(|(node, now)| Some((node, first.get(node)?, now)));
        let mut leaked = both.filter_map(|(node, first, now)| Some((*node, now.leaked_since(first)?)));
        leaked.next()
    };
    clock::holds_within(SETTLED_WITHIN, || {
        now = usage(cluster).unwrap_or_default();
        !now.is_empty() && leaked(&now).is_none()
    });
    match leaked(&now) {
        Some((node, what)) => {
            let (first, now) = (first.get(&node), now.get(&node));
            Err(format!("node {node} keeps {what}: {now:?}; {first:?} at first").into())
        }
        None => Ok(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries until the one of this number; what is left at first and after each try, and after how many tries time is over. Whether
    /// it holds, and after how many tries that is known.
    fn tried(holds_at: usize, left: &[Option<u64>], over_after: usize) -> (bool, usize) {
        let (mut tries, mut looks) = (0, 0);
        let mut left = left.iter().copied();
        let holds = holds_while_changing(
            || {
                tries += 1;
                tries == holds_at
            },
            || left.next().expect("as many looks"),
            || {
                looks += 1;
                looks >= over_after
            },
        );
        (holds, tries)
    }

    #[test]
    fn what_moves_is_waited_for_as_long_as_it_moves_and_no_longer() {
        // More may have to move than before: a node has gone meanwhile.
        let moving = [7, 5, 9, 3, 0].map(Some);
        assert_eq!(tried(4, &moving, 9), (true, 4));
        assert_eq!(tried(1, &[Some(7)], 9), (true, 1));
        let stuck = [7, 5, 5].map(Some);
        assert_eq!(tried(4, &stuck, 9), (false, 2));
        assert_eq!(tried(9, &moving, 3), (false, 3), "it moves for ever");
        assert_eq!(tried(9, &[None, None], 9), (false, 1), "nobody says anything");
    }
}
