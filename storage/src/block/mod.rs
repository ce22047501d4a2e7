//! Blocks: sorted entries with shared key prefixes and restart points (`docs/format/sstable.md`).
//!
//! Invariant: a block that was opened has restart offsets that lie in it; an entry that does not decode is corruption,
//! never a wrong answer. Not here: checksums and compression (`sstable/`), caching (`cache.rs`).

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use crate::entry::{EntryKind, SequenceNumber, compare_versions};

mod builder;
mod cursor;

pub(crate) use builder::BlockBuilder;
pub(crate) use cursor::BlockCursor;

/// The bytes of a block do not decode. The caller knows the file and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBlock;

/// A place in the order of versions: a key and a sequence number.
pub(crate) type Target<'a> = (&'a [u8], SequenceNumber);

/// A decompressed block, shared.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    data: Bytes,
    entries_end: usize,
    restarts: usize,
}

/// One entry as it lies in a block; the key without what it shares with the one before.
#[derive(Debug, Clone)]
struct RawEntry {
    shared: usize,
    rest: Range<usize>,
    value: Range<usize>,
    sequence: SequenceNumber,
    kind: EntryKind,
    end: usize,
}

/// What [`Block::lower_bound`] finds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: EntryKind,
    value: Range<usize>,
}

impl Block {
    /// Checks the frame of a decompressed block.
    pub(crate) fn open(data: Bytes) -> Result<Self, BadBlock> {
        let count_at = data.len().checked_sub(4).ok_or(BadBlock)?;
        let restarts = read_u32(&data, count_at).ok_or(BadBlock)? as usize;
        let entries_end = restarts
            .checked_mul(4)
            .and_then(|bytes| count_at.checked_sub(bytes))
            .ok_or(BadBlock)?;
        let block = Self {
            data,
            entries_end,
            restarts,
        };
        let in_order = (0..restarts).all(|index| block.restart(index).is_some_and(|at| at < entries_end));
        if restarts == 0 || !in_order {
            return Err(BadBlock);
        }
        Ok(block)
    }

    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    fn restart(&self, index: usize) -> Option<usize> {
        read_u32(&self.data, self.entries_end + 4 * index).map(|at| at as usize)
    }

    /// Where restart interval `index` begins and ends.
    fn interval(&self, index: usize) -> Result<Range<usize>, BadBlock> {
        let start = self.restart(index).ok_or(BadBlock)?;
        let end = if index + 1 == self.restarts {
            Some(self.entries_end)
        } else {
            self.restart(index + 1)
        };
        end.filter(|end| *end > start)
            .map(|end| start..end)
            .ok_or(BadBlock)
    }

    fn entry(&self, at: usize) -> Result<RawEntry, BadBlock> {
        self.decode_entry(at).ok_or(BadBlock)
    }

    fn decode_entry(&self, at: usize) -> Option<RawEntry> {
        let bytes = self.data.get(..self.entries_end)?;
        let (shared, at) = read_varint(bytes, at)?;
        let (rest_len, at) = read_varint(bytes, at)?;
        let (value_len, at) = read_varint(bytes, at)?;
        let trailer = u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?);
        let kind = EntryKind::from_byte(trailer.to_le_bytes()[0])?;
        let rest = at + 8..at + 8 + rest_len as usize;
        let value = rest.end..rest.end + value_len as usize;
        let end = value.end;
        (end <= bytes.len()).then_some(RawEntry {
            shared: shared as usize,
            rest,
            value,
            sequence: trailer >> 8,
            kind,
            end,
        })
    }

    /// The last interval whose first entry is before `target`, or the first interval.
    fn interval_of(&self, target: Target<'_>) -> Result<usize, BadBlock> {
        let (mut low, mut high) = (0, self.restarts);
        while high - low > 1 {
            let middle = low.midpoint(high);
            let entry = self.entry(self.restart(middle).ok_or(BadBlock)?)?;
            if compare_versions((&self.data[entry.rest], entry.sequence), target) == Ordering::Less {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The first entry that is not before `target`; its key is left in `key`, which serves as a buffer.
    pub(crate) fn lower_bound(
        &self,
        target: Target<'_>,
        key: &mut Vec<u8>,
    ) -> Result<Option<Found>, BadBlock> {
        let mut at = self.interval(self.interval_of(target)?)?.start;
        key.clear();
        while at < self.entries_end {
            let entry = self.entry(at)?;
            if entry.shared > key.len() {
                return Err(BadBlock);
            }
            key.truncate(entry.shared);
            key.extend_from_slice(&self.data[entry.rest]);
            if compare_versions((key, entry.sequence), target) != Ordering::Less {
                return Ok(Some(Found {
                    kind: entry.kind,
                    value: entry.value,
                }));
            }
            at = entry.end;
        }
        Ok(None)
    }

    /// The value of an entry, as a share of the block.
    pub(crate) fn value(&self, found: &Found) -> Bytes {
        self.data.slice(found.value.clone())
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// A LEB128 number of at most 32 bits at `at`, and where it ends.
fn read_varint(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u32::from(first), at + 1));
    }
    let mut value = u64::from(first & 0x7F);
    for index in 1..5 {
        let byte = *bytes.get(at + index)?;
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Some((u32::try_from(value).ok()?, at + index + 1));
        }
    }
    None
}

/// Appends `value` as LEB128.
fn write_varint(into: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
