//! Bytes that change on the disk under an engine that is open: what is answered, what goes on, what is given up.
//!
//! An answer is right or an error, at any time before anything was given up; afterwards exactly what could not be read is gone.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stator_storage::vfs::Vfs;
use stator_storage::vfs::mem::MemVfs;
use stator_storage::{
    CompactionStrategy, Durability, Engine, Error, KeyspaceId, KeyspaceOptions, Settings, WriteBatch,
};

use support::{environment, read_all, tiny};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const DIRECTORY: &str = "/d";

/// Everything goes into one sstable until it is flushed, whose index and filter stay in memory.
fn settings() -> Settings {
    Settings {
        memtable_bytes_max: 1 << 20,
        log_segment_bytes: 1 << 20,
        block_cache_bytes: 64 << 10,
        ..tiny()
    }
}

fn open(disk: &MemVfs, settings: Settings) -> stator_storage::Result<Engine> {
    Engine::open_driven(
        environment(Arc::new(disk.clone())),
        Path::new(DIRECTORY),
        settings,
    )
}

fn key(number: u32) -> Vec<u8> {
    format!("key-{number:05}").into_bytes()
}

fn put(engine: &Engine, id: KeyspaceId, model: &mut Model, numbers: std::ops::Range<u32>, salt: u32) {
    for number in numbers {
        let value = format!("{salt}-{number}-{}", "v".repeat(20)).into_bytes();
        let mut batch = WriteBatch::new();
        batch.put(id, &key(number), &value);
        engine.write(batch, Durability::Interval).unwrap();
        model.insert(key(number), value);
    }
}

fn turn_all(engine: &Engine) {
    while engine.turn() {}
}

fn sstables(disk: &MemVfs) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIRECTORY)).unwrap();
    let sstables = names.iter().filter(|name| name.starts_with("sst-"));
    sstables.map(|name| Path::new(DIRECTORY).join(name)).collect()
}

fn flip(disk: &MemVfs, path: &Path, offset: u64) {
    let file = disk.open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Reads every key of the model, holds every answer against it, and gives the keys whose reads fail.
fn read_each(engine: &Engine, id: KeyspaceId, model: &Model) -> Vec<Vec<u8>> {
    let mut failed = Vec::new();
    for (key, value) in model {
        match engine.get(id, key) {
            Ok(found) => assert_eq!(found.as_deref(), Some(&value[..])),
            Err(error) => {
                assert!(matches!(error, Error::Corruption { .. }), "{error}");
                failed.push(key.clone());
            }
        }
    }
    failed
}

/// Checks an sstable from end to end; gives the bytes that were read.
fn check(engine: &Engine, number: u64) -> u64 {
    let mut check = engine.check_sstable(number).unwrap();
    let mut read = 0;
    while let Some(bytes) = check.step().unwrap() {
        read += bytes;
    }
    read
}

/// An engine with one sstable of 200 keys, opened anew so that nothing of it is in the cache.
fn with_one_sstable(options: KeyspaceOptions) -> (MemVfs, Engine, KeyspaceId, Model) {
    let disk = MemVfs::new();
    let engine = open(&disk, settings()).unwrap();
    let id = engine.create_keyspace_with("a", options).unwrap();
    let mut model = Model::new();
    put(&engine, id, &mut model, 0..200, 0);
    engine.flush().unwrap();
    drop(engine);
    let engine = open(&disk, settings()).unwrap();
    (disk, engine, id, model)
}

#[test]
fn bad_bytes_fail_the_reads_that_need_them_and_no_others() {
    let (disk, engine, id, model) = with_one_sstable(KeyspaceOptions::default());
    assert_eq!(engine.damages(), 0);
    let path = sstables(&disk).remove(0);
    flip(&disk, &path, 1000);
    let failed = read_each(&engine, id, &model);
    assert!(!failed.is_empty() && failed.len() < 20, "{failed:?}");
    assert_eq!(engine.damages(), 1);
    assert_eq!(engine.statistics().damaged_sstables, 1);
    let damaged = engine.damaged();
    assert_eq!(damaged.len(), 1);
    assert_eq!((&damaged[0].file, damaged[0].keyspace), (&path, id));
    assert_eq!(
        (&damaged[0].first_key[..], &damaged[0].last_key[..]),
        (&key(0)[..], &key(199)[..])
    );
    // A walk that does not come by is served, one that does fails, and does not end early.
    let snapshot = engine.snapshot();
    let (behind, _) = model.range(failed.last().unwrap().clone()..).nth(1).unwrap();
    let bounds = (Bound::Included(&behind[..]), Bound::Unbounded);
    let read = support::read_range(&snapshot, id, bounds, stator_storage::Direction::Forward).unwrap();
    let expected = model.range::<[u8], _>(bounds).count();
    assert_eq!(read.len(), expected);
    assert!(matches!(read_all(&engine, id), Err(Error::Corruption { .. })));
}

#[test]
fn writes_and_compactions_go_on_around_a_damaged_sstable() {
    for compaction in [CompactionStrategy::Leveled, CompactionStrategy::SizeTiered] {
        let options = KeyspaceOptions {
            compaction,
            ..KeyspaceOptions::default()
        };
        let (disk, engine, id, mut model) = with_one_sstable(options);
        flip(&disk, &sstables(&disk)[0], 1000);
        if compaction == CompactionStrategy::SizeTiered {
            // It is too large to be merged soon. The leveled one is found by the compaction that reads it.
            read_each(&engine, id, &model);
        }
        for round in 1..60 {
            put(&engine, id, &mut model, 20..60, round);
            engine.flush().unwrap();
            turn_all(&engine);
        }
        assert_eq!(engine.damaged().len(), 1, "{compaction:?}");
        let failed = read_each(&engine, id, &model);
        assert!(failed.len() < 20, "{compaction:?}: {failed:?}");
        let statistics = engine.statistics();
        assert_eq!(statistics.stops, 0, "{compaction:?}");
        assert!(
            statistics.levels[0].sstables < 8,
            "{compaction:?}: {:?}",
            statistics.levels
        );
        // Nothing is left of the compactions that were given up.
        let named: u64 = statistics.levels.iter().map(|level| level.sstables).sum();
        assert_eq!(sstables(&disk).len() as u64, named, "{compaction:?}");
    }
}

#[test]
fn what_was_given_up_is_gone_and_the_rest_is_there_also_after_a_start() {
    let (disk, engine, id, mut model) = with_one_sstable(KeyspaceOptions::default());
    let path = sstables(&disk).remove(0);
    let number = engine.sstables_to_check()[0].number;
    assert!(!engine.give_up(number).unwrap(), "nothing is wrong with it");
    flip(&disk, &path, 1000);
    let failed = read_each(&engine, id, &model);
    assert!(
        !engine.give_up(number).unwrap(),
        "nobody knows what would be lost"
    );
    assert_eq!(engine.damaged()[0].lost, None);
    check(&engine, number);
    let lost = engine.damaged()[0].lost.clone().unwrap();
    for key in model.keys() {
        let may_be_lost = lost.iter().any(|span| span.first <= *key && *key <= span.last);
        assert!(may_be_lost || !failed.contains(key), "{key:?}");
    }
    let spanned = model
        .keys()
        .filter(|key| lost.iter().any(|span| span.first <= **key && **key <= span.last));
    assert!(spanned.count() <= failed.len() + 1);
    assert!(engine.give_up(number).unwrap());
    assert!(engine.damaged()[0].is_given_up);
    turn_all(&engine);
    assert_eq!(engine.damaged(), []);
    assert!(!engine.give_up(number).unwrap());
    for key in &failed {
        assert_eq!(engine.get(id, key).unwrap(), None);
        model.remove(key);
    }
    let left: Vec<_> = model.clone().into_iter().collect();
    assert_eq!(read_all(&engine, id).unwrap(), left);
    assert!(!sstables(&disk).contains(&path), "the file is deleted");
    drop(engine);
    let engine = open(&disk, settings()).unwrap();
    assert_eq!(read_all(&engine, id).unwrap(), left);
    // What is written again is compacted as if nothing had been.
    put(&engine, id, &mut model, 0..200, 1);
    engine.flush().unwrap();
    put(&engine, id, &mut model, 100..200, 2);
    engine.flush().unwrap();
    turn_all(&engine);
    assert_eq!(read_each(&engine, id, &model), Vec::<Vec<u8>>::new());
    assert!(engine.statistics().levels[1].sstables > 0);
}

#[test]
fn no_more_is_given_up_than_was_known_to_be_lost() {
    let (disk, engine, id, model) = with_one_sstable(KeyspaceOptions::default());
    let path = sstables(&disk).remove(0);
    let number = engine.sstables_to_check()[0].number;
    flip(&disk, &path, 1000);
    check(&engine, number);
    assert!(engine.give_up(number).unwrap());
    // Before the file is written anew, another block goes bad.
    flip(&disk, &path, 2000);
    turn_all(&engine);
    let damaged = engine.damaged().remove(0);
    assert_eq!(
        (damaged.number, damaged.lost, damaged.is_given_up),
        (number, None, false)
    );
    assert_eq!(sstables(&disk), [path], "nothing is left of the attempt");
    let failed = read_each(&engine, id, &model);
    check(&engine, number);
    assert!(engine.give_up(number).unwrap());
    turn_all(&engine);
    assert_eq!(engine.damaged(), []);
    assert_eq!(read_all(&engine, id).unwrap().len() + failed.len(), model.len());
}

#[test]
fn a_flipped_bit_anywhere_in_an_sstable_is_found_and_costs_at_most_the_keys_of_its_block() {
    let (disk, engine, id, model) = with_one_sstable(KeyspaceOptions::default());
    drop(engine);
    let path = sstables(&disk).remove(0);
    let size = disk.open(&path).unwrap().size().unwrap();
    for offset in (0..size).step_by(41) {
        let disk = disk.after_power_cut(stator_storage::vfs::mem::Unsynced::Kept);
        let engine = open(&disk, settings()).unwrap();
        flip(&disk, &path, offset);
        let file = engine.sstables_to_check()[0];
        assert_eq!(file.bytes, size);
        check(&engine, file.number);
        let damaged = engine.damaged();
        assert_eq!(damaged.len(), 1, "offset {offset}");
        let lost = damaged[0].lost.clone().unwrap();
        assert!(lost.len() <= 1, "offset {offset}: {lost:?}");
        assert!(engine.give_up(file.number).unwrap());
        turn_all(&engine);
        let left = read_all(&engine, id).unwrap();
        assert!(
            left.len() + 20 > model.len(),
            "offset {offset}: {} left",
            left.len()
        );
        assert!(left.iter().all(|(key, value)| model.get(key) == Some(value)));
        drop(engine);
        let engine = open(&disk, settings()).unwrap();
        assert_eq!(read_all(&engine, id).unwrap(), left);
    }
}

#[test]
fn a_check_of_good_files_reads_all_of_them() {
    let (disk, engine, id, mut model) = with_one_sstable(KeyspaceOptions::default());
    for round in 0..5 {
        put(&engine, id, &mut model, round * 50..round * 50 + 100, round);
        engine.flush().unwrap();
    }
    turn_all(&engine);
    let files = engine.sstables_to_check();
    assert_eq!(files.len(), sstables(&disk).len());
    for file in files {
        let read = check(&engine, file.number);
        // Header and footer are not counted.
        assert!(
            read < file.bytes && read + 200 > file.bytes,
            "{read} of {}",
            file.bytes
        );
    }
    assert!(engine.check_sstable(u64::MAX).is_none());
}

/// All that a flipped bit may do to a start: see the test below.
fn starts_with(disk: &MemVfs, path: &Path, offset: u64, id: KeyspaceId, model: &Model) -> usize {
    let disk = disk.after_power_cut(stator_storage::vfs::mem::Unsynced::Kept);
    flip(&disk, path, offset);
    let engine = open(&disk, settings()).unwrap();
    let failed = read_each(&engine, id, model);
    let file = engine.sstables_to_check()[0];
    check(&engine, file.number);
    let damaged = engine.damaged();
    assert_eq!(damaged.len(), 1, "offset {offset}");
    assert!(engine.damages() > 0);
    let lost = damaged[0].lost.clone().unwrap();
    let is_lost = |key: &[u8]| lost.iter().any(|span| *span.first <= *key && *key <= *span.last);
    // A filter that cannot be read fails reads of keys that are there.
    assert!(
        lost.is_empty() || failed.iter().all(|key| is_lost(key)),
        "offset {offset}"
    );
    assert!(engine.give_up(file.number).unwrap());
    turn_all(&engine);
    assert_eq!(engine.damaged(), [], "offset {offset}");
    let left = read_all(&engine, id).unwrap();
    assert!(left.iter().all(|(key, value)| model.get(key) == Some(value)));
    let kept: Model = left.iter().cloned().collect();
    let mut gone = model.keys().filter(|key| !kept.contains_key(*key));
    assert!(gone.all(|key| is_lost(key)), "offset {offset}");
    drop(engine);
    let engine = open(&disk, settings()).unwrap();
    assert_eq!((engine.damaged(), engine.damages()), (vec![], 0));
    assert_eq!(read_all(&engine, id).unwrap(), left);
    left.len()
}

#[test]
fn a_start_sets_a_damaged_sstable_aside_wherever_the_damage_is() {
    let (disk, engine, id, model) = with_one_sstable(KeyspaceOptions::default());
    drop(engine);
    let path = sstables(&disk).remove(0);
    let size = disk.open(&path).unwrap().size().unwrap();
    let left: Vec<_> = (0..64)
        .chain((64..size).step_by(37))
        .chain(size - 56..size)
        .map(|offset| starts_with(&disk, &path, offset, id, &model))
        .collect();
    // The ends of the file lose all of it, a block its own keys, the filter none.
    assert!(left.contains(&0) && left.contains(&model.len()));
    assert!(
        left.iter()
            .any(|left| *left + 20 > model.len() && *left < model.len())
    );
}

#[test]
fn a_start_without_an_sstable_that_there_must_be_stops_and_says_what_to_do() {
    let (disk, engine, _, _) = with_one_sstable(KeyspaceOptions::default());
    drop(engine);
    let path = sstables(&disk).remove(0);
    disk.remove(&path).unwrap();
    let error = open(&disk, settings()).unwrap_err();
    let Error::Corruption { file, .. } = &error else {
        unreachable!("{error}");
    };
    assert_eq!(file, &path);
    let message = error.to_string();
    assert!(
        message.contains("restore this directory from a backup or from a replica"),
        "{message}"
    );
}
