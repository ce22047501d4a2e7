//! What was applied to memtables without being logged: how far each stream's owner has replayed, and how far that is on
//! disk.
//!
//! Invariant: there is one set of marks for every memtable, in the same order; the marks of a memtable become durable in
//! the version edit that names its sstables, and after what the log has of the streams up to there (`flush.rs`). Not here:
//! the inserting (`apply.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::iter;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::version::edit::Change;
use crate::wal::record::StreamId;

type Indices = BTreeMap<StreamId, u64>;

#[derive(Debug, Default)]
struct Marks {
    /// Of the memtable that takes the writes.
    active: Indices,
    /// Of the memtables that wait for their flush, oldest first.
    waiting: VecDeque<Indices>,
    /// On disk.
    flushed: Indices,
    /// How many memtables were full, and how many were flushed.
    switches: u64,
    flushes: u64,
}

impl Marks {
    /// The last index applied of a stream, wherever its entries are now; 0 if there is none.
    fn last(&self, stream: StreamId) -> u64 {
        let mut newest_first = iter::once(&self.active)
            .chain(self.waiting.iter().rev())
            .chain(iter::once(&self.flushed));
        let last = newest_first.find_map(|indices| indices.get(&stream));
        last.copied().unwrap_or_default()
    }
}

/// The marks of an open engine.
#[derive(Debug)]
pub(crate) struct Applied(Mutex<Marks>);

impl Applied {
    /// After recovery: what the manifest says, and so many memtables that wait, all of them filled from the log.
    pub(crate) fn new(flushed: Indices, waiting: usize) -> Self {
        Self(Mutex::new(Marks {
            active: Indices::new(),
            waiting: (0..waiting).map(|_| Indices::new()).collect(),
            flushed,
            switches: waiting as u64,
            flushes: 0,
        }))
    }

    /// Notes that the active memtable takes what stream `stream` has at `index`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `index` is not after the last one.
    pub(crate) fn note(&self, stream: StreamId, index: u64) -> Result<()> {
        let mut marks = self.0.lock();
        let last = marks.last(stream);
        if stream == StreamId::ENGINE || index <= last {
            let detail = if stream == StreamId::ENGINE {
                "stream 0 is the engine's own, which it replays itself".to_owned()
            } else {
                format!("stream {stream} was applied up to {last}, go on behind it and not with {index}")
            };
            return Err(Error::Invalid {
                what: "index to apply",
                detail,
            });
        }
        marks.active.insert(stream, index);
        Ok(())
    }

    /// Whether the active memtable has a mark.
    pub(crate) fn is_active_marked(&self) -> bool {
        !self.0.lock().active.is_empty()
    }

    /// Whether the active memtable has something of a stream.
    pub(crate) fn is_active(&self, stream: StreamId) -> bool {
        self.0.lock().active.contains_key(&stream)
    }

    /// The active memtable begins to wait, a new one takes its place.
    pub(crate) fn switch(&self) {
        let mut marks = self.0.lock();
        let full = std::mem::take(&mut marks.active);
        marks.waiting.push_back(full);
        marks.switches += 1;
    }

    /// What the version edit that ends the flush of the oldest memtable must say.
    pub(crate) fn flush_changes(&self) -> Vec<Change> {
        let marks = self.0.lock();
        let oldest = marks.waiting.front().into_iter().flatten();
        oldest
            .map(|(&stream, &index)| Change::StreamFlushed { stream, index })
            .collect()
    }

    /// That edit is durable.
    pub(crate) fn flushed(&self) {
        let mut marks = self.0.lock();
        if let Some(oldest) = marks.waiting.pop_front() {
            marks.flushed.extend(oldest);
        }
        marks.flushes += 1;
    }

    /// Up to where everything of a stream is on disk.
    pub(crate) fn flushed_index(&self, stream: StreamId) -> u64 {
        self.0.lock().flushed.get(&stream).copied().unwrap_or_default()
    }

    /// How many flushes it takes until every mark set so far is durable.
    pub(crate) fn flushes_wanted(&self) -> u64 {
        let marks = self.0.lock();
        marks.switches + u64::from(!marks.active.is_empty())
    }

    /// How many flushes there were.
    pub(crate) fn flushes(&self) -> u64 {
        self.0.lock().flushes
    }

    /// Forgets a stream. The caller holds the manifest, so that no flush is about to make a mark durable.
    pub(crate) fn forget(&self, stream: StreamId) {
        let mut marks = self.0.lock();
        let Marks {
            active,
            waiting,
            flushed,
            ..
        } = &mut *marks;
        for indices in [active, flushed].into_iter().chain(waiting) {
            indices.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: StreamId = StreamId(3);

    #[test]
    fn a_mark_becomes_durable_with_its_memtable() {
        let applied = Applied::new([(S, 4)].into(), 1);
        assert!(applied.note(S, 4).is_err());
        assert!(applied.note(StreamId::ENGINE, 9).is_err());
        applied.note(S, 5).unwrap();
        assert_eq!(applied.flushes_wanted(), 2);
        applied.switch();
        applied.note(S, 8).unwrap();
        // The memtable from the log comes first; it has no marks.
        assert_eq!(applied.flush_changes(), []);
        applied.flushed();
        assert_eq!((applied.flushes(), applied.flushed_index(S)), (1, 4));
        assert_eq!(
            applied.flush_changes(),
            [Change::StreamFlushed { stream: S, index: 5 }]
        );
        applied.flushed();
        assert_eq!(applied.flushed_index(S), 5);
        assert!(applied.is_active_marked());
        assert_eq!(applied.flushes_wanted(), 3);
    }

    #[test]
    fn an_index_is_behind_the_last_one_wherever_that_is() {
        let applied = Applied::new([(S, 4)].into(), 0);
        let refuses = |index| applied.note(S, index).is_err();
        assert!(refuses(4), "on disk");
        applied.note(S, 5).unwrap();
        assert!(refuses(5), "in the active memtable");
        applied.switch();
        assert!(refuses(5), "in one that waits");
        applied.note(S, 6).unwrap();
        applied.switch();
        assert!(refuses(6), "in the last one that waits");
        applied.flushed();
        applied.flushed();
        assert!(refuses(6), "on disk again");
        applied.note(S, 7).unwrap();
    }

    #[test]
    fn a_stream_that_is_forgotten_begins_anew() {
        let applied = Applied::new([(S, 4)].into(), 0);
        applied.note(S, 5).unwrap();
        applied.switch();
        applied.forget(S);
        assert_eq!((applied.flush_changes(), applied.flushed_index(S)), (vec![], 0));
        applied.note(S, 1).unwrap();
    }
}
