//! Sstables with bytes on disk that are not what was written: finding them, leaving them alone, giving up what cannot be read.
//!
//! Invariant: nothing is ever answered from bytes that do not check, and nothing that can be read is lost. A file in which a read, a compaction or a
//! check finds such bytes is *set aside*: it stays where it is, reads that touch its bad bytes fail with [`Error::Corruption`], all others are served,
//! and compactions go around it. Only an owner that has the cells elsewhere [gives up](Engine::give_up) what cannot be read, because older values
//! of those keys may show from then on; it gives up no more than a [check](SstableCheck) has told it. That a file is set aside is not written
//! down: after a start it is found again. A start that finds it sets the file aside as well: the manifest says which keys it has; of a file whose own
//! words about itself are damaged all of them are lost. Not here: writing what is left of a file (`compaction/mend.rs`); manifest and log, whose
//! damage a start refuses, because it does not know then what there was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::core::Core;
use crate::engine::Engine;
use crate::entry::KeyspaceId;
use crate::error::{Error, Result};
use crate::sstable::{FileCheck, Sstable};
use crate::version::{KeyspaceVersion, Version};

/// Keys whose newest values cannot be read: those from `first` to `last`, both included, as far as the file has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSpan {
    /// Not greater than the first of them.
    pub first: Bytes,
    /// Not less than the last of them.
    pub last: Bytes,
}

/// An sstable that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its number, by which it is [checked](Engine::check_sstable) and [given up](Engine::give_up).
    pub number: u64,
    /// Where it lies.
    pub file: PathBuf,
    /// Where in the file the first bad bytes that were found begin, in bytes.
    pub offset: u64,
    /// What was expected there.
    pub detail: String,
    /// The keyspace that it holds keys of.
    pub keyspace: KeyspaceId,
    /// The first of these keys.
    pub first_key: Bytes,
    /// The last of them.
    pub last_key: Bytes,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// What cannot be read of it; `None` until it was checked from end to end. Empty if only bytes are bad that hold no entries.
    pub lost: Option<Vec<LostSpan>>,
    /// Whether it was given up, so that what is left of it is about to be written anew.
    pub is_given_up: bool,
}

/// An sstable as it is to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckableFile {
    /// Its number, by which its [check begins](Engine::check_sstable).
    pub number: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A check of one sstable from end to end, a piece at a time. The file stays as long as it goes on.
#[derive(Debug)]
pub struct SstableCheck {
    core: Arc<Core>,
    sstable: Arc<Sstable>,
    check: FileCheck,
}

impl SstableCheck {
    /// Reads the next piece of the file, some hundred blocks, from the disk and not from any cache, and holds it against its checksums. Gives
    /// how many bytes that were; `None` when all of the file was read. A file in which something does not check is set aside, and when all of it
    /// was read it is known what is [lost](DamagedFile::lost).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read.
    pub fn step(&mut self) -> Result<Option<u64>> {
        let step = self.check.step(&self.sstable)?;
        for error in self.check.take_found() {
            self.core.set_aside(&error);
        }
        if step.is_none()
            && let Some(damage) = self.sstable.damage()
        {
            damage.assess(self.check.take_lost());
        }
        Ok(step)
    }
}

impl Engine {
    /// The sstables that are set aside.
    pub fn damaged(&self) -> Vec<DamagedFile> {
        let view = self.shared_core().views.load();
        let keyspaces = view.version.keyspaces.values();
        let sstables =
            keyspaces.flat_map(|keyspace| keyspace.sstables().map(|sstable| (keyspace.id, sstable)));
        let damaged = sstables.filter_map(|(keyspace, sstable)| {
            let damage = sstable.damage()?;
            let state = damage.state.lock();
            Some(DamagedFile {
                number: sstable.meta.number,
                file: sstable.path().to_path_buf(),
                offset: damage.offset,
                detail: damage.detail.clone(),
                keyspace,
                first_key: sstable.meta.first_key.clone(),
                last_key: sstable.meta.last_key.clone(),
                bytes: sstable.meta.bytes,
                lost: state.assessed.as_ref().map(Lost::spans),
                is_given_up: state.is_given_up,
            })
        });
        damaged.collect()
    }

    /// How often a file was set aside since the engine was opened. A cheap look.
    pub fn damages(&self) -> u64 {
        self.shared_core().counters.damages.load(Ordering::Relaxed)
    }

    /// Gives up what cannot be read of an sstable that is set aside and was [checked](Engine::check_sstable) to its end: in the background, all that can be
    /// read is written into a new file that takes the place of the damaged one. Until then it goes on as it was; then [`Engine::damaged`] does not name it
    /// any more, and keys of its [`DamagedFile::lost`] spans read as they were before, or as absent. So the owner must not believe these spans until it has
    /// put the cells right, and must remember that over a restart, **before** it calls this. Should there be more that cannot be read by then, nothing
    /// is given up, and the file is to be checked anew.
    ///
    /// `false` if no such file is set aside, or it has not been checked.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`].
    pub fn give_up(&self, number: u64) -> Result<bool> {
        let core = self.core()?;
        let view = core.views.load();
        let mut set_aside = view.version.set_aside();
        let damage = set_aside
            .find(|it| it.meta.number == number)
            .and_then(|it| it.damage());
        let is_given_up = damage.is_some_and(Damage::give_up);
        if is_given_up {
            core.compaction_signal.notify();
        }
        Ok(is_given_up)
    }

    /// All sstables, in the order of their numbers: what there is to be checked.
    pub fn sstables_to_check(&self) -> Vec<CheckableFile> {
        let view = self.shared_core().views.load();
        let sstables = view.version.all_sstables();
        let mut files: Vec<_> = sstables
            .map(|sstable| CheckableFile {
                number: sstable.meta.number,
                bytes: sstable.meta.bytes,
            })
            .collect();
        files.sort_unstable_by_key(|file| file.number);
        files
    }

    /// Begins to check an sstable; `None` if it has gone since.
    pub fn check_sstable(&self, number: u64) -> Option<SstableCheck> {
        let core = self.core_arc();
        let view = core.views.load();
        let mut sstables = view.version.all_sstables();
        let sstable = sstables.find(|sstable| sstable.meta.number == number)?;
        Some(SstableCheck {
            core: Arc::clone(core),
            sstable: Arc::clone(sstable),
            check: FileCheck::default(),
        })
    }
}

impl Core {
    /// Sets the sstable aside that an error of kind [`Error::Corruption`] names; `false` if it names none that is in use.
    pub(crate) fn set_aside(&self, error: &Error) -> bool {
        let Error::Corruption { file, offset, detail } = error else {
            return false;
        };
        let view = self.views.load();
        let mut sstables = view.version.all_sstables();
        let Some(sstable) = sstables.find(|sstable| sstable.path() == file) else {
            return false;
        };
        if sstable.set_aside(Damage::new(*offset, detail)) {
            tracing::error!(%error, "an sstable is damaged and set aside");
            self.counters.damages.fetch_add(1, Ordering::Relaxed);
            // How far compactions are behind is counted without it.
            self.update_view(|_| ());
        }
        true
    }

    /// Takes note of damage that a read has met.
    pub(crate) fn noting<T>(&self, read: Result<T>) -> Result<T> {
        read.inspect_err(|error| {
            self.set_aside(error);
        })
    }
}

/// What is wrong with an sstable.
#[derive(Debug)]
pub(crate) struct Damage {
    offset: u64,
    detail: String,
    state: Mutex<DamageState>,
}

#[derive(Debug, Default)]
struct DamageState {
    assessed: Option<Lost>,
    is_given_up: bool,
}

/// What cannot be read of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    /// Where blocks begin that cannot be read.
    pub(crate) offsets: BTreeSet<u64>,
    /// The keys in them.
    pub(crate) spans: Vec<LostSpan>,
}

impl Lost {
    fn spans(&self) -> Vec<LostSpan> {
        self.spans.clone()
    }
}

impl Damage {
    pub(crate) fn new(offset: u64, detail: &str) -> Self {
        Self {
            offset,
            detail: detail.to_owned(),
            state: Mutex::default(),
        }
    }

    /// What a read of the bad bytes gives.
    pub(crate) fn error(&self, path: &Path) -> Error {
        Error::corruption(path, self.offset, self.detail.clone())
    }

    fn assess(&self, lost: Lost) {
        let mut state = self.state.lock();
        if !state.is_given_up {
            state.assessed = Some(lost);
        }
    }

    fn give_up(&self) -> bool {
        let mut state = self.state.lock();
        state.is_given_up |= state.assessed.is_some();
        state.is_given_up
    }

    fn is_given_up(&self) -> bool {
        self.state.lock().is_given_up
    }

    /// Whether the loss of these blocks was agreed to. If not, the file is not given up any more.
    pub(crate) fn may_lose(&self, offsets: &BTreeSet<u64>) -> bool {
        let mut state = self.state.lock();
        let known = state.assessed.as_ref().map(|lost| &lost.offsets);
        let may_lose = state.is_given_up && known.is_some_and(|known| offsets.is_subset(known));
        if !may_lose {
            *state = DamageState::default();
        }
        may_lose
    }
}

impl Version {
    /// The sstables of all keyspaces.
    pub(crate) fn all_sstables(&self) -> impl Iterator<Item = &Arc<Sstable>> {
        self.keyspaces.values().flat_map(|keyspace| keyspace.sstables())
    }

    /// The sstables that are set aside.
    pub(crate) fn set_aside(&self) -> impl Iterator<Item = &Arc<Sstable>> {
        self.all_sstables().filter(|sstable| sstable.damage().is_some())
    }
}

impl KeyspaceVersion {
    /// An sstable that was given up, with its level, unless `is_busy` says that it is in use.
    pub(crate) fn given_up(&self, is_busy: impl Fn(u64) -> bool) -> Option<(usize, &Arc<Sstable>)> {
        let levels = self.levels.iter().enumerate();
        let mut sstables = levels.flat_map(|(level, all)| all.iter().map(move |sstable| (level, sstable)));
        sstables.find(|(_, sstable)| {
            let damage = sstable.damage();
            damage.is_some_and(Damage::is_given_up) && !is_busy(sstable.meta.number)
        })
    }
}
