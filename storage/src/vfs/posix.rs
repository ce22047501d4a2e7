//! The real disk: positioned reads and writes, `fdatasync`, preallocation, `flock`.
//!
//! Invariant: this is the only file of the crate that opens files. Not here: retries of any kind; a failed sync is
//! reported once and the engine stops.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use super::{File, LockGuard, Vfs};

/// Zeros are written in steps of this size. The page cache keeps what one call wrote as one folio, and every later write
/// into a folio walks over all of its blocks: after steps of 1 MiB a write of 450 bytes takes twice as long.
const ZERO_BYTES: usize = 16 << 10;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct PosixVfs;

#[derive(Debug)]
struct PosixFile(fs::File);

#[derive(Debug)]
struct PosixLock {
    /// The lock lives as long as this descriptor is open.
    _file: fs::File,
}

impl LockGuard for PosixLock {}

impl Vfs for PosixVfs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            result => result?,
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(PosixFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(PosixFile(file)))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        OpenOptions::new().read(true).open(directory)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(directory)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(PosixLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl File for PosixFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buffer, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        // One extent first where the file system can; then real zeros, because a sync of unwritten extents changes
        // metadata with every write and takes nearly twice as long.
        match fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            result => result?,
        }
        let zeros = vec![0; ZERO_BYTES];
        let mut at = 0;
        while at < bytes {
            let step = usize::try_from(bytes - at).map_or(ZERO_BYTES, |left| left.min(ZERO_BYTES));
            self.0.write_all_at(&zeros[..step], at)?;
            at += step as u64;
        }
        self.0.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_on_the_same_file_is_refused_until_the_first_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("LOCK");
        let first = PosixVfs.lock(&path).unwrap();
        assert_eq!(
            PosixVfs.lock(&path).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(first);
        PosixVfs.lock(&path).unwrap();
    }

    #[test]
    fn a_preallocated_file_reads_as_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let file = PosixVfs.create(&directory.path().join("a")).unwrap();
        file.preallocate(3 << 20).unwrap();
        let mut buffer = vec![1; 3 << 20];
        file.read_exact_at(&mut buffer, 0).unwrap();
        assert!(buffer.iter().all(|byte| *byte == 0));
        assert_eq!(file.size().unwrap(), 3 << 20);
    }

    #[test]
    fn nested_directories_are_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        PosixVfs.create_dir_all(&path).unwrap();
        PosixVfs.create_dir_all(&path).unwrap();
        assert_eq!(PosixVfs.list(&path).unwrap(), Vec::<String>::new());
    }
}
