//! A running node: its part of the cluster, the API on top of it, and how both begin and end. What `stator dev` and
//! `stator serve` have in common.
//!
//! Invariant: a node ends in the order in which nobody notices: leaderships are handed over while it still serves, then
//! requests under way are answered, then the data is closed. A node whose disk has failed ends at once. Not here: options, files, what is printed.

use std::io;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::RangeBits;
use stator_cluster::{
    Alone, Cluster, Durability, Founder, Inbox, MasterKey, MasterKeys, MoveSettings, Network, NodeId,
    NodeSettings, PosixVfs, Random, ScrubSettings, Settings, Surroundings, Timing, TokioWorld, Vfs, World,
};
use stator_iam::directory::sealing::WrappingKey;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::archivist::Archivist;
use crate::audit::AuditLog;
use crate::auth::Authenticator;
use crate::backup::{BackupSettings, Backups, archive_keys};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::{Clock, SystemClock};
use crate::clock_watch::ClockWatch;
use crate::command::WriteCommands;
use crate::config::{self, Rotation};
use crate::derive::Derivations;
use crate::desk::PAUSE;
use crate::disk::TimedDisk;
use crate::health::Health;
use crate::http::guard::Guard;
use crate::http::limits::HttpLimits;
use crate::http::serve::{Security, serve};
use crate::http::{App, router};
use crate::identity::error::IdentityError;
use crate::identity::store::{Identities, IdentitySettings};
use crate::keys::{FetchMasterKeys, Keys};
use crate::limits::Limits;
use crate::metrics::{Sources, SyncMetrics, Telling};
use crate::object_store::Buckets;
use crate::operation::Context;
use crate::random;
use crate::request_id::RequestIds;
use crate::throttle::Throttle;
use crate::tls::Expiry;
use crate::trace::Traces;
use crate::transfer::Transfers;
use crate::transfer::porter::Porter;
use crate::upkeep::{Upkeep, UpkeepSettings};

/// How long handing over leaderships may take on a planned stop; the cluster elects others by itself afterwards.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(10);

/// The id of the cluster that each node is that is alone.
const ALONE: &str = "dev";

/// Directory of the engine within a node's data directory.
const DATA: &str = "data";

/// Why a node did not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error("cannot open the data in {}: {source}", path.display())]
    Open {
        path: PathBuf,
        source: stator_cluster::Error,
    },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the users and policies cannot be read: {0}")]
    Identity(#[from] IdentityError),
    #[error(
        "the node stopped because it cannot go on: {cause}; what was acknowledged is in the log: start it again when the cause \
         is gone"
    )]
    Failed { cause: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The world of a process: to be made inside of its tokio runtime.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(crate) fn world() -> io::Result<Arc<dyn World>> {
    let world: Arc<dyn World> = Arc::new(TokioWorld::new(Handle::current())?);
    #[cfg(feature = "fault-injection")]
    let world = crate::fault_injection::world(world);
    Ok(world)
}

/// The disk of a process, whose syncs are timed.
fn disk(world: &Arc<dyn World>, syncs: &Arc<SyncMetrics>) -> Arc<dyn Vfs> {
    let disk: Arc<dyn Vfs> = Arc::new(PosixVfs);
    #[cfg(feature = "fault-injection")]
    let disk = crate::fault_injection::disk(disk);
    Arc::new(TimedDisk::new(disk, Arc::clone(world), Arc::clone(syncs)))
}

/// Where the engine's files of a data directory lie.
pub(crate) fn data_of(directory: &Path) -> PathBuf {
    directory.join(DATA)
}

/// Opens the data of a node and starts its part of the cluster. `connect` makes the way to other nodes.
///
/// # Errors
/// [`NodeError::Open`] when the data cannot be used or the network cannot be made.
pub(crate) fn open(
    settings: NodeSettings,
    world: Arc<dyn World>,
    directory: &Path,
    master_keys: MasterKeys,
    (limits, traces): (Limits, Option<Traces>),
    connect: impl FnOnce(Arc<dyn Inbox>, u64) -> Result<Arc<dyn Network>, String>,
) -> Result<Opened, NodeError> {
    let path = data_of(directory);
    let (wrapping, archive_keys) = (wrapping_keys(&master_keys), archive_keys(&master_keys));
    let derivations = Arc::new(Derivations::new(limits));
    let syncs = Arc::default();
    let around = Surroundings {
        disk: disk(&world, &syncs),
        world,
        directory: path.clone(),
        random: Random::new(random::fill),
        master_keys,
        clock: None,
        driven: false,
        commands: Arc::new(WriteCommands::new(Arc::clone(&derivations))),
        tracer: traces.as_ref().map(Traces::tracer),
    };
    let cluster = Cluster::open(settings, around, connect);
    let cluster = cluster.map_err(|source| NodeError::Open { path, source })?;
    Ok(Opened {
        cluster,
        derivations,
        wrapping,
        archive_keys,
        traces,
        syncs,
    })
}

/// What the sealing keys of users' secrets are wrapped with, which follows from the master keys.
pub(crate) fn wrapping_keys(master_keys: &MasterKeys) -> Vec<WrappingKey> {
    let derive = |key: &MasterKey| WrappingKey::derive(key.id().to_string(), key.to_hex().as_bytes());
    master_keys.all().map(derive).collect()
}

/// A node's part of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) cluster: Cluster,
    /// What its leaders derive from items; nothing until the catalog shows them the definitions.
    pub(crate) derivations: Arc<Derivations>,
    /// What secrets of users are sealed under: of the current master key, then of older ones.
    pub(crate) wrapping: Vec<WrappingKey>,
    /// The same for what the key of the archive is wrapped with.
    pub(crate) archive_keys: Vec<stator_archive::WrappingKey>,
    /// Which requests are traced, if any are.
    pub(crate) traces: Option<Traces>,
    /// How long syncs of its disk take.
    pub(crate) syncs: Arc<SyncMetrics>,
}

/// Opens the data of a node that is a cluster of one: its only founder, with no way to others.
///
/// # Errors
/// [`NodeError::Open`] when the data cannot be used.
pub(crate) fn open_alone(
    durability: Durability,
    directory: &Path,
    master_key: MasterKey,
    limits: Limits,
) -> Result<Opened, NodeError> {
    open_alone_traced(durability, directory, master_key, (limits, None))
}

/// The same with the traces of its requests, if they are to be.
///
/// # Errors
/// As [`open_alone`].
pub(crate) fn open_alone_traced(
    durability: Durability,
    directory: &Path,
    master_key: MasterKey,
    told: (Limits, Option<Traces>),
) -> Result<Opened, NodeError> {
    let founder = Founder {
        node: NodeId(1),
        address: "localhost".to_owned(),
    };
    let settings = NodeSettings {
        node: founder.node,
        cluster: config::cluster_uuid(ALONE),
        address: founder.address.clone(),
        zone: String::new(),
        rack: String::new(),
        capacity: NonZeroU32::MIN,
        founders: vec![founder],
        replication: NonZeroU8::MIN,
        range_bits: RangeBits::default(),
        rejoin: false,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        storage: Settings {
            durability,
            ..Settings::default()
        },
        timing: Timing::default(),
        gossip: GossipSettings::default(),
        moves: MoveSettings::default(),
        scrub: ScrubSettings::default(),
    };
    let connect = |_, _| Ok(Arc::new(Alone) as Arc<dyn Network>);
    let keys = MasterKeys::new(master_key);
    open(settings, world()?, directory, keys, told, connect)
}

/// What a node's API is to be like.
pub(crate) struct Api {
    /// The region that ARNs name.
    pub(crate) region: String,
    /// Host and port that clients reach.
    pub(crate) endpoint: String,
    pub(crate) authenticator: Authenticator,
    pub(crate) upkeep: UpkeepSettings,
    pub(crate) http_limits: HttpLimits,
    pub(crate) audit: Option<AuditLog>,
    /// Where backups are, if there are to be any.
    pub(crate) backup: Option<BackupSettings>,
    /// Where buckets are, if tables are to be exported and imported, and how many bytes of items each moves in a second.
    pub(crate) object_store: Option<(Buckets, u64)>,
    /// Fetches the master keys anew; without it they stay what they are.
    pub(crate) fetch: Option<FetchMasterKeys>,
    pub(crate) rotation: Rotation,
    pub(crate) limits: Limits,
    pub(crate) health: Arc<Health>,
    /// From when on a request is slow, and logged.
    pub(crate) slow_request: Option<Duration>,
}

/// Opens what lies in the metadata. A node that has no copy of them yet reads another one's: when that hangs, or is not there any
/// more, another one may answer the next time.
async fn patiently<T, E: std::fmt::Display>(
    what: &str,
    is_unavailable: fn(&E) -> bool,
    open: impl AsyncFn() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        match open().await {
            Err(error) if is_unavailable(&error) => {
                tracing::warn!(%error, "{what} cannot be read yet; another try follows");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// The API over a cluster that is ready. Waits as long as nobody can be asked for the metadata.
///
/// # Errors
/// [`NodeError::Catalog`] when the tables cannot be read, [`NodeError::Identity`] when the users cannot.
pub(crate) async fn app(opened: &Opened, api: Api) -> Result<Arc<App>, NodeError> {
    let cluster = &opened.cluster;
    let open = async || Catalog::open(cluster.clone(), Arc::clone(&opened.derivations)).await;
    let catalog = patiently("the tables", CatalogError::is_unavailable, open).await?;
    tokio::spawn(Catalog::follow(Arc::downgrade(&catalog)));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let upkeep = Upkeep {
        cluster: cluster.clone(),
        catalog: Arc::clone(&catalog),
        clock: Arc::clone(&clock),
        settings: api.upkeep,
    };
    upkeep.start();
    let backups = api
        .backup
        .map(|settings| Backups::new(cluster.clone(), settings, opened.archive_keys.clone()));
    let transfers = api
        .object_store
        .map(|(buckets, rate)| Transfers::new(cluster.clone(), buckets, rate));
    if let Some(transfers) = &transfers {
        let transfers = Arc::clone(transfers);
        let porter = Porter::new(upkeep.clone(), transfers, &api.region, random::fill);
        tokio::spawn(porter.run());
    }
    let settings = || IdentitySettings {
        wrapping: opened.wrapping.clone(),
        clock: Arc::clone(&clock),
        random: random::fill,
    };
    let open = async || Identities::open(cluster.clone(), settings()).await;
    let identities = patiently("the users and policies", IdentityError::is_unavailable, open).await?;
    let archivist = Archivist::new(upkeep, backups.clone()).knowing(&identities);
    tokio::spawn(archivist.run());
    let keys =
        Keys::new(cluster.clone(), Arc::clone(&clock), api.fetch).wrapping(&identities, backups.clone());
    tokio::spawn(keys.clone().keep(api.rotation));
    let clocks = ClockWatch::start(cluster.clone());
    let throttle = api.limits.throughput.then(|| {
        let throttle = Arc::new(Throttle::new(api.region.clone(), Arc::clone(&clock)));
        tokio::spawn(Throttle::follow(Arc::downgrade(&throttle), cluster.clone()));
        throttle
    });
    Ok(Arc::new(App {
        context: Context {
            catalog,
            cluster: cluster.clone(),
            backups,
            transfers,
            region: api.region,
            endpoint: api.endpoint,
            throttle,
            limits: api.limits,
            clock,
            random: random::fill,
        },
        authenticator: api.authenticator.knowing(&identities),
        identities,
        health: api.health,
        request_ids: RequestIds::new(seed()?),
        guard: Guard::new(api.http_limits),
        operations: Arc::default(),
        syncs: Arc::clone(&opened.syncs),
        clocks,
        keys,
        audit: api.audit,
        slow_request: api.slow_request,
        traces: opened.traces.clone(),
    }))
}

/// Where a node listens.
pub(crate) struct Listeners {
    /// For clients.
    pub(crate) clients: TcpListener,
    pub(crate) security: Security,
    /// For whoever collects its numbers, if it is to tell them.
    pub(crate) telling: Option<Telling>,
    /// When the certificates in use expire, if there are any.
    pub(crate) expiry: Option<Arc<Expiry>>,
}

/// Serves until `stop` is ready or the node fails, and ends the node.
///
/// # Errors
/// [`NodeError::Failed`] when it had to stop, [`NodeError::Open`] when the last writes could not be synced.
pub(crate) async fn run(
    app: Arc<App>,
    listeners: Listeners,
    directory: &Path,
    stop: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    let cluster = app.context.cluster.clone();
    let (guard, audit, health) = (Arc::clone(&app.guard), app.audit.clone(), Arc::clone(&app.health));
    let traces = app.traces.clone();
    if let Some(telling) = &listeners.telling {
        telling.serves(Sources {
            cluster: cluster.clone(),
            guard: Arc::clone(&guard),
            audit: audit.clone(),
            throttle: app.context.throttle.clone(),
            operations: Arc::clone(&app.operations),
            syncs: Arc::clone(&app.syncs),
            clocks: Arc::clone(&app.clocks),
            catalog: Arc::clone(&app.context.catalog),
            backups: app.context.backups.clone(),
            transfers: app.context.transfers.clone(),
            clock: Arc::clone(&app.context.clock),
            expiry: listeners.expiry.clone(),
            traces: traces.clone(),
        });
    }
    health.serves(cluster.clone());
    let serving = serve(listeners.clients, listeners.security, router(app), guard, async {
        stop.await;
        // First of all, so that whoever sends requests turns to others while they are still answered here.
        health.stops();
        if tokio::time::timeout(HAND_OVER_TIMEOUT, cluster.hand_over())
            .await
            .is_err()
        {
            tracing::warn!("other nodes have not taken over everything; they elect leaders by themselves");
        }
    });
    let failure = tokio::select! {
        () = serving => None,
        // Requests under way are not waited for: they wait for the disk themselves, and as long as this process is there
        // others take its replicas for leaders.
        cause = cluster.failed() => {
            health.fails();
            Some(cause)
        }
    };
    drop(listeners.telling);
    if let Some(audit) = audit {
        tokio::task::spawn_blocking(move || audit.close())
            .await
            .map_err(io::Error::other)?;
    }
    if let Some(traces) = traces {
        traces.close().await;
    }
    if let Some(cause) = failure {
        return Err(NodeError::Failed { cause });
    }
    close(&cluster, directory).await
}

/// Closes the data of a node.
///
/// # Errors
/// [`NodeError::Open`] when the last writes could not be synced.
pub(crate) async fn close(cluster: &Cluster, directory: &Path) -> Result<(), NodeError> {
    let closing = cluster.clone();
    let closed = tokio::task::spawn_blocking(move || closing.close())
        .await
        .map_err(io::Error::other)?;
    closed.map_err(|source| NodeError::Open {
        path: data_of(directory),
        source,
    })
}

fn seed() -> io::Result<[u64; 4]> {
    let mut seed = [0; 4];
    for word in &mut seed {
        let mut bytes = [0; 8];
        random::fill(&mut bytes)?;
        *word = u64::from_le_bytes(bytes);
    }
    Ok(seed)
}

/// Is ready on ctrl-C or SIGTERM.
///
/// # Errors
/// When the signals cannot be waited for.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_metadata_that_nobody_can_tell_and_not_for_those_that_are_damaged() {
        let tries = AtomicUsize::new(0);
        let is_away = |error: &&str| *error == "away";
        let open = async || match tries.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err("away"),
            _ => Ok(7),
        };
        assert_eq!(patiently("it", is_away, open).await, Ok(7));
        assert_eq!(tries.load(Ordering::Relaxed), 3);
        let damaged = async || Err::<(), _>("damaged");
        assert_eq!(patiently("it", is_away, damaged).await, Err("damaged"));
    }
}
