//! A disk that refuses operations: wraps another file system and fails where it is told to, by a plan or by somebody who
//! is asked each time.
//!
//! Invariant: an operation that is refused has changed nothing; everything else is the wrapped file system's.

use std::fmt;
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
    /// Taking space: creating or preallocating a file, writing behind its end. What a full disk refuses; a write into space
    /// that the file has already is none.
    Allocate,
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

/// Says of each operation whether it is refused, and how.
pub trait Refuse: Send + Sync + fmt::Debug {
    /// The error to return instead of doing it; `None` lets it go on. May be asked about one operation under several kinds.
    fn refuse(&self, operation: Operation) -> Option<Fault>;
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

/// What is to fail.
#[derive(Debug, Default)]
struct Demand {
    state: Mutex<State>,
    asked: Option<Arc<dyn Refuse>>,
}

/// A file system that fails on demand. Clones share the demand.
#[derive(Clone, Debug)]
pub struct FaultVfs {
    inner: Arc<dyn Vfs>,
    demand: Arc<Demand>,
}

impl FaultVfs {
    /// Wraps `inner`; nothing fails yet.
    pub fn new(inner: Arc<dyn Vfs>) -> Self {
        Self {
            inner,
            demand: Arc::default(),
        }
    }

    /// Wraps `inner`, and asks before every operation.
    pub fn asking(inner: Arc<dyn Vfs>, asked: Arc<dyn Refuse>) -> Self {
        let demand = Demand {
            asked: Some(asked),
            ..Demand::default()
        };
        Self {
            inner,
            demand: Arc::new(demand),
        }
    }

    /// Lets `after` further operations of this kind succeed and refuses the `times` after them.
    pub fn fail(&self, operation: Operation, fault: Fault, after: u64, times: u64) {
        self.demand.state.lock().plan = Some(Plan {
            operation,
            fault,
            after,
            times,
        });
    }

    /// Lets everything succeed again.
    pub fn heal(&self) {
        self.demand.state.lock().plan = None;
    }

    /// How many operations were refused.
    pub fn refused(&self) -> u64 {
        self.demand.state.lock().refused
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultFile {
            inner: file,
            demand: Arc::clone(&self.demand),
        })
    }
}

impl Demand {
    fn check(&self, operation: Operation) -> io::Result<()> {
        if let Some(fault) = self.asked.as_ref().and_then(|asked| asked.refuse(operation)) {
            self.state.lock().refused += 1;
            return Err(fault.error());
        }
        let mut state = self.state.lock();
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
}

#[derive(Debug)]
struct FaultFile {
    inner: Arc<dyn File>,
    demand: Arc<Demand>,
}

impl Vfs for FaultVfs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.demand.check(Operation::Open)?;
        self.demand.check(Operation::Allocate)?;
        self.inner.create(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.demand.check(Operation::Open)?;
        self.inner.open(path).map(|file| self.wrap(file))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.demand.check(Operation::Name)?;
        self.inner.hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.demand.check(Operation::Name)?;
        self.inner.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.demand.check(Operation::Name)?;
        self.inner.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.demand.check(Operation::Read)?;
        self.inner.list(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.demand.check(Operation::Sync)?;
        self.inner.sync_dir(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.inner.free_bytes(directory)
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
        self.demand.check(Operation::Read)?;
        self.inner.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.demand.check(Operation::Write)?;
        if offset + buffer.len() as u64 > self.inner.size()? {
            self.demand.check(Operation::Allocate)?;
        }
        self.inner.write_all_at(buffer, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.demand.check(Operation::Write)?;
        self.demand.check(Operation::Allocate)?;
        self.inner.preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.demand.check(Operation::Write)?;
        self.inner.truncate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.demand.check(Operation::Sync)?;
        self.inner.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::mem::MemVfs;

    #[test]
    fn a_full_disk_takes_what_goes_into_space_that_a_file_has() {
        let disk = FaultVfs::new(Arc::new(MemVfs::new()));
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.create(Path::new("/d/a")).unwrap();
        file.preallocate(8).unwrap();
        disk.fail(Operation::Allocate, Fault::Enospc, 0, u64::MAX);
        file.write_all_at(b"12345678", 0).unwrap();
        file.sync_data().unwrap();
        let full = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
        assert!(full(file.write_all_at(b"9", 8)));
        assert!(full(file.preallocate(9)));
        assert!(full(disk.create(Path::new("/d/b")).map(drop)));
        assert_eq!((file.size().unwrap(), disk.refused()), (8, 3));
        disk.heal();
        file.write_all_at(b"9", 8).unwrap();
    }

    #[test]
    fn who_is_asked_decides() {
        #[derive(Debug)]
        struct NoSync;
        impl Refuse for NoSync {
            fn refuse(&self, operation: Operation) -> Option<Fault> {
                (operation == Operation::Sync).then_some(Fault::Eio)
            }
        }
        let disk = FaultVfs::asking(Arc::new(MemVfs::new()), Arc::new(NoSync));
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.create(Path::new("/d/a")).unwrap();
        file.write_all_at(b"1", 0).unwrap();
        assert_eq!(
            file.sync_data().unwrap_err().raw_os_error(),
            Some(Errno::IO.raw_os_error())
        );
        assert_eq!(disk.refused(), 1);
    }
}
