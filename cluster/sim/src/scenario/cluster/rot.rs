//! A disk whose bits change without a word, and the operator: who gives a node another disk when it cannot start from the one it has, and has
//! everything repaired in the end.
//!
//! Invariant: only one node's disk does so, so that two of three copies are good; and only in sstables: a damaged manifest or log
//! stops a start, which is what the engine's own tests are about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stator_cluster::NodeId;
use stator_storage::vfs::Vfs as _;
use stator_storage::vfs::mem::MemVfs;

use super::everyone::{Attempt, Everyone};
use crate::kernel::Crash;
use crate::random::Stream;
use crate::scenario::surroundings::DIRECTORY;

/// How long the cluster runs before bits change.
const BEGINS_AFTER: Duration = Duration::from_millis(2_500);

/// How often it is asked how far the repair is, in milliseconds.
const LOOK_MS: u64 = 200;

/// How long a node without a good disk is away, in milliseconds.
const REPLACING_MS: u64 = 2_000;

/// What an sstable ends with, by `docs/format/sstable.md`.
const MAGIC: &[u8; 4] = b"STSF";

/// See the head of the file.
pub(super) struct Rot {
    everyone: Everyone,
    stream: Stream,
    victim: NodeId,
}

impl Rot {
    pub(super) fn new(everyone: Everyone) -> Self {
        let mut stream = everyone.control.stream("rot", 0);
        let victim = everyone.any_node(&mut stream);
        Self {
            everyone,
            stream,
            victim,
        }
    }

    /// Works until then; then waits until all is as it was written.
    pub(super) async fn work(mut self, until: Duration) {
        self.everyone.wait_for(BEGINS_AFTER).await;
        while self.everyone.control.now() < until {
            for _ in 0..self.stream.between(1, 3) {
                self.change_a_bit();
            }
            if self.stream.chance(300_000) {
                // What is compared meanwhile is written meanwhile.
                self.want_repair().await;
            }
            let pause = self.stream.between(100, 1_500);
            self.everyone.pause(pause).await;
            if self.replace_disk().await {
                // The new one is a good one.
                break;
            }
        }
        self.begin_repair().await;
        while !self.is_whole().await {
            self.replace_disk().await;
            self.everyone.pause(LOOK_MS).await;
        }
    }

    /// Gives the node an empty disk if what it needs for a start is damaged.
    async fn replace_disk(&self) -> bool {
        let node = self.everyone.node(self.victim);
        let is_refused = node.is_none_or(|node| node.is_damaged_for_start());
        if is_refused && self.everyone.control.is_up(self.victim) {
            self.everyone.control.crash(self.victim, Crash::Wipe);
            // Whoever does that takes a while.
            self.everyone.pause(REPLACING_MS).await;
            self.everyone.control.start(self.victim);
            return true;
        }
        false
    }

    fn change_a_bit(&mut self) {
        let Some(disk) = self.everyone.control.disk(self.victim) else {
            return;
        };
        let files = sstables(&disk);
        let Some((path, bytes)) = self.stream.pick(&files) else {
            return;
        };
        let offset = self.stream.below(*bytes);
        let bit = u8::try_from(self.stream.below(8)).unwrap_or_default();
        // A file that is being written is not all there.
        if disk.flip_bit(path, offset, bit).is_ok() {
            let what = format!(
                "a bit of {} of node {} changes at {offset}",
                path.display(),
                self.victim
            );
            self.everyone.control.note_fault(what);
        }
    }

    /// Has every node compare and check everything.
    async fn begin_repair(&self) {
        while !self.want_repair().await {
            self.replace_disk().await;
            self.everyone.pause(LOOK_MS).await;
        }
    }

    /// Asks every node to compare and check everything, and says whether all of them will.
    async fn want_repair(&self) -> bool {
        let attempt = self.everyone.ask(self.victim, "repair everything", |node| {
            Box::pin(async move { node.begin_repair().await })
        });
        matches!(attempt.await, Attempt::Answered(true))
    }

    async fn is_whole(&self) -> bool {
        let attempt = self
            .everyone
            .ask(self.victim, "say how far the repair is", |node| {
                Box::pin(async move { node.is_whole().await })
            });
        matches!(attempt.await, Attempt::Answered(true))
    }
}

/// The sstables of a disk that are complete, and their sizes in bytes.
fn sstables(disk: &MemVfs) -> Vec<(PathBuf, u64)> {
    let directory = Path::new(DIRECTORY);
    let names = disk.list(directory).unwrap_or_default();
    let names = names.iter().filter(|name| name.starts_with("sst-"));
    let paths = names.map(|name| directory.join(name));
    paths
        .filter_map(|path| complete_size(disk, &path).map(|bytes| (path, bytes)))
        .collect()
}

/// The size of an sstable; `None` if it has no footer yet.
fn complete_size(disk: &MemVfs, path: &Path) -> Option<u64> {
    let file = disk.open(path).ok()?;
    let bytes = file.size().ok()?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, bytes.checked_sub(MAGIC.len() as u64)?)
        .ok()?;
    (&magic == MAGIC).then_some(bytes)
}
