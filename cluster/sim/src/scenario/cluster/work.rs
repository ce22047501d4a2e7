//! What a client does all day: reads and writes of every kind and level on few keys, so that much happens at once on each.
//!
//! Invariant: every write has a number that no other has.

use std::collections::BTreeMap;
use std::time::Duration;

use stator_cluster::{ConsistencyLevel, Direction};

use super::command::Answered;
use super::everyone::{Attempt, Everyone, Sending};
use super::invariant::Invariant;
use super::node::Visited;
use super::place::{KeyspaceName, Place, Span};
use crate::check::cell::{Input, Output, Stored};
use crate::history::Client;
use crate::random::Stream;

/// Keys from here on are counters: they are added to and nothing else.
pub(super) const FIRST_COUNTER: u64 = 1_000;

/// Keys from here on belong to one client each, who writes them at ONE.
pub(super) const FIRST_OWN: u64 = 2_000;

/// What the clients use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) cells: u64,
    pub(super) counters: u64,
    pub(super) clients: u64,
    /// Of ten reads, so many are at ALL.
    pub(super) all_of_ten: u64,
}

impl Keys {
    /// All of them.
    pub(super) fn all(self) -> impl Iterator<Item = u64> {
        let counters = (0..self.counters).map(|key| FIRST_COUNTER + key);
        let own = (1..=self.clients).map(|key| FIRST_OWN + key);
        (0..self.cells).chain(counters).chain(own)
    }
}

/// When clients work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    pub(super) from: Duration,
    pub(super) until: Duration,
}

/// Makes the numbers of one client's writes.
#[derive(Debug)]
pub(super) struct Numbers {
    client: Client,
    count: u64,
}

impl Numbers {
    pub(super) fn new(client: Client) -> Self {
        Self { client, count: 0 }
    }

    /// The number of the next write.
    pub(super) fn next(&mut self) -> u64 {
        self.count += 1;
        self.client.0 * 1_000_000 + self.count
    }

    /// A cell of the next write, whose number it shows as its own.
    pub(super) fn cell(&mut self) -> Stored {
        let by = self.next();
        Stored {
            value: i64::try_from(by).unwrap_or(0),
            by,
        }
    }
}

/// A client at work.
pub(super) struct Worker {
    pub(super) everyone: Everyone,
    pub(super) client: Client,
    pub(super) keyspace: KeyspaceName,
    pub(super) keys: Keys,
    stream: Stream,
    numbers: Numbers,
    /// What it has last learnt of each key.
    known: BTreeMap<u64, Option<i64>>,
}

impl Worker {
    pub(super) fn new(everyone: Everyone, client: Client, keyspace: KeyspaceName, keys: Keys) -> Self {
        Self {
            stream: everyone.control.stream("client", client.0),
            numbers: Numbers::new(client),
            known: BTreeMap::new(),
            everyone,
            client,
            keyspace,
            keys,
        }
    }

    /// Works in these shifts.
    pub(super) async fn work(mut self, shifts: Vec<Shift>, think_ms_max: u64) {
        for shift in shifts {
            self.everyone.wait_for(shift.from).await;
            while self.everyone.control.now() < shift.until {
                let think = self.stream.between(1, think_ms_max);
                self.everyone.pause(think).await;
                self.do_something().await;
            }
        }
    }

    async fn do_something(&mut self) {
        match self.stream.below(100) {
            0..42 => self.read().await,
            42..50 => self.visit().await,
            50..66 => self.put().await,
            66..78 => self.compare_and_set().await,
            78..90 => self.add().await,
            90..95 => self.delete().await,
            _ if self.keys.clients == 0 => self.compare_and_set().await,
            _ => self.put_own().await,
        }
    }

    fn place(&self, key: u64) -> Place {
        Place {
            keyspace: self.keyspace.clone(),
            key,
        }
    }

    fn any_key(&mut self) -> u64 {
        let keys: Vec<u64> = self.keys.all().collect();
        self.stream.pick(&keys).copied().unwrap_or(0)
    }

    fn any_place(&mut self) -> Place {
        let key = self.stream.below(self.keys.cells);
        self.place(key)
    }

    /// How a write of a shared cell is sent: mostly to a majority; `one_ppm` of a million at ONE, but no metadata.
    fn sending(&mut self, one_ppm: u32) -> Sending {
        let level = if self.stream.chance(one_ppm) && !self.keyspace.is_metadata() {
            ConsistencyLevel::One
        } else if self.stream.chance(120_000) {
            ConsistencyLevel::All
        } else {
            ConsistencyLevel::Quorum
        };
        Sending {
            level,
            is_repeated: self.stream.chance(600_000),
        }
    }

    async fn read(&mut self) {
        let (key, node) = (self.any_key(), self.everyone.any_node(&mut self.stream));
        let place = self.place(key);
        let found = match self.stream.below(10) {
            0..3 => self.everyone.glimpse(self.client, node, &place).await,
            level => {
                let level = if level < 3 + self.keys.all_of_ten {
                    ConsistencyLevel::All
                } else {
                    ConsistencyLevel::Quorum
                };
                self.everyone.read(self.client, node, &place, level).await
            }
        };
        if let Some(found) = found {
            self.known.insert(key, found.map(|cell| cell.value));
        }
    }

    async fn write(&mut self, place: &Place, input: Input, sending: Sending) -> Option<Answered> {
        let (client, stream) = (self.client, &mut self.stream);
        let written = self.everyone.write(client, stream, place, input, sending).await;
        let answered = written.answered;
        if let Some(Answered::Told { old, is_done }) = answered {
            let (new, _) = crate::check::cell::apply(old, &input);
            let now = if is_done { new } else { old };
            self.known.insert(place.key, now.map(|cell| cell.value));
        }
        answered
    }

    async fn put(&mut self) {
        let (place, sending) = (self.any_place(), self.sending(50_000));
        let input = Input::Put(self.numbers.cell());
        self.write(&place, input, sending).await;
    }

    async fn put_own(&mut self) {
        let place = self.place(FIRST_OWN + self.client.0);
        let sending = Sending {
            level: ConsistencyLevel::One,
            is_repeated: self.stream.chance(600_000),
        };
        let input = Input::Put(self.numbers.cell());
        self.write(&place, input, sending).await;
    }

    async fn compare_and_set(&mut self) {
        let (place, sending) = (self.any_place(), self.sending(0));
        let expected = self.known.get(&place.key).copied().flatten();
        let new = self.numbers.cell();
        self.write(&place, Input::CompareAndSet { expected, new }, sending)
            .await;
    }

    async fn add(&mut self) {
        let key = FIRST_COUNTER + self.stream.below(self.keys.counters);
        let (place, mut sending) = (self.place(key), self.sending(0));
        sending.is_repeated |= self.stream.chance(700_000);
        let delta = i64::try_from(self.stream.between(1, 9)).unwrap_or(1);
        let by = self.numbers.next();
        self.write(&place, Input::Add { delta, by }, sending).await;
    }

    async fn delete(&mut self) {
        let (place, sending) = (self.any_place(), self.sending(50_000));
        let by = self.numbers.next();
        self.write(&place, Input::Delete { by }, sending).await;
    }

    /// A range read is a read of every key that it has passed.
    async fn visit(&mut self) {
        let history = self.everyone.history.clone();
        let node = self.everyone.any_node(&mut self.stream);
        let (span, direction, rows_max) = self.question();
        let now = self.everyone.control.now();
        let reads: Vec<_> = self
            .keys
            .all()
            .map(|key| self.place(key))
            .filter(|place| span.holds(&place.key_bytes()))
            .map(|place| {
                let operation = history.begin(self.client, place.clone(), Input::Read, now);
                (place.key_bytes(), operation)
            })
            .collect();
        let what = format!("{} visits {span:?} {direction:?}, {rows_max} rows", self.client);
        let asked = span.clone();
        let level = ConsistencyLevel::Quorum;
        let attempt = self
            .everyone
            .ask(node, &what, move |node| {
                Box::pin(async move { node.range(&asked, direction, level, rows_max).await })
            })
            .await;
        let Attempt::Answered(rows) = attempt else {
            for (_, operation) in &reads {
                history.withdraw(*operation);
            }
            if matches!(attempt, Attempt::Gone) {
                let what = format_args!("node {node} does not know keyspace {}", self.keyspace);
                self.everyone.breaks(Invariant::Keyspaces, what);
            }
            return;
        };
        self.everyone
            .control
            .note(format!("node {node} has answered {what}: {} rows", rows.len()));
        if let Err(what) = in_order(&span, direction, &rows) {
            self.everyone.breaks(Invariant::Ordered, what);
        }
        // What lies behind the last row was not looked at if the visitor has broken off there.
        let end = rows.last().filter(|_| rows.len() >= rows_max).map(|row| &row.key);
        for (key, operation) in reads {
            let is_passed = end.is_none_or(|end| match direction {
                Direction::Forward => key <= *end,
                Direction::Backward => key >= *end,
            });
            if is_passed {
                let row = rows.iter().find(|row| row.key == key);
                history.end(operation, Output::found(row.and_then(|row| row.cell)));
            } else {
                history.withdraw(operation);
            }
        }
    }

    fn question(&mut self) -> (Span, Direction, usize) {
        let mut span = Span::all(self.keyspace.clone());
        if self.stream.chance(500_000) {
            span.from = Some(self.any_key());
        }
        if self.stream.chance(500_000) {
            span.to = Some(self.any_key());
        }
        let direction = if self.stream.chance(500_000) {
            Direction::Forward
        } else {
            Direction::Backward
        };
        let rows_max = if self.stream.chance(300_000) {
            usize::try_from(self.stream.between(1, 5)).unwrap_or(1)
        } else {
            usize::MAX
        };
        (span, direction, rows_max)
    }
}

/// Whether rows come in the order of a range read, each once, all within its span, and hold cells.
fn in_order(span: &Span, direction: Direction, rows: &[Visited]) -> Result<(), String> {
    let is_sorted = rows.is_sorted_by(|one, next| match direction {
        Direction::Forward => one.key < next.key,
        Direction::Backward => one.key > next.key,
    });
    if !is_sorted {
        return Err(format!("a {direction:?} range read of {span:?} gave {rows:?}"));
    }
    match rows
        .iter()
        .find(|row| !span.holds(&row.key) || row.cell.is_none())
    {
        Some(row) => Err(format!("a range read of {span:?} gave {row:?}")),
        None => Ok(()),
    }
}
