//! The handle of the cluster: reads, writes and range reads by key bytes, each at a consistency level.
//!
//! Invariant: a node that coordinates knows nothing that replicas do not confirm: where a leader is, is a guess until the
//! leader answers. What is tried again is tried under the same invocation id, so that it takes effect once. A caller that
//! goes away cancels nothing that has a place in a log. Not here: decisions (`group/`), what other nodes ask (`node/`).

mod clock;
mod close;
mod cut;
pub(crate) mod forward;
mod hinting;
mod keys;
mod ledger;
mod local;
mod metadata;
pub(crate) mod moves;
mod range;
mod repair;
pub(crate) mod route;
mod scrub;
mod tally;
mod transact;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use stator_storage::{Engine, KeyspaceId, MasterKeys, Random, vfs};

use crate::command::{Answer as _, Applier, Cell, Invocation, InvocationId, WriteOptions};
use crate::error::Error;
use crate::follow::{self, Step};
use crate::group::apply::METADATA_GROUP;
use crate::group::replica::Refused;
use crate::group::write::{Target, Typed};
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::METADATA;
use crate::metadata::rows::OWN;
use crate::node::message::{Ask, Read, Tell, Write};
use crate::node::settings::{NodeSettings, Surroundings};
use crate::node::{Node, Stage, group_of};
use crate::world::{Inbox, Network};

pub use clock::ClockOffset;
pub use cut::{Cut, CutRows};
pub use forward::{Fill, Filled, LedRange};
pub use range::Row;
pub use scrub::RepairProgress;
pub use tally::Tally;

use self::route::{Place, Route};

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

/// How long a planned stop waits for others to lead.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(5);

/// A set of cells that is created and dropped as one, such as the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keyspace {
    /// In the cluster.
    number: u32,
    /// In the engine of this node.
    id: KeyspaceId,
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

/// A node's view of the cluster. Clones share it.
#[derive(Debug, Clone)]
pub struct Cluster {
    node: Arc<Node>,
}

impl Cluster {
    /// Opens a node's directory and begins to start the node; [`Cluster::ready`] says when it serves. `connect` is given
    /// what gets the messages of other nodes and which start of the node this is, and makes the way to them.
    ///
    /// # Errors
    /// [`Error::Storage`] when the directory is locked, unreadable, corrupt, of an unknown format, or encrypted with
    /// another master key; [`Error::Identity`]; [`Error::Network`] with what `connect` said.
    pub fn open(
        settings: NodeSettings,
        surroundings: Surroundings,
        connect: impl FnOnce(Arc<dyn Inbox>, u64) -> Result<Arc<dyn Network>, String>,
    ) -> Result<Self, Error> {
        let node = Node::open(settings, surroundings, connect)?;
        Ok(Self { node })
    }

    /// The handle of a node that is there already.
    pub(crate) fn of(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Whether a data directory has been written to, encrypted with a master key.
    pub fn is_encrypted(directory: &Path) -> bool {
        Engine::has_keys(&vfs::posix::PosixVfs, directory)
    }

    /// Is ready when the node serves.
    ///
    /// # Errors
    /// [`Error::Start`] with the reason why it never will.
    pub async fn ready(&self) -> Result<(), Error> {
        self.node.ready().await
    }

    /// What the node waits for; `None` once it serves. To be asked again when it is woken.
    pub fn waits_for(&self) -> Option<String> {
        match &*self.node.stage().borrow() {
            Stage::Starting(what) => Some(what.clone()),
            Stage::Ready | Stage::Failed(_) => None,
        }
    }

    /// What gets the messages of other nodes.
    pub fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::clone(&self.node.dispatch) as Arc<dyn Inbox>
    }

    /// Does a piece of the engine's work, if it has no threads; `false` if there is nothing to do.
    pub fn turn(&self) -> bool {
        self.node.engine.turn()
    }

    /// Writes out what is in memory and closes the directory; later calls fail.
    ///
    /// # Errors
    /// [`Error::Storage`] when the last writes could not be synced.
    pub fn close(&self) -> Result<(), Error> {
        self.node.close();
        Ok(self.node.engine.close()?)
    }

    /// Resolves with the cause when the node's disk has failed and the process has to end to recover from its log.
    pub async fn failed(&self) -> String {
        if let Ok(cause) = self.node.host.failure().wait_for(Option::is_some).await {
            return cause.clone().unwrap_or_default();
        }
        std::future::pending().await
    }

    /// Reads one cell.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too few replicas answer, [`Error::NoSuchKeyspace`], [`Error::Storage`] when the engine
    /// cannot read it.
    pub async fn read(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        level: ConsistencyLevel,
    ) -> Result<Option<Cell>, Error> {
        let group = self.group_of(keyspace, key)?;
        if level == ConsistencyLevel::One
            && let Some(replica) = self.node.readable(group)
        {
            drop(replica);
            match self.get(keyspace, key) {
                // Another replica may have what is damaged here.
                Err(error) if error.is_damage() && self.nodes_of(group).len() > 1 => {}
                read => return read,
            }
        }
        match level {
            ConsistencyLevel::All if self.nodes_of(group).len() > 1 => {
                return self.read_all(group, keyspace, key).await;
            }
            ConsistencyLevel::One => {}
            ConsistencyLevel::Quorum | ConsistencyLevel::All => self.check_sometimes(group, keyspace, key),
        }
        let leader = level != ConsistencyLevel::One;
        let mut route = Route::new(self, group, leader);
        loop {
            let (place, left) = route.next().await.map_err(metadata::nothing_changed)?;
            let outcome = route
                .attempt(left, self.read_at(place, left, (group, leader), keyspace, key))
                .await;
            if let Some(cell) = route.settle(outcome)? {
                return Ok(cell);
            }
        }
    }

    async fn read_at(
        &self,
        place: Place,
        patience: Duration,
        (group, leader): (u32, bool),
        keyspace: Keyspace,
        key: &[u8],
    ) -> Result<Option<Cell>, Refused> {
        match place {
            Place::Here(replica) => {
                replica.read_barrier().await?;
                let cell = self.get(keyspace, key)?;
                // Its cells may be given up since the barrier.
                replica.require_readable()?;
                Ok(cell)
            }
            Place::There(node) => {
                let read = Read {
                    group,
                    keyspace: keyspace.number,
                    key: Bytes::copy_from_slice(key),
                    leader,
                };
                match self.ask(node, Ask::Read(read), patience).await? {
                    Tell::Cell(cell) => Ok(cell.cell),
                    _ => Err(route::unexpected(node)),
                }
            }
        }
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Cell>, Error> {
        let span = follow::open(Step::Read);
        let got = self.node.engine.get(keyspace.id, key);
        follow::end(span, &got);
        match got {
            Ok(value) => Ok(value.map(stator_storage::Value::into_bytes)),
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => Err(Error::NoSuchKeyspace),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a command on one cell and answers when its effect stands as the level asks.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing was changed and another try may succeed, [`Error::OutcomeUnknown`],
    /// [`Error::NoSuchKeyspace`], [`Error::Storage`] when the cell cannot be read.
    pub async fn write<A: Applier>(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
        command: &A,
    ) -> Result<A::Answer, Error> {
        if keyspace.number == METADATA && key.first() == Some(&OWN) {
            return Err(Error::Invalid {
                cause: "keys of metadata do not begin with byte 0".to_owned(),
            });
        }
        self.write_row(keyspace, key, options, command).await
    }

    async fn write_row<A: Applier>(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
        command: &A,
    ) -> Result<A::Answer, Error> {
        let group = self.group_of(keyspace, key)?;
        let options = self.with_invocation(options);
        // Only what may become a hint needs it.
        let asked_ms = if options.level == ConsistencyLevel::One {
            self.node.surroundings.world.unix_ms()
        } else {
            0
        };
        let target = Target {
            keyspace: keyspace.number,
            key,
        };
        if options.level == ConsistencyLevel::One
            && self.lacks_majority(group)
            && let Some(answer) = self
                .hint(group, target, (&options, asked_ms, false), command)
                .await
        {
            return answer;
        }
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = match route.next().await {
                Ok(next) => next,
                Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {
                    let is_tried = matches!(error, Error::OutcomeUnknown { .. });
                    let hint = self
                        .hint(group, target, (&options, asked_ms, is_tried), command)
                        .await;
                    return hint.unwrap_or(Err(error));
                }
                Err(error) => return Err(error),
            };
            let options = route.options(options);
            let outcome = route
                .attempt(left, self.write_at(place, left, group, target, &options, command))
                .await;
            if let Some(answer) = route.settle_write(outcome)? {
                return Ok(answer);
            }
        }
    }

    async fn write_at<A: Applier>(
        &self,
        place: Place,
        patience: Duration,
        group: u32,
        target: Target<'_>,
        options: &WriteOptions,
        command: &A,
    ) -> Result<A::Answer, Refused> {
        match place {
            Place::Here(replica) => replica.write(target, options, &Typed(command)).await,
            Place::There(node) => {
                let mut bytes = Vec::new();
                command.encode(&mut bytes);
                let write = Write::new(group, target, options, bytes.into());
                match self.ask(node, Ask::Write(write), patience).await? {
                    Tell::Written(answer) => {
                        A::Answer::decode(&answer).map_err(|error| Refused::Unknown(error.to_string()))
                    }
                    _ => Err(route::unexpected(node)),
                }
            }
        }
    }

    /// Whether there is no other node, so that nobody else can be tried. One that has founded a cluster alone may have been
    /// joined since.
    fn is_alone(&self) -> bool {
        let nodes = self.node.layout().map(|layout| layout.nodes().len());
        nodes.unwrap_or(self.node.settings.founders.len()) == 1
    }

    /// What may be tried more than once needs an id; with one node there is nobody else to try.
    fn with_invocation(&self, options: WriteOptions) -> WriteOptions {
        if options.invocation.is_some() || self.is_alone() {
            return options;
        }
        let world = &self.node.surroundings.world;
        let mut id = [0; 16];
        let (head, tail) = id.split_at_mut(8);
        head.copy_from_slice(&world.random_u64().to_le_bytes());
        tail.copy_from_slice(&world.random_u64().to_le_bytes());
        WriteOptions {
            invocation: Some(Invocation::first(InvocationId::new(id))),
            ..options
        }
    }

    fn group_of(&self, keyspace: Keyspace, key: &[u8]) -> Result<u32, Error> {
        if keyspace.number == METADATA {
            return Ok(METADATA_GROUP);
        }
        let layout = self.node.known_layout()?;
        Ok(group_of(layout.bits().range_of_key(key)))
    }

    /// The node.
    pub(crate) fn inner(&self) -> &Node {
        &self.node
    }

    /// Gives the leaderships of this node to others before a planned stop, as far as there are others that have caught up,
    /// and tells them that it leaves. Returns when this node leads nothing that somebody else could, or its patience is
    /// over. Nodes that stop at the same time hand nothing over to each other.
    pub async fn hand_over(&self) {
        self.node.begin_to_stop();
        let world = &self.node.surroundings.world;
        let begun = world.now();
        loop {
            let replicas = self.node.replicas();
            let mut waits = false;
            for replica in replicas.iter().flatten() {
                waits |= replica.hand_over();
            }
            self.node.exchange.flush();
            if !waits || world.now().saturating_sub(begun) >= HAND_OVER_PATIENCE {
                break;
            }
            world.sleep(self.node.settings.timing.tick()).await;
        }
        if let Some(gossip) = self.node.gossip.get() {
            gossip.leave();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
