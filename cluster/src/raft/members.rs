//! Who takes part in a group, and how that changes: by joint consensus.
//!
//! A change of voters enters a configuration in which everything needs a majority of the old voters and of the new ones, and
//! leaves it by an entry of its own when that is applied (Ongaro, "Consensus: Bridging Theory and Practice", 4.3). Invariant:
//! a change is an entry of the group's own log and takes effect when it is applied; nothing else says who a majority is. Not
//! here: whether a change is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use super::ReplicaId;
use crate::world::NodeId;

/// Where members are, in the order of their ids. A node has thousands of them, so that none has room to spare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(Box<[(ReplicaId, NodeId)]>);

impl Places {
    /// Where a replica is, if it is a member.
    pub(crate) fn of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.all().find(|(id, _)| *id == replica).map(|(_, node)| node)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (ReplicaId, NodeId)> {
        self.0.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<(ReplicaId, NodeId)> for Places {
    /// Of a replica that comes twice, the last place counts.
    fn from_iter<I: IntoIterator<Item = (ReplicaId, NodeId)>>(places: I) -> Self {
        let by_id: BTreeMap<_, _> = places.into_iter().collect();
        Self(by_id.into_iter().collect())
    }
}

/// Who takes part in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// Those that make up majorities.
    pub(crate) voters: Vec<ReplicaId>,
    /// Those that only follow.
    pub(crate) learners: Vec<ReplicaId>,
    /// The voters before the change that is under way. While there are some, a majority of these is needed as well.
    pub(crate) outgoing: Vec<ReplicaId>,
    /// Where the members are. A node has thousands of groups, in which several look at the same places.
    pub(crate) nodes: Arc<Places>,
    /// The entry that has made them so; 0 if the group began with them.
    pub(crate) since: u64,
}

impl Members {
    /// Voters and nothing else, with which a group begins.
    pub(crate) fn founding(nodes: BTreeMap<ReplicaId, NodeId>) -> Self {
        Self {
            voters: nodes.keys().copied().collect(),
            nodes: Arc::new(nodes.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Whether a change of voters is under way.
    pub(crate) fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether a replica has a vote, now or until the change that is under way is over.
    pub(crate) fn votes(&self, replica: ReplicaId) -> bool {
        self.voters.contains(&replica) || self.outgoing.contains(&replica)
    }

    /// Whether another replica than this one has a vote, so that there is somebody who has what this one loses: a learner may have
    /// nothing yet.
    pub(crate) fn has_other_voter(&self, own: ReplicaId) -> bool {
        self.voters.iter().any(|voter| *voter != own)
    }

    /// Whether a replica takes part.
    pub(crate) fn contains(&self, replica: ReplicaId) -> bool {
        self.votes(replica) || self.learners.contains(&replica)
    }

    pub(super) fn to_conf_state(&self) -> ConfState {
        let ids = |replicas: &[ReplicaId]| replicas.iter().map(|replica| replica.0).collect::<Vec<_>>();
        let mut conf_state = ConfState::from((ids(&self.voters), ids(&self.learners)));
        conf_state.voters_outgoing = ids(&self.outgoing);
        conf_state
    }

    /// The members after a change that entry `index` has made; `added` says where those are that have come.
    pub(super) fn changed(&self, conf_state: &ConfState, added: &[(ReplicaId, NodeId)], index: u64) -> Self {
        let replicas = |ids: &[u64]| {
            let mut replicas: Vec<_> = ids.iter().copied().map(ReplicaId).collect();
            replicas.sort_unstable();
            replicas
        };
        let mut nodes: BTreeMap<_, _> = self.nodes.all().collect();
        nodes.extend(added.iter().copied());
        let mut members = Self {
            voters: replicas(&conf_state.voters),
            learners: replicas(&conf_state.learners),
            outgoing: replicas(&conf_state.voters_outgoing),
            nodes: Arc::default(),
            since: index,
        };
        nodes.retain(|replica, _| members.contains(*replica));
        members.nodes = Arc::new(nodes.into_iter().collect());
        members
    }
}

/// A change of the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// A replica on a node follows from now on, without a vote.
    Learn(ReplicaId, NodeId),
    /// One that follows does so no longer.
    Forget(ReplicaId),
    /// One that follows gets a vote, and one that has one goes; both at once if there are both. Enters a joint configuration.
    Exchange {
        /// Gets a vote.
        add: Option<ReplicaId>,
        /// Goes.
        remove: Option<ReplicaId>,
    },
    /// Leaves the joint configuration.
    Leave,
}

/// The same as the `raft` crate has it in the data of an entry.
#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(int32, tag = "1")]
    transition: i32,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<Single>,
    /// Where replicas are that come.
    #[prost(bytes = "bytes", tag = "3")]
    context: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Single {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint64, tag = "2")]
    replica: u64,
}

/// One change without a joint configuration; with no change at all, leaves it.
const AUTO: i32 = 0;
/// A joint configuration, which is left when the leader says so.
const EXPLICIT: i32 = 2;

const ADD_VOTER: i32 = 0;
const REMOVE: i32 = 1;
const ADD_LEARNER: i32 = 2;

/// Bytes of a replica with its node in the context.
const PLACE_BYTES: usize = 16;

impl MemberChange {
    /// The data of the entry that makes the change.
    pub(super) fn encode(&self) -> Bytes {
        let single = |kind, replica: ReplicaId| Single {
            kind,
            replica: replica.0,
        };
        let mut encoded = Encoded::default();
        match *self {
            Self::Learn(replica, node) => {
                encoded.changes.push(single(ADD_LEARNER, replica));
                let mut context = Vec::with_capacity(PLACE_BYTES);
                context.put_u64_le(replica.0);
                context.put_u64_le(node.0);
                encoded.context = context.into();
            }
            Self::Forget(replica) => encoded.changes.push(single(REMOVE, replica)),
            Self::Exchange { add, remove } => {
                encoded.transition = EXPLICIT;
                encoded
                    .changes
                    .extend(add.map(|replica| single(ADD_VOTER, replica)));
                encoded
                    .changes
                    .extend(remove.map(|replica| single(REMOVE, replica)));
            }
            Self::Leave => encoded.transition = AUTO,
        }
        encoded.encode_to_vec().into()
    }
}

/// What an entry changes, for the crate, and where replicas are that come with it.
pub(super) fn decode(data: &Bytes) -> Result<(ConfChangeV2, Vec<(ReplicaId, NodeId)>), String> {
    let mut encoded = Encoded::decode(data.clone()).map_err(|error| error.to_string())?;
    let mut change = ConfChangeV2 {
        transition: transition(encoded.transition)?,
        ..ConfChangeV2::default()
    };
    let mut singles = Vec::with_capacity(encoded.changes.len());
    for single in &encoded.changes {
        singles.push(ConfChangeSingle {
            change_type: kind(single.kind)?,
            node_id: single.replica,
            ..ConfChangeSingle::default()
        });
    }
    change.set_changes(singles.into());
    let mut added = Vec::new();
    while encoded.context.len() >= PLACE_BYTES {
        let replica = ReplicaId(encoded.context.get_u64_le());
        added.push((replica, NodeId(encoded.context.get_u64_le())));
    }
    Ok((change, added))
}

fn transition(number: i32) -> Result<ConfChangeTransition, String> {
    match number {
        AUTO => Ok(ConfChangeTransition::Auto),
        EXPLICIT => Ok(ConfChangeTransition::Explicit),
        _ => Err(format!("a change of members has the unknown transition {number}")),
    }
}

fn kind(number: i32) -> Result<ConfChangeType, String> {
    match number {
        ADD_VOTER => Ok(ConfChangeType::AddNode),
        REMOVE => Ok(ConfChangeType::RemoveNode),
        ADD_LEARNER => Ok(ConfChangeType::AddLearnerNode),
        _ => Err(format!("a change of members has the unknown kind {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_what_the_crate_takes_them_for() {
        let added = |change: MemberChange| decode(&change.encode()).unwrap();
        let (learn, nodes) = added(MemberChange::Learn(ReplicaId(4), NodeId(9)));
        assert_eq!(nodes, [(ReplicaId(4), NodeId(9))]);
        assert_eq!(
            (learn.changes.len(), learn.enter_joint(), learn.leave_joint()),
            (1, None, false)
        );
        let (exchange, _) = added(MemberChange::Exchange {
            add: None,
            remove: Some(ReplicaId(2)),
        });
        assert_eq!((exchange.changes.len(), exchange.enter_joint()), (1, Some(false)));
        let (leave, _) = added(MemberChange::Leave);
        assert!(leave.leave_joint());
        let (forget, _) = added(MemberChange::Forget(ReplicaId(4)));
        assert_eq!(forget.enter_joint(), None);
        assert!(
            decode(&Bytes::from_static(&[8, 9])).is_err(),
            "an unknown transition"
        );
        assert!(decode(&Bytes::from_static(&[255])).is_err());
    }

    #[test]
    fn whoever_has_gone_is_nowhere() {
        let three = (1..=3).map(|id| (ReplicaId(id), NodeId(id)));
        let members = Members::founding(three.collect());
        let mut conf_state = members.to_conf_state();
        conf_state.voters = vec![1, 2];
        conf_state.learners = vec![4];
        let changed = members.changed(&conf_state, &[(ReplicaId(4), NodeId(4))], 7);
        let nodes: Vec<_> = changed.nodes.all().map(|(id, _)| id.0).collect();
        assert_eq!((nodes, changed.since), (vec![1, 2, 4], 7));
        assert!(changed.contains(ReplicaId(4)) && !changed.votes(ReplicaId(4)));
        assert!(!changed.contains(ReplicaId(3)));
    }

    #[test]
    fn places_are_in_the_order_of_the_ids_and_each_member_has_one() {
        let places = [(3, 30), (1, 10), (3, 31)].map(|(id, node)| (ReplicaId(id), NodeId(node)));
        let places: Places = places.into_iter().collect();
        assert_eq!(
            places.all().collect::<Vec<_>>(),
            [(ReplicaId(1), NodeId(10)), (ReplicaId(3), NodeId(31))]
        );
        assert_eq!(places.len(), 2);
        assert_eq!(
            (places.of(ReplicaId(3)), places.of(ReplicaId(2))),
            (Some(NodeId(31)), None)
        );
    }

    #[test]
    fn who_only_follows_is_no_other_voter() {
        let alone = Members::founding([(ReplicaId(1), NodeId(1))].into());
        let mut conf_state = alone.to_conf_state();
        conf_state.learners = vec![4];
        let followed = alone.changed(&conf_state, &[(ReplicaId(4), NodeId(4))], 7);
        assert_eq!(followed.nodes.len(), 2);
        assert!(!followed.has_other_voter(ReplicaId(1)));
        // A learner's own vote is no question of it.
        assert!(followed.has_other_voter(ReplicaId(4)));
    }
}
