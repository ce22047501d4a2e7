//! Transactions on the leader of a group: its part of them is decided, prepared, and comes to stand or not.
//!
//! Commands of one group alone are decided and put into the log as one entry. Of a transaction that has parts in other
//! groups, the part of this one is **prepared**: its commands are decided, what they make of their cells goes into the log,
//! and the cells are locked until the ledger says whether all of it stands. Invariant: a part that was prepared can be
//! carried out whatever happens, because nobody else writes its cells; it is carried out or released once, known by the entry
//! that has prepared it. Nobody waits for a lock: whoever meets one is told. Not here: the ledger, other groups
//! (`coordinator/transact.rs`), reads (`see.rs`).

use std::sync::Arc;

use bytes::Bytes;

use super::accept::settled;
use super::derive::Known;
use super::locks::Held;
use super::mark::Mark;
use super::overlay::Image;
use super::prepared::{Becomes, Commit, CommittedCell, Prepare, PreparedAction, release};
use super::replica::{Refused, Replica};
use super::rows::{Row, RowKind, materialized};
use super::size;
use super::sums::{SumChange, Sums};
use super::write::Target;
use crate::command::{Cell, Commands, Verdict};
use crate::error::Error;
use crate::follow::{self, Step};
use crate::ledger::{CancelledCall, MarkFate};
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::Lookup;
use crate::transaction::{Reason, TransactionId};

/// A command of a transaction on a cell of this group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CellCommand {
    /// Number of its keyspace.
    pub(crate) keyspace: u32,
    pub(crate) key: Bytes,
    pub(crate) command: Bytes,
}

impl CellCommand {
    fn target(&self) -> Target<'_> {
        Target {
            keyspace: self.keyspace,
            key: &self.key,
        }
    }
}

/// What has come of the part of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Nothing stands in its way: the entry that prepares it or carries it out, a time that is not before any version of its
    /// cells in milliseconds since the Unix epoch (0 if it makes none), and what the commands answer.
    Fits {
        index: u64,
        at_ms: u64,
        answers: Vec<Bytes>,
    },
    /// It took place before; what the commands have answered.
    Before { answers: Vec<Bytes> },
    /// It cannot be: why, in the order of the commands.
    Refused(Vec<Option<Reason>>),
    /// It cannot be, and never will under its mark, as that call was told now or before.
    Closed(CancelledCall),
}

/// What was found out about the commands, under their latches.
struct Decided {
    term: u64,
    /// The last entry that an image was decided on, 0 if all are applied.
    last_image: u64,
    /// What becomes of the cells; nothing of it if any command is refused.
    parts: Vec<Part>,
    /// The metadata that what follows takes into account.
    known: Known,
    reasons: Vec<Option<Reason>>,
    /// What the commands that refuse have answered so far, in bytes.
    refusals_bytes: usize,
}

impl Decided {
    /// Why a command that refuses stands in the way. What refusals show of their cells is left out where it has no room in a
    /// message any more.
    fn refusal(&mut self, commands: &dyn Commands, mut answer: Vec<u8>) -> Reason {
        if self.refusals_bytes + answer.len() > size::REFUSALS_BYTES_MAX {
            answer = commands.brief(answer);
        }
        self.refusals_bytes += answer.len();
        Reason::Refused(answer.into())
    }

    fn is_refused(&self) -> bool {
        self.reasons.iter().any(Option::is_some)
    }

    fn answers(&self) -> Vec<Bytes> {
        self.parts.iter().map(|part| part.answer.clone()).collect()
    }

    /// Refuses the commands from the one on with which what comes of them has no room in an entry.
    fn refuse_too_large(&mut self, commands: &[CellCommand]) {
        if self.is_refused() {
            return;
        }
        let mut bytes = 0;
        let parts = commands.iter().zip(&self.parts);
        for ((command, part), reason) in parts.zip(&mut self.reasons) {
            bytes += size::bytes_of(&command.key, &part.becomes, &part.answer, &part.rows);
            if bytes > size::CELLS_BYTES_MAX {
                *reason = Some(Reason::Unfit(size::too_large()));
            }
        }
    }
}

struct Part {
    before: Option<Cell>,
    becomes: Becomes,
    answer: Bytes,
    rows: Vec<Row>,
    sums: Vec<SumChange>,
}

/// What a command is decided on.
struct Look {
    image: Option<Image>,
    is_locked: bool,
}

impl Replica {
    /// Carries out a transaction that has no part elsewhere, as one entry.
    pub(crate) async fn transact(
        self: &Arc<Self>,
        transaction: TransactionId,
        commands: &[CellCommand],
        mark: Option<&Mark>,
        level: ConsistencyLevel,
    ) -> Result<Judgement, Refused> {
        let deciding = follow::open(Step::Decide);
        self.make_room(commands).await?;
        let marked = mark.map(|mark| (mark.keyspace, &mark.key[..]));
        let keys = commands
            .iter()
            .map(|command| (command.keyspace, &command.key[..]));
        let latches = self.host.latches.acquire_all(keys.chain(marked)).await;
        let unmarked = match mark.map(|mark| self.newest(&mark.target())).transpose()? {
            Some((term, Some(cell), index)) => {
                drop(latches);
                return self.judged_before(&cell, (term, index)).await;
            }
            unmarked => unmarked,
        };
        let mut decided = self.decide_all(commands)?;
        if unmarked.is_some_and(|(term, ..)| term != decided.term) {
            // Another leader may have left the mark meanwhile.
            return Err(Refused::NotLeader(self.other_leader()));
        }
        let sums = self.add_up(&mut decided).await?;
        follow::done(deciding);
        let changes = |part: &Part| part.becomes != Becomes::Nothing;
        if decided.is_refused() || (mark.is_none() && !decided.parts.iter().any(changes)) {
            drop(sums);
            let Some(mark) = mark.filter(|mark| mark.is_repeated) else {
                drop(latches);
                return self.keep(decided).await;
            };
            let refused = (decided.term, decided.reasons);
            return self.close(transaction, mark, refused, latches).await;
        }
        let answers = decided.answers();
        let (term, known) = (decided.term, decided.known);
        let (mut cells, rows) = self.carried_out(commands, decided.parts);
        if let Some(mark) = mark {
            let fate = MarkFate::Done {
                answers: answers.clone(),
            };
            let row = mark.row(transaction, fate);
            cells.push(self.committed(mark.target(), None, Some(row)));
        }
        let commit = Commit {
            at_ms: 0,
            transaction,
            cells,
            rows,
        };
        let proposed = self
            .propose_commit(commit, (term, known), level, (latches, sums))
            .await?;
        let (index, at_ms) = (proposed.stands().await?, 0);
        Ok(Judgement::Fits {
            index,
            at_ms,
            answers,
        })
    }

    /// What becomes of the cells of commands, and what follows from that.
    fn carried_out(&self, commands: &[CellCommand], parts: Vec<Part>) -> (Vec<CommittedCell>, Vec<Row>) {
        let mut cells = Vec::with_capacity(commands.len() + 1);
        let mut rows = Vec::new();
        for (command, part) in commands.iter().zip(parts) {
            let after = match part.becomes {
                Becomes::Cell(cell) => Some(cell),
                Becomes::Removed => None,
                Becomes::Nothing => continue,
            };
            rows.extend(materialized(part.rows, after.as_ref()));
            cells.push(self.committed(command.target(), part.before.as_ref(), after));
        }
        (cells, rows)
    }

    /// Prepares the part of this group.
    pub(crate) async fn prepare_part(
        self: &Arc<Self>,
        transaction: TransactionId,
        ledger: &Bytes,
        commands: &[CellCommand],
    ) -> Result<Judgement, Refused> {
        let deciding = follow::open(Step::Decide);
        self.make_room(commands).await?;
        let keys = commands
            .iter()
            .map(|command| (command.keyspace, &command.key[..]));
        let latches = self.host.latches.acquire_all(keys).await;
        if let Some(before) = self.prepared_before(transaction).await? {
            return Ok(before);
        }
        let mut decided = self.decide_all(commands)?;
        // What it adds is added when it stands; whether it may is said now.
        drop(self.add_up(&mut decided).await?);
        follow::done(deciding);
        if decided.is_refused() {
            drop(latches);
            return self.keep(decided).await;
        }
        let answers = decided.answers();
        let mut rows = decided.parts.iter().flat_map(|part| &part.rows);
        let makes_versions = rows.any(|row| row.kind == RowKind::Version);
        let action = |(command, part): (&CellCommand, Part)| PreparedAction {
            keyspace: command.keyspace,
            key: command.key.clone(),
            becomes: part.becomes,
            answer: part.answer,
        };
        let prepare = Prepare {
            transaction,
            ledger: ledger.clone(),
            actions: commands.iter().zip(decided.parts).map(action).collect(),
        };
        let (proposed, at_ms) = self
            .propose_prepare(&prepare, decided.term, (latches, makes_versions))
            .await?;
        let index = proposed.stands().await?;
        Ok(Judgement::Fits {
            index,
            at_ms,
            answers,
        })
    }

    /// What a try before this one has prepared.
    async fn prepared_before(
        self: &Arc<Self>,
        transaction: TransactionId,
    ) -> Result<Option<Judgement>, Refused> {
        let (term, preparing) = {
            let state = self.state.lock();
            (state.core.term(), state.locks.preparing(transaction))
        };
        if let Some(index) = preparing {
            self.confirm(term, index).await?;
        }
        let unix_ms = self.host.world.unix_ms();
        let state = self.state.lock();
        let at_ms = state.last_at_ms.max(unix_ms);
        Ok(state.locks.prepared(transaction).map(|held| {
            let answers = held.prepare.actions.iter();
            Judgement::Fits {
                index: held.index,
                // Whether it makes versions is not known any more; a later time is as good.
                at_ms,
                answers: answers.map(|action| action.answer.clone()).collect(),
            }
        }))
    }

    /// Carries out what entry `prepared_at` has prepared; what was carried out before is done. Versions that follow from it
    /// have the time `at_ms`, in milliseconds since the Unix epoch, unless it is 0.
    pub(crate) async fn commit_part(
        self: &Arc<Self>,
        transaction: TransactionId,
        (prepared_at, at_ms): (u64, u64),
        level: ConsistencyLevel,
    ) -> Result<(), Refused> {
        let Some((_, held)) = self.held(transaction).await? else {
            return Ok(());
        };
        if held.index != prepared_at {
            // A question that came late has prepared it again after it was carried out.
            return self.release_part(transaction).await;
        }
        let actions = &held.prepare.actions;
        let keys = actions.iter().map(|action| (action.keyspace, &action.key[..]));
        let latches = self.host.latches.acquire_all(keys).await;
        // Whoever had the latches may have done it.
        let Some((term, held)) = self.held(transaction).await? else {
            return Ok(());
        };
        let (mut cells, mut rows, mut changes, mut known) =
            (Vec::new(), Vec::new(), Vec::new(), Known::NOTHING);
        for action in &held.prepare.actions {
            let after = match &action.becomes {
                Becomes::Cell(cell) => Some(cell.clone()),
                Becomes::Removed => None,
                Becomes::Nothing => continue,
            };
            if self.host.keyspaces.find(action.keyspace) == Lookup::Gone {
                continue;
            }
            let target = Target {
                keyspace: action.keyspace,
                key: &action.key,
            };
            // Nobody has written it since it was locked, and what came before is applied.
            let (before, _) = self.image_or_cell(&target, None)?;
            let follow = self.follow(&target, (before.as_ref(), after.as_ref()), 0, true)?;
            known = known.and(follow.known);
            let follows = materialized(follow.rows, after.as_ref()).into_iter();
            rows.extend(follows.map(|row| if at_ms == 0 { row } else { row.dated(at_ms) }));
            changes.extend(follow.sums);
            cells.push(self.committed(target, before.as_ref(), after));
        }
        let mut sums = self.sums(term, changes.iter()).await?;
        for change in &changes {
            sums.add(std::slice::from_ref(change), true)
                .map_err(Error::Unfit)?;
        }
        let commit = Commit {
            at_ms,
            transaction,
            cells,
            rows,
        };
        let proposed = self
            .propose_commit(commit, (term, known), level, (latches, sums))
            .await?;
        proposed.stands().await.map(drop)
    }

    /// Lets go of what was prepared, without effect. What is not prepared is done.
    pub(crate) async fn release_part(self: &Arc<Self>, transaction: TransactionId) -> Result<(), Refused> {
        let outcome = {
            let mut state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            let locks = &state.locks;
            let is_there = locks.prepared(transaction).is_some() || locks.preparing(transaction).is_some();
            if !is_there || locks.releasing(transaction).is_some() {
                return Ok(());
            }
            let Some((index, _)) = state.core.propose(release(transaction)) else {
                return Err(Refused::NotLeader(self.other_leader()));
            };
            state.locks.release(transaction, index);
            self.pend(state, index)
        };
        settled(outcome).await
    }

    /// What is prepared, and in which term that was seen; `None` if nothing is, or not any more. Waits for what is on its way
    /// out, and makes sure that nobody else leads who has prepared it since.
    async fn held(self: &Arc<Self>, transaction: TransactionId) -> Result<Option<(u64, Held)>, Refused> {
        let (term, index) = {
            let state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            let term = state.core.term();
            let releasing = state.locks.releasing(transaction);
            let held = state.locks.prepared(transaction);
            if let Some(held) = held.filter(|_| releasing.is_none()) {
                return Ok(Some((term, held.clone())));
            }
            (term, releasing.unwrap_or_default())
        };
        self.confirm(term, index).await?;
        Ok(None)
    }

    /// The commands' cells may be written as far as room and derived rows are concerned.
    async fn make_room(self: &Arc<Self>, commands: &[CellCommand]) -> Result<(), Refused> {
        for command in commands {
            self.keyspace(command.keyspace)?;
        }
        let bytes = commands
            .iter()
            .map(|command| command.key.len() + command.command.len());
        self.host.admit(bytes.sum()).await;
        self.wait_for_rows().await
    }

    /// Decides commands on the newest images of their cells. The caller holds the latches.
    fn decide_all(self: &Arc<Self>, commands: &[CellCommand]) -> Result<Decided, Refused> {
        let (term, looks) = self.look_at_all(commands)?;
        let mut decided = Decided {
            term,
            last_image: 0,
            parts: Vec::with_capacity(commands.len()),
            known: Known::NOTHING,
            reasons: Vec::with_capacity(commands.len()),
            refusals_bytes: 0,
        };
        for (command, look) in commands.iter().zip(looks) {
            let reason = if look.is_locked {
                Some(Reason::Conflict)
            } else {
                self.decide_one(command, look.image, &mut decided)?
            };
            decided.reasons.push(reason);
        }
        decided.refuse_too_large(commands);
        Ok(decided)
    }

    fn look_at_all(self: &Arc<Self>, commands: &[CellCommand]) -> Result<(u64, Vec<Look>), Refused> {
        let state = self.state.lock();
        if !state.core.may_serve() {
            return Err(self.is_not_leader(state));
        }
        let look = |CellCommand { keyspace, key, .. }: &CellCommand| Look {
            image: state.overlay.get(*keyspace, key).cloned(),
            is_locked: state.locks.holder(*keyspace, key).is_some(),
        };
        Ok((state.core.term(), commands.iter().map(look).collect()))
    }

    fn decide_one(
        &self,
        command: &CellCommand,
        image: Option<Image>,
        decided: &mut Decided,
    ) -> Result<Option<Reason>, Refused> {
        let (before, index) = self.image_or_cell(&command.target(), image)?;
        decided.last_image = decided.last_image.max(index);
        let commands = &self.host.commands;
        let verdict = commands
            .decide(&command.command, before.as_ref())
            .map_err(Error::from)?;
        let (becomes, mut answer) = match verdict {
            Verdict::Put { cell, answer } => (Becomes::Cell(cell), answer),
            Verdict::Delete { answer } => (Becomes::Removed, answer),
            Verdict::Keep { answer } if commands.is_refusal(&answer) => {
                return Ok(Some(decided.refusal(&**commands, answer)));
            }
            Verdict::Keep { answer } => (Becomes::Nothing, answer),
        };
        let after = match &becomes {
            Becomes::Cell(cell) => Some(cell),
            Becomes::Removed | Becomes::Nothing => None,
        };
        let (mut rows, mut sums) = (Vec::new(), Vec::new());
        if becomes != Becomes::Nothing {
            let origin = commands.origin(&command.command);
            let images = (before.as_ref(), after);
            let following = match self.follow(&command.target(), images, origin, false) {
                Err(Refused::Finally(Error::Unfit(unfit))) => return Ok(Some(Reason::Unfit(unfit))),
                following => following?,
            };
            if !following.note.is_empty() {
                answer = commands.noted(&answer, &following.note).map_err(Error::from)?;
            }
            decided.known = decided.known.and(following.known);
            rows = following.rows;
            sums = following.sums;
        }
        decided.parts.push(Part {
            before,
            becomes,
            answer: answer.into(),
            rows,
            sums,
        });
        Ok(None)
    }

    /// Adds up what the commands change of sums, one after the other; those that make one too large are refused. The caller
    /// holds the latches of the cells.
    async fn add_up(self: &Arc<Self>, decided: &mut Decided) -> Result<Sums, Refused> {
        if decided.is_refused() {
            return Ok(Sums::default());
        }
        let changes = decided.parts.iter().flat_map(|part| &part.sums);
        let mut sums = self.sums(decided.term, changes).await?;
        decided.last_image = decided.last_image.max(sums.decided_on());
        for (part, reason) in decided.parts.iter().zip(&mut decided.reasons) {
            *reason = sums.add(&part.sums, false).err().map(Reason::Unfit);
        }
        Ok(sums)
    }

    /// Answers what changes nothing, when what it was decided on is committed and nobody else leads.
    async fn keep(self: &Arc<Self>, decided: Decided) -> Result<Judgement, Refused> {
        self.confirm(decided.term, decided.last_image).await?;
        if decided.is_refused() {
            return Ok(Judgement::Refused(decided.reasons));
        }
        let (index, at_ms, answers) = (decided.last_image, 0, decided.answers());
        Ok(Judgement::Fits {
            index,
            at_ms,
            answers,
        })
    }
}
