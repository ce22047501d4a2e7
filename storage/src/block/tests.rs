//! Tests of blocks: what is built is found, in both directions, and bad bytes are refused.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn build(entries: &[(Vec<u8>, SequenceNumber, Vec<u8>)], restart_interval: usize) -> Block {
    let mut builder = BlockBuilder::new(restart_interval);
    for (key, sequence, value) in entries {
        builder.push(key, *sequence, EntryKind::Put, value);
    }
    let size = builder.bytes();
    let block = Bytes::copy_from_slice(builder.finish());
    assert_eq!(block.len(), size);
    Block::open(block).unwrap()
}

proptest! {
    #[test]
    fn a_block_answers_like_a_sorted_list(
        keys in btree_map(vec(0_u8..4, 0..6), (1_u64..5, vec(any::<u8>(), 0..5)), 1..60),
        restart_interval in 1_usize..20,
        probe in vec(0_u8..4, 0..6),
        sequence in 0_u64..6,
    ) {
        let entries: Vec<_> =
            keys.into_iter().map(|(key, (sequence, value))| (key, sequence, value)).collect();
        let block = build(&entries, restart_interval);
        let target = (&probe[..], sequence);
        let at = entries
            .partition_point(|(key, sequence, _)| compare_versions((key, *sequence), target).is_lt());

        let mut key = Vec::new();
        let found = block.lower_bound(target, &mut key).unwrap();
        let found = found.map(|found| (key, block.value(&found).to_vec()));
        prop_assert_eq!(found, entries.get(at).map(|(key, _, value)| (key.clone(), value.clone())));

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
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..200), probe in vec(any::<u8>(), 0..4)) {
        if let Ok(block) = Block::open(Bytes::from(data)) {
            let found = block.lower_bound((&probe, 1), &mut Vec::new());
            prop_assert!(found.is_err() || !matches!(found, Ok(Some(found)) if block.value(&found).len() > 200));
            let mut cursor = BlockCursor::new(block);
            if cursor.seek_before((&probe, 1)).is_ok() {
                while cursor.valid() && cursor.retreat().is_ok() {}
            }
        }
    }
}
