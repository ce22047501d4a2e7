//! Applying without waiting, and what a power cut leaves of streams whose entries were applied before they were synced.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::vfs::watched::WatchedVfs;
use stator_storage::{
    Durability, Engine, Error, KeyspaceId, KeyspaceOptions, LogBatch, Pressure, Recovery, Result, Settings,
    StreamId, WriteBatch,
};

use support::{environment, read_all, tiny};

const DIRECTORY: &str = "/d";
const STREAM: StreamId = StreamId(9);

/// Nothing is synced because time has passed.
fn never_by_time() -> Settings {
    Settings {
        sync_interval_ms: 3_600_000,
        ..tiny()
    }
}

fn open_driven(disk: &MemVfs) -> Result<Engine> {
    let environment = environment(Arc::new(disk.clone()));
    Engine::open_driven(environment, Path::new(DIRECTORY), never_by_time())
}

fn replayed(engine: &Engine, name: &str) -> Result<KeyspaceId> {
    let options = KeyspaceOptions {
        recovery: Recovery::Replayed,
        ..KeyspaceOptions::default()
    };
    match engine.keyspace(name) {
        Some(id) => Ok(id),
        None => engine.create_keyspace_with(name, options),
    }
}

fn payload(index: u64) -> Vec<u8> {
    [&index.to_be_bytes()[..], &[5; 150]].concat()
}

fn key(index: u64) -> [u8; 2] {
    [b'k', u8::try_from(index % 17).unwrap()]
}

fn entry(index: u64) -> LogBatch {
    let mut log = LogBatch::new();
    log.append(STREAM, index, &payload(index));
    log
}

fn effect(id: KeyspaceId, index: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(id, &key(index), &payload(index));
    batch
}

/// What the effects of the first `count` entries leave.
fn expected(count: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let written: BTreeMap<_, _> = (1..=count)
        .map(|index| (key(index).to_vec(), payload(index)))
        .collect();
    written.into_iter().collect()
}

fn turn_while_there_is_something(engine: &Engine) {
    let mut turns = 0;
    while engine.turn() {
        turns += 1;
        assert!(turns < 100_000, "the turns do not end");
    }
}

/// Whether something has to wait.
#[derive(Debug)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::new(Self {
            is_closed: Mutex::new(true),
            opened: Condvar::new(),
        })
    }

    fn open(&self) {
        *self.is_closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let mut is_closed = self.is_closed.lock().unwrap();
        while *is_closed {
            is_closed = self.opened.wait(is_closed).unwrap();
        }
    }
}

#[test]
fn a_completion_applies_while_no_flush_can_end() {
    const ENTRIES: u64 = 200;
    let gate = Gate::closed();
    let waited_at = Arc::clone(&gate);
    // No sstable is begun before it opens.
    let watched = WatchedVfs::new(Arc::new(MemVfs::new()), move |path| {
        if path.extension().is_some_and(|extension| extension == "sst") {
            waited_at.wait();
        }
    });
    let environment = environment(Arc::new(watched));
    let engine = Engine::open(environment, Path::new(DIRECTORY), tiny()).unwrap();
    let id = replayed(&engine, "a").unwrap();
    let (done, outcomes) = channel();
    for index in 1..=ENTRIES {
        let (applier, done) = (engine.clone(), done.clone());
        let durability = if index.is_multiple_of(3) {
            Durability::Interval
        } else {
            Durability::Sync
        };
        engine.append(entry(index), durability, move |appended| {
            let applied = appended.and_then(|()| applier.apply_now(effect(id, index), STREAM, index));
            done.send((index, applied.map(drop))).unwrap();
        });
    }
    for expected in 1..=ENTRIES {
        let (index, outcome) = outcomes
            .recv_timeout(Duration::from_mins(2))
            .unwrap_or_else(|error| unreachable!("entry {expected} is not applied: {error}"));
        outcome.unwrap();
        assert_eq!(index, expected);
    }
    assert_eq!(engine.pressure(), Pressure::Stop);
    assert_eq!(engine.flushed_index(STREAM), 0);
    assert_eq!(read_all(&engine, id).unwrap(), expected(ENTRIES));
    gate.open();
    engine.flush().unwrap();
    assert_eq!(engine.flushed_index(STREAM), ENTRIES);
    assert_ne!(engine.pressure(), Pressure::Stop);
    assert_eq!(read_all(&engine, id).unwrap(), expected(ENTRIES));
}

#[test]
fn a_turn_applies_over_the_size_of_memory_and_later_ones_flush() {
    const ENTRIES: u64 = 200;
    let engine = open_driven(&MemVfs::new()).unwrap();
    let id = replayed(&engine, "a").unwrap();
    assert_eq!(engine.pressure(), Pressure::None);
    let (done, outcomes) = channel();
    let applier = engine.clone();
    // Everything from within one completion: nothing is flushed meanwhile.
    engine.append(entry(1), Durability::Sync, move |appended| {
        let mut pressures = Vec::new();
        let mut outcome = appended;
        for index in 1..=ENTRIES {
            outcome = outcome.and_then(|()| applier.apply_now(effect(id, index), STREAM, index).map(drop));
            pressures.push(applier.pressure());
        }
        done.send((outcome, pressures)).unwrap();
    });
    assert!(outcomes.try_recv().is_err());
    assert!(engine.turn());
    let (outcome, pressures) = outcomes.try_recv().unwrap();
    outcome.unwrap();
    let is_delay = |pressure: &Pressure| matches!(pressure, Pressure::Delay(_));
    assert!(pressures.iter().any(is_delay), "{pressures:?}");
    let stop = pressures.iter().position(|pressure| *pressure == Pressure::Stop);
    let settings = never_by_time();
    assert!(stop.unwrap() > 1, "{pressures:?}");
    assert!(
        pressures[stop.unwrap()..]
            .iter()
            .all(|pressure| *pressure == Pressure::Stop)
    );
    assert_eq!(engine.statistics().flushes, 0);
    let bytes = engine.statistics().memtable_bytes;
    assert!(bytes > 4 * settings.memtable_bytes_max as u64, "{bytes}");
    turn_while_there_is_something(&engine);
    assert_eq!(engine.pressure(), Pressure::None);
    assert!(engine.flushed_index(STREAM) > 0);
    assert_eq!(read_all(&engine, id).unwrap(), expected(ENTRIES));
}

#[test]
fn applying_without_waiting_refuses_what_applying_refuses() {
    let engine = open_driven(&MemVfs::new()).unwrap();
    let logged = engine.create_keyspace("b").unwrap();
    let id = replayed(&engine, "a").unwrap();
    let refused = engine.apply_now(effect(logged, 1), STREAM, 1);
    assert!(matches!(refused, Err(Error::Invalid { what: "keyspace", .. })));
    engine.apply_now(effect(id, 3), STREAM, 3).unwrap();
    let before = engine.published_sequence();
    let refused = engine.apply_now(effect(id, 4), STREAM, 3);
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(engine.published_sequence(), before);
    // A batch is applied whole or not at all.
    let gone = replayed(&engine, "c").unwrap();
    engine.drop_keyspace(gone).unwrap();
    let mut batch = effect(id, 4);
    batch.put(gone, b"k", b"v");
    let refused = engine.apply_now(batch, STREAM, 4);
    assert!(matches!(refused, Err(Error::NoSuchKeyspace { id }) if id == gone));
    assert_eq!(engine.get(id, &key(4)).unwrap(), None);
    engine.apply_now(effect(id, 4), STREAM, 4).unwrap();
    engine.close().unwrap();
    assert!(matches!(
        engine.apply_now(effect(id, 5), STREAM, 5),
        Err(Error::Closed)
    ));
}

/// What one entry of a log does: puts and deletes of few keys in a few keyspaces.
type Effects = Vec<(usize, u8, Option<u8>)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn entries_that_are_applied_together_leave_what_they_leave_one_by_one(
        entries in vec(vec((0_usize..3, 0_u8..6, proptest::option::of(any::<u8>())), 0..6), 1..30),
        together in vec(1_usize..8, 30),
    ) {
        let open = || {
            let engine = open_driven(&MemVfs::new()).unwrap();
            let ids = ["a", "b", "c"].map(|name| replayed(&engine, name).unwrap());
            (engine, ids)
        };
        let add = |batch: &mut WriteBatch, ids: &[KeyspaceId; 3], effects: &Effects| {
            for (keyspace, key, value) in effects {
                match value {
                    Some(value) => batch.put(ids[*keyspace], &[*key], &[*value; 40]),
                    None => batch.delete(ids[*keyspace], &[*key]),
                }
            }
        };
        let (single, single_ids) = open();
        for (index, effects) in (1..).zip(&entries) {
            let mut batch = WriteBatch::new();
            add(&mut batch, &single_ids, effects);
            single.apply_now(batch, STREAM, index).unwrap();
        }
        let (joined, joined_ids) = open();
        let (mut at, mut sizes) = (0, together.iter());
        while at < entries.len() {
            let end = entries.len().min(at + sizes.next().unwrap());
            let mut batch = WriteBatch::new();
            for effects in &entries[at..end] {
                let bytes = batch.encoded_bytes();
                add(&mut batch, &joined_ids, effects);
                prop_assert!(batch.encoded_bytes() >= bytes + 2 * effects.len());
            }
            prop_assert_eq!(batch.len(), entries[at..end].iter().map(Vec::len).sum::<usize>());
            joined.apply_now(batch, STREAM, end as u64).unwrap();
            at = end;
        }
        for flushed in [false, true] {
            if flushed {
                single.flush().unwrap();
                joined.flush().unwrap();
                prop_assert_eq!(joined.flushed_index(STREAM), entries.len() as u64);
            }
            for (one, other) in single_ids.into_iter().zip(joined_ids) {
                prop_assert_eq!(read_all(&single, one).unwrap(), read_all(&joined, other).unwrap());
            }
        }
    }
}

/// Appends without a sync, applies at once, and turns now and then; `true` if the power stayed on.
fn run_unsynced(disk: &MemVfs, entries: u64) -> bool {
    let script = || -> Result<()> {
        let engine = open_driven(disk)?;
        let id = replayed(&engine, "a")?;
        for index in 1..=entries {
            let applier = engine.clone();
            let (done, outcome) = channel();
            engine.append(entry(index), Durability::Interval, move |written| {
                let applied = written.and_then(|()| applier.apply_now(effect(id, index), STREAM, index));
                done.send(applied).unwrap();
            });
            // When the segment is full, a turn writes it.
            let applied = loop {
                match outcome.try_recv() {
                    Ok(applied) => break applied,
                    Err(_) => assert!(engine.turn(), "entry {index} is not written"),
                }
            };
            applied?;
            if index.is_multiple_of(4) {
                turn_while_there_is_something(&engine);
            }
        }
        Ok(())
    };
    match script() {
        Ok(()) => true,
        Err(Error::Poisoned { .. } | Error::Io { .. }) => false,
        Err(error) => unreachable!("a power cut looks like a failing disk, not like {error}"),
    }
}

#[test]
fn a_stream_reaches_what_is_flushed_of_it_after_a_power_cut_anywhere() {
    const ENTRIES: u64 = 120;
    let whole = MemVfs::new();
    assert!(run_unsynced(&whole, ENTRIES));
    let operations = whole.operations();
    let (mut with_mark, mut with_loss) = (0, 0);
    for cut in 0..operations {
        let disk = MemVfs::new();
        disk.cut_power_after(cut);
        let went_on = run_unsynced(&disk, ENTRIES);
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn { seed: cut }] {
            let context = format!("cut {cut} of {operations}, {unsynced:?}");
            let engine = open_driven(&disk.after_power_cut(unsynced)).unwrap();
            let id = replayed(&engine, "a").unwrap();
            let flushed = engine.flushed_index(STREAM);
            let last = engine.stream(STREAM).map_or(0, |info| info.next - 1);
            assert!(
                flushed <= last,
                "{context}: flushed up to {flushed}, logged up to {last}"
            );
            with_mark += u64::from(flushed > 0);
            with_loss += u64::from(flushed > 0 && last < ENTRIES && !went_on);
            for index in flushed + 1..=last {
                let read = engine.read_stream(STREAM, index..index + 1, 1).unwrap();
                assert_eq!(read[0].payload[..], payload(index), "{context}");
                engine.apply(effect(id, index), STREAM, index).unwrap();
            }
            assert_eq!(read_all(&engine, id).unwrap(), expected(last), "{context}");
        }
    }
    assert!(
        with_mark > 20 && with_loss > 20,
        "{with_mark} and {with_loss} of {operations}"
    );
    eprintln!("{operations} boundaries of the script of unsynced entries");
}

/// Records of a stream, then more of them together with a batch, none of which is synced before a flush begins.
fn run_with_batch(disk: &MemVfs) -> Result<()> {
    let engine = open_driven(disk)?;
    let id = engine.create_keyspace("k")?;
    let mut batch = WriteBatch::new();
    batch.put(id, b"key", b"value");
    engine.append(entry(1), Durability::Interval, drop);
    engine.append_and_write(entry(2), batch, Durability::Interval)?;
    engine.begin_flush()?;
    turn_while_there_is_something(&engine);
    Ok(())
}

/// A batch that is durable by a flush leaves nothing behind in the log that was to be durable together with it, or before it.
#[test]
fn a_flush_makes_no_batch_durable_before_what_was_logged_with_it() {
    let whole = MemVfs::new();
    run_with_batch(&whole).unwrap();
    let (mut without, mut with) = (0, 0);
    for cut in 0..=whole.operations() {
        let disk = MemVfs::new();
        disk.cut_power_after(cut);
        drop(run_with_batch(&disk));
        let engine = open_driven(&disk.after_power_cut(Unsynced::Lost)).unwrap();
        let read = |id| !read_all(&engine, id).unwrap().is_empty();
        let is_there = engine.keyspace("k").is_some_and(read);
        let logged = engine.stream(STREAM).map_or(0, |info| info.next - 1);
        assert!(
            !is_there || logged == 2,
            "cut {cut}: the batch is there, and {logged} records"
        );
        *(if is_there { &mut with } else { &mut without }) += 1;
    }
    assert!(
        with > 0 && without > 0,
        "{with} cuts with the batch, {without} without"
    );
}
