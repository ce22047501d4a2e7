//! The handle of the cluster: reads, writes and range reads by key bytes, each at a consistency level.
//!
//! Invariant: a verdict is given on a committed cell while the key is latched, and the latch goes along with the write
//! until its outcome is known, even when the caller is gone: a client's disconnect never cancels a write.

use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use stator_storage::{Engine, Environment, KeyspaceId, MasterKeys, Random, RangeIterator, WriteBatch, vfs};
use tokio::sync::{oneshot, watch};

use crate::command::{Applier, Cell, Commands, InvocationId, Verdict, WriteOptions};
use crate::error::Error;
use crate::latch::Latches;
use crate::level::ConsistencyLevel;

/// When a write counts as durable on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The log is synced before the answer: survives a power cut.
    #[default]
    Sync,
    /// The log is written before the answer and synced at an interval: survives the end of the process, and a power
    /// cut except for the last interval.
    Interval,
}

/// Settings of a node's data.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// When a write is acknowledged.
    pub durability: Durability,
    /// The engine's own settings.
    pub storage: stator_storage::Settings,
}

/// What a node's data is encrypted with.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The keys that wrap the keys of its files.
    pub master_keys: MasterKeys,
    /// Where new keys come from: the operating system's generator, outside of simulations.
    pub random: Random,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// A set of cells that is created and dropped as one, such as the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keyspace(KeyspaceId);

/// Size of a keyspace on this node; obsolete versions count until compaction has removed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyspaceSize {
    /// Bytes.
    pub bytes_approximate: u64,
    /// Entries.
    pub entries_approximate: u64,
}

/// Which keys a range read visits, by key bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The lower end.
    pub start: Bound<Vec<u8>>,
    /// The upper end.
    pub end: Bound<Vec<u8>>,
}

/// Order of a range read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending key bytes.
    Forward,
    /// Descending key bytes.
    Backward,
}

/// A row that a range read visits.
#[derive(Debug)]
pub struct Row<'a>(&'a RangeIterator);

impl Row<'_> {
    /// Key bytes.
    pub fn key(&self) -> &[u8] {
        self.0.key()
    }

    /// The cell, to look at.
    pub fn cell(&self) -> &[u8] {
        self.0.value()
    }

    /// The cell, to keep; shares the engine's memory.
    pub fn to_cell(&self) -> Cell {
        self.0.value_shared().into_bytes()
    }
}

/// A node's view of the cluster. Clones share it.
#[derive(Debug, Clone)]
pub struct Cluster {
    node: Arc<Node>,
}

#[derive(Debug)]
struct Node {
    engine: Engine,
    durability: Durability,
    latches: Latches,
    commands: Arc<dyn Commands>,
    failure: watch::Sender<Option<String>>,
}

impl Cluster {
    /// Opens the node's data directory, recovering what the log holds. `commands` decides what other nodes ask.
    ///
    /// # Errors
    /// [`Error::Storage`] when the directory is locked, unreadable, corrupt, of an unknown format, or encrypted with
    /// another master key.
    pub fn open(
        directory: &Path,
        settings: Settings,
        secrets: Secrets,
        commands: Arc<dyn Commands>,
    ) -> Result<Self, Error> {
        let disk = Arc::new(vfs::posix::PosixVfs);
        let environment = Environment::new(disk, secrets.random, secrets.master_keys, secrets.now_ms);
        let engine = Engine::open(environment, directory, settings.storage)?;
        let (failure, _) = watch::channel(None);
        let node = Node {
            engine,
            durability: settings.durability,
            latches: Latches::new(),
            commands,
            failure,
        };
        Ok(Self { node: Arc::new(node) })
    }

    /// Whether a data directory has been written to, encrypted with a master key.
    pub fn is_encrypted(directory: &Path) -> bool {
        Engine::has_keys(&vfs::posix::PosixVfs, directory)
    }

    /// Writes out what is in memory and closes the directory; later calls fail.
    ///
    /// # Errors
    /// [`Error::Storage`] when the last writes could not be synced.
    pub fn close(&self) -> Result<(), Error> {
        Ok(self.node.engine.close()?)
    }

    /// Resolves with the cause when the node's disk has failed and the process has to end to recover from its log.
    pub async fn failed(&self) -> String {
        let mut failure = self.node.failure.subscribe();
        let cause = failure.wait_for(Option::is_some).await.map(|cause| cause.clone());
        match cause {
            Ok(cause) => cause.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Creates a keyspace, durable when this returns.
    ///
    /// # Errors
    /// [`Error::Storage`] when the name exists or the disk fails.
    pub fn create_keyspace(&self, name: &str) -> Result<Keyspace, Error> {
        Ok(Keyspace(self.node.engine.create_keyspace(name)?))
    }

    /// The keyspace with a name.
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        self.node.engine.keyspace(name).map(Keyspace)
    }

    /// All keyspaces with their names.
    pub fn keyspaces(&self) -> Vec<(Keyspace, String)> {
        self.node
            .engine
            .keyspaces()
            .into_iter()
            .map(|(id, name)| (Keyspace(id), name))
            .collect()
    }

    /// Drops a keyspace and all of its cells.
    ///
    /// # Errors
    /// [`Error::Storage`] when it does not exist or the disk fails.
    pub fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), Error> {
        Ok(self.node.engine.drop_keyspace(keyspace.0)?)
    }

    /// Size of a keyspace on this node.
    ///
    /// # Errors
    /// [`Error::Storage`] when it does not exist.
    pub fn keyspace_size(&self, keyspace: Keyspace) -> Result<KeyspaceSize, Error> {
        let size = self.node.engine.keyspace_statistics(keyspace.0)?;
        Ok(KeyspaceSize {
            bytes_approximate: size.bytes_approximate,
            entries_approximate: size.entries_approximate,
        })
    }

    /// Reads one cell.
    ///
    /// # Errors
    /// [`Error::Storage`] when the engine cannot read it.
    #[expect(
        clippy::unused_async,
        reason = "a group of one answers at once; larger ones wait for replicas"
    )]
    pub async fn read(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        level: ConsistencyLevel,
    ) -> Result<Option<Cell>, Error> {
        // With one replica every level is met by it.
        let (ConsistencyLevel::One | ConsistencyLevel::Quorum | ConsistencyLevel::All) = level;
        Ok(self
            .node
            .engine
            .get(keyspace.0, key)?
            .map(stator_storage::Value::into_bytes))
    }

    /// Runs a command on one cell and answers when its effect is as durable as the node's setting and the level ask.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] when the log failed under the write, [`Error::Storage`] when the cell cannot be read.
    pub async fn write<A: Applier>(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
        command: &A,
    ) -> Result<A::Answer, Error> {
        self.decide_and_commit(keyspace, key, options, |current| Ok(command.decide(current)))
            .await
    }

    /// As [`Cluster::write`], for a command in the bytes of [`Applier::encode`]; the answer is in those of
    /// [`crate::Answer::encode`].
    ///
    /// # Errors
    /// As [`Cluster::write`], and [`Error::MalformedCommand`], with nothing changed.
    pub async fn write_encoded(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
        command: &Bytes,
    ) -> Result<Vec<u8>, Error> {
        self.decide_and_commit(keyspace, key, options, |current| {
            Ok(self.node.commands.decide(command, current)?)
        })
        .await
    }

    async fn decide_and_commit<T>(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
        decide: impl FnOnce(Option<&Cell>) -> Result<Verdict<T>, Error>,
    ) -> Result<T, Error> {
        let (ConsistencyLevel::One | ConsistencyLevel::Quorum | ConsistencyLevel::All) = options.level;
        let node = &self.node;
        let latch = node.latches.acquire(keyspace.0.number(), key).await;
        let current = node
            .engine
            .get(keyspace.0, key)?
            .map(stator_storage::Value::into_bytes);
        let (effect, answer) = Effect::of(decide(current.as_ref())?, keyspace, key, options);
        let Some(Effect { batch, invocation }) = effect else {
            return Ok(answer);
        };
        let durability = match node.durability {
            Durability::Sync => stator_storage::Durability::Sync,
            Durability::Interval => stator_storage::Durability::Interval,
        };
        let (outcome, committed) = oneshot::channel();
        let owner = Arc::clone(node);
        node.engine.commit(batch, durability, move |result| {
            // The next command on this key may begin: what it reads is committed, or the engine answers no more.
            drop(latch);
            if let Err(error) = &result {
                owner.report(error);
            }
            // Nobody listens when the client has left; the write stands all the same.
            drop(outcome.send(result));
        });
        match committed.await {
            Ok(Ok(_)) => Ok(answer),
            Ok(Err(error)) => Err(outcome_unknown(&error.to_string(), invocation)),
            Err(_) => Err(outcome_unknown("the engine was closed", invocation)),
        }
    }

    /// Visits the rows of a range in order until the visitor breaks off or the range ends. All rows are of one moment.
    ///
    /// # Errors
    /// [`Error::Storage`] when the engine cannot read on.
    #[expect(
        clippy::unused_async,
        reason = "a group of one answers at once; larger ones wait for replicas"
    )]
    pub async fn range(
        &self,
        keyspace: Keyspace,
        bounds: &Bounds,
        direction: Direction,
        level: ConsistencyLevel,
        mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let (ConsistencyLevel::One | ConsistencyLevel::Quorum | ConsistencyLevel::All) = level;
        let direction = match direction {
            Direction::Forward => stator_storage::Direction::Forward,
            Direction::Backward => stator_storage::Direction::Backward,
        };
        let bounds = (
            bounds.start.as_ref().map(Vec::as_slice),
            bounds.end.as_ref().map(Vec::as_slice),
        );
        let mut rows = self.node.engine.snapshot().range(keyspace.0, bounds, direction)?;
        while rows.advance()? {
            if visit(&Row(&rows)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The rows that this node holds of a keyspace, as of now, to be walked on a thread of the caller's choice.
    ///
    /// # Errors
    /// [`Error::Storage`] when the keyspace does not exist or cannot be read.
    pub fn local_rows(&self, keyspace: Keyspace) -> Result<LocalRows, Error> {
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let rows =
            self.node
                .engine
                .snapshot()
                .range(keyspace.0, everything, stator_storage::Direction::Forward)?;
        Ok(LocalRows(rows))
    }
}

/// Rows of one moment on one node, in the order of their key bytes. See [`Cluster::local_rows`].
#[derive(Debug)]
pub struct LocalRows(RangeIterator);

impl LocalRows {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Storage`] when the engine cannot read on.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Error> {
        Ok(if self.0.advance()? {
            Some(Row(&self.0))
        } else {
            None
        })
    }
}

/// What a verdict changes, as it goes into the log.
#[derive(Debug)]
struct Effect {
    batch: WriteBatch,
    /// Under which the client would ask for the same write again.
    invocation: Option<InvocationId>,
}

impl Effect {
    /// Takes a verdict apart: what it changes, if anything, and what it answers.
    fn of<T>(
        verdict: Verdict<T>,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
    ) -> (Option<Self>, T) {
        let (batch, answer) = match verdict {
            Verdict::Keep { answer } => return (None, answer),
            Verdict::Put { cell, answer } => {
                let mut batch = WriteBatch::with_capacity(key.len() + cell.len());
                batch.put(keyspace.0, key, &cell);
                (batch, answer)
            }
            Verdict::Delete { answer } => {
                let mut batch = WriteBatch::with_capacity(key.len());
                batch.delete(keyspace.0, key);
                (batch, answer)
            }
        };
        let effect = Self {
            batch,
            invocation: options.invocation,
        };
        (Some(effect), answer)
    }
}

/// A write whose end is not known, with the id by which its retry is found in the logs.
fn outcome_unknown(cause: &str, invocation: Option<InvocationId>) -> Error {
    Error::OutcomeUnknown {
        cause: match invocation {
            Some(id) => format!("{cause} (invocation {id})"),
            None => cause.to_owned(),
        },
    }
}

impl Node {
    /// Makes a failure of the log known to whoever waits in [`Cluster::failed`].
    fn report(&self, error: &stator_storage::Error) {
        if let stator_storage::Error::Poisoned { .. } | stator_storage::Error::Io { .. } = error {
            self.failure.send_if_modified(|cause| {
                let first = cause.is_none();
                if first {
                    *cause = Some(error.to_string());
                }
                first
            });
        }
    }
}

#[cfg(test)]
mod tests;
