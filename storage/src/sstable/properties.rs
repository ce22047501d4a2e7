//! What an sstable says about itself (`docs/format/sstable.md`, "Properties").
//!
//! Invariant: what is encoded decodes to the same; a reader passes over fields that it does not know.

use bytes::{BufMut, Bytes};

use crate::block::{read_varint, write_varint};
use crate::entry::SequenceNumber;

/// So many of the largest partitions are listed.
pub(crate) const LARGEST_PARTITIONS: usize = 16;

/// A partition and what the sstable holds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionSize {
    /// The partition part of its keys.
    pub(crate) prefix: Bytes,
    pub(crate) entries: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
}

/// Figures over all entries of an sstable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// Bytes of keys and values.
    pub(crate) raw_bytes: u64,
    pub(crate) partitions: u64,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    pub(crate) first_key: Bytes,
    pub(crate) last_key: Bytes,
    /// By size, the largest first.
    pub(crate) largest_partitions: Vec<PartitionSize>,
}

const ENTRIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const RAW_BYTES: u8 = 3;
const PARTITIONS: u8 = 4;
const SMALLEST_SEQUENCE: u8 = 5;
const LARGEST_SEQUENCE: u8 = 6;
const FIRST_KEY: u8 = 7;
const LAST_KEY: u8 = 8;
const LARGEST_PARTITION: u8 = 9;

impl Properties {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut field = |tag: u8, body: &[u8]| {
            bytes.put_u8(tag);
            write_varint(&mut bytes, body.len() as u64);
            bytes.put_slice(body);
        };
        for (tag, number) in [
            (ENTRIES, self.entries),
            (TOMBSTONES, self.tombstones),
            (RAW_BYTES, self.raw_bytes),
            (PARTITIONS, self.partitions),
            (SMALLEST_SEQUENCE, self.smallest_sequence),
            (LARGEST_SEQUENCE, self.largest_sequence),
        ] {
            field(tag, &number.to_le_bytes());
        }
        field(FIRST_KEY, &self.first_key);
        field(LAST_KEY, &self.last_key);
        for partition in &self.largest_partitions {
            let mut body = partition.entries.to_le_bytes().to_vec();
            body.put_u64_le(partition.bytes);
            body.put_slice(&partition.prefix);
            field(LARGEST_PARTITION, &body);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut properties = Self::default();
        let mut at = 0;
        while at < bytes.len() {
            let tag = bytes[at];
            let (length, start) = read_varint(bytes, at + 1)?;
            at = start.checked_add(usize::try_from(length).ok()?)?;
            let body = bytes.get(start..at)?;
            let number = || Some(u64::from_le_bytes(body.try_into().ok()?));
            match tag {
                ENTRIES => properties.entries = number()?,
                TOMBSTONES => properties.tombstones = number()?,
                RAW_BYTES => properties.raw_bytes = number()?,
                PARTITIONS => properties.partitions = number()?,
                SMALLEST_SEQUENCE => properties.smallest_sequence = number()?,
                LARGEST_SEQUENCE => properties.largest_sequence = number()?,
                FIRST_KEY => properties.first_key = Bytes::copy_from_slice(body),
                LAST_KEY => properties.last_key = Bytes::copy_from_slice(body),
                LARGEST_PARTITION => {
                    let (numbers, prefix) = body.split_at_checked(16)?;
                    properties.largest_partitions.push(PartitionSize {
                        prefix: Bytes::copy_from_slice(prefix),
                        entries: u64::from_le_bytes(numbers[..8].try_into().ok()?),
                        bytes: u64::from_le_bytes(numbers[8..].try_into().ok()?),
                    });
                }
                _ => {}
            }
        }
        Some(properties)
    }

    /// Takes note of a partition that is complete.
    pub(super) fn add_partition(&mut self, prefix: &[u8], entries: u64, bytes: u64) {
        self.partitions += 1;
        let at = self
            .largest_partitions
            .partition_point(|other| other.bytes >= bytes);
        if at < LARGEST_PARTITIONS {
            self.largest_partitions.truncate(LARGEST_PARTITIONS - 1);
            self.largest_partitions.insert(
                at,
                PartitionSize {
                    prefix: Bytes::copy_from_slice(prefix),
                    entries,
                    bytes,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn properties_come_back_and_unknown_fields_are_passed_over() {
        let mut properties = Properties {
            entries: 1,
            tombstones: 2,
            raw_bytes: 3,
            smallest_sequence: 4,
            largest_sequence: 5,
            first_key: Bytes::from_static(b"a"),
            last_key: Bytes::from_static(b""),
            ..Properties::default()
        };
        for bytes in [5, 900, 70, 70] {
            properties.add_partition(&[u8::try_from(bytes % 251).unwrap()], 1, bytes);
        }
        let mut bytes = properties.encode();
        bytes.extend([200, 2, 1, 1]);
        assert_eq!(Properties::decode(&bytes).unwrap(), properties);
    }

    #[test]
    fn the_largest_partitions_are_kept() {
        let mut properties = Properties::default();
        for bytes in (0..1000).map(|number| number * 7919 % 1000) {
            properties.add_partition(b"p", 1, bytes);
        }
        let sizes: Vec<u64> = properties.largest_partitions.iter().map(|p| p.bytes).collect();
        assert_eq!(sizes, (984..1000).rev().collect::<Vec<_>>());
        assert_eq!(properties.partitions, 1000);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _decoded = Properties::decode(&bytes);
        }
    }
}
