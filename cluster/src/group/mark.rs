//! Marks of transactions that have no part in other groups: rows of the ledger beside their cells, which say that they have
//! taken place, or that they never will.
//!
//! A try that comes again finds out by the mark what has come of those before it; and one that is refused while another one
//! may be under way closes the mark, so that the other one is told the same when it comes. Invariant: a mark is written once,
//! under its latch, by the leadership that has seen that it was not there. Not here: what becomes of the cells
//! (`transact.rs`), who looks for the marks (`coordinator/transact/one.rs`).

use std::sync::Arc;

use bytes::Bytes;

use super::derive::Known;
use super::prepared::Commit;
use super::replica::{Refused, Replica};
use super::sums::Sums;
use super::transact::Judgement;
use super::write::Target;
use crate::command::{Cell, InvocationId};
use crate::error::Error;
use crate::latch::Latch;
use crate::ledger::{CancelledCall, MarkFate, MarkRow};
use crate::level::ConsistencyLevel;
use crate::transaction::{Reason, TransactionId};

/// What a transaction of one group leaves a mark with, that it has taken place or never will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The keyspace of the ledger.
    pub(crate) keyspace: u32,
    /// The key of the mark, in the range of the group.
    pub(crate) key: Bytes,
    /// When the transaction began, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// The call that it is a try of.
    pub(crate) call: InvocationId,
    /// Whether another try may be under way, so that it must not take effect later when this one is refused.
    pub(crate) is_repeated: bool,
}

impl Mark {
    pub(super) fn target(&self) -> Target<'_> {
        Target {
            keyspace: self.keyspace,
            key: &self.key,
        }
    }

    pub(super) fn row(&self, transaction: TransactionId, fate: MarkFate) -> Cell {
        let at_ms = self.at_ms;
        let row = MarkRow {
            at_ms,
            transaction,
            fate,
        };
        row.encode()
    }
}

impl Replica {
    /// What a mark says that was seen in a term, when the entry that has left it is applied.
    pub(super) async fn judged_before(
        self: &Arc<Self>,
        mark: &Cell,
        (term, index): (u64, u64),
    ) -> Result<Judgement, Refused> {
        self.confirm(term, index).await?;
        Ok(match MarkRow::decode(mark).map_err(Error::from)?.fate {
            MarkFate::Done { answers } => Judgement::Before { answers },
            MarkFate::Closed(told) => Judgement::Closed(told),
        })
    }

    /// Has the mark say that a transaction that was refused in a term is not to take place any more, whichever of its tries
    /// comes later. Once that is applied, what it was decided on is committed.
    pub(super) async fn close(
        self: &Arc<Self>,
        transaction: TransactionId,
        mark: &Mark,
        (term, reasons): (u64, Vec<Option<Reason>>),
        latches: Vec<Latch>,
    ) -> Result<Judgement, Refused> {
        let told = CancelledCall {
            at_ms: mark.at_ms,
            call: mark.call,
            reasons,
        };
        let row = mark.row(transaction, MarkFate::Closed(told.kept()));
        let commit = Commit {
            at_ms: 0,
            transaction,
            cells: vec![self.committed(mark.target(), None, Some(row))],
            rows: Vec::new(),
        };
        // Nothing follows from a mark, whatever the metadata says.
        let known = Known::NOTHING;
        let held = (latches, Sums::default());
        let level = ConsistencyLevel::Quorum;
        let proposed = self.propose_commit(commit, (term, known), level, held).await?;
        proposed.stands().await?;
        Ok(Judgement::Closed(told))
    }
}
