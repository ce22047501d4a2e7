//! Transactions all of whose cells are in one group, or that have none.
//!
//! Their group leaves a mark with their cells: they have taken place, or never will because a call was told so. Invariant: a
//! mark means one attempt for good; another call that finds the attempt closed makes another one, under another mark, after
//! the ledger's row has been made to name the call that was told. So whatever is still on its way for that call finds either
//! the mark or the row. Not here: the decision, and the mark's change (`group/transact.rs`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Claimed, GroupPart, Request, cancelled_row};
use crate::coordinator::Cluster;
use crate::coordinator::metadata::nothing_changed;
use crate::coordinator::route::{Place, unexpected};
use crate::error::Error;
use crate::group::mark::Mark;
use crate::group::replica::Refused;
use crate::group::transact::{CellCommand, Judgement};
use crate::ledger::{CancelledCall, LedgerCommand, LedgerState, claim_key, done_key};
use crate::level::ConsistencyLevel;
use crate::node::message::transaction::Part;
use crate::node::message::{Ask, Tell, level_number};
use crate::transaction::{Token, TransactionId, TransactionOutcome};

/// How many marks one request tries. Each of them but the last was closed by another call meanwhile.
const MARKS_MAX: usize = 4;

/// An attempt: its id and the key of its mark.
type Attempt = (TransactionId, Bytes);

impl Cluster {
    pub(super) async fn transact_in_one(&self, request: &Request) -> Result<TransactionOutcome, Error> {
        let Some((group, part)) = request.parts.first_key_value() else {
            return Ok(TransactionOutcome::Done {
                answers: Vec::new(),
                is_repeated: false,
            });
        };
        let world = Arc::clone(&self.node.surroundings.world);
        let mut fresh = request.id;
        for _ in 0..MARKS_MAX {
            let (id, done) = match self.claim_in_one(request, part, fresh).await? {
                Ok(attempt) => attempt,
                Err(outcome) => return Ok(outcome),
            };
            let mark = self.mark(request, done);
            let judged = self.judge(*group, |place, left, is_repeated| {
                let mut mark = mark.clone();
                if let Some(mark) = &mut mark {
                    mark.is_repeated |= is_repeated;
                }
                self.transact_at(place, left, *group, (id, &part.commands, mark), request.level)
            });
            let told = match judged.await? {
                Judgement::Fits { answers, .. } => {
                    let is_repeated = false;
                    return Ok(TransactionOutcome::Done { answers, is_repeated });
                }
                Judgement::Before { answers } => {
                    let is_repeated = true;
                    return Ok(TransactionOutcome::Done { answers, is_repeated });
                }
                Judgement::Refused(reasons) => return Ok(TransactionOutcome::Cancelled { reasons }),
                Judgement::Closed(told) => told,
            };
            let Some(token) = request.token.filter(|_| told.call != request.call.id) else {
                return told.outcome();
            };
            self.reopen(request, &token, id, &told).await?;
            fresh = TransactionId::random(|| world.random_u64());
        }
        Ok(TransactionOutcome::InProgress)
    }

    /// The attempt that the client's id stands for, which is a fresh one if it stands for none; or what has come of it.
    async fn claim_in_one(
        &self,
        request: &Request,
        part: &GroupPart,
        id: TransactionId,
    ) -> Result<Result<Attempt, TransactionOutcome>, Error> {
        let near = part.commands.first().map_or(&[][..], |command| &command.key[..]);
        let done = done_key(near, id);
        let Some(token) = &request.token else {
            return Ok(Ok((id, done)));
        };
        let state = LedgerState::InOne { done: done.clone() };
        Ok(match self.claim(request, token, id, state).await? {
            Claimed::New => Ok((id, done)),
            Claimed::InOne(id, done) => Ok((id, done)),
            Claimed::Ended(outcome) => Err(outcome),
            Claimed::Stands(row) => Err(self.stood_before(request, row).await?),
        })
    }

    /// Without a mark nobody knows whether a first try has taken effect; a node alone makes a single one.
    fn mark(&self, request: &Request, key: Bytes) -> Option<Mark> {
        let is_marked = request.token.is_some() || !self.is_alone();
        is_marked.then_some(Mark {
            keyspace: request.ledger.number,
            key,
            at_ms: request.at_ms,
            call: request.call.id,
            is_repeated: request.call.is_repeated,
        })
    }

    /// Another call was told that an attempt is cancelled: the client's id is to stand for none, and that call stays told.
    async fn reopen(
        &self,
        request: &Request,
        token: &Token,
        id: TransactionId,
        told: &CancelledCall,
    ) -> Result<(), Error> {
        let row = cancelled_row(token, id, told);
        let cancel = LedgerCommand::Cancel { row };
        let key = claim_key(&token.id);
        let reopened = self.write_ledger(request.ledger, &key, &cancel).await;
        reopened.map_err(nothing_changed)?;
        Ok(())
    }

    async fn transact_at(
        &self,
        place: Place,
        patience: Duration,
        group: u32,
        (id, commands, mark): (TransactionId, &[CellCommand], Option<Mark>),
        level: ConsistencyLevel,
    ) -> Result<Judgement, Refused> {
        match place {
            Place::Here(replica) => replica.transact(id, commands, mark.as_ref(), level).await,
            Place::There(node) => {
                let part = Part {
                    mark: mark.as_ref().map(Into::into),
                    level: level_number(level),
                    ..Part::new(group, id, commands)
                };
                match self.ask(node, Ask::Transact(part), patience).await? {
                    Tell::Judged(judged) => judged.read().ok_or_else(|| unexpected(node)),
                    _ => Err(unexpected(node)),
                }
            }
        }
    }
}
