//! Requests that took long, in the log: which operation on which table, and where the time went.

use std::time::Duration;

use stator_cluster::follow;

use super::Trail;
use crate::wire::target::Target;

/// Tells of a request that took long. `read` is how long its body took to come.
pub(super) fn tell(trail: &Trail, took: Duration, read: Option<Duration>, error: Option<&str>) {
    let seen = follow::followed().unwrap_or_default();
    let table = trail.table.get();
    let slowest = seen.slowest;
    let ms = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(
        operation = trail.target.map(Target::name),
        table = table.map(|table| table.name.as_str()),
        principal = trail.principal.as_ref().map(|principal| principal.arn.as_str()),
        error,
        took_ms = ms(took),
        body_ms = read.map(ms),
        cluster_operations = seen.operations,
        cluster_ms = ms(seen.took),
        slowest_ms = slowest.map(|hop| ms(hop.took)),
        slowest_range = slowest.and_then(|hop| hop.range).map(|range| u64::from(range.0)),
        slowest_node = slowest.map(|hop| hop.node.0),
        slowest_tries = slowest.map(|hop| u64::try_from(hop.tries).unwrap_or(u64::MAX)),
        "a request was slow"
    );
}
