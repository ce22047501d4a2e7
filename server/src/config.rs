//! The configuration file of a node, `stator.toml`.
//!
//! Invariant: what [`Config::parse`] gives has passed every check, has no unknown field, and names files by paths that do not
//! depend on the working directory of the process. Not here: reading files; what the sections' settings mean; the checks
//! (`config/validate.rs`); all that is wrong with a file at once (`config/check.rs`).

mod address;
pub(crate) mod check;
pub(crate) mod key_source;
pub(crate) mod place;
pub(crate) mod risk;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::RangeBits;
use stator_cluster::transport::{ClusterId, TransportSettings};
use stator_cluster::{
    Durability, EngineSettings, MoveSettings, NodeId, NodeSettings, ScrubSettings, Settings, Timing,
};
use uuid::Uuid;

pub(crate) use self::address::{HostPort, NodeAddress};
use self::key_source::KeySource;
use self::place::Place;
use crate::audit::AuditSettings;
use crate::backup::BackupSettings;
use crate::http::limits::HttpLimits;
use crate::http::peer::CertificateName;
use crate::limits::Limits;
use crate::log::LogSettings;
use crate::object_store::ObjectStoreSettings;
use crate::trace::TracingSettings;
use crate::upkeep::UpkeepSettings;

fn capacity_of_one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn three() -> NonZeroU8 {
    NonZeroU8::MIN.saturating_add(2)
}

/// The id in bytes that the data of a cluster carries, made of its id in text.
pub(crate) fn cluster_uuid(id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("spiffe://{id}").as_bytes())
}

/// The configuration of one node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The cluster, equal on all nodes.
    pub(crate) cluster: ClusterSection,
    /// This node.
    pub(crate) node: NodeSection,
    /// The API.
    pub(crate) http: HttpSection,
    /// The data on disk.
    #[serde(default)]
    pub(crate) storage: StorageSection,
    /// Keys and certificates.
    pub(crate) security: SecuritySection,
    /// What the node does on its own.
    #[serde(default)]
    pub(crate) upkeep: UpkeepSettings,
    /// Quotas of the API; the same on all nodes.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What is written to standard error.
    #[serde(default)]
    pub(crate) log: LogSettings,
    /// Who has asked for what; nothing is written down without it.
    pub(crate) audit: Option<AuditSettings>,
    /// Where backups are; there are none without it.
    pub(crate) backup: Option<BackupSettings>,
    /// Where buckets are; tables are neither exported nor imported without it.
    pub(crate) object_store: Option<ObjectStoreSettings>,
    /// Where traces go; none are made without it.
    pub(crate) tracing: Option<TracingSettings>,
}

/// `[cluster]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterSection {
    /// The cluster's id, which the certificates name.
    #[serde(deserialize_with = "from_text")]
    pub(crate) id: ClusterId,
    /// The nodes that make the cluster together, and where they are reached; the same on each of them. A node that joins
    /// later names some that are running, and not itself.
    pub(crate) nodes: Vec<NodeAddress>,
    /// On how many nodes each item lies. Fewer while there are fewer nodes.
    #[serde(default = "three")]
    pub(crate) replication: NonZeroU8,
    /// The ring has two to the power of this many token ranges. Settled when the cluster is made.
    #[serde(default, deserialize_with = "range_bits")]
    pub(crate) range_bits: RangeBits,
    /// `[cluster.transport]`: connections between nodes.
    #[serde(default)]
    pub(crate) transport: TransportSettings,
    /// `[cluster.gossip]`: how fast a node that is gone is noticed; the same on all nodes.
    #[serde(default)]
    pub(crate) gossip: GossipSettings,
    /// `[cluster.moves]`: replicas that move to other nodes.
    #[serde(default)]
    pub(crate) moves: MoveSettings,
    /// `[cluster.scrub]`: replicas that are compared, files that are checked.
    #[serde(default)]
    pub(crate) scrub: ScrubSettings,
    /// `[cluster.timing]`: elections and heartbeats; the same on all nodes.
    #[serde(default)]
    pub(crate) timing: Timing,
}

/// `[node]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSection {
    /// Its id, which its certificate names.
    pub(crate) id: u64,
    /// Where other nodes reach it.
    #[serde(deserialize_with = "from_text")]
    pub(crate) address: HostPort,
    /// Where it listens for other nodes.
    pub(crate) listen: SocketAddr,
    /// Directory of its data.
    pub(crate) data_dir: PathBuf,
    /// The zone it is in; empty when the cluster has only one.
    #[serde(default)]
    pub(crate) zone: String,
    /// The rack it is in: copies of data are put into different racks. Empty when racks do not matter.
    #[serde(default)]
    pub(crate) rack: String,
    /// Its share of the data in relation to other nodes.
    #[serde(default = "capacity_of_one")]
    pub(crate) capacity: NonZeroU32,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSection {
    /// Where clients are served.
    pub(crate) listen: SocketAddr,
    /// The region that ARNs and signatures name.
    pub(crate) region: String,
    /// The certificate for clients, when it is not the node's.
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key.
    pub(crate) key: Option<PathBuf>,
    /// Where `GET /metrics` is answered, in plain and to anybody. Nowhere when it is left out.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// `[http.client_certificates]`: clients that are known by a certificate instead of a signature.
    pub(crate) client_certificates: Option<ClientCertificates>,
    /// `[http.limits]`: what one client may take of the node.
    #[serde(default)]
    pub(crate) limits: HttpLimits,
}

/// `[http.client_certificates]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificates {
    /// The authorities that have issued them.
    pub(crate) authority: PathBuf,
    /// Names in certificates, and the ARNs of the principals that they stand for.
    pub(crate) principals: BTreeMap<CertificateName, String>,
}

/// `[storage]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageSection {
    /// When a write is acknowledged.
    pub(crate) durability: Durability,
    /// `[storage.engine]`: memory, files, compaction.
    pub(crate) engine: EngineSettings,
}

/// `[security]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecuritySection {
    /// Certificates of the authorities that nodes are verified against.
    pub(crate) ca: PathBuf,
    /// This node's certificate.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The key that wraps the keys of the data.
    pub(crate) master_key: KeySource,
    /// Keys that did before: what they have wrapped is wrapped anew at the next start.
    #[serde(default)]
    pub(crate) older_master_keys: Vec<KeySource>,
    /// `[security.rotation]`: when data keys are replaced.
    #[serde(default)]
    pub(crate) rotation: Rotation,
    /// The key pair of the root principal.
    pub(crate) root_credentials: PathBuf,
}

/// `[security.rotation]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rotation {
    /// A data key that is so old is replaced by another; 0 to leave that to operators.
    pub(crate) data_key_days: u32,
    /// Whether files of old data keys are written anew as soon as no other compaction is due, instead of by and by.
    pub(crate) rewrite_files: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            data_key_days: 90,
            rewrite_files: true,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not TOML, or not these fields.
    #[error("{0}")]
    Text(#[from] toml::de::Error),
    /// A value that the others do not allow.
    #[error("{field}: {problem}")]
    Value {
        /// Its name with its section.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Config {
    /// Reads and checks a configuration. Relative paths are of `directory`, where the file lies.
    ///
    /// # Errors
    /// [`ConfigError::Text`] with the place, [`ConfigError::Value`] with the field.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        Self::parse_for(text, directory, &Place::default())
    }

    /// The same for a node that shares the file with others.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub(crate) fn parse_for(text: &str, directory: &Path, place: &Place) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text)?;
        place.apply(&mut config);
        if let Some(first) = config.problems().into_iter().next() {
            return Err(first);
        }
        config.resolve(directory);
        Ok(config)
    }

    /// The settings of the node. `rejoin`: an old copy of its data may be given up.
    pub(crate) fn settings(&self, rejoin: bool) -> NodeSettings {
        let Self {
            cluster,
            node,
            storage,
            ..
        } = self;
        NodeSettings {
            node: NodeId(node.id),
            cluster: cluster_uuid(cluster.id.as_ref()),
            address: node.address.to_string(),
            zone: node.zone.clone(),
            rack: node.rack.clone(),
            capacity: node.capacity,
            founders: cluster.nodes.iter().map(NodeAddress::founder).collect(),
            replication: cluster.replication,
            range_bits: cluster.range_bits,
            rejoin,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            storage: Settings {
                durability: storage.durability,
                storage: storage.engine.clone(),
            },
            timing: cluster.timing,
            gossip: cluster.gossip.clone(),
            moves: cluster.moves,
            scrub: cluster.scrub,
        }
    }

    fn resolve(&mut self, directory: &Path) {
        let Self {
            node,
            http,
            security,
            audit,
            backup,
            object_store,
            tracing,
            ..
        } = self;
        let clients = http.client_certificates.iter_mut();
        let paths = [
            &mut node.data_dir,
            &mut security.ca,
            &mut security.certificate,
            &mut security.key,
            &mut security.root_credentials,
        ];
        for path in paths
            .into_iter()
            .chain(&mut http.certificate)
            .chain(&mut http.key)
            .chain(clients.map(|clients| &mut clients.authority))
            .chain(audit.iter_mut().map(|audit| &mut audit.file))
            .chain(backup.iter_mut().map(|backup| &mut backup.directory))
            .chain(object_store.iter_mut().flat_map(ObjectStoreSettings::paths))
            .chain(tracing.iter_mut().flat_map(TracingSettings::paths))
        {
            *path = directory.join(&*path);
        }
        for source in [&mut security.master_key]
            .into_iter()
            .chain(&mut security.older_master_keys)
        {
            source.resolve(directory);
        }
    }
}

/// Whether a region can be named in ARNs and scopes of signatures.
///
/// # Errors
/// A sentence that says what is allowed.
pub(crate) fn check_region(region: &str) -> Result<(), String> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if region.is_empty() || region.len() > 63 || !region.bytes().all(allowed) {
        return Err(format!(
            "`{region}` is no region: use 1 to 63 lower-case letters, digits or `-`, like us-east-1"
        ));
    }
    Ok(())
}

fn range_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RangeBits, D::Error> {
    let bits = u8::deserialize(deserializer)?;
    RangeBits::new(bits).ok_or_else(|| {
        let (min, max) = (RangeBits::MIN.get(), RangeBits::MAX.get());
        serde::de::Error::custom(format!("range_bits is {bits}, must be from {min} to {max}"))
    })
}

fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        [cluster]
        id = "blue"
        nodes = ["1=10.0.0.1:7400", "2=db-2.example:7400"]
        [node]
        id = 1
        address = "10.0.0.1:7400"
        listen = "10.0.0.1:7400"
        data_dir = "data"
        [http]
        listen = "0.0.0.0:8000"
        region = "eu-central-1"
        [security]
        ca = "ca.pem"
        certificate = "/etc/stator/node.pem"
        key = "node-key.pem"
        master_key = "master.key"
        root_credentials = "root-credentials"
    "#;

    fn refused(from: &str, to: &str) -> String {
        assert!(MINIMAL.contains(from), "{from}");
        Config::parse(&MINIMAL.replace(from, to), Path::new("/d"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn paths_are_of_the_files_directory() {
        let config = Config::parse(MINIMAL, Path::new("/d")).unwrap();
        assert_eq!(config.node.data_dir, Path::new("/d/data"));
        assert_eq!(config.security.key, Path::new("/d/node-key.pem"));
        assert_eq!(config.security.certificate, Path::new("/etc/stator/node.pem"));
        let settings = config.settings(false);
        assert_eq!(settings.storage.durability, Durability::Sync);
        assert_eq!(
            (
                settings.replication.get(),
                settings.range_bits.get(),
                settings.rejoin
            ),
            (3, 8, false)
        );
        let founders: Vec<_> = settings
            .founders
            .iter()
            .map(|founder| founder.address.as_str())
            .collect();
        assert_eq!(founders, ["10.0.0.1:7400", "db-2.example:7400"]);
        // Written down, because data that exists carries it.
        assert_eq!(
            settings.cluster.to_string(),
            "d903c636-90e0-5d7f-8a79-948a91c36ba4"
        );
        assert_eq!(config.cluster.transport, TransportSettings::default());
    }

    #[test]
    fn what_a_node_has_for_itself_wins_over_the_file_and_is_checked_like_it() {
        let shared = MINIMAL.replace("/etc/stator/node.pem", "node-{node}.pem");
        let parse = |place: &Place| Config::parse_for(&shared, Path::new("/d"), place);
        let place = Place {
            node: Some(3),
            address: Some("db-3:7400".parse().unwrap()),
            zone: Some("z".to_owned()),
            rack: Some("r".to_owned()),
            data_dir: Some("/data".into()),
        };
        let config = parse(&place).unwrap();
        let node = &config.node;
        assert_eq!((node.id, node.address.to_string()), (3, "db-3:7400".to_owned()));
        assert_eq!((node.zone.as_str(), node.rack.as_str()), ("z", "r"));
        assert_eq!(node.data_dir, Path::new("/data"));
        assert_eq!(config.security.certificate, Path::new("/d/node-3.pem"));
        let same = parse(&Place::default()).unwrap();
        assert_eq!(
            (same.node.id, same.security.certificate),
            (1, "/d/node-1.pem".into())
        );
        // Node 2 is at another address.
        let place = Place {
            node: Some(2),
            ..Place::default()
        };
        let refused = parse(&place).unwrap_err().to_string();
        assert!(refused.contains("is the address of node 1"), "{refused}");
    }

    #[test]
    fn unknown_fields_and_sections_are_refused() {
        assert!(refused("region =", "regiom =").contains("regiom"));
        assert!(refused("[http]", "[web]").contains("web"));
        let nested = format!("{MINIMAL}\n[storage.engine]\nblock_size = 1");
        let error = Config::parse(&nested, Path::new("/d")).unwrap_err().to_string();
        assert!(error.contains("block_size"), "{error}");
    }

    #[test]
    fn values_that_do_not_fit_are_named_with_their_field() {
        assert!(refused("id = 1", "id = 0").starts_with("node.id: is 0"));
        assert!(refused("2=db-2.example:7400", "1=db-2.example:7400").contains("node 1 is named twice"));
        assert!(refused("2=db-2.example:7400", "2=10.0.0.1:7400").contains("10.0.0.1:7400 is named twice"));
        assert!(refused("1=10.0.0.1:7400", "1=10.0.0.9:7400").contains("make them equal"));
        assert!(refused("0.0.0.0:8000", "10.0.0.1:7400").starts_with("http.listen: "));
        assert!(refused("eu-central-1", "EU").starts_with("http.region: "));
        assert!(refused("[security]", "key = \"k\"\n[security]").starts_with("http.certificate: "));
        let rack = format!("rack = \"{}\"\ndata_dir", "r".repeat(256));
        assert!(refused("data_dir", &rack).starts_with("node.rack: has 256 bytes"));
        assert!(refused("data_dir", "capacity = 2000000\ndata_dir").starts_with("node.capacity: "));
        assert!(refused("data_dir", "capacity = 0\ndata_dir").contains("capacity"));
        assert!(refused("id = \"blue\"", "id = \"Blue\"").contains("is no cluster id"));
        assert!(
            refused(
                "nodes = [\"1=10.0.0.1:7400\", \"2=db-2.example:7400\"]",
                "nodes = []"
            )
            .contains("names no node")
        );
        let cluster = |line: &str| refused("[node]", &format!("{line}\n[node]"));
        assert!(cluster("replication = 8").starts_with("cluster.replication: is 8"));
        assert!(cluster("replication = 0").contains("replication"));
        assert!(cluster("range_bits = 17").contains("range_bits is 17, must be from 1 to 16"));
        assert!(cluster("[cluster.gossip]\nprobe_period_ms = 0").starts_with("cluster.gossip: "));
        assert!(cluster("[cluster.timing]\ntick_ms = 0").starts_with("cluster.timing: tick_ms is 0"));
        let metrics = "metrics_listen = \"0.0.0.0:8000\"\nregion =";
        assert!(refused("region =", metrics).starts_with("http.metrics_listen: "));
        let transport = "[cluster.transport]\nping_interval_ms = 0\n[node]";
        assert!(refused("[node]", transport).starts_with("cluster.transport: ping_interval_ms"));
        let engine = "[storage.engine]\nlog_segments_max = 0\n[security]";
        assert!(refused("[security]", engine).starts_with("storage.engine: log_segments_max"));
    }
}
