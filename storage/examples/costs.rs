//! Prints what puts, gets and scans cost, on real files in a temporary directory.
//!
//! `cargo run --release -p stator-storage --example costs -- [entries]`. For a quick look while working on the engine;
//! the comparison with other engines is `cargo xtask bench`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring tool"
)]

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stator_storage::vfs::posix::PosixVfs;
use stator_storage::{
    Direction, Durability, Engine, Environment, KeyspaceId, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random,
    Settings, WriteBatch,
};

const VALUE_BYTES: usize = 1000;
const SORT_KEYS: u64 = 100;

fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 31;
    mixed.wrapping_mul(0x94D0_49BB_1331_11EB)
}

/// Partitions of 100 sort keys, in the order of a hash.
fn key(number: u64) -> Vec<u8> {
    let partition = number / SORT_KEYS;
    let mut key = mixed(partition).to_be_bytes().to_vec();
    key.extend_from_slice(format!("partition-{partition}").as_bytes());
    key.extend_from_slice(&[0, 0]);
    key.extend_from_slice(format!("sort-{:06}", number % SORT_KEYS).as_bytes());
    key
}

fn batch(keyspace: KeyspaceId, number: u64) -> WriteBatch {
    let mut batch = WriteBatch::with_capacity(VALUE_BYTES + 100);
    let mut value = [b'v'; VALUE_BYTES];
    for (at, chunk) in (0_u64..).zip(value.chunks_mut(16)) {
        let bytes = mixed(number * 64 + at).to_be_bytes();
        let length = chunk.len().min(8);
        chunk[..length].copy_from_slice(&bytes[..length]);
    }
    batch.put(keyspace, &key(number), &value);
    batch
}

fn report(what: &str, operations: u64, took: Duration) {
    let micros = took.as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let each = micros / operations as f64;
    println!("{what:<46} {each:>9.2} us  {:>10.0}/s", 1e6 / each);
}

fn gets(engine: &Engine, keyspace: KeyspaceId, what: &str, entries: u64, rounds: u64) {
    let keys: Vec<Vec<u8>> = (0..rounds).map(|number| key(mixed(number) % entries)).collect();
    let start = Instant::now();
    for key in &keys {
        assert!(engine.get(keyspace, key).unwrap().is_some());
    }
    report(what, rounds, start.elapsed());
}

fn scans(engine: &Engine, keyspace: KeyspaceId, entries: u64, direction: Direction, what: &str) {
    const ROUNDS: u64 = 5_000;
    let start = Instant::now();
    for number in 0..ROUNDS {
        let first = key(mixed(number) % (entries / SORT_KEYS) * SORT_KEYS);
        let prefix = &first[..first.len() - 11];
        let end = [&prefix[..prefix.len() - 1], &[1]].concat();
        let bounds = (Bound::Included(prefix), Bound::Excluded(&end[..]));
        let mut iterator = engine.snapshot().range(keyspace, bounds, direction).unwrap();
        let mut found = 0;
        while iterator.advance().unwrap() {
            found += u64::from(!iterator.value().is_empty());
        }
        assert_eq!(found, SORT_KEYS);
    }
    report(what, ROUNDS, start.elapsed());
}

fn synced(engine: &Engine, keyspace: KeyspaceId, writers: u64) {
    const ROUNDS: u64 = 20_000;
    let next = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ROUNDS {
                        break;
                    }
                    engine.write(batch(keyspace, number), Durability::Sync).unwrap();
                }
            });
        }
    });
    report(
        &format!("put, synced, {writers} blocking writers"),
        ROUNDS,
        start.elapsed(),
    );
}

/// As an asynchronous server commits: so many writes in flight, completions that begin the next one.
fn pipelined(engine: &Engine, keyspace: KeyspaceId, in_flight: u64) {
    const ROUNDS: u64 = 50_000;
    let (sender, receiver) = std::sync::mpsc::channel();
    let start = Instant::now();
    for number in 0..ROUNDS {
        if number >= in_flight {
            receiver.recv().unwrap();
        }
        let sender = sender.clone();
        engine.commit(batch(keyspace, number), Durability::Sync, move |result| {
            result.unwrap();
            sender.send(()).unwrap();
        });
    }
    for _ in 0..in_flight {
        receiver.recv().unwrap();
    }
    report(
        &format!("put, synced, {in_flight} in flight from one thread"),
        ROUNDS,
        start.elapsed(),
    );
}

fn main() {
    let entries: u64 = std::env::args()
        .nth(1)
        .map_or(200_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::new(
        Arc::new(PosixVfs),
        Random::new(|bytes| getrandom::fill(bytes).map_err(std::io::Error::other)),
        MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES])),
        0,
    );
    let open = || Engine::open(environment.clone(), directory.path(), Settings::default()).unwrap();
    let engine = open();
    let keyspace = engine.create_keyspace("bench").unwrap();
    println!("{entries} entries with keys of about 35 bytes and values of {VALUE_BYTES} bytes");

    let in_memory = 30_000.min(entries);
    let start = Instant::now();
    for number in 0..in_memory {
        engine
            .write(batch(keyspace, number), Durability::Interval)
            .unwrap();
    }
    report(
        "put, interval, one writer (with making batch)",
        in_memory,
        start.elapsed(),
    );
    gets(&engine, keyspace, "get from the memtable", in_memory, 200_000);
    scans(
        &engine,
        keyspace,
        in_memory,
        Direction::Forward,
        "scan of 100 forward, memtable",
    );
    scans(
        &engine,
        keyspace,
        in_memory,
        Direction::Backward,
        "scan of 100 backward, memtable",
    );

    let start = Instant::now();
    for number in in_memory..entries {
        engine
            .write(batch(keyspace, number), Durability::Interval)
            .unwrap();
    }
    report(
        "put, interval, with flush and compaction",
        entries - in_memory,
        start.elapsed(),
    );
    engine.flush().unwrap();
    gets(
        &engine,
        keyspace,
        "get from sstables, first time",
        entries,
        100_000,
    );
    gets(&engine, keyspace, "get from sstables, cached", entries, 100_000);
    let absent: Vec<Vec<u8>> = (0..100_000)
        .map(|number| key(entries + mixed(number) % entries))
        .collect();
    let start = Instant::now();
    assert!(
        absent
            .iter()
            .all(|key| engine.get(keyspace, key).unwrap().is_none())
    );
    report("get of an absent key", 100_000, start.elapsed());
    scans(
        &engine,
        keyspace,
        entries,
        Direction::Forward,
        "scan of 100 forward, sstables",
    );
    scans(
        &engine,
        keyspace,
        entries,
        Direction::Backward,
        "scan of 100 backward, sstables",
    );

    for writers in [1, 8, 32] {
        synced(&engine, keyspace, writers);
    }
    pipelined(&engine, keyspace, 64);
    let start = Instant::now();
    drop(engine);
    println!("close {:?}", start.elapsed());
    let start = Instant::now();
    let engine = open();
    println!(
        "open {:?}, {:?}",
        start.elapsed(),
        engine.keyspace_statistics(keyspace).unwrap()
    );
}
