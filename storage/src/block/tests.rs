//! Tests of blocks: what is built is found, in both directions, and bad bytes are refused.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::entry::compare_versions;
use crate::key::partition_prefix;

fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

fn build(entries: &[(Vec<u8>, SequenceNumber, Vec<u8>)]) -> Block {
    let mut builder = BlockBuilder::default();
    let mut last: Option<&[u8]> = None;
    for (bytes, sequence, value) in entries {
        let prefix = partition_prefix(bytes);
        let key = Key {
            bytes,
            prefix_len: prefix.len(),
            begins_partition: last.replace(prefix) != Some(prefix),
            hash: hash(bytes),
        };
        builder.push(key, *sequence, EntryKind::Put, value);
    }
    let size = builder.bytes();
    let block = Bytes::copy_from_slice(builder.finish());
    assert_eq!(block.len(), size);
    Block::open(block).unwrap()
}

/// Keys of the owner's shape with few partitions, and others.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0_u8..3, vec(1_u8..3, 0..2), vec(0_u8..4, 0..3)).prop_map(|(token, partition, sort)| {
            [&[0, 0, 0, 0, 0, 0, 0, token][..], &partition, &[0, 0], &sort].concat()
        }),
        vec(0_u8..4, 0..6),
    ]
}

proptest! {
    #[test]
    fn a_block_answers_like_a_sorted_list(
        keys in btree_map((key(), 0_u64..5), vec(any::<u8>(), 0..5), 1..60),
        large in prop_oneof![9 => Just(0_usize), 1 => Just(70_000)],
        probe in key(),
        sequence in 0_u64..6,
    ) {
        let mut entries: Vec<_> =
            keys.into_iter().map(|((key, sequence), value)| (key, sequence, value)).collect();
        entries.sort_by(|left, right| compare_versions((&left.0, left.1), (&right.0, right.1)));
        entries[0].2.resize(large, 7);
        let block = build(&entries);
        let target = Target::new(&probe, sequence);
        let at = entries
            .partition_point(|(key, sequence, _)| target.order_of(key, *sequence).is_lt());

        let found = block.find(target, hash(&probe)).unwrap().map(|(_, value)| value.to_vec());
        let expected = entries.get(at).filter(|(key, ..)| *key == probe).map(|entry| entry.2.clone());
        prop_assert_eq!(found, expected);

        let mut cursor = BlockCursor::new(block);
        cursor.seek(target).unwrap();
        let mut forward = Vec::new();
        while cursor.valid() {
            forward.push((cursor.key().to_vec(), cursor.sequence(), cursor.value().to_vec()));
            cursor.advance().unwrap();
        }
        prop_assert_eq!(&forward[..], &entries[at..]);

        cursor.seek_before(target).unwrap();
        let mut backward = Vec::new();
        while cursor.valid() {
            backward.push((cursor.key().to_vec(), cursor.sequence(), cursor.value().to_vec()));
            cursor.retreat().unwrap();
        }
        backward.reverse();
        prop_assert_eq!(&backward[..], &entries[..at]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..200), probe in key(), tag in any::<u64>()) {
        check_arbitrary(&data, &probe, tag);
    }

    #[test]
    fn changed_bytes_never_panic(
        keys in btree_map((key(), 0_u64..5), vec(any::<u8>(), 0..5), 1..20),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        probe in key(),
    ) {
        let mut entries: Vec<_> =
            keys.into_iter().map(|((key, sequence), value)| (key, sequence, value)).collect();
        entries.sort_by(|left, right| compare_versions((&left.0, left.1), (&right.0, right.1)));
        let mut data = build(&entries).data.to_vec();
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        check_arbitrary(&data, &probe, hash(&probe));
    }

    #[test]
    fn varints_come_back(number in any::<u64>()) {
        let mut bytes = Vec::new();
        write_varint(&mut bytes, number);
        prop_assert_eq!(read_varint(&bytes, 0), Some((number, bytes.len())));
        prop_assert_eq!(read_varint(&bytes[..bytes.len() - 1], 0), None);
    }
}

fn check_arbitrary(data: &[u8], probe: &[u8], tag: u64) {
    let Ok(block) = Block::open(Bytes::copy_from_slice(data)) else {
        return;
    };
    let target = Target::new(probe, 1);
    if let Ok(Some((_, value))) = block.find(target, tag) {
        assert!(value.len() <= data.len());
    }
    let mut cursor = BlockCursor::new(block);
    if cursor.seek_before(target).is_ok() {
        while cursor.valid() && cursor.retreat().is_ok() {}
    }
    if cursor.seek(target).is_ok() {
        while cursor.valid() && cursor.advance().is_ok() {}
    }
}
