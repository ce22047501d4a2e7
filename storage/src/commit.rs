//! The commit path: one queue, one writer at a time, one write and at most one sync for all that waits.
//!
//! Invariant: batches become visible and are acknowledged in the order of their sequence numbers, after they were
//! written, and, if they ask for it, synced. Whoever finds the queue idle with a write that needs no sync writes it
//! itself (no thread is woken); everything else is for the log thread, which also changes segments and memtables,
//! syncs at intervals, and waits while writes must be held back. Completions run with no lock held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::batch::{BatchEntries, WriteBatch};
use crate::clock::Stopwatch;
use crate::core::{Core, IDLE_WAIT, Pressure};
use crate::entry::{SEQUENCE_MAX, SequenceNumber};
use crate::error::{Error, Result};
use crate::memtable::Memtable;
use crate::wal::record::{FRAME_BYTES, PayloadChecksum, seal};
use crate::wal::segment::LogWriter;

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

type Done = Box<dyn FnOnce(Result<SequenceNumber>) + Send>;

struct Request {
    record: BytesMut,
    checksum: PayloadChecksum,
    durability: Durability,
    done: Done,
}

#[derive(Default)]
struct Waiting {
    requests: Vec<Request>,
    /// Somebody writes.
    writing: bool,
    closed: bool,
}

struct Writer {
    log: LogWriter,
    next_sequence: SequenceNumber,
}

/// The queue and the log behind it.
pub(crate) struct CommitQueue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Only ever locked by whoever set `writing`, and shortly for a look at the position.
    writer: Mutex<Writer>,
    /// The memtable or the segment is full; the log thread sees to it before the next group.
    switch_due: AtomicBool,
    /// The memtable is to be changed even if it is not full.
    switch_forced: AtomicBool,
    /// There may be something that was written but not synced.
    unsynced: AtomicBool,
}

impl std::fmt::Debug for CommitQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitQueue").finish_non_exhaustive()
    }
}

impl CommitQueue {
    pub(crate) fn new(log: LogWriter, next_sequence: SequenceNumber) -> Self {
        Self {
            waiting: Mutex::new(Waiting::default()),
            wake: Condvar::new(),
            writer: Mutex::new(Writer { log, next_sequence }),
            switch_due: AtomicBool::new(false),
            switch_forced: AtomicBool::new(false),
            unsynced: AtomicBool::new(false),
        }
    }

    /// Lets the log thread look again.
    pub(crate) fn wake(&self) {
        self.wake.notify_all();
    }
}

impl Core {
    /// Commits a batch; `done` is called exactly once.
    pub(crate) fn commit(&self, batch: WriteBatch, durability: Durability, done: Done) {
        let (record, entries, keyspaces) = match self.check().and_then(|()| batch.into_parts()) {
            Ok(parts) => parts,
            Err(error) => return done(Err(error)),
        };
        if entries == 0 {
            return done(Ok(self.published()));
        }
        let version = Arc::clone(&self.views.load().version);
        if let Some(id) = keyspaces.into_iter().find(|id| version.live(*id).is_none()) {
            return done(Err(Error::NoSuchKeyspace { id }));
        }
        let checksum = PayloadChecksum::new(&record);
        let request = Request {
            record,
            checksum,
            durability,
            done,
        };

        let mut waiting = self.commit.waiting.lock();
        if waiting.closed {
            drop(waiting);
            return (request.done)(Err(Error::Closed));
        }
        if waiting.writing {
            waiting.requests.push(request);
            return;
        }
        let leads = durability == Durability::Interval
            && waiting.requests.is_empty()
            && !self.commit.switch_due.load(Ordering::Acquire)
            && self.pressure() == Pressure::None;
        if leads {
            waiting.writing = true;
            drop(waiting);
            self.lead(request);
        } else {
            waiting.requests.push(request);
            drop(waiting);
            self.commit.wake.notify_one();
        }
    }

    /// Writes `request` on the caller's thread, and then some of what came meanwhile.
    fn lead(&self, request: Request) {
        self.write_group(vec![request]);
        for _ in 1..LEADER_ROUNDS {
            let mut waiting = self.commit.waiting.lock();
            let for_log_thread = self.commit.switch_due.load(Ordering::Acquire)
                || waiting
                    .requests
                    .iter()
                    .any(|request| request.durability == Durability::Sync);
            if waiting.requests.is_empty() || for_log_thread {
                break;
            }
            let group = take_group(&mut waiting);
            drop(waiting);
            self.write_group(group);
        }
        self.end_writing();
    }

    fn end_writing(&self) {
        let mut waiting = self.commit.waiting.lock();
        waiting.writing = false;
        let more = !waiting.requests.is_empty() || self.commit.switch_due.load(Ordering::Acquire);
        drop(waiting);
        if more {
            self.commit.wake.notify_one();
        }
    }

    /// Writes a group and completes it. The caller has set `writing`.
    fn write_group(&self, group: Vec<Request>) {
        let mut dones = Vec::with_capacity(group.len());
        match self.try_write_group(group, &mut dones) {
            Ok(first) => {
                for (sequence, done) in (first..).zip(dones) {
                    done(Ok(sequence));
                }
            }
            Err(error) => {
                self.poison(&error);
                for done in dones {
                    done(Err(self.check().err().unwrap_or(Error::Closed)));
                }
            }
        }
    }

    /// Gives the sequence number of the first request of the group.
    fn try_write_group(&self, group: Vec<Request>, dones: &mut Vec<Done>) -> Result<SequenceNumber> {
        let mut writer = self.commit.writer.lock();
        let first = writer.next_sequence;
        let mut sequence = first;
        let mut sync = false;
        let mut records = Vec::with_capacity(group.len());
        let (durable, segment) = (writer.log.durable(), writer.log.segment_number());
        for Request {
            mut record,
            checksum,
            durability,
            done,
        } in group
        {
            dones.push(done);
            sync |= durability == Durability::Sync;
            seal(&mut record, checksum, sequence, durable, segment);
            records.push(record.freeze());
            sequence += 1;
        }
        self.check()?;
        if sequence > SEQUENCE_MAX {
            return Err(Error::Invalid {
                what: "sequence number",
                detail: "is used up".to_owned(),
            });
        }
        writer.log.append(&records)?;
        if sync {
            writer.log.sync()?;
        } else {
            self.commit.unsynced.store(true, Ordering::Release);
        }
        writer.next_sequence = sequence;
        let view = self.views.load();
        insert(&view.active, first, &records);
        self.published.store(sequence - 1, Ordering::Release);
        if view.active.bytes() >= self.settings.memtable_bytes_max || writer.log.is_full() {
            self.commit.switch_due.store(true, Ordering::Release);
        } else if writer.log.is_half_full() && !self.spare_wanted.swap(true, Ordering::AcqRel) {
            self.flush_signal.notify();
        }
        Ok(first)
    }

    /// What the log thread does until the engine is closed.
    pub(crate) fn run_log_thread(&self) {
        let clock = Stopwatch::start();
        let interval = Duration::from_millis(self.settings.sync_interval_ms);
        let mut synced_at = Duration::ZERO;
        loop {
            let mut waiting = self.commit.waiting.lock();
            let mut until_sync = None;
            if self.commit.unsynced.load(Ordering::Acquire) && self.check().is_ok() {
                until_sync = Some((synced_at + interval).saturating_sub(clock.elapsed()));
            } else {
                // The interval begins with the first write that is not synced.
                synced_at = clock.elapsed();
            }
            if until_sync == Some(Duration::ZERO) {
                drop(waiting);
                self.sync_log();
                synced_at = clock.elapsed();
                continue;
            }
            let switch_due = self.commit.switch_due.load(Ordering::Acquire) && self.check().is_ok();
            let has_work = !waiting.requests.is_empty() || switch_due;
            if waiting.writing || !has_work {
                if waiting.closed && !waiting.writing {
                    drop(waiting);
                    return self.sync_log();
                }
                let timeout = until_sync.unwrap_or(interval).min(IDLE_WAIT);
                self.commit.wake.wait_for(&mut waiting, timeout);
                continue;
            }
            if !self.hold_back(&mut waiting) {
                continue;
            }
            waiting.writing = true;
            let group = take_group(&mut waiting);
            drop(waiting);
            if let Err(error) = self.switch_if_due() {
                self.poison(&error);
            }
            if !group.is_empty() {
                self.write_group(group);
            }
            self.end_writing();
        }
    }

    /// Waits as back-pressure demands; `false` if everything must be looked at anew.
    fn hold_back(&self, waiting: &mut MutexGuard<'_, Waiting>) -> bool {
        if self.is_stopping() || self.check().is_err() {
            return true;
        }
        let full = self.commit.switch_due.load(Ordering::Acquire)
            && self.views.load().waiting.len() >= self.settings.memtables_waiting_max;
        match self.pressure() {
            Pressure::Stop => {
                self.compaction_signal.notify();
                self.commit.wake.wait_for(waiting, IDLE_WAIT);
                false
            }
            _ if full => {
                self.flush_signal.notify();
                self.commit.wake.wait_for(waiting, IDLE_WAIT);
                false
            }
            Pressure::None => true,
            Pressure::Delay(delay) => {
                let clock = Stopwatch::start();
                while clock.elapsed() < delay && self.pressure() != Pressure::None && !self.is_stopping() {
                    self.commit
                        .wake
                        .wait_for(waiting, delay.saturating_sub(clock.elapsed()));
                }
                // While it waited a caller may have begun to write.
                !waiting.writing
            }
        }
    }

    /// Makes what was written at intervals durable, beside the writer.
    fn sync_log(&self) {
        if self.check().is_err() {
            return;
        }
        self.commit.unsynced.store(false, Ordering::Release);
        let (segment, offset) = self.commit.writer.lock().log.position();
        if let Err(error) = segment.sync_to(offset) {
            self.poison(&error);
        }
    }

    /// Begins a new segment, and a new memtable if the old one is full. The caller has set `writing`.
    fn switch_if_due(&self) -> Result<()> {
        if !self.commit.switch_due.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check()?;
        let mut writer = self.commit.writer.lock();
        let next_sequence = writer.next_sequence;
        if !writer.log.is_empty() {
            writer.log.rotate(next_sequence)?;
        }
        let segment = writer.log.segment_number();
        drop(writer);
        let active = Arc::clone(&self.views.load().active);
        let forced = self.commit.switch_forced.swap(false, Ordering::AcqRel) && !active.is_empty();
        if forced || active.bytes() >= self.settings.memtable_bytes_max {
            self.update_view(|view| {
                let full = std::mem::replace(&mut view.active, Arc::new(Memtable::new(segment)));
                view.waiting.push(full);
            });
            self.flush_signal.notify();
        }
        self.commit.switch_due.store(false, Ordering::Release);
        Ok(())
    }

    /// Asks the log thread for a new memtable even if the old one is not full.
    pub(crate) fn request_switch(&self) {
        self.commit.switch_forced.store(true, Ordering::Release);
        self.commit.switch_due.store(true, Ordering::Release);
        self.commit.wake();
    }

    /// Takes no further commits; the log thread ends when it has written what waits.
    pub(crate) fn close_commit_queue(&self) {
        self.commit.waiting.lock().closed = true;
        self.commit.wake();
    }
}

fn take_group(waiting: &mut Waiting) -> Vec<Request> {
    let mut bytes = 0;
    let fits = waiting.requests.iter().take_while(|request| {
        let room = bytes < GROUP_BYTES_MAX;
        bytes += request.record.len();
        room
    });
    let count = fits.count();
    if count == waiting.requests.len() {
        std::mem::take(&mut waiting.requests)
    } else {
        waiting.requests.drain(..count).collect()
    }
}

/// Puts written records into the memtable. They are of our own making, so that every entry decodes.
fn insert(memtable: &Memtable, first: SequenceNumber, records: &[Bytes]) {
    for (sequence, record) in (first..).zip(records) {
        let entries = BatchEntries::new(record.slice(FRAME_BYTES..));
        memtable.insert(sequence, entries.map_while(Result::ok));
    }
}
