//! What this node itself holds, without asking anybody: for comparing replicas.
//!
//! Invariant: the rows are those that are applied here, of one moment. Not here: reads that clients may see.

use std::ops::Bound;

use super::{Bounds, Cluster, Direction, Keyspace};
use crate::command::Cell;
use crate::error::Error;

impl Cluster {
    /// The rows of a keyspace that this node has applied, by their key bytes; of the metadata, also the cluster's own. They
    /// are all in memory at once.
    ///
    /// # Errors
    /// [`Error::Storage`] when the engine cannot read them.
    pub fn local_rows(&self, keyspace: Keyspace) -> Result<Vec<(Vec<u8>, Cell)>, Error> {
        let everything = Bounds {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        };
        let mut rows = self
            .node
            .open_rows(keyspace.id, &everything, Direction::Forward)?;
        let mut held = Vec::new();
        while rows.advance()? {
            held.push((rows.key().to_vec(), rows.value_shared().into_bytes()));
        }
        Ok(held)
    }
}
