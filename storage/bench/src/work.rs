//! The rows of the workload, done on whichever store: nothing here knows one engine from another.

use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use crate::data::{self, Entry, Pick, Random, Values};
use crate::meter::{Lap, Meter, Used, histogram, latency};
use crate::protocol::{Command, Latency, Work};
use crate::store::{Direction, Durability, Store};
use crate::{Result, clock, process};

/// Entries of a batch of the load.
const BATCH: usize = 100;
/// Entries of a scan.
const SCAN: usize = 100;
/// Picks are made before the clock runs, so many at most; then they are used again from the start.
const PICKS_MAX: u64 = 1 << 20;
/// Every so many-th entry is read to warm up; there are about twice as many in a block.
const WARM_UP_STEP: u64 = 8;
/// Background threads are silent when the process has used less CPU time than this share for a while.
const SILENCE_CPU: f64 = 0.03;
const SILENCE_TIMEOUT: Duration = Duration::from_secs(900);

/// What a row has found.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) operations: u64,
    pub(crate) used: Used,
    pub(crate) latencies: Vec<Latency>,
}

/// The rows, with what they keep from one to the next.
#[derive(Debug)]
pub(crate) struct Worker {
    values: Values,
    /// Each row that puts has a version of its own.
    version: u64,
    /// For how long there must be nothing to hear.
    silence: Duration,
    pub(crate) put_bytes: u64,
}

impl Worker {
    pub(crate) fn new(silence: Duration) -> Self {
        Self {
            values: Values::new(),
            version: 0,
            silence,
            put_bytes: 0,
        }
    }

    /// Does what a command says, except for [`Work::Close`].
    pub(crate) fn run(&mut self, store: &dyn Store, command: &Command) -> Result<Done> {
        self.version += 1;
        match command.work {
            Work::Load => self.load(store, command.entries),
            Work::Settle => self.settle(store),
            Work::Quiet | Work::Close => self.quiet(&Meter::start()),
            Work::WarmUp => warm_up(store, command.entries),
            Work::GetUniform | Work::FirstReads => gets(store, command, Pick::Uniform),
            Work::GetZipfian => gets(store, command, Pick::Zipfian),
            Work::GetAbsent => absent_gets(store, command),
            Work::ScanForward => scans(store, command, Direction::Forward),
            Work::ScanBackward => scans(store, command, Direction::Backward),
            Work::Overwrite | Work::Tail => self.puts(store, command, Durability::Written, 1),
            Work::Synced1 => self.puts(store, command, Durability::Synced, 1),
            Work::Synced32 => self.puts(store, command, Durability::Synced, 32),
            Work::Synced128 => self.puts(store, command, Durability::Synced, 128),
            Work::Mixed => self.mixed(store, command),
        }
    }

    fn load(&mut self, store: &dyn Store, entries: u64) -> Result<Done> {
        let mut batch = vec![Entry::default(); BATCH];
        let mut latencies = histogram()?;
        let mut numbers = data::shuffled(entries).peekable();
        let meter = Meter::start();
        let mut lap = Lap::start(Some(u64::MAX), Duration::ZERO);
        while numbers.peek().is_some() {
            let mut length = 0;
            for (entry, number) in batch.iter_mut().zip(&mut numbers) {
                self.put_bytes += self.fill(entry, number);
                length += 1;
            }
            store.put_batch(&batch[..length])?;
            lap.done(&mut latencies);
        }
        Ok(Done {
            operations: entries,
            used: meter.stop(),
            latencies: vec![latency("batch", &latencies)],
        })
    }

    fn fill(&self, entry: &mut Entry, number: u64) -> u64 {
        data::write_key(number, &mut entry.key);
        self.values.write(number, self.version, &mut entry.value);
        (entry.key.len() + entry.value.len()) as u64
    }

    fn settle(&self, store: &dyn Store) -> Result<Done> {
        let meter = Meter::start();
        store.flush()?;
        self.quiet(&meter)
    }

    /// Waits until neither CPU time nor written bytes grow. No engine offers the same question, so that all are judged
    /// from outside.
    fn quiet(&self, meter: &Meter) -> Result<Done> {
        const LOOK: Duration = Duration::from_millis(25);
        let sample = || -> Result<(Duration, u64)> { Ok((clock::cpu_time(), process::written_bytes()?)) };
        let (start, mut silent_since) = (clock::now(), clock::now());
        let (mut cpu, mut written) = sample()?;
        let mut used = meter.stop();
        loop {
            clock::pause(LOOK);
            let now = clock::now();
            let (cpu_now, written_now) = sample()?;
            let share = cpu_now.saturating_sub(cpu).as_secs_f64() / LOOK.as_secs_f64();
            if share > SILENCE_CPU || written_now != written {
                silent_since = now;
                used = meter.stop();
            }
            (cpu, written) = (cpu_now, written_now);
            if now - silent_since >= self.silence {
                return Ok(Done {
                    operations: 1,
                    used,
                    latencies: Vec::new(),
                });
            }
            if now - start > SILENCE_TIMEOUT {
                return Err("the background work does not end".into());
            }
        }
    }

    fn puts(
        &mut self,
        store: &dyn Store,
        command: &Command,
        durability: Durability,
        threads: u64,
    ) -> Result<Done> {
        let barrier = Barrier::new(usize::try_from(threads + 1)?);
        let this = &*self;
        let writer = |seed| -> Result<_> {
            let mut random = Random::new(seed);
            let mut entry = Entry::default();
            let (mut bytes, mut latencies) = (0, histogram()?);
            barrier.wait();
            let mut lap = Lap::start(command.operations, Duration::from_secs_f64(command.seconds));
            while lap.goes_on() {
                bytes += this.fill(&mut entry, random.below(command.entries));
                store.put(&entry, durability)?;
                lap.done(&mut latencies);
            }
            Ok((bytes, latencies))
        };
        let (used, results) = std::thread::scope(|scope| {
            let seeds = (0..threads).map(|thread| command.seed * 1000 + thread);
            let writers: Vec<_> = seeds.map(|seed| scope.spawn(move || writer(seed))).collect();
            barrier.wait();
            let meter = Meter::start();
            let results: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
            (meter.stop(), results)
        });
        let mut all = histogram()?;
        for result in results {
            let (bytes, latencies) = result.map_err(|_| "a writer has panicked")??;
            self.put_bytes += bytes;
            all.add(&latencies)?;
        }
        Ok(Done {
            operations: all.len(),
            used,
            latencies: vec![latency("", &all)],
        })
    }

    fn mixed(&mut self, store: &dyn Store, command: &Command) -> Result<Done> {
        let burst = Command {
            operations: Some(command.operations.unwrap_or(command.entries / 4) / 2),
            seed: command.seed + 1,
            ..*command
        };
        self.puts(store, &burst, Durability::Written, 1)?;
        self.version += 1;
        let picks = picks(command, Pick::Uniform)?;
        let (mut gets, mut puts) = (histogram()?, histogram()?);
        let mut entry = Entry::default();
        let meter = Meter::start();
        let mut lap = Lap::start(command.operations, Duration::from_secs_f64(command.seconds));
        let mut picks = picks.iter().copied().map(u64::from).cycle();
        while let (true, Some(read), Some(put)) = (lap.goes_on(), picks.next(), picks.next()) {
            get(store, read, &mut entry.key)?;
            lap.done(&mut gets);
            self.put_bytes += self.fill(&mut entry, put);
            store.put(&entry, Durability::Written)?;
            lap.done(&mut puts);
        }
        Ok(Done {
            operations: lap.operations,
            used: meter.stop(),
            latencies: vec![latency("get", &gets), latency("put", &puts)],
        })
    }
}

/// Reads an entry and checks that it is the right one.
fn get(store: &dyn Store, number: u64, key: &mut Vec<u8>) -> Result<()> {
    data::write_key(number, key);
    let mut right = false;
    store.get(key, &mut |value| right = data::is_value_of(number, value))?;
    if right {
        Ok(())
    } else {
        Err(format!("entry {number} is missing or wrong").into())
    }
}

fn warm_up(store: &dyn Store, entries: u64) -> Result<Done> {
    let meter = Meter::start();
    let mut key = Vec::new();
    let step = usize::try_from(WARM_UP_STEP)?;
    for number in (0..entries).step_by(step) {
        get(store, number, &mut key)?;
    }
    Ok(Done {
        operations: entries / WARM_UP_STEP,
        used: meter.stop(),
        latencies: Vec::new(),
    })
}

/// As many picks as the row may need, up to a limit.
fn picks(command: &Command, pick: Pick) -> Result<Vec<u32>> {
    const PER_MS: u64 = 2000;
    let milliseconds = u64::try_from(Duration::from_secs_f64(command.seconds).as_millis())?;
    let needed = command.operations.unwrap_or(milliseconds * PER_MS);
    let length = usize::try_from(needed.clamp(1, PICKS_MAX))?;
    Ok(data::picks(pick, command.entries, length, command.seed))
}

/// Does the same with many entries, one after the other.
fn each(
    command: &Command,
    pick: Pick,
    mut operation: impl FnMut(u64, &mut Vec<u8>) -> Result<()>,
) -> Result<Done> {
    let picks = picks(command, pick)?;
    let (mut key, mut latencies) = (Vec::new(), histogram()?);
    let meter = Meter::start();
    let mut lap = Lap::start(command.operations, Duration::from_secs_f64(command.seconds));
    for number in picks.iter().copied().map(u64::from).cycle() {
        if !lap.goes_on() {
            break;
        }
        operation(number, &mut key)?;
        lap.done(&mut latencies);
    }
    Ok(Done {
        operations: lap.operations,
        used: meter.stop(),
        latencies: vec![latency("", &latencies)],
    })
}

fn gets(store: &dyn Store, command: &Command, pick: Pick) -> Result<Done> {
    each(command, pick, |number, key| get(store, number, key))
}

fn absent_gets(store: &dyn Store, command: &Command) -> Result<Done> {
    each(command, Pick::Uniform, |number, key| {
        data::write_absent_key(number, key);
        if store.get(key, &mut |_| ())? {
            return Err(format!("there is an entry like {number} that was never put").into());
        }
        Ok(())
    })
}

fn scans(store: &dyn Store, command: &Command, direction: Direction) -> Result<Done> {
    each(command, Pick::Uniform, |number, key| {
        data::write_key(number, key);
        let (mut seen, mut bytes) = (0, 0);
        store.scan(key, direction, SCAN, &mut |key, value| {
            seen += 1;
            bytes += key.len() + value.len();
        })?;
        if seen > SCAN || bytes < seen * data::VALUE_BYTES {
            return Err(format!("a scan has shown {seen} entries with {bytes} bytes").into());
        }
        Ok(())
    })
}
