//! The layout: which nodes hold which token range, under an epoch.
//!
//! Invariant: a replica id is given out once in the life of a range; a node that comes back to a range gets a fresh one.
//! A layout that was read from bytes or made by [`super::place`] passes [`Layout::validate`]. Not here: who decides on a
//! layout (`placement.rs`), its bytes (`record.rs`), and what a range's quorum is, which only the range's own log says.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32};

use super::error::LayoutError;
use super::moves::Move;
use super::token::{RangeBits, RangeId};
use crate::world::NodeId;

/// The epoch and the replica ids only rise; beyond this they are taken for damage.
const COUNTER_MAX: u64 = u64::MAX >> 1;

/// The first replica id of a range; 0 is nobody to the consensus core.
const REPLICA_ID_FIRST: u64 = 1;

/// One membership of a node in the group of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// The node.
    pub node: NodeId,
    /// Its number in the range's group: never 0, never used twice in one range.
    pub id: u64,
}

/// What a layout knows of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDescription {
    /// Where other nodes reach it, as `host:port`.
    pub address: String,
    /// Its zone: what fails together in a disaster.
    pub zone: String,
    /// Its rack inside the zone: what fails together with a switch or a power supply.
    pub rack: String,
    /// Its share of the data, relative to the other nodes.
    pub capacity: NonZeroU32,
    /// Which life of its data directory this is.
    pub incarnation: u64,
}

/// The replicas of one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeReplicas {
    /// The preferred leader is the first.
    pub(super) replicas: Vec<Replica>,
    /// The id that the next replica gets.
    pub(super) next_id: u64,
}

/// Which nodes hold which token range. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) epoch: u64,
    pub(super) bits: RangeBits,
    pub(super) replication: NonZeroU8,
    /// One for each range, by its number.
    pub(super) ranges: Vec<RangeReplicas>,
    pub(super) nodes: BTreeMap<NodeId, NodeDescription>,
}

impl Layout {
    /// The layout before the first one, of epoch 0: no node, no replica. It is what the first placement starts from, and
    /// does not pass [`Layout::validate`].
    pub fn empty(bits: RangeBits, replication: NonZeroU8) -> Self {
        let nobody = || RangeReplicas {
            replicas: Vec::new(),
            next_id: REPLICA_ID_FIRST,
        };
        Self {
            epoch: 0,
            bits,
            replication,
            ranges: bits.ranges().map(|_| nobody()).collect(),
            nodes: BTreeMap::new(),
        }
    }

    /// Rises with every change; of two layouts of a cluster, the one with the higher epoch counts.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How tokens are cut into ranges.
    pub fn bits(&self) -> RangeBits {
        self.bits
    }

    /// How many replicas a range is to have. It has fewer while there are fewer nodes.
    pub fn replication(&self) -> NonZeroU8 {
        self.replication
    }

    /// The nodes, by their numbers.
    pub fn nodes(&self) -> &BTreeMap<NodeId, NodeDescription> {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, node: NodeId) -> Option<&NodeDescription> {
        self.nodes.get(&node)
    }

    /// The replicas of a range, the preferred leader first; none when there is no such range.
    pub fn replicas(&self, range: RangeId) -> &[Replica] {
        self.range(range).map_or(&[], |range| &range.replicas)
    }

    /// The replicas of the range in which a key lies, the preferred leader first.
    pub fn replicas_of_key(&self, key: &[u8]) -> &[Replica] {
        self.replicas(self.bits.range_of_key(key))
    }

    /// The replica that leads a range when it can: who else leads hands over to it.
    pub fn preferred_leader(&self, range: RangeId) -> Option<Replica> {
        self.replicas(range).first().copied()
    }

    /// The replica of a range on a node.
    pub fn replica_on(&self, range: RangeId, node: NodeId) -> Option<Replica> {
        self.replicas(range)
            .iter()
            .find(|replica| replica.node == node)
            .copied()
    }

    /// The replicas on a node, by ascending range.
    pub fn replicas_on(&self, node: NodeId) -> impl Iterator<Item = (RangeId, Replica)> {
        self.bits
            .ranges()
            .filter_map(move |range| Some((range, self.replica_on(range, node)?)))
    }

    /// The id that the next replica of a range gets; `None` when there is no such range.
    pub fn next_replica_id(&self, range: RangeId) -> Option<u64> {
        self.range(range).map(|range| range.next_id)
    }

    /// Adds a node or replaces its description; its replicas stay as they are. A new epoch.
    pub fn describe(&mut self, node: NodeId, description: NodeDescription) {
        self.nodes.insert(node, description);
        self.epoch += 1;
    }

    /// The next epoch of the same layout.
    pub(super) fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    /// So many replicas are wanted from now on. A new epoch.
    pub(super) fn set_replication(&mut self, replication: NonZeroU8) {
        self.replication = replication;
        self.epoch += 1;
    }

    /// Adds a node that holds nothing, in the same epoch.
    pub(super) fn keep_node(&mut self, node: NodeId, description: NodeDescription) {
        self.nodes.insert(node, description);
    }

    /// Whether another layout has the same replicas in the same order.
    pub(super) fn has_same_replicas(&self, other: &Self) -> bool {
        let pairs = self.ranges.iter().zip(&other.ranges);
        self.ranges.len() == other.ranges.len()
            && pairs
                .into_iter()
                .all(|(one, other)| one.replicas == other.replicas)
    }

    /// Takes a replica out, in the same epoch. Says whether it was there.
    pub(super) fn remove_replica(&mut self, range: RangeId, replica: Replica) -> bool {
        let Some(range) = self.range_mut(range) else {
            return false;
        };
        let before = range.replicas.len();
        range.replicas.retain(|other| *other != replica);
        range.replicas.len() < before
    }

    /// Has this replica in the place of another one on its node, in the same epoch.
    pub(super) fn settle_for(&mut self, range: RangeId, replica: Replica) {
        let Some(range) = self.range_mut(range) else {
            return;
        };
        if let Some(other) = (range.replicas.iter_mut()).find(|other| other.node == replica.node) {
            *other = replica;
        }
    }

    /// Gives out no replica id that another layout has given out, and has no epoch before its own.
    pub(super) fn follow(&mut self, other: &Self) {
        self.epoch = self.epoch.max(other.epoch);
        for (range, other) in self.ranges.iter_mut().zip(&other.ranges) {
            range.next_id = range.next_id.max(other.next_id);
        }
    }

    /// The group of a range says that these are its voters: they are its replicas from now on. Those that were there keep
    /// their order, and one that comes takes the first place that gets free. Says whether that is news, and then the epoch
    /// is a new one. Replicas of nodes that the layout does not know are left out.
    pub(super) fn observe(&mut self, range: RangeId, voters: &[Replica]) -> bool {
        let nodes = &self.nodes;
        let known: Vec<_> = (voters.iter().copied())
            .filter(|replica| nodes.contains_key(&replica.node))
            .collect();
        let Some(range) = usize::try_from(range.0)
            .ok()
            .and_then(|index| self.ranges.get_mut(index))
        else {
            return false;
        };
        let is_same = known.len() == range.replicas.len()
            && known.iter().all(|replica| range.replicas.contains(replica));
        if is_same || known.is_empty() {
            return false;
        }
        let mut new: Vec<_> = (known.iter().copied())
            .filter(|replica| !range.replicas.contains(replica))
            .collect();
        let mut replicas = Vec::with_capacity(known.len());
        for replica in &range.replicas {
            if known.contains(replica) {
                replicas.push(*replica);
            } else if !new.is_empty() {
                replicas.push(new.remove(0));
            }
        }
        replicas.append(&mut new);
        let highest = replicas
            .iter()
            .map(|replica| replica.id)
            .max()
            .unwrap_or_default();
        range.next_id = range.next_id.max(highest + 1);
        range.replicas = replicas;
        self.epoch += 1;
        true
    }

    /// Whether a range is as it was when the cluster was made: all replica ids are the first ones.
    pub fn is_as_founded(&self, range: RangeId) -> bool {
        self.range(range).is_some_and(|range| {
            let count = u64::try_from(range.replicas.len()).unwrap_or(u64::MAX);
            range.next_id == REPLICA_ID_FIRST + count
        })
    }

    /// Whether the replicas of a range are those that it was made with, if it was made with `count`. Ids may have been given out since to
    /// replicas that are still to come.
    pub fn has_first_replicas(&self, range: RangeId, count: usize) -> bool {
        let replicas = self.replicas(range);
        let end = REPLICA_ID_FIRST.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        replicas.len() == count && replicas.iter().all(|replica| replica.id < end)
    }

    /// Makes ready for the moves to another layout, which was placed from this one: takes over its wanted replication, the
    /// nodes it knows, and which replica ids it has given out, so that whatever becomes of the moves no layout that is
    /// placed from this one gives them out again. The replicas stay as they are. A new epoch.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] when the other layout cuts tokens in another way. Nothing is changed then.
    pub fn adopt(&mut self, target: &Self) -> Result<(), LayoutError> {
        if self.bits != target.bits {
            return Err(LayoutError::Invalid {
                cause: format!(
                    "the target has ranges of {} bits, the layout of {}",
                    target.bits.get(),
                    self.bits.get()
                ),
            });
        }
        self.epoch = target.epoch.max(self.epoch + 1);
        self.replication = target.replication;
        let nodes = target.nodes.iter();
        self.nodes
            .extend(nodes.map(|(node, description)| (*node, description.clone())));
        for (range, target) in self.ranges.iter_mut().zip(&target.ranges) {
            range.next_id = range.next_id.max(target.next_id);
        }
        Ok(())
    }

    /// Notes that a move has been carried out: what has come takes the place of what is gone, so that a range keeps its
    /// preferred leader unless that is gone. A new epoch. See [`super::moves`] and [`Layout::adopt`], which comes first.
    ///
    /// # Errors
    /// [`LayoutError::MoveDoesNotFit`] when the range does not exist, when what goes is not there, or when what comes is
    /// there already, is of an unknown node or has an id that was not given out. Nothing is changed then.
    pub fn apply(&mut self, step: &Move) -> Result<(), LayoutError> {
        let refuse = |cause: String| LayoutError::MoveDoesNotFit {
            range: step.range,
            cause,
        };
        let nodes = &self.nodes;
        let range = usize::try_from(step.range.0)
            .ok()
            .and_then(|index| self.ranges.get_mut(index))
            .ok_or_else(|| refuse("there is no such range".to_owned()))?;
        if let Some(add) = step.add {
            if !nodes.contains_key(&add.node) {
                return Err(refuse(format!("node {} is not known", add.node)));
            }
            if range.replicas.iter().any(|replica| replica.node == add.node) && !same_node(step) {
                return Err(refuse(format!("node {} holds the range already", add.node)));
            }
            if !(REPLICA_ID_FIRST..range.next_id).contains(&add.id) {
                return Err(refuse(format!("replica id {} was not given out", add.id)));
            }
            if range.replicas.iter().any(|replica| replica.id == add.id) {
                return Err(refuse(format!("replica id {} is there already", add.id)));
            }
        }
        let place =
            match step.remove {
                None => None,
                Some(remove) => {
                    let place = range.replicas.iter().position(|replica| *replica == remove);
                    Some(place.ok_or_else(|| {
                        refuse(format!("node {} has no replica {}", remove.node, remove.id))
                    })?)
                }
            };
        match (place, step.add) {
            (Some(place), Some(add)) => {
                if let Some(replica) = range.replicas.get_mut(place) {
                    *replica = add;
                }
            }
            (Some(place), None) => {
                range.replicas.remove(place);
            }
            (None, Some(add)) => range.replicas.push(add),
            (None, None) => {}
        }
        self.epoch += 1;
        Ok(())
    }

    /// Checks that the layout does not contradict itself. How well the replicas are spread is not looked at: on the way
    /// from one layout to the next, they may be spread badly.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`], which names the first node or range with which something is wrong, and what.
    pub fn validate(&self) -> Result<(), LayoutError> {
        let invalid = |cause: String| Err(LayoutError::Invalid { cause });
        if self.epoch > COUNTER_MAX {
            return invalid(format!("epoch {} is out of reach", self.epoch));
        }
        let expected = self.bits.ranges().len();
        if self.ranges.len() != expected {
            return invalid(format!(
                "{} bits make {expected} ranges, not {}",
                self.bits.get(),
                self.ranges.len()
            ));
        }
        if let Some((node, _)) = self.nodes.iter().find(|(_, node)| node.address.is_empty()) {
            return invalid(format!("node {node} has no address"));
        }
        for (id, range) in self.bits.ranges().zip(&self.ranges) {
            if let Err(cause) = self.validate_range(range) {
                return invalid(format!("range {id} {cause}"));
            }
        }
        Ok(())
    }

    /// Says what is wrong with a range, as the end of a sentence.
    fn validate_range(&self, range: &RangeReplicas) -> Result<(), String> {
        if range.replicas.is_empty() {
            return Err("has no replica".to_owned());
        }
        if range.next_id > COUNTER_MAX {
            return Err(format!("has next replica id {}, out of reach", range.next_id));
        }
        for (index, replica) in range.replicas.iter().enumerate() {
            let Replica { node, id } = replica;
            if !self.nodes.contains_key(node) {
                return Err(format!(
                    "has a replica on node {node}, which is not in the layout"
                ));
            }
            if !(REPLICA_ID_FIRST..range.next_id).contains(id) {
                return Err(format!(
                    "has replica id {id} on node {node}; ids from {REPLICA_ID_FIRST} to below {} were given out",
                    range.next_id
                ));
            }
            let before = range.replicas.get(..index).unwrap_or_default();
            if before.iter().any(|other| other.node == *node) {
                return Err(format!("has two replicas on node {node}"));
            }
            if before.iter().any(|other| other.id == *id) {
                return Err(format!("has replica id {id} twice"));
            }
        }
        Ok(())
    }

    fn range_mut(&mut self, range: RangeId) -> Option<&mut RangeReplicas> {
        self.ranges.get_mut(usize::try_from(range.0).ok()?)
    }

    fn range(&self, range: RangeId) -> Option<&RangeReplicas> {
        self.ranges.get(usize::try_from(range.0).ok()?)
    }
}

/// Whether a move replaces a replica by another one on the same node.
fn same_node(step: &Move) -> bool {
    step.add.map(|replica| replica.node) == step.remove.map(|replica| replica.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(address: &str) -> NodeDescription {
        NodeDescription {
            address: address.into(),
            zone: "z".into(),
            rack: "r".into(),
            capacity: NonZeroU32::MIN,
            incarnation: 1,
        }
    }

    fn replica(node: u64, id: u64) -> Replica {
        Replica {
            node: NodeId(node),
            id,
        }
    }

    /// Two ranges on nodes 1 to 3: {1, 2} and {2, 3}. Of each, id 3 is given out as well.
    fn layout() -> Layout {
        let bits = RangeBits::MIN;
        let mut layout = Layout::empty(bits, NonZeroU8::new(2).unwrap());
        layout.nodes = (1..=3)
            .map(|id| (NodeId(id), node(&format!("h{id}:1"))))
            .collect();
        for (range, replicas) in layout.ranges.iter_mut().zip([[1, 2], [2, 3]]) {
            range.replicas = vec![replica(replicas[0], 1), replica(replicas[1], 2)];
            range.next_id = 4;
        }
        layout
    }

    fn complaint(change: impl FnOnce(&mut Layout)) -> String {
        let mut layout = layout();
        layout.validate().unwrap();
        change(&mut layout);
        layout.validate().unwrap_err().to_string()
    }

    #[test]
    fn replicas_are_looked_up_by_range_key_and_node() {
        let layout = layout();
        assert_eq!(layout.replicas(RangeId(1)), [replica(2, 1), replica(3, 2)]);
        assert_eq!(layout.replicas(RangeId(2)), []);
        assert_eq!(layout.replicas_of_key(&[0x80]), layout.replicas(RangeId(1)));
        assert_eq!(layout.preferred_leader(RangeId(0)), Some(replica(1, 1)));
        assert_eq!(layout.preferred_leader(RangeId(9)), None);
        assert_eq!(layout.replica_on(RangeId(0), NodeId(2)), Some(replica(2, 2)));
        assert_eq!(layout.replica_on(RangeId(0), NodeId(3)), None);
        let on_two = layout.replicas_on(NodeId(2)).collect::<Vec<_>>();
        assert_eq!(on_two, [(RangeId(0), replica(2, 2)), (RangeId(1), replica(2, 1))]);
        assert_eq!(layout.next_replica_id(RangeId(1)), Some(4));
        assert_eq!(layout.node(NodeId(3)), Some(&node("h3:1")));
    }

    #[test]
    fn what_is_wrong_with_a_layout_is_named() {
        let said = complaint(|layout| drop(layout.nodes.remove(&NodeId(3))));
        assert!(
            said.ends_with("range 1 has a replica on node 3, which is not in the layout"),
            "{said}"
        );
        let said = complaint(|layout| layout.ranges[0].replicas[1].node = NodeId(1));
        assert!(said.ends_with("range 0 has two replicas on node 1"), "{said}");
        let said = complaint(|layout| layout.ranges[0].replicas[1].id = 1);
        assert!(said.ends_with("range 0 has replica id 1 twice"), "{said}");
        let said = complaint(|layout| layout.ranges[1].replicas[1].id = 4);
        assert!(said.contains("range 1 has replica id 4 on node 3"), "{said}");
        let said = complaint(|layout| layout.ranges[1].replicas[0].id = 0);
        assert!(said.contains("range 1 has replica id 0 on node 2"), "{said}");
        let said = complaint(|layout| layout.ranges[1].replicas.clear());
        assert!(said.ends_with("range 1 has no replica"), "{said}");
        let said = complaint(|layout| layout.ranges[1].next_id = u64::MAX);
        assert!(said.contains("range 1 has next replica id"), "{said}");
        let said = complaint(|layout| drop(layout.ranges.pop()));
        assert!(said.ends_with("1 bits make 2 ranges, not 1"), "{said}");
        let said = complaint(|layout| layout.epoch = u64::MAX);
        assert!(said.contains("epoch 18446744073709551615"), "{said}");
        let said = complaint(|layout| layout.describe(NodeId(2), node("")));
        assert!(said.ends_with("node 2 has no address"), "{said}");
        assert!(Layout::empty(RangeBits::MIN, NonZeroU8::MIN).validate().is_err());
    }

    #[test]
    fn a_move_puts_what_comes_in_the_place_of_what_goes() {
        let mut layout = layout();
        let step = Move {
            range: RangeId(0),
            add: Some(replica(3, 3)),
            remove: Some(replica(1, 1)),
        };
        layout.apply(&step).unwrap();
        assert_eq!(layout.replicas(RangeId(0)), [replica(3, 3), replica(2, 2)]);
        assert_eq!((layout.epoch(), layout.next_replica_id(RangeId(0))), (1, Some(4)));
        layout.validate().unwrap();
    }

    #[test]
    fn ids_that_a_target_has_given_out_are_not_given_out_again() {
        let mut layout = layout();
        let mut nodes = layout.nodes.clone();
        nodes.insert(NodeId(4), node("h4:1"));
        let three = NonZeroU8::new(3).unwrap();
        let target = crate::ring::place(&layout, &nodes, three).unwrap();
        layout.adopt(&target).unwrap();
        assert_eq!((layout.epoch(), layout.replication()), (target.epoch(), three));
        assert_eq!(layout.replicas(RangeId(0)).len(), 2);
        assert_eq!(layout.next_replica_id(RangeId(0)), Some(5));
        let again = crate::ring::place(&layout, &nodes, three).unwrap();
        assert_eq!(again.next_replica_id(RangeId(0)), Some(6));

        let finer = Layout::empty(RangeBits::MAX, three);
        assert!(matches!(layout.adopt(&finer), Err(LayoutError::Invalid { .. })));
    }

    #[test]
    fn a_move_that_does_not_fit_changes_nothing() {
        let step = |range, add, remove| Move {
            range: RangeId(range),
            add,
            remove,
        };
        let before = layout();
        for (wrong, cause) in [
            (step(2, Some(replica(3, 3)), None), "no such range"),
            (step(0, Some(replica(4, 3)), None), "node 4 is not known"),
            (
                step(0, Some(replica(2, 3)), Some(replica(1, 1))),
                "holds the range already",
            ),
            (
                step(0, Some(replica(3, 2)), None),
                "replica id 2 is there already",
            ),
            (
                step(0, Some(replica(3, 4)), None),
                "replica id 4 was not given out",
            ),
            (
                step(0, Some(replica(3, 0)), None),
                "replica id 0 was not given out",
            ),
            (
                step(0, Some(replica(3, 3)), Some(replica(1, 2))),
                "node 1 has no replica 2",
            ),
        ] {
            let mut layout = before.clone();
            let said = layout.apply(&wrong).unwrap_err().to_string();
            assert!(said.contains(cause), "{said}");
            assert_eq!(layout, before);
        }
    }

    #[test]
    fn a_node_may_take_its_own_place_under_a_fresh_id() {
        let mut layout = layout();
        let step = Move {
            range: RangeId(0),
            add: Some(replica(2, 3)),
            remove: Some(replica(2, 2)),
        };
        layout.apply(&step).unwrap();
        assert_eq!(layout.replicas(RangeId(0)), [replica(1, 1), replica(2, 3)]);
    }
}
