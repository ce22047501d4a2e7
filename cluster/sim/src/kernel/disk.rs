//! The disk as one incarnation of a node has it: the machine's simulated disk behind a gate.
//!
//! Invariant: once the incarnation is dead nothing of it reaches the disk any more, even if somebody still holds its
//! files; and its locks are gone, as the locks of a process that was killed. What survives is `MemVfs`'s matter.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use stator_storage::vfs::mem::MemVfs;
use stator_storage::vfs::{File, LockGuard, Vfs};

/// Open until the incarnation dies. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(super) fn shut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn pass(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Err(io::Error::other("the simulated node is dead"));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct GatedDisk {
    disk: MemVfs,
    gate: Gate,
    locks: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl GatedDisk {
    pub(super) fn new(disk: MemVfs, gate: Gate) -> Self {
        Self {
            disk,
            gate,
            locks: Arc::default(),
        }
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(GatedFile {
            file,
            gate: self.gate.clone(),
        })
    }
}

impl Vfs for GatedDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.gate.pass()?;
        self.disk.create(path).map(|file| self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.gate.pass()?;
        self.disk.open(path).map(|file| self.file(file))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.gate.pass()?;
        self.disk.list(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.sync_dir(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.disk.free_bytes(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.gate.pass()?;
        if !self.locks.lock().insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(GatedLock {
            locks: Arc::clone(&self.locks),
            path: path.to_path_buf(),
        }))
    }
}

#[derive(Debug)]
struct GatedLock {
    locks: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl LockGuard for GatedLock {}

impl Drop for GatedLock {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.path);
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn File>,
    gate: Gate,
}

impl File for GatedFile {
    fn size(&self) -> io::Result<u64> {
        self.gate.pass()?;
        self.file.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.write_all_at(buffer, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.truncate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass()?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_incarnation_reaches_the_disk_no_more_and_its_locks_are_gone() {
        let disk = MemVfs::new();
        let (path, gate) = (Path::new("/d/a"), Gate::default());
        let first = GatedDisk::new(disk.clone(), gate.clone());
        let guard = first.lock(Path::new("/d/LOCK")).unwrap();
        assert_eq!(
            first.lock(Path::new("/d/LOCK")).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let file = first.create(path).unwrap();
        file.write_all_at(b"a", 0).unwrap();
        gate.shut();
        assert!(file.write_all_at(b"b", 0).is_err());
        assert!(first.sync_dir(Path::new("/d")).is_err());

        let second = GatedDisk::new(disk, Gate::default());
        let mut byte = [0];
        second.open(path).unwrap().read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"a");
        let other = second.lock(Path::new("/d/LOCK")).unwrap();
        drop(guard);
        assert!(second.lock(Path::new("/d/LOCK")).is_err());
        drop(other);
        assert!(second.lock(Path::new("/d/LOCK")).is_ok());
    }
}
