//! Load under faults: clients that write and read the same few items, what they saw, and whether a store without faults
//! could have shown it to them.
//!
//! Invariant: a call, with all its attempts, is one operation of the history; its outcome is unknown only when the client
//! has given up. So a write that was lost, or one that was done twice by two attempts, is a violation. `question.rs` makes
//! requests and reads answers, `gap.rs` measures silence, `throughput.rs` how much is
//! answered, `fault.rs` breaks nodes, `derived.rs` is a load of its own on indexes and a stream, `bank.rs` one of transactions,
//! `bulk.rs` is much data.

pub mod bank;
pub mod bulk;
pub mod derived;
pub mod fault;
pub mod gap;
mod question;
pub mod throughput;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use stator_history::check::linearizable::{CONFIGURATIONS_MAX, Judged, check_keys};
use stator_history::check::register::{Input, Output, Register, Value};
use stator_history::history::{Client, History};

use crate::boto::Boto;
use crate::sdk::{Caller, Failure, Mode, Sdk};
use crate::{Access, Random, Result, clock};
use gap::Gap;
use throughput::Throughput;

/// What the clients do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The table; it is made when the load begins.
    pub table: String,
    /// Clients at once, each with one call at a time.
    pub clients: u64,
    /// The retry modes that they use in turn.
    pub modes: Vec<Mode>,
    /// So many of them, the first ones, are processes of boto3, if there is a Python that has it.
    pub boto: (u64, Option<PathBuf>),
    /// Items that are put, updated under conditions, deleted and read.
    pub registers: u64,
    /// Items that are only added to, and read.
    pub counters: u64,
    /// After so many operations all items are left for new ones, so that no history gets too long to be judged.
    pub operations_of_an_item_set: u64,
    /// So many are begun at least, also on a machine that is slow while the faults last.
    pub operations_min: u64,
    /// How long a client waits between two calls on the average, so that a machine is not busy with clients alone.
    pub pause: Duration,
    /// Decides what each client asks.
    pub seed: u64,
}

impl Settings {
    /// 32 clients of 16 registers and 8 counters.
    pub fn usual(table: &str, seed: u64) -> Self {
        Self {
            table: table.to_owned(),
            clients: 32,
            modes: Mode::ALL.to_vec(),
            boto: (0, None),
            registers: 16,
            counters: 8,
            operations_of_an_item_set: 10_000,
            operations_min: 400,
            pause: Duration::ZERO,
            seed,
        }
    }
}

/// A load that runs, and what it has seen.
#[derive(Debug)]
pub struct Load {
    settings: Settings,
    access: Access,
    address: SocketAddr,
    history: History<String, Input, Output>,
    begun: Instant,
    drawn: AtomicU64,
    is_ended: AtomicBool,
    seen: Mutex<Seen>,
}

/// What all clients have seen.
#[derive(Debug, Default)]
struct Seen {
    /// When writes were answered, and of which item: its place in the set.
    written: Vec<(Duration, u64)>,
    /// When reads were.
    read: Vec<Duration>,
    refused_conditions: usize,
    retries: u64,
    slowest: Duration,
    failures: Vec<GivenUp>,
}

/// A call that has failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// When it was begun, since [`Load::begun`].
    pub began: Duration,
    /// When its client gave it up.
    pub at: Duration,
    /// Whose call it was, what it asked, and what its last attempt met.
    pub what: String,
}

impl GivenUp {
    /// How many of the faults lasted at a moment at which the call did. The load has begun at `begun`.
    fn befallen_by(&self, faults: &[Range<Instant>], begun: Instant) -> usize {
        let (began, at) = (begun + self.began, begun + self.at);
        let both = faults
            .iter()
            .filter(|fault| began <= fault.end && fault.start <= at);
        both.count()
    }
}

impl std::fmt::Display for GivenUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (began, at) = (self.began.as_secs_f64(), self.at.as_secs_f64());
        write!(f, "begun at {began:.3} s, given up at {at:.3} s, {}", self.what)
    }
}

/// What has come of a load.
#[derive(Debug, Clone)]
pub struct Report {
    /// [`Load::begun`].
    pub begun: Instant,
    /// Writes that were answered, conditions that did not hold included.
    pub writes: usize,
    /// Conditions that did not hold.
    pub refused_conditions: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Attempts beyond the first of each call.
    pub retries: u64,
    /// Calls that have failed for good.
    pub failures: Vec<GivenUp>,
    /// The longest time in which no write was answered.
    pub gap: Gap,
    /// The longest time in which no write of one item was answered; clients choose it again and again.
    pub gap_of_an_item: Gap,
    /// The longest that one call took, with all its attempts.
    pub slowest: Duration,
    /// What was answered when, since [`Load::begun`].
    pub throughput: Throughput,
    /// How the histories were judged.
    pub judged: Judged,
    /// Counters whose end was compared with what was acknowledged.
    pub counters: usize,
}

impl Report {
    /// The calls that were given up although no more than one of these faults befell them.
    ///
    /// One fault may cost two of a call's attempts: its connection, and then a leader. A client with three attempts that
    /// waits for up to three seconds between them may meet the next fault with the last one, and nobody could answer it.
    /// Every other call has an attempt that nothing befell.
    pub fn failures_of_one_fault(&self, faults: &[Range<Instant>]) -> Vec<&GivenUp> {
        let failures = self.failures.iter();
        failures
            .filter(|failure| failure.befallen_by(faults, self.begun) < 2)
            .collect()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} writes ({} conditions did not hold), {} reads, {} retries, {} errors",
            self.writes,
            self.refused_conditions,
            self.reads,
            self.retries,
            self.failures.len()
        )?;
        writeln!(f, "longest gap without an answered write: {}", self.gap)?;
        writeln!(f, "the same for one item: {}", self.gap_of_an_item)?;
        writeln!(f, "slowest call: {:.3} s", self.slowest.as_secs_f64())?;
        write!(
            f,
            "linearizable: {} items, {} undecided; exact: {} counters",
            self.judged.linearizable, self.judged.undecided, self.counters
        )
    }
}

impl Load {
    /// Makes the table for a load on whatever listens at `address`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(settings: Settings, access: Access, address: SocketAddr) -> Result<Self> {
        let load = Self {
            access,
            address,
            history: History::new(),
            begun: clock::now(),
            drawn: AtomicU64::new(0),
            is_ended: AtomicBool::new(false),
            seen: Mutex::new(Seen::default()),
            settings,
        };
        create_table(&mut load.sdk(load.settings.clients), &load.settings.table)?;
        Ok(load)
    }

    /// Lets the clients work while `faults` runs, then reads every item once more and judges what was seen.
    ///
    /// # Errors
    /// What `faults` returns; a history that is not linearizable; a counter that is not exact; an item that cannot be read.
    pub fn run(self, faults: impl FnOnce() -> Result<()>) -> Result<Report> {
        let begun = self.begun.elapsed();
        let outcome = thread::scope(|scope| {
            for client in 0..self.settings.clients {
                let load = &self;
                scope.spawn(move || load.work(client));
            }
            // Clients must end in any case, or nobody would.
            let outcome = faults();
            self.is_ended.store(true, Ordering::Relaxed);
            outcome
        });
        let ended = self.begun.elapsed();
        outcome?;
        self.read_all()?;
        self.judge(begun, ended)
    }

    /// The moment from which on times are told.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    fn sdk(&self, client: u64) -> Sdk {
        let modes = &self.settings.modes;
        let mode = usize::try_from(client)
            .ok()
            .and_then(|client| modes.get(client % modes.len().max(1)));
        let random = Random::new(self.settings.seed, client * 2 + 1);
        let mode = mode.copied().unwrap_or(Mode::Standard);
        Sdk::new(self.access.clone(), self.address, mode, random)
    }

    fn caller(&self, client: u64) -> Result<Box<dyn Caller>> {
        match &self.settings.boto {
            (count, Some(python)) if client < *count => {
                Ok(Box::new(Boto::start(python, &self.access, self.address)?))
            }
            _ => Ok(Box::new(self.sdk(client))),
        }
    }

    fn work(&self, client: u64) {
        /// Pools close connections now and then; a node that comes back gets clients again.
        const DISCONNECT_PERCENT: u64 = 1;
        /// How long a client waits at most that has given a call up.
        const AFTER_FAILURE: Duration = Duration::from_millis(200);
        let mut caller = match self.caller(client) {
            Ok(caller) => caller,
            Err(error) => {
                let now = self.begun.elapsed();
                let what = format!("client {client} did not begin: {error}");
                let failure = GivenUp {
                    began: now,
                    at: now,
                    what,
                };
                self.seen.lock().failures.push(failure);
                return;
            }
        };
        let sdk = &mut *caller;
        let mut random = Random::new(self.settings.seed, client * 2);
        let mut known = HashMap::new();
        while !self.is_ended.load(Ordering::Relaxed)
            || self.drawn.load(Ordering::Relaxed) < self.settings.operations_min
        {
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
            let set = drawn / self.settings.operations_of_an_item_set.max(1);
            let slot = random.below(self.settings.registers + self.settings.counters);
            let key = self.key(set, slot);
            let last = known.get(&key).copied();
            let value = i64::try_from(drawn).unwrap_or_default() * 1000;
            let is_counter = slot >= self.settings.registers;
            let input = question::draw(&mut random, is_counter, last, value);
            if let Some(output) = self.ask(sdk, client, slot, &key, input) {
                if let Some(value) = question::told(&output) {
                    known.insert(key, value);
                }
            } else {
                known.remove(&key);
                // Whoever meets errors does not go on as fast as it can.
                clock::pause(random.duration(AFTER_FAILURE));
            }
            if random.percent(DISCONNECT_PERCENT) {
                sdk.disconnect();
            }
            if !self.settings.pause.is_zero() {
                clock::pause(random.duration(self.settings.pause * 2));
            }
        }
        self.seen.lock().retries += sdk.retries();
    }

    fn key(&self, set: u64, slot: u64) -> String {
        match slot.checked_sub(self.settings.registers) {
            Some(counter) => format!("{set}-counter-{counter}"),
            None => format!("{set}-register-{slot}"),
        }
    }

    /// One operation, taken down; its answer, unless the client has given up.
    fn ask(&self, sdk: &mut dyn Caller, client: u64, slot: u64, key: &str, input: Input) -> Option<Output> {
        let (operation, body) = question::request(&self.settings.table, key, &input);
        let began = self.begun.elapsed();
        let id = self.history.begin(Client(client), key.to_owned(), input, began);
        let answer = sdk.call(operation, &body);
        let output = answer
            .map_err(|failure| failure.to_string())
            .and_then(|answer| question::answer(&input, &answer));
        if let Ok(output) = &output {
            self.history.end(id, *output);
        }
        let now = self.begun.elapsed();
        let mut seen = self.seen.lock();
        seen.slowest = seen.slowest.max(now.saturating_sub(began));
        match output {
            Ok(output) => {
                if matches!(input, Input::Read) {
                    seen.read.push(now);
                } else {
                    seen.written.push((now, slot));
                    seen.refused_conditions += usize::from(!output.is_done);
                }
                Some(output)
            }
            Err(failure) => {
                let what = format!("client {client}, {operation} {key}: {failure}");
                let at = now;
                seen.failures.push(GivenUp { began, at, what });
                None
            }
        }
    }

    /// Reads every item that was used, so that the last write of each must be seen.
    fn read_all(&self) -> Result<()> {
        let client = self.settings.clients;
        let mut sdk = self.sdk(client);
        for key in self.history.by_key().into_keys() {
            let (operation, body) = question::request(&self.settings.table, &key, &Input::Read);
            let id = self
                .history
                .begin(Client(client), key, Input::Read, self.begun.elapsed());
            let answer = sdk.call(operation, &body)?;
            self.history.end(id, question::answer(&Input::Read, &answer)?);
        }
        Ok(())
    }

    fn judge(self, begun: Duration, ended: Duration) -> Result<Report> {
        let keys = self.history.by_key();
        let judged = check_keys(&Register::default(), &keys, CONFIGURATIONS_MAX)?;
        let counters = keys.iter().filter(|(key, _)| key.contains("-counter-"));
        let mut exact = 0;
        for (key, operations) in counters {
            let adds = operations.iter().filter(|one| matches!(one.input, Input::Add(_)));
            let (known, unknown): (Vec<_>, Vec<_>) = adds.partition(|one| one.ended.is_some());
            let last = operations.last().and_then(|one| one.ended.as_ref());
            let counted = last
                .and_then(|(_, output)| question::told(output))
                .flatten()
                .unwrap_or(0);
            let counted = usize::try_from(counted)?;
            if !(known.len()..=known.len() + unknown.len()).contains(&counted) {
                return Err(format!(
                    "counter {key} is {counted} after {} acknowledged additions of 1 and {} with an unknown outcome",
                    known.len(),
                    unknown.len()
                )
                .into());
            }
            exact += 1;
        }
        let seen = self.seen.into_inner();
        let slots = self.settings.registers + self.settings.counters;
        let of_slot = |slot| {
            let own = seen.written.iter().filter(|(_, own)| *own == slot);
            Gap::longest(own.map(|(at, _)| *at), begun, ended)
        };
        let answered = seen
            .written
            .iter()
            .map(|(at, _)| *at)
            .chain(seen.read.iter().copied());
        Ok(Report {
            begun: self.begun,
            writes: seen.written.len(),
            refused_conditions: seen.refused_conditions,
            reads: seen.read.len(),
            retries: seen.retries,
            gap: Gap::longest(seen.written.iter().map(|(at, _)| *at), begun, ended),
            gap_of_an_item: (0..slots).map(of_slot).max().unwrap_or_default(),
            slowest: seen.slowest,
            throughput: Throughput::of(answered, ended),
            failures: seen.failures,
            judged,
            counters: exact,
        })
    }
}

/// Makes a table with the partition key `pk`, a string, and waits until it can be used.
///
/// # Errors
/// When it is there already or does not become active.
pub fn create_table(sdk: &mut Sdk, table: &str) -> Result<()> {
    const ACTIVE_WITHIN: Duration = Duration::from_secs(20);
    let request = json!({
        "TableName": table,
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "BillingMode": "PAY_PER_REQUEST",
    });
    match sdk.ok("CreateTable", &request) {
        Ok(_) => {}
        // The answer of the first attempt was lost, and the next one found what it had made; users of an SDK meet the same.
        Err(Failure::Refused(answer)) if answer.error() == Some("ResourceInUseException") => {}
        Err(failure) => return Err(failure.into()),
    }
    let describe = json!({ "TableName": table });
    let mut outcome: std::result::Result<serde_json::Value, Failure> = Ok(json!({}));
    let is_active = clock::holds_within(ACTIVE_WITHIN, || {
        outcome = sdk.ok("DescribeTable", &describe);
        outcome
            .as_ref()
            .is_ok_and(|said| said["Table"]["TableStatus"] == json!("ACTIVE"))
    });
    if is_active {
        Ok(())
    } else {
        Err(format!("the table {table} is still not active: {outcome:?}").into())
    }
}

/// A value that a client knows, for those who look at single items.
///
/// # Errors
/// When the item cannot be read.
pub fn read(sdk: &mut Sdk, table: &str, key: &str) -> Result<Value> {
    let (operation, body) = question::request(table, key, &Input::Read);
    let output = question::answer(&Input::Read, &sdk.call(operation, &body)?)?;
    Ok(question::told(&output).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_that_befell_a_call_are_those_that_lasted_while_it_did() {
        let (begun, second) = (clock::now(), Duration::from_secs);
        let faults = [(10, 12), (14, 15), (30, 31)];
        let faults = faults.map(|(from, to)| begun + second(from)..begun + second(to));
        let befell = |(began, at)| {
            let given_up = GivenUp {
                began: second(began),
                at: second(at),
                what: String::new(),
            };
            given_up.befallen_by(&faults, begun)
        };
        let calls = [(1, 3), (9, 13), (13, 13), (11, 14), (13, 14), (15, 30), (9, 40)];
        assert_eq!(calls.map(befell), [0, 1, 0, 2, 1, 2, 3]);
    }
}
