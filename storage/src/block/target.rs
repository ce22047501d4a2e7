//! Places in the order of versions, prepared once for a search that looks at many entries.
//!
//! Invariant: places compare as their whole keys and sequence numbers do. A key is taken apart into its partition part
//! and the rest; because no partition's part is a prefix of another one's, comparing the parts one after the other
//! compares the keys (`key.rs`).

use std::cmp::Ordering;

use crate::entry::SequenceNumber;
use crate::key::partition_prefix;

/// A place: before the versions of `key` that are not newer than `sequence`, behind all newer ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) sequence: SequenceNumber,
    /// The first eight bytes of the key as a number: the token.
    pub(crate) token: u64,
    prefix_len: usize,
}

impl<'a> Target<'a> {
    pub(crate) fn new(key: &'a [u8], sequence: SequenceNumber) -> Self {
        Self {
            key,
            sequence,
            token: token_of(key),
            prefix_len: partition_prefix(key).len(),
        }
    }

    /// The partition part of the key.
    pub(crate) fn prefix(&self) -> &'a [u8] {
        &self.key[..self.prefix_len]
    }

    /// The rest of the key.
    pub(crate) fn suffix(&self) -> &'a [u8] {
        &self.key[self.prefix_len..]
    }

    /// Where an entry stands to the place: `Less` if the entry comes before it.
    pub(crate) fn order_of(&self, key: &[u8], sequence: SequenceNumber) -> Ordering {
        key.cmp(self.key).then_with(|| self.sequence.cmp(&sequence))
    }
}

/// The first eight bytes of `key`, zeros behind its end: keys whose numbers differ compare as their numbers do.
pub(crate) fn token_of(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}
