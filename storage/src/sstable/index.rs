//! The index of an sstable, in two levels: the top one names index blocks, these name data blocks
//! (`docs/format/sstable.md`, "Index").
//!
//! Invariant: the bounds ascend; the entries of a block are before its bound and not before the bound of the block in
//! front. Tokens are hashes, evenly spread, so that a search begins where the token says and looks at a few
//! neighbours only (interpolation search: Perl, Itai, Avni, 1978); keys of any other shape cost a binary search.

use std::cmp::Ordering;

use bytes::Bytes;

use super::Handle;
use crate::block::{BadBlock, Target, read_varint, token_of, write_varint};
use crate::entry::{SequenceNumber, compare_versions};

/// What an entry takes in memory beside the bytes of its bound.
const ENTRY_BYTES: usize = 8 + 16 + 12;

#[derive(Clone, Copy, Debug)]
struct Bound {
    start: u32,
    end: u32,
    sequence: SequenceNumber,
}

/// The bounds and handles of a row of blocks.
#[derive(Debug)]
pub(crate) struct Index {
    /// The first eight bytes of each bound's key.
    tokens: Box<[u64]>,
    bounds: Box<[Bound]>,
    handles: Box<[Handle]>,
    keys: Bytes,
}

impl Index {
    /// One block with all keys up to `last`, in all versions.
    pub(super) fn of_one(last: &Bytes, handle: Handle) -> Self {
        let bound = Bound {
            start: 0,
            end: u32::try_from(last.len()).unwrap_or(u32::MAX),
            sequence: 0,
        };
        Self {
            tokens: [token_of(last)].into(),
            bounds: [bound].into(),
            handles: [handle].into(),
            keys: last.clone(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn handle(&self, at: usize) -> Option<Handle> {
        self.handles.get(at).copied()
    }

    /// The bound of a block: all of its entries are before it. The last place of all for one that is not there.
    pub(super) fn bound(&self, at: usize) -> (&[u8], SequenceNumber) {
        self.bounds.get(at).map_or((&[], 0), |bound| {
            (
                &self.keys[bound.start as usize..bound.end as usize],
                bound.sequence,
            )
        })
    }

    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * ENTRY_BYTES + self.keys.len()
    }

    /// The block that holds the first entry that is not before `target`; the number of blocks if there is none.
    pub(super) fn find(&self, target: Target<'_>) -> usize {
        let low = lower_bound(&self.tokens, target.token);
        // Bounds with the same token: one partition may fill any number of blocks.
        let same = self.tokens[low..].partition_point(|token| *token == target.token);
        low + self.bounds[low..low + same].partition_point(|bound| {
            let key = &self.keys[bound.start as usize..bound.end as usize];
            compare_versions((key, bound.sequence), (target.key, target.sequence)) != Ordering::Greater
        })
    }

    /// Reads an encoded index.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadBlock> {
        Self::try_decode(bytes).ok_or(BadBlock)
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let (count, mut at) = read_varint(bytes, 0)?;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= bytes.len())?;
        let mut keys = Vec::new();
        let mut bounds = Vec::with_capacity(count);
        let mut tokens = Vec::with_capacity(count);
        let mut handles = Vec::with_capacity(count);
        let mut number = || {
            let (number, end) = read_varint(bytes, at)?;
            at = end;
            Some((number, end))
        };
        let mut lengths = Vec::with_capacity(count);
        let mut offset = 0;
        for _ in 0..count {
            offset += number()?.0;
            let length = u32::try_from(number()?.0).ok()?;
            handles.push(Handle { offset, length });
            offset += u64::from(length);
            let sequence = !number()?.0;
            lengths.push((usize::try_from(number()?.0).ok()?, sequence));
        }
        for (length, sequence) in lengths {
            let key = bytes.get(at..at.checked_add(length)?)?;
            at += length;
            let start = u32::try_from(keys.len()).ok()?;
            keys.extend_from_slice(key);
            let end = u32::try_from(keys.len()).ok()?;
            tokens.push(token_of(key));
            bounds.push(Bound { start, end, sequence });
        }
        let ascending = tokens.is_sorted();
        (ascending && at == bytes.len()).then(|| Self {
            tokens: tokens.into(),
            bounds: bounds.into(),
            handles: handles.into(),
            keys: Bytes::from(keys),
        })
    }
}

/// The first place whose number is not less than `number`.
fn lower_bound(numbers: &[u64], number: u64) -> usize {
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        return 0;
    };
    if number <= first {
        return 0;
    }
    if number > last {
        return numbers.len();
    }
    let steps = numbers.len() - 1;
    let guess = u128::from(number - first) * steps as u128 / u128::from(last - first);
    let guess = usize::try_from(guess).unwrap_or(steps).min(steps);
    // From the guess away in doubling steps until the place is enclosed.
    let (mut low, mut high) = (guess, guess);
    let mut step = 1;
    if numbers[guess] < number {
        while high < numbers.len() && numbers[high] < number {
            low = high + 1;
            high += step;
            step *= 2;
        }
        high = high.min(numbers.len());
    } else {
        while low > 0 && numbers[low - 1] >= number {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
    }
    low + numbers[low..high].partition_point(|other| *other < number)
}

/// Collects the entries of an index.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    numbers: Vec<u8>,
    keys: Vec<u8>,
    count: u64,
    /// Where the block before ended.
    end: u64,
}

impl IndexBuilder {
    /// Appends a block with its bound: a place that is behind all of its entries and not behind any of the next block.
    pub(super) fn push(&mut self, handle: Handle, bound: (&[u8], SequenceNumber)) {
        let (key, sequence) = bound;
        write_varint(&mut self.numbers, handle.offset - self.end);
        write_varint(&mut self.numbers, u64::from(handle.length));
        // Nearly all bounds are in front of all versions of their key: the largest number becomes the shortest.
        write_varint(&mut self.numbers, !sequence);
        write_varint(&mut self.numbers, key.len() as u64);
        self.keys.extend_from_slice(key);
        self.count += 1;
        self.end = handle.offset + u64::from(handle.length);
    }

    /// The size of the index so far.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.len() + self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Gives the encoded index and becomes empty.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes() + 8);
        write_varint(&mut bytes, self.count);
        bytes.append(&mut self.numbers);
        bytes.append(&mut self.keys);
        (self.count, self.end) = (0, 0);
        bytes
    }
}

/// The shortest bound between two entries that follow each other.
pub(super) fn separator<'a>(
    last: (&[u8], SequenceNumber),
    next: (&'a [u8], SequenceNumber),
) -> (&'a [u8], SequenceNumber) {
    debug_assert!(compare_versions(last, next).is_lt(), "entries come in order");
    if last.0 == next.0 {
        // Directly behind the last version, so that what lies between the two is looked for where the next one is.
        return (next.0, last.1 - 1);
    }
    let shared = last
        .0
        .iter()
        .zip(next.0)
        .take_while(|(left, right)| left == right);
    (&next.0[..=shared.count()], SequenceNumber::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn places() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
        let key = prop_oneof![
            vec(any::<u8>(), 8..12),
            vec(0_u8..3, 0..4),
            (0_u8..2, vec(0_u8..3, 0..3)).prop_map(|(token, rest)| [
                &[0, 0, 0, 0, 0, 0, 0, token],
                &rest[..]
            ]
            .concat()),
        ];
        btree_set((key, 1_u64..4), 1..80).prop_map(|places| {
            let mut places: Vec<_> = places.into_iter().collect();
            places.sort_by(|left, right| compare_versions((&left.0, left.1), (&right.0, right.1)));
            places
        })
    }

    proptest! {
        #[test]
        fn a_block_is_found_by_every_place_in_it(places in places(), per_block in 1_usize..5, probes in places()) {
            let mut builder = IndexBuilder::default();
            let blocks: Vec<_> = places.chunks(per_block).collect();
            for (number, block) in blocks.iter().enumerate() {
                let last = block.last().map(|(key, sequence)| (&key[..], *sequence)).unwrap();
                let bound = match blocks.get(number + 1) {
                    Some(next) => separator(last, (&next[0].0, next[0].1)),
                    None => (last.0, 0),
                };
                builder.push(Handle { offset: number as u64 * 10, length: 10 }, bound);
            }
            let index = Index::decode(&builder.finish()).unwrap();
            prop_assert!(builder.is_empty());
            for (key, sequence) in places.iter().chain(&probes) {
                let target = Target::new(key, *sequence);
                let at = places.partition_point(|(key, sequence)| target.order_of(key, *sequence).is_lt());
                // A place between two blocks may be looked for in either.
                let found = index.find(target);
                let first_entry = blocks.get(found).map_or(places.len(), |_| found * per_block);
                let end = blocks.get(found).map_or(places.len(), |block| first_entry + block.len());
                prop_assert!(first_entry <= at && at <= end, "{at} is not in {first_entry}..{end}");
                if places.get(at).is_some_and(|place| place.0 == *key) {
                    prop_assert!(at < end, "a version of the key is looked for in the block in front of it");
                }
                prop_assert_eq!(index.handle(found).map(|handle| handle.offset), (found < blocks.len()).then(|| found as u64 * 10));
            }
        }

        #[test]
        fn interpolation_finds_what_a_binary_search_finds(mut numbers in vec(any::<u64>(), 0..50), probe in any::<u64>()) {
            numbers.sort_unstable();
            for probe in numbers.iter().copied().chain([probe, 0, u64::MAX]) {
                prop_assert_eq!(lower_bound(&numbers, probe), numbers.partition_point(|number| *number < probe));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..60), probe in vec(any::<u8>(), 0..10)) {
            if let Ok(index) = Index::decode(&bytes) {
                prop_assert!(index.find(Target::new(&probe, 1)) <= index.len());
            }
        }
    }
}
