//! Rotation of keys: new ones for what is written from now on, the files of old ones written anew, and old ones forgotten.
//!
//! Invariant: a data key stays in the key ring as long as a file on disk needs it. Whoever writes sstables holds
//! [`Core::writing`] from the choice of their key until a version names them; keys are only forgotten while nobody does, and
//! while manifest and log have gone over to the current key. Not here: the key ring (`crypto/keyring.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::core::Core;
use crate::crypto::{DataKeyId, KeyRing, MasterKeyId, MasterKeys};
use crate::engine::Engine;
use crate::error::Result;
use crate::vfs::Vfs;
use crate::wal::record::StreamId;

/// A data key and the files that need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataKeyStatus {
    /// Its number.
    pub id: DataKeyId,
    /// When it was made, in milliseconds since the Unix epoch, by the owner's clock.
    pub created_ms: u64,
    /// Whether what is written now is encrypted under it.
    pub is_current: bool,
    /// Sstables that need it.
    pub sstables: u64,
    /// Their bytes.
    pub sstable_bytes: u64,
    /// Segments of the log that need it.
    pub log_segments: u64,
    /// Whether the manifest needs it.
    pub manifest: bool,
}

/// The keys of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The master key that wraps the data keys.
    pub master_key: MasterKeyId,
    /// The data keys, ascending; the last one is current.
    pub data_keys: Vec<DataKeyStatus>,
    /// Whether files of old data keys are being written anew.
    pub is_rewriting: bool,
}

impl Engine {
    /// Makes a new data key, under which everything is encrypted that is written from now on, the log and the manifest
    /// included; what is there already is encrypted anew by and by, when it is compacted, or after [`Engine::rewrite_old_files`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the key cannot be made durable, [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn rotate_data_key(&self, now_ms: u64) -> Result<DataKeyId> {
        let core = self.core()?;
        let key = core.context.keys.add_key(now_ms)?;
        let mut manifest = core.manifest.lock();
        manifest.renew().inspect_err(|error| core.poison(error))?;
        drop(manifest);
        core.request_rotation();
        // A later one is as good.
        core.wait_until(|| core.log.data_keys().last() >= Some(&key))?;
        core.look_for_unused_keys();
        Ok(key)
    }

    /// Wraps the data keys with another master key; durable on return. No file of data is touched. After an error either of the
    /// two may be the one that opens the directory: keep both.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io), [`Error::Poisoned`](crate::Error::Poisoned).
    pub fn rotate_master_key(&self, master_keys: MasterKeys) -> Result<()> {
        self.core()?.context.keys.rewrap(master_keys)
    }

    /// Writes all sstables anew that old data keys are needed for, when no other compaction is due, and lets the log go that is
    /// encrypted under them. Old keys are forgotten as soon as no file needs them. Does not wait, and is not remembered by the
    /// directory: after a start it is to be asked for again.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`](crate::Error::Poisoned).
    pub fn rewrite_old_files(&self) -> Result<()> {
        let core = self.core()?;
        core.rewriting.store(true, Ordering::Release);
        core.free_due.store(true, Ordering::Release);
        // The log before the memtable is needed until that is flushed.
        core.request_switch();
        core.compaction_signal.notify();
        core.look_for_unused_keys();
        Ok(())
    }

    /// Has the memtable flushed when what was applied of a stream lies there and the stream's log is to be written anew
    /// because of its key. That was asked for when the rewriting began; what was logged before and applied later needs it
    /// once more. For owners whose stream [is held](Engine::holds_log) by nothing else than that. Does not wait.
    pub fn flush_behind_rotation(&self, stream: StreamId) {
        let core = self.shared_core();
        // With a flush under way the owner looks again; another memtable would hold writes up.
        let is_flushing = !core.views.load().waiting.is_empty();
        if core.holds_old_key(stream) && core.applied.is_active(stream) && !is_flushing {
            core.request_switch();
        }
    }

    /// The keys, and the files that need them.
    pub fn key_status(&self) -> KeyStatus {
        self.shared_core().key_status()
    }

    /// The master keys that the data keys of `directory` are wrapped by; none if nothing was written yet. A directory that is
    /// not there has none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io), [`Error::Corruption`](crate::Error::Corruption).
    pub fn wanted_master_keys(disk: &dyn Vfs, directory: &Path) -> Result<Vec<MasterKeyId>> {
        KeyRing::wanted(disk, directory)
    }
}

impl Core {
    /// Lets the next turn of the flush thread see whether keys can be forgotten.
    pub(crate) fn look_for_unused_keys(&self) {
        self.forget_due.store(true, Ordering::Release);
        self.flush_signal.notify();
    }

    /// Whether the log of a stream is to be written anew because of its key.
    pub(crate) fn holds_old_key(&self, stream: StreamId) -> bool {
        let begins_under = || self.log.first_data_key(stream);
        self.rewriting.load(Ordering::Acquire)
            && begins_under().is_some_and(|key| key != self.context.keys.current().0)
    }

    /// Whether an sstable is to be written anew because of its key.
    pub(crate) fn is_to_be_rewritten(&self, key: DataKeyId) -> bool {
        self.rewriting.load(Ordering::Acquire) && key != self.context.keys.current().0
    }

    /// Forgets the data keys that no file needs, if that can be said at the moment.
    pub(crate) fn forget_unused_keys(&self) -> Result<()> {
        let keys = &self.context.keys;
        if keys.list().len() == 1 {
            self.rewriting.store(false, Ordering::Release);
            return Ok(());
        }
        let writing = self.writing.try_write();
        let manifest = self.manifest.lock();
        let (current, _) = keys.current();
        let log = self.log.data_keys();
        // A segment may be about to begin under the key before.
        if writing.is_none() || log.last() != Some(&current) {
            self.forget_due.store(true, Ordering::Release);
            return Ok(());
        }
        let view = self.views.load();
        let sstables = view.version.keyspaces.values();
        let mut used: BTreeSet<DataKeyId> = sstables
            .flat_map(|keyspace| keyspace.sstables())
            .filter_map(|sstable| sstable.data_key())
            .collect();
        used.extend(log);
        used.insert(manifest.data_key());
        if used.iter().all(|key| *key == current) {
            self.rewriting.store(false, Ordering::Release);
        }
        keys.retain(&used)
    }

    fn key_status(&self) -> KeyStatus {
        let keys = &self.context.keys;
        let manifest = self.manifest.lock().data_key();
        let mut sstables = BTreeMap::<DataKeyId, (u64, u64)>::new();
        let view = self.views.load();
        for sstable in view
            .version
            .keyspaces
            .values()
            .flat_map(|keyspace| keyspace.sstables())
        {
            let Some(key) = sstable.data_key() else { continue };
            let (count, bytes) = sstables.entry(key).or_default();
            *count += 1;
            *bytes += sstable.meta.bytes;
        }
        let log = self.log.data_keys();
        let (current, _) = keys.current();
        let data_keys = keys.list().into_iter().map(|(id, created_ms)| {
            let (count, bytes) = sstables.get(&id).copied().unwrap_or_default();
            DataKeyStatus {
                id,
                created_ms,
                is_current: id == current,
                sstables: count,
                sstable_bytes: bytes,
                log_segments: log.iter().filter(|key| **key == id).count() as u64,
                manifest: manifest == id,
            }
        });
        KeyStatus {
            master_key: keys.master(),
            data_keys: data_keys.collect(),
            is_rewriting: self.rewriting.load(Ordering::Acquire),
        }
    }
}
