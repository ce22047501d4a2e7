//! An archive: backups below one place, under one key.
//!
//! Whoever makes a backup says so by an **intent**, an object with the time in it, and then looks whether somebody sweeps;
//! whoever removes chunks that no manifest names says so, and then looks whether there are intents. So of two who begin at
//! once at least one sees the other and leaves it for later. What is old belongs to somebody who is gone, and does not count.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ring::aead::NONCE_LEN;
use zeroize::Zeroizing;

use crate::backup::{Backup, print_of};
use crate::chunk::CHUNKS;
use crate::error::Error;
use crate::key::{ArchiveKey, KEY_BYTES, KEY_RING, WrappingKey};
use crate::manifest::{BACKUPS, Manifest, Verified, object};
use crate::merge::{Cells, Merge};
use crate::run::Run;
use crate::seal::Kind;
use crate::store::Store;

/// The folder of all intents.
const INTENTS: &str = "intents";

/// Says when somebody who removes chunks was last seen.
const SWEEPING: &str = "sweeping";

/// Whoever removes chunks and was not seen for so many milliseconds is gone.
const SWEEPER_AGE_MS: u64 = 3 * 60 * 1000;

/// Whoever removes chunks says so again after so many, and goes no further when that has become twice as many.
const SWEEPER_SEEN_MS: u64 = 30 * 1000;

/// What somebody has left half written so many milliseconds ago is removed.
const PARTIAL_AGE_MS: u64 = 24 * 60 * 60 * 1000;

/// An intent whose time is so long ago, in milliseconds, belongs to somebody who is gone.
pub const INTENT_AGE_MS: u64 = 15 * 60 * 1000;

/// What became of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// So many chunks that nobody needs were removed.
    Removed(u64),
    /// Backups are being made; it is to be done later.
    Later,
}

/// See the head of the file. Clones share it.
#[derive(Clone, Debug)]
pub struct Archive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    key: ArchiveKey,
    /// What it was opened with.
    keys: Vec<WrappingKey>,
}

impl Archive {
    /// Opens an archive, or makes it. `keys` are the master keys, the one to be used from now on first. `random` has to fill
    /// a buffer with what nobody can guess.
    ///
    /// # Errors
    /// [`Error::OtherMasterKey`]; when the place cannot be read or written.
    pub fn open(
        store: Arc<dyn Store>,
        keys: &[WrappingKey],
        random: impl Fn(&mut [u8]) -> std::io::Result<()>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Store {
            name: KEY_RING.to_owned(),
            source,
        };
        let nonce = || {
            let mut nonce = [0; NONCE_LEN];
            random(&mut nonce).map(|()| nonce).map_err(failed)
        };
        loop {
            let Some(ring) = store.get(KEY_RING).map_err(failed)? else {
                let first = keys.first().ok_or_else(|| Error::OtherMasterKey {
                    wanted: "of its choice".to_owned(),
                    given: "none".to_owned(),
                })?;
                let mut bytes = [0; KEY_BYTES];
                random(&mut bytes).map_err(failed)?;
                let ring = ArchiveKey::new(bytes).wrap(None, first, nonce()?)?;
                // Another node may have come first: then its key is the one.
                store.put_new(KEY_RING, &ring).map_err(failed)?;
                continue;
            };
            let (key, is_current) = ArchiveKey::open(&ring, keys)?;
            if let Some(first) = keys.first().filter(|_| !is_current) {
                let ring = key.wrap(Some(&ring), first, nonce()?)?;
                store.put(KEY_RING, &ring).map_err(failed)?;
            }
            return Ok(Self::new(store, key, keys));
        }
    }

    fn new(store: Arc<dyn Store>, key: ArchiveKey, keys: &[WrappingKey]) -> Self {
        let keys = keys.to_vec();
        let inner = Arc::new(Inner { store, key, keys });
        Self { inner }
    }

    /// Opens an archive that is there, with one of some master keys, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none, [`Error::OtherMasterKey`]; when the place cannot be read.
    pub fn open_to_read(store: Arc<dyn Store>, keys: &[WrappingKey]) -> Result<Self, Error> {
        let ring = store.get(KEY_RING).map_err(|source| failed(KEY_RING, source))?;
        let ring = ring.ok_or_else(|| Error::Missing {
            name: KEY_RING.to_owned(),
        })?;
        let (key, _) = ArchiveKey::open(&ring, keys)?;
        Ok(Self::new(store, key, keys))
    }

    /// Whether there is an archive at a place.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn is_at(store: &dyn Store) -> Result<bool, Error> {
        store
            .contains(KEY_RING)
            .map_err(|source| failed(KEY_RING, source))
    }

    /// Refuses to write to another archive than the one that was opened, which is there when a file system is mounted over it, or
    /// not any more.
    fn require_same(&self) -> Result<(), Error> {
        let ring = self.find(KEY_RING)?.ok_or(Error::Replaced)?;
        let (key, _) = ArchiveKey::open(&ring, &self.inner.keys)?;
        if key.is(self.key()) {
            Ok(())
        } else {
            Err(Error::Replaced)
        }
    }

    /// A key for what is sealed before it comes into this archive: whoever can open the archive has it. Each purpose has
    /// another one.
    pub fn derive_key(&self, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        self.key().derive(purpose)
    }

    pub(crate) fn key(&self) -> &ArchiveKey {
        &self.inner.key
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    pub(crate) fn find(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.store().get(name).map_err(|source| failed(name, source))
    }

    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, Error> {
        let found = self.find(name)?;
        found.ok_or_else(|| Error::Missing {
            name: name.to_owned(),
        })
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.store()
            .put(name, bytes)
            .map_err(|source| failed(name, source))
    }

    fn delete(&self, name: &str) -> Result<(), Error> {
        self.store().delete(name).map_err(|source| failed(name, source))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        self.store().list(folder).map_err(|source| failed(folder, source))
    }

    pub(crate) fn put_intent(&self, id: &str, now_ms: u64) -> Result<(), Error> {
        self.put(&format!("{INTENTS}/{id}"), now_ms.to_string().as_bytes())
    }

    pub(crate) fn has_intent(&self, id: &str) -> Result<bool, Error> {
        Ok(self.find(&format!("{INTENTS}/{id}"))?.is_some())
    }

    pub(crate) fn remove_intent(&self, id: &str) -> Result<(), Error> {
        self.delete(&format!("{INTENTS}/{id}"))
    }

    /// Begins a backup under an id, which may have been begun before. It builds on another one of the same cells, if one is
    /// given.
    ///
    /// # Errors
    /// When the place cannot be written, or what it builds on cannot be read.
    /// [`Error::Sweeping`], [`Error::Replaced`].
    pub fn begin(&self, id: &str, base: Option<&Manifest>, now_ms: u64) -> Result<Backup, Error> {
        self.require_same()?;
        self.put_intent(id, now_ms)?;
        if self.is_being_swept(now_ms)? {
            self.remove_intent(id)?;
            return Err(Error::Sweeping);
        }
        Backup::new(self, id, base)
    }

    /// The backup of an id; `None` if it is not there, or not complete.
    ///
    /// # Errors
    /// When its manifest cannot be read.
    pub fn backup(&self, id: &str) -> Result<Option<Manifest>, Error> {
        Manifest::get(self, id)
    }

    /// The ids of all backups that are complete, in their order.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn backups(&self) -> Result<Vec<String>, Error> {
        let prefix = format!("{BACKUPS}/");
        let names = self.list(BACKUPS)?;
        let ids = names.iter().filter_map(|name| name.strip_prefix(&prefix));
        let mut ids: Vec<_> = ids.map(str::to_owned).collect();
        ids.sort();
        Ok(ids)
    }

    /// The cells of a backup behind a key, or all of them.
    ///
    /// # Errors
    /// When its chunks cannot be read.
    pub fn cells(&self, manifest: &Manifest, behind: Option<&[u8]>) -> Result<Cells, Error> {
        let cells = Merge::new(self, Kind::Cells, manifest.runs(), behind)?;
        Ok(Cells { cells })
    }

    /// Reads all of a backup, and compares it with its fingerprints.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, manifest: &Manifest) -> Result<Verified, Error> {
        let wrong = |detail: &str| Error::damaged(&object(manifest.id()), detail);
        let mut cells = Merge::new(self, Kind::Cells, manifest.runs(), None)?;
        let mut prints = Merge::new(self, Kind::Prints, manifest.runs(), None)?;
        let mut count = 0;
        while let Some((key, cell)) = cells.next()? {
            count += 1;
            let print = prints.next()?;
            if print.is_none_or(|(of, print)| of != key || print[..] != print_of(&key, &cell)[..]) {
                return Err(wrong("a cell has another fingerprint"));
            }
        }
        if prints.next()?.is_some() || count != manifest.cells() {
            return Err(wrong("cells are missing"));
        }
        let chunks = || manifest.runs().iter().flat_map(Run::chunks);
        Ok(Verified {
            cells: count,
            objects: chunks().count() as u64 + 1,
            bytes: chunks().map(|chunk| chunk.bytes).sum(),
        })
    }

    /// Removes a backup; its chunks go with the next sweep. One that is not there is no error.
    ///
    /// # Errors
    /// When the place cannot be written.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        self.delete(&object(id))?;
        self.remove_intent(id)
    }

    /// Whether chunks are being removed, so that no backup can begin now.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn is_being_swept(&self, now_ms: u64) -> Result<bool, Error> {
        self.was_seen(SWEEPING, (now_ms, SWEEPER_AGE_MS))
    }

    /// Removes chunks that no backup needs, and what was left half written. `clock` tells the time in milliseconds since the Unix
    /// epoch.
    ///
    /// # Errors
    /// When a manifest cannot be read: then nobody knows what it needs, and nothing is removed. [`Error::Replaced`].
    pub fn sweep(&self, clock: impl Fn() -> u64) -> Result<Swept, Error> {
        self.require_same()?;
        if self.is_being_swept(clock())? {
            return Ok(Swept::Later);
        }
        let mut sweeper = Sweeper::begin(self, &clock)?;
        let swept = sweeper.sweep();
        // Later the word may be that of somebody else.
        if clock().abs_diff(sweeper.seen_ms) < SWEEPER_AGE_MS {
            self.delete(SWEEPING)?;
        }
        swept
    }

    /// Whether an object says that somebody is at work who is not gone.
    fn was_seen(&self, name: &str, (now_ms, age_ms): (u64, u64)) -> Result<bool, Error> {
        let at_ms = self.find(name)?;
        let at_ms = at_ms.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<u64>().ok());
        Ok(at_ms.is_some_and(|at_ms| now_ms.abs_diff(at_ms) < age_ms))
    }
}

/// Somebody who removes chunks, and says so for as long as he does.
struct Sweeper<'a> {
    archive: &'a Archive,
    clock: &'a dyn Fn() -> u64,
    seen_ms: u64,
}

impl<'a> Sweeper<'a> {
    fn begin(archive: &'a Archive, clock: &'a dyn Fn() -> u64) -> Result<Self, Error> {
        let mut sweeper = Self {
            archive,
            clock,
            seen_ms: clock(),
        };
        sweeper.say()?;
        Ok(sweeper)
    }

    fn say(&mut self) -> Result<(), Error> {
        self.seen_ms = (self.clock)();
        self.archive.put(SWEEPING, self.seen_ms.to_string().as_bytes())
    }

    /// Whether it may go on: others will not take it for gone before its next step is done.
    fn may_go_on(&mut self) -> Result<bool, Error> {
        let unseen_ms = (self.clock)().abs_diff(self.seen_ms);
        if unseen_ms >= 2 * SWEEPER_SEEN_MS {
            // The machine was suspended, or its disk hangs: a backup may have begun that counts on a chunk.
            return Ok(false);
        }
        if unseen_ms >= SWEEPER_SEEN_MS {
            self.say()?;
        }
        Ok(true)
    }

    fn sweep(&mut self) -> Result<Swept, Error> {
        let (archive, now_ms) = (self.archive, self.seen_ms);
        for name in archive.list(INTENTS)? {
            if archive.was_seen(&name, (now_ms, INTENT_AGE_MS))? {
                return Ok(Swept::Later);
            }
            archive.delete(&name)?;
        }
        let before = UNIX_EPOCH + Duration::from_millis(now_ms.saturating_sub(PARTIAL_AGE_MS));
        let tidied = archive.store().tidy(before);
        tidied.map_err(|source| failed("", source))?;
        let there = archive.list(CHUNKS)?;
        let mut needed = HashSet::new();
        for id in archive.backups()? {
            // Reading takes long in a large archive, and nothing is removed meanwhile: only the word is to be kept fresh.
            self.say()?;
            let Some(manifest) = archive.backup(&id)? else {
                continue;
            };
            for chunk in manifest.runs().iter().flat_map(Run::chunks) {
                needed.insert(chunk.object()?);
            }
        }
        let mut removed = 0;
        for name in there.iter().filter(|name| !needed.contains(*name)) {
            if !self.may_go_on()? {
                return Ok(Swept::Later);
            }
            archive
                .store()
                .discard(name)
                .map_err(|source| failed(name, source))?;
            removed += 1;
        }
        Ok(Swept::Removed(removed))
    }
}

fn failed(name: &str, source: std::io::Error) -> Error {
    Error::Store {
        name: name.to_owned(),
        source,
    }
}
