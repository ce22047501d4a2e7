//! What readers see: the memtables and the version of one moment, and the sequence numbers that snapshots hold.
//!
//! Invariant: a view holds every entry up to the sequence number that was published when it was loaded; a reader loads
//! it once and never waits for a writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::entry::SequenceNumber;
use crate::memtable::Memtable;
use crate::version::Version;

/// The memtables and the sstables of one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Takes the writes.
    pub(crate) active: Arc<Memtable>,
    /// Full memtables that wait for their flush, oldest first.
    pub(crate) waiting: Vec<Arc<Memtable>>,
    pub(crate) version: Arc<Version>,
}

/// The view in force.
#[derive(Debug)]
pub(crate) struct Views {
    current: ArcSwap<View>,
    /// Held while a view is made out of the one before.
    change: Mutex<()>,
}

impl Views {
    pub(crate) fn new(view: View) -> Self {
        Self {
            current: ArcSwap::from_pointee(view),
            change: Mutex::new(()),
        }
    }

    /// A cheap look at the view, for one call.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<View>> {
        self.current.load()
    }

    /// The view, to be kept.
    pub(crate) fn load_full(&self) -> Arc<View> {
        self.current.load_full()
    }

    /// Replaces the view by what `change` makes of it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut View)) {
        let held = self.change.lock();
        let mut view = View::clone(&self.current.load());
        change(&mut view);
        let before = self.current.swap(Arc::new(view));
        drop(held);
        // With the last view that knows it an obsolete sstable goes, and its file is removed.
        drop(before);
    }
}

/// The sequence numbers that snapshots hold, with the number of snapshots each.
#[derive(Debug, Default)]
pub(crate) struct SnapshotTracker(Mutex<BTreeMap<SequenceNumber, usize>>);

impl SnapshotTracker {
    /// Registers a snapshot of what `published` gives. Asked under the lock, so that no boundary list misses it.
    pub(crate) fn register(&self, published: impl FnOnce() -> SequenceNumber) -> SequenceNumber {
        let mut held = self.0.lock();
        let sequence = published();
        *held.entry(sequence).or_default() += 1;
        sequence
    }

    /// Releases a snapshot.
    pub(crate) fn release(&self, sequence: SequenceNumber) {
        let mut held = self.0.lock();
        if let Some(count) = held.get_mut(&sequence) {
            *count -= 1;
            if *count == 0 {
                held.remove(&sequence);
            }
        }
    }

    /// The oldest sequence number that is held.
    pub(crate) fn oldest(&self) -> Option<SequenceNumber> {
        self.0.lock().keys().next().copied()
    }

    /// The sequence numbers at which versions must be kept, ascending: those held, and behind them the one published
    /// now, at which readers of the present look; it is there a second time if a snapshot holds it too.
    pub(crate) fn boundaries(&self, published: impl FnOnce() -> SequenceNumber) -> Vec<SequenceNumber> {
        let held = self.0.lock();
        let published = published();
        let mut boundaries: Vec<_> = held.keys().copied().collect();
        boundaries.push(published);
        boundaries
    }
}
