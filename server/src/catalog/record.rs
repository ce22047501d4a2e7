//! Definitions of tables and their bytes in the metadata keyspace.
//!
//! The bytes are a protobuf message behind a version byte (`docs/format/metadata.md`): fields that an older program does
//! not know are skipped, so programs of neighbouring versions can share a directory. Field numbers are never reused.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use stator_model::attribute::Kind;
use stator_model::key::{KeyAttribute, KeySchema};
use uuid::Uuid;

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
    pub(crate) table_class: Option<TableClass>,
    pub(crate) deletion_protection: bool,
    pub(crate) tags: BTreeMap<String, String>,
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
    /// The bytes to be stored.
    pub(super) fn to_bytes(&self) -> Bytes {
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
        };
        let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put_slice(&record.encode_to_vec());
        bytes.freeze()
    }

    /// Reads stored bytes; the error says what is wrong with them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
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
            },
            table_class,
            deletion_protection: record.deletion_protection,
            tags: record.tags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            },
            table_class: Some(TableClass::StandardInfrequentAccess),
            deletion_protection: true,
            tags: BTreeMap::from([("k".into(), "v".into())]),
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
