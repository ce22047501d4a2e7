//! Transactions as callers see them: commands on several cells that take effect together or not at all.
//!
//! Invariant: an action is the same command that a single write would be; a transaction adds nothing to what it means. Not
//! here: how they are carried out (`coordinator/transact.rs`, `group/transact.rs`), where they are decided (`ledger.rs`).

use std::fmt;

use bytes::Bytes;

use crate::command::{Cell, Invocation, InvocationId};
use crate::coordinator::Keyspace;
use crate::derive::Unfit;

/// One action of a transaction.
#[derive(Clone, Debug)]
pub struct TransactionAction {
    /// The keyspace of the cell.
    pub keyspace: Keyspace,
    /// Its key bytes.
    pub key: Bytes,
    /// The command, as [`crate::Commands::decide`] reads it.
    pub command: Bytes,
}

/// Under which id a client would send the same transaction again. For ten minutes it takes effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id.
    pub id: InvocationId,
    /// What the transaction asks for, as a hash: another one under the same id is a mistake of the client's.
    pub payload: [u8; 16],
    /// Which call it is a try of, if the client says so. A call that is cancelled does not take place later, when an earlier
    /// try of it comes; the id may be used by other calls then.
    pub call: Option<Invocation>,
}

/// What has come of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// It stands, and can be read everywhere.
    Done {
        /// What the commands answer, in the order of the actions.
        answers: Vec<Bytes>,
        /// Whether it stood before this request.
        is_repeated: bool,
    },
    /// Nothing was changed.
    Cancelled {
        /// Why, in the order of the actions; `None` for one that nothing stood in the way of.
        reasons: Vec<Option<Reason>>,
    },
    /// The id belongs to a transaction that asks for something else. Nothing was changed.
    OtherPayload,
    /// A transaction of the same id is under way.
    InProgress,
}

/// Why an action cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The command refuses; its answer.
    Refused(Bytes),
    /// Another transaction is about to write the cell.
    Conflict,
    /// What is derived from the write forbids it.
    Unfit(Unfit),
}

/// The code of a [`Reason::Unfit`] of the cluster's own: what the transaction writes to one token range is too large, with what
/// follows from it. Callers' codes are smaller.
pub const TRANSACTION_TOO_LARGE: u8 = u8::MAX;

/// Cells as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Together {
    /// The cells, in the order of the keys; `None` where there is none.
    Cells(Vec<Option<Cell>>),
    /// They are being written: which of them, in the order of the keys.
    Conflict(Vec<bool>),
}

/// Which attempt at a transaction: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransactionId(pub(crate) [u8; Self::BYTES]);

impl TransactionId {
    /// How long it is.
    pub(crate) const BYTES: usize = 16;

    /// The id in bytes, if they are as many as it has.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From two random numbers.
    pub(crate) fn random(mut number: impl FnMut() -> u64) -> Self {
        let mut id = [0; Self::BYTES];
        for part in id.chunks_exact_mut(8) {
            part.copy_from_slice(&number().to_le_bytes());
        }
        Self(id)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
