//! What nodes ask each other when the cells of keyspaces are to be seen as they are at one moment.
//!
//! Invariant: as that of the other messages. Not here: carrying out.

use bytes::Bytes;
use prost::Message;

use super::transaction::id_of;
use crate::group::hold::Undecided;
use crate::group::replica::Refused;

/// The writes of keyspaces in a group.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HoldOf {
    /// Of the cut; whoever makes it draws it.
    #[prost(uint64, tag = "1")]
    pub(crate) cut: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) group: u32,
    /// By number.
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) keyspaces: Vec<u32>,
}

/// The end of a hold.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Lift {
    #[prost(uint64, tag = "1")]
    pub(crate) cut: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) group: u32,
    /// The transactions that the group had prepared and that stand, 16 bytes each.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) stands: Vec<Bytes>,
}

/// A transaction that is prepared and may stand.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct UndecidedMessage {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) transaction: Bytes,
    /// The entry that has prepared it.
    #[prost(uint64, tag = "2")]
    pub(crate) prepared_at: u64,
    /// The key of its row in the ledger.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) ledger: Bytes,
}

/// What has to be found out about a group that was cut.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CutHead {
    #[prost(message, repeated, tag = "1")]
    pub(crate) undecided: Vec<UndecidedMessage>,
}

impl CutHead {
    pub(crate) fn new(undecided: &[Undecided]) -> Self {
        let message = |one: &Undecided| UndecidedMessage {
            transaction: Bytes::copy_from_slice(&one.transaction.0),
            prepared_at: one.prepared_at,
            ledger: one.ledger.clone(),
        };
        Self {
            undecided: undecided.iter().map(message).collect(),
        }
    }

    /// # Errors
    /// [`Refused::Finally`] when an id has a wrong length.
    pub(crate) fn undecided(self) -> Result<Vec<Undecided>, Refused> {
        let read = |one: UndecidedMessage| {
            Ok(Undecided {
                transaction: id_of(&one.transaction)?,
                prepared_at: one.prepared_at,
                ledger: one.ledger,
            })
        };
        self.undecided.into_iter().map(read).collect()
    }
}

/// Some cells of a cut.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CutPage {
    #[prost(uint64, tag = "1")]
    pub(crate) cut: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) group: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) keyspace: u32,
    /// Only those behind this key.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(crate) behind: Option<Bytes>,
    /// About so many bytes.
    #[prost(uint32, tag = "5")]
    pub(crate) bytes_max: u32,
}
