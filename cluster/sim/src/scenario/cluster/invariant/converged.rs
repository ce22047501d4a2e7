//! Replicas that have applied the same have the same bytes.

use std::collections::BTreeMap;

use stator_cluster::NodeId;
use stator_cluster::ring::{RangeBits, RangeId};

use crate::scenario::cluster::invariant::Invariant;
use crate::scenario::cluster::node::{GroupView, Rows};
use crate::scenario::cluster::place::KeyspaceName;

/// What a node holds and how far its groups are, at one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::scenario::cluster) struct Holdings {
    pub(in crate::scenario::cluster) groups: Vec<GroupView>,
    pub(in crate::scenario::cluster) rows: BTreeMap<KeyspaceName, Rows>,
}

/// Whether every group has a leader and all of its replicas have applied all of its log; if not, what is missing.
pub(in crate::scenario::cluster) fn at_rest(nodes: &BTreeMap<NodeId, Vec<GroupView>>) -> Result<(), String> {
    let mut applied: BTreeMap<u64, (NodeId, u64)> = BTreeMap::new();
    for (node, groups) in nodes {
        for view in groups {
            let group = view.group;
            if !view.is_filled {
                return Err(format!("node {node} waits for what group {group} has"));
            }
            if view.leader.is_none() {
                return Err(format!("node {node} knows no leader of group {group}"));
            }
            if view.prepared > 0 {
                return Err(format!(
                    "node {node} holds locks of {} transactions in group {group}",
                    view.prepared
                ));
            }
            if view.applied < view.committed {
                return Err(format!(
                    "node {node} has applied {} of {} entries of group {group}",
                    view.applied, view.committed
                ));
            }
            let (first, index) = *applied.entry(group).or_insert((*node, view.applied));
            if index != view.applied {
                return Err(format!(
                    "of group {group}, node {first} has applied {index} entries and node {node} {}",
                    view.applied
                ));
            }
        }
    }
    if applied.is_empty() {
        return Err("no node knows any group".to_owned());
    }
    Ok(())
}

/// Checks nodes that are at rest: of every range, all replicas have the same rows.
///
/// # Errors
/// The first row that differs.
pub(in crate::scenario::cluster) fn check(
    bits: RangeBits,
    nodes: &BTreeMap<NodeId, Holdings>,
) -> Result<(), String> {
    type Cut = BTreeMap<KeyspaceName, Rows>;
    let mut known: BTreeMap<u64, (NodeId, Cut)> = BTreeMap::new();
    for (node, holdings) in nodes {
        for view in &holdings.groups {
            let cut: Cut = holdings
                .rows
                .iter()
                .map(|(keyspace, rows)| (keyspace.clone(), rows_of(bits, view.range, keyspace, rows)))
                .collect();
            let (first, other) = known.entry(view.group).or_insert_with(|| (*node, cut.clone()));
            if *other != cut {
                return Err(Invariant::Converged.broken(format_args!(
                    "replicas of group {} differ after entry {} on nodes {first} and {node}: {}",
                    view.group,
                    view.applied,
                    difference(other, &cut)
                )));
            }
        }
    }
    Ok(())
}

/// The rows of a keyspace that a group is responsible for.
fn rows_of(bits: RangeBits, range: Option<RangeId>, keyspace: &KeyspaceName, rows: &Rows) -> Rows {
    let own = rows.iter().filter(|(key, _)| match range {
        None => keyspace.is_metadata(),
        Some(range) => !keyspace.is_metadata() && bits.range_of_key(key) == range,
    });
    own.cloned().collect()
}

fn difference(one: &BTreeMap<KeyspaceName, Rows>, other: &BTreeMap<KeyspaceName, Rows>) -> String {
    let names = |cut: &BTreeMap<KeyspaceName, Rows>| {
        let names: Vec<_> = cut.keys().map(ToString::to_string).collect();
        names.join(", ")
    };
    if !one.keys().eq(other.keys()) {
        return format!("keyspaces {} and {}", names(one), names(other));
    }
    let pairs = one.iter().zip(other.values());
    for ((keyspace, one), other) in pairs.filter(|((_, one), other)| one != other) {
        let rows = |rows: &Rows| rows.iter().cloned().collect::<BTreeMap<_, _>>();
        let (one, other) = (rows(one), rows(other));
        let mut keys = one.keys().chain(other.keys());
        if let Some(key) = keys.find(|key| one.get(*key) != other.get(*key)) {
            return format!(
                "keyspace {keyspace} has {} and {} rows; key {key:02x?} is {:02x?} and {:02x?}",
                one.len(),
                other.len(),
                one.get(key),
                other.get(key)
            );
        }
    }
    "in the order of their rows".to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn view(group: u64, range: Option<u32>, applied: u64) -> GroupView {
        GroupView {
            group,
            range: range.map(RangeId),
            replica: 1,
            replicas: Vec::new(),
            leader: Some(NodeId(1)),
            term: 1,
            committed: applied,
            applied,
            prepared: 0,
            is_diverged: false,
            is_filled: true,
        }
    }

    /// Keyspace, of which the empty name is the metadata; key; cell.
    type Row = (&'static str, [u8; 8], &'static [u8]);

    fn holdings(rows: &[Row]) -> Holdings {
        let mut of_keyspaces: BTreeMap<KeyspaceName, Rows> = BTreeMap::new();
        of_keyspaces.insert(KeyspaceName::metadata(), Rows::new());
        of_keyspaces.insert(KeyspaceName::new("main"), Rows::new());
        for (keyspace, key, cell) in rows {
            let name = if keyspace.is_empty() {
                KeyspaceName::metadata()
            } else {
                KeyspaceName::new(*keyspace)
            };
            let rows = of_keyspaces.entry(name).or_default();
            rows.push((key.to_vec(), Bytes::from_static(cell)));
        }
        Holdings {
            groups: vec![view(0, None, 3), view(1, Some(0), 5)],
            rows: of_keyspaces,
        }
    }

    const LOW: [u8; 8] = [1; 8];
    const HIGH: [u8; 8] = [200; 8];

    #[test]
    fn replicas_have_to_agree_on_the_ranges_that_they_share() {
        let judged = |other: Holdings| {
            let one = holdings(&[("main", LOW, b"a"), ("", HIGH, b"m")]);
            check(RangeBits::MIN, &[(NodeId(1), one), (NodeId(2), other)].into())
        };
        // The upper half of the ring is in no group that both have.
        let more = holdings(&[("main", LOW, b"a"), ("main", HIGH, b"b"), ("", HIGH, b"m")]);
        assert_eq!(judged(more), Ok(()));
        let wrong: [&[Row]; 4] = [
            &[("main", LOW, b"b"), ("", HIGH, b"m")],
            &[("", HIGH, b"m")],
            &[("main", LOW, b"a"), ("", HIGH, b"n")],
            &[("main", LOW, b"a"), ("", HIGH, b"m"), ("other", HIGH, b"x")],
        ];
        for rows in wrong {
            let reason = judged(holdings(rows)).unwrap_err();
            assert!(reason.starts_with("converged: replicas of group"), "{reason}");
        }
    }

    #[test]
    fn groups_are_at_rest_when_all_have_applied_the_same() {
        let at_rest = |one: GroupView, other: GroupView| {
            at_rest(&[(NodeId(1), vec![one]), (NodeId(2), vec![other])].into())
        };
        let usual = view(1, Some(0), 5);
        assert_eq!(at_rest(usual.clone(), usual.clone()), Ok(()));
        let wrong = [
            view(1, Some(0), 4),
            GroupView {
                committed: 6,
                ..usual.clone()
            },
            GroupView {
                leader: None,
                ..usual.clone()
            },
        ];
        for other in wrong {
            assert!(at_rest(usual.clone(), other).is_err());
        }
        assert!(super::at_rest(&BTreeMap::new()).is_err());
    }
}
