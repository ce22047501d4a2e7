//! The disk of a node, whose syncs are timed.
//!
//! Invariant: everything is done as it is asked for, and what is counted needs no lock. Not here: the counting
//! (`metrics/syncs.rs`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use stator_cluster::{File, LockGuard, Vfs, World};

use crate::metrics::{SyncMetrics, Synced};

/// What the names of the log's files begin with, spare ones included (`docs/format/log.md`).
const LOG: &str = "log";

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct TimedDisk {
    inner: Arc<dyn Vfs>,
    timer: Arc<Timer>,
}

#[derive(Debug)]
struct Timer {
    world: Arc<dyn World>,
    syncs: Arc<SyncMetrics>,
}

#[derive(Debug)]
struct TimedFile {
    inner: Arc<dyn File>,
    timer: Arc<Timer>,
    synced: Synced,
}

impl TimedDisk {
    /// This disk, with the steady clock of a world.
    pub(crate) fn new(inner: Arc<dyn Vfs>, world: Arc<dyn World>, syncs: Arc<SyncMetrics>) -> Self {
        let timer = Arc::new(Timer { world, syncs });
        Self { inner, timer }
    }

    fn timed(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        let name = path.file_name().unwrap_or_default();
        let is_log = name.as_encoded_bytes().starts_with(LOG.as_bytes());
        Arc::new(TimedFile {
            inner,
            timer: Arc::clone(&self.timer),
            synced: if is_log { Synced::Log } else { Synced::Engine },
        })
    }
}

impl Vfs for TimedDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.timed(path, self.inner.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.timed(path, self.inner.open(path)?))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.inner.hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
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

impl File for TimedFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(buffer, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.inner.preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.inner.truncate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let Timer { world, syncs } = &*self.timer;
        let begun = world.now();
        let synced = self.inner.sync_data();
        syncs.observe(self.synced, world.now().saturating_sub(begun));
        synced
    }
}

#[cfg(test)]
mod tests {
    use stator_cluster::PosixVfs;
    use tempfile::TempDir;

    use super::*;
    use crate::metrics::syncs_text;
    use crate::node;

    #[tokio::test]
    async fn syncs_are_counted_by_what_they_are_of() {
        let (directory, syncs) = (TempDir::new().unwrap(), Arc::<SyncMetrics>::default());
        let disk = TimedDisk::new(Arc::new(PosixVfs), node::world().unwrap(), Arc::clone(&syncs));
        let at = |name: &str| directory.path().join(name);
        let spare = disk.create(&at("log.spare-0")).unwrap();
        spare.write_all_at(b"frame", 0).unwrap();
        spare.sync_data().unwrap();
        disk.rename(&at("log.spare-0"), &at("log-0000000001.log"))
            .unwrap();
        disk.open(&at("log-0000000001.log")).unwrap().sync_data().unwrap();
        disk.create(&at("sst-0000000001.sst"))
            .unwrap()
            .sync_data()
            .unwrap();
        let text = syncs_text(&syncs);
        for expected in [
            "stator_sync_duration_seconds_count{of=\"log\"} 2\n",
            "stator_sync_duration_seconds_count{of=\"engine\"} 1\n",
            "stator_sync_duration_seconds_bucket{of=\"log\",le=\"+Inf\"} 2\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        let mut read = [0; 5];
        disk.open(&at("log-0000000001.log"))
            .unwrap()
            .read_exact_at(&mut read, 0)
            .unwrap();
        assert_eq!(&read, b"frame");
    }
}
