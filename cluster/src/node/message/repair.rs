//! The question to put a cell right.

use bytes::Bytes;
use prost::Message;

use super::{MaybeCell, invocation_bytes};
use crate::command::WriteOptions;
use crate::group::restore::Restore;

/// A cell that replicas have differently.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Repair {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) key: Bytes,
    /// 16 bytes, or none.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) invocation: Bytes,
    /// What they have.
    #[prost(message, repeated, tag = "5")]
    pub(crate) seen: Vec<MaybeCell>,
    /// What they are to have.
    #[prost(message, optional, tag = "6")]
    pub(crate) right: Option<MaybeCell>,
    /// They had applied everything up to this entry.
    #[prost(uint64, tag = "7")]
    pub(crate) since: u64,
}

impl Repair {
    pub(crate) fn new(
        (group, keyspace): (u32, u32),
        key: &[u8],
        options: &WriteOptions,
        restore: &Restore,
    ) -> Self {
        let maybe = |cell: &Option<Bytes>| MaybeCell { cell: cell.clone() };
        Self {
            group,
            keyspace,
            key: Bytes::copy_from_slice(key),
            invocation: invocation_bytes(options),
            seen: restore.seen.iter().map(maybe).collect(),
            right: Some(maybe(&restore.right)),
            since: restore.since,
        }
    }

    pub(crate) fn restore(&mut self) -> Restore {
        let seen = std::mem::take(&mut self.seen).into_iter();
        Restore {
            since: self.since,
            seen: seen.map(|seen| seen.cell).collect(),
            right: self.right.take().and_then(|right| right.cell),
        }
    }
}
