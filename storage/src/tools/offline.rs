//! A directory whose engine does not run, locked, with its keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cache::BlockCache;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::open::{key_ring, lock};
use crate::sstable::SstableContext;
use crate::vfs::{LockGuard, Vfs};

/// A little cache: each block is read once.
const CACHE_BYTES: u64 = 1 << 20;

/// The directory, until it is dropped.
#[derive(Debug)]
pub(super) struct Offline {
    pub(super) context: SstableContext,
    _lock: Box<dyn LockGuard>,
}

impl Offline {
    /// Locks the directory and opens its key ring.
    pub(super) fn open(environment: Environment, directory: &Path) -> Result<Self> {
        let vfs = Arc::clone(&environment.disk);
        // Listing first: no lock file is left in a directory that is none of ours.
        let names = vfs.list(directory).map_err(Error::io("list", directory))?;
        if !names.iter().any(|name| FileName::parse(name).is_some()) {
            return Err(Error::Invalid {
                what: "data directory",
                detail: format!("{} holds no file of an engine", directory.display()),
            });
        }
        let lock = lock(&*vfs, directory)?;
        let keys = Arc::new(key_ring(environment, directory)?);
        Ok(Self {
            context: SstableContext {
                vfs,
                keys,
                directory: directory.to_path_buf(),
                cache: Arc::new(BlockCache::new(CACHE_BYTES, 4096)),
            },
            _lock: lock,
        })
    }

    pub(super) fn vfs(&self) -> &dyn Vfs {
        &*self.context.vfs
    }

    pub(super) fn directory(&self) -> &Path {
        &self.context.directory
    }

    /// The files with numbers, by what they are and by number.
    pub(super) fn files(&self) -> Result<Vec<FileName>> {
        let directory = self.directory();
        let names = self.vfs().list(directory).map_err(Error::io("list", directory))?;
        let mut files: Vec<FileName> = names.iter().filter_map(|name| FileName::parse(name)).collect();
        files.sort_unstable_by_key(|file| file.name());
        Ok(files)
    }

    pub(super) fn path(&self, file: FileName) -> PathBuf {
        file.in_directory(self.directory())
    }

    /// The size of a file; 0 if it cannot be told.
    pub(super) fn size(&self, file: FileName) -> u64 {
        let path = self.path(file);
        self.vfs().open(&path).and_then(|file| file.size()).unwrap_or(0)
    }
}
