//! What is kept of a replica beside its log, as bytes (`docs/format/group.md`).
//!
//! Invariant: there is one way to write a state, and what was read encodes to the same bytes. Not here: when it is written.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _};

use crate::raft::{HardState, Kept, Members, ReplicaId};
use crate::world::NodeId;

/// First byte of a state.
const STATE_VERSION: u8 = 2;

/// Bytes of a state in front of the members: version, how the replica stands, its id, term, vote, commit, index and
/// term before the first entry, the entry that has made the members.
const STATE_HEADER_BYTES: usize = 1 + 1 + 7 * 8;

const FULL: u8 = 0;
const UNFILLED: u8 = 1;
const GONE: u8 = 2;
const SUSPECT: u8 = 3;

/// Which replica it is, and whether it has what its group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its id.
    pub(crate) id: ReplicaId,
    /// It waits to be filled from another replica, and has no log until then.
    pub(crate) is_unfilled: bool,
    /// It was given up; what is left says that its id is not to be begun again.
    pub(crate) is_gone: bool,
    /// It takes part, but nothing is to be believed of what it has before it was compared with others.
    pub(crate) is_suspect: bool,
}

impl Standing {
    /// A replica that takes part.
    pub(crate) fn full(id: ReplicaId) -> Self {
        Self {
            id,
            is_unfilled: false,
            is_gone: false,
            is_suspect: false,
        }
    }

    /// One that waits to be filled.
    pub(crate) fn unfilled(id: ReplicaId) -> Self {
        Self {
            is_unfilled: true,
            ..Self::full(id)
        }
    }
}

pub(super) fn encode_state(standing: Standing, kept: &Kept) -> Vec<u8> {
    let Kept {
        hard_state,
        members,
        before,
    } = kept;
    let lists = [&members.voters, &members.learners, &members.outgoing];
    let replicas: usize = lists.iter().map(|replicas| replicas.len()).sum();
    let nodes = members.nodes.len();
    let mut bytes = Vec::with_capacity(STATE_HEADER_BYTES + 4 * 4 + 8 * replicas + 16 * nodes);
    bytes.put_u8(STATE_VERSION);
    bytes.put_u8(match standing {
        Standing { is_gone: true, .. } => GONE,
        Standing {
            is_unfilled: true, ..
        } => UNFILLED,
        Standing { is_suspect: true, .. } => SUSPECT,
        Standing { .. } => FULL,
    });
    let numbers = [
        standing.id.0,
        hard_state.term,
        hard_state.vote,
        hard_state.commit,
        before.0,
        before.1,
        members.since,
    ];
    for number in numbers {
        bytes.put_u64_le(number);
    }
    for replicas in lists {
        bytes.put_u32_le(u32::try_from(replicas.len()).unwrap_or(u32::MAX));
        for replica in replicas {
            bytes.put_u64_le(replica.0);
        }
    }
    bytes.put_u32_le(u32::try_from(nodes).unwrap_or(u32::MAX));
    for (replica, node) in members.nodes.all() {
        bytes.put_u64_le(replica.0);
        bytes.put_u64_le(node.0);
    }
    bytes
}

pub(super) fn decode_state(mut bytes: &[u8]) -> Option<(Standing, Kept)> {
    if bytes.len() < STATE_HEADER_BYTES || bytes.get_u8() != STATE_VERSION {
        return None;
    }
    let kind = bytes.get_u8();
    if kind > SUSPECT {
        return None;
    }
    let standing = Standing {
        id: ReplicaId(bytes.get_u64_le()),
        is_unfilled: kind == UNFILLED,
        is_gone: kind == GONE,
        is_suspect: kind == SUSPECT,
    };
    let hard_state = HardState {
        term: bytes.get_u64_le(),
        vote: bytes.get_u64_le(),
        commit: bytes.get_u64_le(),
    };
    let before = (bytes.get_u64_le(), bytes.get_u64_le());
    let since = bytes.get_u64_le();
    let mut replicas = || -> Option<Vec<ReplicaId>> {
        let count = count(&mut bytes, 8)?;
        Some((0..count).map(|_| ReplicaId(bytes.get_u64_le())).collect())
    };
    let (voters, learners, outgoing) = (replicas()?, replicas()?, replicas()?);
    let mut nodes: Vec<(ReplicaId, NodeId)> = Vec::new();
    for _ in 0..count(&mut bytes, 16)? {
        let replica = ReplicaId(bytes.get_u64_le());
        // In their order, so that there is one way to write a state.
        if nodes.last().is_some_and(|(last, _)| *last >= replica) {
            return None;
        }
        nodes.push((replica, NodeId(bytes.get_u64_le())));
    }
    let members = Members {
        voters,
        learners,
        outgoing,
        nodes: Arc::new(nodes.into_iter().collect()),
        since,
    };
    let kept = Kept {
        hard_state,
        members,
        before,
    };
    bytes.is_empty().then_some((standing, kept))
}

/// Reads how many pieces of so many bytes follow.
fn count(bytes: &mut &[u8], each: usize) -> Option<usize> {
    let count = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    (count <= bytes.len() / each).then_some(count)
}
