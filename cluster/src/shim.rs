//! The cluster's interface over one node that is alone: stands in until the replicated one is there.

use std::num::{NonZeroU8, NonZeroU32};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use stator_storage::vfs::Vfs;
use stator_storage::{MasterKeys, Random};
use tokio::sync::watch;
use uuid::Uuid;

use crate::command::{Applier, Cell, Commands, WriteOptions};
use crate::coordinator::{self, Bounds, Direction, Keyspace, Row, Secrets, Settings};
use crate::error::Error;
use crate::gossip::GossipSettings;
use crate::level::ConsistencyLevel;
use crate::ring::{RangeBits, RangeId};
use crate::world::{Inbox, Network, NodeId, Priority, World};

/// Node that is one of the first members of the metadata group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founder {
    /// Its id.
    pub node: NodeId,
    /// Where it is reached.
    pub address: String,
}

/// Times of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timing {}

/// Settings of a node.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct NodeSettings {
    pub node: NodeId,
    pub cluster: Uuid,
    pub address: String,
    pub zone: String,
    pub rack: String,
    pub capacity: NonZeroU32,
    pub founders: Vec<Founder>,
    pub replication: NonZeroU8,
    pub range_bits: RangeBits,
    pub rejoin: bool,
    pub software: String,
    pub storage: Settings,
    pub timing: Timing,
    pub gossip: GossipSettings,
}

/// What a node is given from outside.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct Surroundings {
    pub world: Arc<dyn World>,
    pub disk: Arc<dyn Vfs>,
    pub directory: PathBuf,
    pub random: Random,
    pub master_keys: MasterKeys,
    pub clock: Option<Arc<dyn stator_storage::Clock>>,
    pub driven: bool,
    pub commands: Arc<dyn Commands>,
}

/// A network that drops everything.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Network for Alone {
    fn send(&self, _: NodeId, _: Priority, _: Bytes) {}
    fn introduce(&self, _: NodeId, _: &str) {}
}

#[derive(Debug)]
struct Deaf;

impl Inbox for Deaf {
    fn receive(&self, _: NodeId, _: Bytes) {}
}

/// Rows of a keyspace and their sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub items: u64,
    /// Their sizes by `Commands::weigh`.
    pub bytes: u64,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the contract describes them")]
pub enum Liveness {
    Alive,
    Suspect,
    Down,
    Unknown,
}

/// A node, as this one knows it.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct NodeStatus {
    pub node: NodeId,
    pub address: String,
    pub zone: String,
    pub rack: String,
    pub liveness: Liveness,
    pub incarnation: u64,
    pub leaders: u64,
    pub replicas: u64,
    pub requests_per_second: u64,
    pub data_bytes: u64,
    pub free_bytes: u64,
    pub hints_waiting: u64,
    pub software: String,
    pub started_at_ms: u64,
}

/// A group, as this node knows it.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct GroupStatus {
    pub group: u64,
    pub range: Option<RangeId>,
    pub replicas: Vec<NodeId>,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub committed: u64,
    pub applied: u64,
    pub quiet: bool,
    pub lag: Option<u64>,
}

/// Hints of this node.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct HintStatus {
    pub waiting: u64,
    pub bytes: u64,
    pub written: u64,
    pub delivered: u64,
}

/// Read repair of this node.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct ReadRepairStatus {
    pub checked: u64,
    pub repaired: u64,
}

/// What this node knows of the cluster.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the contract describes them")]
pub struct ClusterStatus {
    pub node: NodeId,
    pub cluster: Uuid,
    pub incarnation: u64,
    pub layout_epoch: u64,
    pub range_bits: u8,
    pub replication: u8,
    pub nodes: Vec<NodeStatus>,
    pub groups: Vec<GroupStatus>,
    pub hints: HintStatus,
    pub read_repair: ReadRepairStatus,
}

/// A node's view of the cluster. Clones share it.
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: coordinator::Cluster,
    commands: Arc<dyn Commands>,
    metadata: Keyspace,
    changes: Arc<watch::Sender<u64>>,
    settings: Arc<NodeSettings>,
}

fn known(error: Error) -> Error {
    match error {
        Error::Storage(stator_storage::Error::NoSuchKeyspace { .. }) => Error::NoSuchKeyspace,
        other => other,
    }
}

#[expect(missing_docs, clippy::missing_errors_doc, clippy::unused_async, reason = "the contract describes them")]
impl Cluster {
    pub fn open(
        settings: NodeSettings,
        around: Surroundings,
        connect: impl FnOnce(Arc<dyn Inbox>, u64) -> Result<Arc<dyn Network>, String>,
    ) -> Result<Self, Error> {
        let secrets = Secrets {
            master_keys: around.master_keys,
            random: around.random,
            now_ms: around.world.unix_ms(),
        };
        let commands = Arc::clone(&around.commands);
        let inner = coordinator::Cluster::open(
            &around.directory,
            settings.storage.clone(),
            secrets,
            around.commands,
        )?;
        drop(connect(Arc::new(Deaf), 1).map_err(|cause| Error::Unavailable { cause })?);
        let metadata = match inner.keyspace("metadata") {
            Some(keyspace) => keyspace,
            None => inner.create_keyspace("metadata")?,
        };
        Ok(Self {
            inner,
            commands,
            metadata,
            changes: Arc::new(watch::channel(0).0),
            settings: Arc::new(settings),
        })
    }

    pub fn is_encrypted(directory: &Path) -> bool {
        coordinator::Cluster::is_encrypted(directory)
    }

    pub async fn ready(&self) -> Result<(), Error> {
        Ok(())
    }

    pub async fn hand_over(&self) {}

    pub fn turn(&self) -> bool { false }

    pub fn inbox(&self) -> Arc<dyn Inbox> { Arc::new(Deaf) }

    pub fn local_rows(&self, keyspace: Keyspace) -> Result<crate::LocalRows, Error> { self.inner.local_rows(keyspace) }

    pub fn close(&self) -> Result<(), Error> {
        self.inner.close()
    }

    pub async fn failed(&self) -> String {
        self.inner.failed().await
    }

    pub async fn read(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        level: ConsistencyLevel,
    ) -> Result<Option<Cell>, Error> {
        self.inner.read(keyspace, key, level).await.map_err(known)
    }

    pub async fn write<A: Applier>(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        options: WriteOptions,
        command: &A,
    ) -> Result<A::Answer, Error> {
        let answer = self.inner.write(keyspace, key, options, command).await.map_err(known);
        if keyspace == self.metadata {
            self.changed();
        }
        answer
    }

    pub async fn range(
        &self,
        keyspace: Keyspace,
        bounds: &Bounds,
        direction: Direction,
        level: ConsistencyLevel,
        visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.inner.range(keyspace, bounds, direction, level, visit).await.map_err(known)
    }

    pub fn metadata(&self) -> Keyspace {
        self.metadata
    }

    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        self.inner.keyspace(name)
    }

    pub fn keyspaces(&self) -> Vec<(Keyspace, String)> {
        self.inner.keyspaces()
    }

    pub async fn create_keyspace(&self, name: &str) -> Result<Keyspace, Error> {
        if let Some(keyspace) = self.keyspace(name) {
            return Ok(keyspace);
        }
        let keyspace = self.inner.create_keyspace(name)?;
        self.changed();
        Ok(keyspace)
    }

    pub async fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), Error> {
        match self.inner.drop_keyspace(keyspace).map_err(known) {
            Ok(()) => self.changed(),
            Err(Error::NoSuchKeyspace) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub fn metadata_changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub async fn catch_up_metadata(&self) -> Result<(), Error> {
        Ok(())
    }

    pub fn status(&self) -> ClusterStatus {
        let NodeSettings { node, cluster, range_bits, replication, .. } = *self.settings;
        ClusterStatus {
            node,
            cluster,
            incarnation: 1,
            layout_epoch: 1,
            range_bits: range_bits.get(),
            replication: replication.get(),
            nodes: vec![NodeStatus {
                node,
                address: self.settings.address.clone(),
                zone: self.settings.zone.clone(),
                rack: self.settings.rack.clone(),
                liveness: Liveness::Alive,
                incarnation: 1,
                leaders: u64::from(range_bits.range_count()),
                replicas: u64::from(range_bits.range_count()),
                requests_per_second: 0,
                data_bytes: 0,
                free_bytes: 0,
                hints_waiting: 0,
                software: self.settings.software.clone(),
                started_at_ms: 0,
            }],
            groups: range_bits
                .ranges()
                .map(|range| GroupStatus {
                    group: u64::from(range.0) + 1,
                    range: Some(range),
                    replicas: vec![node],
                    leader: Some(node),
                    term: 1,
                    committed: 0,
                    applied: 0,
                    quiet: true,
                    lag: Some(0),
                })
                .collect(),
            hints: HintStatus::default(),
            read_repair: ReadRepairStatus::default(),
        }
    }

    pub async fn tally(&self, keyspace: Keyspace) -> Tally {
        let mut tally = Tally::default();
        if let Ok(mut rows) = self.inner.local_rows(keyspace) {
            while let Ok(Some(row)) = rows.next_row() {
                tally.items += 1;
                tally.bytes += self.commands.weigh(row.cell());
            }
        }
        tally
    }

    fn changed(&self) {
        self.changes.send_modify(|change| *change += 1);
    }
}
