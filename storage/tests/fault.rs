//! Disks that refuse operations, and files that are cut: a clear error or the right answer, never a wrong one, and
//! nothing that was acknowledged is lost.

mod support;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use stator_storage::vfs::Vfs;
use stator_storage::vfs::fault::{Fault, FaultVfs, Operation, Refuse};
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::{Direction, Durability, Engine, Error, KeyspaceId, Result, Settings, WriteBatch};

use support::{environment, read_all, read_range, tiny};

const DIRECTORY: &str = "/d";

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(number: u32) -> Vec<u8> {
    let token = u64::from(number % 13).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    [&token.to_be_bytes()[..], b"p\0\0", &(number % 50).to_be_bytes()].concat()
}

/// Writes, reads back both ways, flushes and goes on, until the end or the first error. `model` is what was
/// acknowledged; every answer is compared with it.
fn run(engine: &Engine, id: KeyspaceId, model: &mut Model, unsure: &mut Model) -> Result<()> {
    for number in 0..120_u32 {
        let value = [&number.to_be_bytes()[..], &[8; 70]].concat();
        let mut batch = WriteBatch::new();
        batch.put(id, &key(number), &value);
        unsure.insert(key(number), value.clone());
        engine.write(batch, Durability::Sync)?;
        unsure.remove(&key(number));
        model.insert(key(number), value);
        let probe = key(number.wrapping_mul(7));
        let found = engine.get(id, &probe)?;
        assert_eq!(found.as_deref(), model.get(&probe).map(|value| &value[..]));
        if number % 30 == 29 {
            engine.flush()?;
        }
        if number % 20 == 19 {
            for direction in [Direction::Forward, Direction::Backward] {
                let all = (Bound::Unbounded, Bound::Unbounded);
                let mut read = read_range(&engine.snapshot(), id, all, direction)?;
                if direction == Direction::Backward {
                    read.reverse();
                }
                let expected: Vec<_> = model.clone().into_iter().collect();
                assert_eq!(read, expected);
            }
        }
    }
    Ok(())
}

#[test]
fn any_operation_that_fails_is_an_error_and_loses_nothing() {
    let mut failed = 0;
    for operation in [
        Operation::Read,
        Operation::Write,
        Operation::Allocate,
        Operation::Sync,
        Operation::Open,
        Operation::Name,
    ] {
        for fault in [Fault::Eio, Fault::Enospc] {
            for after in (0..160).step_by(3) {
                let disk = MemVfs::new();
                let faulty = FaultVfs::new(Arc::new(disk.clone()));
                let world = environment(Arc::new(faulty.clone()));
                let engine = Engine::open(world, Path::new(DIRECTORY), tiny()).unwrap();
                let id = engine.create_keyspace("a").unwrap();
                faulty.fail(operation, fault, after, 1);
                let (mut model, mut unsure) = (Model::new(), Model::new());
                match run(&engine, id, &mut model, &mut unsure) {
                    Ok(()) => {}
                    Err(Error::Poisoned { .. } | Error::Io { .. }) => failed += 1,
                    Err(error) => unreachable!("{operation:?} {fault:?} after {after}: {error}"),
                }
                drop(engine);
                faulty.heal();
                let engine = Engine::open(environment(Arc::new(disk)), Path::new(DIRECTORY), tiny()).unwrap();
                let found: Model = read_all(&engine, id).unwrap().into_iter().collect();
                let mut with_unsure = model.clone();
                with_unsure.extend(unsure);
                assert!(
                    found == model || found == with_unsure,
                    "{operation:?} {fault:?} after {after}: {} of {} keys",
                    found.len(),
                    model.len()
                );
            }
        }
    }
    assert!(failed > 150, "{failed} runs met their fault");
}

#[test]
fn a_disk_that_refuses_to_open_a_directory_can_be_tried_again() {
    let disk = MemVfs::new();
    let engine = Engine::open(environment(Arc::new(disk.clone())), Path::new(DIRECTORY), tiny()).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let (mut model, mut unsure) = (Model::new(), Model::new());
    run(&engine, id, &mut model, &mut unsure).unwrap();
    drop(engine);
    for operation in [
        Operation::Read,
        Operation::Write,
        Operation::Allocate,
        Operation::Sync,
        Operation::Open,
        Operation::Name,
    ] {
        for after in 0..60 {
            let copy = disk.after_power_cut(Unsynced::Kept);
            let faulty = FaultVfs::new(Arc::new(copy.clone()));
            faulty.fail(operation, Fault::Eio, after, 1);
            let opened = Engine::open(
                environment(Arc::new(faulty.clone())),
                Path::new(DIRECTORY),
                tiny(),
            );
            if let Err(error) = &opened {
                assert!(
                    matches!(error, Error::Io { .. } | Error::Poisoned { .. }),
                    "{operation:?} {after}: {error}"
                );
            }
            drop(opened);
            let engine = Engine::open(environment(Arc::new(copy)), Path::new(DIRECTORY), tiny()).unwrap();
            let found: Model = read_all(&engine, id).unwrap().into_iter().collect();
            assert_eq!(found, model, "{operation:?} {after}");
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_corruption_or_loses_only_what_was_never_synced() {
    let disk = MemVfs::new();
    let engine = Engine::open(environment(Arc::new(disk.clone())), Path::new(DIRECTORY), tiny()).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let (mut model, mut unsure) = (Model::new(), Model::new());
    run(&engine, id, &mut model, &mut unsure).unwrap();
    engine.close().unwrap();
    drop(engine);
    for name in disk.list(Path::new(DIRECTORY)).unwrap() {
        let path = Path::new(DIRECTORY).join(&name);
        let size = disk.open(&path).unwrap().size().unwrap();
        for length in (0..size).step_by(usize::try_from(size / 40 + 1).unwrap()) {
            let copy = disk.after_power_cut(Unsynced::Kept);
            copy.open(&path).unwrap().truncate(length).unwrap();
            let read = Engine::open(environment(Arc::new(copy)), Path::new(DIRECTORY), tiny())
                .and_then(|engine| read_all(&engine, id));
            match read {
                // The last segment of the log and the last edits of the manifest may end anywhere.
                Ok(found) if name.starts_with("log") || name.starts_with("manifest") => {
                    assert!(
                        found.iter().all(|(key, _)| model.contains_key(key)),
                        "{name} cut at {length}"
                    );
                }
                Ok(found) => {
                    assert_eq!(
                        found.into_iter().collect::<Model>(),
                        model,
                        "{name} cut at {length}"
                    );
                }
                Err(Error::Corruption { .. } | Error::Poisoned { .. } | Error::NoSuchKeyspace { .. }) => {}
                Err(error) => unreachable!("{name} cut at {length}: {error}"),
            }
        }
    }
}

#[test]
fn what_a_process_wrote_before_it_ended_is_durable_once_the_next_one_is_open() {
    for goes_on in [false, true] {
        let disk = MemVfs::new();
        let open = |vfs: Arc<dyn Vfs>| {
            let settings = Settings {
                sync_interval_ms: 3_600_000,
                memtable_bytes_max: 1 << 20,
                log_segment_bytes: 1 << 20,
                ..tiny()
            };
            Engine::open_driven(environment(vfs), Path::new(DIRECTORY), settings).unwrap()
        };
        let write = |engine: &Engine, number: u32, durability| {
            let mut batch = WriteBatch::new();
            batch.put(engine.keyspace("a").unwrap(), &number.to_be_bytes(), b"v");
            engine.write(batch, durability).map(drop)
        };
        // An engine that has failed ends as a process does that is killed: nothing more is synced.
        let faulty = FaultVfs::new(Arc::new(disk.clone()));
        let engine = open(Arc::new(faulty.clone()));
        engine.create_keyspace("a").unwrap();
        for number in 0..20 {
            write(&engine, number, Durability::Interval).unwrap();
        }
        faulty.fail(Operation::Write, Fault::Eio, 0, 1);
        let failed = write(&engine, 20, Durability::Interval);
        assert!(matches!(failed, Err(Error::Poisoned { .. })), "{failed:?}");
        drop(engine);
        let lost = open(Arc::new(disk.after_power_cut(Unsynced::Lost)));
        assert_eq!(read_all(&lost, lost.keyspace("a").unwrap()).unwrap(), []);

        let engine = open(Arc::new(disk.clone()));
        let id = engine.keyspace("a").unwrap();
        assert_eq!(read_all(&engine, id).unwrap().len(), 20);
        if goes_on {
            write(&engine, 20, Durability::Sync).unwrap();
        }
        let after = open(Arc::new(disk.after_power_cut(Unsynced::Lost)));
        assert_eq!(read_all(&after, id).unwrap().len(), 20 + usize::from(goes_on));
    }
}

/// An engine without threads whose log has segments of 4 KiB.
fn driven(disk: &MemVfs) -> Result<Engine> {
    Engine::open_driven(environment(Arc::new(disk.clone())), Path::new(DIRECTORY), tiny())
}

#[test]
fn what_a_failed_sync_left_unwritten_is_not_believed_by_the_next_process() {
    let write = |engine: &Engine, id, number: u32| {
        let mut batch = WriteBatch::new();
        batch.put(id, &number.to_be_bytes(), &[7; 100]);
        engine.write(batch, Durability::Sync)?;
        if number % 25 == 24 {
            engine.flush()?;
        }
        Ok::<_, Error>(())
    };
    let mut failed = 0;
    for after in 0.. {
        let disk = MemVfs::new();
        let engine = driven(&disk).unwrap();
        let id = engine.create_keyspace("a").unwrap();
        disk.fail_sync_after(after);
        let acknowledged = (0..60)
            .take_while(|number| write(&engine, id, *number).is_ok())
            .count();
        drop(engine);
        if acknowledged == 60 {
            break;
        }
        failed += 1;

        let engine = driven(&disk).unwrap();
        let found = read_all(&engine, id).unwrap();
        assert!(
            found.len() >= acknowledged,
            "{after}: {} of {acknowledged}",
            found.len()
        );
        // What one can read here may have been read by others, and they may have gone on from there.
        let at_once = driven(&disk.after_power_cut(Unsynced::Lost)).unwrap();
        assert_eq!(read_all(&at_once, id).unwrap(), found, "{after}");
        write(&engine, id, 1000).unwrap();
        let after_more = driven(&disk.after_power_cut(Unsynced::Lost)).unwrap();
        assert_eq!(
            read_all(&after_more, id).unwrap().len(),
            found.len() + 1,
            "{after}"
        );
    }
    assert!(failed > 60, "{failed} runs met their failure");
}

#[test]
fn a_last_segment_with_synced_frames_stays_when_its_header_reads_as_zeros() {
    let disk = MemVfs::new();
    let engine = driven(&disk).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    for number in 0..10_u32 {
        let mut batch = WriteBatch::new();
        batch.put(id, &number.to_be_bytes(), &[7; 30]);
        engine.write(batch, Durability::Sync).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    let directory = Path::new(DIRECTORY);
    let mut names = disk.list(directory).unwrap();
    names.retain(|name| name.starts_with("log-"));
    names.sort();
    let last = directory.join(names.last().unwrap());
    disk.open(&last).unwrap().write_all_at(&[0; 64], 0).unwrap();
    let error = driven(&disk).unwrap_err();
    assert!(
        matches!(&error, Error::Corruption { file, .. } if *file == last),
        "{error}"
    );
    assert!(disk.open(&last).is_ok());
}

/// Lets a sync wait until it may go on.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_closed: bool,
    is_waited_at: bool,
}

impl Gate {
    fn set(&self, is_closed: bool) {
        self.state.lock().is_closed = is_closed;
        self.changed.notify_all();
    }

    fn wait_for_one(&self) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !state.is_waited_at);
    }
}

impl Refuse for Gate {
    fn refuse(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.state.lock();
        if operation == Operation::Sync && state.is_closed {
            state.is_waited_at = true;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| state.is_closed);
        }
        None
    }
}

#[test]
fn a_directory_stays_locked_until_the_last_thread_has_written_what_it_has_to() {
    let (disk, gate) = (MemVfs::new(), Arc::new(Gate::default()));
    let vfs: Arc<dyn Vfs> = Arc::new(FaultVfs::asking(
        Arc::new(disk.clone()),
        Arc::clone(&gate) as Arc<dyn Refuse>,
    ));
    let engine = Engine::open(environment(vfs), Path::new(DIRECTORY), tiny()).unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let mut batch = WriteBatch::new();
    batch.put(id, b"k", b"v");
    // The last clone goes in a completion, on the thread that ends the log then.
    let (last, closing) = (engine.clone(), Arc::clone(&gate));
    let (sender, receiver) = std::sync::mpsc::channel();
    engine.commit(batch, Durability::Sync, move |done| {
        receiver.recv().unwrap();
        done.unwrap();
        closing.set(true);
        drop(last);
    });
    drop(engine);
    sender.send(()).unwrap();
    gate.wait_for_one();
    let other = || Engine::open(environment(Arc::new(disk.clone())), Path::new(DIRECTORY), tiny());
    assert!(matches!(other(), Err(Error::Locked { .. })));
    gate.set(false);
    let opened = loop {
        match other() {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(opened.get(id, b"k").unwrap().as_deref(), Some(&b"v"[..]));
}
