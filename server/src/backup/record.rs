//! What is known of a backup, and its bytes: a protobuf message behind a version byte (`docs/format/metadata.md`). The same
//! bytes are in the backup's manifest, so that it can be restored where nobody knows it.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use crate::catalog::TableDefinition;

/// First byte of a record.
const FORMAT_VERSION: u8 = 1;

/// Where a backup is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackupStatus {
    /// It is being made, or waits for that.
    Creating,
    /// It can be restored.
    Available,
    /// It is being removed; nobody is shown it any more.
    Deleted,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupRecord {
    /// The end of its ARN: the time of the request in 14 digits, and 8 random hexadecimal ones.
    pub(crate) id: String,
    /// As its client has named it.
    pub(crate) name: String,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub(crate) created_at_ms: i64,
    pub(crate) status: BackupStatus,
    /// Of what it holds, in bytes as they are counted for tables.
    pub(crate) size: i64,
    pub(crate) items: i64,
    /// Its moment: when all writes before it and none behind it had taken place, in milliseconds since the Unix epoch. 0
    /// before it is available.
    pub(crate) moment_ms: i64,
    table: TableDefinition,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(sint64, tag = "3")]
    created_at_ms: i64,
    /// 1 creating, 2 available, 3 deleted.
    #[prost(uint32, tag = "4")]
    status: u32,
    #[prost(sint64, tag = "5")]
    size: i64,
    #[prost(sint64, tag = "6")]
    items: i64,
    #[prost(sint64, tag = "7")]
    moment_ms: i64,
    /// The definition of the table, as the catalog writes it.
    #[prost(bytes = "bytes", tag = "8")]
    table: Bytes,
}

impl BackupRecord {
    /// One that is to be made of a table.
    pub(crate) fn new(id: String, name: String, created_at_ms: i64, table: TableDefinition) -> Self {
        Self {
            id,
            name,
            created_at_ms,
            status: BackupStatus::Creating,
            size: 0,
            items: 0,
            moment_ms: 0,
            table,
        }
    }

    /// The table as it was.
    pub(crate) fn table(&self) -> &TableDefinition {
        &self.table
    }

    /// The table is this at the moment of the backup. It has the same name and id.
    pub(crate) fn set_table(&mut self, table: TableDefinition) {
        self.table = table;
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let record = Record {
            id: self.id.clone(),
            name: self.name.clone(),
            created_at_ms: self.created_at_ms,
            status: match self.status {
                BackupStatus::Creating => 1,
                BackupStatus::Available => 2,
                BackupStatus::Deleted => 3,
            },
            size: self.size,
            items: self.items,
            moment_ms: self.moment_ms,
            table: self.table.to_bytes(),
        };
        let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put_slice(&record.encode_to_vec());
        bytes.freeze()
    }

    /// Reads its bytes; otherwise its id, as far as that is known, and what is wrong with them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, (String, String)> {
        let unknown = |detail: String| (String::new(), detail);
        let record = match bytes {
            [FORMAT_VERSION, record @ ..] => {
                Record::decode(record).map_err(|error| unknown(error.to_string()))?
            }
            [found, ..] => {
                return Err(unknown(format!(
                    "format version {found}, this program reads version {FORMAT_VERSION}"
                )));
            }
            [] => return Err(unknown("no bytes".to_owned())),
        };
        let wrong = |detail: String| (record.id.clone(), detail);
        let status = match record.status {
            1 => BackupStatus::Creating,
            2 => BackupStatus::Available,
            3 => BackupStatus::Deleted,
            other => return Err(wrong(format!("unknown status {other}"))),
        };
        let table = TableDefinition::from_bytes(&record.table).map_err(wrong)?;
        Ok(Self {
            id: record.id,
            name: record.name,
            created_at_ms: record.created_at_ms,
            status,
            size: record.size,
            items: record.items,
            moment_ms: record.moment_ms,
            table,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        let mut record = BackupRecord::new("1-a".into(), "nightly".into(), 7, definition());
        for status in [
            BackupStatus::Creating,
            BackupStatus::Available,
            BackupStatus::Deleted,
        ] {
            record.status = status;
            (record.size, record.items, record.moment_ms) = (1, 2, 3);
            assert_eq!(BackupRecord::from_bytes(&record.to_bytes()), Ok(record.clone()));
        }
    }

    #[test]
    fn bytes_of_another_version_are_refused() {
        let mut bytes = BackupRecord::new("1-a".into(), "nightly".into(), 7, definition())
            .to_bytes()
            .to_vec();
        bytes[0] = 2;
        let (_, detail) = BackupRecord::from_bytes(&bytes).unwrap_err();
        assert_eq!(detail, "format version 2, this program reads version 1");
        assert!(BackupRecord::from_bytes(&[]).is_err());
    }
}
