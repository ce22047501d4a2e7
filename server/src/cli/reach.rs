//! How a command reaches the nodes of a cluster: as root, over TLS, with what a node's configuration says.
//!
//! Not here: one request (`ask.rs`).

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::ClientConfig;

use super::ask::Asker;
use super::credentials::KeyPair;
use super::files::{self, FileError};
use super::status::endpoint_of;
use crate::config::{Config, HostPort};
use crate::tls::{self, TlsError};

/// Options of commands that ask nodes.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Configuration of a node of the cluster; names its address and the root principal's key pair
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// Node to be asked instead, such as https://db-2:8000
    #[arg(long, value_name = "URL")]
    pub(super) endpoint: Option<String>,
    /// Authority of the nodes' certificates for clients, when it is not the cluster's own
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// All that is needed to ask.
pub(super) struct Reached {
    pub(super) config: Config,
    keys: KeyPair,
    tls: Arc<ClientConfig>,
    /// The node that the command is about.
    pub(super) endpoint: String,
}

impl Reach {
    /// Reads the configuration and what it names.
    ///
    /// # Errors
    /// [`ReachError`] when a file is of no use.
    pub(super) fn read(&self) -> Result<Reached, ReachError> {
        self.with(files::config(&self.config)?)
    }

    /// The same with a configuration that was read already.
    ///
    /// # Errors
    /// As [`Reach::read`].
    pub(super) fn with(&self, config: Config) -> Result<Reached, ReachError> {
        let keys = files::root_keys(&config)?;
        let authority = files::authority(self.ca.as_ref().unwrap_or(&config.security.ca))?;
        let endpoint = self.endpoint.clone();
        Ok(Reached {
            endpoint: endpoint.unwrap_or_else(|| endpoint_of(config.http.listen)),
            keys,
            tls: tls::client(&authority)?,
            config,
        })
    }
}

impl Reached {
    /// Asks the node that the command is about.
    pub(super) fn asker(&self) -> Asker<'_> {
        self.asker_of(&self.endpoint)
    }

    /// Asks another node.
    pub(super) fn asker_of<'a>(&'a self, endpoint: &'a str) -> Asker<'a> {
        Asker {
            endpoint,
            tls: Arc::clone(&self.tls),
            keys: &self.keys,
            region: &self.config.http.region,
        }
    }
}

/// The same host with another port.
///
/// # Errors
/// A sentence, when `address` is no address of a node.
pub(super) fn with_port(address: &str, port: u16) -> Result<HostPort, String> {
    address.parse::<HostPort>().map(|address| address.with_port(port))
}
