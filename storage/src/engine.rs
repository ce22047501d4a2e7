//! The engine as its owner sees it.
//!
//! Invariant: clones share one engine; its threads, if it has any, end when it is closed or when the last clone is
//! dropped. Snapshots and iterators may outlive it. Not here: how anything is done.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::background::{run_compaction_thread, run_flush_thread};
use crate::batch::WriteBatch;
use crate::commit::Durability;
use crate::core::{Core, Pressure};
use crate::drive::Drive;
use crate::entry::{KeyspaceId, SequenceNumber, Value};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::files::KEYS;
use crate::iter::range;
use crate::open;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::statistics::{self, EngineStatistics};
use crate::tools::{self, Checkpoint};
use crate::version::edit::Change;
use crate::version::{KeyspaceOptions, KeyspaceVersion};
use crate::vfs::{LockGuard, Vfs};
use crate::wal::batch::LogBatch;
use crate::wal::log::{LogEntry, LogStatistics, StreamInfo};
use crate::wal::record::StreamId;

/// The longest name of a keyspace, in bytes.
pub const KEYSPACE_NAME_BYTES_MAX: usize = 1024;

/// What a keyspace holds, roughly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStatistics {
    /// Bytes in sstables (as they lie on disk) and memtables.
    pub bytes_approximate: u64,
    /// Entries in sstables and memtables; an overwritten or removed key may count more than once.
    pub entries_approximate: u64,
}

/// An open engine. Clones share it; it is closed when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What a thread of the engine does.
type Work = fn(&Core);

/// Closes the engine when the last clone goes.
#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held by the threads as well: one of them may outlive this.
    lock: Mutex<Option<Arc<dyn LockGuard>>>,
}

impl Engine {
    /// Opens the engine of `directory`, creating it if there is none, and recovers from manifest and log.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for settings out of range, [`Error::Locked`] if another process has the directory open,
    /// [`Error::WrongMasterKey`] if its keys are wrapped by a key that was not given, [`Error::Corruption`] and
    /// [`Error::UnsupportedFormat`] for files that cannot be trusted or read, [`Error::Io`].
    pub fn open(environment: Environment, directory: &Path, settings: Settings) -> Result<Self> {
        let compaction_threads = settings.compaction_threads;
        let engine = Self::open_as(environment, directory, settings, Drive::Threads)?;
        let shared = &engine.shared;
        let mut works: Vec<(&str, Work)> = vec![
            ("storage-log", Core::run_log_thread),
            ("storage-flush", run_flush_thread),
        ];
        let compactions = std::iter::repeat_n(
            ("storage-compact", run_compaction_thread as Work),
            compaction_threads,
        );
        works.extend(compactions);
        for (name, work) in works {
            let (core, lock) = (Arc::clone(&shared.core), shared.lock.lock().clone());
            let run = move || {
                work(&core);
                drop(lock);
            };
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map_err(Error::io("start the threads for", directory))?;
            shared.threads.lock().push(thread);
        }
        Ok(engine)
    }

    /// Opens the engine of `directory` without threads: what they would do is done by [`Engine::turn`], on the thread that
    /// calls it, so that many engines run in one thread, and the same calls at the same times (by the environment's
    /// clock and with the same random bytes) do the same to the disk in the same order.
    ///
    /// A request that is to be synced waits for a turn, and its completion is called in it. Calls that return when
    /// something is done ([`Engine::write`], [`Engine::flush`], [`Engine::rotate_data_key`], [`Engine::close`] and their like)
    /// turn until it is; completions of other requests may be called meanwhile. They do not wait for time to pass: when
    /// nothing else is left to do, delays and the pace of compactions are passed over. [`Engine::apply`] flushes and compacts when there is no
    /// room, and calls no completion.
    ///
    /// For one thread. A call that would wait for another one that is under way, as one that a completion makes, gets
    /// [`Error::Invalid`]: a write is then not made, other things are done by a later turn.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::open`].
    pub fn open_driven(environment: Environment, directory: &Path, settings: Settings) -> Result<Self> {
        Self::open_as(environment, directory, settings, Drive::Caller)
    }

    fn open_as(environment: Environment, directory: &Path, settings: Settings, drive: Drive) -> Result<Self> {
        let (core, lock) = open::open(environment, directory, settings, drive)?;
        let shared = Shared {
            core: Arc::new(core),
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(Arc::from(lock))),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Does one piece of what the threads of an engine do, if it was [opened without](Engine::open_driven): writes a group of
    /// commits and calls their completions, syncs when the interval is over, begins a segment or a memtable, flushes,
    /// compacts, frees or prepares a segment, or purges dropped keyspaces. Never waits.
    ///
    /// `false` if there is nothing to do now, and always for an engine with threads. Later there may be: when something is
    /// committed, when a snapshot is dropped, or when time has passed.
    pub fn turn(&self) -> bool {
        let core = &self.shared.core;
        core.drive == Drive::Caller && core.turn()
    }

    /// Whether `directory` has a key ring: it was written to, and opens with the master key of then only.
    pub fn has_keys(disk: &dyn Vfs, directory: &Path) -> bool {
        disk.list(directory)
            .is_ok_and(|names| names.iter().any(|name| name == KEYS))
    }

    /// Writes and syncs what was committed, ends the threads and unlocks the directory. Later commits get
    /// [`Error::Closed`]; closing again is no error. Memtables are not flushed: the next start reads the log. Of an engine
    /// without threads, a completion can only begin this; the next close or the drop of the last clone ends it.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] if the engine had stopped before, or the last sync failed.
    pub fn close(&self) -> Result<()> {
        self.shared.close();
        self.shared.core.check()
    }

    /// Creates a keyspace; durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::KeyspaceExists`], [`Error::Invalid`] for an empty name or one longer than
    /// [`KEYSPACE_NAME_BYTES_MAX`], [`Error::Poisoned`].
    pub fn create_keyspace(&self, name: &str) -> Result<KeyspaceId> {
        self.create_keyspace_with(name, KeyspaceOptions::default())
    }

    /// Creates a keyspace with options that stay as they are; durable on return.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::create_keyspace`].
    pub fn create_keyspace_with(&self, name: &str, options: KeyspaceOptions) -> Result<KeyspaceId> {
        if name.is_empty() || name.len() > KEYSPACE_NAME_BYTES_MAX {
            let detail = format!(
                "has {} bytes, must have 1 to {KEYSPACE_NAME_BYTES_MAX}",
                name.len()
            );
            return Err(Error::Invalid {
                what: "name of a keyspace",
                detail,
            });
        }
        let core = self.core()?;
        let mut manifest = core.manifest.lock();
        if self.keyspace(name).is_some() {
            return Err(Error::KeyspaceExists {
                name: name.to_owned(),
            });
        }
        let id = KeyspaceId(manifest.state().next_keyspace);
        let keyspace = KeyspaceVersion::new(id, name.to_owned(), options);
        let changes = vec![keyspace.created(), Change::NextKeyspace(id.0 + 1)];
        manifest.commit(changes).inspect_err(|error| core.poison(error))?;
        core.update_view(|view| {
            let keyspaces = &mut Arc::make_mut(&mut view.version).keyspaces;
            keyspaces.insert(id, Arc::new(keyspace));
        });
        Ok(id)
    }

    /// Drops a keyspace with all it holds; durable on return. Snapshots that were taken before still see it; its files
    /// are deleted when none of them is left. Its identity is never given out again.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`], [`Error::Poisoned`].
    pub fn drop_keyspace(&self, id: KeyspaceId) -> Result<()> {
        let core = self.core()?;
        let mut manifest = core.manifest.lock();
        if core.views.load().version.live(id).is_none() {
            return Err(Error::NoSuchKeyspace { id });
        }
        let at = core.published() + 1;
        manifest
            .commit(vec![Change::KeyspaceDropped { id, at }])
            .inspect_err(|error| core.poison(error))?;
        core.update_view(|view| {
            if let Some(keyspace) = Arc::make_mut(&mut view.version).keyspaces.get_mut(&id) {
                Arc::make_mut(keyspace).dropped_at = Some(at);
            }
        });
        core.purge_waits.store(true, std::sync::atomic::Ordering::Release);
        core.flush_signal.notify();
        Ok(())
    }

    /// The keyspace of this name.
    pub fn keyspace(&self, name: &str) -> Option<KeyspaceId> {
        let view = self.shared.core.views.load();
        view.version
            .all_live()
            .find(|keyspace| keyspace.name == name)
            .map(|keyspace| keyspace.id)
    }

    /// All keyspaces with their names, in the order in which they were created.
    pub fn keyspaces(&self) -> Vec<(KeyspaceId, String)> {
        let view = self.shared.core.views.load();
        view.version
            .all_live()
            .map(|keyspace| (keyspace.id, keyspace.name.clone()))
            .collect()
    }

    /// What a keyspace holds, roughly.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`].
    pub fn keyspace_statistics(&self, id: KeyspaceId) -> Result<KeyspaceStatistics> {
        let view = self.shared.core.views.load();
        let keyspace = view.version.live(id).ok_or(Error::NoSuchKeyspace { id })?;
        let mut statistics = KeyspaceStatistics::default();
        for sstable in keyspace.sstables() {
            statistics.bytes_approximate += sstable.meta.bytes;
            statistics.entries_approximate += sstable.meta.entries;
        }
        for memtable in view.waiting.iter().chain([&view.active]) {
            let usage = memtable.usage(id);
            statistics.bytes_approximate += usage.bytes;
            statistics.entries_approximate += usage.entries;
        }
        Ok(statistics)
    }

    /// Commits a batch. `done` is called exactly once, with the batch's sequence number when it is visible and as
    /// durable as asked, or with the reason why it is not; on this thread or on one of the engine, which must not be
    /// blocked. A batch without entries is done at once.
    ///
    /// `done` gets [`Error::NoSuchKeyspace`], [`Error::Invalid`] for a key or value that is too large,
    /// [`Error::Closed`], or [`Error::Poisoned`] after a failed write or sync; then nothing is acknowledged any more.
    pub fn commit(
        &self,
        batch: WriteBatch,
        durability: Durability,
        done: impl FnOnce(Result<SequenceNumber>) + Send + 'static,
    ) {
        let core = &self.shared.core;
        core.commit(LogBatch::new(), batch, durability, Box::new(done));
    }

    /// Commits a batch and waits until it is done.
    ///
    /// # Errors
    ///
    /// Those that [`Engine::commit`] hands to `done`.
    pub fn write(&self, batch: WriteBatch, durability: Durability) -> Result<SequenceNumber> {
        self.shared
            .core
            .commit_and_wait(LogBatch::new(), batch, durability)
    }

    /// Appends to streams of the owner, in the same queue, write and sync as what is committed. `done` is called exactly
    /// once, when the batch is as durable as asked, or with the reason why it is not; on this thread or on one of the
    /// engine, which must not be blocked.
    ///
    /// `done` gets [`Error::Invalid`] for a batch that does not fit its streams, of which nothing is appended then,
    /// [`Error::Closed`], or [`Error::Poisoned`].
    pub fn append(
        &self,
        log: LogBatch,
        durability: Durability,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        let done = move |result: Result<SequenceNumber>| done(result.map(drop));
        let core = &self.shared.core;
        core.commit(log, WriteBatch::with_capacity(0), durability, Box::new(done));
    }

    /// Appends to streams of the owner and commits a batch in one step: both are there after a crash, or neither.
    ///
    /// # Errors
    ///
    /// Those that [`Engine::append`] and [`Engine::commit`] hand to `done`.
    pub fn append_and_write(
        &self,
        log: LogBatch,
        batch: WriteBatch,
        durability: Durability,
    ) -> Result<SequenceNumber> {
        self.shared.core.commit_and_wait(log, batch, durability)
    }

    /// Puts a batch for keyspaces that are [replayed](crate::Recovery::Replayed) into memory without logging it: the
    /// owner has it at `index` of `stream`, and applies it again after a start unless [`Engine::flushed_index`] says that
    /// it is on disk. Indices of a stream rise from call to call; what lies between two of them is in the batch of the later
    /// one, or does nothing. If `stream` is one of the log, its entries up to `index` are written before the call, as the
    /// completion of their append says, durable or not: a flush makes them durable before it makes known what is flushed.
    ///
    /// Waits as back-pressure demands.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for an index that is not after the last one, a keyspace that is logged, or a key or value that is too
    /// large; [`Error::NoSuchKeyspace`], [`Error::Closed`], [`Error::Poisoned`]. Then nothing of the batch is applied.
    pub fn apply(&self, batch: WriteBatch, stream: StreamId, index: u64) -> Result<SequenceNumber> {
        self.shared.core.apply(batch, stream, index)
    }

    /// The same, but never waits for room, and for nothing else that another thread does if it is called by a completion or in a
    /// turn of an engine without threads; memory takes more than it should then. Whoever feeds it asks [`Engine::pressure`]
    /// before. On other threads it may wait while a batch for logged keyspaces is written and synced.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::apply`].
    pub fn apply_now(&self, batch: WriteBatch, stream: StreamId, index: u64) -> Result<SequenceNumber> {
        self.shared.core.apply_now(batch, stream, index)
    }

    /// How hard an owner that [applies without waiting](Engine::apply_now) should hold back what leads to it.
    /// [`Pressure::Stop`] as well while the memtable is full and as many wait as may. A cheap look without a lock, for
    /// every write; the engine flushes and compacts by itself meanwhile, or in its turns.
    pub fn pressure(&self) -> Pressure {
        self.shared.core.pressure_on_memtables()
    }

    /// Up to which index everything that was applied of `stream` is in sstables, in every keyspace; 0 if nothing is.
    pub fn flushed_index(&self, stream: StreamId) -> u64 {
        self.shared.core.applied.flushed_index(stream)
    }

    /// Why the engine has stopped, once a write or a sync has failed, in the background too. A cheap look without a lock.
    pub fn failure(&self) -> Option<&str> {
        self.shared.core.failure()
    }

    /// Forgets how far a stream was applied, so that another one can take its number; durable on return.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`].
    pub fn forget_applied(&self, stream: StreamId) -> Result<()> {
        let core = self.core()?;
        let mut manifest = core.manifest.lock();
        manifest
            .commit(vec![Change::StreamForgotten(stream)])
            .inspect_err(|error| core.poison(error))?;
        core.applied.forget(stream);
        Ok(())
    }

    /// Up to which sequence number everything that a keyspace holds is in sstables.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`].
    pub fn keyspace_flushed_sequence(&self, id: KeyspaceId) -> Result<SequenceNumber> {
        let core = &self.shared.core;
        // Read first: what is published afterwards may go into a memtable that is looked at below.
        let published = core.published();
        let view = core.views.load();
        view.version.live(id).ok_or(Error::NoSuchKeyspace { id })?;
        let mut memtables = view.waiting.iter().chain([&view.active]);
        let in_memory = memtables.any(|memtable| memtable.usage(id).entries > 0);
        let flushed = core.flushed.load(std::sync::atomic::Ordering::Acquire);
        Ok(if in_memory {
            flushed
        } else {
            published.max(flushed)
        })
    }

    /// What the log has of a stream; `None` if it knows no such stream.
    pub fn stream(&self, stream: StreamId) -> Option<StreamInfo> {
        self.shared.core.log.stream(stream)
    }

    /// All streams of the owner, in the order of their numbers.
    pub fn streams(&self) -> Vec<(StreamId, StreamInfo)> {
        self.shared.core.log.streams()
    }

    /// The entries of a stream from the beginning of `range` on, as many as fit `bytes_max` (at least one, if there is
    /// one), up to the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a stream that does not exist or a range that begins before its head,
    /// [`Error::Corruption`], [`Error::Io`], [`Error::Poisoned`].
    pub fn read_stream(
        &self,
        stream: StreamId,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>> {
        self.core()?.log.read(stream, range, bytes_max)
    }

    /// Whether a stream of the owner has an entry in a segment so old that half of as many have begun since as may be kept
    /// ([`Settings::log_segments_max`]): the owner should cut its head, and append anew what it still needs of it. By then
    /// what was applied of the stream is flushed, or about to be. A cheap look.
    pub fn holds_log(&self, stream: StreamId) -> bool {
        self.shared.core.holds_log(stream)
    }

    /// The size of the segments of the log that have begun since the one with a stream's oldest entry, in bytes: what the
    /// stream keeps, together with what else lies there. A cheap look.
    pub fn log_bytes_since(&self, stream: StreamId) -> u64 {
        self.shared.core.log_bytes_since(stream)
    }

    /// How many frames were written to the log since the engine was opened: as long as it stays, nobody has logged anything. A
    /// cheap look.
    pub fn log_frames(&self) -> u64 {
        self.shared.core.log.frames()
    }

    /// What the log holds and has done since the engine was opened.
    pub fn log_statistics(&self) -> LogStatistics {
        let core = &self.shared.core;
        core.log
            .statistics(core.flushed.load(std::sync::atomic::Ordering::Acquire))
    }

    /// Makes a second directory with the same contents, of hard links, that opens like any other: everything that was
    /// published before the call is in it. Streams of the owner are not. Writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `target` is not empty, [`Error::Io`], [`Error::Poisoned`], [`Error::Closed`].
    pub fn checkpoint(&self, target: &Path) -> Result<Checkpoint> {
        self.flush()?;
        tools::checkpoint(self.core()?, target)
    }

    /// The value of `key` after the last batch that was published.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`], [`Error::Io`], [`Error::Corruption`], [`Error::Poisoned`].
    pub fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        let core = self.core()?;
        // The view first: it is complete up to any sequence number that was published before, and no version that a
        // later one needs was dropped from it.
        let view = core.views.load();
        let sequence = core.published();
        let keyspace = view
            .version
            .live(keyspace)
            .ok_or(Error::NoSuchKeyspace { id: keyspace })?;
        core.noting(range::get(&view, keyspace, key, sequence))
    }

    /// How the engine stands, and what it has done since it was opened.
    pub fn statistics(&self) -> EngineStatistics {
        statistics::collect(&self.shared.core)
    }

    /// A consistent state of all keyspaces, after the last batch that was published.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.shared.core))
    }

    /// The sequence number of the last batch that was published.
    pub fn published_sequence(&self) -> SequenceNumber {
        self.shared.core.published()
    }

    /// Moves everything that was published before the call into sstables, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`], [`Error::Closed`].
    pub fn flush(&self) -> Result<()> {
        let core = self.core()?;
        let target = core.published();
        let flushes = core.applied.flushes_wanted();
        let is_flushed = || {
            core.flushed.load(std::sync::atomic::Ordering::Acquire) >= target
                && core.applied.flushes() >= flushes
        };
        if is_flushed() {
            return Ok(());
        }
        core.request_switch();
        core.wait_until(is_flushed)
    }

    /// Has everything moved into sstables that was published before the call, and does not wait for it: whoever has
    /// [applied](Engine::apply) something looks at [`Engine::flushed_index`].
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`], [`Error::Closed`].
    pub fn begin_flush(&self) -> Result<()> {
        self.core()?.request_switch();
        Ok(())
    }

    /// The core, to be kept.
    pub(crate) fn core_arc(&self) -> &Arc<Core> {
        &self.shared.core
    }

    /// The core, whatever state it is in.
    pub(crate) fn shared_core(&self) -> &Core {
        &self.shared.core
    }

    pub(crate) fn core(&self) -> Result<&Core> {
        let core = &self.shared.core;
        core.check().map(|()| &**core)
    }
}

impl Shared {
    fn close(&self) {
        // The log thread ends when what was committed is written and synced; nothing holds it back any more.
        self.core.close_commit_queue();
        self.core.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(join);
        if self.core.drive == Drive::Threads || self.core.turn_to_end() {
            self.lock.lock().take();
        }
    }
}

/// Waits for a thread, except when called on it: the last clone may be dropped by a completion.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the engine has panicked");
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}
