//! Power cuts after every single operation on a simulated disk.
//!
//! After each, the directory opens, holds a prefix of the batches, and that prefix has every batch that was
//! acknowledged as durable.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use stator_storage::vfs::Vfs;
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::{Durability, Engine, Error, Settings, WriteBatch};

use support::{Entries, environment, read_all, tiny};

const BATCHES: u32 = 60;
const DIRECTORY: &str = "/d";

fn settings() -> Settings {
    Settings {
        memtable_bytes_max: 3_000,
        ..tiny()
    }
}

fn open(disk: &MemVfs) -> stator_storage::Result<Engine> {
    Engine::open(
        environment(Arc::new(disk.clone())),
        Path::new(DIRECTORY),
        settings(),
    )
}

/// Batch `number` writes its number under two keys of its own and under one of a few shared keys.
fn batch(number: u32, keyspaces: [stator_storage::KeyspaceId; 2]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    let value = [&number.to_be_bytes()[..], &[7; 90]].concat();
    batch.put(keyspaces[0], &number.to_be_bytes(), &value);
    batch.put(keyspaces[1], &number.to_be_bytes(), &value);
    batch.put(keyspaces[0], &[b'x', u8::try_from(number % 5).unwrap()], &value);
    if number > 3 {
        batch.delete(keyspaces[1], &(number - 3).to_be_bytes());
    }
    batch
}

/// What the two keyspaces hold after the first `count` batches.
fn expected(count: u32) -> [Entries; 2] {
    let value = |number: u32| [&number.to_be_bytes()[..], &[7; 90]].concat();
    let mut first: Entries = (1..=count)
        .map(|number| (number.to_be_bytes().to_vec(), value(number)))
        .collect();
    for rest in 0..5 {
        if let Some(number) = (1..=count).rev().find(|number| number % 5 == rest) {
            first.push((vec![b'x', u8::try_from(rest).unwrap()], value(number)));
        }
    }
    let second = (1..=count)
        .filter(|number| number + 3 > count || *number == 0)
        .map(|number| (number.to_be_bytes().to_vec(), value(number)))
        .collect();
    [first, second]
}

/// Runs the script until it ends or the power goes; gives the last batch that was acknowledged as durable.
fn run(disk: &MemVfs) -> u32 {
    let mut durable = 0;
    let script = |durable: &mut u32| -> stator_storage::Result<()> {
        let mut engine = open(disk)?;
        let mut keyspaces = [engine.create_keyspace("a")?, engine.create_keyspace("b")?];
        for number in 1..=BATCHES {
            let durability = if number % 4 == 0 {
                Durability::Interval
            } else {
                Durability::Sync
            };
            engine.write(batch(number, keyspaces), durability)?;
            if durability == Durability::Sync {
                *durable = number;
            }
            if number == BATCHES / 2 {
                engine.close()?;
                *durable = number;
                engine = open(disk)?;
                keyspaces = ["a", "b"].map(|name| engine.keyspace(name).unwrap());
            }
        }
        engine.close()?;
        *durable = BATCHES;
        Ok(())
    };
    match script(&mut durable) {
        Ok(()) | Err(Error::Poisoned { .. } | Error::Io { .. }) => {}
        Err(error) => unreachable!("a power cut looks like a failing disk, not like {error}"),
    }
    durable
}

/// Opens what the power cut left and compares it with the prefixes that are allowed.
fn check(disk: &MemVfs, durable: u32, context: &str) {
    let engine = open(disk).unwrap_or_else(|error| unreachable!("{context}: {error}"));
    let Some(second) = engine.keyspace("b") else {
        assert_eq!(durable, 0, "{context}: the keyspaces are lost");
        return;
    };
    let first = engine.keyspace("a").unwrap();
    let found = [
        read_all(&engine, first).unwrap(),
        read_all(&engine, second).unwrap(),
    ];
    let count = u32::try_from(engine.published_sequence()).unwrap();
    assert!(
        count >= durable,
        "{context}: {count} batches are there, {durable} were acknowledged"
    );
    assert_eq!(
        found,
        expected(count),
        "{context}: not the state after {count} batches"
    );
    // It also goes on from there.
    engine
        .write(batch(count + 1, [first, second]), Durability::Sync)
        .unwrap();
    assert_eq!(
        read_all(&engine, second).unwrap(),
        expected(count + 1)[1],
        "{context}"
    );
}

#[test]
fn every_acknowledged_batch_survives_a_power_cut_after_any_operation() {
    let whole = MemVfs::new();
    assert_eq!(run(&whole), BATCHES);
    let operations = whole.operations();
    assert!(operations > 150, "the script reaches flush and compaction");
    // Threads interleave differently from run to run, and each run has its own boundaries.
    for cut in 0..operations + 20 {
        let disk = MemVfs::new();
        disk.cut_power_after(cut);
        let durable = run(&disk);
        for unsynced in [
            Unsynced::Lost,
            Unsynced::Kept,
            Unsynced::Torn { seed: cut },
            Unsynced::Torn { seed: !cut },
        ] {
            let context = format!("cut after {cut} of {operations} operations, {unsynced:?}");
            check(&disk.after_power_cut(unsynced), durable, &context);
        }
    }
    eprintln!("{operations} boundaries of the script, each with four ways for what was not synced");
}

#[test]
fn a_second_power_cut_during_recovery_loses_nothing() {
    let first = MemVfs::new();
    assert_eq!(run(&first), BATCHES);
    let total = first.operations();
    for cut in (total / 3..total).step_by(7) {
        let disk = MemVfs::new();
        disk.cut_power_after(cut);
        let durable = run(&disk);
        for second_cut in 0..40 {
            let again = disk.after_power_cut(Unsynced::Torn { seed: cut });
            again.cut_power_after(second_cut);
            drop(open(&again));
            let unsynced = Unsynced::Torn { seed: second_cut };
            check(
                &again.after_power_cut(unsynced),
                durable,
                &format!("cuts {cut} and {second_cut}"),
            );
        }
    }
}

#[test]
fn a_bad_byte_in_any_file_is_corruption_or_changes_nothing() {
    let disk = MemVfs::new();
    assert_eq!(run(&disk), BATCHES);
    let engine = open(&disk).unwrap();
    engine.flush().unwrap();
    for number in BATCHES + 1..BATCHES + 6 {
        let keyspaces = ["a", "b"].map(|name| engine.keyspace(name).unwrap());
        engine.write(batch(number, keyspaces), Durability::Sync).unwrap();
    }
    engine.close().unwrap();
    let names = disk.list(Path::new(DIRECTORY)).unwrap();
    let mut refused = 0;
    for name in names {
        let path = Path::new(DIRECTORY).join(&name);
        let size = disk.open(&path).unwrap().size().unwrap();
        for offset in (0..size).step_by(if size > 2_000 { 37 } else { 5 }) {
            let copy = disk.after_power_cut(Unsynced::Kept);
            copy.flip_bit(&path, offset, 3).unwrap();
            let read = open(&copy).and_then(|engine| {
                let keyspaces = ["a", "b"].map(|name| engine.keyspace(name));
                let [Some(first), Some(second)] = keyspaces else {
                    unreachable!("the keyspaces are lost")
                };
                let count = u32::try_from(engine.published_sequence()).unwrap();
                Ok((count, [read_all(&engine, first)?, read_all(&engine, second)?]))
            });
            match read {
                // The last batch, too, is told from one that was being written: the close has sealed the log.
                Ok((count, found)) => {
                    assert_eq!(count, BATCHES + 5, "{name} at {offset}");
                    assert_eq!(found, expected(count), "{name} at {offset}");
                }
                Err(Error::Corruption { .. } | Error::Poisoned { .. }) => refused += 1,
                Err(Error::Io { .. }) if name == "CURRENT" => refused += 1,
                Err(error) => unreachable!("{name} at {offset}: {error}"),
            }
        }
    }
    assert!(refused > 100);
}
