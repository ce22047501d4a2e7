//! What a cluster agrees on about its replicas: where they are, where they are to be, who leaves.
//!
//! Invariant: an epoch is given out once: whoever changes a plan makes the next epoch of it, and of two plans of one epoch the
//! first one to be agreed on counts. A target is placed from the layout beside it, which has adopted it. Pure. Not here: what
//! the members of a group are, which only the group's own log says; carrying out (`coordinator/moves.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use super::error::{LayoutError, PlacementError};
use super::layout::{Layout, NodeDescription, Replica};
use super::moves::{Move, moves};
use super::placement::place;
use super::token::RangeId;
use crate::world::NodeId;

/// First byte of a plan.
const FORMAT_VERSION: u8 = 1;

/// How a node stands that is not simply one of the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStanding {
    /// It is to give up all that it has, and to leave.
    Leaving,
    /// It has been away for so long that its ranges get replicas elsewhere. Should it come back, it gets new ones.
    Lost,
}

/// See the head of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where replicas are.
    pub layout: Layout,
    /// Where they are to be, if they are to move.
    pub target: Option<Layout>,
    /// Nodes that are not simply members.
    pub standings: BTreeMap<NodeId, NodeStanding>,
    /// Nodes that have left. Their numbers are not given to others.
    pub departed: BTreeSet<NodeId>,
    /// The replicas of the metadata group.
    pub metadata: Vec<Replica>,
    /// The id that its next replica gets.
    pub metadata_next_id: u64,
}

/// Why a plan is not changed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Such a node is not known.
    #[error("node {0} is not in the cluster")]
    NoSuchNode(NodeId),
    /// The number was another node's.
    #[error("node {0} has left the cluster; start the node under a number that was never used")]
    Departed(NodeId),
    /// What would be left could not hold the data.
    #[error(
        "{left} nodes would be left, which is fewer than the {replication} replicas that each range is to have; add a node first, \
         or change the replication"
    )]
    TooFew {
        /// Nodes that would be left.
        left: usize,
        /// Replicas that a range is to have.
        replication: u8,
    },
    /// Placement failed.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The layout cannot be changed so.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Plan {
    /// The first one: founders have the metadata group under their own numbers.
    pub fn first(layout: Layout, founders: &[NodeId]) -> Self {
        let metadata: Vec<_> = founders
            .iter()
            .map(|node| Replica {
                node: *node,
                id: node.0,
            })
            .collect();
        let last = founders.iter().map(|node| node.0).max().unwrap_or_default();
        Self {
            layout,
            target: None,
            standings: BTreeMap::new(),
            departed: BTreeSet::new(),
            metadata,
            metadata_next_id: last + 1,
        }
    }

    /// Rises with every change.
    pub fn epoch(&self) -> u64 {
        self.layout.epoch()
    }

    /// The nodes on which replicas are to be.
    pub fn placeable(&self) -> BTreeMap<NodeId, NodeDescription> {
        let nodes = self.layout.nodes().iter();
        nodes
            .filter(|(node, _)| !self.standings.contains_key(node))
            .map(|(node, description)| (*node, description.clone()))
            .collect()
    }

    /// A node comes, or describes itself anew. `None` if that changes nothing.
    ///
    /// # Errors
    /// [`PlanError::Departed`].
    pub fn take_in(&self, node: NodeId, description: NodeDescription) -> Result<Option<Self>, PlanError> {
        if self.departed.contains(&node) {
            return Err(PlanError::Departed(node));
        }
        if self.layout.node(node) == Some(&description) {
            return Ok(None);
        }
        let mut plan = self.clone();
        plan.layout.describe(node, description);
        if !plan.metadata.iter().any(|replica| replica.node == node) {
            plan.give_metadata(node);
        }
        Ok(Some(plan))
    }

    fn give_metadata(&mut self, node: NodeId) {
        self.metadata.push(Replica {
            node,
            id: self.metadata_next_id,
        });
        self.metadata_next_id += 1;
    }

    /// A node is to leave. `None` if it is about to.
    ///
    /// # Errors
    /// [`PlanError::NoSuchNode`], [`PlanError::TooFew`].
    pub fn leave(&self, node: NodeId) -> Result<Option<Self>, PlanError> {
        if self.layout.node(node).is_none() {
            return Err(PlanError::NoSuchNode(node));
        }
        if self.standings.get(&node) == Some(&NodeStanding::Leaving) {
            return Ok(None);
        }
        let mut plan = self.clone();
        plan.standings.insert(node, NodeStanding::Leaving);
        let (left, replication) = (plan.placeable().len(), plan.layout.replication());
        if left == 0 || (left < usize::from(replication.get()) && left < self.placeable().len()) {
            return Err(PlanError::TooFew {
                left,
                replication: replication.get(),
            });
        }
        plan.metadata.retain(|replica| replica.node != node);
        plan.layout.next_epoch();
        Ok(Some(plan))
    }

    /// A node is not to leave after all; or it has come back. `None` if it stands so.
    ///
    /// # Errors
    /// [`PlanError::NoSuchNode`].
    pub fn stay(&self, node: NodeId) -> Result<Option<Self>, PlanError> {
        if self.layout.node(node).is_none() {
            return Err(PlanError::NoSuchNode(node));
        }
        let mut plan = self.clone();
        if plan.standings.remove(&node).is_none() {
            return Ok(None);
        }
        if !plan.metadata.iter().any(|replica| replica.node == node) {
            plan.give_metadata(node);
        }
        plan.layout.next_epoch();
        Ok(Some(plan))
    }

    /// A node has been away for too long. `None` if it stands so already, or if what would be left could not hold the data.
    pub fn lose(&self, node: NodeId) -> Option<Self> {
        if self.standings.contains_key(&node) {
            return None;
        }
        let mut plan = self.clone();
        plan.standings.insert(node, NodeStanding::Lost);
        if plan.placeable().len() < usize::from(plan.layout.replication().get()) {
            return None;
        }
        plan.layout.next_epoch();
        Some(plan)
    }

    /// How many replicas a range is to have. `None` if it is that already.
    ///
    /// # Errors
    /// [`PlanError::TooFew`].
    pub fn replicate(&self, replication: NonZeroU8) -> Result<Option<Self>, PlanError> {
        if self.wanted_replication() == replication {
            return Ok(None);
        }
        let left = self.placeable().len();
        if left < usize::from(replication.get()) {
            return Err(PlanError::TooFew {
                left,
                replication: replication.get(),
            });
        }
        let mut plan = self.clone();
        plan.layout.set_replication(replication);
        plan.target = None;
        Ok(Some(plan))
    }

    fn wanted_replication(&self) -> NonZeroU8 {
        self.layout.replication()
    }

    /// Replicas that a node has lost with its directory get others in their place, with fresh ids: those of ranges by range and id,
    /// and that of the metadata group. `None` if there are none.
    ///
    /// # Errors
    /// [`PlanError::Placement`].
    pub fn replace(
        &self,
        node: NodeId,
        lost: &BTreeSet<(RangeId, u64)>,
        is_metadata_lost: bool,
    ) -> Result<Option<Self>, PlanError> {
        let mut plan = self.clone();
        if is_metadata_lost {
            plan.metadata.retain(|replica| replica.node != node);
            plan.give_metadata(node);
        }
        let mut without = plan.target.clone().unwrap_or_else(|| plan.layout.clone());
        let mut is_without = false;
        for (range, id) in lost {
            is_without |= without.remove_replica(*range, Replica { node, id: *id });
        }
        if is_without {
            // Ids that the layout has given out are given out.
            without.follow(&plan.layout);
            let target = place(&without, &plan.placeable(), plan.layout.replication())?;
            plan.layout.adopt(&target)?;
            plan.target = Some(target);
            return Ok(Some(plan));
        }
        plan.layout.next_epoch();
        Ok(is_metadata_lost.then_some(plan))
    }

    /// Sees to it that the target is what follows from the nodes; a plan whose moves are done gets rid of it, and of the nodes that
    /// have left with them. `None` if the plan is as it should be.
    ///
    /// # Errors
    /// [`PlanError::Placement`].
    pub fn aim(&self) -> Result<Option<Self>, PlanError> {
        let nodes = self.placeable();
        let replication = self.layout.replication();
        if let Some(target) = &self.target {
            let is_right = target.nodes().keys().eq(nodes.keys()) && target.replication() == replication;
            if is_right && !self.pending().is_empty() {
                return Ok(None);
            }
        }
        let placed = place(&self.layout, &nodes, replication)?;
        let mut plan = self.clone();
        if moves(&self.layout, &placed).is_empty() {
            return Ok(plan.settle(placed).then_some(plan));
        }
        plan.layout.adopt(&placed)?;
        plan.target = Some(placed);
        Ok(Some(plan))
    }

    /// Nothing has to move: takes the preferred leaders of a placement, and lets go of nodes that have nothing any more. Says
    /// whether anything has changed.
    fn settle(&mut self, placed: Layout) -> bool {
        let leaving: Vec<_> = (self.standings.iter())
            .filter(|(_, standing)| **standing == NodeStanding::Leaving)
            .map(|(node, _)| *node)
            .filter(|node| self.layout.replicas_on(*node).next().is_none())
            .collect();
        let mut layout = placed;
        for (node, description) in self.layout.nodes() {
            if !leaving.contains(node) && layout.node(*node).is_none() {
                layout.keep_node(*node, description.clone());
            }
        }
        let is_same = self.target.is_none() && leaving.is_empty() && layout.has_same_replicas(&self.layout);
        if is_same {
            return false;
        }
        for node in leaving {
            self.standings.remove(&node);
            self.departed.insert(node);
        }
        self.layout = layout;
        self.target = None;
        true
    }

    /// What has to move, in the order of urgency.
    pub fn pending(&self) -> Vec<Move> {
        match &self.target {
            Some(target) => moves(&self.layout, target),
            None => Vec::new(),
        }
    }

    /// The group of a range says who its voters are: the layout follows. Says whether that is news.
    pub fn observe(&mut self, range: RangeId, voters: &[Replica]) -> bool {
        self.layout.observe(range, voters)
    }

    /// Whether a replica is one of the plan's, now or when the target is reached.
    pub fn knows(&self, range: RangeId, replica: Replica) -> bool {
        self.layout.replicas(range).contains(&replica)
            || (self.target.as_ref()).is_some_and(|target| target.replicas(range).contains(&replica))
    }
}

#[derive(Clone, PartialEq, Message)]
struct PlanRecord {
    #[prost(bytes = "bytes", tag = "1")]
    layout: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    target: Bytes,
    #[prost(uint64, repeated, tag = "3")]
    leaving: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    lost: Vec<u64>,
    #[prost(uint64, repeated, tag = "5")]
    departed: Vec<u64>,
    #[prost(uint64, repeated, tag = "6")]
    metadata_nodes: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    metadata_ids: Vec<u64>,
    #[prost(uint64, tag = "8")]
    metadata_next_id: u64,
}

impl Plan {
    /// The bytes to be stored or sent (`docs/format/layout.md`).
    pub fn to_bytes(&self) -> Bytes {
        let standing = |wanted: NodeStanding| {
            let nodes = self.standings.iter();
            nodes
                .filter(|(_, standing)| **standing == wanted)
                .map(|(node, _)| node.0)
                .collect()
        };
        let record = PlanRecord {
            layout: self.layout.to_bytes(),
            target: self.target.as_ref().map_or_else(Bytes::new, Layout::to_bytes),
            leaving: standing(NodeStanding::Leaving),
            lost: standing(NodeStanding::Lost),
            departed: self.departed.iter().map(|node| node.0).collect(),
            metadata_nodes: self.metadata.iter().map(|replica| replica.node.0).collect(),
            metadata_ids: self.metadata.iter().map(|replica| replica.id).collect(),
            metadata_next_id: self.metadata_next_id,
        };
        let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put_slice(&record.encode_to_vec());
        bytes.freeze()
    }

    /// Reads bytes that [`Plan::to_bytes`] has made.
    ///
    /// # Errors
    /// As [`Layout::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        let malformed = |cause: String| LayoutError::Malformed { cause };
        let record = match bytes {
            [FORMAT_VERSION, record @ ..] => {
                PlanRecord::decode(record).map_err(|error| malformed(error.to_string()))?
            }
            [found, ..] => {
                return Err(LayoutError::UnknownVersion {
                    found: *found,
                    known: FORMAT_VERSION,
                });
            }
            [] => return Err(malformed("there are none".to_owned())),
        };
        if record.metadata_nodes.len() != record.metadata_ids.len() {
            return Err(malformed("the metadata group has nodes without ids".to_owned()));
        }
        let leaving = record.leaving.iter().map(|node| (NodeId(*node), NodeStanding::Leaving));
        let lost = record.lost.iter().map(|node| (NodeId(*node), NodeStanding::Lost));
        let metadata = record.metadata_nodes.iter().zip(&record.metadata_ids);
        let target = Some(&record.target).filter(|target| !target.is_empty());
        Ok(Self {
            layout: Layout::from_bytes(&record.layout)?,
            target: target.map(|target| Layout::from_bytes(target)).transpose()?,
            standings: leaving.chain(lost).collect(),
            departed: record.departed.iter().copied().map(NodeId).collect(),
            metadata: metadata
                .map(|(node, id)| Replica {
                    node: NodeId(*node),
                    id: *id,
                })
                .collect(),
            metadata_next_id: record.metadata_next_id,
        })
    }
}
