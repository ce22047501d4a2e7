//! A replica of the register, which also coordinates: the algorithm of Attiya, Bar-Noy and Dolev ("Sharing Memory Robustly
//! in Message-Passing Systems", 1995) with several writers.
//!
//! A write asks a majority for their versions, and has a majority keep its value under a higher one. A read asks a
//! majority, and has a majority keep the highest it found before it answers. Invariant, under the default rules: a cell
//! that a replica has said to keep is on its disk, synced. Other rules break this on purpose, so that a test can show
//! that the checkers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use stator_cluster::{Inbox, Network, NodeId, Priority, World};
use stator_storage::vfs::File;
use tokio::sync::oneshot;

use super::message::{Body, Cell, Message, RECORD_BYTES, Stamp, decode_record, encode_record};
use crate::check::register::Value;
use crate::kernel::Boot;

const DIRECTORY: &str = "/register";
const LOG: &str = "/register/log";

/// How long a coordinator waits for answers before it asks again.
const RETRY_AFTER: Duration = Duration::from_millis(150);

/// How often it asks.
const ATTEMPTS: usize = 20;

/// Whom a read asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// A majority.
    #[default]
    Majority,
    /// Nobody: the coordinator answers with what it has. Stale.
    Alone,
}

/// When a replica says that it keeps a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// Once it is synced.
    #[default]
    AfterSync,
    /// Once it is written. A power cut may take it.
    BeforeSync,
}

/// Where a replica keeps its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    /// On disk.
    #[default]
    OnDisk,
    /// In memory. Any crash takes them.
    InMemory,
}

/// The rules of a register. The default is right, everything else is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whom a read asks.
    pub reads: Reads,
    /// When a replica says that it keeps a cell.
    pub answers: Answers,
    /// Where it keeps it.
    pub keeps: Keeps,
}

/// A coordinator waiting for answers.
#[derive(Debug)]
struct Gathering {
    answers: BTreeMap<NodeId, Cell>,
    done: Option<oneshot::Sender<Vec<Cell>>>,
}

#[derive(Debug)]
struct State {
    cells: BTreeMap<u64, Cell>,
    gatherings: BTreeMap<u64, Gathering>,
    log: Arc<dyn File>,
    log_bytes: u64,
    /// Answers that wait for the sync.
    unsynced: Vec<(NodeId, Message)>,
    /// The disk has failed; nothing is promised any more.
    is_broken: bool,
}

#[derive(Debug)]
pub(super) struct Replica {
    rules: Rules,
    replicas: BTreeSet<NodeId>,
    world: Arc<dyn World>,
    network: Arc<dyn Network>,
    state: Mutex<State>,
}

impl Replica {
    /// Starts with what is on disk.
    pub(super) fn start(boot: &Boot, rules: Rules, replicas: BTreeSet<NodeId>) -> std::io::Result<Self> {
        let (directory, path) = (Path::new(DIRECTORY), Path::new(LOG));
        boot.disk.create_dir_all(directory)?;
        let has_log = boot.disk.list(directory)?.iter().any(|name| name == "log");
        let log = if has_log {
            boot.disk.open(path)?
        } else {
            let log = boot.disk.create(path)?;
            boot.disk.sync_dir(directory)?;
            log
        };
        let (cells, log_bytes) = recover(&*log)?;
        Ok(Self {
            rules,
            replicas,
            world: Arc::clone(&boot.world),
            network: Arc::clone(&boot.network),
            state: Mutex::new(State {
                cells,
                gatherings: BTreeMap::new(),
                log,
                log_bytes,
                unsynced: Vec::new(),
                is_broken: false,
            }),
        })
    }

    /// Reads a key; `None` when no majority has answered.
    pub(super) async fn read(&self, key: u64) -> Option<Value> {
        if self.rules.reads == Reads::Alone {
            let state = self.state.lock();
            return Some(state.cells.get(&key).and_then(|cell| cell.value));
        }
        let latest = self.latest(key).await?;
        self.gather(key, Body::Store(latest)).await?;
        Some(latest.value)
    }

    /// Writes a key; `None` when no majority has answered: the write may or may not stand.
    pub(super) async fn write(&self, key: u64, value: Value) -> Option<()> {
        let latest = self.latest(key).await?;
        let stamp = Stamp {
            counter: latest.stamp.counter + 1,
            write: self.world.random_u64(),
        };
        self.gather(key, Body::Store(Cell { stamp, value })).await?;
        Some(())
    }

    async fn latest(&self, key: u64) -> Option<Cell> {
        let cells = self.gather(key, Body::Query).await?;
        cells.into_iter().max_by_key(|cell| cell.stamp)
    }

    /// Asks all replicas until a majority has answered.
    async fn gather(&self, key: u64, body: Body) -> Option<Vec<Cell>> {
        let request = self.world.random_u64();
        let (done, mut answered) = oneshot::channel();
        let gathering = Gathering {
            answers: BTreeMap::new(),
            done: Some(done),
        };
        self.state.lock().gatherings.insert(request, gathering);
        let question = Message { request, key, body }.encode();
        let mut answers = None;
        for _ in 0..ATTEMPTS {
            for replica in &self.replicas {
                self.network.send(*replica, Priority::Urgent, question.clone());
            }
            match select(&mut answered, self.world.sleep(RETRY_AFTER)).await {
                Either::Left((cells, _)) => {
                    answers = cells.ok();
                    break;
                }
                Either::Right(_) => {}
            }
        }
        self.state.lock().gatherings.remove(&request);
        answers
    }

    /// Syncs what was written, and says so to those who wait for it.
    pub(super) fn turn(&self) -> bool {
        let mut state = self.state.lock();
        if state.unsynced.is_empty() || state.is_broken {
            return false;
        }
        if state.log.sync_data().is_err() {
            state.is_broken = true;
            return false;
        }
        let answers = std::mem::take(&mut state.unsynced);
        drop(state);
        for (to, answer) in answers {
            self.network.send(to, Priority::Urgent, answer.encode());
        }
        true
    }

    fn store(&self, from: NodeId, message: Message, cell: Cell) {
        let mut state = self.state.lock();
        if state
            .cells
            .get(&message.key)
            .is_none_or(|known| known.stamp < cell.stamp)
        {
            state.cells.insert(message.key, cell);
            if self.rules.keeps == Keeps::OnDisk {
                let record = encode_record(message.key, cell);
                state.is_broken |= state.log.write_all_at(&record, state.log_bytes).is_err();
                state.log_bytes += RECORD_BYTES as u64;
            }
        }
        let answer = Message {
            body: Body::Stored,
            ..message
        };
        let is_early = self.rules.keeps == Keeps::InMemory || self.rules.answers == Answers::BeforeSync;
        if self.rules.keeps == Keeps::OnDisk {
            state.unsynced.push((from, answer));
        }
        let is_broken = state.is_broken;
        drop(state);
        if is_early && !is_broken {
            self.network.send(from, Priority::Urgent, answer.encode());
        }
    }

    fn answered(&self, from: NodeId, request: u64, cell: Cell) {
        let mut state = self.state.lock();
        let Some(gathering) = state.gatherings.get_mut(&request) else {
            return;
        };
        gathering.answers.insert(from, cell);
        if gathering.answers.len() * 2 <= self.replicas.len() {
            return;
        }
        let cells = gathering.answers.values().copied().collect();
        let done = gathering.done.take();
        drop(state);
        if let Some(done) = done {
            // Whoever has asked may have given up.
            drop(done.send(cells));
        }
    }
}

impl Inbox for Replica {
    fn receive(&self, from: NodeId, message: Bytes) {
        let Some(message) = Message::decode(&message) else {
            return;
        };
        match message.body {
            Body::Query => {
                let cell = self.state.lock().cells.get(&message.key).copied();
                let body = Body::Current(cell.unwrap_or_default());
                self.network
                    .send(from, Priority::Urgent, Message { body, ..message }.encode());
            }
            Body::Store(cell) => self.store(from, message, cell),
            Body::Current(cell) => self.answered(from, message.request, cell),
            Body::Stored => self.answered(from, message.request, Cell::default()),
        }
    }
}

/// Reads the log up to its torn end, and cuts that off.
fn recover(log: &dyn File) -> std::io::Result<(BTreeMap<u64, Cell>, u64)> {
    let size = log.size()?;
    let mut cells: BTreeMap<u64, Cell> = BTreeMap::new();
    let mut end = 0;
    let mut record = [0; RECORD_BYTES];
    while end + RECORD_BYTES as u64 <= size {
        log.read_exact_at(&mut record, end)?;
        let Some((key, cell)) = decode_record(&record) else {
            break;
        };
        let known = cells.entry(key).or_default();
        if known.stamp < cell.stamp {
            *known = cell;
        }
        end += RECORD_BYTES as u64;
    }
    log.truncate(end)?;
    log.sync_data()?;
    Ok((cells, end))
}
