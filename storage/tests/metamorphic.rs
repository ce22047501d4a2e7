//! The same operations under other settings, with other flushes and other restarts, give the same answers.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use stator_storage::vfs::mem::MemVfs;
use stator_storage::{
    CompactionStrategy, Compression, Direction, Durability, Engine, KeyspaceOptions, Settings, WriteBatch,
};

use support::{Entries, environment, read_range, tiny};

/// A world that only its owner's answers can tell from another.
#[derive(Clone, Debug)]
struct Variant {
    settings: Settings,
    compaction: CompactionStrategy,
    flush_every: u64,
    reopen_every: u64,
}

fn variant() -> impl Strategy<Value = Variant> {
    let compression = prop_oneof![
        Just(Compression::None),
        Just(Compression::Lz4),
        Just(Compression::Zstd)
    ];
    let compaction = prop_oneof![
        Just(CompactionStrategy::Leveled),
        Just(CompactionStrategy::SizeTiered)
    ];
    (
        (1_000_usize..60_000, 64_usize..2_000, 0_u32..14, 1_u64..40_000),
        (compression.clone(), compression, compaction, 1_usize..4),
        (20_u64..400, 60_u64..900, 600_u64..20_000),
    )
        .prop_map(
            |(
                (memtable, block, bloom, sstable),
                (upper, bottom, compaction, threads),
                (flush, reopen, cache),
            )| {
                Variant {
                    settings: Settings {
                        memtable_bytes_max: memtable,
                        block_bytes: block,
                        bloom_bits_per_key: bloom,
                        sstable_bytes: sstable,
                        compression: upper,
                        compression_bottom: bottom,
                        compaction_threads: threads,
                        block_cache_bytes: cache,
                        ..tiny()
                    },
                    compaction,
                    flush_every: flush,
                    reopen_every: reopen,
                }
            },
        )
}

fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn key(number: u64) -> Vec<u8> {
    let partition = number % 23;
    let token = partition.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    [
        &token.to_be_bytes()[..],
        &[b'p', 1],
        &[0, 0],
        &(number % 40).to_be_bytes(),
    ]
    .concat()
}

/// Everything the owner was told.
fn answers(seed: u64, variant: &Variant) -> Vec<Entries> {
    let disk = MemVfs::new();
    let open = || {
        let world = environment(Arc::new(disk.clone()));
        Engine::open(world, Path::new("/d"), variant.settings.clone()).unwrap()
    };
    let mut engine = open();
    let options = KeyspaceOptions {
        compaction: variant.compaction,
        ..KeyspaceOptions::default()
    };
    let id = engine.create_keyspace_with("k", options).unwrap();
    let (mut state, mut told) = (seed, Vec::new());
    for step in 1..1_200_u64 {
        let (choice, number) = (next(&mut state) % 10, next(&mut state));
        match choice {
            0..=5 => {
                let mut batch = WriteBatch::new();
                let length = usize::try_from(next(&mut state) % 120).unwrap();
                batch.put(id, &key(number), &vec![u8::try_from(step % 251).unwrap(); length]);
                batch.delete(id, &key(number / 7));
                engine.write(batch, Durability::Interval).unwrap();
            }
            6 | 7 => {
                let found = engine.get(id, &key(number)).unwrap();
                told.push(
                    found
                        .into_iter()
                        .map(|value| (key(number), value.to_vec()))
                        .collect(),
                );
            }
            _ => {
                let (low, high) = (key(number), key(number / 3));
                let direction = if choice == 8 {
                    Direction::Forward
                } else {
                    Direction::Backward
                };
                let bounds = (Bound::Included(&low[..]), Bound::Excluded(&high[..]));
                told.push(read_range(&engine.snapshot(), id, bounds, direction).unwrap());
            }
        }
        if step % variant.flush_every == 0 {
            engine.flush().unwrap();
        }
        if step % variant.reopen_every == 0 {
            engine.close().unwrap();
            drop(engine);
            engine = open();
        }
    }
    let all = (Bound::Unbounded, Bound::Unbounded);
    told.push(read_range(&engine.snapshot(), id, all, Direction::Forward).unwrap());
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn settings_change_no_answer(seed in any::<u64>(), one in variant(), other in variant()) {
        let (one, other) = (answers(seed, &one), answers(seed, &other));
        prop_assert!(one == other);
    }
}
