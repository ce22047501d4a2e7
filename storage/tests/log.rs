//! Streams of the owner in the log, and keyspaces that their owner replays.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use stator_storage::vfs::fault::{Fault, FaultVfs, Operation};
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::{
    Durability, Engine, Error, KeyspaceId, KeyspaceOptions, LogBatch, Recovery, Result, Settings, StreamId,
    WriteBatch,
};

use support::{environment, read_all, tiny};

const DIRECTORY: &str = "/d";

fn open(disk: &MemVfs) -> Result<Engine> {
    Engine::open(environment(Arc::new(disk.clone())), Path::new(DIRECTORY), tiny())
}

fn append(engine: &Engine, log: LogBatch, durability: Durability) -> Result<()> {
    engine
        .append_and_write(log, WriteBatch::with_capacity(0), durability)
        .map(drop)
}

/// A stream as a test knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    head: u64,
    next: u64,
    state: Vec<u8>,
    entries: BTreeMap<u64, Vec<u8>>,
}

type Models = BTreeMap<u64, Model>;

fn read(engine: &Engine) -> Result<Models> {
    let mut models = Models::new();
    for (id, info) in engine.streams() {
        let mut entries = BTreeMap::new();
        let mut from = info.head;
        while from < info.next {
            let read = engine.read_stream(id, from..info.next, 300)?;
            from = read.last().unwrap().index + 1;
            entries.extend(
                read.into_iter()
                    .map(|entry| (entry.index, entry.payload.to_vec())),
            );
        }
        let model = Model {
            head: info.head,
            next: info.next,
            state: info.state.to_vec(),
            entries,
        };
        models.insert(id.0, model);
    }
    Ok(models)
}

#[derive(Clone, Debug)]
enum Step {
    Append { stream: u64, count: u64, length: usize },
    CutHead { stream: u64, keep: u64 },
    CutTail { stream: u64, remove: u64 },
    SetState { stream: u64, state: Vec<u8> },
    Drop { stream: u64 },
    Write { keys: u8 },
    Flush,
    Rotate,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 1_u64..4;
    prop_oneof![
        8 => (stream.clone(), 1_u64..5, 0_usize..900)
            .prop_map(|(stream, count, length)| Step::Append { stream, count, length }),
        3 => (stream.clone(), 0_u64..6).prop_map(|(stream, keep)| Step::CutHead { stream, keep }),
        2 => (stream.clone(), 0_u64..4).prop_map(|(stream, remove)| Step::CutTail { stream, remove }),
        2 => (stream.clone(), vec(any::<u8>(), 0..20))
            .prop_map(|(stream, state)| Step::SetState { stream, state }),
        1 => stream.prop_map(|stream| Step::Drop { stream }),
        4 => (1_u8..20).prop_map(|keys| Step::Write { keys }),
        1 => Just(Step::Flush),
        1 => Just(Step::Rotate),
        2 => Just(Step::Reopen),
    ]
}

/// Makes a step on the model and in a batch.
fn make(step: &Step, models: &mut Models, log: &mut LogBatch) {
    match *step {
        Step::Append {
            stream,
            count,
            length,
        } => {
            let model = models.entry(stream).or_default();
            for _ in 0..count {
                if model.next == 0 {
                    (model.head, model.next) = (7, 7);
                }
                let payload = vec![u8::try_from(model.next % 251).unwrap(); length];
                log.append(StreamId(stream), model.next, &payload);
                model.entries.insert(model.next, payload);
                model.next += 1;
            }
        }
        Step::CutHead { stream, keep } => {
            let Some(model) = models.get_mut(&stream).filter(|model| model.next > 0) else {
                return;
            };
            let head = model.next.saturating_sub(keep).max(model.head);
            log.cut_head(StreamId(stream), head);
            model.head = head;
            model.entries = model.entries.split_off(&head);
        }
        Step::CutTail { stream, remove } => {
            let Some(model) = models.get_mut(&stream).filter(|model| model.next > 0) else {
                return;
            };
            let next = model.next.saturating_sub(remove).max(model.head);
            log.cut_tail(StreamId(stream), next);
            model.next = next;
            model.entries.split_off(&next);
        }
        Step::SetState { stream, ref state } => {
            log.set_state(StreamId(stream), state);
            models.entry(stream).or_default().state.clone_from(state);
        }
        Step::Drop { stream } => {
            log.drop_stream(StreamId(stream));
            models.remove(&stream);
        }
        Step::Write { .. } | Step::Flush | Step::Rotate | Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn streams_are_what_was_done_to_them(steps in vec(step(), 1..60)) {
        let disk = MemVfs::new();
        let mut engine = open(&disk).unwrap();
        let keyspace = engine.create_keyspace("k").unwrap();
        let (mut models, mut written) = (Models::new(), BTreeMap::new());
        for (number, step) in (0_u64..).zip(&steps) {
            match step {
                Step::Write { keys } => {
                    for key in 0..*keys {
                        let mut batch = WriteBatch::new();
                        let value = [&number.to_be_bytes()[..], &[3; 90]].concat();
                        batch.put(keyspace, &[key], &value);
                        written.insert(vec![key], value);
                        engine.write(batch, Durability::Interval).unwrap();
                    }
                }
                Step::Flush => engine.flush().unwrap(),
                Step::Rotate => drop(engine.rotate_data_key(number).unwrap()),
                Step::Reopen => {
                    engine.close().unwrap();
                    engine = open(&disk).unwrap();
                }
                step => {
                    let mut log = LogBatch::new();
                    make(step, &mut models, &mut log);
                    append(&engine, log, Durability::Interval).unwrap();
                }
            }
            prop_assert_eq!(&read(&engine).unwrap(), &models);
        }
        drop(engine);
        let engine = open(&disk).unwrap();
        prop_assert_eq!(&read(&engine).unwrap(), &models);
        let found = read_all(&engine, keyspace).unwrap();
        prop_assert_eq!(found, written.into_iter().collect::<Vec<_>>());
    }
}

/// The streams after so many batches of the power cut's script.
fn scripted(count: u64) -> (Models, Vec<LogBatch>) {
    let mut models = Models::new();
    let mut batches = Vec::new();
    for number in 1..=count {
        let mut log = LogBatch::new();
        let stream = 1 + number % 3;
        make(
            &Step::Append {
                stream,
                count: 2,
                length: 120,
            },
            &mut models,
            &mut log,
        );
        make(
            &Step::Append {
                stream: 4,
                count: 1,
                length: 10,
            },
            &mut models,
            &mut log,
        );
        if number % 5 == 0 {
            make(&Step::CutTail { stream, remove: 1 }, &mut models, &mut log);
            make(
                &Step::Append {
                    stream,
                    count: 1,
                    length: 30,
                },
                &mut models,
                &mut log,
            );
        }
        if number % 7 == 0 {
            make(&Step::CutHead { stream, keep: 3 }, &mut models, &mut log);
            make(&Step::CutHead { stream: 4, keep: 9 }, &mut models, &mut log);
        }
        let state = number.to_be_bytes().to_vec();
        make(&Step::SetState { stream: 4, state }, &mut models, &mut log);
        batches.push(log);
    }
    (models, batches)
}

#[test]
fn batches_of_streams_survive_a_power_cut_whole_or_not_at_all() {
    const BATCHES: u64 = 60;
    let run = |disk: &MemVfs| -> u64 {
        let mut durable = 0;
        let script = |durable: &mut u64| -> Result<()> {
            let mut engine = open(disk)?;
            for (number, log) in (1..).zip(scripted(BATCHES).1) {
                let durability = if number % 4 == 0 {
                    Durability::Interval
                } else {
                    Durability::Sync
                };
                append(&engine, log, durability)?;
                if durability == Durability::Sync {
                    *durable = number;
                }
                if number == BATCHES / 2 {
                    engine.close()?;
                    engine = open(disk)?;
                }
            }
            engine.close()
        };
        match script(&mut durable) {
            Ok(()) | Err(Error::Poisoned { .. } | Error::Io { .. }) => durable,
            Err(error) => unreachable!("a power cut looks like a failing disk, not like {error}"),
        }
    };
    let whole = MemVfs::new();
    run(&whole);
    let operations = whole.operations();
    for cut in 0..operations + 5 {
        let disk = MemVfs::new();
        disk.cut_power_after(cut);
        let durable = run(&disk);
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn { seed: cut }] {
            let after = disk.after_power_cut(unsynced);
            let context = format!("cut after {cut} of {operations} operations, {unsynced:?}");
            let engine = open(&after).unwrap_or_else(|error| unreachable!("{context}: {error}"));
            let found = read(&engine).unwrap();
            let state = found.get(&4).map_or(vec![0; 8], |model| model.state.clone());
            let count = u64::from_be_bytes(state.try_into().unwrap());
            assert!(
                count >= durable,
                "{context}: {count} batches, {durable} were acknowledged"
            );
            assert_eq!(found, scripted(count).0, "{context}");
        }
    }
    eprintln!("{operations} boundaries of the script of streams");
}

const REPLAYED: StreamId = StreamId(9);

fn replayed_keyspace(engine: &Engine) -> Result<KeyspaceId> {
    let options = KeyspaceOptions {
        recovery: Recovery::Replayed,
        ..KeyspaceOptions::default()
    };
    match engine.keyspace("replayed") {
        Some(id) => Ok(id),
        None => engine.create_keyspace_with("replayed", options),
    }
}

fn applied(id: KeyspaceId, payload: &[u8], index: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(id, &[b'k', u8::try_from(index % 17).unwrap()], payload);
    batch
}

/// Applies what the log has and no sstable, as an owner does after a start.
fn replay(engine: &Engine, id: KeyspaceId) -> Result<u64> {
    let Some(info) = engine.stream(REPLAYED) else {
        return Ok(0);
    };
    let mut next = engine.flushed_index(REPLAYED) + 1;
    assert!(next >= info.head, "what is not on disk is in the log");
    while next < info.next {
        for entry in engine.read_stream(REPLAYED, next..info.next, 1000)? {
            engine.apply(applied(id, &entry.payload, entry.index), REPLAYED, entry.index)?;
            next = entry.index + 1;
        }
    }
    Ok(next - 1)
}

#[test]
fn what_its_owner_replays_survives_a_power_cut_anywhere() {
    const ENTRIES: u64 = 90;
    let payload = |index: u64| [&index.to_be_bytes()[..], &[5; 150]].concat();
    let run = |disk: &MemVfs| -> u64 {
        let mut durable = 0;
        let script = |durable: &mut u64| -> Result<()> {
            let engine = open(disk)?;
            let id = replayed_keyspace(&engine)?;
            for index in 1..=ENTRIES {
                let mut log = LogBatch::new();
                log.append(REPLAYED, index, &payload(index));
                // What is on disk needs no log.
                log.cut_head(REPLAYED, engine.flushed_index(REPLAYED) + 1);
                append(&engine, log, Durability::Sync)?;
                *durable = index;
                engine.apply(applied(id, &payload(index), index), REPLAYED, index)?;
            }
            engine.flush()?;
            assert_eq!(engine.flushed_index(REPLAYED), ENTRIES);
            engine.close()
        };
        match script(&mut durable) {
            Ok(()) | Err(Error::Poisoned { .. } | Error::Io { .. }) => durable,
            Err(error) => unreachable!("a power cut looks like a failing disk, not like {error}"),
        }
    };
    let whole = MemVfs::new();
    assert_eq!(run(&whole), ENTRIES);
    let operations = whole.operations();
    for cut in 0..operations + 5 {
        let disk = MemVfs::new();
        disk.cut_power_after(cut);
        let durable = run(&disk);
        for unsynced in [Unsynced::Lost, Unsynced::Torn { seed: cut }] {
            let after = disk.after_power_cut(unsynced);
            let engine = open(&after).unwrap();
            let id = replayed_keyspace(&engine).unwrap();
            let count = replay(&engine, id).unwrap();
            assert!(count >= durable, "cut {cut}: {count} of {durable}");
            let mut expected = BTreeMap::new();
            for index in 1..=count {
                expected.insert(vec![b'k', u8::try_from(index % 17).unwrap()], payload(index));
            }
            let found = read_all(&engine, id).unwrap();
            assert_eq!(
                found,
                expected.into_iter().collect::<Vec<_>>(),
                "cut {cut}, {unsynced:?}"
            );
        }
    }
    eprintln!("{operations} boundaries of the script of replays");
}

#[test]
fn the_two_ways_into_a_keyspace_are_kept_apart() {
    let engine = open(&MemVfs::new()).unwrap();
    let (logged, replayed) = (
        engine.create_keyspace("a").unwrap(),
        replayed_keyspace(&engine).unwrap(),
    );
    let refused = engine.write(applied(replayed, b"", 1), Durability::Sync);
    assert!(matches!(refused, Err(Error::Invalid { what: "keyspace", .. })));
    let refused = engine.apply(applied(logged, b"", 1), REPLAYED, 1);
    assert!(matches!(refused, Err(Error::Invalid { what: "keyspace", .. })));
    engine.apply(applied(replayed, b"", 5), REPLAYED, 5).unwrap();
    assert!(engine.apply(applied(replayed, b"", 5), REPLAYED, 5).is_err());
    assert!(engine.keyspace_flushed_sequence(replayed).unwrap() < engine.published_sequence());
    assert_eq!(
        engine.keyspace_flushed_sequence(logged).unwrap(),
        engine.published_sequence()
    );
    engine.flush().unwrap();
    assert_eq!(engine.flushed_index(REPLAYED), 5);
    assert_eq!(
        engine.keyspace_flushed_sequence(replayed).unwrap(),
        engine.published_sequence()
    );
    engine.forget_applied(REPLAYED).unwrap();
    engine.apply(applied(replayed, b"", 1), REPLAYED, 1).unwrap();
}

#[test]
fn a_batch_that_does_not_fit_its_streams_is_refused_and_the_rest_goes_on() {
    let engine = open(&MemVfs::new()).unwrap();
    let mut log = LogBatch::new();
    log.append(StreamId(1), 10, b"ten");
    append(&engine, log, Durability::Sync).unwrap();
    let mut log = LogBatch::new();
    log.append(StreamId(1), 10, b"again");
    let error = append(&engine, log, Durability::Sync).unwrap_err();
    assert!(error.to_string().contains("cut the tail first"), "{error}");
    assert!(engine.read_stream(StreamId(1), 9..11, 100).is_err());
    assert!(engine.read_stream(StreamId(2), 9..11, 100).is_err());
    let entries = engine.read_stream(StreamId(1), 10..11, 100).unwrap();
    assert_eq!((entries.len(), &entries[0].payload[..]), (1, &b"ten"[..]));
}

#[test]
fn segments_go_when_no_stream_needs_them() {
    let disk = MemVfs::new();
    let engine = open(&disk).unwrap();
    let (slow, fast) = (StreamId(1), StreamId(2));
    let mut log = LogBatch::new();
    log.append(slow, 1, b"old");
    append(&engine, log, Durability::Sync).unwrap();
    assert!(!engine.holds_log(slow));
    for index in 1..200 {
        let mut log = LogBatch::new();
        log.append(fast, index, &[1; 200]);
        log.cut_head(fast, index);
        append(&engine, log, Durability::Interval).unwrap();
    }
    let statistics = engine.log_statistics();
    assert!(statistics.segments > 5, "{statistics:?}");
    assert_eq!(statistics.oldest_kept_for, Some(slow));
    assert!(engine.holds_log(slow) && !engine.holds_log(fast));
    let mut log = LogBatch::new();
    log.cut_head(slow, 2);
    append(&engine, log, Durability::Sync).unwrap();
    assert!(!engine.holds_log(slow));
    while engine.log_statistics().segments > 1 {
        thread::yield_now();
    }
    drop(engine);
    let engine = open(&disk).unwrap();
    assert_eq!(engine.stream(slow).unwrap().next, 2);
    assert_eq!(engine.read_stream(fast, 199..200, 1).unwrap().len(), 1);
}

#[test]
fn a_segment_goes_only_when_the_cut_that_frees_it_is_durable() {
    let disk = MemVfs::new();
    let settings = Settings {
        sync_interval_ms: 3_600_000,
        ..tiny()
    };
    let engine = Engine::open(
        environment(Arc::new(disk.clone())),
        Path::new(DIRECTORY),
        settings,
    )
    .unwrap();
    let stream = StreamId(1);
    for index in 1..40 {
        let mut log = LogBatch::new();
        log.append(stream, index, &[1; 200]);
        append(&engine, log, Durability::Interval).unwrap();
    }
    assert!(engine.log_statistics().segments > 1);
    let mut log = LogBatch::new();
    log.cut_head(stream, 39);
    append(&engine, log, Durability::Interval).unwrap();
    while engine.log_statistics().segments > 1 {
        thread::yield_now();
    }
    engine.flush().unwrap();
    let engine = open(&disk.after_power_cut(Unsynced::Lost)).unwrap();
    assert_eq!(engine.stream(stream).unwrap().head, 39);
}

#[test]
fn many_appenders_share_syncs_and_readers_see_their_entries() {
    const STREAMS: u64 = 128;
    const ENTRIES: u64 = 30;
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        log_segment_bytes: 64 << 10,
        ..tiny()
    };
    let disk = Arc::new(stator_storage::vfs::posix::PosixVfs);
    let engine = Engine::open(environment(disk), directory.path(), settings).unwrap();
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let writers: Vec<_> = (1..=STREAMS)
            .map(|stream| {
                let engine = &engine;
                scope.spawn(move || {
                    for index in 1..=ENTRIES {
                        let mut log = LogBatch::new();
                        log.append(StreamId(stream), index, &(stream * index).to_be_bytes());
                        append(engine, log, Durability::Sync).unwrap();
                        let read = engine.read_stream(StreamId(stream), index..index + 1, 1).unwrap();
                        assert_eq!(read[0].payload[..], (stream * index).to_be_bytes());
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                for (id, info) in engine.streams() {
                    let entries = engine.read_stream(id, info.head..info.next, usize::MAX).unwrap();
                    assert_eq!(entries.len() as u64, info.next - info.head);
                    seen.fetch_add(entries.len() as u64, Ordering::Relaxed);
                }
            }
        });
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        assert!(ended.iter().all(std::result::Result::is_ok));
    });
    let statistics = engine.log_statistics();
    assert_eq!(statistics.commits, STREAMS * ENTRIES);
    assert!(statistics.syncs_per_1000_commits() < 500, "{statistics:?}");
    assert!(seen.load(Ordering::Relaxed) > 0);
}

#[test]
fn after_a_failed_write_or_sync_no_stream_is_acknowledged_any_more() {
    for (operation, fault) in [(Operation::Sync, Fault::Eio), (Operation::Write, Fault::Enospc)] {
        let disk = MemVfs::new();
        let faulty = FaultVfs::new(Arc::new(disk.clone()));
        let engine = Engine::open(
            environment(Arc::new(faulty.clone())),
            Path::new(DIRECTORY),
            tiny(),
        )
        .unwrap();
        let entry = |index: u64| {
            let mut log = LogBatch::new();
            log.append(StreamId(1), index, b"x");
            log
        };
        append(&engine, entry(1), Durability::Sync).unwrap();
        faulty.fail(operation, fault, 0, 1);
        assert!(matches!(
            append(&engine, entry(2), Durability::Sync),
            Err(Error::Poisoned { .. })
        ));
        assert!(matches!(
            append(&engine, entry(3), Durability::Sync),
            Err(Error::Poisoned { .. })
        ));
        drop(engine);
        let engine = open(&disk).unwrap();
        assert!(engine.stream(StreamId(1)).unwrap().next <= 3);
        assert_eq!(engine.read_stream(StreamId(1), 1..2, 9).unwrap().len(), 1);
    }
}
