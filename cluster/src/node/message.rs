//! What nodes ask each other, and what they answer, as bytes (`docs/format/transport.md`): protobuf messages.
//!
//! Invariant: what does not decode is refused; fields that an older program does not know are skipped. Not here: carrying
//! out.

pub(crate) mod cut;
pub(crate) mod moves;
mod name;
pub(crate) mod newcomer;
mod origin;
mod repair;
pub(crate) mod scrub;
pub(crate) mod transaction;

pub(crate) use self::moves::Metadata;
pub(crate) use self::repair::Repair;

use std::ops::Bound;

use bytes::Bytes;
use prost::{Message, Oneof};

use self::newcomer::{WhoAmI, You};
use self::origin::OriginOf;
use crate::command::WriteOptions;
use crate::coordinator::{Bounds, Direction};
use crate::derive::Unfit;
use crate::error::Error;
use crate::follow::Origin;
use crate::group::fill::Filling;
use crate::group::replica::Refused;
use crate::group::write::Target;
use crate::level::ConsistencyLevel;
use crate::world::NodeId;

/// A question.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Question {
    #[prost(
        oneof = "Ask",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 47, 48, 49"
    )]
    pub(crate) ask: Option<Ask>,
    /// The request that it is asked for.
    #[prost(message, optional, tag = "100")]
    pub(crate) origin: Option<OriginOf>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Ask {
    #[prost(message, tag = "1")]
    Write(Write),
    #[prost(message, tag = "2")]
    Read(Read),
    #[prost(message, tag = "3")]
    Page(Page),
    /// A group: up to which entry it is to be applied to see everything.
    #[prost(uint32, tag = "4")]
    ReadIndex(u32),
    #[prost(message, tag = "5")]
    WhoAmI(WhoAmI),
    #[prost(message, tag = "6")]
    Tally(TallyOf),
    #[prost(message, tag = "7")]
    ReadAt(At),
    #[prost(message, tag = "8")]
    Repair(Repair),
    /// The keyspaces and the layout, from the leader of group 0.
    #[prost(bool, tag = "9")]
    Metadata(bool),
    /// Rows that follow from entries of another group.
    #[prost(message, tag = "10")]
    Accept(Accept),
    /// What leaders of a group are to know.
    #[prost(message, tag = "11")]
    Require(Require),
    #[prost(message, tag = "12")]
    Fill(Fill),
    /// A group: up to which entry the rows that follow from it have been taken.
    #[prost(uint32, tag = "13")]
    Taken(u32),
    /// A transaction that has no other part is to be carried out.
    #[prost(message, tag = "14")]
    Transact(transaction::Part),
    /// A part of a transaction is to be prepared.
    #[prost(message, tag = "15")]
    Prepare(transaction::Part),
    /// A part that was prepared is to be carried out, or let go.
    #[prost(message, tag = "16")]
    EndPart(transaction::End),
    #[prost(message, tag = "17")]
    See(transaction::See),
    /// A command on a row of the ledger.
    #[prost(message, tag = "18")]
    Ledger(Write),
    /// A replica is to be made here.
    #[prost(message, tag = "21")]
    Host(moves::Hosting),
    /// A replica that is no member any more is to go.
    #[prost(message, tag = "22")]
    Discard(moves::ReplicaOf),
    /// Which replicas there are.
    #[prost(bool, tag = "23")]
    Inventory(bool),
    /// The members of a group, from its leader.
    #[prost(uint32, tag = "24")]
    GroupStatus(u32),
    #[prost(message, tag = "25")]
    ChangeMembers(moves::ChangeMembers),
    /// A group: its leader is to hand over to another member.
    #[prost(uint32, tag = "26")]
    HandOver(u32),
    /// A member waits to be filled.
    #[prost(message, tag = "27")]
    Snapshot(moves::ReplicaOf),
    #[prost(message, tag = "28")]
    SnapshotPage(moves::SnapshotFrom),
    #[prost(message, tag = "29")]
    SnapshotEnd(moves::SnapshotEnd),
    /// A node asks to be one of the cluster's.
    #[prost(message, tag = "30")]
    Join(moves::Joining),
    /// The writes of keyspaces are to be held.
    #[prost(message, tag = "31")]
    Hold(cut::HoldOf),
    /// What is held is to be kept as it is.
    #[prost(message, tag = "32")]
    Cut(cut::HoldOf),
    /// Writes are to go on.
    #[prost(message, tag = "33")]
    Lift(cut::Lift),
    /// Cells of a cut.
    #[prost(message, tag = "34")]
    CutPage(cut::CutPage),
    /// Somebody still reads a cut.
    #[prost(uint64, tag = "35")]
    KeepCut(u64),
    /// Nobody reads a cut any more.
    #[prost(uint64, tag = "36")]
    EndCut(u64),
    /// Nothing of a time or of an earlier one is to be logged any more.
    #[prost(message, tag = "37")]
    Close(Close),
    /// The digests of a replica.
    #[prost(message, tag = "41")]
    Digests(scrub::ScrubOf),
    #[prost(message, tag = "42")]
    Pieces(scrub::PiecesOf),
    /// A replica has something wrong.
    #[prost(message, tag = "43")]
    Suspect(scrub::ScrubOf),
    /// A replica has everything as it should be.
    #[prost(message, tag = "44")]
    Trust(scrub::ScrubOf),
    #[prost(message, tag = "45")]
    Heal(scrub::Heal),
    /// A group: its leader is to compare its replicas.
    #[prost(uint32, tag = "46")]
    WantScrub(u32),
    /// A node is to compare all groups that it leads, and to check its files.
    #[prost(bool, tag = "47")]
    WantAllScrubs(bool),
    #[prost(bool, tag = "48")]
    ScrubProgress(bool),
    /// What time it is.
    #[prost(bool, tag = "49")]
    Clock(bool),
}

/// Rows for a group, as they are to lie in its log.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Accept {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) record: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Require {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// The entry of group 0.
    #[prost(uint64, tag = "2")]
    pub(crate) known: u64,
}

/// A time that is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Close {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "2")]
    pub(crate) at_ms: u64,
}

/// A part of a fill.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Fill {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) filling: Bytes,
    #[prost(message, optional, tag = "4")]
    pub(crate) start: Option<End>,
    #[prost(message, optional, tag = "5")]
    pub(crate) end: Option<End>,
    #[prost(uint64, tag = "6")]
    pub(crate) required: u64,
    #[prost(uint32, tag = "7")]
    pub(crate) count: u32,
}

impl Fill {
    pub(crate) fn new(group: u32, filling: &Filling) -> Self {
        Self {
            group,
            keyspace: filling.keyspace,
            filling: filling.what.clone(),
            start: end_of(&filling.start),
            end: end_of(&filling.end),
            required: filling.required,
            count: filling.count,
        }
    }

    pub(crate) fn filling(self) -> Filling {
        Filling {
            keyspace: self.keyspace,
            what: self.filling,
            start: bound_of(self.start),
            end: bound_of(self.end),
            required: self.required,
            count: self.count,
        }
    }
}

/// What a part of a fill has come to.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FilledPart {
    #[prost(uint64, tag = "1")]
    pub(crate) cells: u64,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) last: Option<Bytes>,
}

/// A cell, when everything up to an entry is applied.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct At {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) key: Bytes,
    #[prost(uint64, tag = "4")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Write {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) key: Bytes,
    #[prost(uint32, tag = "4")]
    pub(crate) level: u32,
    /// 16 bytes, or none.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) invocation: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) command: Bytes,
    /// Whether another try of the invocation may be under way.
    #[prost(bool, tag = "7")]
    pub(crate) is_repeated: bool,
    /// See [`Decision::asked_ms`](crate::group::write::Decision::asked_ms); 0 if it is no hint.
    #[prost(uint64, tag = "8")]
    pub(crate) asked_ms: u64,
}

impl Write {
    pub(crate) fn new(group: u32, target: Target<'_>, options: &WriteOptions, command: Bytes) -> Self {
        Self {
            group,
            keyspace: target.keyspace,
            key: Bytes::copy_from_slice(target.key),
            level: level_number(options.level),
            invocation: invocation_bytes(options),
            command,
            is_repeated: options.is_repeated(),
            asked_ms: 0,
        }
    }

    /// When it was asked for, if it is a hint.
    pub(crate) fn asked_ms(&self) -> Option<u64> {
        Some(self.asked_ms).filter(|asked_ms| *asked_ms != 0)
    }
}

/// The id of the call, if there is one.
fn invocation_bytes(options: &WriteOptions) -> Bytes {
    let id = options.invocation.map(|invocation| invocation.id);
    id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes()))
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Read {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) key: Bytes,
    /// Whether the leader is asked, and must be it.
    #[prost(bool, tag = "4")]
    pub(crate) leader: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Page {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) keyspace: u32,
    #[prost(message, optional, tag = "3")]
    pub(crate) start: Option<End>,
    #[prost(message, optional, tag = "4")]
    pub(crate) end: Option<End>,
    #[prost(bool, tag = "5")]
    pub(crate) backward: bool,
    #[prost(bool, tag = "6")]
    pub(crate) leader: bool,
    #[prost(uint32, tag = "7")]
    pub(crate) bytes_max: u32,
}

/// An end of a span.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct End {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(crate) excluded: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TallyOf {
    #[prost(uint32, tag = "1")]
    pub(crate) keyspace: u32,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) groups: Vec<u32>,
}

/// An answer.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reply {
    #[prost(
        oneof = "Tell",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 21, 22, 23, 24, 41, 42"
    )]
    pub(crate) tell: Option<Tell>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Tell {
    #[prost(message, tag = "1")]
    Refused(Refusal),
    /// What the command answers.
    #[prost(bytes = "bytes", tag = "2")]
    Written(Bytes),
    #[prost(message, tag = "3")]
    Cell(MaybeCell),
    #[prost(message, tag = "4")]
    Rows(Rows),
    #[prost(uint64, tag = "5")]
    Index(u64),
    #[prost(message, tag = "6")]
    You(You),
    #[prost(message, tag = "7")]
    Tally(Sums),
    #[prost(message, tag = "8")]
    Metadata(Metadata),
    #[prost(message, tag = "9")]
    Filled(FilledPart),
    #[prost(message, tag = "10")]
    Judged(transaction::JudgementMessage),
    #[prost(message, tag = "11")]
    Seen(transaction::SeenMessage),
    #[prost(message, tag = "12")]
    Cut(cut::CutHead),
    #[prost(message, tag = "21")]
    Inventory(moves::Inventory),
    #[prost(message, tag = "22")]
    GroupStatus(moves::GroupStatusMessage),
    #[prost(message, tag = "23")]
    SnapshotHead(moves::SnapshotHead),
    #[prost(message, tag = "24")]
    SnapshotPart(moves::SnapshotPart),
    #[prost(message, tag = "41")]
    Digests(scrub::DigestsOf),
    #[prost(message, tag = "42")]
    ScrubProgress(scrub::ScrubProgress),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MaybeCell {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) cell: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Rows {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) keys: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) cells: Vec<Bytes>,
    /// Whether there are no more.
    #[prost(bool, tag = "3")]
    pub(crate) is_last: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sums {
    #[prost(sint64, tag = "1")]
    pub(crate) items: i64,
    #[prost(sint64, tag = "2")]
    pub(crate) bytes: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Refusal {
    /// 1 not the leader, 2 not now, 3 unknown outcome, 4 no such keyspace, 5 malformed command, 6 anything else for good,
    /// 7 unfit, 8 locked by a transaction.
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    /// The leader, if the node knows it; for what is unfit its code.
    #[prost(uint64, tag = "2")]
    pub(crate) leader: u64,
    #[prost(string, tag = "3")]
    pub(crate) cause: String,
}

impl Refusal {
    pub(crate) fn of(refused: &Refused) -> Self {
        let (kind, leader, cause) = match refused {
            Refused::NotLeader(leader) => (1, leader.map_or(0, |node| node.0), String::new()),
            Refused::NotNow(cause) => (2, 0, cause.clone()),
            Refused::Unknown(cause) => (3, 0, cause.clone()),
            Refused::Finally(Error::NoSuchKeyspace) => (4, 0, String::new()),
            Refused::Finally(Error::MalformedCommand(error)) => (5, 0, error.detail.clone()),
            Refused::Finally(Error::Unfit(unfit)) => (7, u64::from(unfit.code), unfit.reason.clone()),
            Refused::Finally(Error::TransactionConflict) => (8, 0, String::new()),
            Refused::Finally(error) => (6, 0, error.to_string()),
        };
        Self { kind, leader, cause }
    }

    pub(crate) fn read(self, from: NodeId) -> Refused {
        match self.kind {
            1 => Refused::NotLeader(Some(self.leader).filter(|node| *node != 0).map(NodeId)),
            3 => Refused::Unknown(self.cause),
            4 => Refused::Finally(Error::NoSuchKeyspace),
            8 => Refused::Finally(Error::TransactionConflict),
            5 => Refused::Finally(crate::command::MalformedCommand { detail: self.cause }.into()),
            6 => Refused::Finally(Error::OtherNode {
                node: from,
                cause: self.cause,
            }),
            7 => Refused::Finally(Error::Unfit(Unfit {
                code: u8::try_from(self.leader).unwrap_or_default(),
                reason: self.cause,
            })),
            _ => Refused::NotNow(self.cause),
        }
    }
}

pub(crate) fn level_number(level: ConsistencyLevel) -> u32 {
    match level {
        ConsistencyLevel::One => 1,
        ConsistencyLevel::Quorum => 2,
        ConsistencyLevel::All => 3,
    }
}

pub(crate) fn level_of(number: u32) -> Option<ConsistencyLevel> {
    Some(match number {
        1 => ConsistencyLevel::One,
        2 => ConsistencyLevel::Quorum,
        3 => ConsistencyLevel::All,
        _ => return None,
    })
}

fn end_of(bound: &Bound<Vec<u8>>) -> Option<End> {
    match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some(End {
            key: key.clone(),
            excluded: false,
        }),
        Bound::Excluded(key) => Some(End {
            key: key.clone(),
            excluded: true,
        }),
    }
}

fn bound_of(end: Option<End>) -> Bound<Vec<u8>> {
    match end {
        None => Bound::Unbounded,
        Some(End { key, excluded: false }) => Bound::Included(key),
        Some(End { key, excluded: true }) => Bound::Excluded(key),
    }
}

impl Page {
    pub(crate) fn new(
        (group, keyspace): (u32, u32),
        bounds: &Bounds,
        direction: Direction,
        leader: bool,
        bytes_max: u32,
    ) -> Self {
        Self {
            group,
            keyspace,
            start: end_of(&bounds.start),
            end: end_of(&bounds.end),
            backward: direction == Direction::Backward,
            leader,
            bytes_max,
        }
    }

    pub(crate) fn bounds(&mut self) -> Bounds {
        Bounds {
            start: bound_of(self.start.take()),
            end: bound_of(self.end.take()),
        }
    }

    pub(crate) fn direction(&self) -> Direction {
        if self.backward {
            Direction::Backward
        } else {
            Direction::Forward
        }
    }
}

/// A question, and the request that it is asked for, if there is one.
pub(crate) fn question(ask: Ask, origin: Option<Origin>) -> Bytes {
    let origin = origin.map(|origin| OriginOf::new(&origin));
    let ask = Some(ask);
    Question { ask, origin }.encode_to_vec().into()
}

pub(crate) fn reply(tell: Tell) -> Bytes {
    Reply { tell: Some(tell) }.encode_to_vec().into()
}
