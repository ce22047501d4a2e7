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
        // One that leaves has given up its own, or is about to.
        let leaves = plan.standings.get(&node) == Some(&NodeStanding::Leaving);
        if !leaves && !plan.metadata.iter().any(|replica| replica.node == node) {
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
        // Another one gets its vote; when it comes back it gets a replica anew.
        plan.metadata.retain(|replica| replica.node != node);
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
    /// have left with them, but for those that are `keeping` something that they have to hand on. `None` if the plan is as it
    /// should be.
    ///
    /// # Errors
    /// [`PlanError::Placement`].
    pub fn aim(&self, keeping: &BTreeSet<NodeId>) -> Result<Option<Self>, PlanError> {
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
            return Ok(plan.settle(placed, keeping).then_some(plan));
        }
        plan.layout.adopt(&placed)?;
        plan.target = Some(placed);
        Ok(Some(plan))
    }

    /// Nothing has to move: takes the preferred leaders of a placement, and lets go of nodes that have nothing any more and are not
    /// `keeping` anything. Says whether anything has changed.
    fn settle(&mut self, placed: Layout, keeping: &BTreeSet<NodeId>) -> bool {
        let leaving: Vec<_> = (self.standings.iter())
            .filter(|(_, standing)| **standing == NodeStanding::Leaving)
            .map(|(node, _)| *node)
            .filter(|node| self.layout.replicas_on(*node).next().is_none() && !keeping.contains(node))
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
    ///
    /// A target that was placed while another one was being reached may give a node a fresh replica in the place of the one that
    /// has just got its vote there. It settles for that one: a node has room for one replica of a range.
    pub fn observe(&mut self, range: RangeId, voters: &[Replica]) -> bool {
        let before = self.layout.replicas(range).to_vec();
        if !self.layout.observe(range, voters) {
            return false;
        }
        if let Some(target) = &mut self.target {
            let new = voters.iter().filter(|voter| !before.contains(voter));
            new.for_each(|voter| target.settle_for(range, *voter));
        }
        true
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
        let leaving = record
            .leaving
            .iter()
            .map(|node| (NodeId(*node), NodeStanding::Leaving));
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ring::tests::{description, first_plan};

    fn cluster(nodes: u64) -> Plan {
        first_plan(nodes, 3, 3)
    }

    /// Carries out all moves, as groups that do what they are told would say.
    fn reached(plan: Plan) -> Plan {
        reached_while(plan, &BTreeSet::new())
    }

    /// The same while some nodes keep something.
    fn reached_while(mut plan: Plan, keeping: &BTreeSet<NodeId>) -> Plan {
        loop {
            match plan.aim(keeping).unwrap() {
                Some(next) => {
                    assert!(next.epoch() > plan.epoch());
                    plan = next;
                }
                // It is as it should be, and may have moves that are still to be made.
                None if plan.pending().is_empty() => break,
                None => {}
            }
            for step in plan.pending() {
                let mut voters = plan.layout.replicas(step.range).to_vec();
                voters.retain(|replica| Some(*replica) != step.remove);
                voters.extend(step.add);
                assert!(plan.observe(step.range, &voters));
                assert!(!plan.observe(step.range, &voters), "it is no news twice");
            }
        }
        plan.layout.validate().unwrap();
        assert_eq!(plan.target, None);
        plan
    }

    fn holders(plan: &Plan) -> BTreeSet<u64> {
        let ranges = plan.layout.bits().ranges();
        let replicas = ranges.flat_map(|range| plan.layout.replicas(range).to_vec());
        replicas.map(|replica| replica.node.0).collect()
    }

    #[test]
    fn nodes_come_and_go() {
        let plan = cluster(3);
        assert_eq!(plan.aim(&BTreeSet::new()).unwrap(), None);
        let plan = plan.take_in(NodeId(4), description(4)).unwrap().unwrap();
        assert_eq!(plan.take_in(NodeId(4), description(4)).unwrap(), None);
        assert_eq!(
            plan.metadata.last(),
            Some(&Replica {
                node: NodeId(4),
                id: 4
            })
        );
        let plan = reached(plan);
        assert_eq!(holders(&plan), [1, 2, 3, 4].into());
        let plan = plan.leave(NodeId(2)).unwrap().unwrap();
        assert_eq!(plan.leave(NodeId(2)).unwrap(), None);
        let plan = reached(plan);
        assert_eq!(holders(&plan), [1, 3, 4].into());
        assert!(plan.departed.contains(&NodeId(2)) && plan.layout.node(NodeId(2)).is_none());
        assert!(plan.standings.is_empty());
        let again = plan.take_in(NodeId(2), description(2));
        assert!(matches!(again, Err(PlanError::Departed(NodeId(2)))));
    }

    #[test]
    fn a_node_that_keeps_something_has_not_left_before_it_is_handed_on() {
        let leaving = reached(cluster(4)).leave(NodeId(2)).unwrap().unwrap();
        let keeping = BTreeSet::from([NodeId(2)]);
        let plan = reached_while(leaving, &keeping);
        assert_eq!(holders(&plan), [1, 3, 4].into());
        assert_eq!(plan.standings.get(&NodeId(2)), Some(&NodeStanding::Leaving));
        assert!(plan.layout.node(NodeId(2)).is_some() && plan.departed.is_empty());
        assert_eq!(plan.aim(&keeping).unwrap(), None, "nothing changes until then");
        let plan = reached(plan);
        assert!(plan.departed.contains(&NodeId(2)) && plan.layout.node(NodeId(2)).is_none());
    }

    #[test]
    fn a_node_that_changes_its_mind_stays_as_it_was() {
        let plan = reached(cluster(4));
        let leaving = plan.leave(NodeId(1)).unwrap().unwrap();
        let staying = leaving.stay(NodeId(1)).unwrap().unwrap();
        let staying = reached(staying);
        assert!(staying.layout.has_same_replicas(&plan.layout));
        assert_eq!(staying.stay(NodeId(1)).unwrap(), None);
        assert!(matches!(
            staying.stay(NodeId(9)),
            Err(PlanError::NoSuchNode(NodeId(9)))
        ));
    }

    #[test]
    fn a_replica_that_comes_while_the_plan_changes_is_settled_for() {
        let aimed = |plan: Plan| plan.aim(&BTreeSet::new()).unwrap().unwrap();
        let first = aimed(reached(cluster(4)).leave(NodeId(1)).unwrap().unwrap());
        let step = first.pending()[0];
        let stays = aimed(first.stay(NodeId(1)).unwrap().unwrap());
        let mut second = aimed(stays.leave(NodeId(1)).unwrap().unwrap());
        let other = second
            .pending()
            .into_iter()
            .find(|other| other.range == step.range);
        let other = other.unwrap();
        assert_eq!(other.add.unwrap().node, step.add.unwrap().node);
        assert_ne!(other.add, step.add, "ids are given out once");
        let mut voters = second.layout.replicas(step.range).to_vec();
        voters.retain(|replica| Some(*replica) != step.remove);
        voters.extend(step.add);
        assert!(second.observe(step.range, &voters));
        assert!(second.pending().iter().all(|other| other.range != step.range));
        assert_eq!(holders(&reached(second)), [2, 3, 4].into());
    }

    #[test]
    fn too_few_nodes_are_not_left() {
        let plan = cluster(3);
        let refused = plan.leave(NodeId(1)).unwrap_err().to_string();
        assert!(refused.contains("2 nodes would be left"), "{refused}");
        assert_eq!(plan.lose(NodeId(1)), None);
        let five = NonZeroU8::new(5).unwrap();
        assert!(matches!(
            plan.replicate(five),
            Err(PlanError::TooFew { left: 3, .. })
        ));
        let plan = reached(cluster(5).replicate(five).unwrap().unwrap());
        for range in plan.layout.bits().ranges() {
            assert_eq!(plan.layout.replicas(range).len(), 5);
        }
        let three = NonZeroU8::new(3).unwrap();
        let plan = reached(plan.replicate(three).unwrap().unwrap());
        for range in plan.layout.bits().ranges() {
            assert_eq!(plan.layout.replicas(range).len(), 3);
        }
    }

    #[test]
    fn what_a_node_has_lost_gets_fresh_ids() {
        let plan = cluster(3);
        let lost: BTreeSet<_> = (plan.layout.replicas_on(NodeId(2)))
            .map(|(range, replica)| (range, replica.id))
            .collect();
        let replaced = plan.replace(NodeId(2), &lost, true).unwrap().unwrap();
        let plan = reached(replaced);
        assert_eq!(holders(&plan), [1, 2, 3].into());
        for (range, replica) in plan.layout.replicas_on(NodeId(2)) {
            assert!(!lost.contains(&(range, replica.id)), "{range}");
        }
        assert!(plan.metadata.contains(&Replica {
            node: NodeId(2),
            id: 4
        }));
        assert_eq!(plan.replace(NodeId(2), &BTreeSet::new(), false).unwrap(), None);
    }

    #[test]
    fn a_node_that_was_lost_and_is_back_gets_ranges_again() {
        let plan = reached(cluster(4));
        let lost = reached(plan.lose(NodeId(4)).unwrap());
        assert_eq!(holders(&lost), [1, 2, 3].into());
        assert!(lost.layout.node(NodeId(4)).is_some());
        let back = reached(lost.stay(NodeId(4)).unwrap().unwrap());
        assert_eq!(holders(&back), [1, 2, 3, 4].into());
    }

    #[test]
    fn a_node_that_was_lost_gives_up_its_replica_of_the_metadata_and_gets_another_one_when_it_is_back() {
        let metadata = |plan: &Plan| {
            let replicas = plan.metadata.iter();
            replicas
                .map(|replica| (replica.node.0, replica.id))
                .collect::<Vec<_>>()
        };
        let lost = reached(cluster(4)).lose(NodeId(2)).unwrap();
        assert_eq!(metadata(&lost), [(1, 1), (3, 3), (4, 4)]);
        // Whatever it says of itself before it is found to be back.
        let told = lost.take_in(NodeId(2), description(9)).unwrap().unwrap();
        for lost in [lost, told] {
            let back = lost.stay(NodeId(2)).unwrap().unwrap();
            assert_eq!(metadata(&back), [(1, 1), (3, 3), (4, 4), (2, 5)]);
        }
        let leaves = reached(cluster(4)).leave(NodeId(2)).unwrap().unwrap();
        let told = leaves.take_in(NodeId(2), description(9)).unwrap().unwrap();
        assert_eq!(metadata(&told), metadata(&leaves), "one that leaves gets none");
    }

    proptest! {
        #[test]
        fn a_plan_comes_back_as_it_was(nodes in 3_u64..8, leaving in 1_u64..8, lost in 1_u64..8) {
            let mut plan = cluster(nodes);
            for next in [plan.leave(NodeId(leaving)).ok().flatten(), plan.lose(NodeId(lost))].into_iter().flatten() {
                plan = next.aim(&BTreeSet::new()).unwrap().unwrap_or(next);
            }
            prop_assert_eq!(Plan::from_bytes(&plan.to_bytes()).unwrap(), plan);
        }

        #[test]
        fn arbitrary_bytes_are_refused_and_never_panic(bytes in vec(any::<u8>(), 0..60)) {
            let mut versioned = vec![FORMAT_VERSION];
            versioned.extend(&bytes);
            prop_assert!(Plan::from_bytes(&versioned).is_err());
            if bytes.first() != Some(&FORMAT_VERSION) {
                prop_assert!(Plan::from_bytes(&bytes).is_err());
            }
        }
    }
}
