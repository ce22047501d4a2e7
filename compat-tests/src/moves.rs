//! What the nodes of a cluster say of replicas that move, and where replicas lie in the end.
//!
//! Invariant: only looks; a node that does not answer says nothing. Not here: who has it moved (`membership.rs`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{Cluster, Member, Result};

/// Where the replicas of ranges lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// By range, the nodes that the groups name.
    pub wanted: BTreeMap<u64, BTreeSet<u64>>,
    /// By node, the ranges of which it has a replica.
    pub had: BTreeMap<u64, BTreeSet<u64>>,
    /// By node, the bytes of its data.
    pub bytes: BTreeMap<u64, u64>,
}

/// How many replicas have to move, as far as any node knows.
pub fn pending(cluster: &Cluster) -> Option<u64> {
    let running = cluster.members.iter().filter(|member| member.is_running());
    let statuses = running.filter_map(|member| member.status().ok());
    statuses
        .filter_map(|status| status["moves"]["pending"].as_u64())
        .max()
}

/// Where replicas lie.
///
/// # Errors
/// When a node does not answer, waits for something, or its groups have no leader.
pub fn placed(cluster: &Cluster) -> Result<Placed> {
    let mut placed = Placed::default();
    for member in &cluster.members {
        let status = member.status()?;
        if !status["waits_for"].is_null() {
            return Err(format!("node {} waits for {}", member.id, status["waits_for"]).into());
        }
        placed.take(member, &status)?;
    }
    Ok(placed)
}

impl Placed {
    fn take(&mut self, member: &Member, status: &Value) -> Result<()> {
        let had = self.had.entry(member.id).or_default();
        for group in status["groups"].as_array().into_iter().flatten() {
            let Some(range) = group["group"].as_u64().filter(|_| !group["range"].is_null()) else {
                continue;
            };
            if group["leader"].is_null() || group["is_filled"] != json!(true) {
                return Err(format!("node {} has the group {group}", member.id).into());
            }
            had.insert(range);
            let nodes = group["replicas"].as_array().into_iter().flatten();
            let nodes: BTreeSet<u64> = nodes.filter_map(Value::as_u64).collect();
            let wanted = self.wanted.entry(range).or_insert_with(|| nodes.clone());
            if *wanted != nodes {
                return Err(format!("range {range} is of {wanted:?} and of {nodes:?}").into());
            }
        }
        let mut nodes = status["nodes"].as_array().into_iter().flatten();
        let own = nodes.find(|node| node["node"] == json!(member.id));
        let bytes = own
            .and_then(|node| node["data_bytes"].as_u64())
            .unwrap_or_default();
        self.bytes.insert(member.id, bytes);
        Ok(())
    }

    /// Holds that each range has so many replicas, on nodes that have it, and nowhere else; and that no node has more than one
    /// range more than another.
    ///
    /// # Errors
    /// What is not so.
    pub fn is_even(&self, replicas: usize) -> Result<()> {
        for (range, nodes) in &self.wanted {
            let having = self.had.iter().filter(|(_, ranges)| ranges.contains(range));
            let having: BTreeSet<u64> = having.map(|(node, _)| *node).collect();
            if having != *nodes || nodes.len() != replicas {
                return Err(format!("range {range} is of {nodes:?}, and {having:?} have it").into());
            }
        }
        let counts: BTreeMap<u64, usize> = self.had.iter().map(|(node, own)| (*node, own.len())).collect();
        let (least, most) = (counts.values().min(), counts.values().max());
        match (least, most) {
            (Some(least), Some(most)) if *most <= least + 1 && *most > 0 => Ok(()),
            _ => Err(format!("the nodes have so many ranges: {counts:?}").into()),
        }
    }

    /// All bytes on all nodes.
    pub fn all_bytes(&self) -> u64 {
        self.bytes.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(had: &[(u64, &[u64])], wanted: &[(u64, &[u64])]) -> Placed {
        let map = |pairs: &[(u64, &[u64])]| {
            let pairs = pairs.iter();
            pairs
                .map(|(one, many)| (*one, many.iter().copied().collect()))
                .collect()
        };
        Placed {
            wanted: map(wanted),
            had: map(had),
            bytes: BTreeMap::new(),
        }
    }

    #[test]
    fn copies_that_are_left_behind_or_missing_or_uneven_are_told() {
        let wanted: &[(u64, &[u64])] = &[(7, &[1, 2]), (8, &[2, 3]), (9, &[1, 3])];
        let even = placed(&[(1, &[7, 9]), (2, &[7, 8]), (3, &[8, 9])], wanted);
        even.is_even(2).unwrap();
        even.is_even(3).unwrap_err();
        let left = placed(&[(1, &[7, 8, 9]), (2, &[7, 8]), (3, &[8, 9])], wanted);
        left.is_even(2).unwrap_err();
        let missing = placed(&[(1, &[7]), (2, &[7, 8]), (3, &[8, 9])], wanted);
        missing.is_even(2).unwrap_err();
        let uneven = placed(
            &[(1, &[7, 8, 9]), (2, &[7, 8, 9]), (3, &[])],
            &[(7, &[1, 2]), (8, &[1, 2]), (9, &[1, 2])],
        );
        uneven.is_even(2).unwrap_err();
    }
}
