//! Definitions of secondary indexes, as part of their table's definition.
//!
//! Invariant: an index that is being made is derived from the moment on from which leaders know it, is backfilled when all of
//! them do, and is read only when it is active; one that is being deleted is neither. Who moves an index from one status to the next is `steward.rs`.

use std::sync::Arc;

use prost::Message;
use stator_model::index::{IndexKeys, IndexKind, Projection};
use stator_model::key::{KeyAttribute, KeySchema};
use uuid::Uuid;

use super::{BillingMode, KeyRecord, OnDemandLimits, Throughput, WarmUnits};

/// Prefix of the names of keyspaces that hold the rows of an index; the index's id follows.
pub(crate) const INDEX_KEYSPACE: &str = "index/";

/// Where an index is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexStatus {
    /// What it needs is being made, and not every leader derives it yet.
    Creating,
    /// Its rows are being made for the items that were there before.
    Backfilling,
    /// It has a row for every item that has its keys.
    Active,
    /// Its rows are being dropped.
    Deleting,
}

/// What makes a secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexDefinition {
    pub(crate) name: String,
    /// Stays the same for the index's life and is never used again; its first 8 bytes seed the tokens of a global index.
    pub(crate) id: Uuid,
    pub(crate) kind: IndexKind,
    /// The attributes that are hashed, of which a local index has the table's.
    pub(crate) hash: Vec<KeyAttribute>,
    pub(crate) range: Vec<KeyAttribute>,
    pub(crate) projection: Projection,
    pub(crate) status: IndexStatus,
    /// Zero units when the table is paid per request, and of local indexes.
    pub(crate) throughput: Throughput,
    pub(crate) on_demand_limits: OnDemandLimits,
    pub(crate) warm_units_requested: Option<WarmUnits>,
}

impl IndexStatus {
    /// Whether it has not all its rows yet.
    pub(crate) fn is_being_made(self) -> bool {
        matches!(self, Self::Creating | Self::Backfilling)
    }
}

impl IndexDefinition {
    /// Throughput that a global index of a table that is billed like this serves at once, as
    /// [`TableDefinition::warm_units`](super::TableDefinition::warm_units).
    pub(crate) fn warm_units(&self, billing_mode: BillingMode) -> WarmUnits {
        let least = WarmUnits::least(billing_mode, &self.throughput);
        self.warm_units_requested.unwrap_or(least).at_least(least)
    }

    /// The name of the keyspace of its rows.
    pub(crate) fn keyspace(&self) -> Arc<str> {
        format!("{INDEX_KEYSPACE}{}", self.id).into()
    }

    /// Its keys, in a table with this schema and seed.
    pub(crate) fn keys(&self, table: &KeySchema, table_seed: u64) -> IndexKeys {
        if let (IndexKind::Local, Some(sort)) = (self.kind, self.range.first()) {
            return IndexKeys::local(table, sort.clone(), table_seed);
        }
        let (seed, _) = self.id.as_u64_pair();
        IndexKeys::global(table, self.hash.clone(), self.range.clone(), seed)
    }

    /// The key attributes, hash attributes first.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.hash.iter().chain(&self.range)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IndexRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    /// 1 local, 2 global.
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(message, repeated, tag = "4")]
    hash: Vec<KeyRecord>,
    #[prost(message, repeated, tag = "5")]
    range: Vec<KeyRecord>,
    /// 1 keys only, 2 include, 3 all.
    #[prost(uint32, tag = "6")]
    projection: u32,
    #[prost(string, repeated, tag = "7")]
    included: Vec<String>,
    /// 1 creating, 2 active, 3 deleting.
    #[prost(uint32, tag = "8")]
    status: u32,
    #[prost(sint64, tag = "9")]
    read_units: i64,
    #[prost(sint64, tag = "10")]
    write_units: i64,
    #[prost(sint64, optional, tag = "11")]
    raised_at_ms: Option<i64>,
    #[prost(sint64, optional, tag = "12")]
    lowered_at_ms: Option<i64>,
    #[prost(uint32, tag = "13")]
    lowered_that_day: u32,
    #[prost(sint64, optional, tag = "14")]
    on_demand_read_units: Option<i64>,
    #[prost(sint64, optional, tag = "15")]
    on_demand_write_units: Option<i64>,
    #[prost(sint64, optional, tag = "16")]
    warm_read_units: Option<i64>,
    #[prost(sint64, optional, tag = "17")]
    warm_write_units: Option<i64>,
    /// Of one that is being created; beside the status, so that older programs can read it.
    #[prost(bool, tag = "18")]
    backfilling: bool,
}

impl IndexRecord {
    pub(super) fn of(index: &IndexDefinition) -> Self {
        let (projection, included) = match &index.projection {
            Projection::KeysOnly => (1, Vec::new()),
            Projection::Include(names) => (2, names.clone()),
            Projection::All => (3, Vec::new()),
        };
        Self {
            name: index.name.clone(),
            id: index.id.as_bytes().to_vec(),
            kind: match index.kind {
                IndexKind::Local => 1,
                IndexKind::Global => 2,
            },
            hash: index.hash.iter().map(KeyRecord::of).collect(),
            range: index.range.iter().map(KeyRecord::of).collect(),
            projection,
            included,
            status: match index.status {
                IndexStatus::Creating | IndexStatus::Backfilling => 1,
                IndexStatus::Active => 2,
                IndexStatus::Deleting => 3,
            },
            read_units: index.throughput.read_units,
            write_units: index.throughput.write_units,
            raised_at_ms: index.throughput.raised_at_ms,
            lowered_at_ms: index.throughput.lowered_at_ms,
            lowered_that_day: index.throughput.lowered_that_day,
            backfilling: index.status == IndexStatus::Backfilling,
            on_demand_read_units: index.on_demand_limits.read_units,
            on_demand_write_units: index.on_demand_limits.write_units,
            warm_read_units: index.warm_units_requested.map(|warm| warm.read_units),
            warm_write_units: index.warm_units_requested.map(|warm| warm.write_units),
        }
    }

    pub(super) fn read(self) -> Result<IndexDefinition, String> {
        let keys = |records: Vec<KeyRecord>| -> Result<Vec<_>, String> {
            records.into_iter().map(KeyRecord::read).collect()
        };
        let unknown = |what: &str, number: u32| Err(format!("unknown {what} {number} of an index"));
        let warm = self.warm_read_units.zip(self.warm_write_units);
        Ok(IndexDefinition {
            name: self.name,
            id: Uuid::from_slice(&self.id).map_err(|error| error.to_string())?,
            kind: match self.kind {
                1 => IndexKind::Local,
                2 => IndexKind::Global,
                other => return unknown("kind", other),
            },
            hash: keys(self.hash)?,
            range: keys(self.range)?,
            projection: match self.projection {
                1 => Projection::KeysOnly,
                2 => Projection::Include(self.included),
                3 => Projection::All,
                other => return unknown("projection", other),
            },
            status: match self.status {
                1 if self.backfilling => IndexStatus::Backfilling,
                1 => IndexStatus::Creating,
                2 => IndexStatus::Active,
                3 => IndexStatus::Deleting,
                other => return unknown("status", other),
            },
            throughput: Throughput {
                read_units: self.read_units,
                write_units: self.write_units,
                raised_at_ms: self.raised_at_ms,
                lowered_at_ms: self.lowered_at_ms,
                lowered_that_day: self.lowered_that_day,
            },
            on_demand_limits: OnDemandLimits {
                read_units: self.on_demand_read_units,
                write_units: self.on_demand_write_units,
            },
            warm_units_requested: warm.map(|(read_units, write_units)| WarmUnits {
                read_units,
                write_units,
            }),
        })
    }
}
