//! How a cluster stands, as one node knows it.
//!
//! Invariant: plain data for people and programs to look at; nothing is decided from it. Not here: gathering it from other
//! nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use stator_storage::EngineStatistics;
use uuid::Uuid;

use crate::coordinator::Cluster;
use crate::gossip::{self, Gossiper, NodeState};
use crate::group::apply::METADATA_GROUP;
use crate::hints::HintStatus;
use crate::node::exchange::ExchangeStatistics;
use crate::ring::{Layout, NodeStanding, Plan, RangeId};
use crate::world::NodeId;

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It did not answer lately, and may yet.
    Suspect,
    /// It failed or left.
    Down,
    /// It was never met.
    Unknown,
}

/// Whether a node's replicas are those that the cluster counts for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// They are.
    Member,
    /// It has lost its data, and has none until it gets new ones.
    Rejoining,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its id.
    pub node: NodeId,
    /// Where others reach it.
    pub address: String,
    /// Its zone.
    pub zone: String,
    /// Its rack.
    pub rack: String,
    /// Whether it takes part.
    pub liveness: Liveness,
    /// Whether it takes part as what it was.
    pub standing: Standing,
    /// How often it was started.
    pub incarnation: u64,
    /// How many token ranges it leads.
    pub leaders: u64,
    /// How many token ranges it has a replica of.
    pub replicas: u64,
    /// Requests served per second.
    pub requests_per_second: u64,
    /// Bytes of data on its disk.
    pub data_bytes: u64,
    /// Bytes that are free on its disk.
    pub free_bytes: u64,
    /// Operations that wait in its hints.
    pub hints_waiting: u64,
    /// The version of its program.
    pub software: String,
    /// Which formats its program reads, by their generation ([`FORMATS`](crate::FORMATS)).
    pub formats: u32,
    /// When it was started, in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
}

/// A group of which the node has a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupStatus {
    /// Its number; 0 is that of the metadata.
    pub group: u32,
    /// Its token range.
    pub range: Option<RangeId>,
    /// The id of this node's replica in the group.
    pub replica: u64,
    /// Whether it has what the group has; otherwise it is being filled.
    pub is_filled: bool,
    /// The nodes that have a replica.
    pub replicas: Vec<NodeId>,
    /// The node that leads, as far as this one knows.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// The last entry that is known to be committed.
    pub committed: u64,
    /// The last entry that is applied on this node.
    pub applied: u64,
    /// Whether it is quiet.
    pub quiet: bool,
    /// Entries that the slowest replica lacks; only a leader knows.
    pub lag: Option<u64>,
    /// Entries with rows of indexes or streams that other ranges are not known to have taken.
    pub forwarding: u64,
    /// Transactions that are prepared in it, whose cells are locked.
    pub prepared: u64,
    /// For how long the oldest of them has been, in milliseconds, as far as this node has seen.
    pub locked_ms: u64,
    /// The first entry that this replica holds for committed and the majority has lost, if it was seen to have one: it
    /// takes no part then, and waits to be filled anew.
    pub diverged_at: Option<u64>,
    /// Whether this replica is under suspicion: not read from until it is put right.
    pub is_suspect: bool,
}

/// Read repair of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadRepairStatus {
    /// Cells that were compared since the start.
    pub checked: u64,
    /// Cells that were made equal.
    pub repaired: u64,
}

/// Comparisons and checks of this node. What is counted is counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScrubStatus {
    /// Ranges that were compared by this node as their leader.
    pub ranges: u64,
    /// Bytes of cells of this node that were digested.
    pub bytes: u64,
    /// Leaves of digests that differed.
    pub differences: u64,
    /// Leaves of digests that differed, of which nobody can say who is right.
    pub undecided: u64,
    /// Cells of this node that were put right.
    pub healed: u64,
    /// When a range was compared last, in milliseconds since the Unix epoch; 0 for never.
    pub last_at_ms: u64,
    /// Files of this node that were checked.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// When all files were checked last, in milliseconds since the Unix epoch; 0 for never.
    pub files_at_ms: u64,
    /// Files of this node that are damaged.
    pub files_damaged: u64,
    /// Replicas of this node that are under suspicion: not read from until they are put right.
    pub suspects: u64,
    /// Whether something of this node is damaged that no other node has.
    pub is_beyond_repair: bool,
}

/// Replicas that are to be elsewhere, and nodes that are not simply members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MovesStatus {
    /// How many replicas have to move.
    pub pending: usize,
    /// By node, how many it is to get.
    pub coming: BTreeMap<NodeId, usize>,
    /// By node, how many it is to give up.
    pub going: BTreeMap<NodeId, usize>,
    /// Nodes that give up all that they have and leave.
    pub leaving: Vec<NodeId>,
    /// Nodes that have been away for so long that their ranges get replicas elsewhere.
    pub lost: Vec<NodeId>,
    /// Nodes that have left.
    pub departed: Vec<NodeId>,
}

impl MovesStatus {
    /// What a plan says.
    pub(crate) fn of(plan: &Plan) -> Self {
        let standing = |wanted: NodeStanding| {
            let nodes = plan.standings.iter();
            let nodes = nodes.filter(|(_, standing)| **standing == wanted);
            nodes.map(|(node, _)| *node).collect()
        };
        let pending = plan.pending();
        let mut status = Self {
            pending: pending.len(),
            leaving: standing(NodeStanding::Leaving),
            lost: standing(NodeStanding::Lost),
            departed: plan.departed.iter().copied().collect(),
            ..Self::default()
        };
        for step in pending {
            if let Some(replica) = step.add {
                *status.coming.entry(replica.node).or_default() += 1;
            }
            if let Some(replica) = step.remove {
                *status.going.entry(replica.node).or_default() += 1;
            }
        }
        status
    }
}

/// How a cluster stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    /// The node that says so.
    pub node: NodeId,
    /// The cluster.
    pub cluster: Uuid,
    /// How often the node was started.
    pub incarnation: u64,
    /// What the node waits for before it serves.
    pub waits_for: Option<String>,
    /// The epoch of the latest layout that it knows.
    pub layout_epoch: u64,
    /// How tokens are cut into ranges.
    pub range_bits: u8,
    /// How many replicas a range is to have.
    pub replication: u8,
    /// Replicas on their way, as far as this node has heard.
    pub moves: MovesStatus,
    /// All nodes that it knows, but for those that have left.
    pub nodes: Vec<NodeStatus>,
    /// The groups that it has a replica of.
    pub groups: Vec<GroupStatus>,
    /// Its hints.
    pub hints: HintStatus,
    /// Its read repairs.
    pub read_repair: ReadRepairStatus,
    /// Its comparisons and checks.
    pub scrub: ScrubStatus,
    /// What it has said to other nodes.
    pub exchange: ExchangeStatistics,
}

impl Cluster {
    /// A request of a client is served by this node; it counts for [`NodeStatus::requests_per_second`].
    pub fn count_request(&self) {
        self.inner().load.count();
    }

    /// How this node's engine stands, and what it has done since it was opened.
    pub fn engine_statistics(&self) -> EngineStatistics {
        self.inner().engine.statistics()
    }

    /// The node's steady clock, to measure how long something takes: time since some moment, which never goes back.
    pub fn steady_now(&self) -> Duration {
        self.inner().surroundings.world.now()
    }

    /// How the cluster stands, as this node knows it.
    pub fn status(&self) -> ClusterStatus {
        let node = self.inner();
        let settings = &node.settings;
        let layout = node.layout();
        let bits = layout.as_deref().map_or(settings.range_bits, Layout::bits);
        let replication = layout
            .as_deref()
            .map_or(settings.replication, Layout::replication);
        let groups = node.replicas();
        let groups = groups.iter().flatten().map(|replica| {
            let standing = replica.standing();
            let group = replica.group();
            GroupStatus {
                group,
                range: (group != METADATA_GROUP).then(|| RangeId(group - 1)),
                replica: replica.id().0,
                is_filled: !replica.is_unfilled(),
                replicas: replica.nodes(),
                leader: standing.leader,
                term: standing.term,
                committed: standing.committed,
                applied: standing.applied,
                quiet: standing.is_quiet,
                lag: standing.lag,
                forwarding: standing.forwarding,
                prepared: standing.prepared,
                locked_ms: standing.locked_ms,
                diverged_at: standing.diverged_at,
                is_suspect: replica.is_suspect(),
            }
        });
        ClusterStatus {
            node: settings.node,
            cluster: settings.cluster,
            incarnation: node.incarnation(),
            waits_for: self.waits_for(),
            layout_epoch: layout.as_deref().map_or(0, Layout::epoch),
            range_bits: bits.get(),
            replication: replication.get(),
            moves: node
                .read_plan()
                .ok()
                .flatten()
                .map_or_else(|| node.moves_heard_of(), |plan| MovesStatus::of(&plan)),
            nodes: self.nodes(),
            groups: groups.collect(),
            hints: node.hints.status(),
            read_repair: ReadRepairStatus {
                checked: node.repairs.checked.load(Ordering::Relaxed),
                repaired: node.repairs.repaired.load(Ordering::Relaxed),
            },
            scrub: node.scrub_status(),
            exchange: node.exchange.statistics(),
        }
    }

    /// Whether this node knows of more than half of the cluster's nodes that they may be alive, itself included; those that leave or
    /// were given up do not count. One that does not can neither lead nor reach who leads: its clients are better off with
    /// another one.
    pub fn reaches_majority(&self) -> bool {
        let node = self.inner();
        let Some(gossip) = node.gossip.get() else {
            return true;
        };
        let nodes = node.placeable();
        if nodes.is_empty() {
            // It has not heard of a plan yet.
            return true;
        }
        let members = gossip.members().into_iter();
        let reached: BTreeSet<NodeId> = members
            .filter(|member| member.liveness != gossip::Liveness::Down)
            .map(|member| member.node)
            .chain([node.settings.node])
            .collect();
        nodes.intersection(&reached).count() * 2 > nodes.len()
    }

    /// The nodes whose programs do not read the formats of a generation, as far as they say; one that was never met is among
    /// them. Empty for a node alone, and when all do.
    pub fn nodes_before(&self, formats: u32) -> Vec<NodeId> {
        let node = self.inner();
        let said = self.nodes().into_iter().map(|node| (node.node, node.formats));
        let layout = node.layout();
        // Gossip forgets who is down, and does not tell those that start later.
        let others = layout.iter().flat_map(|layout| layout.nodes().keys().copied());
        let others = others.filter(|other| *other != node.settings.node && !node.has_left(*other));
        before(formats, said.collect(), others)
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        let node = self.inner();
        let members = node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let mine = node.state();
        let mut nodes: Vec<_> = members
            .into_iter()
            .map(|member| {
                let is_me = member.node == node.settings.node;
                let state = if is_me { Some(mine.clone()) } else { member.state };
                let liveness = match member.liveness {
                    gossip::Liveness::Alive => Liveness::Alive,
                    gossip::Liveness::Suspect => Liveness::Suspect,
                    gossip::Liveness::Down => Liveness::Down,
                };
                let state = state.unwrap_or_default();
                describe(member.node, member.address, liveness, member.incarnation, state)
            })
            .collect();
        for founder in &node.settings.founders {
            if !nodes.iter().any(|known| known.node == founder.node) {
                let address = founder.address.clone();
                let state = NodeState::default();
                nodes.push(describe(founder.node, address, Liveness::Unknown, 0, state));
            }
        }
        // Gossip remembers them for a while, and the files of those that are left name them forever.
        nodes.retain(|known| !node.has_left(known.node));
        nodes.sort_by_key(|node| node.node);
        nodes
    }
}

/// Of nodes that have said which formats they read, and of others that may have said nothing: those that do not read a
/// generation.
fn before(
    formats: u32,
    said: BTreeMap<NodeId, u32>,
    others: impl IntoIterator<Item = NodeId>,
) -> Vec<NodeId> {
    let mut all = said;
    for other in others {
        all.entry(other).or_default();
    }
    let earlier = all.into_iter().filter(|(_, reads)| *reads < formats);
    earlier.map(|(node, _)| node).collect()
}

fn describe(
    node: NodeId,
    address: String,
    liveness: Liveness,
    incarnation: u64,
    state: NodeState,
) -> NodeStatus {
    NodeStatus {
        node,
        address,
        zone: state.zone,
        rack: state.rack,
        liveness,
        standing: if state.rejoining {
            Standing::Rejoining
        } else {
            Standing::Member
        },
        incarnation,
        leaders: state.leaders,
        replicas: state.replicas,
        requests_per_second: state.requests_per_second,
        data_bytes: state.data_bytes,
        free_bytes: state.free_bytes,
        hints_waiting: state.hints_waiting,
        software: state.software,
        formats: state.formats,
        started_at_ms: state.started_at_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::FORMATS_WRITING_TERMS;

    #[test]
    fn who_runs_an_earlier_program_is_named_and_so_is_who_has_said_nothing() {
        let terms = FORMATS_WRITING_TERMS;
        let said = |formats: [u32; 3]| (1..).map(NodeId).zip(formats).collect::<BTreeMap<_, _>>();
        for (formats, others, earlier) in [
            ([terms, terms, terms + 1], &[][..], &[][..]),
            ([terms; 3], &[1, 3], &[]),
            ([terms, terms - 1, terms], &[], &[2]),
            ([terms, 0, 2], &[3], &[2, 3]),
            ([terms; 3], &[3, 4], &[4]),
        ] {
            let others = others.iter().copied().map(NodeId);
            let earlier: Vec<_> = earlier.iter().copied().map(NodeId).collect();
            assert_eq!(before(terms, said(formats), others), earlier, "{formats:?}");
        }
    }
}
