//! Range reads as the owner sees them: one entry a key, as of one sequence number.
//!
//! Invariant: exactly the keys within the bounds that had a value at the sequence number, in order, each with its value
//! of that moment. Going forward nothing is allocated per entry once the key buffer has grown.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::Direction;
use super::merge::MergeCursor;
use crate::block::Target;
use crate::cache::Caching;
use crate::core::Core;
use crate::entry::{EntryKind, SequenceNumber, Value};
use crate::error::Result;
use crate::key::common_partition;
use crate::sstable::{self, Lookup, Sstable};
use crate::version::KeyspaceVersion;
use crate::view::View;

/// The bounds of a range read.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Walks the entries of a range. It holds what it reads from, so that it may outlive its snapshot; the memory and the
/// files behind it are freed when it is dropped.
#[derive(Debug)]
pub struct RangeIterator {
    /// Is told what is damaged.
    core: Arc<Core>,
    merge: MergeCursor,
    direction: Direction,
    sequence: SequenceNumber,
    /// The bound that ends the walk.
    last: Bound<Vec<u8>>,
    /// The key of the entry, or the last one that was decided.
    key: Vec<u8>,
    key_is_decided: bool,
    /// Going backward the merged cursor is already behind the entry; its value is kept here.
    held: Option<Bytes>,
    on_entry: bool,
}

impl RangeIterator {
    /// Reads `keyspace` of `view` as of `sequence`.
    pub(crate) fn new(
        core: Arc<Core>,
        view: &View,
        keyspace: &KeyspaceVersion,
        sequence: SequenceNumber,
        bounds: Bounds<'_>,
        (direction, caching): (Direction, Caching),
    ) -> Result<Self> {
        let mut merge = MergeCursor::new(direction);
        for memtable in view.waiting.iter().chain([&view.active]) {
            if !memtable.is_empty() {
                merge.add_memtable(memtable, keyspace.id);
            }
        }
        add_sstables(&mut merge, keyspace, bounds, caching)?;
        let (first, last) = match direction {
            Direction::Forward => (bounds.0, bounds.1),
            Direction::Backward => (bounds.1, bounds.0),
        };
        merge.seek(seek_target(first, direction))?;
        Ok(Self {
            core,
            merge,
            direction,
            sequence,
            last: last.map(<[u8]>::to_vec),
            key: Vec::new(),
            key_is_decided: false,
            held: None,
            on_entry: false,
        })
    }

    /// Moves to the next entry; `false` when there is none left. The iterator stands before the first entry when it is
    /// made.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) or [`Error::Corruption`](crate::Error::Corruption) if a block cannot be read;
    /// the iterator must not be used after that.
    pub fn advance(&mut self) -> Result<bool> {
        let advanced = match self.direction {
            Direction::Forward => self.advance_forward(),
            Direction::Backward => self.advance_backward(),
        };
        self.on_entry = self.core.noting(advanced)?;
        Ok(self.on_entry)
    }

    fn advance_forward(&mut self) -> Result<bool> {
        loop {
            let Some((key, sequence, kind)) = self.merge.place() else {
                return Ok(false);
            };
            if sequence <= self.sequence && !(self.key_is_decided && key == self.key) {
                let inside = match &self.last {
                    Bound::Included(last) => key <= &last[..],
                    Bound::Excluded(last) => key < &last[..],
                    Bound::Unbounded => true,
                };
                if !inside {
                    return Ok(false);
                }
                self.key.clear();
                self.key.extend_from_slice(key);
                self.key_is_decided = true;
                if kind == EntryKind::Put {
                    return Ok(true);
                }
            }
            self.merge.step()?;
        }
    }

    /// Versions of a key come oldest first: the last one that is visible decides.
    fn advance_backward(&mut self) -> Result<bool> {
        self.held = None;
        while let Some((key, sequence, kind)) = self.merge.place() {
            if sequence <= self.sequence {
                let inside = match &self.last {
                    Bound::Included(last) => key >= &last[..],
                    Bound::Excluded(last) => key > &last[..],
                    Bound::Unbounded => true,
                };
                if !inside {
                    break;
                }
                if key != self.key {
                    if self.held.is_some() {
                        return Ok(true);
                    }
                    self.key.clear();
                    self.key.extend_from_slice(key);
                }
                self.held = (kind == EntryKind::Put).then(|| self.merge.value_shared());
            }
            self.merge.step()?;
        }
        Ok(self.held.is_some())
    }

    /// The key of the entry.
    ///
    /// # Panics
    ///
    /// If the last [`RangeIterator::advance`] did not return `true`.
    pub fn key(&self) -> &[u8] {
        assert!(self.on_entry, "the iterator is not on an entry");
        &self.key
    }

    /// The value of the entry.
    ///
    /// # Panics
    ///
    /// If the last [`RangeIterator::advance`] did not return `true`.
    pub fn value(&self) -> &[u8] {
        assert!(self.on_entry, "the iterator is not on an entry");
        self.held.as_deref().unwrap_or_else(|| self.merge.value())
    }

    /// The value of the entry, to be kept.
    ///
    /// # Panics
    ///
    /// If the last [`RangeIterator::advance`] did not return `true`.
    pub fn value_shared(&self) -> Value {
        assert!(self.on_entry, "the iterator is not on an entry");
        Value(self.held.clone().unwrap_or_else(|| self.merge.value_shared()))
    }
}

/// Adds the sstables that may hold a key within the bounds.
fn add_sstables(
    merge: &mut MergeCursor,
    keyspace: &KeyspaceVersion,
    bounds: Bounds<'_>,
    caching: Caching,
) -> Result<()> {
    let partition = common_partition(bounds.0, bounds.1);
    let in_bounds = |sstable: &Sstable| {
        let behind_start = match bounds.0 {
            Bound::Included(start) | Bound::Excluded(start) => start <= &sstable.meta.last_key[..],
            Bound::Unbounded => true,
        };
        let before_end = match bounds.1 {
            Bound::Included(end) | Bound::Excluded(end) => &sstable.meta.first_key[..] <= end,
            Bound::Unbounded => true,
        };
        behind_start && before_end
    };
    for (level, sstables) in keyspace.levels.iter().enumerate() {
        let mut wanted = Vec::new();
        for sstable in sstables.iter().filter(|sstable| in_bounds(sstable)) {
            let may_contain = match partition {
                Some(prefix) => sstable.may_contain_partition(prefix)?,
                None => true,
            };
            if may_contain {
                wanted.push(Arc::clone(sstable));
            }
        }
        if level == 0 {
            for sstable in wanted {
                merge.add_level(vec![sstable], caching);
            }
        } else {
            merge.add_level(wanted, caching);
        }
    }
    Ok(())
}

/// The place where a walk begins. Versions of a key lie between (key, MAX) and (key, 0): real sequence numbers lie
/// strictly between the two.
fn seek_target(first: Bound<&[u8]>, direction: Direction) -> Option<Target<'_>> {
    let (before, behind) = (SequenceNumber::MAX, 0);
    match (first, direction) {
        (Bound::Unbounded, _) => None,
        (Bound::Included(key), Direction::Forward) | (Bound::Excluded(key), Direction::Backward) => {
            Some(Target::new(key, before))
        }
        (Bound::Excluded(key), Direction::Forward) | (Bound::Included(key), Direction::Backward) => {
            Some(Target::new(key, behind))
        }
    }
}

/// The newest version of `key` in `view` that is not newer than `sequence`, if it is a value.
pub(crate) fn get(
    view: &View,
    keyspace: &KeyspaceVersion,
    key: &[u8],
    sequence: SequenceNumber,
) -> Result<Option<Value>> {
    let target = Target::new(key, sequence);
    for memtable in [&view.active].into_iter().chain(view.waiting.iter().rev()) {
        if let Some(entry) = memtable.get(keyspace.id, target) {
            return Ok((entry.kind == EntryKind::Put).then(|| Value(entry.value_shared())));
        }
    }
    let key_hash = sstable::key_hash(key);
    let deeper = (1..keyspace.levels.len()).filter_map(|level| keyspace.candidate(level, key));
    for sstable in keyspace.levels[0].iter().chain(deeper) {
        match sstable.get(target, key_hash)? {
            Lookup::Value(value) => return Ok(Some(Value(value))),
            Lookup::Deleted => return Ok(None),
            Lookup::Absent => {}
        }
    }
    Ok(None)
}
