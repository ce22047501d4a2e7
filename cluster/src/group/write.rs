//! Writes, on the leader: from the command to the entry that says what it has done.
//!
//! Invariant: a command is decided under its key's latch on the newest image of the key, proposed ones included, and the
//! latch is let go as soon as the entry has its place in the log, so that writes of one key follow each other without
//! waiting for the network. What is refused, or changes nothing, is answered when the image that it was decided on is
//! committed and a fresh ReadIndex says that no other leader knows better; if another try of it may be under way, when the
//! answer is in the log (`answered.rs`), so that it stays the answer. The log says results, never expressions. A caller
//! that goes away cancels nothing. Not here: commands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use super::answered::Answered;
use super::derive::{Following, Known};
use super::effect::{Change, Effect};
use super::invocations::RequestHash;
use super::overlay::Image;
use super::quiet::Reason;
use super::replica::{Pending, Refused, Replica, State, Todo};
use super::sums::Sums;
use crate::command::{Answer as _, Applier, Cell, Commands, InvocationId, Verdict, WriteOptions};
use crate::derive::{Origin, Unfit};
use crate::error::Error;
use crate::follow::{self, Step, Watch};
use crate::latch::Latch;
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::Lookup;
use stator_storage::KeyspaceId;

/// Decides, and puts answers into bytes and back.
pub(crate) trait Decision: Sync {
    /// What the command answers.
    type Answer: Send;

    /// The entry behind which it has to be known whether the key was written; `None` when the current cell says enough.
    fn asks_since(&self) -> Option<u64> {
        None
    }

    /// When it was asked for, in milliseconds since the Unix epoch, or since when it is known that it has not taken effect, if its
    /// coordinator has acknowledged it without knowing the cell: it is a hint. `None` for any other.
    fn asked_ms(&self) -> Option<u64> {
        None
    }

    /// Decides on the current cell. `is_unwritten` says whether it is certain that no entry behind the one of
    /// [`Decision::asks_since`] has written the key, and means nothing without it.
    fn decide(&self, current: Option<&Cell>, is_unwritten: bool) -> Result<Verdict<Self::Answer>, Error>;

    /// Who asks for it, as [`Commands::derive`] is told; `None` for what nothing follows from.
    fn origin(&self) -> Option<Origin>;

    /// Puts what [`Commands::derive`] notes into the answer.
    fn note(&self, answer: &mut Self::Answer, note: &Bytes) -> Result<(), Error>;

    /// The answer as it lies in the log.
    fn record(&self, answer: &Self::Answer) -> Bytes;

    /// The answer from the log.
    fn recall(&self, recorded: &Bytes) -> Result<Self::Answer, Error>;
}

/// The cell of a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The keyspace, by its number in the cluster.
    pub(crate) keyspace: u32,
    pub(crate) key: &'a [u8],
}

impl Target<'_> {
    fn request(&self, options: &WriteOptions) -> Option<RequestHash> {
        let invocation = options.invocation?;
        Some(RequestHash::of(&invocation.id, self.keyspace, self.key))
    }
}

/// What a look before the decision has found.
enum Look {
    /// The request has taken effect with this entry, or will when that is applied. The term.
    Before(u64, u64),
    /// It is new. The term, the image that was proposed for the key, if there is one, and whether a transaction has locked it.
    New(u64, Option<Image>, bool),
}

/// What a decision is about to be proposed as.
struct Proposal {
    encoded: BytesMut,
    request: Option<RequestHash>,
    /// What becomes of a cell, if it is not left as it is.
    placed: Option<Placed>,
    term: u64,
    level: ConsistencyLevel,
    /// The metadata that what follows from it takes into account.
    known: Known,
    sums: Sums,
}

impl Replica {
    /// Carries out a command on a cell as the leader, and answers when it stands as the level asks.
    pub(crate) async fn write<D: Decision>(
        self: &Arc<Self>,
        target: Target<'_>,
        options: &WriteOptions,
        decision: &D,
    ) -> Result<D::Answer, Refused> {
        self.keyspace(target.keyspace)?;
        let deciding = follow::open(Step::Decide);
        self.host.admit(target.key.len()).await;
        if self.is_behind.load(Ordering::Acquire) {
            self.wait_for_rows().await?;
        }
        let latch = self.host.latches.acquire(target.keyspace, target.key).await;
        let request = target.request(options);
        let (term, image) = match self.look(&target, request)? {
            Look::New(_, _, true) => return Err(unlogged(options, decision, Error::TransactionConflict)),
            Look::New(term, image, false) => (term, image),
            Look::Before(term, index) => {
                drop(latch);
                return self.answer_again(term, index, options, decision).await;
            }
        };
        self.remembers_since(decision.asked_ms())?;
        let (current, decided_on) = self.image_or_cell(&target, image)?;
        let since = decision.asks_since();
        let is_unwritten = since.is_some_and(|since| decided_on == 0 && self.is_unwritten(target, since));
        let (cell, mut answer) = match decision.decide(current.as_ref(), is_unwritten)? {
            Verdict::Put { cell, answer } => (Some(cell), answer),
            Verdict::Delete { answer } => (None, answer),
            Verdict::Keep { answer } => {
                let repeated = options.invocation.filter(|one| one.is_repeated);
                let Some((invocation, request)) = repeated.zip(request) else {
                    drop(latch);
                    follow::done(deciding);
                    self.confirm(term, decided_on).await?;
                    return Ok(answer);
                };
                let recorded = decision.record(&answer);
                let proposal = unchanged(&target, (invocation.id, request), (recorded, term));
                follow::done(deciding);
                self.stand(proposal, latch).await?;
                return Ok(answer);
            }
        };
        let following = match self.followed(&target, (current.as_ref(), cell.as_ref()), decision) {
            Ok(following) => following,
            Err(Refused::Finally(error)) if decision.asked_ms().is_some() => {
                // It is given up for that, so it has to be certain.
                drop(latch);
                return Err(self.unfit((term, decided_on), options, decision, error).await);
            }
            Err(Refused::Finally(error)) => return Err(unlogged(options, decision, error)),
            Err(refused) => return Err(refused),
        };
        if !following.note.is_empty() {
            decision.note(&mut answer, &following.note)?;
        }
        let mut sums = self.sums(term, following.sums.iter()).await?;
        if let Err(unfit) = sums.add(&following.sums, false) {
            let decided_on = decided_on.max(sums.decided_on());
            drop((latch, sums));
            let error = Error::Unfit(unfit);
            return Err(self.unfit((term, decided_on), options, decision, error).await);
        }
        let recorded = request.map_or_else(Bytes::new, |_| decision.record(&answer));
        let images = (current.as_ref(), cell);
        let proposal = self.prepare(&target, options, images, (recorded, term), (following, sums));
        follow::done(deciding);
        self.stand(proposal, latch).await?;
        Ok(answer)
    }

    /// Refuses a hint for good of which another try may have taken effect that is forgotten by now: it would take effect again, in
    /// the place of whatever was written since.
    fn remembers_since(&self, asked_ms: Option<u64>) -> Result<(), Refused> {
        let Some(asked_ms) = asked_ms else { return Ok(()) };
        if self.state.lock().invocations.reaches_back_to(asked_ms) {
            return Ok(());
        }
        let reason =
            "the range has taken writes for longer than it remembers them since this one was asked for";
        Err(Refused::Finally(Error::Unfit(Unfit {
            code: 0,
            reason: reason.to_owned(),
        })))
    }

    /// What follows from a decision.
    fn followed<D: Decision>(
        &self,
        target: &Target<'_>,
        images: (Option<&Cell>, Option<&Cell>),
        decision: &D,
    ) -> Result<Following, Refused> {
        match decision.origin() {
            Some(origin) => self.follow(target, images, origin, false),
            None => Ok(nothing_follows()),
        }
    }

    /// What is said to a write that does not fit, when the image that it was decided on is committed and nobody else leads.
    async fn unfit<D: Decision>(
        self: &Arc<Self>,
        (term, decided_on): (u64, u64),
        options: &WriteOptions,
        decision: &D,
        error: Error,
    ) -> Refused {
        match self.confirm(term, decided_on).await {
            Ok(()) => unlogged(options, decision, error),
            Err(refused) => refused,
        }
    }

    /// Proposes, and waits until it stands as its level asks.
    async fn stand(self: &Arc<Self>, proposal: Proposal, latch: Latch) -> Result<(), Refused> {
        let keyspace = proposal.placed.as_ref().map(|placed| placed.keyspace);
        let state = self.when_unheld(|| keyspace.into_iter()).await;
        let watch = follow::watch();
        let outcome = self.propose(state, proposal, latch, watch.clone())?.await;
        if let Some(watch) = watch {
            watch.tell();
        }
        outcome.unwrap_or_else(|_| Err(Refused::Unknown("the node was closed under the write".to_owned())))
    }

    /// The term, the newest image of a key, proposed ones included, and the entry that the image was proposed with (0 for
    /// one that is applied). The caller holds its latch.
    pub(super) fn newest(self: &Arc<Self>, target: &Target<'_>) -> Result<(u64, Option<Cell>, u64), Refused> {
        let (term, image) = match self.look(target, None)? {
            Look::New(term, image, _) => (term, image),
            Look::Before(term, _) => (term, None),
        };
        let (cell, index) = self.image_or_cell(target, image)?;
        Ok((term, cell, index))
    }

    /// What a look has found, or else the cell that is applied; and the entry that it was proposed with (0 for one that is
    /// applied).
    pub(super) fn image_or_cell(
        &self,
        target: &Target<'_>,
        image: Option<Image>,
    ) -> Result<(Option<Cell>, u64), Refused> {
        if let Some(image) = image {
            return Ok((image.cell, image.index));
        }
        let id = self.keyspace(target.keyspace)?;
        let value = self.host.engine.get(id, target.key)?;
        Ok((value.map(stator_storage::Value::into_bytes), 0))
    }

    pub(super) fn keyspace(&self, number: u32) -> Result<KeyspaceId, Refused> {
        match self.host.keyspaces.find(number) {
            Lookup::Here(id) => Ok(id),
            Lookup::Gone => Err(Refused::Finally(Error::NoSuchKeyspace)),
            Lookup::NotYet => Err(Refused::NotNow(
                "this node has not heard of the keyspace yet".to_owned(),
            )),
        }
    }

    fn look(self: &Arc<Self>, target: &Target<'_>, request: Option<RequestHash>) -> Result<Look, Refused> {
        let state = self.state.lock();
        if !state.core.may_serve() {
            return Err(self.is_not_leader(state));
        }
        let before = request.and_then(|request| {
            let proposed = state.proposed.get(&request).copied();
            proposed.or_else(|| state.invocations.find(request))
        });
        if let Some(index) = before {
            return Ok(Look::Before(state.core.term(), index));
        }
        let image = state.overlay.get(target.keyspace, target.key).cloned();
        let is_locked = !state.locks.is_empty() && state.locks.holder(target.keyspace, target.key).is_some();
        Ok(Look::New(state.core.term(), image, is_locked))
    }

    /// The answer of a request that has been carried out before, as its entry has it.
    async fn answer_again<D: Decision>(
        self: &Arc<Self>,
        term: u64,
        index: u64,
        options: &WriteOptions,
        decision: &D,
    ) -> Result<D::Answer, Refused> {
        self.confirm(term, index).await?;
        if options.level == ConsistencyLevel::All {
            self.wait_everywhere(index).await?;
        }
        let answer = self.answer_of(index).map_err(|error| {
            Refused::Unknown(format!("the answer of the first try cannot be read: {error}"))
        })?;
        match answer {
            Some(answer) => Ok(decision.recall(&answer)?),
            // The log was cut between the look and here, because the request is too old to be remembered.
            None => Err(Refused::Unknown(
                "the first try is too old for its answer to be known".to_owned(),
            )),
        }
    }

    /// Waits until an entry of the leadership of `term`, or one before it, is applied, and it is certain that this replica
    /// still led in that term when this was called.
    pub(super) async fn confirm(self: &Arc<Self>, term: u64, index: u64) -> Result<(), Refused> {
        if index == 0 && self.serves_alone() {
            return Ok(());
        }
        let seen = self.read_index().await?;
        if index > seen {
            self.wait_applied(index).await?;
        }
        // In a later term another leader may have put something else in the entry's place.
        let state = self.state.lock();
        if state.leads() && state.core.term() == term {
            Ok(())
        } else {
            Err(Refused::NotLeader(self.other_leader()))
        }
    }

    async fn wait_everywhere(self: &Arc<Self>, index: u64) -> Result<(), Refused> {
        let (wake, outcome) = oneshot::channel();
        {
            let mut state = self.state.lock();
            if !state.leads() {
                return Err(Refused::Unknown(super::replica::ONLY_QUORUM.to_owned()));
            }
            let level = ConsistencyLevel::All;
            let at = state.spreading.partition_point(|pending| pending.index <= index);
            state.spreading.insert(at, Pending { index, level, wake });
            self.advance(state);
        }
        outcome.await.unwrap_or_else(|_| Err(super::apply::only_quorum()))
    }

    /// By how much a keyspace grows when a cell changes.
    pub(super) fn change(&self, before: Option<&Cell>, after: Option<&Cell>) -> Change {
        let weigh = |cell: Option<&Cell>| -> (i8, i64) {
            cell.map_or((0, 0), |cell| {
                let bytes = self.host.commands.weigh(cell);
                (1, i64::try_from(bytes).unwrap_or(i64::MAX))
            })
        };
        let (before, after) = (weigh(before), weigh(after));
        Change {
            items: after.0 - before.0,
            bytes: after.1.saturating_sub(before.1),
        }
    }

    fn prepare(
        &self,
        target: &Target<'_>,
        options: &WriteOptions,
        (current, cell): (Option<&Cell>, Option<Cell>),
        (answer, term): (Bytes, u64),
        (mut following, sums): (Following, Sums),
    ) -> Proposal {
        following.rows.extend(sums.rows());
        let change = self.change(current, cell.as_ref());
        let cell_bytes = cell.as_ref().map(Bytes::len);
        let effect = Effect {
            // The time is set when the entry has its place.
            at_ms: 0,
            keyspace: target.keyspace,
            invocation: options.invocation.map(|invocation| invocation.id),
            change,
            key: Bytes::copy_from_slice(target.key),
            answer,
            cell,
            rows: following.rows,
        };
        Proposal {
            encoded: effect.encode(),
            request: target.request(options),
            placed: Some(Placed {
                keyspace: target.keyspace,
                key_bytes: target.key.len(),
                cell_bytes,
            }),
            term,
            level: options.level,
            known: following.known,
            sums,
        }
    }

    /// Gives a decision its place in the log, if the leadership in which it was made still lasts, and lets go of the latch.
    fn propose(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        proposal: Proposal,
        latch: Latch,
        watch: Option<Arc<Watch>>,
    ) -> Result<oneshot::Receiver<Result<(), Refused>>, Refused> {
        let (wake, outcome) = oneshot::channel();
        let unix_ms = self.host.world.unix_ms();
        let refused = |replica: &Self| Refused::NotLeader(replica.other_leader());
        if !state.leads() || state.core.term() != proposal.term {
            return Err(refused(self));
        }
        state.hold_to(proposal.known)?;
        state.last_at_ms = state.last_at_ms.max(unix_ms);
        let mut encoded = proposal.encoded;
        Effect::stamp(&mut encoded, state.last_at_ms);
        let encoded = encoded.freeze();
        let Some((index, _)) = state.core.propose(encoded.clone()) else {
            return Err(refused(self));
        };
        if let Some(watch) = watch {
            state.watched.add(index, watch);
        }
        state.remember_sums(index, &proposal.sums);
        state.remember_proposal(index, &encoded, proposal.request, proposal.placed.as_ref());
        let level = proposal.level;
        let pending = Pending { index, level, wake };
        match level {
            ConsistencyLevel::One => state.unlogged.push_back(pending),
            ConsistencyLevel::Quorum | ConsistencyLevel::All => state.pending.push_back(pending),
        }
        drop((latch, proposal.sums));
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Proposal, &mut todo);
        self.advance_with(state, todo);
        self.host.outbox.flush();
        Ok(outcome)
    }
}

/// Nothing, whatever else is known.
fn nothing_follows() -> Following {
    Following {
        known: Known::NOTHING,
        ..Following::default()
    }
}

/// What of a proposal the overlay has to know.
struct Placed {
    keyspace: u32,
    key_bytes: usize,
    /// Whether the cell stays, and how long it is.
    cell_bytes: Option<usize>,
}

/// A request that changes nothing, to be logged with its answer: another try of it may be under way.
fn unchanged(
    target: &Target<'_>,
    (invocation, request): (InvocationId, RequestHash),
    (answer, term): (Bytes, u64),
) -> Proposal {
    let answered = Answered {
        // The time is set when the entry has its place.
        at_ms: 0,
        keyspace: target.keyspace,
        invocation,
        key: Bytes::copy_from_slice(target.key),
        answer,
    };
    Proposal {
        encoded: answered.encode(),
        request: Some(request),
        placed: None,
        term,
        // With less, another leader might decide anew.
        level: ConsistencyLevel::Quorum,
        known: Known::NOTHING,
        sums: Sums::default(),
    }
}

/// What is said in the place of a refusal that is not logged: while another try may be under way that might be decided
/// otherwise, not that nothing is done. Of a hint the client has heard already that it is done: should another try of it still
/// take effect, it is.
fn unlogged<D: Decision>(options: &WriteOptions, decision: &D, error: Error) -> Refused {
    match error {
        // It is soon over.
        Error::TransactionConflict if options.is_repeated() => {
            Refused::NotNow("a transaction holds the cell".to_owned())
        }
        Error::Unfit(unfit) if options.is_repeated() && decision.asked_ms().is_none() => {
            let reason = unfit.reason;
            Refused::Unknown(format!(
                "an earlier try may be under way, and this one does not fit: {reason}"
            ))
        }
        error => Refused::Finally(error),
    }
}

impl State {
    /// Notes the image and the request of an entry until it is applied. They share the entry's memory.
    fn remember_proposal(
        &mut self,
        index: u64,
        encoded: &Bytes,
        request: Option<RequestHash>,
        placed: Option<&Placed>,
    ) {
        if let Some(request) = request {
            self.proposed.insert(request, index);
        }
        let Some(placed) = placed else { return };
        let end = encoded.len();
        let cell = placed.cell_bytes.map(|bytes| encoded.slice(end - bytes..));
        let key = Effect::key_in(encoded, placed.key_bytes, request.is_some());
        self.overlay.put(placed.keyspace, key, Image { index, cell });
    }
}

/// A typed command as a decision.
pub(crate) struct Typed<'a, A>(pub(crate) &'a A);

impl<A: Applier> Decision for Typed<'_, A> {
    type Answer = A::Answer;

    fn decide(&self, current: Option<&Cell>, _: bool) -> Result<Verdict<A::Answer>, Error> {
        Ok(self.0.decide(current))
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.0.origin())
    }

    fn note(&self, answer: &mut A::Answer, note: &Bytes) -> Result<(), Error> {
        answer.note(note);
        Ok(())
    }

    fn record(&self, answer: &A::Answer) -> Bytes {
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        bytes.into()
    }

    fn recall(&self, recorded: &Bytes) -> Result<A::Answer, Error> {
        Ok(A::Answer::decode(recorded)?)
    }
}

/// A typed command that nothing follows from, as a decision.
pub(crate) struct Unwatched<'a, A>(pub(crate) &'a A);

impl<A: Applier> Decision for Unwatched<'_, A> {
    type Answer = A::Answer;

    fn decide(&self, current: Option<&Cell>, _: bool) -> Result<Verdict<A::Answer>, Error> {
        Ok(self.0.decide(current))
    }

    fn origin(&self) -> Option<Origin> {
        None
    }

    fn note(&self, _: &mut A::Answer, _: &Bytes) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self, answer: &A::Answer) -> Bytes {
        Typed(self.0).record(answer)
    }

    fn recall(&self, recorded: &Bytes) -> Result<A::Answer, Error> {
        Typed(self.0).recall(recorded)
    }
}

/// A command in bytes as a decision; so is its answer.
pub(crate) struct Encoded<'a> {
    pub(crate) commands: &'a dyn Commands,
    pub(crate) command: &'a Bytes,
    /// See [`Decision::asked_ms`].
    pub(crate) asked_ms: Option<u64>,
}

impl Decision for Encoded<'_> {
    type Answer = Bytes;

    fn asked_ms(&self) -> Option<u64> {
        self.asked_ms
    }

    fn decide(&self, current: Option<&Cell>, _: bool) -> Result<Verdict<Bytes>, Error> {
        Ok(self.commands.decide(self.command, current)?.map(Bytes::from))
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.commands.origin(self.command))
    }

    fn note(&self, answer: &mut Bytes, note: &Bytes) -> Result<(), Error> {
        *answer = self.commands.noted(answer, note)?.into();
        Ok(())
    }

    fn record(&self, answer: &Bytes) -> Bytes {
        answer.clone()
    }

    fn recall(&self, recorded: &Bytes) -> Result<Bytes, Error> {
        Ok(recorded.clone())
    }
}
