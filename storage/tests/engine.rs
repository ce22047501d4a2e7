//! Behaviour of the engine as its owner sees it: keyspaces, locks, faults, concurrency.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use stator_storage::vfs::fault::{Fault, FaultVfs, Operation};
use stator_storage::vfs::mem::MemVfs;
use stator_storage::vfs::posix::PosixVfs;
use stator_storage::{
    CompactionFilter, CompactionRules, CompactionStrategy, Direction, Durability, Engine, Error, KeyspaceId,
    KeyspaceOptions, Settings, WriteBatch,
};

use support::{environment, read_all, read_range, tiny};

fn open(disk: &MemVfs) -> Engine {
    Engine::open(environment(Arc::new(disk.clone())), Path::new("/d"), tiny()).unwrap()
}

fn put(engine: &Engine, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> Result<u64, Error> {
    let mut batch = WriteBatch::new();
    batch.put(keyspace, key, value);
    engine.write(batch, Durability::Sync)
}

#[test]
fn keyspaces_are_durable_and_their_names_unique() {
    let disk = MemVfs::new();
    let engine = open(&disk);
    let id = engine.create_keyspace("a").unwrap();
    assert!(matches!(
        engine.create_keyspace("a"),
        Err(Error::KeyspaceExists { .. })
    ));
    assert!(matches!(engine.create_keyspace(""), Err(Error::Invalid { .. })));
    drop(engine);
    let engine = open(&disk);
    assert_eq!(engine.keyspace("a"), Some(id));
    engine.drop_keyspace(id).unwrap();
    drop(engine);
    let engine = open(&disk);
    assert_eq!(engine.keyspaces(), []);
    assert!(matches!(engine.get(id, b"k"), Err(Error::NoSuchKeyspace { .. })));
    assert!(matches!(
        put(&engine, id, b"k", b"v"),
        Err(Error::NoSuchKeyspace { .. })
    ));
    assert_ne!(engine.create_keyspace("a").unwrap(), id);
}

#[test]
fn a_snapshot_still_reads_a_keyspace_that_was_dropped_after_it() {
    let engine = open(&MemVfs::new());
    let id = engine.create_keyspace("a").unwrap();
    for number in 0..100_u32 {
        put(&engine, id, &number.to_be_bytes(), &[1; 50]).unwrap();
    }
    let snapshot = engine.snapshot();
    engine.drop_keyspace(id).unwrap();
    engine.flush().unwrap();
    let all = (Bound::Unbounded, Bound::Unbounded);
    assert_eq!(
        read_range(&snapshot, id, all, Direction::Forward).unwrap().len(),
        100
    );
    assert!(engine.get(id, b"k").is_err());
}

#[test]
fn a_walk_past_the_cache_shows_the_same_and_leaves_the_cache_alone() {
    // One sstable, whose index stays in memory.
    let settings = Settings {
        memtable_bytes_max: 1 << 20,
        log_segment_bytes: 1 << 16,
        block_cache_bytes: 1 << 20,
        ..tiny()
    };
    let engine = Engine::open(environment(Arc::new(MemVfs::new())), Path::new("/d"), settings).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    for number in 0..200_u32 {
        put(&engine, id, &number.to_be_bytes(), &[7; 50]).unwrap();
    }
    engine.flush().unwrap();
    // Not in the sstable.
    put(&engine, id, &7_u32.to_be_bytes(), b"newer").unwrap();
    let snapshot = engine.snapshot();
    let (after, before) = (2_u32.to_be_bytes(), 150_u32.to_be_bytes());
    let bounds = (Bound::Excluded(&after[..]), Bound::Included(&before[..]));
    for direction in [Direction::Forward, Direction::Backward] {
        let cache = engine.statistics().cache;
        let mut walk = snapshot.range_past_cache(id, bounds, direction).unwrap();
        let mut seen = Vec::new();
        while walk.advance().unwrap() {
            seen.push((walk.key().to_vec(), walk.value().to_vec()));
        }
        assert_eq!(engine.statistics().cache, cache);
        assert_eq!(seen.len(), 148);
        assert_eq!(seen, read_range(&snapshot, id, bounds, direction).unwrap());
    }
    assert!(engine.statistics().cache.bytes > 0);
}

#[test]
fn a_second_engine_on_the_same_directory_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        Engine::open(
            environment(Arc::new(PosixVfs)),
            directory.path(),
            Settings {
                log_segment_bytes: 1 << 16,
                ..tiny()
            },
        )
    };
    let engine = open().unwrap();
    assert!(matches!(open(), Err(Error::Locked { .. })));
    engine.close().unwrap();
    open().unwrap();
}

#[test]
fn real_files_hold_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Engine::open(environment(Arc::new(PosixVfs)), directory.path(), tiny()).unwrap();
    let engine = open();
    let id = engine.create_keyspace("a").unwrap();
    for number in 0..500_u32 {
        let mut batch = WriteBatch::new();
        batch.put(id, &number.to_be_bytes(), &[3; 40]);
        let durability = if number % 50 == 0 {
            Durability::Sync
        } else {
            Durability::Interval
        };
        engine.write(batch, durability).unwrap();
    }
    drop(engine);
    let engine = open();
    assert_eq!(read_all(&engine, id).unwrap().len(), 500);
    let statistics = engine.keyspace_statistics(id).unwrap();
    assert!(statistics.entries_approximate >= 500 && statistics.bytes_approximate > 0);
}

#[test]
fn completions_run_in_order_and_once() {
    let engine = open(&MemVfs::new());
    let id = engine.create_keyspace("a").unwrap();
    let last = Arc::new(AtomicU64::new(0));
    for number in 0..200_u32 {
        let mut batch = WriteBatch::new();
        batch.put(id, &number.to_be_bytes(), &[1; 30]);
        let last = Arc::clone(&last);
        let durability = if number % 3 == 0 {
            Durability::Interval
        } else {
            Durability::Sync
        };
        engine.commit(batch, durability, move |result| {
            let sequence = result.unwrap();
            assert_eq!(last.fetch_max(sequence, Ordering::SeqCst), sequence - 1);
        });
    }
    engine.close().unwrap();
    assert_eq!(last.load(Ordering::SeqCst), 200);
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut batch = WriteBatch::new();
    batch.put(id, b"late", b"");
    engine.commit(batch, Durability::Sync, move |result| {
        sender.send(result).unwrap();
    });
    assert!(matches!(receiver.recv().unwrap(), Err(Error::Closed)));
}

#[test]
fn after_a_failed_sync_or_write_nothing_more_is_acknowledged() {
    for (operation, fault) in [
        (Operation::Sync, Fault::Eio),
        (Operation::Write, Fault::Enospc),
        (Operation::Write, Fault::Eio),
    ] {
        let disk = MemVfs::new();
        let faulty = FaultVfs::new(Arc::new(disk.clone()));
        let engine = Engine::open(environment(Arc::new(faulty.clone())), Path::new("/d"), tiny()).unwrap();
        let id = engine.create_keyspace("a").unwrap();
        put(&engine, id, b"before", b"1").unwrap();
        assert_eq!(engine.failure(), None);
        faulty.fail(operation, fault, 0, 1);
        let error = put(&engine, id, b"during", b"2").unwrap_err();
        assert!(
            matches!(&error, Error::Poisoned { cause } if cause.contains("log-0000000001.log")),
            "{error}"
        );
        assert!(
            engine
                .failure()
                .is_some_and(|cause| cause.contains("log-0000000001.log"))
        );
        // The disk works again, but nobody knows what it holds.
        assert!(matches!(
            put(&engine, id, b"after", b"3"),
            Err(Error::Poisoned { .. })
        ));
        assert!(matches!(engine.get(id, b"before"), Err(Error::Poisoned { .. })));
        assert!(matches!(engine.create_keyspace("b"), Err(Error::Poisoned { .. })));
        assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
        assert_eq!(faulty.refused(), 1, "a failed sync is not tried again");
        drop(engine);
        let engine = open(&disk);
        assert_eq!(engine.get(id, b"before").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(engine.get(id, b"after").unwrap(), None);
    }
}

#[test]
fn a_full_disk_during_flush_loses_nothing_acknowledged() {
    for after in 0..40 {
        let disk = MemVfs::new();
        let faulty = FaultVfs::new(Arc::new(disk.clone()));
        let engine = Engine::open(environment(Arc::new(faulty.clone())), Path::new("/d"), tiny()).unwrap();
        let id = engine.create_keyspace("a").unwrap();
        faulty.fail(Operation::Write, Fault::Enospc, after, u64::MAX);
        let mut acknowledged = 0;
        for number in 0..60_u32 {
            match put(&engine, id, &number.to_be_bytes(), &[9; 100]) {
                Ok(_) => acknowledged = number + 1,
                Err(Error::Poisoned { .. }) => break,
                Err(error) => unreachable!("{error}"),
            }
        }
        drop(engine);
        let found = read_all(&open(&disk), id).unwrap();
        assert!(
            found.len() >= acknowledged as usize,
            "{} of {acknowledged}",
            found.len()
        );
    }
}

#[test]
fn snapshots_see_whole_batches_while_writers_write() {
    const WRITERS: u32 = 6;
    const ROUNDS: u32 = 300;
    let engine = open(&MemVfs::new());
    let keyspaces = [
        engine.create_keyspace("a").unwrap(),
        engine.create_keyspace("b").unwrap(),
    ];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let mut batch = WriteBatch::new();
                        for keyspace in keyspaces {
                            batch.put(keyspace, &writer.to_be_bytes(), &round.to_be_bytes());
                            batch.put(keyspace, &(writer + 100).to_be_bytes(), &round.to_be_bytes());
                        }
                        let durability = if round % 2 == 0 {
                            Durability::Sync
                        } else {
                            Durability::Interval
                        };
                        engine.write(batch, durability).unwrap();
                        let own = engine.get(keyspaces[0], &writer.to_be_bytes()).unwrap().unwrap();
                        assert_eq!(&own[..], round.to_be_bytes(), "a writer reads its own write");
                    }
                })
            })
            .collect();
        for backward in [false, true] {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let direction = if backward {
                    Direction::Backward
                } else {
                    Direction::Forward
                };
                while !done.load(Ordering::Acquire) {
                    let snapshot = engine.snapshot();
                    let all = (Bound::Unbounded, Bound::Unbounded);
                    let read = keyspaces.map(|id| read_range(&snapshot, id, all, direction).unwrap());
                    assert_eq!(read[0], read[1]);
                    for writer in 0..WRITERS {
                        let values = [writer, writer + 100]
                            .map(|key| snapshot.get(keyspaces[1], &key.to_be_bytes()).unwrap());
                        assert_eq!(values[0], values[1]);
                    }
                }
            });
        }
        let results: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        assert!(results.iter().all(Result::is_ok));
    });
    assert_eq!(
        read_all(&engine, keyspaces[0]).unwrap().len(),
        2 * WRITERS as usize
    );
}

/// Values that begin with a 0 expire when the time has come.
#[derive(Debug, Default)]
struct Expiring {
    time_has_come: AtomicBool,
}

impl CompactionFilter for Expiring {
    fn rules(&self) -> Arc<dyn CompactionRules> {
        Arc::new(AsOf(self.time_has_come.load(Ordering::Relaxed)))
    }
}

#[derive(Debug)]
struct AsOf(bool);

impl CompactionRules for AsOf {
    fn is_expired(&self, _keyspace: KeyspaceId, _key: &[u8], value: &[u8]) -> bool {
        self.0 && value.starts_with(&[0])
    }
}

#[test]
fn what_the_owner_calls_expired_goes_with_compaction_but_not_under_a_snapshot() {
    for compaction in [CompactionStrategy::Leveled, CompactionStrategy::SizeTiered] {
        let mut world = environment(Arc::new(MemVfs::new()));
        let filter = Arc::new(Expiring::default());
        world.filter = Arc::clone(&filter) as Arc<dyn CompactionFilter>;
        let engine = Engine::open(world, Path::new("/d"), tiny()).unwrap();
        let options = KeyspaceOptions {
            compaction,
            ..KeyspaceOptions::default()
        };
        let id = engine.create_keyspace_with("a", options).unwrap();
        for number in 0..100_u32 {
            put(
                &engine,
                id,
                &number.to_be_bytes(),
                &[u8::from(number % 2 == 0), 1, 2],
            )
            .unwrap();
        }
        let snapshot = engine.snapshot();
        filter.time_has_come.store(true, Ordering::Relaxed);
        // Between all of the keys above, more and more others are written, so that compaction comes to each level.
        let churn = |engine: &Engine, round: u32| {
            for number in 0..100_u32 {
                let key = [number.to_be_bytes(), round.to_be_bytes()].concat();
                put(engine, id, &key, &[1; 90]).unwrap();
            }
            engine.flush().unwrap();
        };
        churn(&engine, 0);
        let all = (Bound::Unbounded, Bound::Unbounded);
        let seen = read_range(&snapshot, id, all, Direction::Forward).unwrap();
        assert_eq!(seen.len(), 100, "{compaction:?}");
        drop(snapshot);
        let expired_are_gone = || {
            let found = read_all(&engine, id).unwrap();
            found.iter().all(|(_, value)| value[0] != 0)
        };
        let rounds = (1..1000).take_while(|round| {
            churn(&engine, *round);
            !expired_are_gone()
        });
        assert!(rounds.count() < 999, "{compaction:?}: {:?}", engine.statistics());
        assert!(engine.statistics().expired >= 50, "{compaction:?}");
        assert_eq!(engine.get(id, &1_u32.to_be_bytes()).unwrap(), None);
        assert!(engine.get(id, &2_u32.to_be_bytes()).unwrap().is_some());
    }
}

/// Its time goes on with every question: values that hold an earlier time have expired.
#[derive(Debug, Default)]
struct Hasty {
    now: Arc<AtomicU64>,
    made: AtomicU64,
}

impl CompactionFilter for Hasty {
    fn rules(&self) -> Arc<dyn CompactionRules> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Arc::new(HastyRules {
            now: Arc::clone(&self.now),
            at: self.now.load(Ordering::Relaxed),
        })
    }
}

#[derive(Debug)]
struct HastyRules {
    now: Arc<AtomicU64>,
    at: u64,
}

impl CompactionRules for HastyRules {
    fn is_expired(&self, _keyspace: KeyspaceId, _key: &[u8], value: &[u8]) -> bool {
        self.now.fetch_add(1, Ordering::Relaxed);
        value < &self.at.to_be_bytes()[..]
    }
}

#[test]
fn a_compaction_keeps_to_the_rules_of_its_beginning() {
    let mut world = environment(Arc::new(MemVfs::new()));
    let filter = Arc::new(Hasty::default());
    world.filter = Arc::clone(&filter) as Arc<dyn CompactionFilter>;
    let engine = Engine::open_driven(world, Path::new("/d"), tiny()).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    for number in 0..2_000_u32 {
        // Expires a while after it was written.
        let expires = filter.now.load(Ordering::Relaxed) + u64::from(number % 400);
        let value = [&expires.to_be_bytes()[..], &[1; 40]].concat();
        put(
            &engine,
            id,
            &number.wrapping_mul(2_654_435_761).to_be_bytes(),
            &value,
        )
        .unwrap();
    }
    while engine.turn() {}
    let statistics = engine.statistics();
    let asked = filter.now.load(Ordering::Relaxed);
    assert!(
        statistics.compactions > 10 && statistics.expired > 10,
        "{statistics:?}"
    );
    // Each has asked many times, and got its rules once.
    assert!(asked > 10 * statistics.compactions, "{asked}: {statistics:?}");
    assert_eq!(filter.made.load(Ordering::Relaxed), statistics.compactions);
}

#[test]
fn statistics_tell_what_was_written_and_held_back() {
    let settings = Settings {
        compaction_bytes_per_second_max: 200_000,
        ..tiny()
    };
    let engine = Engine::open(environment(Arc::new(MemVfs::new())), Path::new("/d"), settings).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    for _ in 0..1000 {
        if !engine.statistics().paced.is_zero() {
            break;
        }
        for number in 0..200_u32 {
            put(
                &engine,
                id,
                &number.wrapping_mul(2_654_435_761).to_be_bytes(),
                &[number.to_le_bytes()[0]; 90],
            )
            .unwrap();
        }
    }
    engine.flush().unwrap();
    let statistics = engine.statistics();
    assert!(!statistics.paced.is_zero(), "{statistics:?}");
    assert!(
        statistics.flushes > 1 && statistics.flushed_bytes > 1000,
        "{statistics:?}"
    );
    assert!(
        statistics.compactions > 0 && statistics.compacted_bytes() > 0,
        "{statistics:?}"
    );
    assert!(statistics.compaction_read_bytes > 0);
    let entries: u64 = statistics.levels.iter().map(|level| level.entries).sum();
    assert!(entries >= 200, "{statistics:?}");
    let log = engine.log_statistics();
    assert!(log.commits >= 200 && log.syncs <= log.frames, "{log:?}");
}
