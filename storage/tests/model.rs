//! The engine against a `BTreeMap`: random operations under random small settings give the same answers.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use stator_storage::vfs::mem::MemVfs;
use stator_storage::{
    Compression, Direction, Durability, Engine, KeyspaceId, Settings, Snapshot, WriteBatch,
};

use support::{Entries, environment, read_range, tiny};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Write {
        entries: Vec<(usize, Vec<u8>, Option<Vec<u8>>)>,
        sync: bool,
    },
    Get {
        keyspace: usize,
        key: Vec<u8>,
    },
    Range {
        keyspace: usize,
        bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        backward: bool,
    },
    TakeSnapshot,
    ReadSnapshot {
        keyspace: usize,
        backward: bool,
    },
    Flush,
    Reopen,
    Recreate {
        keyspace: usize,
    },
}

/// Few partitions and few sort keys, in the owner's shape, and some keys of no shape at all.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        5 => (0_u8..3, vec(0_u8..3, 0..3), 0_u8..12).prop_map(|(token, partition, sort)| {
            let mut key = vec![0, 0, 0, 0, 0, 0, 0, token];
            for byte in partition {
                key.push(byte);
                if byte == 0 {
                    key.push(0xFF);
                }
            }
            key.extend([0, 0, sort]);
            key
        }),
        1 => vec(0_u8..3, 0..4),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..20),
        (any::<u8>(), 0_usize..300).prop_map(|(byte, len)| vec![byte; len])
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let entry = (0_usize..2, key(), prop::option::weighted(0.75, value()));
    prop_oneof![
        12 => (vec(entry, 0..6), any::<bool>()).prop_map(|(entries, sync)| Step::Write { entries, sync }),
        4 => (0_usize..2, key()).prop_map(|(keyspace, key)| Step::Get { keyspace, key }),
        4 => (0_usize..2, (bound(), bound()), any::<bool>())
            .prop_map(|(keyspace, bounds, backward)| Step::Range { keyspace, bounds, backward }),
        1 => Just(Step::TakeSnapshot),
        2 => (0_usize..2, any::<bool>())
            .prop_map(|(keyspace, backward)| Step::ReadSnapshot { keyspace, backward }),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => (0_usize..2).prop_map(|keyspace| Step::Recreate { keyspace }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        200_usize..4_000,
        64_usize..600,
        any::<bool>(),
        prop_oneof![Just(0_u32), Just(10)],
        2_usize..4,
    )
        .prop_map(|(memtable, block, lz4, bloom, trigger)| Settings {
            memtable_bytes_max: memtable,
            block_bytes: block,
            compression: if lz4 { Compression::Lz4 } else { Compression::None },
            bloom_bits_per_key: bloom,
            level0_sstables_trigger: trigger,
            ..tiny()
        })
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

fn model_range(model: &Model, bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>), backward: bool) -> Entries {
    let (low, high) = bounds;
    let inside = |key: &Vec<u8>| {
        (match low {
            Bound::Included(low) => key >= low,
            Bound::Excluded(low) => key > low,
            Bound::Unbounded => true,
        }) && (match high {
            Bound::Included(high) => key <= high,
            Bound::Excluded(high) => key < high,
            Bound::Unbounded => true,
        })
    };
    let mut entries: Entries = model
        .iter()
        .filter(|(key, _)| inside(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if backward {
        entries.reverse();
    }
    entries
}

struct World {
    disk: MemVfs,
    settings: Settings,
    engine: Engine,
    keyspaces: [KeyspaceId; 2],
    models: [Model; 2],
    snapshot: Option<(Snapshot, [KeyspaceId; 2], [Model; 2])>,
}

impl World {
    fn new(settings: Settings) -> Self {
        let disk = MemVfs::new();
        let engine = Engine::open(
            environment(Arc::new(disk.clone())),
            Path::new("/d"),
            settings.clone(),
        )
        .unwrap();
        let keyspaces = [
            engine.create_keyspace("0").unwrap(),
            engine.create_keyspace("1").unwrap(),
        ];
        Self {
            disk,
            settings,
            engine,
            keyspaces,
            models: Default::default(),
            snapshot: None,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { entries, sync } => {
                let mut batch = WriteBatch::new();
                for (keyspace, key, value) in entries {
                    if let Some(value) = value {
                        batch.put(self.keyspaces[keyspace], &key, &value);
                        self.models[keyspace].insert(key, value);
                    } else {
                        batch.delete(self.keyspaces[keyspace], &key);
                        self.models[keyspace].remove(&key);
                    }
                }
                let durability = if sync {
                    Durability::Sync
                } else {
                    Durability::Interval
                };
                self.engine.write(batch, durability).unwrap();
            }
            Step::Get { keyspace, key } => {
                let found = self.engine.get(self.keyspaces[keyspace], &key).unwrap();
                assert_eq!(
                    found.as_deref(),
                    self.models[keyspace].get(&key).map(|value| &value[..])
                );
            }
            Step::Range {
                keyspace,
                bounds,
                backward,
            } => {
                let id = self.keyspaces[keyspace];
                check(
                    &self.engine.snapshot(),
                    id,
                    &self.models[keyspace],
                    &bounds,
                    backward,
                );
            }
            Step::TakeSnapshot => {
                self.snapshot = Some((self.engine.snapshot(), self.keyspaces, self.models.clone()));
            }
            Step::ReadSnapshot { keyspace, backward } => {
                if let Some((snapshot, ids, models)) = &self.snapshot {
                    let all = (Bound::Unbounded, Bound::Unbounded);
                    check(snapshot, ids[keyspace], &models[keyspace], &all, backward);
                }
            }
            Step::Flush => self.engine.flush().unwrap(),
            Step::Reopen => {
                self.snapshot = None;
                self.engine.close().unwrap();
                self.engine = Engine::open(
                    environment(Arc::new(self.disk.clone())),
                    Path::new("/d"),
                    self.settings.clone(),
                )
                .unwrap();
            }
            Step::Recreate { keyspace } => {
                let name = keyspace.to_string();
                self.engine.drop_keyspace(self.keyspaces[keyspace]).unwrap();
                let id = self.engine.create_keyspace(&name).unwrap();
                assert!(!self.keyspaces.contains(&id), "identities are not used again");
                self.keyspaces[keyspace] = id;
                self.models[keyspace].clear();
            }
        }
    }
}

fn check(
    snapshot: &Snapshot,
    keyspace: KeyspaceId,
    model: &Model,
    bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
    backward: bool,
) {
    let direction = if backward {
        Direction::Backward
    } else {
        Direction::Forward
    };
    let read = read_range(
        snapshot,
        keyspace,
        (borrowed(&bounds.0), borrowed(&bounds.1)),
        direction,
    )
    .unwrap();
    assert_eq!(read, model_range(model, bounds, backward));
    for (key, value) in model {
        assert_eq!(snapshot.get(keyspace, key).unwrap().as_deref(), Some(&value[..]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_answers_like_a_sorted_map(settings in settings(), steps in vec(step(), 1..160)) {
        let mut world = World::new(settings);
        for step in steps {
            world.step(step);
        }
        world.step(Step::Reopen);
        for keyspace in 0..2 {
            for backward in [false, true] {
                let bounds = (Bound::Unbounded, Bound::Unbounded);
                world.step(Step::Range { keyspace, bounds, backward });
            }
        }
    }
}
