//! Consensus of one group: the `raft` crate behind types of our own.
//!
//! Invariant: nothing in here does I/O, asks the time or draws a number; nothing outside of here names the crate or its
//! protobuf types. Not here: what the entries mean (`group/`), how messages travel (`node/`).

mod codec;
mod core;
mod logger;
mod members;
mod proof;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use self::codec::RaftMessage;
pub(crate) use self::core::{Core, CoreSettings, Persist, ReadContext, Role};
pub(crate) use self::members::{MemberChange, Members, Places};
pub(crate) use self::store::{Fetch, Recovered};

use bytes::Bytes;

/// A replica within its group. Given out once in the life of a group, never used again, so that a replica that has lost
/// its log cannot be taken for one that has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaId(pub u64);

/// What an entry of the log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A command of the group; empty for the entry with which a leader begins its term.
    Command,
    /// A change of the group's members, in the crate's encoding.
    Membership,
}

/// An entry of the log of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place in the log; the first one is 1.
    pub(crate) index: u64,
    /// The term of the leader that has made it.
    pub(crate) term: u64,
    /// What it is for.
    pub(crate) kind: EntryKind,
    /// What the owner has proposed.
    pub(crate) data: Bytes,
}

/// What a replica must not forget beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HardState {
    /// The latest term that it knows of.
    pub(crate) term: u64,
    /// Who got this replica's vote in the term; 0 if nobody did.
    pub(crate) vote: u64,
    /// Up to here entries are known to be committed.
    pub(crate) commit: u64,
}

/// What is kept with the log of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What it must not forget.
    pub(crate) hard_state: HardState,
    /// Who takes part.
    pub(crate) members: Members,
    /// The index and the term of the entry before the first one of the log.
    pub(crate) before: (u64, u64),
}
