//! A disk that tells of files before they are made: wraps another file system, for tests that do something at just that time.
//!
//! Invariant: everything else is the wrapped file system's. Not here: operations that fail (`fault.rs`).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{File, LockGuard, Vfs};

/// A file system that says of every file before it is made, or gets another name, which that is. It goes on when whoever was told
/// returns.
pub struct WatchedVfs {
    inner: Arc<dyn Vfs>,
    before: Box<dyn Fn(&Path) + Send + Sync>,
}

impl WatchedVfs {
    /// Wraps `inner`, and calls `before` with the name that a file is about to get.
    pub fn new(inner: Arc<dyn Vfs>, before: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        let before = Box::new(before);
        Self { inner, before }
    }
}

impl fmt::Debug for WatchedVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedVfs")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Vfs for WatchedVfs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        (self.before)(path);
        self.inner.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.open(path)
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        (self.before)(name);
        self.inner.hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.before)(to);
        self.inner.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.inner.list(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.inner.sync_dir(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.inner.free_bytes(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}
