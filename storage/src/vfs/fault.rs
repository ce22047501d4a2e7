//! A disk that refuses operations: wraps another file system and fails where it is told to.
//!
//! Invariant: an operation that is refused has changed nothing; everything else is the wrapped file system's.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::{File, LockGuard, Vfs};

/// The kinds of operations that can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading a file.
    Read,
    /// Writing, preallocating or truncating a file.
    Write,
    /// Syncing a file or a directory.
    Sync,
    /// Creating or opening a file.
    Open,
    /// Renaming or removing a file.
    Name,
}

/// The error of the operating system that is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device failed.
    Eio,
    /// The disk is full.
    Enospc,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Eio => Errno::IO.into(),
            Self::Enospc => Errno::NOSPC.into(),
        }
    }
}

#[derive(Debug)]
struct Plan {
    operation: Operation,
    fault: Fault,
    /// So many operations of the kind still succeed.
    after: u64,
    /// So many fail then.
    times: u64,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    refused: u64,
}

/// A file system that fails on demand. Clones share the demand.
#[derive(Clone, Debug)]
pub struct FaultVfs {
    inner: Arc<dyn Vfs>,
    state: Arc<Mutex<State>>,
}

impl FaultVfs {
    /// Wraps `inner`; nothing fails yet.
    pub fn new(inner: Arc<dyn Vfs>) -> Self {
        Self {
            inner,
            state: Arc::default(),
        }
    }

    /// Lets `after` further operations of this kind succeed and refuses the `times` after them.
    pub fn fail(&self, operation: Operation, fault: Fault, after: u64, times: u64) {
        self.state.lock().plan = Some(Plan {
            operation,
            fault,
            after,
            times,
        });
    }

    /// Lets everything succeed again.
    pub fn heal(&self) {
        self.state.lock().plan = None;
    }

    /// How many operations were refused.
    pub fn refused(&self) -> u64 {
        self.state.lock().refused
    }

    fn check(&self, operation: Operation) -> io::Result<()> {
        check(&self.state, operation)
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultFile {
            inner: file,
            state: Arc::clone(&self.state),
        })
    }
}

fn check(state: &Mutex<State>, operation: Operation) -> io::Result<()> {
    let mut state = state.lock();
    let Some(plan) = state.plan.as_mut().filter(|plan| plan.operation == operation) else {
        return Ok(());
    };
    if plan.after > 0 {
        plan.after -= 1;
        return Ok(());
    }
    if plan.times == 0 {
        return Ok(());
    }
    plan.times -= 1;
    let error = plan.fault.error();
    state.refused += 1;
    Err(error)
}

#[derive(Debug)]
struct FaultFile {
    inner: Arc<dyn File>,
    state: Arc<Mutex<State>>,
}

impl Vfs for FaultVfs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.check(Operation::Open)?;
        self.inner.create(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.check(Operation::Open)?;
        self.inner.open(path).map(|file| self.wrap(file))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.check(Operation::Name)?;
        self.inner.hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::Name)?;
        self.inner.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Operation::Name)?;
        self.inner.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.check(Operation::Read)?;
        self.inner.list(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.check(Operation::Sync)?;
        self.inner.sync_dir(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}

impl File for FaultFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check(&self.state, Operation::Read)?;
        self.inner.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        check(&self.state, Operation::Write)?;
        self.inner.write_all_at(buffer, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        check(&self.state, Operation::Write)?;
        self.inner.preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        check(&self.state, Operation::Write)?;
        self.inner.truncate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        check(&self.state, Operation::Sync)?;
        self.inner.sync_data()
    }
}
