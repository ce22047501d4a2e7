//! The commit path: one queue, one writer at a time, one frame, one write and at most one sync for all that waits.
//!
//! Invariant: batches become visible and are acknowledged in the order of their sequence numbers, after they were
//! written, and, if they ask for it, synced. Whoever finds the queue idle writes itself, if it needs no sync or waits
//! for it anyway (no thread is woken); everything else is for the log thread (`log_thread.rs`). Completions run with no
//! lock held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::batch::{BatchEntries, WriteBatch};
use crate::clock::Clock;
use crate::core::{Core, Pressure};
use crate::drive::Drive;
use crate::entry::{KeyspaceId, SEQUENCE_MAX, SequenceNumber};
use crate::error::{Error, Result};
use crate::log_thread::Held;
use crate::memtable::Memtable;
use crate::version::Recovery;
use crate::wal::batch::LogBatch;
use crate::wal::log::LogEnd;
use crate::wal::writer::LogWriter;

/// What an acknowledgement of a write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk: survives a power cut.
    Sync,
    /// Written to the log, synced within `sync_interval_ms`: survives the end of the process, and a power cut except
    /// for the writes of the last interval.
    Interval,
}

/// How many rounds a caller that writes for itself goes on to write for others before the log thread takes over.
const LEADER_ROUNDS: usize = 4;

/// A group is not made larger than this, so that the first in it do not wait too long.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Gets the outcome of a commit.
pub(crate) type Callback = Box<dyn FnOnce(Result<SequenceNumber>) + Send>;

/// Where a caller waits for its commit.
#[derive(Default)]
struct Slot {
    finished: Mutex<Option<Request>>,
    filled: Condvar,
}

impl Slot {
    /// Gives the request back, so that the thread that has allocated its buffers frees them: allocators keep memory for
    /// each thread, and that of many writers adds up when another thread frees it.
    fn fill(&self, finished: Request) {
        *self.finished.lock() = Some(finished);
        self.filled.notify_one();
    }

    fn is_filled(&self) -> bool {
        self.finished.lock().is_some()
    }

    fn wait(&self) -> Result<SequenceNumber> {
        let mut finished = self.finished.lock();
        loop {
            if let Some(request) = finished.take() {
                return request.outcome;
            }
            self.filled.wait(&mut finished);
        }
    }
}

/// Who gets the outcome of a request.
enum Done {
    Call(Callback),
    Fill(Arc<Slot>),
    /// The one who writes it looks at it itself.
    Leader,
}

/// What is to be committed in one step.
pub(crate) struct Request {
    /// Of a log batch.
    records: Vec<u8>,
    /// Of a write batch.
    entries: Bytes,
    durability: Durability,
    done: Done,
    outcome: Result<SequenceNumber>,
}

impl Request {
    pub(crate) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    fn fills(&self, slot: &Arc<Slot>) -> bool {
        matches!(&self.done, Done::Fill(filled) if Arc::ptr_eq(filled, slot))
    }

    fn finish(&mut self) {
        match std::mem::replace(&mut self.done, Done::Leader) {
            Done::Call(callback) => callback(self.take_outcome()),
            Done::Fill(slot) => slot.fill(Self {
                records: std::mem::take(&mut self.records),
                entries: std::mem::take(&mut self.entries),
                durability: self.durability,
                done: Done::Leader,
                outcome: self.take_outcome(),
            }),
            Done::Leader => {}
        }
    }

    fn take_outcome(&mut self) -> Result<SequenceNumber> {
        std::mem::replace(&mut self.outcome, Ok(0))
    }
}

#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) requests: Vec<Request>,
    /// Somebody writes.
    pub(crate) writing: bool,
    pub(crate) closed: bool,
    /// Everything was written after the close, and the log completed.
    pub(crate) completed: bool,
    pub(crate) held: Held,
    /// Where the log ends and since when, if that is with a frame of which nothing says that it was synced.
    pub(crate) open: Option<(LogEnd, Duration)>,
}

/// Gives out sequence numbers. Held from then until the batch is published, so that batches are published in order.
#[derive(Debug)]
pub(crate) struct Sequencer {
    next: SequenceNumber,
}

impl Sequencer {
    pub(crate) fn take(&mut self) -> Result<SequenceNumber> {
        if self.next > SEQUENCE_MAX {
            return Err(Error::Invalid {
                what: "sequence number",
                detail: "is used up".to_owned(),
            });
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Takes the last number back; nothing was done under it.
    pub(crate) fn give_back(&mut self) {
        self.next -= 1;
    }
}

/// The queue and the log behind it. Locks are taken in the order waiting, writer, sequencer.
pub(crate) struct CommitQueue {
    pub(crate) waiting: Mutex<Waiting>,
    pub(crate) wake: Condvar,
    /// Only ever locked by whoever set `writing`.
    pub(crate) writer: Mutex<LogWriter>,
    sequencer: Mutex<Sequencer>,
    /// What was applied since the last delay.
    undelayed_bytes: AtomicUsize,
    /// The memtable is full but there was no room for another one, or is to be changed even if it is not full; the log
    /// thread sees to it.
    pub(crate) switch_due: AtomicBool,
    pub(crate) switch_forced: AtomicBool,
    /// The segment is full, or is to be changed; the log thread sees to it before the next group.
    pub(crate) rotate_due: AtomicBool,
    /// There may be something that was written but not synced, since then.
    unsynced: AtomicBool,
    unsynced_since_micros: AtomicU64,
}

impl std::fmt::Debug for CommitQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitQueue").finish_non_exhaustive()
    }
}

impl CommitQueue {
    pub(crate) fn new(writer: LogWriter, next_sequence: SequenceNumber) -> Self {
        Self {
            waiting: Mutex::new(Waiting::default()),
            wake: Condvar::new(),
            writer: Mutex::new(writer),
            sequencer: Mutex::new(Sequencer { next: next_sequence }),
            undelayed_bytes: AtomicUsize::new(0),
            switch_due: AtomicBool::new(false),
            switch_forced: AtomicBool::new(false),
            rotate_due: AtomicBool::new(false),
            unsynced: AtomicBool::new(false),
            unsynced_since_micros: AtomicU64::new(0),
        }
    }

    /// Lets the log thread look again.
    pub(crate) fn wake(&self) {
        self.wake.notify_all();
    }

    pub(crate) fn lock_sequencer(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock()
    }

    /// Something was written that is not synced. Between the two stores an old time may be seen: a sync that is too early.
    fn note_unsynced(&self, clock: &dyn Clock) {
        if !self.unsynced.swap(true, Ordering::AcqRel) {
            let now = u64::try_from(clock.now().as_micros()).unwrap_or(u64::MAX);
            self.unsynced_since_micros.store(now, Ordering::Release);
        }
    }

    /// When the first write was made that may not be synced yet.
    pub(crate) fn unsynced_since(&self) -> Option<Duration> {
        let is_unsynced = self.unsynced.load(Ordering::Acquire);
        is_unsynced.then(|| Duration::from_micros(self.unsynced_since_micros.load(Ordering::Acquire)))
    }

    /// A sync begins, of all that was written so far.
    pub(crate) fn begin_sync(&self) {
        self.unsynced.swap(false, Ordering::AcqRel);
    }

    /// Whether the log thread has something to do before the next group.
    pub(crate) fn is_change_due(&self) -> bool {
        self.switch_due.load(Ordering::Acquire) || self.rotate_due.load(Ordering::Acquire)
    }

    /// Counts applied bytes; `true` once for every `per_delay` of them.
    pub(crate) fn owes_delay(&self, bytes: usize, per_delay: usize) -> bool {
        let before = self.undelayed_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes < per_delay {
            return false;
        }
        self.undelayed_bytes.store(0, Ordering::Relaxed);
        true
    }
}

impl Core {
    /// Commits both batches in one step; `done` is called exactly once.
    pub(crate) fn commit(&self, log: LogBatch, batch: WriteBatch, durability: Durability, done: Callback) {
        match self.request(log, batch, durability) {
            Err(error) => done(Err(error)),
            Ok(None) => done(Ok(self.published())),
            Ok(Some(mut request)) => {
                request.done = Done::Call(done);
                self.submit(request, durability == Durability::Interval);
            }
        }
    }

    /// Commits both batches in one step and waits for the outcome.
    pub(crate) fn commit_and_wait(
        &self,
        log: LogBatch,
        batch: WriteBatch,
        durability: Durability,
    ) -> Result<SequenceNumber> {
        let Some(request) = self.request(log, batch, durability)? else {
            return Ok(self.published());
        };
        let mut waiting = self.commit.waiting.lock();
        if waiting.closed {
            return Err(Error::Closed);
        }
        let mut request = request;
        if self.may_lead(&waiting, &request) {
            waiting.writing = true;
            drop(waiting);
            self.lead(&mut request);
            return request.outcome;
        }
        if self.drive == Drive::Caller && waiting.writing {
            return Err(Error::within_another_call());
        }
        let slot = Arc::new(Slot::default());
        request.done = Done::Fill(Arc::clone(&slot));
        self.enqueue(waiting, request);
        if self.drive == Drive::Caller {
            self.turn_until_filled(&slot)?;
        }
        slot.wait()
    }

    /// Does what must be done before the outcome is known; on an error it is not known, and nothing was committed.
    fn turn_until_filled(&self, slot: &Arc<Slot>) -> Result<()> {
        while !slot.is_filled() {
            if self.turn_hurried() {
                continue;
            }
            let mut waiting = self.commit.waiting.lock();
            let before = waiting.requests.len();
            waiting.requests.retain(|request| !request.fills(slot));
            if waiting.requests.len() < before {
                return Err(Error::within_another_call());
            }
            // Somebody else has taken it, and will fill the slot.
            break;
        }
        Ok(())
    }

    /// `None` if there is nothing to commit.
    fn request(&self, log: LogBatch, batch: WriteBatch, durability: Durability) -> Result<Option<Request>> {
        self.check()?;
        let records = log.into_records()?;
        let parts = batch.into_parts()?;
        self.check_keyspaces(&parts.keyspaces, Recovery::Logged)?;
        Ok(
            (!records.is_empty() || !parts.entries.is_empty()).then_some(Request {
                records,
                entries: parts.entries,
                durability,
                done: Done::Leader,
                outcome: Ok(0),
            }),
        )
    }

    /// Refuses keyspaces that do not exist or are recovered in another way.
    pub(crate) fn check_keyspaces(&self, ids: &[KeyspaceId], recovery: Recovery) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let view = self.views.load();
        ids.iter().try_for_each(|&id| {
            let keyspace = view.version.live(id).ok_or(Error::NoSuchKeyspace { id })?;
            if keyspace.options.recovery == recovery {
                return Ok(());
            }
            let detail = match recovery {
                Recovery::Logged => format!("{id} is replayed by its owner; apply the batch to it"),
                Recovery::Replayed => format!("{id} is logged by the engine; commit the batch to it"),
            };
            Err(Error::Invalid {
                what: "keyspace",
                detail,
            })
        })
    }

    fn submit(&self, mut request: Request, may_lead: bool) {
        let mut waiting = self.commit.waiting.lock();
        if waiting.closed {
            drop(waiting);
            request.outcome = Err(Error::Closed);
            return request.finish();
        }
        if may_lead && self.may_lead(&waiting, &request) {
            waiting.writing = true;
            drop(waiting);
            self.lead(&mut request);
        } else {
            self.enqueue(waiting, request);
        }
    }

    /// Whether nobody writes, nothing waits and nothing holds `request` back.
    fn may_lead(&self, waiting: &Waiting, request: &Request) -> bool {
        let has_room = !request.has_entries()
            || (!self.commit.switch_due.load(Ordering::Acquire) && self.pressure() == Pressure::None);
        has_room
            && !waiting.writing
            && waiting.requests.is_empty()
            && !self.commit.rotate_due.load(Ordering::Acquire)
    }

    fn enqueue(&self, mut waiting: MutexGuard<'_, Waiting>, request: Request) {
        waiting.requests.push(request);
        let is_written = waiting.writing;
        drop(waiting);
        if !is_written {
            self.commit.wake.notify_one();
        }
    }

    /// Writes `request` on the caller's thread, and then some of what came meanwhile.
    fn lead(&self, request: &mut Request) {
        self.write_group(std::slice::from_mut(request));
        request.finish();
        for _ in 1..LEADER_ROUNDS {
            let mut waiting = self.commit.waiting.lock();
            let for_log_thread = self.commit.is_change_due()
                || waiting
                    .requests
                    .iter()
                    .any(|request| request.durability == Durability::Sync);
            if waiting.requests.is_empty() || for_log_thread {
                break;
            }
            let mut group = take_group(&mut waiting, false);
            drop(waiting);
            self.write_and_finish(&mut group);
        }
        self.end_writing();
    }

    /// Lets others write. The caller had set `writing`.
    pub(crate) fn end_writing(&self) {
        let mut waiting = self.commit.waiting.lock();
        waiting.writing = false;
        let more = !waiting.requests.is_empty() || waiting.closed || self.commit.is_change_due();
        drop(waiting);
        if more {
            self.commit.wake.notify_one();
        }
    }

    /// Writes a group and completes it. The caller has set `writing`.
    pub(crate) fn write_and_finish(&self, group: &mut [Request]) {
        self.write_group(group);
        group.iter_mut().for_each(Request::finish);
    }

    fn write_group(&self, group: &mut [Request]) {
        if let Err(error) = self.try_write_group(group) {
            self.poison(&error);
            for request in group.iter_mut().filter(|request| request.outcome.is_ok()) {
                request.outcome = Err(self.check().err().unwrap_or(Error::Closed));
            }
        }
    }

    /// Writes a group, makes it visible, and sets the outcome of each request.
    fn try_write_group(&self, group: &mut [Request]) -> Result<()> {
        self.check()?;
        let mut writer = self.commit.writer.lock();
        // Batches that are applied meanwhile wait; log batches alone hold nobody up.
        let has_entries = group.iter().any(Request::has_entries);
        let mut sequencer = has_entries.then(|| self.commit.lock_sequencer());
        let (mut sync, mut has_records) = (false, false);
        writer.begin();
        for request in group.iter_mut() {
            if !request.records.is_empty() {
                has_records = true;
                if let Err(refused) = writer.add_records(&request.records) {
                    request.outcome = Err(refused);
                    continue;
                }
            }
            sync |= request.durability == Durability::Sync;
            request.outcome = Ok(self.published());
            if let Some(sequencer) = sequencer.as_mut().filter(|_| request.has_entries()) {
                let sequence = sequencer.take()?;
                writer.add_own(sequence, &request.entries);
                request.outcome = Ok(sequence);
            }
        }
        let Some(place) = writer.write()? else {
            return Ok(());
        };
        if sync {
            writer.sync()?;
        } else {
            self.commit.note_unsynced(&*self.clock);
        }
        let written = || group.iter().filter(|request| request.outcome.is_ok());
        if has_records
            && self
                .log
                .apply(written().map(|request| &request.records[..]), place)
        {
            self.free_due.store(true, Ordering::Release);
            self.flush_signal.notify();
        }
        if let Some(sequencer) = sequencer {
            for request in written().filter(|request| request.has_entries()) {
                if let Ok(sequence) = request.outcome {
                    self.insert(sequence, &request.entries);
                    self.published.store(sequence, Ordering::Release);
                }
            }
            self.switch_if_full(&sequencer);
        }
        self.log.count_commits(group.len() as u64);
        self.look_at_segment(&writer);
        Ok(())
    }

    /// Asks for the next segment in time.
    fn look_at_segment(&self, writer: &LogWriter) {
        if writer.is_full() {
            self.commit.rotate_due.store(true, Ordering::Release);
        } else if writer.is_half_full() && !self.spare_wanted.swap(true, Ordering::AcqRel) {
            self.flush_signal.notify();
        }
    }

    /// Puts the entries of a batch into the memtable. They are of our own making, so that every one decodes. The caller
    /// holds the sequencer that gave the number.
    pub(crate) fn insert(&self, sequence: SequenceNumber, entries: &Bytes) {
        let entries = BatchEntries::new(entries);
        let view = self.views.load();
        view.active.insert(sequence, entries.map_while(Result::ok));
    }

    /// Begins a new memtable if the active one is full and one more may wait; else leaves that to the log thread.
    pub(crate) fn switch_if_full(&self, sequencer: &Sequencer) {
        let view = self.views.load();
        if view.active.bytes() < self.settings.memtable_bytes_max {
            return;
        }
        if view.waiting.len() < self.settings.memtables_waiting_max {
            drop(view);
            self.switch(sequencer);
        } else if !self.commit.switch_due.swap(true, Ordering::AcqRel) {
            self.commit.wake();
        }
    }

    /// Begins a new memtable. Nothing is inserted meanwhile: the caller holds the sequencer.
    pub(crate) fn switch(&self, _held: &Sequencer) {
        let segment = self.log.segment_number();
        self.applied.switch();
        self.update_view(|view| {
            let full = std::mem::replace(&mut view.active, Arc::new(Memtable::new(segment)));
            view.waiting.push(full);
        });
        self.flush_signal.notify();
    }

    /// Asks the log thread for a new memtable even if the old one is not full.
    pub(crate) fn request_switch(&self) {
        self.commit.switch_forced.store(true, Ordering::Release);
        self.commit.switch_due.store(true, Ordering::Release);
        self.commit.wake();
    }

    /// Asks the log thread for a new segment.
    pub(crate) fn request_rotation(&self) {
        self.commit.rotate_due.store(true, Ordering::Release);
        self.commit.wake();
    }

    /// Takes no further commits; the log thread ends when it has written what waits.
    pub(crate) fn close_commit_queue(&self) {
        self.commit.waiting.lock().closed = true;
        self.commit.wake();
    }
}

/// Takes the requests of one group; with `log_only` those before the first one that has entries.
pub(crate) fn take_group(waiting: &mut Waiting, log_only: bool) -> Vec<Request> {
    let mut bytes = 0;
    let fits = waiting.requests.iter().take_while(|request| {
        let room = bytes < GROUP_BYTES_MAX;
        bytes += request.records.len() + request.entries.len();
        room && !(log_only && request.has_entries())
    });
    let count = fits.count();
    if count == waiting.requests.len() {
        std::mem::take(&mut waiting.requests)
    } else {
        waiting.requests.drain(..count).collect()
    }
}
