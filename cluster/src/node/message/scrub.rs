//! What nodes say to each other when replicas are compared and put right: messages in protobuf (`docs/format/transport.md`).
//!
//! Invariant: as in `message.rs`. Not here: carrying out.

use bytes::Bytes;
use prost::Message;

use super::{End, bound_of, end_of};
use crate::group::merkle::Digest;
use crate::group::scrub::Healing;

/// A comparison of a group.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ScrubOf {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) id: u64,
}

/// Pieces of the digests of a comparison.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PiecesOf {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) id: u64,
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) pieces: Vec<u32>,
}

/// How a replica is at the entry of a comparison.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DigestsOf {
    /// 0 it knows of no such comparison, 1 its cells are being digested, 2 they are, 3 they cannot be read.
    #[prost(uint32, tag = "1")]
    pub(crate) progress: u32,
    /// Digests of 16 bytes each, little-endian.
    #[prost(bytes = "bytes", tag = "2")]
    digests: Bytes,
    /// The keyspaces with cells of the group, by their numbers.
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) keyspaces: Vec<u32>,
    /// Whether the replica is under suspicion.
    #[prost(bool, tag = "4")]
    pub(crate) is_suspect: bool,
}

impl DigestsOf {
    pub(crate) const UNKNOWN: u32 = 0;
    pub(crate) const UNDER: u32 = 1;
    pub(crate) const DONE: u32 = 2;
    pub(crate) const UNREADABLE: u32 = 3;

    /// An answer without digests.
    pub(crate) fn without(progress: u32, is_suspect: bool) -> Self {
        Self {
            progress,
            is_suspect,
            ..Self::default()
        }
    }

    /// An answer with digests.
    pub(crate) fn with(digests: &[Digest], keyspaces: Vec<u32>, is_suspect: bool) -> Self {
        let bytes: Vec<u8> = digests.iter().flat_map(|digest| digest.to_le_bytes()).collect();
        Self {
            progress: Self::DONE,
            digests: bytes.into(),
            keyspaces,
            is_suspect,
        }
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        let (digests, _) = self.digests.as_chunks();
        digests
            .iter()
            .map(|bytes| Digest::from_le_bytes(*bytes))
            .collect()
    }
}

/// Cells that a replica is to have between two keys.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Heal {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// The entry of the comparison.
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(uint32, tag = "3")]
    keyspace: u32,
    #[prost(message, optional, tag = "4")]
    start: Option<End>,
    #[prost(message, optional, tag = "5")]
    end: Option<End>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    keys: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    cells: Vec<Bytes>,
}

impl Heal {
    pub(crate) fn new(group: u32, healing: Healing) -> Self {
        let (keys, cells) = healing.cells.into_iter().unzip();
        Self {
            group,
            index: healing.index,
            keyspace: healing.keyspace,
            start: end_of(&healing.span.0),
            end: end_of(&healing.span.1),
            keys,
            cells,
        }
    }

    /// `None` if keys and cells do not belong together.
    pub(crate) fn healing(self) -> Option<Healing> {
        let fits = self.keys.len() == self.cells.len() && self.keys.is_sorted();
        fits.then(|| Healing {
            index: self.index,
            keyspace: self.keyspace,
            span: (bound_of(self.start), bound_of(self.end)),
            cells: self.keys.into_iter().zip(self.cells).collect(),
        })
    }
}

/// How far the comparisons of a node are.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ScrubProgress {
    /// Ranges that it leads and that wait to be compared.
    #[prost(uint64, tag = "1")]
    pub(crate) ranges_waiting: u64,
    /// Replicas of it that are under suspicion.
    #[prost(uint64, tag = "2")]
    pub(crate) suspects: u64,
    /// Files that wait to be checked.
    #[prost(uint64, tag = "3")]
    pub(crate) files_waiting: u64,
    /// Their bytes.
    #[prost(uint64, tag = "4")]
    pub(crate) bytes_waiting: u64,
    /// Files that are damaged.
    #[prost(uint64, tag = "5")]
    pub(crate) files_damaged: u64,
    /// Since the start: ranges that were compared, and cells that were put right.
    #[prost(uint64, tag = "6")]
    pub(crate) ranges: u64,
    /// See `ranges`.
    #[prost(uint64, tag = "7")]
    pub(crate) healed: u64,
    /// Leaves of which nobody can say who has them right.
    #[prost(uint64, tag = "8")]
    pub(crate) undecided: u64,
    /// Whether what is damaged cannot be had from anywhere.
    #[prost(bool, tag = "9")]
    pub(crate) is_beyond_repair: bool,
}
