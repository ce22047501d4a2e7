//! Compare-and-set of a cell of the cluster's metadata, tried until its outcome is known.

use bytes::Bytes;
use stator_cluster::{Cluster, ConsistencyLevel, Error, WriteOptions};

use crate::command::{Fits, Install};

/// How often a change is tried again when others come first, and how often a write whose outcome is not known is.
pub(crate) const TRIES: u32 = 16;

/// Replaces a cell. `false` when it is not as expected, and not as wanted either.
///
/// A try whose outcome is not known may have taken effect, and so may one that was sent twice on the way; both are told by
/// the cell being as wanted. Somebody else who wants the same gets the same answer.
///
/// # Errors
/// As [`Cluster::write`].
pub(crate) async fn install(
    cluster: &Cluster,
    key: &[u8],
    expected: Option<Bytes>,
    cell: Option<Bytes>,
) -> Result<bool, Error> {
    let metadata = cluster.metadata();
    let install = Install { expected, cell };
    let mut unknown = Error::OutcomeUnknown {
        cause: "the change was not tried".to_owned(),
    };
    for _ in 0..TRIES {
        match cluster
            .write(metadata, key, WriteOptions::default(), &install)
            .await
        {
            Ok(Fits(true)) => return Ok(true),
            Ok(Fits(false)) => {
                let level = ConsistencyLevel::Quorum;
                return Ok(cluster.read(metadata, key, level).await? == install.cell);
            }
            // Trying again is safe: what is expected now was expected before.
            Err(error @ Error::OutcomeUnknown { .. }) => unknown = error,
            Err(error) => return Err(error),
        }
    }
    Err(unknown)
}
