//! Replicas that are compared: each of them at the same entry of the log.
//!
//! The leader logs that a comparison begins. Whoever applies that entry takes a snapshot of the engine before it applies the next one, and
//! digests its cells later, beside everything else. A replica that is found to be wrong, or whose disk has lost cells, is under *suspicion*: it goes on
//! voting and takes entries, but it does not lead and nothing is read from it, also after a start, until a comparison finds that it has
//! what the others have. What it has wrong is put right from the leader's snapshot, unless an entry behind the comparison has written it.
//! Invariant: digests that are compared are of exactly one entry; suspicion is durable before anything is given up for it. Not here: who
//! compares (`coordinator/scrub.rs`), when cells are digested (`node/scrub.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use stator_storage::{Direction, KeyspaceId, Snapshot, StreamId, WriteBatch};
use tokio::sync::oneshot;

use super::accept::settled;
use super::apply::METADATA_GROUP;
use super::effect::Record;
use super::locks::Locks;
use super::merkle::Tree;
use super::own::{Own, OwnMark};
use super::replica::{Refused, Replica};
use super::snapshot::{KeySpan, span_of};
use crate::error::Error;
use crate::metadata::keyspaces::{Lookup, METADATA, OWN_MARKS};
use crate::ring::RangeBits;

/// Everything that has to do with comparisons.
pub(super) const VERSION_OF_SCRUBS: u8 = 5;
pub(super) const SCRUB: u8 = 12;
pub(super) const SCRUBBED: u8 = 13;

/// What is put right in the engine is marked in a stream of its own, so much greater than that of the group's log.
const HEALING_STREAMS: u64 = 1 << 35;

/// How often what is waited for is looked at again.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// A record of a comparison as bytes: version, kind, number.
pub(super) fn encode(kind: u8, number: u64) -> Bytes {
    let mut into = BytesMut::with_capacity(10);
    into.put_u8(VERSION_OF_SCRUBS);
    into.put_u8(kind);
    into.put_u64_le(number);
    into.freeze()
}

/// How far the digests of a comparison are.
#[derive(Clone, Debug, Default)]
pub(crate) enum Progress {
    /// They wait, or are being made.
    #[default]
    Under,
    /// They are there.
    Done(Arc<Tree>),
    /// A cell cannot be read, with the reason.
    Unreadable(String),
}

/// A replica as it is at the entry of a comparison.
#[derive(Debug)]
pub(crate) struct Scrub {
    /// Which comparison.
    pub(crate) id: u64,
    /// Its entry.
    pub(crate) index: u64,
    /// The keyspaces with cells of the group, by number.
    pub(crate) keyspaces: Vec<(u32, KeyspaceId)>,
    there: Mutex<Option<Snapshot>>,
    progress: Mutex<Progress>,
}

/// A walk over the cells of a comparison.
pub(crate) struct Walk {
    tree: Tree,
    /// The keyspace, by its place, and the key that it has come to.
    at: (usize, Bytes),
}

impl Scrub {
    /// How far the digests are.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    /// Begins to digest the cells.
    pub(crate) fn walk() -> Walk {
        Walk {
            tree: Tree::default(),
            at: (0, Bytes::new()),
        }
    }

    /// Digests about so many bytes more; gives how many, `None` when the digests are there, or never will be.
    pub(crate) fn step(
        &self,
        walk: &mut Walk,
        (group, bits): (u32, RangeBits),
        span: &KeySpan,
        bytes_max: u64,
    ) -> Option<u64> {
        let Some((number, id)) = self.keyspaces.get(walk.at.0).copied() else {
            let tree = std::mem::take(&mut walk.tree);
            let mut progress = self.progress.lock();
            if matches!(*progress, Progress::Under) {
                *progress = Progress::Done(Arc::new(tree));
            }
            return None;
        };
        let (mut start, end) = span_of(group, number, span);
        if !walk.at.1.is_empty() {
            start = std::ops::Bound::Excluded(walk.at.1.to_vec());
        }
        let (mut bytes, mut last) = (0, None);
        let read = self.each((id, (start, end)), &mut |key, cell| {
            walk.tree.add(bits, number, key, cell);
            bytes += (key.len() + cell.len()) as u64;
            if bytes >= bytes_max {
                last = Some(Bytes::copy_from_slice(key));
            }
            last.is_none()
        });
        if let Err(error) = read {
            *self.progress.lock() = Progress::Unreadable(error.to_string());
            return None;
        }
        walk.at = last.map_or((walk.at.0 + 1, Bytes::new()), |last| (walk.at.0, last));
        Some(bytes)
    }

    /// Visits the cells of a span until `visit` says `false`. None are there when the keyspace was dropped since.
    pub(crate) fn each(
        &self,
        (keyspace, (start, end)): (KeyspaceId, KeySpan),
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let there = self.there.lock();
        let there = there.as_ref().ok_or_else(|| Error::Unavailable {
            cause: "the comparison is over".to_owned(),
        })?;
        let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        let mut rows = match there.range(keyspace, bounds, Direction::Forward) {
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => return Ok(()),
            rows => rows?,
        };
        while rows.advance()? {
            if !visit(rows.key(), rows.value()) {
                break;
            }
        }
        Ok(())
    }

    /// What was read, or is to be read, counts for nothing.
    fn void(&self) {
        let cause = "a file from which it was read has gone since".to_owned();
        *self.progress.lock() = Progress::Unreadable(cause);
        self.let_go();
    }

    /// The digests are there; the cells are not needed any more.
    pub(crate) fn let_go(&self) {
        self.there.lock().take();
    }
}

/// Cells that a replica is to have between two keys, at the entry of a comparison.
#[derive(Clone, Debug)]
pub(crate) struct Healing {
    /// The entry.
    pub(crate) index: u64,
    pub(crate) keyspace: u32,
    pub(crate) span: KeySpan,
    /// By ascending keys.
    pub(crate) cells: Vec<(Bytes, Bytes)>,
}

/// A healing that waits for its turn, and who is told how many cells it has changed; without one, marks are only read again.
pub(super) type HealingWanted = (Option<Healing>, oneshot::Sender<Result<u64, Refused>>);

/// The stream of the marks of what is put right.
pub(crate) fn healing_stream(group: u32) -> StreamId {
    StreamId(HEALING_STREAMS + u64::from(group))
}

impl Replica {
    /// Logs that a comparison begins, as the leader; returns when it is applied here.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn begin_scrub(self: &Arc<Self>, id: u64) -> Result<(), Refused> {
        self.log_scrub(encode(SCRUB, id)).await
    }

    /// Logs that all voters were compared, at this time in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn end_scrub(self: &Arc<Self>, at_ms: u64) -> Result<(), Refused> {
        self.log_scrub(encode(SCRUBBED, at_ms)).await
    }

    async fn log_scrub(self: &Arc<Self>, record: Bytes) -> Result<(), Refused> {
        let outcome = {
            let mut state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            let Some((index, _)) = state.core.propose(record) else {
                return Err(Refused::NotLeader(self.other_leader()));
            };
            self.pend(state, index)
        };
        settled(outcome).await
    }

    /// When all voters were compared last, in milliseconds since the Unix epoch; 0 for never.
    pub(crate) fn scrubbed_at_ms(&self) -> u64 {
        self.state.lock().scrubbed_at_ms
    }

    /// The last entry that was applied begins a comparison: takes the replica as it is.
    pub(super) fn take_scrub(&self, id: u64, index: u64) {
        let keyspaces = &self.host.keyspaces;
        let mut with_cells = vec![(OWN_MARKS, keyspaces.marks())];
        if self.group == METADATA_GROUP {
            with_cells.push((METADATA, keyspaces.metadata()));
        } else {
            with_cells.extend(keyspaces.all().iter().map(|(number, id, _)| (*number, *id)));
        }
        let scrub = Arc::new(Scrub {
            id,
            index,
            keyspaces: with_cells,
            there: Mutex::new(Some(self.host.engine.snapshot())),
            progress: Mutex::default(),
        });
        *self.scrub.lock() = Some(Arc::clone(&scrub));
        self.host.scrubs.lock().push_back((self.group, scrub));
    }

    /// The comparison that was begun last and is not over.
    pub(crate) fn scrub(&self) -> Option<Arc<Scrub>> {
        self.scrub.lock().clone()
    }

    /// A comparison is over.
    pub(crate) fn forget_scrub(&self, id: u64) {
        self.scrub.lock().take_if(|scrub| scrub.id == id);
    }

    /// What was compared so far counts no more. Whoever asks is told so at once.
    pub(crate) fn void_scrub(&self) {
        if let Some(scrub) = self.scrub() {
            scrub.void();
        }
    }

    /// Whether nothing is to be believed of what this replica has.
    pub(crate) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Acquire)
    }

    /// Puts this replica under suspicion, or believes it again. Durable on return.
    pub(crate) async fn set_suspect(self: &Arc<Self>, is_suspect: bool) {
        if is_suspect {
            // At once for whoever asks; the rest follows.
            self.is_suspect.store(true, Ordering::Release);
        }
        {
            let mut state = self.state.lock();
            if self.is_retired() {
                return;
            }
            state.core.set_suspect(is_suspect);
            let kept = state.core.state();
            self.log.lock().push_standing(is_suspect, kept);
            self.advance(state);
        }
        self.host.outbox.flush();
        while !self.log.lock().is_idle() {
            self.host.world.sleep(LOOK).await;
        }
        self.is_suspect.store(is_suspect, Ordering::Release);
    }

    /// Puts cells right, between two runs of entries; gives how many were not right.
    ///
    /// # Errors
    /// [`Refused::NotNow`] if the log does not say what was written meanwhile.
    pub(crate) async fn heal(self: &Arc<Self>, healing: Healing) -> Result<u64, Refused> {
        self.between_runs(Some(healing)).await
    }

    /// Reads what the group keeps about itself again, between two runs of entries. A start may not have been able to: what was damaged
    /// then need not have been put right since, if the same was written elsewhere.
    ///
    /// # Errors
    /// [`Refused::NotNow`] if it cannot be read.
    pub(crate) async fn know_marks(self: &Arc<Self>) -> Result<(), Refused> {
        self.between_runs(None).await.map(drop)
    }

    async fn between_runs(self: &Arc<Self>, healing: Option<Healing>) -> Result<u64, Refused> {
        let (wanted, healed) = oneshot::channel();
        self.apply.lock().want_healing((healing, wanted));
        self.drain_apply();
        let closed = |_| Err(Refused::NotNow("the replica was closed".to_owned()));
        healed.await.unwrap_or_else(closed)
    }

    /// The thread that applies is between two runs.
    pub(super) fn take_healings(&self, wanted: Vec<HealingWanted>) {
        for (healing, waiter) in wanted {
            let healed = match healing {
                Some(healing) => self.heal_now(&healing),
                None => self.read_marks_again().map(|()| 0),
            };
            // Whoever wanted it may have left.
            drop(waiter.send(healed));
        }
    }

    fn heal_now(&self, healing: &Healing) -> Result<u64, Refused> {
        let Lookup::Here(id) = self.host.keyspaces.find(healing.keyspace) else {
            return Ok(0);
        };
        let (mut wrong, mut right) = (Vec::new(), healing.cells.iter().peekable());
        let (start, end) = &healing.span;
        let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        let snapshot = self.host.engine.snapshot();
        let mut rows = snapshot.range(id, bounds, Direction::Forward)?;
        while rows.advance()? {
            while let Some((key, cell)) = right.next_if(|(key, _)| &key[..] < rows.key()) {
                wrong.push((key.clone(), Some(cell.clone())));
            }
            match right.next_if(|(key, _)| &key[..] == rows.key()) {
                Some((_, cell)) if &cell[..] == rows.value() => {}
                Some((key, cell)) => wrong.push((key.clone(), Some(cell.clone()))),
                None => wrong.push((Bytes::copy_from_slice(rows.key()), None)),
            }
        }
        wrong.extend(right.map(|(key, cell)| (key.clone(), Some(cell.clone()))));
        drop(rows);
        if wrong.is_empty() {
            return Ok(0);
        }
        self.leave_out_written(healing, &mut wrong)?;
        let mut batch = WriteBatch::new();
        for (key, cell) in &wrong {
            match cell {
                Some(cell) => batch.put(id, key, cell),
                None => batch.delete(id, key),
            }
        }
        let stream = healing_stream(self.group);
        let mark = self.healed.fetch_add(1, Ordering::AcqRel) + 1;
        if mark == 1 {
            // Of the process before.
            self.host.engine.forget_applied(stream)?;
        }
        self.host.engine.apply_now(batch, stream, mark)?;
        if healing.keyspace == OWN_MARKS {
            self.read_marks_again()?;
        }
        Ok(wrong.len() as u64)
    }

    /// A start may have read marks that were wrong, or none.
    fn read_marks_again(&self) -> Result<(), Refused> {
        let (engine, marks) = (&self.host.engine, self.host.keyspaces.marks());
        let own = Own::read(engine, marks, self.group).map_err(|error| Refused::NotNow(error.to_string()))?;
        if own.names_terms() {
            self.host.name_terms();
        }
        let forwarded = own.forwarded;
        let went_too_far = self.state.lock().forwarding.is_logged_beyond(forwarded);
        let open = went_too_far
            .then(|| self.forwarded_behind(forwarded))
            .transpose()?;
        let mut state = self.state.lock();
        state.accepted = own.accepted;
        state.required = own.required;
        state.scrubbed_at_ms = own.scrubbed_at_ms;
        state.closed_at_ms = own.closed_at_ms;
        state.last_at_ms = state.last_at_ms.max(own.closed_at_ms);
        state.forwarding.read_again(forwarded, open);
        state.locks = Locks::new(own.prepared, state.ticks);
        Ok(())
    }

    /// The applied entries behind one that have rows for other ranges, with their times, as far as the log has them.
    fn forwarded_behind(&self, index: u64) -> Result<VecDeque<(u64, u64)>, Refused> {
        let applied = self.state.lock().applied;
        let reader = self.log.lock().reader();
        let first = reader.extent().start.max(index + 1);
        let mut open = VecDeque::new();
        let read = reader.each(first..applied + 1, &mut |entry| {
            if let Some(record) = Record::of_entry(&entry).filter(Record::is_forwarded) {
                open.push_back((entry.index, record.at_ms()));
            }
            Ok(())
        });
        match read {
            Ok(()) => Ok(open),
            Err(error) => Err(Refused::NotNow(format!(
                "the log does not say which rows are to be sent: {error}"
            ))),
        }
    }

    /// Leaves out what an entry behind that of the comparison has written: it is right as it is.
    fn leave_out_written(
        &self,
        healing: &Healing,
        wrong: &mut Vec<(Bytes, Option<Bytes>)>,
    ) -> Result<(), Refused> {
        let applied = self.state.lock().applied;
        let reader = self.log.lock().reader();
        let read = reader.each(healing.index + 1..applied + 1, &mut |entry| {
            if let Some(record) = Record::of_entry(&entry) {
                wrong.retain(|(key, _)| !self.writes(&record, entry.index, healing.keyspace, key));
            }
            Ok(())
        });
        read.map_err(|error| {
            Refused::NotNow(format!(
                "the log does not say what was written meanwhile: {error}"
            ))
        })
    }

    fn writes(&self, record: &Record, index: u64, keyspace: u32, key: &[u8]) -> bool {
        if keyspace == OWN_MARKS {
            OwnMark::is_written_by(record, self.group, key)
        } else {
            record.touches(index, keyspace, key)
        }
    }

    /// Waits until what was put right is on disk.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn keep_healed(&self) -> Result<(), Error> {
        let (stream, mark) = (healing_stream(self.group), self.healed.load(Ordering::Acquire));
        if mark == 0 {
            return Ok(());
        }
        self.host.engine.begin_flush()?;
        while self.host.engine.flushed_index(stream) < mark {
            self.host.world.sleep(LOOK).await;
        }
        Ok(())
    }
}
