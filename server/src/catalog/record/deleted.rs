//! What is kept of a deleted table: the streams that can still be read, and what describing them needs.
//!
//! Who closes their shards, and forgets them when nobody can read them any more, is `steward/deleted.rs`.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use stator_model::key::KeySchema;
use uuid::Uuid;

use super::stream::StreamRecord;
use super::{FORMAT_VERSION, KeyRecord, StreamDefinition, StreamStatus, TableDefinition};

/// A table that is gone and had streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletedTable {
    /// Of the table; never used again.
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) key_schema: KeySchema,
    /// All of them disabled.
    pub(crate) streams: Vec<StreamDefinition>,
    /// Milliseconds since the Unix epoch.
    pub(crate) deleted_at_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct DeletedRecord {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, optional, tag = "3")]
    partition: Option<KeyRecord>,
    #[prost(message, optional, tag = "4")]
    sort: Option<KeyRecord>,
    #[prost(message, repeated, tag = "5")]
    streams: Vec<StreamRecord>,
    #[prost(sint64, tag = "6")]
    deleted_at_ms: i64,
}

impl DeletedTable {
    /// What is left of a table that is deleted now; `None` of one without streams.
    pub(crate) fn of(table: &TableDefinition, now_ms: i64) -> Option<Self> {
        let disabled = |stream: &StreamDefinition| StreamDefinition {
            status: StreamStatus::Disabled,
            disabled_at_ms: stream.disabled_at_ms.or(Some(now_ms)),
            ..stream.clone()
        };
        (!table.streams.is_empty()).then(|| Self {
            id: table.id,
            name: table.name.clone(),
            key_schema: table.key_schema.clone(),
            streams: table.streams.iter().map(disabled).collect(),
            deleted_at_ms: now_ms,
        })
    }

    /// As bytes that [`DeletedTable::from_bytes`] reads.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let record = DeletedRecord {
            id: self.id.as_bytes().to_vec(),
            name: self.name.clone(),
            partition: Some(KeyRecord::of(&self.key_schema.partition)),
            sort: self.key_schema.sort.as_ref().map(KeyRecord::of),
            streams: self.streams.iter().map(StreamRecord::of).collect(),
            deleted_at_ms: self.deleted_at_ms,
        };
        let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put(&record.encode_to_vec()[..]);
        bytes.freeze()
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let record = match bytes.split_first() {
            Some((&FORMAT_VERSION, record)) => record,
            Some((version, _)) => return Err(format!("unknown format version {version}")),
            None => return Err("no bytes".to_owned()),
        };
        let record = DeletedRecord::decode(record).map_err(|error| error.to_string())?;
        let partition = record.partition.ok_or("no partition key")?;
        Ok(Self {
            id: Uuid::from_slice(&record.id).map_err(|error| error.to_string())?,
            name: record.name,
            key_schema: KeySchema {
                partition: partition.read()?,
                sort: record.sort.map(KeyRecord::read).transpose()?,
            },
            streams: (record.streams.into_iter().map(StreamRecord::read)).collect::<Result<_, _>>()?,
            deleted_at_ms: record.deleted_at_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shard, StreamView};
    use super::*;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn what_is_left_of_a_table_are_its_streams_which_record_nothing_more() {
        let mut table = definition();
        assert_eq!(DeletedTable::of(&table, 9), None);
        let stream = |id, status| StreamDefinition::new(Uuid::from_u128(id), StreamView::NewImage, status, 3);
        table.streams = vec![
            stream(1, StreamStatus::Disabled),
            stream(2, StreamStatus::Enabled),
        ];
        table.streams[0].disabled_at_ms = Some(5);
        table.streams[1].shards.push(Shard {
            number: 4,
            opened_at_ms: 4,
            closed: Some((6, 77)),
        });
        let deleted = DeletedTable::of(&table, 9).unwrap();
        assert!(deleted.streams.iter().all(|stream| !stream.records()));
        let disabled: Vec<_> = deleted
            .streams
            .iter()
            .map(|stream| stream.disabled_at_ms)
            .collect();
        assert_eq!(disabled, [Some(5), Some(9)]);
        let bytes = deleted.to_bytes();
        assert_eq!(DeletedTable::from_bytes(&bytes), Ok(deleted));
        assert!(DeletedTable::from_bytes(&[]).is_err());
        assert!(DeletedTable::from_bytes(&[2]).is_err());
        assert!(DeletedTable::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }
}
