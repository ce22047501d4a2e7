//! Definitions of tables and their bytes in the metadata keyspace.
//!
//! The bytes are a protobuf message behind a version byte (`docs/format/metadata.md`): fields that an older program does
//! not know are skipped, so programs of neighbouring versions can share a directory. Field numbers are never reused.

mod deleted;
mod deletion;
mod history;
mod import;
mod index;
mod resource_policy;
mod restore;
mod stream;
mod time_to_live;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use stator_model::attribute::Kind;
use stator_model::index::IndexKind;
use stator_model::key::{KeyAttribute, KeySchema};
use uuid::Uuid;

pub(crate) use deleted::DeletedTable;
pub(crate) use deletion::Deletion;
pub(crate) use history::{HISTORY_KEYSPACE, History, PERIOD_DAYS_MAX, history_keyspace};
pub(crate) use import::Import;
pub(crate) use index::{INDEX_KEYSPACE, IndexDefinition, IndexStatus};
pub(crate) use resource_policy::ResourcePolicy;
pub(crate) use restore::Restore;
pub(crate) use stream::{SLOTS, STREAM_KEYSPACE, Shard, StreamDefinition, StreamStatus, StreamView};
pub(crate) use time_to_live::{DUE_KEYSPACE, TimeToLive, TimeToLiveStatus};

use self::deletion::DeletionRecord;
use self::history::HistoryRecord;
use self::import::ImportOfTable;
use self::index::IndexRecord;
use self::resource_policy::ResourcePolicyRecord;
use self::restore::RestoreRecord;
use self::stream::StreamRecord;
use self::time_to_live::TimeToLiveRecord;

/// Prefix of the names of keyspaces that say how large item collections are; the table's id follows.
pub(crate) const COLLECTION_KEYSPACE: &str = "collection/";

/// First byte of a definition.
const FORMAT_VERSION: u8 = 1;

/// How a table is billed, which decides whether it has provisioned throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BillingMode {
    Provisioned,
    PayPerRequest,
}

/// The storage class of a table; Stator stores both alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableClass {
    Standard,
    StandardInfrequentAccess,
}

/// Provisioned capacity units a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Throughput {
    pub(crate) read_units: i64,
    pub(crate) write_units: i64,
    /// When it was last raised and lowered, in milliseconds since the Unix epoch.
    pub(crate) raised_at_ms: Option<i64>,
    pub(crate) lowered_at_ms: Option<i64>,
    /// How often it was lowered on the day (UTC) on which it was lowered last.
    pub(crate) lowered_that_day: u32,
}

/// Limits of a table that is paid per request, in request units a second; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OnDemandLimits {
    pub(crate) read_units: Option<i64>,
    pub(crate) write_units: Option<i64>,
}

/// Throughput that a table has to serve at once, in units a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WarmUnits {
    pub(crate) read_units: i64,
    pub(crate) write_units: i64,
}

/// What a new table that is paid per request serves at once. Source: Amazon DynamoDB Developer Guide, "Understanding
/// DynamoDB warm throughput".
const WARM_ON_DEMAND: WarmUnits = WarmUnits {
    read_units: 12_000,
    write_units: 4_000,
};

impl WarmUnits {
    /// What is served at once in any case by what is billed like this.
    fn least(billing_mode: BillingMode, throughput: &Throughput) -> Self {
        match billing_mode {
            BillingMode::PayPerRequest => WARM_ON_DEMAND,
            BillingMode::Provisioned => Self {
                read_units: throughput.read_units,
                write_units: throughput.write_units,
            },
        }
    }

    /// The larger units of each kind.
    pub(crate) fn at_least(self, least: Self) -> Self {
        Self {
            read_units: self.read_units.max(least.read_units),
            write_units: self.write_units.max(least.write_units),
        }
    }
}

/// What makes a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableDefinition {
    pub(crate) name: String,
    /// Stays the same for the table's life and is never used again.
    pub(crate) id: Uuid,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_at_ms: i64,
    pub(crate) key_schema: KeySchema,
    pub(crate) billing_mode: BillingMode,
    /// When the table was last set to pay per request, in milliseconds since the Unix epoch.
    pub(crate) pay_per_request_since_ms: Option<i64>,
    /// Zero units when the table is paid per request.
    pub(crate) throughput: Throughput,
    /// None when it was never named.
    pub(crate) table_class: Option<TableClass>,
    /// When the class was changed after the table was made, in milliseconds since the Unix epoch.
    pub(crate) table_class_changed_at_ms: Option<i64>,
    pub(crate) on_demand_limits: OnDemandLimits,
    /// None when it was never named; see [`TableDefinition::warm_units`].
    pub(crate) warm_units_requested: Option<WarmUnits>,
    pub(crate) deletion_protection: bool,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) indexes: Vec<IndexDefinition>,
    /// The last one may be enabled; those before it are read until their records are too old.
    pub(crate) streams: Vec<StreamDefinition>,
    pub(crate) time_to_live: Option<TimeToLive>,
    /// At most one of the table, and one of each stream.
    pub(crate) resource_policies: Vec<ResourcePolicy>,
    /// Whether encryption with a key of the account's was asked for. All data is encrypted; this is what clients are told.
    pub(crate) account_key: bool,
    /// Where its items come from, if it was made of another table's.
    pub(crate) restore: Option<Restore>,
    /// The import that its items come from, for as long as they do.
    pub(crate) import: Option<Import>,
    /// What it was at every moment of the last days, if that is kept.
    pub(crate) history: Option<History>,
    /// Its deletion, if that waits for a last backup. Nobody reads or writes its items any more.
    pub(crate) deletion: Option<Deletion>,
    /// How many backups of it, and restores from its history, have been begun: see `operation/readers.rs`.
    pub(crate) reads_begun: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(sint64, tag = "3")]
    created_at_ms: i64,
    #[prost(message, required, tag = "4")]
    partition_key: KeyRecord,
    #[prost(message, optional, tag = "5")]
    sort_key: Option<KeyRecord>,
    #[prost(bool, tag = "6")]
    pay_per_request: bool,
    #[prost(sint64, optional, tag = "7")]
    pay_per_request_since_ms: Option<i64>,
    #[prost(sint64, tag = "8")]
    read_units: i64,
    #[prost(sint64, tag = "9")]
    write_units: i64,
    #[prost(sint64, optional, tag = "10")]
    raised_at_ms: Option<i64>,
    #[prost(sint64, optional, tag = "11")]
    lowered_at_ms: Option<i64>,
    #[prost(uint32, optional, tag = "12")]
    table_class: Option<u32>,
    #[prost(bool, tag = "13")]
    deletion_protection: bool,
    #[prost(btree_map = "string, string", tag = "14")]
    tags: BTreeMap<String, String>,
    #[prost(sint64, optional, tag = "15")]
    table_class_changed_at_ms: Option<i64>,
    #[prost(sint64, optional, tag = "16")]
    on_demand_read_units: Option<i64>,
    #[prost(sint64, optional, tag = "17")]
    on_demand_write_units: Option<i64>,
    #[prost(sint64, optional, tag = "18")]
    warm_read_units: Option<i64>,
    #[prost(sint64, optional, tag = "19")]
    warm_write_units: Option<i64>,
    #[prost(uint32, tag = "20")]
    lowered_that_day: u32,
    #[prost(message, repeated, tag = "21")]
    indexes: Vec<IndexRecord>,
    #[prost(message, repeated, tag = "22")]
    streams: Vec<StreamRecord>,
    #[prost(message, optional, tag = "23")]
    time_to_live: Option<TimeToLiveRecord>,
    #[prost(message, repeated, tag = "25")]
    resource_policies: Vec<ResourcePolicyRecord>,
    #[prost(bool, tag = "24")]
    account_key: bool,
    #[prost(message, optional, tag = "26")]
    restore: Option<RestoreRecord>,
    #[prost(message, optional, tag = "27")]
    history: Option<HistoryRecord>,
    #[prost(message, optional, tag = "30")]
    import: Option<ImportOfTable>,
    #[prost(message, optional, tag = "31")]
    deletion: Option<DeletionRecord>,
    #[prost(uint64, tag = "32")]
    reads_begun: u64,
}

#[derive(Clone, PartialEq, Message)]
struct KeyRecord {
    #[prost(string, tag = "1")]
    name: String,
    /// `S`, `N` or `B`.
    #[prost(string, tag = "2")]
    kind: String,
}

impl KeyRecord {
    fn of(attribute: &KeyAttribute) -> Self {
        Self {
            name: attribute.name.clone(),
            kind: attribute.kind.descriptor().to_owned(),
        }
    }

    fn read(self) -> Result<KeyAttribute, String> {
        match Kind::from_descriptor(&self.kind) {
            Some(kind @ (Kind::String | Kind::Number | Kind::Binary)) => Ok(KeyAttribute {
                name: self.name,
                kind,
            }),
            _ => Err(format!(
                "key attribute {} has unknown type {:?}",
                self.name, self.kind
            )),
        }
    }
}

impl TableDefinition {
    /// Seed of the tokens of its items; see `docs/format/key.md`.
    pub(crate) fn seed(&self) -> u64 {
        self.id.as_u64_pair().0
    }

    /// The index of a name.
    pub(crate) fn index(&self, name: &str) -> Option<&IndexDefinition> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Whether its items are still on their way.
    pub(crate) fn is_being_restored(&self) -> bool {
        self.restore.as_ref().is_some_and(|restore| restore.in_progress)
    }

    /// Whether its items are still on their way from this backup.
    pub(crate) fn is_being_restored_from(&self, backup: &str) -> bool {
        let restore = self.restore.as_ref();
        restore.is_some_and(|restore| restore.in_progress && restore.backup == backup)
    }

    /// Whether its items are still on their way, be it from a backup or from a bucket.
    pub(crate) fn is_being_filled(&self) -> bool {
        self.is_being_restored() || self.import.is_some()
    }

    /// Whether its items may be read and written by clients.
    pub(crate) fn has_items(&self) -> bool {
        !self.is_being_filled() && self.deletion.is_none()
    }

    /// Whether items of a backup or an import may be written.
    pub(crate) fn takes_deposits(&self) -> bool {
        let restore = self.restore.as_ref();
        restore.is_some_and(|restore| restore.in_progress && !restore.is_sealed)
            || self.import.as_ref().is_some_and(|import| !import.is_sealed)
    }

    /// The attributes that keys of the table and of its indexes are made of, each once.
    pub(crate) fn key_attributes(&self) -> Vec<&KeyAttribute> {
        let mut attributes: Vec<&KeyAttribute> = Vec::new();
        let table = self.key_schema.attributes().map(|(_, attribute)| attribute);
        for attribute in table.chain(self.indexes.iter().flat_map(IndexDefinition::attributes)) {
            if !attributes.iter().any(|known| known.name == attribute.name) {
                attributes.push(attribute);
            }
        }
        attributes
    }

    /// The stream that writes are recorded in, if there is one.
    pub(crate) fn stream(&self) -> Option<&StreamDefinition> {
        self.streams.last().filter(|stream| stream.records())
    }

    /// The keyspace of the sizes of its item collections; `None` for a table without local indexes, which has none.
    pub(crate) fn collections(&self) -> Option<Arc<str>> {
        let has_local = (self.indexes.iter()).any(|index| index.kind == IndexKind::Local);
        has_local.then(|| format!("{COLLECTION_KEYSPACE}{}", self.id).into())
    }

    /// The keyspaces of what is derived from the items.
    pub(crate) fn derived_keyspaces(&self) -> Vec<Arc<str>> {
        let indexes = self.indexes.iter().map(IndexDefinition::keyspace);
        let streams = self.streams.iter().map(StreamDefinition::keyspace);
        let due = self.time_to_live.iter().map(TimeToLive::keyspace);
        let history = self.history.iter().map(History::keyspace);
        let derived = indexes.chain(streams).chain(due).chain(history);
        derived.chain(self.collections()).collect()
    }

    /// Throughput that the table serves at once: what was asked for, and never less than what it is billed for.
    pub(crate) fn warm_units(&self) -> WarmUnits {
        let least = WarmUnits::least(self.billing_mode, &self.throughput);
        self.warm_units_requested.unwrap_or(least).at_least(least)
    }

    /// The bytes to be stored.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let record = Record {
            name: self.name.clone(),
            id: self.id.as_bytes().to_vec(),
            created_at_ms: self.created_at_ms,
            partition_key: KeyRecord::of(&self.key_schema.partition),
            sort_key: self.key_schema.sort.as_ref().map(KeyRecord::of),
            pay_per_request: self.billing_mode == BillingMode::PayPerRequest,
            pay_per_request_since_ms: self.pay_per_request_since_ms,
            read_units: self.throughput.read_units,
            write_units: self.throughput.write_units,
            raised_at_ms: self.throughput.raised_at_ms,
            lowered_at_ms: self.throughput.lowered_at_ms,
            table_class: self.table_class.map(|class| match class {
                TableClass::Standard => 1,
                TableClass::StandardInfrequentAccess => 2,
            }),
            deletion_protection: self.deletion_protection,
            tags: self.tags.clone(),
            table_class_changed_at_ms: self.table_class_changed_at_ms,
            on_demand_read_units: self.on_demand_limits.read_units,
            on_demand_write_units: self.on_demand_limits.write_units,
            warm_read_units: self.warm_units_requested.map(|warm| warm.read_units),
            warm_write_units: self.warm_units_requested.map(|warm| warm.write_units),
            lowered_that_day: self.throughput.lowered_that_day,
            indexes: self.indexes.iter().map(IndexRecord::of).collect(),
            streams: self.streams.iter().map(StreamRecord::of).collect(),
            time_to_live: self.time_to_live.as_ref().map(TimeToLiveRecord::of),
            resource_policies: (self.resource_policies.iter().map(ResourcePolicyRecord::of)).collect(),
            account_key: self.account_key,
            restore: self.restore.as_ref().map(RestoreRecord::of),
            import: self.import.as_ref().map(ImportOfTable::of),
            history: self.history.as_ref().map(HistoryRecord::of),
            deletion: self.deletion.as_ref().map(DeletionRecord::of),
            reads_begun: self.reads_begun,
        };
        let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put_slice(&record.encode_to_vec());
        bytes.freeze()
    }

    /// Reads stored bytes; the error says what is wrong with them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let record = match bytes {
            [FORMAT_VERSION, record @ ..] => Record::decode(record).map_err(|error| error.to_string())?,
            [found, ..] => {
                return Err(format!(
                    "format version {found}, this program reads version {FORMAT_VERSION}"
                ));
            }
            [] => return Err("no bytes".to_owned()),
        };
        let sort = record.sort_key.map(KeyRecord::read).transpose()?;
        let table_class = match record.table_class {
            None => None,
            Some(1) => Some(TableClass::Standard),
            Some(2) => Some(TableClass::StandardInfrequentAccess),
            Some(other) => return Err(format!("unknown table class {other}")),
        };
        Ok(Self {
            name: record.name,
            id: Uuid::from_slice(&record.id).map_err(|error| error.to_string())?,
            created_at_ms: record.created_at_ms,
            key_schema: KeySchema {
                partition: record.partition_key.read()?,
                sort,
            },
            billing_mode: if record.pay_per_request {
                BillingMode::PayPerRequest
            } else {
                BillingMode::Provisioned
            },
            pay_per_request_since_ms: record.pay_per_request_since_ms,
            throughput: Throughput {
                read_units: record.read_units,
                write_units: record.write_units,
                raised_at_ms: record.raised_at_ms,
                lowered_at_ms: record.lowered_at_ms,
                lowered_that_day: record.lowered_that_day,
            },
            table_class,
            table_class_changed_at_ms: record.table_class_changed_at_ms,
            on_demand_limits: OnDemandLimits {
                read_units: record.on_demand_read_units,
                write_units: record.on_demand_write_units,
            },
            warm_units_requested: record.warm_read_units.zip(record.warm_write_units).map(
                |(read_units, write_units)| WarmUnits {
                    read_units,
                    write_units,
                },
            ),
            deletion_protection: record.deletion_protection,
            tags: record.tags,
            indexes: (record.indexes.into_iter().map(IndexRecord::read)).collect::<Result<_, _>>()?,
            streams: (record.streams.into_iter().map(StreamRecord::read)).collect::<Result<_, _>>()?,
            time_to_live: record.time_to_live.map(TimeToLiveRecord::read).transpose()?,
            resource_policies: (record
                .resource_policies
                .into_iter()
                .map(ResourcePolicyRecord::read))
            .collect::<Result<_, _>>()?,
            account_key: record.account_key,
            restore: record.restore.map(RestoreRecord::read).transpose()?,
            history: record.history.map(HistoryRecord::read).transpose()?,
            import: record.import.map(ImportOfTable::read),
            deletion: record.deletion.map(DeletionRecord::read),
            reads_begun: record.reads_begun,
        })
    }
}

#[cfg(test)]
mod tests {
    use stator_model::index::{IndexKind, Projection};

    use super::*;

    fn index() -> IndexDefinition {
        IndexDefinition {
            name: "by-year".into(),
            id: Uuid::from_u128(8),
            kind: IndexKind::Global,
            hash: vec![KeyAttribute {
                name: "year".into(),
                kind: Kind::Number,
            }],
            range: vec![KeyAttribute {
                name: "genre".into(),
                kind: Kind::String,
            }],
            projection: Projection::Include(vec!["title".into()]),
            status: IndexStatus::Creating,
            throughput: Throughput {
                read_units: 1,
                write_units: 2,
                ..Throughput::default()
            },
            on_demand_limits: OnDemandLimits::default(),
            warm_units_requested: None,
        }
    }

    #[test]
    fn a_definition_is_read_as_it_was_written() {
        let definition = TableDefinition {
            name: "music".into(),
            id: Uuid::from_u128(7),
            created_at_ms: 1_732_420_800_123,
            key_schema: KeySchema {
                partition: KeyAttribute {
                    name: "artist".into(),
                    kind: Kind::String,
                },
                sort: Some(KeyAttribute {
                    name: "year".into(),
                    kind: Kind::Number,
                }),
            },
            billing_mode: BillingMode::Provisioned,
            pay_per_request_since_ms: None,
            throughput: Throughput {
                read_units: 5,
                write_units: 6,
                raised_at_ms: Some(1),
                lowered_at_ms: None,
                lowered_that_day: 3,
            },
            table_class: Some(TableClass::StandardInfrequentAccess),
            table_class_changed_at_ms: Some(2),
            on_demand_limits: OnDemandLimits {
                read_units: Some(7),
                write_units: None,
            },
            warm_units_requested: Some(WarmUnits {
                read_units: 8,
                write_units: 9,
            }),
            deletion_protection: true,
            tags: BTreeMap::from([("k".into(), "v".into())]),
            indexes: vec![index()],
            streams: vec![StreamDefinition {
                disabled_at_ms: Some(9),
                shards: vec![Shard {
                    number: 3,
                    opened_at_ms: 4,
                    closed: Some((5, 6)),
                }],
                ..StreamDefinition::new(
                    Uuid::from_u128(9),
                    StreamView::OldImage,
                    StreamStatus::Disabled,
                    8,
                )
            }],
            time_to_live: Some(TimeToLive {
                id: Uuid::from_u128(10),
                attribute: "due".into(),
                status: TimeToLiveStatus::Enabling,
                changed_at_ms: 11,
            }),
            resource_policies: [None, Some(Uuid::from_u128(12))]
                .map(|stream| ResourcePolicy {
                    stream,
                    document: "{}".into(),
                    revision: "1".into(),
                })
                .into(),
            account_key: true,
            restore: Some(Restore {
                table: "old".into(),
                backup: "1-a".into(),
                at_ms: 12,
                in_progress: true,
                is_sealed: true,
                history: Some(Uuid::from_u128(13)),
                part: Some(Uuid::from_u128(16)),
            }),
            history: Some(History {
                is_filled: true,
                complete_from_ms: Some(15),
                ..History::new(Uuid::from_u128(14), 7)
            }),
            import: Some(Import {
                id: "1-b".to_owned(),
                record: Bytes::from_static(b"r"),
                is_sealed: true,
            }),
            deletion: Some(Deletion {
                backup: "1-c".into(),
                asked_at_ms: 17,
            }),
            reads_begun: 18,
        };
        assert_eq!(
            TableDefinition::from_bytes(&definition.to_bytes()),
            Ok(definition)
        );
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let refusal = TableDefinition::from_bytes(&[9, 0]).unwrap_err();
        assert_eq!(refusal, "format version 9, this program reads version 1");
        assert!(TableDefinition::from_bytes(&[FORMAT_VERSION, 0xFF]).is_err());
    }
}
