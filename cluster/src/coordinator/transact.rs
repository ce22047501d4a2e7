//! Transactions, from any node.
//!
//! Cells of one group change with one entry of it. Otherwise every group prepares its part, the ledger's row is made to say
//! that the transaction stands, which is its commit point, and every group carries its part out (two-phase commit with
//! no-wait locks, and a replicated record in the place of the coordinator's memory; strict two-phase locking makes it
//! strictly serializable: Bernstein, Hadzilacos, Goodman, "Concurrency Control and Recovery in Database Systems", 3 and 7).
//! Invariant: nobody is told that a transaction stands before all of it can be read; nobody is told that it does not before
//! it cannot any more. A coordinator that goes away at any step leaves nothing that the groups do not find out about by
//! themselves (`ledger.rs` of this folder). What is answered to a try behind which another one of the same call may be under
//! way holds for the whole call. Not here: the parts (`group/transact.rs`), transactions of one group (`transact/one.rs`).

mod gather;
mod one;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use self::gather::gather;
use super::metadata::nothing_changed;
use super::route::{Place, Route, unexpected};
use super::{Cluster, Keyspace};
use crate::command::{Cell, Invocation, InvocationId};
use crate::error::Error;
use crate::follow;
use crate::group::replica::Refused;
use crate::group::see::Seen;
use crate::group::transact::{CellCommand, Judgement};
use crate::ledger::{CancelledCall, LedgerAnswer, LedgerCommand, LedgerRow, LedgerState, claim_key};
use crate::level::ConsistencyLevel;
use crate::node::message::transaction::{End, Part, See, id_bytes};
use crate::node::message::{Ask, Tell, level_number};
use crate::transaction::{Reason, Together, Token, TransactionAction, TransactionId, TransactionOutcome};

/// How often cells are read together before they are held to be busy.
const READS_MAX: u32 = 5;
/// How long to wait before they are read again.
const READ_PAUSE: Duration = Duration::from_millis(3);

/// The actions of one group, and their places among all.
#[derive(Clone, Debug, Default)]
struct GroupPart {
    places: Vec<usize>,
    commands: Vec<CellCommand>,
}

/// A transaction that is to be carried out.
#[derive(Clone, Debug)]
struct Request {
    /// This attempt at it.
    id: TransactionId,
    /// When it began, in milliseconds since the Unix epoch.
    at_ms: u64,
    actions: usize,
    parts: BTreeMap<u32, GroupPart>,
    token: Option<Token>,
    /// Which call it is a try of: one of its own if the client does not say.
    call: Invocation,
    level: ConsistencyLevel,
    ledger: Keyspace,
}

impl Cluster {
    /// Carries out commands on several cells, all or none. A client that goes away cancels nothing.
    ///
    /// # Errors
    /// As [`Cluster::write`]; [`Error::Invalid`] for a cell that is named twice.
    pub async fn transact(
        &self,
        actions: &[TransactionAction],
        token: Option<Token>,
        level: ConsistencyLevel,
    ) -> Result<TransactionOutcome, Error> {
        let world = Arc::clone(&self.node.surroundings.world);
        let id = TransactionId::random(|| world.random_u64());
        let call = token.and_then(|token| token.call);
        let request = Request {
            id,
            call: call.unwrap_or(Invocation::first(InvocationId::new(id.0))),
            at_ms: world.unix_ms(),
            actions: actions.len(),
            parts: self.parts_of(actions)?,
            token,
            level,
            ledger: self.ledger().await?,
        };
        if request.parts.len() < 2 && request.token.is_none() {
            return self.transact_in_one(&request).await;
        }
        // What has begun goes on if the caller does not wait for it.
        let (tell, told) = oneshot::channel();
        let cluster = self.clone();
        world.spawn(Box::pin(follow::carried(async move {
            let outcome = if request.parts.len() < 2 {
                cluster.transact_in_one(&request).await
            } else {
                cluster.transact_in_many(&request).await
            };
            drop(tell.send(outcome));
        })));
        told.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown {
                cause: "the node was closed under the transaction".to_owned(),
            })
        })
    }

    fn parts_of(&self, actions: &[TransactionAction]) -> Result<BTreeMap<u32, GroupPart>, Error> {
        let mut parts = BTreeMap::<u32, GroupPart>::new();
        let mut cells = std::collections::BTreeSet::new();
        for (place, action) in actions.iter().enumerate() {
            if !cells.insert((action.keyspace.number, &action.key)) {
                return Err(Error::Invalid {
                    cause: "a transaction names a cell twice".to_owned(),
                });
            }
            let group = self.group_of(action.keyspace, &action.key)?;
            let part = parts.entry(group).or_default();
            part.places.push(place);
            part.commands.push(CellCommand {
                keyspace: action.keyspace.number,
                key: action.key.clone(),
                command: action.command.clone(),
            });
        }
        Ok(parts)
    }

    async fn transact_in_many(&self, request: &Request) -> Result<TransactionOutcome, Error> {
        let token = request.token.unwrap_or(Token {
            id: InvocationId::new(request.id.0),
            payload: [0; 16],
            call: None,
        });
        let claimed = self.claim(request, &token, request.id, LedgerState::Preparing);
        match claimed.await? {
            Claimed::New => {}
            Claimed::Ended(outcome) => return Ok(outcome),
            Claimed::Stands(row) => return self.stood_before(request, row).await,
            Claimed::InOne(..) => {
                return Err(Error::Invalid {
                    cause: "the ledger has the transaction with other cells".to_owned(),
                });
            }
        }
        let key = claim_key(&token.id);
        let prepared = request.parts.iter().map(|(group, part)| {
            self.judge(*group, |place, left, _| {
                self.prepare_at(place, left, *group, (request.id, &key, &part.commands))
            })
        });
        let prepared = join_all(prepared).await;
        let (at_ms, parts, answers) = match gather(request, prepared) {
            Ok(fits) => fits,
            Err(Ok(TransactionOutcome::Cancelled { reasons })) if request.call.is_repeated => {
                return self.cancel(request, &token, reasons).await;
            }
            Err(outcome) => {
                self.give_up(request, &key).await;
                return outcome;
            }
        };
        let stand = LedgerCommand::Stand {
            transaction: request.id,
            at_ms,
            parts: parts.clone(),
            answers: answers.clone(),
        };
        match self.write_ledger(request.ledger, &key, &stand).await {
            Ok(LedgerAnswer::Done) => {}
            Ok(_) => {
                self.give_up(request, &key).await;
                return Err(Error::Unavailable {
                    cause: "the transaction took so long that it was given up".to_owned(),
                });
            }
            Err(error @ Error::OutcomeUnknown { .. }) => return Err(error),
            Err(error) => {
                self.give_up(request, &key).await;
                return Err(error);
            }
        }
        self.carry_out(request.id, (&parts, at_ms), request.level).await?;
        Ok(TransactionOutcome::Done {
            answers,
            is_repeated: false,
        })
    }

    /// The client's id stands for a transaction that stands.
    async fn stood_before(&self, request: &Request, row: LedgerRow) -> Result<TransactionOutcome, Error> {
        let LedgerState::Stands {
            at_ms,
            parts,
            answers,
        } = row.state
        else {
            return Ok(TransactionOutcome::InProgress);
        };
        self.carry_out(row.transaction, (&parts, at_ms), request.level)
            .await?;
        Ok(TransactionOutcome::Done {
            answers,
            is_repeated: true,
        })
    }

    /// Has all groups carry out what they have prepared, at the time of the transaction; what is carried out stays so.
    pub(super) async fn carry_out(
        &self,
        id: TransactionId,
        (parts, at_ms): (&[(u32, u64)], u64),
        level: ConsistencyLevel,
    ) -> Result<(), Error> {
        let ends = parts
            .iter()
            .map(|(group, index)| self.end_part(*group, id, (*index, at_ms), level));
        for end in join_all(ends).await {
            end.map_err(|error| Error::OutcomeUnknown {
                cause: format!("the transaction stands, but not all of it can be read yet: {error}"),
            })?;
        }
        Ok(())
    }

    /// Nothing of the transaction is to come to stand. What cannot be reached finds out by itself.
    async fn give_up(&self, request: &Request, key: &Bytes) {
        let give_up = LedgerCommand::GiveUp {
            transaction: request.id,
        };
        if let Err(error) = self.end_in_vain(request, key, &give_up).await {
            tracing::debug!(transaction = %request.id, %error, "the ledger does not know yet that a transaction is given up");
        }
    }

    /// The same of a try that is not the only one of its call, which none of them is to have carried out when this is
    /// answered.
    async fn cancel(
        &self,
        request: &Request,
        token: &Token,
        reasons: Vec<Option<Reason>>,
    ) -> Result<TransactionOutcome, Error> {
        let told = CancelledCall {
            at_ms: request.at_ms,
            call: request.call.id,
            reasons,
        };
        let row = cancelled_row(token, request.id, &told);
        let cancel = LedgerCommand::Cancel { row };
        let ended = self.end_in_vain(request, &claim_key(&token.id), &cancel).await;
        match ended {
            Ok(LedgerAnswer::GivenUp) => told.outcome(),
            Ok(LedgerAnswer::Cancelled(before)) => before.outcome(),
            Ok(LedgerAnswer::Row(row)) if row.payload != token.payload => {
                Ok(TransactionOutcome::OtherPayload)
            }
            Ok(LedgerAnswer::Row(row)) => self.stood_before(request, row).await,
            Ok(LedgerAnswer::Done | LedgerAnswer::InProgress | LedgerAnswer::OtherPayload) => {
                Ok(TransactionOutcome::InProgress)
            }
            Err(error) => Err(Error::OutcomeUnknown {
                cause: format!("it is cancelled, but an earlier try may take place: {error}"),
            }),
        }
    }

    /// Has the ledger and all groups give the transaction up, as far as they can be reached; what the ledger answers.
    async fn end_in_vain(
        &self,
        request: &Request,
        key: &Bytes,
        command: &LedgerCommand,
    ) -> Result<LedgerAnswer, Error> {
        let releases = request
            .parts
            .keys()
            .map(|group| self.end_part(*group, request.id, (0, 0), request.level));
        let (given_up, releases) = futures_util::future::join(
            self.write_ledger(request.ledger, key, command),
            join_all(releases),
        )
        .await;
        if let Some(error) = releases.into_iter().find_map(Result::err) {
            tracing::debug!(transaction = %request.id, %error, "a transaction is given up, but not everywhere yet");
        }
        given_up
    }

    /// Goes to the leader of a group until it has judged. An attempt is told whether another one may be under way.
    async fn judge<'a, F>(
        &'a self,
        group: u32,
        attempt: impl Fn(Place, Duration, bool) -> F,
    ) -> Result<Judgement, Error>
    where
        F: Future<Output = Result<Judgement, Refused>> + 'a,
    {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let attempt = attempt(place, left, route.is_repeated());
            let outcome = route.attempt(left, attempt).await;
            if let Some(judged) = route.settle_write(outcome)? {
                return Ok(judged);
            }
        }
    }

    async fn prepare_at(
        &self,
        place: Place,
        patience: Duration,
        group: u32,
        (id, ledger, commands): (TransactionId, &Bytes, &[CellCommand]),
    ) -> Result<Judgement, Refused> {
        match place {
            Place::Here(replica) => replica.prepare_part(id, ledger, commands).await,
            Place::There(node) => {
                let part = Part {
                    ledger: ledger.clone(),
                    ..Part::new(group, id, commands)
                };
                match self.ask(node, Ask::Prepare(part), patience).await? {
                    Tell::Judged(judged) => judged.read().ok_or_else(|| unexpected(node)),
                    _ => Err(unexpected(node)),
                }
            }
        }
    }

    /// Has a group carry out its part, or let it go if `prepared_at` is 0.
    pub(super) async fn end_part(
        &self,
        group: u32,
        id: TransactionId,
        (prepared_at, at_ms): (u64, u64),
        level: ConsistencyLevel,
    ) -> Result<(), Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let attempt = async {
                match place {
                    Place::Here(replica) if prepared_at == 0 => replica.release_part(id).await,
                    Place::Here(replica) => replica.commit_part(id, (prepared_at, at_ms), level).await,
                    Place::There(node) => {
                        let end = End {
                            group,
                            transaction: id_bytes(id),
                            prepared_at,
                            level: level_number(level),
                            at_ms,
                        };
                        match self.ask(node, Ask::EndPart(end), left).await? {
                            Tell::Index(_) => Ok(()),
                            _ => Err(unexpected(node)),
                        }
                    }
                }
            };
            let outcome = route.attempt(left, attempt).await;
            if let Some(done) = route.settle(outcome)? {
                return Ok(done);
            }
        }
    }

    async fn claim(
        &self,
        request: &Request,
        token: &Token,
        transaction: TransactionId,
        state: LedgerState,
    ) -> Result<Claimed, Error> {
        let row = LedgerRow {
            at_ms: request.at_ms,
            payload: token.payload,
            transaction,
            state,
            cancelled: Vec::new(),
        };
        let call = request.call.id;
        let claim = LedgerCommand::Claim { row, call };
        let key = claim_key(&token.id);
        let claimed = self.write_ledger(request.ledger, &key, &claim).await;
        Ok(match claimed.map_err(nothing_changed)? {
            LedgerAnswer::Done => Claimed::New,
            LedgerAnswer::InProgress | LedgerAnswer::GivenUp => {
                Claimed::Ended(TransactionOutcome::InProgress)
            }
            LedgerAnswer::OtherPayload => Claimed::Ended(TransactionOutcome::OtherPayload),
            LedgerAnswer::Cancelled(told) => Claimed::Ended(told.outcome()?),
            LedgerAnswer::Row(row) => match row.state {
                LedgerState::InOne { done } => Claimed::InOne(row.transaction, done),
                LedgerState::Stands { .. } => Claimed::Stands(row),
                LedgerState::Preparing | LedgerState::Cancelled => {
                    Claimed::Ended(TransactionOutcome::InProgress)
                }
            },
        })
    }
}

/// The row of a transaction that does not stand, with the call that was told so.
fn cancelled_row(token: &Token, transaction: TransactionId, told: &CancelledCall) -> LedgerRow {
    LedgerRow {
        at_ms: told.at_ms,
        payload: token.payload,
        transaction,
        state: LedgerState::Cancelled,
        cancelled: vec![told.kept()],
    }
}

/// What the ledger says to a transaction that comes with an id.
enum Claimed {
    /// The id is new, or what it was used for was cancelled.
    New,
    /// It was used for a transaction of one group, of which that knows whether it has taken place.
    InOne(TransactionId, Bytes),
    /// It was used for a transaction that stands.
    Stands(LedgerRow),
    /// This is the answer.
    Ended(TransactionOutcome),
}

/// Cells to be read together: their places among all, keyspaces and keys, by group.
type Wanted = BTreeMap<u32, (Vec<usize>, Vec<(u32, Bytes)>)>;

impl Cluster {
    /// Reads cells as they were at one moment after the call.
    ///
    /// Cells of several groups, and those that do not fit one message, are read, and then it is made sure that none of them was
    /// written until all had been read. A group that says so vouches for the time between its two answers.
    ///
    /// # Errors
    /// As [`Cluster::read`].
    pub async fn read_together(&self, keys: &[(Keyspace, Bytes)]) -> Result<Together, Error> {
        let mut groups = Wanted::new();
        for (place, (keyspace, key)) in keys.iter().enumerate() {
            let (places, of_group) = groups.entry(self.group_of(*keyspace, key)?).or_default();
            places.push(place);
            of_group.push((keyspace.number, key.clone()));
        }
        let mut reads = 1;
        loop {
            let together = self.read_once(keys.len(), &groups).await?;
            if reads >= READS_MAX || matches!(together, Together::Cells(_)) {
                return Ok(together);
            }
            reads += 1;
            self.node.surroundings.world.sleep(READ_PAUSE).await;
        }
    }

    async fn read_once(&self, count: usize, groups: &Wanted) -> Result<Together, Error> {
        let first = groups.iter().map(|(group, (_, keys))| self.see_all(*group, keys));
        let mut cells: Vec<Option<Cell>> = vec![None; count];
        let mut is_busy = vec![false; count];
        let (mut since, mut answers) = (Vec::with_capacity(groups.len()), 0);
        for (seen, (places, _)) in join_all(first).await.into_iter().zip(groups.values()) {
            let (seen, of_group) = seen?;
            answers += of_group;
            match seen {
                Seen::Cells { applied, cells: some } => {
                    since.push(Some(applied));
                    for (place, cell) in places.iter().zip(some) {
                        cells[*place] = cell;
                    }
                }
                Seen::Busy(busy) => mark_busy(&mut is_busy, places, &busy),
                Seen::Unchanged => return Err(unasked()),
            }
        }
        if is_busy.contains(&true) {
            return Ok(Together::Conflict(is_busy));
        }
        if answers > 1 {
            let second = groups
                .iter()
                .zip(since)
                .map(|((group, (_, keys)), since)| self.see(*group, keys, since));
            for (seen, (places, _)) in join_all(second).await.into_iter().zip(groups.values()) {
                match seen? {
                    Seen::Unchanged => {}
                    Seen::Busy(busy) => mark_busy(&mut is_busy, places, &busy),
                    Seen::Cells { .. } => return Err(unasked()),
                }
            }
        }
        if is_busy.contains(&true) {
            return Ok(Together::Conflict(is_busy));
        }
        Ok(Together::Cells(cells))
    }

    /// Reads cells of a group in as many answers as they take, as a message has room for some of the largest only. What is seen,
    /// and in how many answers; that of several was of one moment only if nothing was written since the first.
    async fn see_all(&self, group: u32, keys: &[(u32, Bytes)]) -> Result<(Seen, usize), Error> {
        let (mut since, mut answers) = (None, 0);
        let mut all: Vec<Option<Cell>> = Vec::with_capacity(keys.len());
        while all.len() < keys.len() {
            answers += 1;
            match self.see(group, &keys[all.len()..], None).await? {
                Seen::Cells { applied, cells } if !cells.is_empty() => {
                    since = since.or(Some(applied));
                    all.extend(cells);
                }
                Seen::Busy(busy) => {
                    let mut is_busy = vec![false; all.len()];
                    is_busy.extend(busy);
                    return Ok((Seen::Busy(is_busy), answers));
                }
                Seen::Cells { .. } | Seen::Unchanged => return Err(unasked()),
            }
        }
        let seen = Seen::Cells {
            applied: since.unwrap_or_default(),
            cells: all,
        };
        Ok((seen, answers))
    }

    async fn see(&self, group: u32, keys: &[(u32, Bytes)], since: Option<u64>) -> Result<Seen, Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await.map_err(nothing_changed)?;
            let attempt = async {
                match place {
                    Place::Here(replica) => replica.see(keys, since, usize::MAX).await,
                    Place::There(node) => {
                        let see = See::new(group, keys, since);
                        match self.ask(node, Ask::See(see), left).await? {
                            Tell::Seen(seen) => seen.read().ok_or_else(|| unexpected(node)),
                            _ => Err(unexpected(node)),
                        }
                    }
                }
            };
            let outcome = route.attempt(left, attempt).await;
            if let Some(seen) = route.settle(outcome).map_err(nothing_changed)? {
                return Ok(seen);
            }
        }
    }
}

fn mark_busy(is_busy: &mut [bool], places: &[usize], busy: &[bool]) {
    for (place, busy) in places.iter().zip(busy) {
        is_busy[*place] |= busy;
    }
}

fn unasked() -> Error {
    Error::Unavailable {
        cause: "a group has answered something else than it was asked".to_owned(),
    }
}
