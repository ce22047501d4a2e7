//! `stator demo-cluster`: a cluster on this machine, to look at and to test with. Each node is a process of its own.
//!
//! Invariant: the nodes end with this process, however it ends: each has its standard input from it and stops when that
//! ends (`stator serve --until-stdin-ends`).

mod keeper;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use self::keeper::{Ended, Keeper, Ready};
use super::credentials::KeyPair;
use super::dev::DurabilityOption;
use super::files::{self, FileError};
use super::init::{self, InitError, Member, Shape};
use super::private_file;
use crate::config::{Config, HostPort, NodeAddress};
use crate::node;
use crate::random;

/// The region of demonstrations.
const REGION: &str = "us-east-1";
/// Where a node's standard error goes, beside its configuration.
const LOG: &str = "stator.log";
/// Validity of the nodes' certificates.
const DAYS: u32 = 825;
/// Where ports are looked for: below those that the kernel gives to outgoing connections, so that a node that is down for
/// a moment finds its port free when it comes back; apart from those of the clusters that tests make (`compat-tests`).
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 10_000;
/// How many ports are tried for each that is needed.
const PORT_TRIES: usize = 1000;
/// How often a new cluster gets other ports because somebody was faster than its nodes.
const START_TRIES: usize = 5;
/// What a node's log says then (the kernel's EADDRINUSE, in the words of libc).
const IN_USE: &str = "Address already in use";

/// Options of `stator demo-cluster`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Directory of keys, certificates, configurations and data; what is there is started again [default: one that goes with the process]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Clients are served at this port and the following ones, nodes talk at those after them [default: free ports]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port_base: Option<u16>,
    /// When a write is answered, for a new cluster: after the log is synced, or after it is written, with a sync every 100 ms
    #[arg(long, value_enum, default_value_t = DurabilityOption::Interval)]
    durability: DurabilityOption,
    /// Start a node again at once when it has ended
    #[arg(long)]
    restart: bool,
    /// Print one line of JSON when all nodes answer
    #[arg(long)]
    json: bool,
}

/// Why there is no cluster, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the cluster in {} has {found} nodes; start it with --nodes {found}, or choose another --dir", path.display())]
    OtherCluster { path: PathBuf, found: usize },
    #[error("--port-base {0} leaves no room for the ports of all nodes; choose a lower one")]
    PortBase(u16),
    #[error("no free ports on 127.0.0.1 between {FIRST_PORT} and {}; choose some with --port-base", FIRST_PORT + PORTS - 1)]
    NoPorts,
    #[error("node {node} did not start: {end}\n{log}")]
    NotStarted { node: u64, end: Ended, log: String },
    #[error("all nodes have ended")]
    AllEnded,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is printed when all nodes answer; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Announcement<'a> {
    ca_file: &'a Path,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    region: &'a str,
    nodes: Vec<AnnouncedNode<'a>>,
}

#[derive(Debug, Serialize)]
struct AnnouncedNode<'a> {
    id: u64,
    endpoint: &'a str,
    pid: u32,
    data_dir: &'a Path,
}

/// Runs the cluster until it is told to stop.
pub(crate) fn run(options: &Options) -> Result<(), DemoError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut stop = Box::pin(node::stop_signal()?);
            for _ in 1..START_TRIES {
                match run_once(options, &mut stop).await {
                    Ok(Outcome::PortsTaken) => {}
                    Ok(Outcome::Stopped) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            let place = Place::of(options)?;
            let configs = configurations(options, place.path())?;
            run_cluster(options, place.path(), &configs, stop).await
        })
}

/// How it has gone with a cluster.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was told to stop.
    Stopped,
    /// It has not started, since others had taken its ports in the meantime, and nothing is left of it.
    PortsTaken,
}

/// Runs the cluster until it is told to stop, or has to be made again with other ports.
async fn run_once(options: &Options, stop: impl Future<Output = ()> + Unpin) -> Result<Outcome, DemoError> {
    let place = Place::of(options)?;
    let before = entries(place.path())?;
    let is_new = init::configurations(place.path())?.is_empty();
    let configs = configurations(options, place.path())?;
    let mut made: BTreeSet<_> = entries(place.path())?.difference(&before).cloned().collect();
    match run_cluster(options, place.path(), &configs, stop).await {
        Ok(()) => Ok(Outcome::Stopped),
        // The ports of a cluster that was there, or that were asked for, are what others know.
        Err(DemoError::NotStarted { log, .. })
            if is_new && options.port_base.is_none() && is_port_taken(&log) =>
        {
            made.extend(configs.iter().flat_map(|(path, config)| {
                let log = path.with_file_name(LOG);
                [log, config.node.data_dir.clone()]
            }));
            made.retain(|path| !before.contains(path));
            remove(&made)?;
            tracing::info!("others have taken a port of the cluster; it gets other ports");
            Ok(Outcome::PortsTaken)
        }
        Err(error) => Err(error),
    }
}

/// Whether a node has ended because somebody else listens where it is to listen.
fn is_port_taken(log: &str) -> bool {
    log.lines()
        .any(|line| line.contains("cannot listen on ") && line.contains(IN_USE))
}

fn entries(directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let entries = fs::read_dir(directory)?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Removes files and directories of a cluster that has not started; one may lie in another, or not be there.
fn remove(paths: &BTreeSet<PathBuf>) -> io::Result<()> {
    for path in paths {
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where the files of the cluster lie.
enum Place {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn of(options: &Options) -> io::Result<Self> {
        Ok(match &options.dir {
            Some(path) => {
                private_file::create_directory(path)?;
                Self::Kept(path.canonicalize()?)
            }
            None => Self::Temporary(tempfile::Builder::new().prefix("stator-demo-").tempdir()?),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// The nodes' configurations, in the order of their ids: those that are there, or new ones.
fn configurations(options: &Options, directory: &Path) -> Result<Vec<(PathBuf, Config)>, DemoError> {
    let mut paths = init::configurations(directory)?;
    if paths.is_empty() {
        paths = init::make_cluster(
            directory,
            &members(options)?,
            &Shape {
                region: REGION.to_owned(),
                days: DAYS,
                durability: options.durability.into(),
                hosts: Vec::new(),
                metrics: None,
                traces: None,
                backups: None,
            },
        )?;
    } else if paths.len() != usize::from(options.nodes) {
        return Err(DemoError::OtherCluster {
            path: directory.to_owned(),
            found: paths.len(),
        });
    }
    let mut configs = Vec::new();
    for path in paths {
        let config = files::config(&path)?;
        configs.push((path, config));
    }
    configs.sort_by_key(|(_, config)| config.node.id);
    Ok(configs)
}

/// Nodes with ports of this machine.
fn members(options: &Options) -> Result<Vec<Member>, DemoError> {
    let count = usize::from(options.nodes);
    let ports = match options.port_base {
        Some(base) => {
            let end = base
                .checked_add(2 * options.nodes)
                .ok_or(DemoError::PortBase(base))?;
            (base..end).collect()
        }
        None => free_ports(2 * count)?,
    };
    let (for_clients, for_nodes) = ports.split_at(count.min(ports.len()));
    let members = for_clients.iter().zip(for_nodes).zip(1..);
    Ok(members
        .map(|((client, node), id)| Member {
            node: NodeAddress {
                id,
                address: HostPort::local().with_port(*node),
            },
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, *client)),
        })
        .collect())
}

/// Ports of loopback that nobody has. Others may take them before they are used.
///
/// # Errors
/// [`DemoError::NoPorts`] when there are none.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>, DemoError> {
    let mut taken = Vec::new();
    for _ in 0..count * PORT_TRIES {
        if taken.len() == count {
            break;
        }
        let mut bytes = [0; 2];
        random::fill(&mut bytes)?;
        let port = FIRST_PORT + u16::from_le_bytes(bytes) % PORTS;
        // Held until all are found, so that none is found twice.
        if let Ok(socket) = reserve(port) {
            taken.push((port, socket));
        }
    }
    if taken.len() < count {
        return Err(DemoError::NoPorts);
    }
    Ok(taken.into_iter().map(|(port, _)| port).collect())
}

/// Takes a port if nobody has it. Without `SO_REUSEADDR`: with it, one is had that a node has reserved and does not listen at yet.
fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

async fn run_cluster(
    options: &Options,
    directory: &Path,
    configs: &[(PathBuf, Config)],
    mut stop: impl Future<Output = ()> + Unpin,
) -> Result<(), DemoError> {
    let program = std::env::current_exe()?;
    let mut nodes = Vec::new();
    for (path, config) in configs {
        let (ready, is_ready) = oneshot::channel();
        let keeper = Keeper {
            node: config.node.id,
            program: program.clone(),
            log: path.with_file_name(LOG),
            config: path.clone(),
            restart: options.restart,
        };
        nodes.push((config.node.id, keeper.start(ready), is_ready));
    }
    let mut running = Vec::new();
    let mut answers = Vec::new();
    for (id, kept, is_ready) in nodes {
        answers.push((id, is_ready));
        running.push((id, kept));
    }
    let began = tokio::select! {
        ready = all_ready(answers) => Some(ready),
        () = &mut stop => None,
    };
    let result = match began {
        None => Ok(()),
        Some(Err(node)) => Err(node),
        Some(Ok(ready)) => {
            announce(options, directory, configs, &ready)?;
            let ended = running.iter_mut().map(|(_, kept)| kept.ended());
            tokio::select! {
                () = &mut stop => Ok(()),
                _ = futures_util::future::join_all(ended) => {
                    return Err(DemoError::AllEnded);
                }
            }
        }
    };
    // One after the other, so that each can hand over what it leads.
    let mut not_started = None;
    for (id, kept) in running {
        let end = kept.stop().await;
        if result == Err(id) {
            let log = keeper::tail(&configs_log(configs, id));
            not_started = Some(DemoError::NotStarted { node: id, end, log });
        }
    }
    match not_started {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What all nodes say when they are ready, or which one has ended before.
async fn all_ready(answers: Vec<(u64, oneshot::Receiver<Ready>)>) -> Result<Vec<Ready>, u64> {
    let mut ready = Vec::new();
    let waiting = answers
        .into_iter()
        .map(|(id, answer)| async move { answer.await.map_err(|_| id) });
    for answer in futures_util::future::try_join_all(waiting).await? {
        ready.push(answer);
    }
    Ok(ready)
}

fn configs_log(configs: &[(PathBuf, Config)], id: u64) -> PathBuf {
    configs
        .iter()
        .find(|(_, config)| config.node.id == id)
        .map(|(path, _)| path.with_file_name(LOG))
        .unwrap_or_default()
}

/// Says that the nodes are ready and how to reach them.
fn announce(
    options: &Options,
    directory: &Path,
    configs: &[(PathBuf, Config)],
    ready: &[Ready],
) -> Result<(), DemoError> {
    let Some((first, config)) = configs.first() else {
        return Err(DemoError::AllEnded);
    };
    let KeyPair {
        access_key_id,
        secret,
    } = files::root_keys(config)?;
    let announcement = Announcement {
        ca_file: &config.security.ca,
        access_key_id: &access_key_id,
        secret_access_key: secret.expose(),
        region: &config.http.region,
        nodes: ready.iter().map(AnnouncedNode::of).collect(),
    };
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &announcement).map_err(io::Error::other)?;
        writeln!(out)?;
    } else {
        announcement.print(directory, first, &mut out)?;
    }
    Ok(out.flush()?)
}

impl<'a> AnnouncedNode<'a> {
    fn of(ready: &'a Ready) -> Self {
        Self {
            id: ready.node,
            endpoint: &ready.endpoint,
            pid: ready.pid,
            data_dir: &ready.data_dir,
        }
    }
}

impl Announcement<'_> {
    fn print(&self, directory: &Path, config: &Path, out: &mut impl io::Write) -> io::Result<()> {
        let nodes = match self.nodes.len() {
            1 => "one node".to_owned(),
            count => format!("{count} nodes"),
        };
        writeln!(out, "A cluster of {nodes} is ready.\n")?;
        for node in &self.nodes {
            writeln!(
                out,
                "  node {}      {}  (process {})",
                node.id, node.endpoint, node.pid
            )?;
        }
        writeln!(out, "  region      {}", self.region)?;
        writeln!(out, "  access key  {}", self.access_key_id)?;
        writeln!(out, "  secret      {}", self.secret_access_key)?;
        writeln!(out, "  authority   {}", self.ca_file.display())?;
        writeln!(out, "  files       {}", directory.display())?;
        let Some(first) = self.nodes.first() else {
            return Ok(());
        };
        writeln!(out, "\nTry it:\n")?;
        writeln!(
            out,
            "  AWS_CA_BUNDLE={} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} \
             aws dynamodb list-tables --region {} --endpoint-url {}",
            self.ca_file.display(),
            self.access_key_id,
            self.secret_access_key,
            self.region,
            first.endpoint
        )?;
        writeln!(out, "  stator status --config {}", config.display())?;
        writeln!(
            out,
            "  kill -9 {}   (ends one node at once; Ctrl-C here ends all of them in order)\n",
            first.pid
        )
    }
}
