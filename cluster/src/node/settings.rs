//! What a node is told and given when it is opened.
//!
//! Invariant: plain data. Not here: reading it from a file (`server`).

use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use stator_storage::vfs::Vfs;
use stator_storage::{Clock, MasterKeys, Random};
use uuid::Uuid;

use crate::command::Commands;
use crate::coordinator::Settings;
use crate::follow::Tracer;
use crate::gossip::GossipSettings;
use crate::group::settings::Timing;
use crate::ring::RangeBits;
use crate::world::{Network, NodeId, Priority, World};

/// One of the first members of the metadata group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// The node.
    pub node: NodeId,
    /// Where it is reached, as `host:port`.
    pub address: String,
}

/// What a node is told.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Which node it is.
    pub node: NodeId,
    /// The cluster that it belongs to.
    pub cluster: Uuid,
    /// Where others reach it, as `host:port`.
    pub address: String,
    /// Its zone.
    pub zone: String,
    /// Its rack.
    pub rack: String,
    /// Its share of the data in relation to other nodes.
    pub capacity: NonZeroU32,
    /// The nodes that make the cluster; the same on all of them.
    pub founders: Vec<Founder>,
    /// How many replicas a token range is to have.
    pub replication: NonZeroU8,
    /// How tokens are cut into ranges when the cluster is made.
    pub range_bits: RangeBits,
    /// The operator agrees that a directory restored from an old copy is given up.
    pub rejoin: bool,
    /// The version of the program.
    pub software: String,
    /// The data on its disk.
    pub storage: Settings,
    /// Time in groups.
    pub timing: Timing,
    /// Gossip.
    pub gossip: GossipSettings,
    /// Replicas that move.
    pub moves: MoveSettings,
    /// Replicas that are compared, and files that are checked.
    pub scrub: ScrubSettings,
}

/// How often replicas are compared and files are checked, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrubSettings {
    /// Every so many seconds the replicas of a range are compared, and all files of a node are checked. 0 for only when somebody wants it.
    pub interval_s: u64,
    /// Bytes per second that a node reads for each of the two.
    pub bytes_per_second: NonZeroU64,
}

impl ScrubSettings {
    /// How often; `None` for only when somebody wants it.
    pub(crate) fn interval(&self) -> Option<Duration> {
        (self.interval_s > 0).then(|| Duration::from_secs(self.interval_s))
    }
}

impl Default for ScrubSettings {
    fn default() -> Self {
        Self {
            interval_s: SCRUB_INTERVAL_S_DEFAULT,
            bytes_per_second: NonZeroU64::new(SCRUB_BYTES_PER_SECOND_DEFAULT).unwrap_or(NonZeroU64::MAX),
        }
    }
}

/// As [`ScrubSettings::interval_s`] if nothing else is said: a week.
const SCRUB_INTERVAL_S_DEFAULT: u64 = 7 * 24 * 60 * 60;

/// As [`ScrubSettings::bytes_per_second`] if nothing else is said: four terabytes a week.
const SCRUB_BYTES_PER_SECOND_DEFAULT: u64 = 8 << 20;

/// How fast replicas move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoveSettings {
    /// Bytes per second that a replica which is being filled takes; two of a node are filled at a time.
    pub bytes_per_second: NonZeroU64,
    /// A node that is away for so many seconds is replaced: its ranges get replicas elsewhere. 0 for never.
    pub replace_after_s: u64,
    /// When so many bytes of a node's log are kept for members of its groups that are away, they are not kept any more:
    /// such a member is filled anew when it comes back. Whole segments are counted. Until then it catches up by the log.
    pub away_log_bytes: u64,
}

impl MoveSettings {
    /// When a node that is away is replaced; `None` for never.
    pub(crate) fn replace_after(&self) -> Option<Duration> {
        (self.replace_after_s > 0).then(|| Duration::from_secs(self.replace_after_s))
    }
}

/// As [`MoveSettings::bytes_per_second`] if nothing else is said: a range of a gigabyte in sixteen seconds.
const BYTES_PER_SECOND_DEFAULT: u64 = 64 << 20;

/// As [`MoveSettings::replace_after_s`] if nothing else is said: ten minutes, longer than a restart of a machine takes.
const REPLACE_AFTER_S_DEFAULT: u64 = 10 * 60;

/// As [`MoveSettings::away_log_bytes`] if nothing else is said: a quarter of an hour at 9 MB of writes a second.
const AWAY_LOG_BYTES_DEFAULT: u64 = 8 << 30;

impl Default for MoveSettings {
    fn default() -> Self {
        Self {
            bytes_per_second: NonZeroU64::new(BYTES_PER_SECOND_DEFAULT).unwrap_or(NonZeroU64::MAX),
            replace_after_s: REPLACE_AFTER_S_DEFAULT,
            away_log_bytes: AWAY_LOG_BYTES_DEFAULT,
        }
    }
}

/// What a node is given from outside.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Time, randomness and tasks.
    pub world: Arc<dyn World>,
    /// The disk.
    pub disk: Arc<dyn Vfs>,
    /// The directory of the engine.
    pub directory: PathBuf,
    /// Randomness for keys.
    pub random: Random,
    /// The keys that wrap the keys of the data.
    pub master_keys: MasterKeys,
    /// The engine's clock, if it is not that of the machine.
    pub clock: Option<Arc<dyn Clock>>,
    /// Whether the engine has no threads, and its work is done by [`crate::Cluster::turn`].
    pub driven: bool,
    /// Decides commands in bytes.
    pub commands: Arc<dyn Commands>,
    /// Who gets the steps that this node does of requests that are traced.
    pub tracer: Option<Arc<dyn Tracer>>,
}

/// The network of a node that has nobody to talk to: it drops everything.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Network for Alone {
    fn send(&self, _: NodeId, _: Priority, _: Bytes) {}

    fn introduce(&self, _: NodeId, _: &str) {}
}
