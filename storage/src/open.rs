//! Opening a directory: manifest, sstables, log, in this order.
//!
//! Invariant: the state after opening is that of a prefix of all batches which contains every one acknowledged as
//! durable. A crash at any moment of the opening leaves a directory that opens to the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crate::applied::Applied;
use crate::cache::BlockCache;
use crate::commit::CommitQueue;
use crate::core::{Core, Given, Logging};
use crate::crypto::KeyRing;
use crate::drive::Drive;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::files::{CURRENT, FileName, KEYS, LOCK, TEMPORARY_EXTENSION};
use crate::flush::free_segments;
use crate::memtable::Memtable;
use crate::settings::Settings;
use crate::sstable::{Sstable, SstableContext, SstableMeta};
use crate::version::manifest::{Manifest, State};
use crate::version::{KeyspaceVersion, Version};
use crate::vfs::{LockGuard, Vfs};
use crate::view::View;
use crate::wal::log::Log;
use crate::wal::recovery::{Expected, OwnBatch, recover};
use crate::wal::segment::SegmentContext;
use crate::wal::writer::LogWriter;

/// So many threads open sstables.
const OPENERS: usize = 8;

/// Locks and opens `directory`, which is created if it does not exist.
pub(crate) fn open(
    environment: Environment,
    directory: &Path,
    settings: Settings,
    drive: Drive,
) -> Result<(Core, Box<dyn LockGuard>)> {
    settings.validate()?;
    let vfs = Arc::clone(&environment.disk);
    let (filter, clock) = (Arc::clone(&environment.filter), Arc::clone(&environment.clock));
    vfs.create_dir_all(directory)
        .map_err(Error::io("create", directory))?;
    let lock = lock(&*vfs, directory)?;
    let keys = Arc::new(key_ring(environment, directory)?);
    let state = read_state(&*vfs, &keys, directory)?;
    let context = SstableContext {
        vfs: Arc::clone(&vfs),
        keys: Arc::clone(&keys),
        directory: directory.to_path_buf(),
        cache: Arc::new(block_cache(&settings, drive)),
    };
    let version = open_version(&context, &state, drive)?;
    let segments = SegmentContext {
        vfs: Arc::clone(&vfs),
        keys: Arc::clone(&keys),
        directory: directory.to_path_buf(),
        segment_bytes: settings.log_segment_bytes,
    };
    let mut memtables = Memtables {
        active: Memtable::new(state.log_start),
        full: Vec::new(),
        bytes_max: settings.memtable_bytes_max,
    };
    let expected = Expected {
        log_start: state.log_start,
        last_sequence: state.last_sequence,
    };
    let recovered = recover(&segments, expected, drive, &mut |own| {
        memtables.insert(&state, &own)
    })?;

    // Only now is it sure that the manifest fits what is there.
    delete_unnamed(&*vfs, directory, &state)?;
    let applied = Applied::new(state.streams_flushed.clone(), memtables.full.len());
    let next_sequence = recovered.streams.own_next.max(state.last_sequence + 1);
    let manifest = replace_manifest(&vfs, &keys, directory, state)?;
    let log = Arc::new(Log::new(segments, recovered.segments, recovered.streams));
    let writer = LogWriter::create(Arc::clone(&log), recovered.next_segment, recovered.next_frame)?;
    let logging = Logging {
        commit: CommitQueue::new(writer, next_sequence),
        log,
        applied,
    };
    let view = View {
        active: Arc::new(memtables.active),
        waiting: memtables.full.into_iter().map(Arc::new).collect(),
        version: Arc::new(version),
    };
    let given = Given {
        settings,
        filter,
        clock,
        drive,
    };
    let core = Core::new(given, context, view, manifest, logging, next_sequence - 1);
    core.forget_unused_keys()?;
    free_segments(&core)?;
    Ok((core, lock))
}

fn block_cache(settings: &Settings, drive: Drive) -> BlockCache {
    let (cache_bytes, block_bytes) = (settings.block_cache_bytes, settings.block_bytes);
    match drive {
        Drive::Threads => BlockCache::new(cache_bytes, block_bytes),
        Drive::Caller => BlockCache::for_one_thread(cache_bytes, block_bytes),
    }
}

/// The key ring of the directory; a new one if nothing was written yet.
pub(crate) fn key_ring(environment: Environment, directory: &Path) -> Result<KeyRing> {
    let Environment {
        disk,
        random,
        master_keys,
        now_ms,
        ..
    } = environment;
    let names = disk.list(directory).map_err(Error::io("list", directory))?;
    if names.iter().any(|name| name == KEYS) {
        return KeyRing::open(disk, directory, random, master_keys);
    }
    // Before format version 2 there were no keys; what is there says its version itself.
    Manifest::check_version(&*disk, directory)?;
    if names.iter().any(|name| name == CURRENT) {
        let detail = format!("the file is missing, although {CURRENT} is there");
        return Err(Error::corruption(&directory.join(KEYS), 0, detail));
    }
    KeyRing::create(disk, directory, random, master_keys, now_ms)
}

/// What the manifest says, or an empty state for a new directory.
fn read_state(vfs: &dyn Vfs, keys: &KeyRing, directory: &Path) -> Result<State> {
    let mut state = Manifest::read(vfs, keys, directory)?.unwrap_or_default();
    // No snapshot outlives a process.
    state
        .keyspaces
        .retain(|_, keyspace| keyspace.dropped_at.is_none());
    Ok(state)
}

/// Begins a new manifest with `state` and removes those before it.
fn replace_manifest(
    vfs: &Arc<dyn Vfs>,
    keys: &Arc<KeyRing>,
    directory: &Path,
    state: State,
) -> Result<Manifest> {
    let old_manifests = manifests(&**vfs, directory)?;
    let manifest = Manifest::create(Arc::clone(vfs), Arc::clone(keys), directory, state)?;
    for number in old_manifests {
        let path = FileName::Manifest(number).in_directory(directory);
        vfs.remove(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(manifest)
}

pub(crate) fn lock(vfs: &dyn Vfs, directory: &Path) -> Result<Box<dyn LockGuard>> {
    let path = directory.join(LOCK);
    vfs.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path: path.clone() },
        _ => Error::io("lock", &path)(error),
    })
}

/// The memtables that recovery fills.
struct Memtables {
    active: Memtable,
    full: Vec<Memtable>,
    bytes_max: usize,
}

impl Memtables {
    fn insert(&mut self, state: &State, own: &OwnBatch<'_>) -> Result<()> {
        let mut entries = own.decode(state.next_keyspace)?;
        entries.retain(|entry| state.keyspaces.contains_key(&entry.keyspace));
        if self.active.bytes() >= self.bytes_max {
            let next = Memtable::new(own.segment);
            self.full.push(std::mem::replace(&mut self.active, next));
        }
        self.active.insert(own.sequence, entries.into_iter());
        Ok(())
    }
}

fn open_version(context: &SstableContext, state: &State, drive: Drive) -> Result<Version> {
    let mut version = Version::default();
    let metas = state
        .keyspaces
        .values()
        .flat_map(|keyspace| &keyspace.levels)
        .flat_map(BTreeMap::values);
    let mut sstables = open_sstables(context, &metas.collect::<Vec<_>>(), drive)?.into_iter();
    for (&id, keyspace) in &state.keyspaces {
        let mut opened = KeyspaceVersion::new(id, keyspace.name.clone(), keyspace.options);
        for (level, metas) in keyspace.levels.iter().enumerate() {
            for sstable in sstables.by_ref().take(metas.len()) {
                opened.add(level, sstable);
            }
        }
        version.keyspaces.insert(id, Arc::new(opened));
    }
    Ok(version)
}

/// Opens the sstables, in their order. Most of the time an open waits for the disk, so that several wait together, if
/// there may be threads.
fn open_sstables(
    context: &SstableContext,
    metas: &[&SstableMeta],
    drive: Drive,
) -> Result<Vec<Arc<Sstable>>> {
    let share = metas.len().div_ceil(OPENERS).max(1);
    let open = |metas: &[&SstableMeta]| -> Result<Vec<_>> {
        metas
            .iter()
            .map(|meta| Sstable::open_or_set_aside(context, meta))
            .collect()
    };
    if drive == Drive::Caller {
        return open(metas);
    }
    let opened: Vec<Result<Vec<_>>> = thread::scope(|scope| {
        let openers: Vec<_> = metas
            .chunks(share)
            .map(|share| scope.spawn(move || open(share)))
            .collect();
        let joined = openers.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let opened: Result<Vec<Vec<_>>> = opened.into_iter().collect();
    Ok(opened?.into_iter().flatten().collect())
}

fn manifests(vfs: &dyn Vfs, directory: &Path) -> Result<Vec<u64>> {
    let names = vfs.list(directory).map_err(Error::io("list", directory))?;
    Ok(names
        .iter()
        .filter_map(|name| match FileName::parse(name) {
            Some(FileName::Manifest(number)) => Some(number),
            _ => None,
        })
        .collect())
}

/// Deletes what a crash left behind: files under numbers that will be given out again, and unfinished ones.
fn delete_unnamed(vfs: &dyn Vfs, directory: &Path, state: &State) -> Result<()> {
    let named: BTreeSet<u64> = state.sstable_numbers().collect();
    for name in vfs.list(directory).map_err(Error::io("list", directory))? {
        let unnamed = match FileName::parse(&name) {
            Some(FileName::Sstable(number)) => !named.contains(&number),
            // The one in force has a lower number than the next.
            Some(FileName::Manifest(number)) => number >= state.next_file,
            Some(FileName::Log(number)) => number < state.log_start,
            None => {
                let extension = Path::new(&name).extension();
                extension.is_some_and(|extension| extension == TEMPORARY_EXTENSION)
            }
        };
        if unnamed {
            let path = directory.join(&name);
            vfs.remove(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}
