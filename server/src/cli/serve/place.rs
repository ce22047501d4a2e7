//! What one node has for itself, from options and the environment, and the configuration that comes of it.
//!
//! Not here: what wins over the file (`config/place.rs`), numbers that follow each other (`number.rs`).

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use stator_cluster::NodeId;

use super::{ServeError, number, unusable};
use crate::cli::files;
use crate::cli::files::FileError;
use crate::config::place::{Place, node_of_name};
use crate::config::{Config, HostPort};

/// What this node has for itself when nodes share a configuration: instead of `[node]` of the file.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlaceOptions {
    /// Number of the node
    #[arg(long, value_name = "N", env = "STATOR_NODE_ID", value_parser = clap::value_parser!(u64).range(1..))]
    node_id: Option<u64>,
    /// Name of the node, which ends with its number less one, like the pods of a stateful set: stator-0 is node 1
    #[arg(long, value_name = "NAME", env = "STATOR_NODE_NAME", conflicts_with = "node_id", value_parser = node_of_name)]
    node_name: Option<u64>,
    /// Where other nodes reach the node
    #[arg(long, value_name = "HOST:PORT", env = "STATOR_NODE_ADDRESS")]
    address: Option<HostPort>,
    /// Zone that the node is in
    #[arg(long, env = "STATOR_NODE_ZONE")]
    zone: Option<String>,
    /// Rack that the node is in
    #[arg(long, env = "STATOR_NODE_RACK")]
    rack: Option<String>,
    /// Directory of the node's data
    #[arg(long, value_name = "D", env = "STATOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

/// Why a file is no configuration for a node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataDirectory { path: PathBuf, source: io::Error },
}

impl PlaceOptions {
    /// What wins over a file.
    pub(in crate::cli) fn place(&self) -> Place {
        Place {
            node: self.node_id.or(self.node_name),
            address: self.address.clone(),
            zone: self.zone.clone(),
            rack: self.rack.clone(),
            data_dir: self
                .data_dir
                .clone()
                .map(|path| std::path::absolute(&path).unwrap_or(path)),
        }
    }

    /// Whether the node has its number from its name.
    pub(super) fn is_named(&self) -> bool {
        self.node_name.is_some()
    }

    /// The configuration of a file for this node.
    ///
    /// # Errors
    /// [`PlaceError::DataDirectory`] when the directory is that of another place.
    pub(in crate::cli) fn config(&self, path: &Path) -> Result<Config, PlaceError> {
        let config = files::config_for(path, &self.place())?;
        let Some(first) = self.node_name else {
            return Ok(config);
        };
        let directory = &config.node.data_dir;
        let number = number::of_place(directory, first).map_err(|source| PlaceError::DataDirectory {
            path: directory.clone(),
            source,
        })?;
        let place = Place {
            node: Some(number),
            ..self.place()
        };
        Ok(files::config_for(path, &place)?)
    }
}

/// Makes way for another node at the place of one that has left; gives what the operator is told.
///
/// # Errors
/// [`ServeError::DataDirectory`] when the directory cannot be read or written to.
pub(super) fn follow(data_dir: &Path, left: NodeId) -> Result<ServeError, ServeError> {
    let next = number::renew(data_dir, left).map_err(|source| unusable(data_dir, source))?;
    Ok(match next {
        Some(next) => ServeError::Renumbered { node: left, next },
        None => ServeError::LeftWithData {
            node: left,
            path: data_dir.to_owned(),
        },
    })
}
