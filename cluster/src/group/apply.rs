//! The way of committed entries into the engine.
//!
//! Invariant: entries are applied in their order, many of them in one batch, by one thread at a time; what waits for an
//! entry goes on when its effect can be read. An effect on a keyspace that group 0 has not made on this node yet holds
//! back itself and what comes behind it; so does a row that follows from it. Not here: what effects follow from (`write.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use stator_storage::{KeyspaceId, WriteBatch};

use super::accept::Upto;
use super::effect::{Change, Effect, Record};
use super::host::Host;
use super::journal::Journal;
use super::own::{self, OwnMark};
use super::prepared::Commit;
use super::replica::{ONLY_QUORUM, Refused, Remembered, Replica, State, Todo};
use super::rows::{Row, RowKind, Sent};
use super::scrub::HealingWanted;
use super::snapshot::SnapshotWanted;
use crate::derive::Route;
use crate::error::Error;
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::{Fate, Keyspaces, Lookup, METADATA};
use crate::metadata::rows::OwnRow;
use crate::raft::{Entry, EntryKind};
use crate::seldom::Queue;

pub(crate) use crate::metadata::keyspaces::METADATA_GROUP;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct ApplyQueue {
    entries: Queue<Entry>,
    is_draining: bool,
    /// Whether something could not be applied, so that nothing is any more.
    has_failed: bool,
    /// The keyspace that the first entry waits for.
    waits_for: Option<u32>,
    /// Who wants the replica as it is between two entries.
    snapshots: Vec<SnapshotWanted>,
    /// Cells that are to be put right between two entries.
    healings: Vec<HealingWanted>,
}

impl ApplyQueue {
    pub(super) fn want_healing(&mut self, wanted: HealingWanted) {
        self.healings.push(wanted);
    }

    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        self.entries.extend(entries);
    }

    /// Lets go of the memory that it does not use.
    pub(super) fn shed(&mut self) {
        self.entries.shed();
        self.snapshots.shrink_to_fit();
    }

    /// Whether something is being applied.
    pub(super) fn is_busy(&self) -> bool {
        self.is_draining && !self.has_failed
    }

    pub(super) fn want_snapshot(&mut self, wanted: SnapshotWanted) {
        self.snapshots.push(wanted);
    }
}

/// What is left to do for an entry once its effect is in the engine.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) bytes: u64,
    pub(super) record: Option<Record>,
    /// How it changes the members, if it does.
    pub(super) members: Option<Bytes>,
    /// By how much keyspaces grow, as far as that was found out here.
    found: Vec<(u32, Change)>,
}

impl Done {
    pub(super) fn of(entry: Entry) -> Result<Self, String> {
        let (index, term, bytes) = (entry.index, entry.term, entry.data.len() as u64);
        let members = (entry.kind == EntryKind::Membership).then(|| entry.data.clone());
        // An empty entry begins a term.
        let is_command = entry.kind == EntryKind::Command && !entry.data.is_empty();
        let record = is_command.then(|| Record::decode(entry.data)).transpose();
        let record = record.map_err(|error| format!("entry {index}: {error}"))?;
        Ok(Self {
            index,
            term,
            bytes,
            record,
            members,
            found: Vec::new(),
        })
    }

    fn effect(&self) -> Option<&Effect> {
        self.record.as_ref()?.effect()
    }
}

/// What a look at the next entries has found.
enum Next {
    Nothing,
    Run(Vec<Done>, WriteBatch),
}

impl Replica {
    /// Applies what waits, unless another thread does already.
    pub(super) fn drain_apply(self: &Arc<Self>) {
        if self.group != METADATA_GROUP {
            return self.apply_all();
        }
        // Making a keyspace waits for the disk, and this may be the thread that others wait for.
        {
            let queue = self.apply.lock();
            if queue.entries.is_empty() && queue.snapshots.is_empty() && queue.healings.is_empty() {
                return;
            }
        }
        let replica = Arc::clone(self);
        self.host.world.spawn(Box::pin(async move {
            replica.apply_all();
            replica.host.outbox.flush();
        }));
    }

    /// The keyspace that entries wait for may be there now.
    pub(crate) fn look_for_keyspace(self: &Arc<Self>) {
        let mut queue = self.apply.lock();
        let Some(number) = queue.waits_for else {
            return;
        };
        if self.host.keyspaces.find(number) != Lookup::NotYet {
            queue.waits_for = None;
            drop(queue);
            self.drain_apply();
            self.host.outbox.flush();
        }
    }

    fn apply_all(self: &Arc<Self>) {
        let mut queue = self.apply.lock();
        if queue.is_draining {
            return;
        }
        queue.is_draining = true;
        loop {
            if !queue.snapshots.is_empty() {
                let wanted = std::mem::take(&mut queue.snapshots);
                drop(queue);
                self.take_snapshots(wanted);
                queue = self.apply.lock();
                continue;
            }
            if !queue.healings.is_empty() {
                let wanted = std::mem::take(&mut queue.healings);
                drop(queue);
                self.take_healings(wanted);
                queue = self.apply.lock();
                continue;
            }
            if self.is_retired() {
                // Its cells may go and others come.
                queue.entries.clear();
            }
            let next = match self.next_run(&mut queue) {
                Ok(next) => next,
                Err(cause) => {
                    queue.has_failed = true;
                    return self.host.fail(&format!("group {}: {cause}", self.group));
                }
            };
            let Next::Run(run, batch) = next else {
                queue.is_draining = false;
                return;
            };
            drop(queue);
            if let Err(error) = self.apply_run(run, batch) {
                // Whoever waits is told when the node ends.
                self.apply.lock().has_failed = true;
                return self.report(&error);
            }
            queue = self.apply.lock();
        }
    }

    fn report(&self, error: &Error) {
        if !matches!(error, Error::Storage(stator_storage::Error::Closed)) {
            self.host.fail(&error.to_string());
        }
    }

    /// Takes the next entries that can be applied together.
    fn next_run(&self, queue: &mut ApplyQueue) -> Result<Next, String> {
        if queue.waits_for.is_some() {
            return Ok(Next::Nothing);
        }
        let bytes_max = self.host.settings.apply_bytes_max;
        let first = queue.entries.front().map_or(0, |entry| entry.data.len());
        let mut batch = WriteBatch::with_capacity(first);
        let (mut run, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = queue.entries.pop_front() {
            bytes += entry.data.len();
            let mut done = Done::of(entry.clone())?;
            if done.finds() && !run.is_empty() {
                // What it finds is what all entries before it have left in the engine.
                queue.entries.push_front(entry);
                break;
            }
            if let Err(NotYet(keyspace)) = done.put(&self.host.keyspaces, self.group, &mut batch) {
                queue.waits_for = Some(keyspace);
                queue.entries.push_front(entry);
                break;
            }
            done.find(&self.host)?;
            // What follows in group 0 from an effect may be what the next one needs.
            let alone = self.group == METADATA_GROUP && done.record.is_some();
            // Replicas are compared as they are before the next entry.
            let is_compared = matches!(done.record, Some(Record::Scrub { .. }));
            run.push(done);
            if bytes >= bytes_max || alone || is_compared {
                break;
            }
        }
        Ok(if run.is_empty() {
            Next::Nothing
        } else {
            Next::Run(run, batch)
        })
    }

    fn apply_run(self: &Arc<Self>, run: Vec<Done>, batch: WriteBatch) -> Result<(), Error> {
        let Some(last) = run.last().map(|done| done.index) else {
            return Ok(());
        };
        let scrub = run.last().and_then(|done| match done.record {
            Some(Record::Scrub { id }) => Some(id),
            _ => None,
        });
        if self.group == METADATA_GROUP {
            for done in &run {
                self.take_effect(done)?;
            }
        }
        let stream = Journal::stream_of(self.group);
        match self.host.engine.apply_now(batch, stream, last) {
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => {
                // It was dropped since the look; the look again leaves its effects out.
                let mut batch = WriteBatch::new();
                for done in &run {
                    if let Err(NotYet(keyspace)) = done.put(&self.host.keyspaces, self.group, &mut batch) {
                        let cause = format!("keyspace {keyspace} was there and is yet to come");
                        return Err(Error::Group {
                            group: self.group,
                            cause,
                        });
                    }
                }
                self.host.engine.apply_now(batch, stream, last)?;
            }
            applied => {
                applied?;
            }
        }
        if self.group == METADATA_GROUP {
            self.host.keyspaces.applied(last);
        }
        if let Some(id) = scrub {
            self.take_scrub(id, last);
        }
        self.look_at_terms(&run);
        let mut state = self.state.lock();
        let mut todo = Todo::default();
        let has_changed = state.take_run(run, &mut todo).map_err(|cause| Error::Group {
            group: self.group,
            cause,
        })?;
        if has_changed {
            self.members_have_changed(&mut state);
        }
        self.advance_with(state, todo);
        Ok(())
    }

    /// What follows on this node from an effect of group 0.
    fn take_effect(&self, done: &Done) -> Result<(), Error> {
        done.fate_of_keyspace().map_or(Ok(()), |(name, fate)| {
            self.host.keyspaces.take(done.index, name, fate)
        })
    }

    /// Applies a committed entry at a start, before anything else happens; `false` if it has to wait for a keyspace.
    pub(crate) fn replay(
        host: &super::host::Host,
        group: u32,
        entry: Entry,
        remembered: &mut Remembered,
    ) -> Result<bool, String> {
        let done = Done::of(entry)?;
        let mut batch = WriteBatch::new();
        if done.put(&host.keyspaces, group, &mut batch).is_err() {
            return Ok(false);
        }
        let stream = Journal::stream_of(group);
        host.engine
            .apply(batch, stream, done.index)
            .map_err(|error| error.to_string())?;
        if group == METADATA_GROUP {
            host.keyspaces.applied(done.index);
        }
        remembered.take(&done);
        Ok(true)
    }
}

/// Group 0 has not made a keyspace on this node yet.
struct NotYet(u32);

impl Done {
    /// Puts what the entry does to the engine into a batch, or nothing of it. What was dropped is left out.
    fn put(&self, keyspaces: &Keyspaces, group: u32, batch: &mut WriteBatch) -> Result<(), NotYet> {
        let Some(record) = &self.record else { return Ok(()) };
        let beside = |row: &&Row| row.route == Route::Beside;
        // All of them are there, or nothing is done.
        let mut needed = record.rows().iter().map(|row| row.keyspace);
        let sent = self.sent();
        let changed = match record {
            Record::Commit(commit) => &commit.cells[..],
            _ => &[],
        };
        let needed = record
            .effect()
            .map(|effect| effect.keyspace)
            .into_iter()
            .chain(changed.iter().map(|cell| cell.keyspace))
            .chain(&mut needed);
        for keyspace in needed.chain(sent.iter().map(|row| row.keyspace)) {
            if keyspaces.find(keyspace) == Lookup::NotYet {
                return Err(NotYet(keyspace));
            }
        }
        let mut put = |keyspace, key: &[u8], cell: Option<&Bytes>| {
            if let Lookup::Here(id) = keyspaces.find(keyspace) {
                match cell {
                    Some(cell) => batch.put(id, key, cell),
                    None => batch.delete(id, key),
                }
            }
        };
        let mut cell = None;
        if let Some(effect) = record.effect() {
            cell = effect.cell.as_ref();
            put(effect.keyspace, &effect.key, cell);
        }
        for changed in changed {
            put(changed.keyspace, &changed.key, changed.cell.as_ref());
        }
        for row in record.rows().iter().filter(beside) {
            let value = (row.kind != RowKind::Delete).then(|| row.value(cell));
            let key = row.placed_key((self.index, record.at_ms()));
            put(row.keyspace, &key, value.as_ref());
        }
        for (row, place) in sent.iter().zip(0..) {
            let cell = (row.kind != RowKind::Delete).then_some(&row.cell);
            put(row.keyspace, &row.placed_key(self.index, place), cell);
        }
        self.put_marks(record, keyspaces.marks(), group, batch);
        Ok(())
    }

    /// What becomes of a keyspace by this entry of group 0, if it is about one.
    pub(super) fn fate_of_keyspace(&self) -> Option<(&str, Fate)> {
        let effect = self.effect().filter(|effect| effect.keyspace == METADATA)?;
        let Some(OwnRow::Keyspace(name)) = OwnRow::of_key(&effect.key) else {
            return None;
        };
        let is_made = effect.cell.is_some();
        Some((name, if is_made { Fate::Made } else { Fate::Dropped }))
    }

    /// Whether this entry of group 0 is a layout.
    pub(super) fn is_layout(&self) -> bool {
        self.effect().is_some_and(|effect| {
            effect.keyspace == METADATA && matches!(OwnRow::of_key(&effect.key), Some(OwnRow::Layout))
        })
    }

    /// Rows of other ranges, if it has some.
    fn sent(&self) -> &[Sent] {
        match &self.record {
            Some(Record::Accept(accept)) => &accept.rows,
            _ => &[],
        }
    }

    /// Whether it is found out here by how much keyspaces grow.
    fn finds(&self) -> bool {
        self.sent().iter().any(|row| row.is_found)
    }

    /// Finds out by how much keyspaces grow, before it is applied and when everything before it is.
    fn find(&mut self, host: &Host) -> Result<(), String> {
        if !self.finds() {
            return Ok(());
        }
        let weigh = |cell: &[u8]| i64::try_from(host.commands.weigh(cell)).unwrap_or(i64::MAX);
        // Rows before it in the same entry.
        let mut sizes = HashMap::<(u32, &Bytes), Option<i64>>::new();
        let mut found = Vec::new();
        for row in self.sent().iter().filter(|row| row.kind != RowKind::Append) {
            let place = (row.keyspace, &row.key);
            let after = (row.kind == RowKind::Put).then(|| weigh(&row.cell));
            let before = sizes.insert(place, after);
            let Lookup::Here(id) = host.keyspaces.find(row.keyspace) else {
                continue;
            };
            if !row.is_found {
                continue;
            }
            let before = match before {
                Some(before) => before,
                None => match host.engine.get(id, &row.key) {
                    Ok(value) => value.map(|value| weigh(&value)),
                    // The replica is about to be under suspicion, and what it counts is counted anew by a start.
                    Err(stator_storage::Error::Corruption { .. }) => None,
                    // Dropped since the look, and its tally with it.
                    Err(stator_storage::Error::NoSuchKeyspace { .. }) => continue,
                    Err(error) => return Err(error.to_string()),
                },
            };
            let change = Change {
                items: i8::from(after.is_some()) - i8::from(before.is_some()),
                bytes: after.unwrap_or_default() - before.unwrap_or_default(),
            };
            found.push((row.keyspace, change));
        }
        self.found = found;
        Ok(())
    }

    /// Puts what the group keeps about itself into a batch.
    fn put_marks(&self, record: &Record, marks: KeyspaceId, group: u32, batch: &mut WriteBatch) {
        let (mark, upto) = match record {
            Record::Accept(accept) => (OwnMark::Accepted(accept.source), accept.upto()),
            Record::Require { index } => (OwnMark::Required, Upto::index(*index)),
            Record::Forwarded { index } => (OwnMark::Forwarded, Upto::index(*index)),
            Record::Scrubbed { at_ms } => (OwnMark::Scrubbed, Upto::index(*at_ms)),
            Record::Close { at_ms } => (OwnMark::Closed, Upto::index(*at_ms)),
            Record::Prepare(prepare) => {
                return own::put_prepared(batch, marks, group, (self.index, prepare));
            }
            Record::Commit(Commit { transaction, .. }) | Record::Release { transaction } => {
                return own::remove_prepared(batch, marks, group, *transaction);
            }
            Record::Effect(_)
            | Record::Fill(_)
            | Record::Floor { .. }
            | Record::Answered(_)
            | Record::Scrub { .. } => return,
        };
        mark.put(batch, marks, group, upto);
    }
}

impl State {
    /// Entries are in the engine: notes what they were, and wakes who waits for them.
    /// Says whether the members have changed.
    fn take_run(&mut self, run: Vec<Done>, todo: &mut Todo) -> Result<bool, String> {
        let mut has_changed = false;
        for done in run {
            self.applied = done.index;
            if let Some(data) = &done.members {
                self.core.apply_members(done.index, data)?;
                has_changed = true;
            }
            if let Some(record) = &done.record {
                self.take_record(&done, record);
            }
        }
        let applied = self.applied;
        self.watched.applied(applied);
        self.core.applied(applied);
        let everywhere = if self
            .pending
            .iter()
            .any(|pending| pending.level == ConsistencyLevel::All)
        {
            self.at_every_voter()
        } else {
            0
        };
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.index <= applied) {
            if pending.level == ConsistencyLevel::All && pending.index > everywhere {
                self.spreading.push_back(pending);
            } else {
                todo.wake(pending.wake, Ok(()));
            }
        }
        self.answer_applied(todo);
        Ok(has_changed)
    }

    fn take_record(&mut self, done: &Done, record: &Record) {
        match record {
            Record::Effect(effect) => {
                self.take_answer(done, record);
                self.overlay.applied(effect.keyspace, &effect.key, done.index);
                self.count(effect.keyspace, effect.change);
            }
            Record::Answered(_) => self.take_answer(done, record),
            Record::Fill(fill) => self.last_at_ms = self.last_at_ms.max(fill.at_ms),
            Record::Floor { index } => self.floor = self.floor.max(*index),
            Record::Accept(accept) => {
                self.take_accept(done.index, accept);
                for (keyspace, change) in &done.found {
                    self.count(*keyspace, *change);
                }
            }
            Record::Require { index } => self.required = self.required.max(*index),
            Record::Forwarded { index } => self.forwarding.logged(*index),
            Record::Scrub { .. } => {}
            Record::Scrubbed { at_ms } => self.scrubbed_at_ms = *at_ms,
            Record::Close { at_ms } => {
                self.last_at_ms = self.last_at_ms.max(*at_ms);
                self.closed_at_ms = self.closed_at_ms.max(*at_ms);
            }
            Record::Commit(commit) => self.take_commit(done.index, commit),
            Record::Prepare(prepare) => self.locks.apply_prepare(done.index, self.ticks, prepare.clone()),
            Record::Release { transaction } => self.locks.apply_release(*transaction),
        }
        for row in record.rows().iter().filter(|row| row.route == Route::Beside) {
            self.count(row.keyspace, row.change);
            // Only sums are in there.
            self.overlay.applied(row.keyspace, &row.key, done.index);
        }
        let leads = self.leads();
        self.forwarding.applied((done.index, done.term), record, leads);
    }

    fn take_commit(&mut self, index: u64, commit: &Commit) {
        self.last_at_ms = self.last_at_ms.max(commit.at_ms);
        self.invocations.forget_before(commit.at_ms);
        for cell in &commit.cells {
            self.overlay.applied(cell.keyspace, &cell.key, index);
            self.count(cell.keyspace, cell.change);
        }
        self.locks.apply_release(commit.transaction);
    }

    /// A keyspace has grown in this group.
    pub(super) fn count(&mut self, keyspace: u32, Change { items, bytes }: Change) {
        if items != 0 || bytes != 0 {
            let tally = self.tallies.entry(keyspace).or_default();
            tally.0 += i64::from(items);
            tally.1 += bytes;
        }
    }

    /// Remembers what the request of an entry was answered, if it may be sent again.
    fn take_answer(&mut self, done: &Done, record: &Record) {
        let at_ms = record.at_ms();
        self.last_at_ms = self.last_at_ms.max(at_ms);
        if let Some((request, answer)) = record.answered() {
            self.invocations
                .remember(request, (done.index, at_ms), (done.bytes, answer));
            self.proposed.remove(&request);
        }
        self.invocations.forget_before(at_ms);
    }
}

/// The outcome of a write at ALL that not everybody has acknowledged in time.
pub(super) fn only_quorum() -> Refused {
    Refused::Unknown(ONLY_QUORUM.to_owned())
}
