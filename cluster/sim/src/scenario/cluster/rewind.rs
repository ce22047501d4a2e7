//! Versions of the accounts of the bank, and the bank as it was at a time.
//!
//! Invariant: every write of an account has one version, beside the account. Not here: who looks, and what is made of it
//! (`bank.rs`).

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use stator_cluster::{
    Action, Bounds, CellChange, Cluster, ConsistencyLevel, DerivedRow, Direction, Error, Growth, Keyspace,
    Route, Value, version_of,
};

use super::bank::BANK;

/// The keyspace of the versions.
pub(super) const HISTORY: &str = "bank-history";

/// What the version of an account that is there begins with.
const THERE: &[u8] = b"P";
/// The version of one that is not.
const GONE: &[u8] = b"R";

/// The version that follows from a change, if it is one of an account.
pub(super) fn version(change: &CellChange<'_>) -> Option<DerivedRow> {
    let value = Value {
        head: Bytes::from_static(if change.after.is_some() { THERE } else { GONE }),
        with_cell: change.after.is_some(),
    };
    (change.keyspace == BANK).then(|| DerivedRow {
        keyspace: HISTORY.into(),
        key: Bytes::copy_from_slice(change.key),
        route: Route::Beside,
        action: Action::Version { at_ms: None, value },
        growth: Growth::By(1, 0),
    })
}

/// All accounts by their keys as they were so long before the last write, in milliseconds.
pub(super) async fn rewind(
    cluster: &Cluster,
    history: Keyspace,
    back_ms: u64,
) -> Result<BTreeMap<Vec<u8>, Bytes>, Error> {
    let latest_ms = cluster.close_time(0).await?;
    let at_ms = latest_ms.saturating_sub(back_ms);
    cluster.close_time(at_ms).await?;
    let everything = Bounds {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
    let mut newest = BTreeMap::new();
    let (forward, level) = (Direction::Forward, ConsistencyLevel::Quorum);
    cluster
        .range(history, &everything, forward, level, |row| {
            if let Some((key, version_ms, _)) = version_of(row.key())
                && version_ms <= at_ms
            {
                newest.entry(key.to_vec()).or_insert_with(|| row.to_cell());
            }
            ControlFlow::Continue(())
        })
        .await?;
    let there = newest.into_iter().filter(|(_, cell)| cell.starts_with(THERE));
    Ok(there
        .map(|(key, cell)| (key, cell.slice(THERE.len()..)))
        .collect())
}
