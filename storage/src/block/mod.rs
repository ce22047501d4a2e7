//! Data blocks: sorted entries, grouped by partition (`docs/format/sstable.md`, "Data blocks").
//!
//! Invariant: a block that was opened has directories that lie in it; an entry that does not decode is corruption, never
//! a wrong answer. Every entry is found by its place in a directory, so that a search and a step either way cost the
//! same. Not here: checksums, encryption and compression (`sstable/`), caching (`cache.rs`).

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use crate::entry::{EntryKind, SequenceNumber};
use crate::header::u32_at;

mod builder;
mod cursor;
mod target;

pub(crate) use builder::{BlockBuilder, Key};
pub(crate) use cursor::BlockCursor;
pub(crate) use target::{Target, token_of};

/// The number of entries and that of runs, at the end.
const COUNTS_BYTES: usize = 8;

/// Set in the number of runs: directories have four bytes a place, not two.
const WIDE_FLAG: u32 = 1 << 31;

/// The bytes of a block do not decode. The caller knows the file and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBlock;

/// One byte of a key's hash: entries of another key are passed over without a look at their keys.
fn tag_of(key_hash: u64) -> u8 {
    key_hash.to_le_bytes()[7]
}

/// A decompressed block, shared.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    data: Bytes,
    entries: usize,
    runs: usize,
    /// Where the entries end and the tags begin.
    data_end: usize,
    wide: bool,
}

/// One entry as it lies in a block; the key without its partition part.
#[derive(Debug, Clone)]
struct RawEntry {
    suffix: Range<usize>,
    value: Range<usize>,
    sequence: SequenceNumber,
    kind: EntryKind,
}

impl Block {
    /// Checks the directories of a decompressed block.
    pub(crate) fn open(data: Bytes) -> Result<Self, BadBlock> {
        let counts_at = data.len().checked_sub(COUNTS_BYTES).ok_or(BadBlock)?;
        let entries = u32_at(&data, counts_at).ok_or(BadBlock)? as usize;
        let runs = u32_at(&data, counts_at + 4).ok_or(BadBlock)?;
        let wide = runs & WIDE_FLAG != 0;
        let runs = (runs & !WIDE_FLAG) as usize;
        let width = if wide { 4 } else { 2 };
        let data_end = entries
            .checked_mul(width + 1)
            .zip(runs.checked_mul(2 * width))
            .and_then(|(of_entries, of_runs)| counts_at.checked_sub(of_entries)?.checked_sub(of_runs))
            .ok_or(BadBlock)?;
        let block = Self {
            data,
            entries,
            runs,
            data_end,
            wide,
        };
        let runs_fit = block.runs > 0
            && block.run_start(0) == 0
            && (1..block.runs).all(|run| block.run_start(run - 1) < block.run_start(run))
            && block.run_start(block.runs - 1) < block.entries;
        let entries_fit = (0..block.entries).all(|index| block.offset(index) < data_end);
        if runs_fit && entries_fit {
            Ok(block)
        } else {
            Err(BadBlock)
        }
    }

    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// A number of the directories, which `open` has checked to lie in the block.
    fn directory(&self, index: usize) -> usize {
        let start = self.data_end + self.entries;
        if self.wide {
            u32_at(&self.data, start + 4 * index).map_or(usize::MAX, |number| number as usize)
        } else {
            let at = start + 2 * index;
            usize::from(u16::from_le_bytes([self.data[at], self.data[at + 1]]))
        }
    }

    /// Where entry `index` lies.
    fn offset(&self, index: usize) -> usize {
        self.directory(index)
    }

    /// The first entry of a run.
    fn run_start(&self, run: usize) -> usize {
        self.directory(self.entries + 2 * run)
    }

    /// The first entry behind a run.
    fn run_end(&self, run: usize) -> usize {
        if run + 1 < self.runs {
            self.run_start(run + 1)
        } else {
            self.entries
        }
    }

    /// The partition part of the keys of a run.
    fn run_prefix(&self, run: usize) -> Result<&[u8], BadBlock> {
        let at = self.directory(self.entries + 2 * run + 1);
        let bytes = &self.data[..self.data_end];
        let (length, at) = read_varint(bytes, at).ok_or(BadBlock)?;
        let length = usize::try_from(length).map_err(|_| BadBlock)?;
        bytes
            .get(at..at.checked_add(length).ok_or(BadBlock)?)
            .ok_or(BadBlock)
    }

    /// The run that entry `index` belongs to.
    fn run_of(&self, index: usize) -> usize {
        let (mut low, mut high) = (0, self.runs);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.run_start(middle) <= index {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn entry(&self, index: usize) -> Result<RawEntry, BadBlock> {
        self.decode_entry(index).ok_or(BadBlock)
    }

    fn decode_entry(&self, index: usize) -> Option<RawEntry> {
        let bytes = &self.data[..self.data_end];
        let (suffix_len, at) = read_varint(bytes, self.offset(index))?;
        let (value_len, at) = read_varint(bytes, at)?;
        let (version, at) = read_varint(bytes, at)?;
        let kind = EntryKind::from_byte(version.to_le_bytes()[0] & 3)?;
        let suffix_end = at.checked_add(usize::try_from(suffix_len).ok()?)?;
        let value_end = suffix_end.checked_add(usize::try_from(value_len).ok()?)?;
        (value_end <= bytes.len()).then_some(RawEntry {
            suffix: at..suffix_end,
            value: suffix_end..value_end,
            sequence: version >> 2,
            kind,
        })
    }

    /// The first entry that is not before `target`; the number of entries if there is none.
    fn lower_bound(&self, target: Target<'_>) -> Result<usize, BadBlock> {
        let (mut low, mut high) = (0, self.runs);
        let mut same = None;
        while low < high {
            let middle = low.midpoint(high);
            match self.run_prefix(middle)?.cmp(target.prefix()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    same = Some(middle);
                    break;
                }
            }
        }
        let Some(run) = same else {
            return Ok(if low < self.runs {
                self.run_start(low)
            } else {
                self.entries
            });
        };
        let (mut low, mut high) = (self.run_start(run), self.run_end(run));
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(middle)?;
            let order = self.data[entry.suffix]
                .cmp(target.suffix())
                .then_with(|| target.sequence.cmp(&entry.sequence));
            if order == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The newest version of the target's key that is not newer than its sequence number. `key_hash` is that of the
    /// whole key.
    pub(crate) fn find(
        &self,
        target: Target<'_>,
        key_hash: u64,
    ) -> Result<Option<(EntryKind, Bytes)>, BadBlock> {
        let tag = tag_of(key_hash);
        let tags = &self.data[self.data_end..self.data_end + self.entries];
        let mut from = 0;
        while let Some(at) = memchr::memchr(tag, &tags[from..]) {
            let index = from + at;
            from = index + 1;
            let entry = self.entry(index)?;
            // Versions come newest first, so that the first that is old enough is the one.
            if entry.sequence <= target.sequence
                && &self.data[entry.suffix] == target.suffix()
                && self.run_prefix(self.run_of(index))? == target.prefix()
            {
                return Ok(Some((entry.kind, self.data.slice(entry.value))));
            }
        }
        Ok(None)
    }
}

/// A LEB128 number of at most 64 bits at `at`, and where it ends.
pub(crate) fn read_varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u64::from(first), at + 1));
    }
    let mut value = u64::from(first & 0x7F);
    for index in 1..10 {
        let byte = *bytes.get(at + index)?;
        let bits = u64::from(byte & 0x7F);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            return Some((value, at + index + 1));
        }
    }
    None
}

/// Appends `value` as LEB128.
pub(crate) fn write_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
