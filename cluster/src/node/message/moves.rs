//! What nodes say to each other when replicas move: messages in protobuf (`docs/format/transport.md`).
//!
//! Invariant: as in `message.rs`. Not here: carrying out.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::error::Error;
use crate::group::members::{GroupStatus, MemberStatus};
use crate::group::note::Note;
use crate::group::snapshot::{GroupSnapshot, SnapshotCell, SnapshotPage};
use crate::raft::{Entry, EntryKind, MemberChange, Members, ReplicaId};
use crate::ring::Plan;
use crate::world::NodeId;

/// What a node that has no replica of group 0 has to know of it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    /// The entry up to which it is true.
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) keyspaces: Vec<u32>,
    /// Their names, in the same order.
    #[prost(string, repeated, tag = "3")]
    pub(crate) names: Vec<String>,
    /// The plan, if there is one.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) plan: Bytes,
}

impl Metadata {
    /// The plan; `None` while the cluster is being made.
    ///
    /// # Errors
    /// [`Error::Layout`] when it does not decode.
    pub(crate) fn plan(&self) -> Result<Option<Plan>, Error> {
        if self.plan.is_empty() {
            return Ok(None);
        }
        Ok(Some(Plan::from_bytes(&self.plan)?))
    }
}

/// A replica of a group.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ReplicaOf {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) replica: u64,
}

impl ReplicaOf {
    pub(crate) fn new(group: u32, replica: ReplicaId) -> Self {
        Self {
            group,
            replica: replica.0,
        }
    }

    pub(crate) fn id(&self) -> ReplicaId {
        ReplicaId(self.replica)
    }
}

/// A replica that a node is to make.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Hosting {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) replica: u64,
    /// Which start of the node is asked: one that has lost its disk since makes no replica that it may have had before.
    #[prost(uint64, tag = "3")]
    pub(crate) incarnation: u64,
}

/// All replicas of a node.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Inventory {
    #[prost(message, repeated, tag = "1")]
    pub(crate) replicas: Vec<Held>,
    /// Members without a vote of the groups that it leads.
    #[prost(message, repeated, tag = "2")]
    pub(crate) learners: Vec<Learner>,
}

/// A member of a group that has no vote, wherever it is, and whether or not its node has it.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Learner {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) replica: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) node: u64,
}

/// A replica as the node has it.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Held {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) replica: u64,
    /// Whether it waits to be filled.
    #[prost(bool, tag = "3")]
    pub(crate) is_unfilled: bool,
}

/// A member of a group.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct MemberOf {
    #[prost(uint64, tag = "1")]
    replica: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(bool, tag = "3")]
    is_voter: bool,
    #[prost(bool, tag = "4")]
    is_leaving: bool,
    #[prost(bool, tag = "5")]
    has_caught_up: bool,
}

/// The members of a group as its leader sees them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GroupStatusMessage {
    #[prost(uint64, tag = "1")]
    leader: u64,
    #[prost(bool, tag = "2")]
    is_changing: bool,
    #[prost(message, repeated, tag = "3")]
    members: Vec<MemberOf>,
}

impl GroupStatusMessage {
    pub(crate) fn new(status: &GroupStatus) -> Self {
        let member = |member: &MemberStatus| MemberOf {
            replica: member.replica.0,
            node: member.node.0,
            is_voter: member.is_voter,
            is_leaving: member.is_leaving,
            has_caught_up: member.has_caught_up,
        };
        Self {
            leader: status.leader.0,
            is_changing: status.is_changing,
            members: status.members.iter().map(member).collect(),
        }
    }

    pub(crate) fn read(&self) -> GroupStatus {
        let member = |member: &MemberOf| MemberStatus {
            replica: ReplicaId(member.replica),
            node: NodeId(member.node),
            is_voter: member.is_voter,
            is_leaving: member.is_leaving,
            has_caught_up: member.has_caught_up,
        };
        GroupStatus {
            leader: ReplicaId(self.leader),
            is_changing: self.is_changing,
            members: self.members.iter().map(member).collect(),
        }
    }
}

/// A change of the members of a group, for its leader.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChangeMembers {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// 1 learn, 2 forget, 3 exchange.
    #[prost(uint32, tag = "2")]
    kind: u32,
    /// What comes; 0 nothing.
    #[prost(uint64, tag = "3")]
    add: u64,
    /// Where it is.
    #[prost(uint64, tag = "4")]
    node: u64,
    /// What goes; 0 nothing.
    #[prost(uint64, tag = "5")]
    remove: u64,
}

impl ChangeMembers {
    /// `None` for what a leader does by itself.
    pub(crate) fn new(group: u32, change: &MemberChange) -> Option<Self> {
        let number = |replica: &Option<ReplicaId>| replica.map_or(0, |replica| replica.0);
        let none = Self {
            group,
            ..Self::default()
        };
        match change {
            MemberChange::Learn(replica, node) => Some(Self {
                kind: 1,
                add: replica.0,
                node: node.0,
                ..none
            }),
            MemberChange::Forget(replica) => Some(Self {
                kind: 2,
                remove: replica.0,
                ..none
            }),
            MemberChange::Exchange { add, remove } => Some(Self {
                kind: 3,
                add: number(add),
                remove: number(remove),
                ..none
            }),
            MemberChange::Leave => None,
        }
    }

    pub(crate) fn change(&self) -> Option<MemberChange> {
        let replica = |id: u64| Some(id).filter(|id| *id != 0).map(ReplicaId);
        match self.kind {
            1 => Some(MemberChange::Learn(replica(self.add)?, NodeId(self.node))),
            2 => Some(MemberChange::Forget(replica(self.remove)?)),
            3 => Some(MemberChange::Exchange {
                add: replica(self.add),
                remove: replica(self.remove),
            }),
            _ => None,
        }
    }
}

/// What a snapshot begins with.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotHead {
    #[prost(uint64, tag = "1")]
    pub(crate) session: u64,
    /// The last entry that is applied, and its term.
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(uint64, tag = "3")]
    term: u64,
    /// The entry before the first one that comes along, and its term.
    #[prost(uint64, tag = "4")]
    before_index: u64,
    #[prost(uint64, tag = "5")]
    before_term: u64,
    #[prost(uint64, repeated, tag = "6")]
    voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    learners: Vec<u64>,
    #[prost(uint64, repeated, tag = "8")]
    outgoing: Vec<u64>,
    /// The members, and where they are, in the same order.
    #[prost(uint64, repeated, tag = "9")]
    replicas: Vec<u64>,
    #[prost(uint64, repeated, tag = "10")]
    nodes: Vec<u64>,
    /// The entry that has made the members.
    #[prost(uint64, tag = "11")]
    since: u64,
    #[prost(bytes = "bytes", tag = "12")]
    note: Bytes,
    /// What group 0 has made.
    #[prost(uint32, repeated, tag = "13")]
    pub(crate) keyspaces: Vec<u32>,
    #[prost(string, repeated, tag = "14")]
    pub(crate) names: Vec<String>,
}

impl SnapshotHead {
    pub(crate) fn new(session: u64, snapshot: &GroupSnapshot) -> Self {
        let ids = |replicas: &[ReplicaId]| replicas.iter().map(|replica| replica.0).collect();
        let members = &snapshot.members;
        let named = snapshot.named.iter();
        Self {
            session,
            index: snapshot.at.0,
            term: snapshot.at.1,
            before_index: snapshot.before.0,
            before_term: snapshot.before.1,
            voters: ids(&members.voters),
            learners: ids(&members.learners),
            outgoing: ids(&members.outgoing),
            replicas: members.nodes.all().map(|(replica, _)| replica.0).collect(),
            nodes: members.nodes.all().map(|(_, node)| node.0).collect(),
            since: members.since,
            note: snapshot.note.encode().into(),
            keyspaces: named.clone().map(|(number, _)| *number).collect(),
            names: named.map(|(_, name)| name.to_string()).collect(),
        }
    }

    /// The last entry that is applied, and its term.
    pub(crate) fn at(&self) -> (u64, u64) {
        (self.index, self.term)
    }

    /// The entry before the first one that comes along, and its term.
    pub(crate) fn before(&self) -> (u64, u64) {
        (self.before_index, self.before_term)
    }

    pub(crate) fn members(&self) -> Members {
        let ids = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect();
        let nodes = self.replicas.iter().zip(&self.nodes);
        Members {
            voters: ids(&self.voters),
            learners: ids(&self.learners),
            outgoing: ids(&self.outgoing),
            nodes: Arc::new(
                nodes
                    .map(|(replica, node)| (ReplicaId(*replica), NodeId(*node)))
                    .collect(),
            ),
            since: self.since,
        }
    }

    /// `None` for one of another version.
    pub(crate) fn note(&self) -> Option<Note> {
        Note::decode(self.note.clone())
    }
}

/// Asks for a page.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotFrom {
    #[prost(uint64, tag = "1")]
    pub(crate) session: u64,
    /// Where it begins; the first one has none.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) place: Option<Bytes>,
}

/// A page of a snapshot.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotPart {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<EntryOf>,
    #[prost(message, repeated, tag = "2")]
    cells: Vec<CellOf>,
    /// Where the next page begins, if there is one.
    #[prost(bytes = "bytes", optional, tag = "3")]
    next: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryOf {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(bool, tag = "3")]
    is_membership: bool,
    #[prost(bytes = "bytes", tag = "4")]
    data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct CellOf {
    #[prost(uint32, tag = "1")]
    keyspace: u32,
    #[prost(bytes = "bytes", tag = "2")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    cell: Bytes,
}

impl SnapshotPart {
    pub(crate) fn new(page: SnapshotPage) -> Self {
        let entry = |entry: Entry| EntryOf {
            index: entry.index,
            term: entry.term,
            is_membership: entry.kind == EntryKind::Membership,
            data: entry.data,
        };
        let cell = |cell: SnapshotCell| CellOf {
            keyspace: cell.keyspace,
            key: cell.key,
            cell: cell.cell,
        };
        Self {
            entries: page.entries.into_iter().map(entry).collect(),
            cells: page.cells.into_iter().map(cell).collect(),
            next: page.next,
        }
    }

    pub(crate) fn read(self) -> SnapshotPage {
        let entry = |entry: EntryOf| Entry {
            index: entry.index,
            term: entry.term,
            kind: if entry.is_membership {
                EntryKind::Membership
            } else {
                EntryKind::Command
            },
            data: entry.data,
        };
        let cell = |cell: CellOf| SnapshotCell {
            keyspace: cell.keyspace,
            key: cell.key,
            cell: cell.cell,
        };
        SnapshotPage {
            entries: self.entries.into_iter().map(entry).collect(),
            cells: self.cells.into_iter().map(cell).collect(),
            next: self.next,
        }
    }
}

/// The end of a snapshot: the replica has all of it.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct SnapshotEnd {
    #[prost(uint64, tag = "1")]
    pub(crate) session: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "3")]
    pub(crate) replica: u64,
}

/// A node that asks to be one of the cluster's, or to be known as what it is now.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Joining {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    #[prost(string, tag = "3")]
    pub(crate) zone: String,
    #[prost(string, tag = "4")]
    pub(crate) rack: String,
    #[prost(uint32, tag = "5")]
    pub(crate) capacity: u32,
    #[prost(uint64, tag = "6")]
    pub(crate) incarnation: u64,
}
