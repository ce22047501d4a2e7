//! `stator dev`: one node on loopback, ready in a moment, for development and tests.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stator_cluster::Durability;
use stator_iam::Transport;
use tokio::net::TcpListener;

use super::credentials::{self, KeyPair};
use super::master_key;
use crate::auth::{self, Authenticator};
use crate::backup::BackupSettings;
use crate::clock::SystemClock;
use crate::config::Rotation;
use crate::health::Health;
use crate::http::limits::HttpLimits;
use crate::http::serve::Security;
use crate::limits::Limits;
use crate::log::{LogFormat, LogSettings};
use crate::node::{self, Api, Listeners, NodeError};
use crate::object_store::{Buckets, ObjectStoreSettings};
use crate::random;
use crate::upkeep::UpkeepSettings;

/// Options of `stator dev`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Loopback address to listen on; this mode is not for networks
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Listen on other addresses, too, in plain HTTP, as a container has to: whoever reaches the port may do everything,
    /// unless --auth is given
    #[arg(long)]
    allow_remote: bool,
    /// Directory of the data; made when it is not there
    #[arg(long, default_value = "./stator-data", conflicts_with = "ephemeral")]
    data_dir: PathBuf,
    /// Keep the data in a directory that goes with the process
    #[arg(long)]
    ephemeral: bool,
    /// When a write is answered: after the log is synced, or after it is written, with a sync every 100 ms
    #[arg(long, value_enum, default_value_t = DurabilityOption::Interval)]
    durability: DurabilityOption,
    /// Accept only requests signed with the printed key pair for this region
    #[arg(long)]
    auth: bool,
    /// Region that ARNs name
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Hold tables to their provisioned throughput and on-demand maximums
    #[arg(long)]
    throttle: bool,
    /// How lines of the log look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// Print one line of JSON when ready
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum DurabilityOption {
    /// Survives a power cut
    Sync,
    /// Survives the end of the process; a power cut loses at most 100 ms
    Interval,
}

impl From<DurabilityOption> for Durability {
    fn from(option: DurabilityOption) -> Self {
        match option {
            DurabilityOption::Sync => Self::Sync,
            DurabilityOption::Interval => Self::Interval,
        }
    }
}

/// Why the node did not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error("cannot listen on {address}: {source}; is another server running there? choose one with --port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "{host} is not a loopback address; `stator dev` speaks plain HTTP and serves this machine only, unless \
         --allow-remote says that the network is safe"
    )]
    NotLoopback { host: IpAddr },
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataDirectory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is printed when the node is ready; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    endpoint: String,
    region: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    data_dir: &'a Path,
    pid: u32,
}

/// Refuses addresses that others reach, unless that is asked for.
fn check_host(host: IpAddr, allow_remote: bool) -> Result<(), DevError> {
    if host.is_loopback() || allow_remote {
        Ok(())
    } else {
        Err(DevError::NotLoopback { host })
    }
}

/// Runs the node until it is told to stop.
pub(crate) fn run(options: &Options) -> Result<(), DevError> {
    check_host(options.host, options.allow_remote)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run_node(options))
}

async fn run_node(options: &Options) -> Result<(), DevError> {
    // Listening comes first: a second node on the same port must not touch the data.
    let address = SocketAddr::new(options.host, options.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| DevError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let ephemeral = if options.ephemeral {
        Some(tempfile::Builder::new().prefix("stator-").tempdir()?)
    } else {
        None
    };
    let directory = match &ephemeral {
        Some(directory) => directory.path().to_owned(),
        None => data_directory(&options.data_dir)?,
    };
    let keys =
        credentials::load_or_make(&directory, random::fill).map_err(|source| DevError::DataDirectory {
            path: directory.clone(),
            source,
        })?;
    let opened = open_cluster(&directory, options.durability)?;
    opened.cluster.ready().await.map_err(|source| NodeError::Open {
        path: node::data_of(&directory),
        source,
    })?;
    let api = Api {
        region: options.region.clone(),
        endpoint: address.to_string(),
        authenticator: authenticator(options, &keys),
        upkeep: UpkeepSettings {
            sweep_interval_ms: SWEEP_INTERVAL_MS,
            ..UpkeepSettings::default()
        },
        http_limits: HttpLimits::for_development(),
        audit: None,
        backup: Some(BackupSettings::new(directory.join(BACKUPS))),
        object_store: Some(buckets(&directory)),
        fetch: None,
        rotation: Rotation::default(),
        limits: limits(options),
        health: Health::new(Arc::new(SystemClock)),
        slow_request: LogSettings::default().slow_request(),
    };
    let app = node::app(&opened, api).await?;
    let stop = node::stop_signal()?;
    announce(options, address, &directory, &keys)?;
    let listeners = Listeners {
        clients: listener,
        security: Security::Plain,
        telling: None,
        expiry: None,
    };
    Ok(node::run(app, listeners, &directory, stop).await?)
}

/// Exports go to folders of a directory within the data directory, and imports come from there.
fn buckets(directory: &Path) -> (Buckets, u64) {
    let path = directory.join(BUCKETS);
    let rate = ObjectStoreSettings::new(path.clone()).bytes_per_second;
    (Buckets::in_directory(path), rate)
}

/// The directory of buckets within the data directory.
const BUCKETS: &str = "buckets";

/// The archive of backups within the data directory.
pub(super) const BACKUPS: &str = "backups";

/// Whoever develops does not wait long for an item to go that is due.
const SWEEP_INTERVAL_MS: u64 = 1000;

fn limits(options: &Options) -> Limits {
    Limits {
        throughput: options.throttle,
        ..Limits::default()
    }
}

fn data_directory(path: &Path) -> Result<PathBuf, DevError> {
    std::fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .map_err(|source| DevError::DataDirectory {
            path: path.to_owned(),
            source,
        })
}

fn open_cluster(directory: &Path, durability: DurabilityOption) -> Result<node::Opened, DevError> {
    let data = node::data_of(directory);
    let master_key = master_key::load_or_make(directory, &data, random::fill).map_err(|source| {
        DevError::DataDirectory {
            path: directory.to_owned(),
            source,
        }
    })?;
    Ok(node::open_alone(
        durability.into(),
        directory,
        master_key,
        Limits::default(),
    )?)
}

fn authenticator(options: &Options, keys: &KeyPair) -> Authenticator {
    if options.auth {
        Authenticator::of_root(
            &keys.access_key_id,
            keys.secret.clone(),
            options.region.clone(),
            Transport::Plain,
        )
    } else {
        Authenticator::AnyWellFormed(Arc::new(auth::root(&keys.access_key_id)))
    }
}

/// Says that the node is ready and how to reach it.
fn announce(options: &Options, address: SocketAddr, directory: &Path, keys: &KeyPair) -> io::Result<()> {
    let ready = Ready {
        endpoint: format!("http://{address}"),
        region: &options.region,
        access_key_id: &keys.access_key_id,
        secret_access_key: keys.secret.expose(),
        data_dir: directory,
        pid: std::process::id(),
    };
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &ready)?;
        writeln!(out)?;
    } else {
        let Ready {
            endpoint,
            region,
            access_key_id,
            secret_access_key,
            data_dir,
            ..
        } = &ready;
        writeln!(out, "Stator is ready.\n")?;
        writeln!(out, "  endpoint    {endpoint}")?;
        writeln!(out, "  region      {region}")?;
        writeln!(out, "  access key  {access_key_id}")?;
        writeln!(out, "  secret      {secret_access_key}")?;
        let note = if options.ephemeral {
            "  (goes with the process)"
        } else {
            ""
        };
        writeln!(out, "  data        {}{note}", data_dir.display())?;
        if !options.auth {
            writeln!(
                out,
                "\nAny key pair is accepted; --auth accepts only the one above."
            )?;
        }
        writeln!(out, "\nTry it:\n")?;
        writeln!(
            out,
            "  AWS_ACCESS_KEY_ID={access_key_id} AWS_SECRET_ACCESS_KEY={secret_access_key} \
             aws dynamodb list-tables --region {region} --endpoint-url {endpoint}\n"
        )?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_addresses_than_loopback_are_served_only_when_that_is_asked_for() {
        let check = |host: &str, allow_remote| check_host(host.parse().unwrap(), allow_remote);
        assert!(check("127.0.0.1", false).is_ok() && check("::1", false).is_ok());
        let refused = check("0.0.0.0", false).unwrap_err().to_string();
        assert!(refused.contains("not a loopback address"), "{refused}");
        assert!(check("0.0.0.0", true).is_ok());
    }
}
