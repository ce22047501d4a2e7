//! Throttling: tables and global indexes serve what they are provisioned for, or no more than their on-demand maximum.
//!
//! A request is let through while the buckets of what it touches have anything left, and pays when its cost is known. Each
//! node holds its share of every table's throughput, that of one of the nodes that are alive, so that no node asks another
//! one. Invariant: a table without a limit costs a request nothing. Not here: the buckets themselves (`throttle/bucket.rs`),
//! what operations cost (`operation/capacity.rs`).

mod bucket;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::{Cluster, Liveness};
use stator_model::index::IndexKind;
use stator_model::item::ItemRef;
use uuid::Uuid;

use self::bucket::Bucket;
use crate::arn;
use crate::catalog::{BillingMode, IndexStatus, OnDemandLimits, Table, TableIndex, Throughput};
use crate::clock::Clock;
use crate::operation::capacity::{Cost, UnitKind};

/// Buckets lie in so many maps, each with its lock.
const SHARDS: usize = 16;

/// How often the nodes are counted and buckets that are full are forgotten.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The buckets of a node.
#[derive(Debug)]
pub(crate) struct Throttle {
    clock: Arc<dyn Clock>,
    region: String,
    shards: [Mutex<HashMap<(Uuid, UnitKind), Held>>; SHARDS],
    /// How many nodes share the throughput.
    nodes: AtomicU32,
    refused_reads: AtomicU64,
    refused_writes: AtomicU64,
}

/// A bucket and the rate at which it was filled last.
#[derive(Debug)]
struct Held {
    bucket: Bucket,
    rate: f64,
}

/// A request is refused because a table or index has nothing left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) kind: UnitKind,
    pub(crate) is_index: bool,
    /// Whether the limit is an on-demand maximum; it is provisioned throughput otherwise.
    pub(crate) is_on_demand: bool,
    /// The ARN of the table or index.
    pub(crate) resource: String,
}

impl Throttled {
    /// `reason` of a ThrottlingReason: resource type, operation type, limit type. Source: service model of DynamoDB.
    pub(crate) fn reason(&self) -> String {
        format!(
            "{}{}{}",
            if self.is_index { "Index" } else { "Table" },
            match self.kind {
                UnitKind::Read => "Read",
                UnitKind::Write => "Write",
            },
            if self.is_on_demand {
                "MaxOnDemandThroughputExceeded"
            } else {
                "ProvisionedThroughputExceeded"
            }
        )
    }
}

/// What a request that was let through has paid already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permit {
    kind: UnitKind,
    /// Where, and how much; nothing where there is no limit.
    paid: Option<(Uuid, f64)>,
}

/// A table or global index under a limit.
struct Resource<'a> {
    id: Uuid,
    /// The index's name.
    index: Option<&'a str>,
    units_per_second: f64,
    is_on_demand: bool,
}

impl Throttle {
    /// With full buckets, for a node that is alone until [`Throttle::follow`] counts others.
    pub(crate) fn new(region: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            region,
            shards: Default::default(),
            nodes: AtomicU32::new(1),
            refused_reads: AtomicU64::new(0),
            refused_writes: AtomicU64::new(0),
        }
    }

    /// Counts the nodes that are alive and forgets buckets that are full, for as long as there is a throttle.
    pub(crate) async fn follow(throttle: Weak<Self>, cluster: Cluster) {
        while let Some(throttle) = throttle.upgrade() {
            let status = cluster.status();
            let alive = status
                .nodes
                .iter()
                .filter(|node| matches!(node.liveness, Liveness::Alive));
            throttle.share(alive.count());
            throttle.forget_full();
            drop(throttle);
            tokio::time::sleep(UPKEEP_INTERVAL).await;
        }
    }

    /// How many requests were refused: reads and writes.
    pub(crate) fn refused(&self) -> [(&'static str, u64); 2] {
        [
            ("read", self.refused_reads.load(Ordering::Relaxed)),
            ("write", self.refused_writes.load(Ordering::Relaxed)),
        ]
    }

    fn share(&self, nodes: usize) {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        self.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    fn forget_full(&self) {
        let now_ms = self.clock.now_ms();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|_, held| !held.bucket.is_full(held.rate, now_ms));
        }
    }

    /// Lets a read of a table or of one of its indexes through, which costs at least `units`.
    ///
    /// # Errors
    /// [`Throttled`].
    pub(crate) fn read(
        &self,
        table: &Table,
        index: Option<&TableIndex>,
        units: f64,
    ) -> Result<Permit, Throttled> {
        let kind = UnitKind::Read;
        let resource = match index.filter(|index| index.keys.kind() == IndexKind::Global) {
            Some(index) => of_index(table, index, kind),
            None => of_table(table, kind),
        };
        self.admit(table, kind, resource, units)
    }

    /// Lets a write of an item through, which costs at least `units`. The item has at least its key; an index that it has
    /// no row in is not asked, unless it has nothing but its key and the index may be touched all the same.
    ///
    /// # Errors
    /// [`Throttled`].
    pub(crate) fn write(
        &self,
        table: &Table,
        item: Option<ItemRef<'_>>,
        units: f64,
    ) -> Result<Permit, Throttled> {
        let kind = UnitKind::Write;
        for index in table.indexes() {
            let Some(resource) = of_index(table, index, kind) else {
                continue;
            };
            if may_touch(table, index, item) && !self.with(&resource, kind, Bucket::has_any) {
                return Err(self.refuse(table, kind, &resource));
            }
        }
        self.admit(table, kind, of_table(table, kind), units)
    }

    fn admit(
        &self,
        table: &Table,
        kind: UnitKind,
        resource: Option<Resource<'_>>,
        units: f64,
    ) -> Result<Permit, Throttled> {
        let Some(resource) = resource else {
            return Ok(Permit { kind, paid: None });
        };
        let take = |bucket: &mut Bucket, rate, now_ms| bucket.take(units, rate, now_ms);
        if !self.with(&resource, kind, take) {
            return Err(self.refuse(table, kind, &resource));
        }
        let paid = Some((resource.id, units));
        Ok(Permit { kind, paid })
    }

    /// Takes what a request has cost beyond what it has paid, or gives back what it has paid too much.
    pub(crate) fn settle(&self, table: &Table, permit: Permit, cost: &Cost) {
        let kind = permit.kind;
        let of_table = of_table(table, kind).map(|resource| {
            let local = cost.local.values().sum::<f64>();
            (resource, cost.table + local)
        });
        let of_indexes = table.indexes().filter_map(|index| {
            let units = cost.global.get(&index.definition.name).copied();
            Some((of_index(table, index, kind)?, units.unwrap_or_default()))
        });
        for (resource, units) in of_table.into_iter().chain(of_indexes) {
            let paid = permit.paid.filter(|(id, _)| *id == resource.id);
            let owed = units - paid.map_or(0.0, |(_, units)| units);
            // Exact: units are halves and wholes.
            if owed.abs() > 0.0 {
                self.with(&resource, kind, |bucket, _, _| bucket.charge(owed));
            }
        }
    }

    /// Does something with a bucket, its rate and the time.
    fn with<T>(
        &self,
        resource: &Resource<'_>,
        kind: UnitKind,
        act: impl FnOnce(&mut Bucket, f64, i64) -> T,
    ) -> T {
        let rate = resource.units_per_second / f64::from(self.nodes.load(Ordering::Relaxed));
        let now_ms = self.clock.now_ms();
        let [.., last] = resource.id.as_bytes();
        let shard = &self.shards[usize::from(*last) % SHARDS];
        let mut shard = shard.lock();
        let held = shard.entry((resource.id, kind)).or_insert_with(|| Held {
            bucket: Bucket::full(rate, now_ms),
            rate,
        });
        held.rate = rate;
        act(&mut held.bucket, rate, now_ms)
    }

    fn refuse(&self, table: &Table, kind: UnitKind, resource: &Resource<'_>) -> Throttled {
        let counter = match kind {
            UnitKind::Read => &self.refused_reads,
            UnitKind::Write => &self.refused_writes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let arn = arn::table(&self.region, table.name());
        Throttled {
            kind,
            is_index: resource.index.is_some(),
            is_on_demand: resource.is_on_demand,
            resource: match resource.index {
                Some(name) => arn::index(&arn, name),
                None => arn,
            },
        }
    }
}

impl Permit {
    /// Of a node that does not throttle, and of a request that touches nothing under a limit.
    pub(crate) const fn free(kind: UnitKind) -> Self {
        Self { kind, paid: None }
    }
}

fn of_table(table: &Table, kind: UnitKind) -> Option<Resource<'_>> {
    let definition = table.definition();
    resource(
        (definition.id, None),
        definition.billing_mode,
        definition.throughput,
        definition.on_demand_limits,
        kind,
    )
}

/// Of a global index; a local one has the table's.
fn of_index<'a>(table: &Table, index: &'a TableIndex, kind: UnitKind) -> Option<Resource<'a>> {
    let definition = &index.definition;
    if definition.kind != IndexKind::Global || definition.status == IndexStatus::Deleting {
        return None;
    }
    resource(
        (definition.id, Some(&definition.name)),
        table.definition().billing_mode,
        definition.throughput,
        definition.on_demand_limits,
        kind,
    )
}

fn resource(
    (id, index): (Uuid, Option<&str>),
    billing_mode: BillingMode,
    provisioned: Throughput,
    maximum: OnDemandLimits,
    kind: UnitKind,
) -> Option<Resource<'_>> {
    let is_on_demand = billing_mode == BillingMode::PayPerRequest;
    let units = match (is_on_demand, kind) {
        (false, UnitKind::Read) => Some(provisioned.read_units),
        (false, UnitKind::Write) => Some(provisioned.write_units),
        (true, UnitKind::Read) => maximum.read_units,
        (true, UnitKind::Write) => maximum.write_units,
    };
    // None are provisioned where the index was made while the table was paid per request.
    let units = units.filter(|units| *units > 0)?;
    Some(Resource {
        id,
        index,
        units_per_second: f64::from(u32::try_from(units).unwrap_or(u32::MAX)),
        is_on_demand,
    })
}

/// Whether a write of an item may touch an index.
fn may_touch(table: &Table, index: &TableIndex, item: Option<ItemRef<'_>>) -> bool {
    let Some(item) = item else { return true };
    let is_key = item.attributes().len() == table.schema().attributes().count();
    is_key || matches!(index.keys.row_key(item), Ok(Some(_)))
}
