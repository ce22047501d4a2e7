//! Rotation of keys: old ones are not needed any more when files were written anew, and a power cut at any point of it loses
//! nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use stator_storage::vfs::Vfs as _;
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::{
    CompactionStrategy, Durability, Engine, Environment, Error, KeyStatus, KeyspaceId, KeyspaceOptions,
    LogBatch, MASTER_KEY_BYTES, MasterKey, MasterKeys, StreamId, WriteBatch,
};

use support::{Entries, environment, read_all, tiny};

const DIRECTORY: &str = "/d";
const STREAM: StreamId = StreamId(7);

fn master(byte: u8) -> MasterKey {
    MasterKey::new([byte; MASTER_KEY_BYTES])
}

fn with_keys(disk: &MemVfs, master_keys: MasterKeys) -> Environment {
    let mut environment = environment(Arc::new(disk.clone()));
    environment.master_keys = master_keys;
    environment
}

/// Opens without threads, so that every operation of the disk is the same from run to run.
fn open(disk: &MemVfs, master_keys: MasterKeys) -> stator_storage::Result<Engine> {
    Engine::open_driven(with_keys(disk, master_keys), Path::new(DIRECTORY), tiny())
}

fn keyspaces(engine: &Engine) -> [KeyspaceId; 2] {
    let options = |compaction| KeyspaceOptions {
        compaction,
        ..KeyspaceOptions::default()
    };
    [
        ("leveled", CompactionStrategy::Leveled),
        ("tiered", CompactionStrategy::SizeTiered),
    ]
    .map(|(name, strategy)| match engine.keyspace(name) {
        Some(id) => id,
        None => engine.create_keyspace_with(name, options(strategy)).unwrap(),
    })
}

fn value(number: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[7; 60]].concat()
}

fn put(engine: &Engine, ids: [KeyspaceId; 2], number: u32) -> stator_storage::Result<()> {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.put(id, &number.to_be_bytes(), &value(number));
    }
    engine.write(batch, Durability::Sync).map(drop)
}

fn expected(numbers: std::ops::Range<u32>) -> Entries {
    numbers
        .map(|number| (number.to_be_bytes().to_vec(), value(number)))
        .collect()
}

fn turn_to_end(engine: &Engine) {
    while engine.turn() {}
}

/// A directory with sstables in several levels of two keyspaces.
fn filled(disk: &MemVfs, count: u32) -> (Engine, [KeyspaceId; 2]) {
    let engine = open(disk, MasterKeys::new(master(1))).unwrap();
    let ids = keyspaces(&engine);
    for number in 0..count {
        put(&engine, ids, number).unwrap();
        turn_to_end(&engine);
    }
    engine.flush().unwrap();
    turn_to_end(&engine);
    (engine, ids)
}

fn files_by_key(status: &KeyStatus) -> Vec<(String, u64, u64, bool)> {
    let keys = status.data_keys.iter();
    keys.map(|key| (key.id.to_string(), key.sstables, key.log_segments, key.manifest))
        .collect()
}

#[test]
fn after_a_rotation_and_compaction_no_file_needs_the_old_key() {
    let disk = MemVfs::new();
    let (engine, ids) = filled(&disk, 200);
    let before = engine.key_status();
    assert_eq!(before.data_keys.len(), 1);
    let levels = engine.statistics().levels;
    assert!(
        levels.iter().filter(|level| level.sstables > 0).count() > 1,
        "{levels:?}"
    );

    assert_eq!(engine.rotate_data_key(77).unwrap().to_string(), "2");
    put(&engine, ids, 200).unwrap();
    turn_to_end(&engine);
    let between = engine.key_status();
    let [old, new] = between.data_keys[..] else {
        unreachable!("{between:?}")
    };
    assert!(
        old.sstables > 3 && !old.is_current && !old.manifest,
        "{between:?}"
    );
    assert!(
        new.is_current && new.manifest && new.created_ms == 77,
        "{between:?}"
    );
    assert!(!between.is_rewriting);

    engine.rewrite_old_files().unwrap();
    assert!(engine.key_status().is_rewriting);
    turn_to_end(&engine);
    let after = engine.key_status();
    assert_eq!(after.data_keys.len(), 1, "{after:?}");
    assert_eq!(after.data_keys[0].id.to_string(), "2");
    assert!(!after.is_rewriting, "{after:?}");
    for id in ids {
        assert_eq!(read_all(&engine, id).unwrap(), expected(0..201));
    }
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk, MasterKeys::new(master(1))).unwrap();
    assert_eq!(engine.key_status().data_keys.len(), 1);
    for id in ids {
        assert_eq!(read_all(&engine, id).unwrap(), expected(0..201));
    }
}

#[test]
fn an_engine_with_threads_rewrites_by_itself() {
    let disk = MemVfs::new();
    drop(filled(&disk, 120));
    let environment = with_keys(&disk, MasterKeys::new(master(1)));
    let engine = Engine::open(environment, Path::new(DIRECTORY), tiny()).unwrap();
    let ids = keyspaces(&engine);
    for round in 0..3 {
        engine.rotate_data_key(round).unwrap();
        engine.rewrite_old_files().unwrap();
        for number in 0..40 {
            put(&engine, ids, number).unwrap();
        }
    }
    // The last rotation may have found compactions under way, which look again when they end.
    while engine.key_status().data_keys.len() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(files_by_key(&engine.key_status())[0].0, "4");
    for id in ids {
        assert_eq!(read_all(&engine, id).unwrap(), expected(0..120));
    }
}

#[test]
fn a_stream_that_holds_an_old_key_is_told_to_its_owner_and_keeps_the_key() {
    let disk = MemVfs::new();
    let (engine, _) = filled(&disk, 20);
    let mut log = LogBatch::new();
    log.append(STREAM, 1, b"entry");
    engine
        .append_and_write(log, WriteBatch::new(), Durability::Sync)
        .unwrap();
    assert!(!engine.holds_log(STREAM));
    engine.rotate_data_key(1).unwrap();
    engine.rewrite_old_files().unwrap();
    turn_to_end(&engine);
    let status = engine.key_status();
    assert_eq!(status.data_keys.len(), 2, "{status:?}");
    assert_eq!(
        (status.data_keys[0].sstables, status.data_keys[0].log_segments > 0),
        (0, true)
    );
    assert!(engine.holds_log(STREAM) && status.is_rewriting);
    let mut log = LogBatch::new();
    log.cut_head(STREAM, 2);
    engine
        .append_and_write(log, WriteBatch::new(), Durability::Sync)
        .unwrap();
    turn_to_end(&engine);
    let status = engine.key_status();
    assert_eq!(status.data_keys.len(), 1, "{status:?}");
    assert!(!engine.holds_log(STREAM) && !status.is_rewriting);
}

#[test]
fn a_master_key_is_replaced_without_touching_data() {
    let disk = MemVfs::new();
    let (engine, ids) = filled(&disk, 60);
    engine.rotate_data_key(1).unwrap();
    let files = || {
        let names = disk.list(Path::new(DIRECTORY)).unwrap();
        let kept = names.into_iter().filter(|name| name != "KEYS");
        kept.collect::<Vec<_>>()
    };
    let (before, wanted) = (files(), || {
        Engine::wanted_master_keys(&disk, Path::new(DIRECTORY)).unwrap()
    });
    let operations = disk.operations();
    engine.rotate_master_key(MasterKeys::new(master(2))).unwrap();
    assert!(
        disk.operations() - operations <= 8,
        "{}",
        disk.operations() - operations
    );
    assert_eq!(files(), before);
    assert_eq!(wanted(), [master(2).id()]);
    assert_eq!(engine.key_status().master_key, master(2).id());
    // It serves on, and what comes later is wrapped by the new one.
    engine.rotate_data_key(2).unwrap();
    put(&engine, ids, 60).unwrap();
    engine.close().unwrap();
    drop(engine);
    let error = open(&disk, MasterKeys::new(master(1))).unwrap_err();
    assert!(
        matches!(&error, Error::WrongMasterKey { wanted, .. } if *wanted == master(2).id()),
        "{error}"
    );
    let engine = open(&disk, MasterKeys::new(master(2))).unwrap();
    assert_eq!(read_all(&engine, ids[0]).unwrap(), expected(0..61));
}

/// Rotates everything under writes. Gives how many of these were acknowledged, and whether the new master key may be in use.
fn rotate(disk: &MemVfs) -> (u32, bool) {
    let (mut written, mut replaced) = (0, false);
    let script = |written: &mut u32, replaced: &mut bool| -> stator_storage::Result<()> {
        let engine = open(disk, MasterKeys::new(master(1)))?;
        let ids = [
            engine.keyspace("leveled").unwrap(),
            engine.keyspace("tiered").unwrap(),
        ];
        let mut step = |engine: &Engine| {
            let done = put(engine, ids, 60 + *written);
            if done.is_ok() {
                *written += 1;
            }
            done
        };
        step(&engine)?;
        engine.rotate_data_key(1)?;
        step(&engine)?;
        engine.rewrite_old_files()?;
        for _ in 0..4 {
            engine.turn();
            step(&engine)?;
        }
        *replaced = true;
        engine.rotate_master_key(MasterKeys::new(master(2)))?;
        step(&engine)?;
        engine.rotate_data_key(2)?;
        engine.rewrite_old_files()?;
        while engine.turn() {}
        step(&engine)?;
        engine.close()
    };
    match script(&mut written, &mut replaced) {
        Ok(()) | Err(Error::Poisoned { .. } | Error::Io { .. }) => {}
        Err(error) => unreachable!("a power cut looks like a failing disk, not like {error}"),
    }
    (written, replaced)
}

#[test]
fn a_power_cut_after_any_operation_of_a_rotation_loses_nothing() {
    let start = MemVfs::new();
    let (engine, _) = filled(&start, 60);
    engine.close().unwrap();
    drop(engine);
    let start = || start.after_power_cut(Unsynced::Kept);
    let whole = start();
    let begun = whole.operations();
    assert_eq!(rotate(&whole), (8, true));
    let operations = whole.operations() - begun;
    assert!(operations > 150, "{operations}");
    for cut in 0..operations {
        let disk = start();
        disk.cut_power_after(begun + cut);
        let (written, replaced) = rotate(&disk);
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn { seed: cut }] {
            let context = format!("cut after {cut} of {operations} operations, {unsynced:?}");
            let disk = disk.after_power_cut(unsynced);
            let keys = if replaced {
                MasterKeys::new(master(2)).with_older(master(1))
            } else {
                MasterKeys::new(master(1))
            };
            let engine = open(&disk, keys).unwrap_or_else(|error| unreachable!("{context}: {error}"));
            for id in ["leveled", "tiered"].map(|name| engine.keyspace(name).unwrap()) {
                let found = read_all(&engine, id).unwrap_or_else(|error| unreachable!("{context}: {error}"));
                let there = u32::try_from(found.len()).unwrap();
                assert!(there >= 60 + written, "{context}: {there} of {}", 60 + written);
                assert_eq!(found, expected(0..there), "{context}");
            }
            // What is left of a rotation is done in the next life.
            engine.rotate_data_key(3).unwrap();
            engine.rewrite_old_files().unwrap();
            turn_to_end(&engine);
            assert_eq!(engine.key_status().data_keys.len(), 1, "{context}");
        }
    }
    eprintln!("{operations} operations of the rotation, each with three ways for what was not synced");
}

#[test]
fn what_was_overwritten_or_deleted_stays_so_when_old_files_are_written_anew() {
    let disk = MemVfs::new();
    let engine = open(&disk, MasterKeys::new(master(1))).unwrap();
    let ids = keyspaces(&engine);
    let mut expected = Entries::new();
    for number in 0_u32..400 {
        let key = (number % 37).to_be_bytes();
        let mut batch = WriteBatch::new();
        expected.retain(|(other, _)| other[..] != key);
        for id in ids {
            match number % 5 {
                0 => batch.delete(id, &key),
                _ => batch.put(id, &key, &value(number)),
            }
        }
        if number % 5 != 0 {
            expected.push((key.to_vec(), value(number)));
        }
        engine.write(batch, Durability::Sync).unwrap();
        turn_to_end(&engine);
    }
    expected.sort_unstable();
    engine.rotate_data_key(78).unwrap();
    turn_to_end(&engine);
    assert!(engine.key_status().data_keys[0].sstables > 0);
    engine.rewrite_old_files().unwrap();
    turn_to_end(&engine);
    assert_eq!(engine.key_status().data_keys.len(), 1);
    for id in ids {
        assert_eq!(read_all(&engine, id).unwrap(), expected);
    }
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk, MasterKeys::new(master(1))).unwrap();
    for id in ids {
        assert_eq!(read_all(&engine, id).unwrap(), expected);
    }
}
