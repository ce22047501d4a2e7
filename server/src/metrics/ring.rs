//! What is told of the ring beside what the status is about: replicas, terms, moves, and what was said to other nodes.

use stator_cluster::{ClusterStatus, GroupStatus, NodeStatus};

use super::{Kind, Metric, count};

fn groups(status: &ClusterStatus, holds: impl Fn(&&GroupStatus) -> bool) -> u64 {
    count(status.groups.iter().filter(holds).count())
}

fn own(status: &ClusterStatus, value: fn(&NodeStatus) -> u64) -> u64 {
    let own = status.nodes.iter().find(|node| node.node == status.node);
    own.map_or(0, value)
}

/// The metrics that have one value.
pub(super) const METRICS: &[Metric] = &[
    (
        "stator_replicas",
        Kind::Gauge,
        "Replicas of token ranges that this node has.",
        |status| groups(status, |group| group.range.is_some()),
    ),
    (
        "stator_replicas_unfilled",
        Kind::Gauge,
        "Replicas of this node that are being filled.",
        |status| groups(status, |group| !group.is_filled),
    ),
    (
        "stator_groups_quiet",
        Kind::Gauge,
        "Groups of this node that rest.",
        |status| groups(status, |group| group.quiet),
    ),
    (
        "stator_terms",
        Kind::Gauge,
        "Sum of the terms of this node's groups: it goes up with every election.",
        |status| status.groups.iter().map(|group| group.term).sum(),
    ),
    (
        "stator_moves_pending",
        Kind::Gauge,
        "Replicas of the cluster that have to move, as far as this node has heard.",
        |status| count(status.moves.pending),
    ),
    (
        "stator_disk_data_bytes",
        Kind::Gauge,
        "Bytes of data on this node's disk.",
        |status| own(status, |node| node.data_bytes),
    ),
    (
        "stator_disk_free_bytes",
        Kind::Gauge,
        "Bytes that are free on this node's disk.",
        |status| own(status, |node| node.free_bytes),
    ),
    (
        "stator_started_seconds",
        Kind::Gauge,
        "When this node was started, in seconds since the Unix epoch.",
        |status| own(status, |node| node.started_at_ms / 1000),
    ),
    (
        "stator_exchange_requests_sent_total",
        Kind::Counter,
        "Requests to other nodes.",
        |status| status.exchange.requests_sent,
    ),
    (
        "stator_exchange_requests_timed_out_total",
        Kind::Counter,
        "Requests to other nodes that were not answered in time.",
        |status| status.exchange.requests_timed_out,
    ),
    (
        "stator_exchange_requests_failed_total",
        Kind::Counter,
        "Requests to other nodes that were not answered because the node went away.",
        |status| status.exchange.requests_failed,
    ),
    (
        "stator_exchange_requests_received_total",
        Kind::Counter,
        "Requests of other nodes.",
        |status| status.exchange.requests_received,
    ),
    (
        "stator_raft_messages_sent_total",
        Kind::Counter,
        "Messages of groups to other nodes.",
        |status| status.exchange.raft_messages_sent,
    ),
    (
        "stator_raft_messages_received_total",
        Kind::Counter,
        "Messages of groups from other nodes.",
        |status| status.exchange.raft_messages_received,
    ),
];
