//! A blocked bloom filter: all probes of a key fall into one cache line.
//!
//! Invariant: a key that was added is always found. Near 1 % of other keys are found too at 10 bits a key. (Putze,
//! Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007.)

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const LINE_BYTES: usize = 64;
const PREFIX_SEED: u64 = 1;

/// The hash of a whole key.
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The hash of a partition prefix; another one than that of a key with the same bytes.
pub(super) fn prefix_hash(prefix: &[u8]) -> u64 {
    xxh3_64_with_seed(prefix, PREFIX_SEED)
}

/// The two halves of a hash: for the line, and for the probes.
fn halves(hash: u64) -> (u64, u32) {
    let bytes = hash.to_le_bytes();
    (
        hash >> 32,
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
    )
}

fn line_of(high: u64, lines: usize) -> usize {
    usize::try_from((high * lines as u64) >> 32).unwrap_or(0) * LINE_BYTES
}

fn probes(low: u32, count: u8) -> impl Iterator<Item = usize> {
    let step = low.rotate_right(17) | 1;
    (0..u32::from(count)).map(move |index| (low.wrapping_add(index.wrapping_mul(step)) % 512) as usize)
}

/// Collects the hashes of a filter.
#[derive(Debug, Default)]
pub(super) struct FilterBuilder {
    hashes: Vec<u64>,
    bits_per_key: u32,
}

impl FilterBuilder {
    /// With 0 bits a key the filter will be empty.
    pub(super) fn new(bits_per_key: u32) -> Self {
        Self {
            hashes: Vec::new(),
            bits_per_key,
        }
    }

    pub(super) fn add(&mut self, hash: u64) {
        if self.bits_per_key > 0 {
            self.hashes.push(hash);
        }
    }

    /// The encoded filter; empty without any hash.
    pub(super) fn finish(self) -> Vec<u8> {
        if self.hashes.is_empty() {
            return Vec::new();
        }
        // ln 2 bits a key and probe; a blocked filter does best with slightly fewer.
        let count = u8::try_from((self.bits_per_key * 60 / 100).clamp(1, 12)).unwrap_or(12);
        let lines = (self.hashes.len() * self.bits_per_key as usize).div_ceil(LINE_BYTES * 8);
        let mut filter = vec![0; lines * LINE_BYTES + 1];
        filter[lines * LINE_BYTES] = count;
        for hash in &self.hashes {
            let (high, low) = halves(*hash);
            let line = line_of(high, lines);
            for bit in probes(low, count) {
                filter[line + bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }
}

/// A filter that was read.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Bytes);

impl Filter {
    /// Checks the size of an encoded filter.
    pub(super) fn open(bytes: Bytes) -> Option<Self> {
        (bytes.is_empty() || (bytes.len() > LINE_BYTES && (bytes.len() - 1).is_multiple_of(LINE_BYTES)))
            .then_some(Self(bytes))
    }

    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether `hash` may have been added. Without a filter everything may.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let Some((&count, lines)) = self.0.split_last() else {
            return true;
        };
        let (high, low) = halves(hash);
        let line = line_of(high, lines.len() / LINE_BYTES);
        probes(low, count).all(|bit| lines[line + bit / 8] & (1 << (bit % 8)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_keys_are_found_and_few_others() {
        let hashes: Vec<u64> = (0_u64..10_000)
            .map(|number| key_hash(&number.to_le_bytes()))
            .collect();
        let mut builder = FilterBuilder::new(10);
        for hash in &hashes {
            builder.add(*hash);
        }
        let filter = Filter::open(Bytes::from(builder.finish())).unwrap();
        assert!(hashes.iter().all(|hash| filter.may_contain(*hash)));
        let others = 10_000_u64..110_000;
        let wrong = others
            .filter(|number| filter.may_contain(key_hash(&number.to_le_bytes())))
            .count();
        assert!(wrong < 2_000, "{wrong} of 100,000 absent keys pass");
    }

    #[test]
    fn without_a_filter_everything_may_be_there() {
        assert!(
            Filter::open(Bytes::from(FilterBuilder::new(10).finish()))
                .unwrap()
                .may_contain(1)
        );
        assert!(Filter::open(Bytes::from_static(&[0, 6])).is_none());
    }
}
