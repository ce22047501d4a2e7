//! `stator init`: the certificates, keys and configuration of a cluster, and of one more node with `--add-node`.
//!
//! Invariant: everything is worked out before anything is written, what is there is never written over, but for certificates of
//! nodes with `--renew`, and every configuration that is written has been read back. Not here: running a node.

mod certificate;
mod template;
#[cfg(test)]
pub(super) mod tests;
mod traces;

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use stator_cluster::transport::ClusterId;
use stator_cluster::transport::certificate::{CertificateAuthority, CertificateError, Validity};
use stator_cluster::{Durability, NodeId};
use zeroize::Zeroizing;

use self::certificate::hosts;
use self::template::plain_path;
use self::traces::{Traces, collector, ratio};
use super::private_file::{self, Readers};
use super::{credentials, master_key, root_credentials};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError, HostPort, NodeAddress, check_region};
use crate::random;

pub(super) const CA: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca-key.pem";
const NODE: &str = "node.pem";
const NODE_KEY: &str = "node-key.pem";
/// The configuration of a node.
const CONFIG: &str = "stator.toml";
/// An authority lives long: replacing it touches every node.
pub(super) const CA_DAYS: u32 = 3650;

/// Options of `stator init`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory of the files; made when it is not there
    #[arg(long, value_name = "D")]
    directory: PathBuf,
    /// Id of the cluster; a random one if it is left out
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterId>,
    /// Id of the node
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    node_id: Option<u64>,
    /// Where other nodes reach the node [default: 127.0.0.1:7400]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<HostPort>,
    /// Where clients are served; nodes that share a host take the following ports
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)))]
    listen: SocketAddr,
    /// All nodes of a first cluster; each gets a folder to be copied to its machine
    #[arg(
        long,
        value_name = "ID=HOST:PORT,…",
        value_delimiter = ',',
        conflicts_with_all = ["node_id", "address"]
    )]
    nodes: Vec<NodeAddress>,
    /// Make the folder of one more node for the cluster whose authority is in the directory
    #[arg(long, requires_all = ["node_id", "address"], conflicts_with_all = ["cluster", "nodes"])]
    add_node: bool,
    /// Put new certificates in the place of those of the nodes in the directory, or of the one of --node-id
    #[arg(long, conflicts_with_all = ["cluster", "nodes", "address", "add_node", "if_missing"])]
    renew: bool,
    /// Other names and addresses under which clients reach the nodes
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Where each node tells its metrics, in plain and to anybody; nowhere if it is left out
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
    /// The collector that nodes send traces to, by OTLP over HTTP; nowhere if it is left out
    #[arg(long, value_name = "http://HOST:PORT", value_parser = collector)]
    traces: Option<String>,
    /// Which share of the requests is traced whose clients have not said whether they are
    #[arg(long, value_name = "R", requires = "traces", default_value_t = 0.01, value_parser = ratio)]
    trace_ratio: f64,
    /// Where backups are: a directory that all nodes reach by this path; there are none if it is left out
    #[arg(long, value_name = "DIR", value_parser = plain_path)]
    backups: Option<String>,
    /// Do nothing, and succeed, if there is a cluster in the directory already
    #[arg(long, conflicts_with = "add_node")]
    if_missing: bool,
    /// Region that ARNs name
    #[arg(long, default_value = "us-east-1", value_parser = region)]
    region: String,
    /// Days for which the certificates of nodes are valid
    #[arg(long, default_value_t = 825, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

fn region(text: &str) -> Result<String, String> {
    check_region(text).map(|()| text.to_owned())
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error(
        "{} is there already, and nothing was made; add a node to this cluster with --add-node --node-id N --address \
         HOST:PORT, or choose another directory for another cluster",
        path.display()
    )]
    Exists { path: PathBuf },
    #[error(
        "{} cannot be read: {cause}; name the directory in which `stator init` has made the cluster",
        path.display()
    )]
    Missing { path: PathBuf, cause: String },
    #[error("node {id} is in {} already; choose an id that no node of the cluster has ever had", path.display())]
    NodeExists { id: u64, path: PathBuf },
    #[error("{} has no such node; --renew makes certificates of nodes whose folders are there", path.display())]
    NoNode { path: PathBuf },
    #[error("the nodes do not fit together: {0}")]
    Nodes(#[from] ConfigError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What nodes have in common, beside keys.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) region: String,
    /// Validity of the certificates of nodes.
    pub(super) days: u32,
    pub(super) durability: Durability,
    /// Under which other names clients reach the nodes.
    pub(super) hosts: Vec<String>,
    /// Where nodes tell their metrics.
    pub(super) metrics: Option<SocketAddr>,
    /// Where they send traces.
    pub(super) traces: Option<Traces>,
    /// Where backups are: a path that TOML wants no more than quotes for.
    pub(super) backups: Option<String>,
}

/// A node to be made: where other nodes reach it, and where it serves clients.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) node: NodeAddress,
    pub(super) listen: SocketAddr,
}

/// A file to be made.
struct File {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    readers: Readers,
}

/// What all nodes of a cluster have in common, as texts of files.
struct Common {
    authority: CertificateAuthority,
    ca: String,
    master_key: Zeroizing<String>,
    root: Zeroizing<String>,
}

/// What a run makes.
struct Plan {
    cluster: ClusterId,
    files: Vec<File>,
    /// The folders of nodes.
    nodes: Vec<(NodeAddress, PathBuf)>,
}

/// Makes the files and says which.
pub(crate) fn run(options: &Options) -> Result<(), InitError> {
    if options.if_missing && options.directory.join(CA).try_exists()? {
        let directory = options.directory.display();
        writeln!(
            io::stdout(),
            "{directory} has a cluster already; nothing was made"
        )?;
        return Ok(());
    }
    if options.renew {
        return certificate::run(options, now_ms(), &mut io::stdout().lock());
    }
    let plan = plan(options)?;
    make(&plan, &options.directory)?;
    report(&plan, options, &mut io::stdout().lock())?;
    Ok(())
}

fn now_ms() -> u64 {
    u64::try_from(SystemClock.now_ms()).unwrap_or_default()
}

fn plan(options: &Options) -> Result<Plan, InitError> {
    if options.add_node {
        plan_node(options, now_ms())
    } else if options.nodes.is_empty() {
        let members = [Member {
            node: single_node(options),
            listen: options.listen,
        }];
        plan_cluster(
            options.cluster.as_ref(),
            &options.directory,
            &members,
            &options.shape(),
            now_ms(),
        )
    } else {
        let member = |node: &NodeAddress| Member {
            listen: client_address(options.listen, node, &options.nodes),
            node: node.clone(),
        };
        let members: Vec<Member> = options.nodes.iter().map(member).collect();
        plan_cluster(
            options.cluster.as_ref(),
            &options.directory,
            &members,
            &options.shape(),
            now_ms(),
        )
    }
}

/// Makes a cluster whose nodes each have a folder. Gives the configurations of the nodes.
///
/// # Errors
/// [`InitError`], with nothing written over.
pub(super) fn make_cluster(
    directory: &Path,
    members: &[Member],
    shape: &Shape,
) -> Result<Vec<PathBuf>, InitError> {
    let plan = plan_cluster(None, directory, members, shape, now_ms())?;
    make(&plan, directory)?;
    Ok(plan
        .nodes
        .into_iter()
        .map(|(_, folder)| folder.join(CONFIG))
        .collect())
}

impl Options {
    fn shape(&self) -> Shape {
        Shape {
            region: self.region.clone(),
            days: self.days,
            durability: Durability::Sync,
            hosts: self.hosts.clone(),
            metrics: self.metrics,
            traces: self.traces.clone().map(|endpoint| Traces {
                endpoint,
                sample_ratio: self.trace_ratio,
            }),
            backups: self.backups.clone(),
        }
    }
}

/// A cluster of these nodes. A single one has its files in the directory itself, of several each has a folder.
fn plan_cluster(
    cluster: Option<&ClusterId>,
    directory: &Path,
    members: &[Member],
    shape: &Shape,
    now_ms: u64,
) -> Result<Plan, InitError> {
    // Looked at before keys are made, so that the first message is about the cluster that is there.
    for name in [CA, CA_KEY, master_key::FILE, root_credentials::FILE] {
        refuse_existing(&directory.join(name))?;
    }
    let cluster = match cluster {
        Some(cluster) => cluster.clone(),
        None => random_cluster()?,
    };
    let (authority, kept) = CertificateAuthority::create(&cluster, Validity::days_from(now_ms, CA_DAYS))?;
    let common = Common {
        authority,
        ca: kept.certificate_pem,
        master_key: master_key::to_text(&master_key::make(random::fill)?),
        root: root_credentials::to_text(&credentials::make_pair(random::fill)?),
    };
    let mut files = common.files(directory);
    files.push(File::new(directory.join(CA_KEY), &kept.key_pem, Readers::Owner));
    let mut nodes = Vec::new();
    let founders: Vec<NodeAddress> = members.iter().map(|member| member.node.clone()).collect();
    for member in members {
        let folder = if members.len() == 1 {
            directory.to_owned()
        } else {
            let folder = node_folder(directory, member.node.id);
            files.extend(common.files(&folder));
            folder
        };
        files.extend(common.node_files(&folder, member, &founders, shape, now_ms)?);
        nodes.push((member.node.clone(), folder));
    }
    Ok(Plan {
        cluster,
        files,
        nodes,
    })
}

fn plan_node(options: &Options, now_ms: u64) -> Result<Plan, InitError> {
    let directory = &options.directory;
    let common = Common::load(directory)?;
    let node = single_node(options);
    let known = known_nodes(directory, common.authority.cluster())?;
    for (other, path) in &known {
        if other.id == node.id {
            return Err(InitError::NodeExists {
                id: node.id,
                path: path.clone(),
            });
        }
    }
    let folder = node_folder(directory, node.id);
    // It joins those that are there, and is none of those that make the cluster.
    let known: Vec<NodeAddress> = known.into_iter().map(|(node, _)| node).collect();
    let member = Member {
        listen: client_address(options.listen, &node, &known),
        node: node.clone(),
    };
    let mut files = common.files(&folder);
    files.extend(common.node_files(&folder, &member, &known, &options.shape(), now_ms)?);
    Ok(Plan {
        cluster: common.authority.cluster().clone(),
        files,
        nodes: vec![(node, folder)],
    })
}

fn single_node(options: &Options) -> NodeAddress {
    NodeAddress {
        id: options.node_id.unwrap_or(1),
        address: options.address.clone().unwrap_or_else(HostPort::local),
    }
}

fn node_folder(directory: &Path, id: u64) -> PathBuf {
    directory.join(format!("node-{id}"))
}

fn random_cluster() -> Result<ClusterId, InitError> {
    let mut bytes = [0; 4];
    random::fill(&mut bytes)?;
    format!("stator-{:08x}", u32::from_le_bytes(bytes))
        .parse()
        .map_err(|error| InitError::Io(io::Error::other(error)))
}

/// The configurations of nodes that are in a directory and in its folders.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn configurations(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![directory.to_owned()];
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    let mut paths = Vec::new();
    for folder in folders {
        let path = folder.join(CONFIG);
        if path.try_exists()? {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The nodes whose configurations are in the directory and in its folders, each with the place of its configuration.
fn known_nodes(directory: &Path, cluster: &ClusterId) -> Result<Vec<(NodeAddress, PathBuf)>, InitError> {
    let mut nodes = Vec::new();
    for path in configurations(directory)? {
        let folder = path.parent().unwrap_or(directory);
        let missing = |cause| InitError::Missing {
            path: path.clone(),
            cause,
        };
        let text = fs::read_to_string(&path).map_err(|error| missing(error.to_string()))?;
        let config = Config::parse(&text, folder).map_err(|error| missing(error.to_string()))?;
        if config.cluster.id != *cluster {
            return Err(missing(format!(
                "it is of cluster {}, while the authority is of cluster {cluster}",
                config.cluster.id
            )));
        }
        let node = NodeAddress {
            id: config.node.id,
            address: config.node.address,
        };
        nodes.push((node, path));
    }
    nodes.sort_by_key(|(node, _)| node.id);
    Ok(nodes)
}

impl Common {
    /// What an earlier run has made.
    fn load(directory: &Path) -> Result<Self, InitError> {
        let missing = |name: &str, cause: String| InitError::Missing {
            path: directory.join(name),
            cause,
        };
        let read = |name: &str| {
            fs::read_to_string(directory.join(name))
                .map(Zeroizing::new)
                .map_err(|error| missing(name, error.to_string()))
        };
        let ca = read(CA)?;
        let master_key = read(master_key::FILE)?;
        master_key
            .parse::<stator_cluster::MasterKey>()
            .map_err(|error| missing(master_key::FILE, error.to_string()))?;
        let root = read(root_credentials::FILE)?;
        root_credentials::parse(&root).map_err(|cause| missing(root_credentials::FILE, cause))?;
        Ok(Self {
            authority: CertificateAuthority::load(&ca, &read(CA_KEY)?)?,
            ca: ca.to_string(),
            master_key,
            root,
        })
    }

    /// The files that are equal on all nodes.
    fn files(&self, folder: &Path) -> Vec<File> {
        vec![
            File::new(folder.join(CA), &self.ca, Readers::All),
            File::new(folder.join(master_key::FILE), &self.master_key, Readers::Owner),
            File::new(folder.join(root_credentials::FILE), &self.root, Readers::Owner),
        ]
    }

    /// The files that only one node has.
    fn node_files(
        &self,
        folder: &Path,
        member: &Member,
        founders: &[NodeAddress],
        shape: &Shape,
        now_ms: u64,
    ) -> Result<Vec<File>, InitError> {
        let text = template::config(self.authority.cluster(), member, founders, shape);
        Config::parse(&text, folder)?;
        let mut hosts = hosts(&member.node, member.listen);
        hosts.extend(shape.hosts.iter().cloned());
        let validity = Validity::days_from(now_ms, shape.days);
        let made = self.authority.issue(NodeId(member.node.id), &hosts, validity)?;
        Ok(vec![
            File::new(folder.join(NODE), &made.certificate_pem, Readers::All),
            File::new(folder.join(NODE_KEY), &made.key_pem, Readers::Owner),
            File::new(folder.join(CONFIG), &text, Readers::All),
        ])
    }
}

impl File {
    fn new(path: PathBuf, text: &str, readers: Readers) -> Self {
        Self {
            path,
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            readers,
        }
    }
}

/// Where a node serves clients: nodes on one host cannot all have the same port.
fn client_address(listen: SocketAddr, node: &NodeAddress, nodes: &[NodeAddress]) -> SocketAddr {
    let before = nodes
        .iter()
        .take_while(|other| other.id != node.id)
        .filter(|other| other.address.host() == node.address.host())
        .count();
    let port = u16::try_from(before)
        .ok()
        .and_then(|before| listen.port().checked_add(before))
        .unwrap_or(listen.port());
    SocketAddr::new(listen.ip(), port)
}

fn refuse_existing(path: &Path) -> Result<(), InitError> {
    // A link that leads nowhere is something that is there, too.
    match path.symlink_metadata() {
        Ok(_) => Err(InitError::Exists {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn make(plan: &Plan, directory: &Path) -> Result<(), InitError> {
    for file in &plan.files {
        refuse_existing(&file.path)?;
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InitError::Write { path, source }
    };
    let mut folders = vec![directory];
    folders.extend(plan.nodes.iter().map(|(_, folder)| folder.as_path()));
    for folder in &folders {
        private_file::create_directory(folder).map_err(failed(folder))?;
    }
    for file in &plan.files {
        private_file::create(&file.path, &file.bytes, file.readers).map_err(failed(&file.path))?;
    }
    for folder in &folders {
        private_file::sync_directory(folder).map_err(failed(folder))?;
    }
    Ok(())
}

/// Says what was made, what to take care of, and what to do next.
fn report(plan: &Plan, options: &Options, out: &mut impl io::Write) -> io::Result<()> {
    let directory = options.directory.display();
    writeln!(out, "Cluster {}:\n", plan.cluster)?;
    for file in &plan.files {
        let note = match file.readers {
            Readers::Owner => "  (secret)",
            Readers::All => "",
        };
        writeln!(out, "  {}{note}", file.path.display())?;
    }
    if !options.add_node {
        writeln!(
            out,
            "\nKeep {directory}/{CA_KEY} away from the nodes: whoever has it can make nodes of this cluster.\n\
             Keep a copy of {directory}/{} elsewhere: whoever loses it loses the data.",
            master_key::FILE
        )?;
    }
    writeln!(out, "\nNext:\n")?;
    for (node, folder) in &plan.nodes {
        let config = folder.join(CONFIG);
        if *folder == options.directory {
            writeln!(out, "  stator serve --config {}", config.display())?;
        } else {
            writeln!(
                out,
                "  copy {} to {} and run there: stator serve --config node-{}/{CONFIG}",
                folder.display(),
                node.address.host(),
                node.id
            )?;
        }
    }
    if !options.add_node {
        writeln!(
            out,
            "  stator init --directory {directory} --add-node --node-id {} --address HOST:PORT   (one more node)",
            plan.nodes
                .iter()
                .map(|(node, _)| node.id)
                .max()
                .unwrap_or(0)
                .saturating_add(1)
        )?;
    }
    out.flush()
}
