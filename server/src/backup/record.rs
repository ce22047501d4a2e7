//! What is known of a backup, and its bytes: a protobuf message behind a version byte (`docs/format/metadata.md`). The same
//! bytes are in the backup's manifest, so that it can be restored where nobody knows it.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use stator_cluster::Tally;

use crate::catalog::{Deletion, TableDefinition};

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

/// Who has asked for a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackupKind {
    /// A client.
    User,
    /// The deletion of a table with point-in-time recovery. It expires.
    System,
}

/// How long a backup is kept that no client has asked for. Source: service model of DynamoDB, `BackupExpiryDateTime`.
const KEPT_MS: i64 = 35 * 24 * 60 * 60 * 1000;

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupRecord {
    /// The end of its ARN: the time of the request in 14 digits, and 8 random hexadecimal ones.
    pub(crate) id: String,
    /// As its client has named it.
    pub(crate) name: String,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub(crate) created_at_ms: i64,
    pub(crate) kind: BackupKind,
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
    /// Whether the deletion of the table has asked for it.
    #[prost(bool, tag = "9")]
    is_of_system: bool,
}

impl BackupRecord {
    /// One that a client wants of a table.
    pub(crate) fn new(id: String, name: String, created_at_ms: i64, mut table: TableDefinition) -> Self {
        table.reads_begun = 0;
        Self {
            id,
            name,
            created_at_ms,
            kind: BackupKind::User,
            status: BackupStatus::Creating,
            size: 0,
            items: 0,
            moment_ms: 0,
            table,
        }
    }

    /// The last one of a table, which is being deleted.
    ///
    /// Source of its name: Amazon DynamoDB Developer Guide, "Before you begin using point-in-time recovery".
    pub(crate) fn of_deletion(deletion: &Deletion, mut table: TableDefinition) -> Self {
        table.deletion = None;
        let name = format!("{}$DeletedTableBackup", table.name);
        Self {
            kind: BackupKind::System,
            ..Self::new(deletion.backup.clone(), name, deletion.asked_at_ms, table)
        }
    }

    /// What is known of the table's size before it is read.
    pub(crate) fn expect(&mut self, tally: &Tally) {
        self.size = i64::try_from(tally.bytes).unwrap_or(i64::MAX);
        self.items = i64::try_from(tally.items).unwrap_or(i64::MAX);
    }

    /// From when on it is not kept any more, in milliseconds since the Unix epoch; `None` for ever.
    pub(crate) fn expires_at_ms(&self) -> Option<i64> {
        (self.kind == BackupKind::System).then(|| self.created_at_ms.saturating_add(KEPT_MS))
    }

    /// The table as it was.
    pub(crate) fn table(&self) -> &TableDefinition {
        &self.table
    }

    /// The table is this at the moment of the backup. It has the same name and id. That it is being deleted is no part of it, nor who
    /// reads it: an earlier program would write the row without that, and take it for another one.
    pub(crate) fn set_table(&mut self, mut table: TableDefinition) {
        table.deletion = None;
        table.reads_begun = 0;
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
            is_of_system: self.kind == BackupKind::System,
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
            kind: if record.is_of_system {
                BackupKind::System
            } else {
                BackupKind::User
            },
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
    fn the_last_backup_of_a_table_has_it_as_it_was_and_expires() {
        let deletion = Deletion {
            backup: "1-a".into(),
            asked_at_ms: 7,
        };
        let mut table = definition();
        table.deletion = Some(deletion.clone());
        table.reads_begun = 3;
        let record = BackupRecord::of_deletion(&deletion, table);
        assert_eq!(record.table(), &definition());
        assert_eq!(record.name, "Tab$DeletedTableBackup");
        assert_eq!(record.expires_at_ms(), Some(7 + 3_024_000_000));
        assert_eq!(BackupRecord::from_bytes(&record.to_bytes()), Ok(record));
        let of_client = BackupRecord::new("1-a".into(), "nightly".into(), 7, definition());
        assert_eq!(of_client.expires_at_ms(), None);
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
