//! Where a node's data lies and what it is encrypted with, for commands that work without a running node.
//!
//! Invariant: nothing is made; what is not there is an error that names it.

use std::io;
use std::path::PathBuf;

use clap::Args;
use stator_cluster::{MasterKey, MasterKeys};

use super::files::{self, FileError};
use super::master_key;
use super::master_key::fetch::{self, KeyError};
use crate::config::Config;
use crate::node;

/// See the head of the file.
#[derive(Debug, Args)]
pub(super) struct DataPlace {
    /// Data directory of the node
    #[arg(long, default_value = "./stator-data", conflicts_with = "config")]
    data_dir: PathBuf,
    /// File with the master key; by default the one in the data directory
    #[arg(long, conflicts_with = "config")]
    master_key: Option<PathBuf>,
    /// Configuration of the node, which says where its data lies and where the master key comes from
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Why nothing can be done with the data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataPlaceError {
    #[error("cannot read the master key {}: {source}", path.display())]
    MasterKey { path: PathBuf, source: io::Error },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Source(#[from] KeyError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What was found.
pub(super) struct Found {
    /// As it was named.
    pub(super) data_dir: PathBuf,
    pub(super) master_keys: MasterKeys,
    /// If one was named.
    pub(super) config: Option<Config>,
}

impl DataPlace {
    /// Reads the configuration and the master keys.
    ///
    /// # Errors
    /// [`DataPlaceError`] when one of them cannot be had.
    pub(super) fn find(&self) -> Result<Found, DataPlaceError> {
        let Some(path) = &self.config else {
            return Ok(Found {
                data_dir: self.data_dir.clone(),
                master_keys: MasterKeys::new(self.master_key()?),
                config: None,
            });
        };
        let config = files::config(path)?;
        let data_dir = config.node.data_dir.clone();
        let master_keys = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(fetch::master_keys(&config.security, &node::data_of(&data_dir)))?;
        Ok(Found {
            data_dir,
            master_keys,
            config: Some(config),
        })
    }

    fn master_key(&self) -> Result<MasterKey, DataPlaceError> {
        let own = || self.data_dir.join(master_key::FILE);
        let path = self.master_key.clone().unwrap_or_else(own);
        let read = std::fs::read_to_string(&path)
            .and_then(|text| text.parse::<MasterKey>().map_err(io::Error::other));
        read.map_err(|source| DataPlaceError::MasterKey { path, source })
    }
}
