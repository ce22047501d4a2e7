//! `stator serve`: one node of a cluster, from its configuration file, until it is told to stop.

mod api;
mod notify;
mod number;
pub(super) mod place;

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use stator_cluster::transport::{Transport, TransportError};
use stator_cluster::{Cluster, Inbox, Liveness, MasterKeys, Network, NodeId, World};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use self::notify::Notify;
use self::place::{PlaceError, PlaceOptions};
use super::files::{self, Certificates, FileError};
use super::master_key::fetch::{self, KeyError};
use super::private_file;
use crate::audit::{AuditLog, AuditSettings};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::health::Health;
use crate::http::dropped_lines;
use crate::http::peer::Principals;
use crate::http::serve::Security;
use crate::keys::FetchMasterKeys;
use crate::log;
use crate::metrics::Telling;
use crate::node::{self, Listeners, NodeError};
use crate::random;
use crate::tls::{Expiry, ServerTls, TlsError};
use crate::trace::{Described, Traces};

/// How often it is told what the node waits for, if that has changed.
const WAITING_INTERVAL: Duration = Duration::from_secs(2);
/// How often the files of certificates are looked at.
const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(60);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Options of `stator serve`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration of the node, as `stator init` makes it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    place: PlaceOptions,
    /// Stay in the cluster, if the node was about to leave it
    #[arg(long)]
    stay: bool,
    /// Give up an old copy of the node's data, and let the cluster fill it again
    #[arg(long)]
    rejoin: bool,
    /// Most connections of one client address at a time, instead of http.limits.connections_per_address_max; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    connections_per_address: Option<u32>,
    /// Print one line of JSON when ready
    #[arg(long)]
    json: bool,
    /// Stop when standard input ends: whoever has started the node takes it along, however it ends
    #[arg(long)]
    until_stdin_ends: bool,
}

/// Why the node did not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    MasterKey(#[from] KeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("cannot listen on {address} ({field}): {source}")]
    Listen {
        field: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error(
        "the certificate is for {certificate}, while the configuration is of node {node} of the cluster {cluster}; put the \
         right node.pem and node-key.pem there"
    )]
    WrongNode {
        certificate: String,
        node: u64,
        cluster: String,
    },
    #[error("cannot write the audit log {} (audit.file): {source}", path.display())]
    Audit { path: PathBuf, source: io::Error },
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataDirectory { path: PathBuf, source: io::Error },
    #[error("the node cannot become part of the cluster: {0}")]
    NotReady(#[source] stator_cluster::Error),
    #[error(
        "node {node} has left the cluster, and numbers are used once; at its next start, this node is node {next}"
    )]
    Renumbered { node: NodeId, next: u64 },
    #[error(
        "node {node} has left the cluster; empty {}, and its next start makes a new node at its place",
        path.display()
    )]
    LeftWithData { node: NodeId, path: PathBuf },
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is printed when the node is ready; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    node: u64,
    endpoint: String,
    pid: u32,
    data_dir: &'a Path,
}

/// Runs the node until it is told to stop.
pub(crate) fn run(options: &Options) -> Result<(), ServeError> {
    let mut config = options.place.config(&options.config)?;
    log::start(config.log.format);
    let own = &mut config.http.limits.connections_per_address_max;
    *own = options.connections_per_address.unwrap_or(*own);
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let notify = Notify::of_environment()?;
            let (stop, stopping) = (stop(options.until_stdin_ends)?, notify.clone());
            let stop = async move {
                stop.await;
                stopping.stopping();
            };
            let manner = Manner {
                rejoin: options.rejoin,
                stay: options.stay,
                notify: notify.clone(),
            };
            let going_on = tokio::spawn(notify.clone().keep());
            let ended = run_node(&config, manner, stop, |endpoint| {
                notify.ready();
                announce(options.json, &config, endpoint)
            });
            let ended = ended.await;
            going_on.abort();
            ended
        });
    match ended {
        Err(ServeError::NotReady(stator_cluster::Error::HasLeft { node, .. }))
            if options.place.is_named() =>
        {
            Err(place::follow(&config.node.data_dir, node)?)
        }
        ended => ended,
    }
}

fn unusable(path: &Path, source: io::Error) -> ServeError {
    ServeError::DataDirectory {
        path: path.to_owned(),
        source,
    }
}

/// How a node starts.
#[derive(Debug, Clone, Default)]
struct Manner {
    /// An old copy of its data may be given up.
    rejoin: bool,
    /// It stays if it was about to leave.
    stay: bool,
    /// Who is told how far it is.
    notify: Notify,
}

/// Runs a node until `stop` is ready; `announce` is told host and port for clients when they are served.
async fn run_node(
    config: &Config,
    manner: Manner,
    stop: impl Future<Output = ()>,
    announce: impl FnOnce(&str) -> io::Result<()>,
) -> Result<(), ServeError> {
    let certificates = Certificates::read(config)?;
    check_identity(config, &certificates)?;
    let keys = files::root_keys(config)?;
    let principals = config.http.client_certificates.as_ref();
    let principals = principals.map(|clients| Principals::new(&clients.principals));
    let tls = ServerTls::new(certificates.for_clients(), principals.unwrap_or_default())?;
    let audit = config.audit.as_ref().map(|audit| start_audit(config, audit));
    let audit = audit.transpose()?;
    // Addresses come first: a second process must not touch the data. Clients are refused until the node is ready, rather
    // than kept waiting, so that they go to another one.
    let nodes = Reserved::take("node.listen", config.node.listen)?.listen()?;
    let clients = Reserved::take("http.listen", config.http.listen)?;
    let health = Health::new(Arc::new(SystemClock));
    let telling = tell(config, &health)?;
    let endpoint = endpoint(config, clients.socket.local_addr()?);
    let mut stop = Box::pin(stop);
    let master_keys = fetch::master_keys(&config.security, &node::data_of(&config.node.data_dir)).await?;
    let Begun { opened, transport } = open(config, manner.rejoin, &certificates, master_keys, nodes)?;
    let cluster = opened.cluster.clone();
    let ready = tokio::select! {
        ready = wait(config, &cluster, &manner.notify) => ready,
        cause = cluster.failed() => return Err(NodeError::Failed { cause }.into()),
        () = &mut stop => return Ok(node::close(&cluster, &config.node.data_dir).await?),
    };
    ready.map_err(ServeError::NotReady)?;
    if manner.stay {
        stay(config, &cluster).await;
    }
    let api = api::of(config, (&keys, &endpoint), audit, health)?;
    let app = tokio::select! {
        app = node::app(&opened, api) => app?,
        cause = cluster.failed() => return Err(NodeError::Failed { cause }.into()),
        () = &mut stop => return Ok(node::close(&cluster, &config.node.data_dir).await?),
    };
    let expiry = Arc::new(Expiry::default());
    expiry.note(&certificates.nodes.certificate_pem, &certificates.clients)?;
    let listeners = Listeners {
        clients: clients.listen()?,
        security: Security::Tls(tls.clone()),
        telling,
        expiry: Some(Arc::clone(&expiry)),
    };
    let renewal = Renewal {
        config: config.clone(),
        certificates,
        tls,
        transport,
        expiry,
        hang_up: signal(SignalKind::hangup())?,
    };
    let renewing = tokio::spawn(renewal.run());
    announce(&endpoint)?;
    let ended = node::run(app, listeners, &config.node.data_dir, stop).await;
    renewing.abort();
    Ok(ended?)
}

/// Begins to tell collectors and probes, who are to know that the node starts.
fn tell(config: &Config, health: &Arc<Health>) -> Result<Option<Telling>, ServeError> {
    let Some(address) = config.http.metrics_listen else {
        return Ok(None);
    };
    let listener = Reserved::take("http.metrics_listen", address)?.listen()?;
    Ok(Some(Telling::start(listener, Arc::clone(health))))
}

/// Refuses the certificate of another node before anything is done under its name.
fn check_identity(config: &Config, certificates: &Certificates) -> Result<(), ServeError> {
    let certified = certificates.nodes.identity()?;
    if certified.node.0 == config.node.id && certified.cluster == config.cluster.id {
        return Ok(());
    }
    Err(ServeError::WrongNode {
        certificate: certified.to_string(),
        node: config.node.id,
        cluster: config.cluster.id.to_string(),
    })
}

/// An address that is this process's; whoever connects is refused until it listens.
struct Reserved {
    field: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
}

impl Reserved {
    fn take(field: &'static str, address: SocketAddr) -> Result<Self, ServeError> {
        let take = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // So that a node that is started again does not wait for connections of its last life to be forgotten.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = take().map_err(|source| ServeError::Listen {
            field,
            address,
            source,
        })?;
        Ok(Self {
            field,
            address,
            socket,
        })
    }

    fn listen(self) -> Result<TcpListener, ServeError> {
        let (field, address) = (self.field, self.address);
        self.socket.listen(BACKLOG).map_err(|source| ServeError::Listen {
            field,
            address,
            source,
        })
    }
}

/// Host and port under which clients reach the node.
fn endpoint(config: &Config, address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        config.node.address.with_port(address.port()).to_string()
    } else {
        address.to_string()
    }
}

/// A node whose part of the cluster has begun.
struct Begun {
    opened: node::Opened,
    transport: Arc<Transport>,
}

fn open(
    config: &Config,
    rejoin: bool,
    certificates: &Certificates,
    master_keys: MasterKeys,
    listener: TcpListener,
) -> Result<Begun, ServeError> {
    let directory = &config.node.data_dir;
    private_file::create_directory(directory).map_err(|source| unusable(directory, source))?;
    let world = node::world()?;
    let (settings, started) = (config.cluster.transport.clone(), OnceLock::new());
    let connect = |inbox: Arc<dyn Inbox>, incarnation: u64| {
        let world: Arc<dyn World> = Arc::clone(&world);
        let transport = Transport::start(world, inbox, settings, &certificates.nodes, incarnation, listener)
            .map_err(|error| error.to_string())?;
        let transport = started.get_or_init(|| Arc::new(transport));
        Ok(Arc::clone(transport) as Arc<dyn Network>)
    };
    let opened = node::open(
        config.settings(rejoin),
        Arc::clone(&world),
        directory,
        master_keys,
        (config.limits, traces(config, &world)?),
        connect,
    )?;
    let transport = started
        .into_inner()
        .ok_or_else(|| io::Error::other("the cluster was opened without its network"))?;
    Ok(Begun { opened, transport })
}

/// Begins to send traces, if they are wanted.
fn traces(config: &Config, world: &Arc<dyn World>) -> Result<Option<Traces>, ServeError> {
    let Some((settings, destination)) = files::collector(config)? else {
        return Ok(None);
    };
    let described = Described {
        node: config.node.id,
        cluster: config.cluster.id.as_ref().to_owned(),
    };
    let around: (_, Arc<dyn Clock>) = (Arc::clone(world), Arc::new(SystemClock));
    Ok(Some(Traces::start(settings, destination, &described, around)))
}

/// Waits until the node is ready, and says on standard error what it waits for.
async fn wait(config: &Config, cluster: &Cluster, notify: &Notify) -> Result<(), stator_cluster::Error> {
    let ready = cluster.ready();
    tokio::pin!(ready);
    let mut told = String::new();
    loop {
        tokio::select! {
            ready = &mut ready => return ready,
            () = tokio::time::sleep(WAITING_INTERVAL) => {
                let waiting = waiting_for(config, cluster);
                if waiting != told {
                    tracing::info!("waiting for {waiting}");
                    notify.status(&format!("waits for {waiting}"));
                    told = waiting;
                }
            }
        }
    }
}

/// Lets the node stay, if it is leaving. If that does not succeed it serves all the same, and goes on leaving.
async fn stay(config: &Config, cluster: &Cluster) {
    let node = NodeId(config.node.id);
    if !cluster.status().moves.leaving.contains(&node) {
        return;
    }
    match cluster.undrain(node).await {
        Ok(()) => tracing::info!("the node was leaving the cluster, and stays"),
        Err(error) => tracing::warn!(%error, "the node leaves the cluster, and could not be made to stay"),
    }
}

/// Which nodes of the configuration are not there yet.
fn waiting_for(config: &Config, cluster: &Cluster) -> String {
    let status = cluster.status();
    let alive = |id: u64| {
        status
            .nodes
            .iter()
            .any(|node| node.node.0 == id && matches!(node.liveness, Liveness::Alive))
    };
    let missing: Vec<String> = config
        .cluster
        .nodes
        .iter()
        .filter(|known| known.id != config.node.id && !alive(known.id))
        .map(|known| format!("node {} at {}", known.id, known.address))
        .collect();
    if missing.is_empty() {
        "leaders of the metadata and of the ranges of this node".to_owned()
    } else {
        missing.join(", ")
    }
}

/// Fetches the master keys of a configuration whenever it is called.
fn fetch_again(config: &Config) -> FetchMasterKeys {
    let (security, data) = (config.security.clone(), node::data_of(&config.node.data_dir));
    Arc::new(move || {
        let (security, data) = (security.clone(), data.clone());
        Box::pin(async move {
            let keys = fetch::master_keys(&security, &data).await;
            keys.map_err(|error| error.to_string())
        })
    })
}

/// Opens the audit log.
fn start_audit(config: &Config, settings: &AuditSettings) -> Result<AuditLog, ServeError> {
    let region = config.http.region.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let told_by = Arc::clone(&clock);
    let tell_dropped = Box::new(move |count| dropped_lines(&region, told_by.now_ms(), random::fill, count));
    AuditLog::start(settings.clone(), clock, tell_dropped).map_err(|source| ServeError::Audit {
        path: settings.file.clone(),
        source,
    })
}

/// Takes certificates into use when their files change.
struct Renewal {
    config: Config,
    certificates: Certificates,
    tls: ServerTls,
    transport: Arc<Transport>,
    expiry: Arc<Expiry>,
    /// SIGHUP: an operator does not want to wait.
    hang_up: Signal,
}

impl Renewal {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(CERTIFICATES_INTERVAL) => {}
                _ = self.hang_up.recv() => {}
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let found = match Certificates::read(&self.config) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the certificates in use stay");
                return;
            }
        };
        // While files are being copied, one may not fit the other: the next round sees them all.
        let renewed = self.certificates.renew(
            found,
            |nodes| self.transport.reload(nodes).map_err(|error| error.to_string()),
            |clients| self.tls.replace(clients).map_err(|error| error.to_string()),
        );
        if renewed.is_empty() {
            return;
        }
        for (of, renewed) in renewed {
            match renewed {
                Ok(()) => tracing::info!("the certificates {of} were read again"),
                Err(error) => {
                    tracing::warn!(%error, "changed certificates {of} are of no use; those in use stay");
                }
            }
        }
        let Certificates { nodes, clients, .. } = &self.certificates;
        if let Err(error) = self.expiry.note(&nodes.certificate_pem, clients) {
            tracing::warn!(%error, "it is not known when the certificates expire");
        }
    }
}

/// Is ready on ctrl-C or SIGTERM, and at the end of standard input if that is asked for.
fn stop(until_stdin_ends: bool) -> io::Result<impl Future<Output = ()>> {
    let signal = node::stop_signal()?;
    let ended = until_stdin_ends.then(stdin_end).transpose()?;
    Ok(async move {
        match ended {
            Some(ended) => tokio::select! {
                () = signal => {}
                _ = ended => {}
            },
            None => signal.await,
        }
    })
}

/// Is ready when standard input ends. A thread of its own reads it, because tokio would wait for its reader at the end of the
/// process.
fn stdin_end() -> io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut input = io::stdin().lock();
            let mut buffer = [0; 256];
            while matches!(input.read(&mut buffer), Ok(count) if count > 0) {}
            drop(end);
        })?;
    Ok(ended)
}

/// Says that the node is ready and how to reach it.
fn announce(json: bool, config: &Config, endpoint: &str) -> io::Result<()> {
    let ready = Ready {
        node: config.node.id,
        endpoint: format!("https://{endpoint}"),
        pid: std::process::id(),
        data_dir: &config.node.data_dir,
    };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &ready)?;
        writeln!(out)?;
    } else {
        writeln!(out, "Node {} of {} is ready.\n", ready.node, config.cluster.id)?;
        writeln!(out, "  endpoint    {}", ready.endpoint)?;
        writeln!(out, "  region      {}", config.http.region)?;
        writeln!(out, "  authority   {}", config.security.ca.display())?;
        writeln!(
            out,
            "  root key    {}",
            config.security.root_credentials.display()
        )?;
        writeln!(out, "  data        {}", ready.data_dir.display())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests;
