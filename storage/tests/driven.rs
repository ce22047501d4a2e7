//! The engine without threads: every piece of its work is done on the caller's thread, when the caller says so.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::vfs::{File, LockGuard, Vfs};
use stator_storage::{
    Clock, Durability, Engine, Environment, Error, KeyspaceId, KeyspaceOptions, LogBatch, MASTER_KEY_BYTES,
    MasterKey, MasterKeys, Random, Recovery, Result, SequenceNumber, Settings, Snapshot, StreamId,
    WriteBatch,
};

use support::{read_all, tiny};

const DIRECTORY: &str = "/d";
const STREAM: StreamId = StreamId(7);

/// Time that goes when the test says so.
#[derive(Clone, Debug, Default)]
struct SimulatedClock(Arc<AtomicU64>);

impl SimulatedClock {
    fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap();
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A disk that is used by the thread alone that made it.
#[derive(Debug)]
struct OneThread<T> {
    inner: T,
    thread: ThreadId,
}

impl<T> OneThread<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            thread: thread::current().id(),
        }
    }

    fn get(&self) -> &T {
        assert_eq!(
            thread::current().id(),
            self.thread,
            "another thread uses the disk"
        );
        &self.inner
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(OneThread {
            inner: file,
            thread: self.thread,
        })
    }
}

impl Vfs for OneThread<MemVfs> {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.get().create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.get().create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.get().open(path)?))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.get().hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.get().remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.get().rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.get().list(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.get().sync_dir(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.get().free_bytes(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.get().lock(path)
    }
}

impl File for OneThread<Arc<dyn File>> {
    fn size(&self) -> io::Result<u64> {
        self.get().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.get().read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.get().write_all_at(buffer, offset)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.get().preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.get().truncate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.get().sync_data()
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn splitmix(state: u64) -> u64 {
    let mut mixed = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What an engine is opened with again and again.
#[derive(Clone, Debug)]
struct Machine {
    disk: MemVfs,
    clock: SimulatedClock,
    drawn: Arc<AtomicU64>,
    settings: Settings,
}

impl Machine {
    fn new(seed: u64, settings: Settings) -> Self {
        Self {
            disk: MemVfs::new(),
            clock: SimulatedClock::default(),
            drawn: Arc::new(AtomicU64::new(seed << 32)),
            settings,
        }
    }

    fn open(&self) -> Result<Engine> {
        let drawn = Arc::clone(&self.drawn);
        let random = Random::new(move |bytes| {
            for chunk in bytes.chunks_mut(8) {
                let next = splitmix(drawn.fetch_add(1, Ordering::Relaxed));
                chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
            }
            Ok(())
        });
        let keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
        let disk = Arc::new(OneThread::new(self.disk.clone()));
        let mut environment = Environment::new(disk, random, keys, 0);
        environment.clock = Arc::new(self.clock.clone());
        Engine::open_driven(environment, Path::new(DIRECTORY), self.settings.clone())
    }

    /// The machine after the power was cut now, or when it was to be cut.
    fn after_power_cut(&self, unsynced: Unsynced) -> Self {
        self.disk.cut_power_after(0);
        Self {
            disk: self.disk.after_power_cut(unsynced),
            ..self.clone()
        }
    }

    /// The names and contents of all files.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let directory = Path::new(DIRECTORY);
        let names = self.disk.list(directory).unwrap();
        let read = |name: String| {
            let file = self.disk.open(&directory.join(&name)).unwrap();
            let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            (name, bytes)
        };
        names.into_iter().map(read).collect()
    }
}

fn put(keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(keyspace, key, value);
    batch
}

/// Where completions leave their outcomes.
type Outcomes = Arc<Mutex<Vec<(u64, Result<SequenceNumber, String>)>>>;

fn note(outcomes: &Outcomes, number: u64) -> impl FnOnce(Result<SequenceNumber>) + Send + 'static {
    let outcomes = Arc::clone(outcomes);
    move |outcome| {
        let outcome = outcome.map_err(|error| error.to_string());
        outcomes.lock().unwrap().push((number, outcome));
    }
}

fn turn_while_there_is_something(engine: &Engine) -> u64 {
    let mut turns = 0;
    while engine.turn() {
        turns += 1;
        assert!(turns < 100_000, "the turns do not end");
    }
    turns
}

/// Flips each bit of the last frame of the log in turn; gives how many engines then refused to open, and how many have
/// opened without the batch.
fn flip_the_last_frame(machine: &Machine, last: (&Path, std::ops::Range<u64>), id: KeyspaceId) -> (u64, u64) {
    let (path, place) = last;
    let (mut refused, mut lost) = (0, 0);
    for offset in place {
        for bit in 0..8 {
            let copy = machine.after_power_cut(Unsynced::Kept);
            copy.disk.flip_bit(path, offset, bit).unwrap();
            match copy.open() {
                Ok(engine) => {
                    assert_eq!(engine.get(id, b"last").unwrap(), None);
                    lost += 1;
                }
                Err(Error::Corruption { file, .. }) if file == path => refused += 1,
                Err(error) => unreachable!("byte {offset}: {error}"),
            }
        }
    }
    (refused, lost)
}

#[test]
fn a_synced_batch_whose_bytes_change_is_no_torn_end_once_the_log_was_idle() {
    let machine = Machine::new(1, tiny());
    let engine = machine.open().unwrap();
    let id = engine.create_keyspace("k").unwrap();
    turn_while_there_is_something(&engine);
    let segment = |machine: &Machine| {
        let mut logs = machine.contents().into_iter();
        let (name, bytes) = logs.rfind(|(name, _)| name.starts_with("log-")).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        (Path::new(DIRECTORY).join(name), end)
    };
    let (path, begin) = segment(&machine);
    engine
        .write(put(id, b"last", b"value"), Durability::Sync)
        .unwrap();
    turn_while_there_is_something(&engine);
    let (_, end) = segment(&machine);
    let frame = begin..end;
    let bits = (end - begin) * 8;
    // Nothing tells it yet from one that was being written.
    let machine_then = machine.after_power_cut(Unsynced::Kept);
    let (refused, lost) = flip_the_last_frame(&machine_then, (&path, frame.clone()), id);
    assert_eq!((refused, lost), (0, bits));

    let machine = Machine {
        disk: machine_then.disk.after_power_cut(Unsynced::Kept),
        ..machine
    };
    drop(engine);
    let engine = machine.open().unwrap();
    assert_eq!(engine.get(id, b"last").unwrap().as_deref(), Some(&b"value"[..]));
    engine
        .write(put(id, b"last", b"value"), Durability::Sync)
        .unwrap();
    let (path, end) = segment(&machine);
    turn_while_there_is_something(&engine);
    machine.clock.advance(Duration::from_millis(500));
    assert_eq!(turn_while_there_is_something(&engine), 1);
    assert_eq!(turn_while_there_is_something(&engine), 0, "once is enough");
    assert!(segment(&machine).1 > end);
    let frame = end - (frame.end - frame.start)..end;
    let (refused, lost) = flip_the_last_frame(&machine, (&path, frame), id);
    assert_eq!((refused, lost), (bits, 0));
}

/// Everything that an engine can be asked, in an order that a seed decides.
struct Script {
    machine: Machine,
    random: u64,
    engine: Engine,
    logged: KeyspaceId,
    replayed: KeyspaceId,
    appended: u64,
    applied: u64,
    snapshot: Option<Snapshot>,
    outcomes: Outcomes,
    /// Over all openings.
    flushes: u64,
    compactions: u64,
}

impl Script {
    fn new(seed: u64) -> Self {
        let settings = Settings {
            compaction_bytes_per_second_max: 200_000,
            // Some of the blocks stay, so that reads tell what was evicted.
            block_cache_bytes: 24 << 10,
            ..tiny()
        };
        let machine = Machine::new(seed, settings);
        let engine = machine.open().unwrap();
        let options = KeyspaceOptions {
            recovery: Recovery::Replayed,
            ..KeyspaceOptions::default()
        };
        Self {
            logged: engine.create_keyspace("logged").unwrap(),
            replayed: engine.create_keyspace_with("replayed", options).unwrap(),
            machine,
            random: splitmix(seed),
            engine,
            appended: 0,
            applied: 0,
            snapshot: None,
            outcomes: Outcomes::default(),
            flushes: 0,
            compactions: 0,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = splitmix(self.random.wrapping_add(1));
        self.random % below
    }

    fn durability(&mut self) -> Durability {
        if self.draw(2) == 0 {
            Durability::Sync
        } else {
            Durability::Interval
        }
    }

    fn batch(&mut self, keyspace: KeyspaceId) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for _ in 0..=self.draw(4) {
            let key = self.draw(200).to_be_bytes();
            if self.draw(5) == 0 {
                batch.delete(keyspace, &key);
            } else {
                let length = usize::try_from(self.draw(150)).unwrap();
                batch.put(keyspace, &key, &vec![key[7]; length]);
            }
        }
        batch
    }

    fn step(&mut self, number: u64) {
        let durability = self.durability();
        match self.draw(24) {
            0..=5 => {
                let batch = self.batch(self.logged);
                self.engine
                    .commit(batch, durability, note(&self.outcomes, number));
            }
            6..=8 => {
                self.appended += 1;
                let mut log = LogBatch::new();
                log.append(STREAM, self.appended, &number.to_be_bytes());
                if self.draw(4) == 0 {
                    log.cut_head(STREAM, self.engine.flushed_index(STREAM).max(1));
                }
                let done = note(&self.outcomes, number);
                let done = move |outcome: Result<()>| done(outcome.map(|()| 0));
                self.engine.append(log, durability, done);
            }
            9..=10 if self.applied < self.appended => {
                self.applied += 1;
                let batch = self.batch(self.replayed);
                self.engine.apply(batch, STREAM, self.applied).unwrap();
            }
            11 => {
                let batch = self.batch(self.logged);
                self.engine.write(batch, durability).unwrap();
            }
            12..=16 => {
                for _ in 0..self.draw(4) {
                    self.engine.turn();
                }
            }
            17..=18 => {
                let by = Duration::from_micros(self.draw(9_000));
                self.machine.clock.advance(by);
            }
            19 => self.snapshot = Some(self.engine.snapshot()),
            20 => self.snapshot = None,
            21 => drop(self.engine.get(self.logged, &self.random.to_be_bytes()).unwrap()),
            _ => self.seldom(),
        }
    }

    fn seldom(&mut self) {
        match self.draw(8) {
            0 => self.engine.flush().unwrap(),
            1 => drop(self.engine.rotate_data_key(5).unwrap()),
            2 => {
                self.engine.drop_keyspace(self.logged).unwrap();
                self.logged = self.engine.create_keyspace("logged").unwrap();
            }
            3 => {
                self.snapshot = None;
                self.count();
                self.engine.close().unwrap();
                self.engine = self.machine.open().unwrap();
                let next = self.engine.stream(STREAM).map_or(1, |info| info.next);
                assert_eq!(next.saturating_sub(1), self.appended);
                self.applied = self.engine.flushed_index(STREAM);
            }
            _ => drop(read_all(&self.engine, self.logged).unwrap()),
        }
    }

    fn count(&mut self) {
        let statistics = self.engine.statistics();
        self.flushes += statistics.flushes;
        self.compactions += statistics.compactions;
    }

    /// All that can be told of the run: the disk's history, its files, and the completions in their order.
    fn end(mut self) -> Trace {
        self.count();
        self.snapshot = None;
        self.engine.close().unwrap();
        assert!(
            self.flushes > 5 && self.compactions > 2,
            "the script reaches flush and compaction"
        );
        Trace {
            operations: self.machine.disk.operations(),
            history: self.machine.disk.history_digest(),
            contents: self.machine.contents(),
            outcomes: self.outcomes.lock().unwrap().clone(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Trace {
    operations: u64,
    history: u64,
    contents: BTreeMap<String, Vec<u8>>,
    outcomes: Vec<(u64, Result<SequenceNumber, String>)>,
}

impl Trace {
    fn of(seed: u64) -> Self {
        let mut script = Script::new(seed);
        (0..SCRIPT_STEPS).for_each(|number| script.step(number));
        script.end()
    }
}

const SCRIPT_STEPS: u64 = 1_500;

#[test]
fn the_same_seed_does_the_same_to_the_disk_in_the_same_order() {
    let mut histories = BTreeSet::new();
    for seed in 1..=6 {
        let first = Trace::of(seed);
        assert!(first.operations > 1_000 && !first.outcomes.is_empty());
        assert!(first == Trace::of(seed), "seed {seed} does something else again");
        histories.insert(first.history);
    }
    assert_eq!(histories.len(), 6, "the digest tells the seeds apart");
}

#[test]
fn an_engine_does_the_same_alone_beside_others_and_on_another_thread() {
    let mut scripts: Vec<Script> = (1..=4).map(Script::new).collect();
    for number in 0..SCRIPT_STEPS {
        for script in &mut scripts {
            script.step(number);
        }
    }
    for (script, seed) in scripts.into_iter().zip(1..) {
        let together = script.end();
        let alone = thread::spawn(move || Trace::of(seed)).join().unwrap();
        assert!(together == alone, "seed {seed} does something else beside others");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit {
        entries: Vec<(u8, Option<Vec<u8>>)>,
        sync: bool,
        waits: bool,
    },
    Append {
        sync: bool,
    },
    Apply,
    Turns(usize),
    Advance(u64),
    Flush,
    Rotate,
    /// The power will go after so many operations of the disk.
    Loom(u64),
    Crash(Unsynced),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let value = (any::<u8>(), 0_usize..200).prop_map(|(byte, length)| vec![byte; length]);
    let entry = (0_u8..40, prop::option::weighted(0.8, value));
    let unsynced = prop_oneof![
        Just(Unsynced::Lost),
        Just(Unsynced::Kept),
        any::<u64>().prop_map(|seed| Unsynced::Torn { seed })
    ];
    prop_oneof![
        12 => (vec(entry, 0..5), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(entries, sync, waits)| Step::Commit { entries, sync, waits }),
        4 => any::<bool>().prop_map(|sync| Step::Append { sync }),
        4 => Just(Step::Apply),
        10 => (1_usize..6).prop_map(Step::Turns),
        3 => (1_u64..8).prop_map(Step::Advance),
        1 => Just(Step::Flush),
        1 => Just(Step::Rotate),
        1 => (0_u64..60).prop_map(Step::Loom),
        1 => unsynced.prop_map(Step::Crash),
        1 => Just(Step::Reopen),
    ]
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The key under which every batch leaves its number.
const COUNT: &[u8] = b"count";

fn number_in(value: &[u8]) -> usize {
    usize::try_from(u64::from_be_bytes(value.try_into().unwrap())).unwrap()
}

/// How far something has come that is done in order: all that was asked for, and how much of it must survive.
#[derive(Default)]
struct Promised {
    durable: Arc<Mutex<usize>>,
}

impl Promised {
    /// A completion of what brings the number to `count`.
    fn when_done<T>(&self, sync: bool, count: usize) -> impl FnOnce(Result<T>) + Send + use<T> {
        let durable = Arc::clone(&self.durable);
        move |outcome| {
            if outcome.is_ok() && sync {
                let mut durable = durable.lock().unwrap();
                assert!(*durable < count, "completions come in order, and once");
                *durable = count;
            }
        }
    }

    fn get(&self) -> usize {
        *self.durable.lock().unwrap()
    }

    fn set(&mut self, count: usize) {
        // Completions of a time before a crash count no more.
        self.durable = Arc::new(Mutex::new(count));
    }
}

/// An engine, what it was told, and what it has promised.
struct Checked {
    machine: Machine,
    engine: Option<Engine>,
    logged: KeyspaceId,
    replayed: KeyspaceId,
    /// The state before each batch, and behind the last one.
    states: Vec<Model>,
    batches: Promised,
    /// How many entries the stream has, and how many of them were applied.
    appended: usize,
    entries: Promised,
    applied: usize,
    /// The power may be gone.
    looms: bool,
}

impl Checked {
    fn new(settings: Settings) -> Self {
        let machine = Machine::new(1, settings);
        let engine = machine.open().unwrap();
        let options = KeyspaceOptions {
            recovery: Recovery::Replayed,
            ..KeyspaceOptions::default()
        };
        Self {
            logged: engine.create_keyspace("logged").unwrap(),
            replayed: engine.create_keyspace_with("replayed", options).unwrap(),
            machine,
            engine: Some(engine),
            states: vec![Model::new()],
            batches: Promised::default(),
            appended: 0,
            entries: Promised::default(),
            applied: 0,
            looms: false,
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Only a power cut may make anything fail.
    fn allow<T>(&self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(outcome) => Some(outcome),
            Err(Error::Poisoned { .. } | Error::Io { .. }) if self.looms => None,
            Err(error) => unreachable!("{error}"),
        }
    }

    fn commit(&mut self, entries: Vec<(u8, Option<Vec<u8>>)>, sync: bool, waits: bool) {
        let count = self.states.len();
        let mut state = self.states[count - 1].clone();
        let mut batch = put(self.logged, COUNT, &(count as u64).to_be_bytes());
        state.insert(COUNT.to_vec(), (count as u64).to_be_bytes().to_vec());
        for (key, value) in entries {
            if let Some(value) = value {
                batch.put(self.logged, &[key], &value);
                state.insert(vec![key], value);
            } else {
                batch.delete(self.logged, &[key]);
                state.remove(&vec![key]);
            }
        }
        let durability = durability(sync);
        let done = self.batches.when_done(sync, count);
        if waits {
            let outcome = self.engine().write(batch, durability);
            if let Some(sequence) = self.allow(outcome) {
                done(Ok(sequence));
                assert_eq!(self.visible(), Some(count));
            }
        } else {
            self.engine().commit(batch, durability, done);
        }
        self.states.push(state);
    }

    /// How many batches are visible.
    fn visible(&self) -> Option<usize> {
        let count = self.allow(self.engine().get(self.logged, COUNT))?;
        Some(count.map_or(0, |value| number_in(&value)))
    }

    fn append(&mut self, sync: bool) {
        self.appended += 1;
        let mut log = LogBatch::new();
        log.append(
            STREAM,
            self.appended as u64,
            &(self.appended as u64).to_be_bytes(),
        );
        let done = self.entries.when_done(sync, self.appended);
        self.engine().append(log, durability(sync), done);
    }

    /// Entry `number` of the stream puts its number under one of a few keys.
    fn entry(&self, number: usize) -> WriteBatch {
        let value = (number as u64).to_be_bytes();
        put(self.replayed, &[u8::try_from(number % 7).unwrap()], &value)
    }

    fn apply(&mut self) {
        // Only what is on disk is applied, as a replica does.
        if self.applied < self.entries.get() {
            let next = self.applied + 1;
            let outcome = self.engine().apply(self.entry(next), STREAM, next as u64);
            if self.allow(outcome).is_some() {
                self.applied = next;
            }
        }
    }

    /// What is visible is the state after some batch, and after what was applied.
    fn check(&self) {
        let Some(count) = self.visible() else { return };
        assert!(count >= self.batches.get(), "what was acknowledged is visible");
        if let Some(found) = self.allow(read_all(self.engine(), self.logged)) {
            assert_eq!(found.into_iter().collect::<Model>(), self.states[count]);
        }
        let Some(found) = self.allow(read_all(self.engine(), self.replayed)) else {
            return;
        };
        let mut expected = Model::new();
        for number in 1..=self.applied {
            let key = vec![u8::try_from(number % 7).unwrap()];
            expected.insert(key, (number as u64).to_be_bytes().to_vec());
        }
        assert_eq!(found.into_iter().collect::<Model>(), expected);
    }

    /// Opens what is there, and takes over what must be there and may be.
    fn open(&mut self) {
        let engine = self.machine.open().unwrap();
        let stream = engine.stream(STREAM);
        self.engine = Some(engine);
        self.looms = false;
        let count = self.visible().unwrap();
        assert!(
            count >= self.batches.get(),
            "{count} are there, {} were promised",
            self.batches.get()
        );
        self.states.truncate(count + 1);
        self.batches.set(count);
        let appended = stream.map_or(0, |stream| stream.next.saturating_sub(1));
        let appended = usize::try_from(appended).unwrap();
        assert!(
            appended >= self.entries.get() && appended <= self.appended,
            "{appended} entries are there, {} were promised",
            self.entries.get()
        );
        self.appended = appended;
        self.entries.set(appended);
        if appended > 0 {
            let range = 1..appended as u64 + 1;
            let read = self.engine().read_stream(STREAM, range, usize::MAX).unwrap();
            let numbers = read.iter().map(|entry| number_in(&entry.payload));
            assert!(numbers.eq(1..=appended));
        }
        let flushed = self.engine().flushed_index(STREAM);
        self.applied = usize::try_from(flushed).unwrap();
        assert!(self.applied <= appended, "only what was on disk was applied");
        self.check();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit { entries, sync, waits } => self.commit(entries, sync, waits),
            Step::Append { sync } => self.append(sync),
            Step::Apply => self.apply(),
            Step::Turns(turns) => {
                for _ in 0..turns {
                    self.engine().turn();
                }
            }
            Step::Advance(ms) => self.machine.clock.advance(Duration::from_millis(ms)),
            Step::Flush => drop(self.allow(self.engine().flush())),
            Step::Rotate => drop(self.allow(self.engine().rotate_data_key(1))),
            Step::Loom(operations) => {
                let disk = &self.machine.disk;
                disk.cut_power_after(disk.operations() + operations);
                self.looms = true;
            }
            Step::Crash(unsynced) => {
                self.machine = self.machine.after_power_cut(unsynced);
                self.engine = None;
                self.open();
            }
            Step::Reopen => {
                let closed = self.allow(self.engine().close()).is_some();
                self.engine = None;
                if closed {
                    // All that was asked for is done, and on disk.
                    self.batches.set(self.states.len() - 1);
                    self.entries.set(self.appended);
                } else {
                    self.machine = self.machine.after_power_cut(Unsynced::Lost);
                }
                // A cut that looms is none for the next opening.
                self.machine.disk.cut_power_after(u64::MAX);
                self.open();
            }
        }
    }
}

fn durability(sync: bool) -> Durability {
    if sync {
        Durability::Sync
    } else {
        Durability::Interval
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_driven_engine_answers_like_a_sorted_map_and_keeps_what_it_promised(
        memtable in 300_usize..3_000,
        paced in any::<bool>(),
        steps in vec(step(), 1..250),
    ) {
        let mut checked = Checked::new(Settings {
            memtable_bytes_max: memtable,
            compaction_bytes_per_second_max: if paced { 50_000 } else { 0 },
            ..tiny()
        });
        for step in steps {
            checked.step(step);
            checked.check();
        }
        checked.step(Step::Reopen);
    }
}

/// Runs `work` on a thread and fails if it does not end.
fn must_end(work: impl FnOnce() + Send + 'static) {
    let (ended, wait) = channel();
    let thread = thread::spawn(move || {
        work();
        ended.send(()).ok();
    });
    let waited = wait.recv_timeout(Duration::from_mins(2));
    assert_ne!(
        waited,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout),
        "a call hangs"
    );
    thread.join().unwrap();
}

#[test]
fn writes_that_wait_do_flushes_and_compactions_themselves_while_the_clock_stands() {
    must_end(|| {
        let settings = Settings {
            compaction_bytes_per_second_max: 1,
            level0_sstables_slowdown: 3,
            level0_sstables_stop: 4,
            ..tiny()
        };
        let machine = Machine::new(1, settings);
        let engine = machine.open().unwrap();
        let id = engine.create_keyspace("a").unwrap();
        for number in 0..2_000_u32 {
            let batch = put(id, &number.to_be_bytes(), &[7; 100]);
            engine.write(batch, durability(number % 2 == 0)).unwrap();
        }
        let statistics = engine.statistics();
        assert!(
            statistics.flushes > 50 && statistics.compactions > 10,
            "{statistics:?}"
        );
        assert!(statistics.levels[0].sstables <= 4, "{statistics:?}");
        assert_eq!(read_all(&engine, id).unwrap().len(), 2_000);
    });
}

#[test]
fn applying_flushes_and_compacts_when_there_is_no_room_and_calls_no_completion() {
    must_end(|| {
        let settings = Settings {
            level0_sstables_slowdown: 3,
            level0_sstables_stop: 4,
            ..tiny()
        };
        let engine = Machine::new(1, settings).open().unwrap();
        let options = KeyspaceOptions {
            recovery: Recovery::Replayed,
            ..KeyspaceOptions::default()
        };
        let id = engine.create_keyspace_with("a", options).unwrap();
        let logged = engine.create_keyspace("b").unwrap();
        let outcomes = Outcomes::default();
        engine.commit(put(logged, b"k", b"v"), Durability::Sync, note(&outcomes, 1));
        for index in 1..=2_000_u64 {
            engine
                .apply(put(id, &index.to_be_bytes(), &[7; 100]), STREAM, index)
                .unwrap();
        }
        assert!(engine.statistics().flushes > 50 && engine.statistics().compactions > 10);
        assert!(outcomes.lock().unwrap().is_empty());
        engine.flush().unwrap();
        assert_eq!(engine.flushed_index(STREAM), 2_000);
        assert_eq!(read_all(&engine, id).unwrap().len(), 2_000);
    });
}

#[test]
fn calls_that_return_when_something_is_done_need_no_turns() {
    must_end(|| {
        let machine = Machine::new(1, tiny());
        let engine = machine.open().unwrap();
        let id = engine.create_keyspace("a").unwrap();
        let outcomes = Outcomes::default();
        let mut number = 0;
        let mut commit = |engine: &Engine, id| {
            number += 1;
            engine.commit(put(id, b"k", b"v"), Durability::Sync, note(&outcomes, number));
        };
        commit(&engine, id);
        engine.write(put(id, b"j", b"v"), Durability::Sync).unwrap();
        engine.flush().unwrap();
        assert!(engine.statistics().flushes > 0);
        commit(&engine, id);
        let key = engine.rotate_data_key(3).unwrap();
        commit(&engine, id);
        assert_ne!(engine.rotate_data_key(4).unwrap(), key);
        let mut log = LogBatch::new();
        log.append(STREAM, 1, b"entry");
        commit(&engine, id);
        engine
            .append_and_write(log, put(id, b"l", b"v"), Durability::Sync)
            .unwrap();
        assert_eq!(
            outcomes.lock().unwrap().len(),
            4,
            "what waited before is done before"
        );
        commit(&engine, id);
        assert!(engine.checkpoint(Path::new("/checkpoint")).unwrap().sstables > 0);
        engine.drop_keyspace(id).unwrap();
        let other = engine.create_keyspace("b").unwrap();
        turn_while_there_is_something(&engine);
        assert_eq!(
            engine.statistics().levels[0].sstables,
            0,
            "the keyspace is purged"
        );
        commit(&engine, other);
        engine.commit(put(other, b"m", b"v"), Durability::Interval, note(&outcomes, 7));
        engine.close().unwrap();
        let done: Vec<u64> = outcomes
            .lock()
            .unwrap()
            .iter()
            .map(|(number, _)| *number)
            .collect();
        assert_eq!(done, [1, 2, 3, 4, 5, 6, 7]);
        assert!(
            outcomes
                .lock()
                .unwrap()
                .iter()
                .all(|(_, outcome)| outcome.is_ok())
        );
        assert!(!engine.turn(), "there is nothing to do any more");
        assert!(matches!(
            engine.write(put(other, b"k", b""), Durability::Sync),
            Err(Error::Closed)
        ));
        engine.close().unwrap();
        let engine = machine.open().unwrap();
        assert_eq!(read_all(&engine, other).unwrap().len(), 2);
    });
}

#[test]
fn dropping_the_engine_writes_what_waits_and_unlocks_the_directory() {
    must_end(|| {
        let machine = Machine::new(1, tiny());
        let engine = machine.open().unwrap();
        let id = engine.create_keyspace("a").unwrap();
        let outcomes = Outcomes::default();
        engine.commit(put(id, b"k", b"v"), Durability::Sync, note(&outcomes, 1));
        assert!(matches!(machine.open(), Err(Error::Locked { .. })));
        drop(engine);
        assert_eq!(*outcomes.lock().unwrap(), [(1, Ok(1))]);
        let engine = machine.open().unwrap();
        assert_eq!(engine.get(id, b"k").unwrap().as_deref(), Some(&b"v"[..]));
    });
}

#[test]
fn a_call_that_waits_is_refused_within_a_completion_and_writes_nothing() {
    must_end(|| {
        let engine = Machine::new(1, tiny()).open().unwrap();
        let id = engine.create_keyspace("a").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for durability in [Durability::Sync, Durability::Interval] {
            let (inner, noted) = (engine.clone(), Arc::clone(&seen));
            engine.commit(put(id, b"k", b"v"), durability, move |outcome| {
                outcome.unwrap();
                let refused = inner.write(put(id, b"refused", b""), Durability::Sync);
                assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
                let refused = inner.flush();
                assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
                // What does not wait is done later.
                let later = Arc::clone(&noted);
                inner.commit(put(id, b"later", b""), Durability::Sync, move |outcome| {
                    outcome.unwrap();
                    later.lock().unwrap().push("later");
                });
                inner.turn();
                noted.lock().unwrap().push("first");
            });
            turn_while_there_is_something(&engine);
            assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), ["first", "later"]);
        }
        let keys = read_all(&engine, id).unwrap().into_iter().map(|(key, _)| key);
        assert!(keys.eq([&b"k"[..], b"later"]));
    });
}

#[test]
fn a_completion_may_close_the_engine() {
    must_end(|| {
        let machine = Machine::new(1, tiny());
        let engine = machine.open().unwrap();
        let id = engine.create_keyspace("a").unwrap();
        let outcomes = Outcomes::default();
        let inner = engine.clone();
        engine.commit(put(id, b"k", b"v"), Durability::Sync, move |outcome| {
            outcome.unwrap();
            inner.close().unwrap();
        });
        engine.commit(put(id, b"l", b"v"), Durability::Sync, note(&outcomes, 1));
        turn_while_there_is_something(&engine);
        assert_eq!(*outcomes.lock().unwrap(), [(1, Ok(2))]);
        engine.close().unwrap();
        machine.open().unwrap();
    });
}

#[test]
fn a_synced_commit_is_written_by_a_turn_and_not_before() {
    let machine = Machine::new(1, tiny());
    let engine = machine.open().unwrap();
    let id = engine.create_keyspace("a").unwrap();
    turn_while_there_is_something(&engine);
    let outcomes = Outcomes::default();
    let operations = machine.disk.operations();
    for number in 1..=3_u64 {
        let key = number.to_be_bytes();
        engine.commit(put(id, &key, b"v"), Durability::Sync, note(&outcomes, number));
    }
    assert_eq!(machine.disk.operations(), operations);
    assert_eq!(engine.get(id, &1_u64.to_be_bytes()).unwrap(), None);
    assert!(engine.turn());
    assert_eq!(*outcomes.lock().unwrap(), [(1, Ok(1)), (2, Ok(2)), (3, Ok(3))]);
    assert_eq!(
        machine.disk.operations(),
        operations + 2,
        "one write and one sync"
    );
    assert!(!engine.turn());
    // At intervals the caller writes, and the completion is called at once.
    engine.commit(put(id, b"k", b"v"), Durability::Interval, note(&outcomes, 4));
    assert_eq!(outcomes.lock().unwrap().last(), Some(&(4, Ok(4))));
    assert_eq!(machine.disk.operations(), operations + 3);
}

#[test]
fn the_power_can_go_between_the_commit_and_its_turn() {
    for (turns, expected) in [(0, None), (1, Some(&b"v"[..]))] {
        let machine = Machine::new(1, tiny());
        let engine = machine.open().unwrap();
        let id = engine.create_keyspace("a").unwrap();
        let outcomes = Outcomes::default();
        engine.commit(put(id, b"k", b"v"), Durability::Sync, note(&outcomes, 1));
        for _ in 0..turns {
            assert!(engine.turn());
        }
        let next = machine.after_power_cut(Unsynced::Lost);
        drop(engine);
        let outcome = outcomes.lock().unwrap().pop().unwrap().1;
        assert_eq!(outcome.is_ok(), expected.is_some(), "{outcome:?}");
        let engine = next.open().unwrap();
        assert_eq!(engine.get(id, b"k").unwrap().as_deref(), expected);
    }
}

#[test]
fn the_log_is_synced_when_the_interval_is_over_by_the_clock_that_was_given() {
    let machine = Machine::new(
        1,
        Settings {
            sync_interval_ms: 40,
            ..tiny()
        },
    );
    let engine = machine.open().unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let millisecond = Duration::from_millis(1);
    let syncs = || engine.log_statistics().syncs;
    for round in 1..=5_u64 {
        // However long it was quiet before: the interval begins with the first write.
        machine.clock.advance(millisecond * 1_000);
        turn_while_there_is_something(&engine);
        assert_eq!(syncs(), round - 1);
        engine
            .write(put(id, &round.to_be_bytes(), b"v"), Durability::Interval)
            .unwrap();
        machine.clock.advance(millisecond * 20);
        engine
            .write(put(id, b"again", b"v"), Durability::Interval)
            .unwrap();
        machine.clock.advance(millisecond * 19);
        assert!(!engine.turn(), "the interval is not over");
        assert_eq!(syncs(), round - 1);
        machine.clock.advance(millisecond);
        assert!(engine.turn());
        assert_eq!(syncs(), round);
        assert!(!engine.turn());
    }
    // What was synced survives, what came after does not.
    engine
        .write(put(id, b"late", b"v"), Durability::Interval)
        .unwrap();
    machine.clock.advance(millisecond * 39);
    assert!(!engine.turn());
    let next = machine.after_power_cut(Unsynced::Lost);
    drop(engine);
    let engine = next.open().unwrap();
    assert_eq!(read_all(&engine, id).unwrap().len(), 6);
    assert_eq!(engine.get(id, b"late").unwrap(), None);
}

#[test]
fn compactions_and_delayed_writes_go_on_when_the_clock_does() {
    let settings = Settings {
        compaction_bytes_per_second_max: 1_000,
        level0_sstables_trigger: 2,
        level0_sstables_slowdown: 2,
        level0_sstables_stop: 40,
        ..tiny()
    };
    let machine = Machine::new(1, settings);
    let engine = machine.open().unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let fill = |first: u32| {
        for number in first..first + 40 {
            let batch = put(id, &number.wrapping_mul(2_654_435_761).to_be_bytes(), &[7; 100]);
            engine.write(batch, Durability::Interval).unwrap();
        }
        engine.flush().unwrap();
    };
    fill(0);
    turn_while_there_is_something(&engine);
    fill(40);
    turn_while_there_is_something(&engine);
    // By now the limit is used up, and level 0 grows.
    fill(80);
    fill(120);
    let before = engine.statistics();
    assert!(before.levels[0].sstables >= 2, "{before:?}");
    turn_while_there_is_something(&engine);
    assert_eq!(engine.statistics().compactions, before.compactions);
    // Which delays writes, but not calls that must return.
    let outcomes = Outcomes::default();
    engine.commit(put(id, b"k", b"v"), Durability::Sync, note(&outcomes, 1));
    assert!(!engine.turn());
    assert!(outcomes.lock().unwrap().is_empty());
    machine.clock.advance(Duration::from_millis(100));
    assert!(engine.turn());
    turn_while_there_is_something(&engine);
    assert_eq!(outcomes.lock().unwrap().len(), 1);
    let delayed = engine.statistics();
    assert!(delayed.delays > 0, "{delayed:?}");
    assert_eq!(delayed.delayed, before.delayed + Duration::from_millis(100));
    assert_eq!(delayed.compactions, before.compactions);
    // Time brings the compactions as well.
    machine.clock.advance(Duration::from_hours(1));
    turn_while_there_is_something(&engine);
    let after = engine.statistics();
    assert!(
        after.compactions > before.compactions && !after.paced.is_zero(),
        "{after:?}"
    );
}

#[test]
fn a_failure_stops_the_engine_and_refuses_what_waits() {
    let machine = Machine::new(1, tiny());
    let engine = machine.open().unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let outcomes = Outcomes::default();
    engine.commit(put(id, b"k", b"v"), Durability::Sync, note(&outcomes, 1));
    machine.disk.cut_power_after(machine.disk.operations());
    turn_while_there_is_something(&engine);
    assert_eq!(outcomes.lock().unwrap().len(), 1);
    assert!(outcomes.lock().unwrap()[0].1.is_err());
    engine.commit(put(id, b"l", b"v"), Durability::Sync, note(&outcomes, 2));
    assert!(outcomes.lock().unwrap()[1].1.is_err());
    assert!(!engine.turn());
    assert!(matches!(engine.flush(), Err(Error::Poisoned { .. })));
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
}

#[test]
fn an_engine_with_threads_has_nothing_to_do_for_a_turn() {
    let engine = Engine::open(
        support::environment(Arc::new(MemVfs::new())),
        Path::new(DIRECTORY),
        tiny(),
    )
    .unwrap();
    let id = engine.create_keyspace("a").unwrap();
    let (sent, received) = channel();
    engine.commit(put(id, b"k", b"v"), Durability::Sync, move |outcome| {
        sent.send(outcome).unwrap();
    });
    assert!(!engine.turn());
    received.recv().unwrap().unwrap();
}
