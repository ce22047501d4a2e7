//! What is known of backups of the cluster, and of a restore, and their bytes: protobuf messages behind a version byte
//! (`docs/format/metadata.md`). Those of a backup are in its manifest as well, with what it has of each table.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

/// First byte of a backup. Another one than that of a backup of one table (`backup/record.rs`), which lies in the same archive.
const BACKUP_VERSION: u8 = b'W';
/// First byte of a restore.
const RESTORE_VERSION: u8 = 1;

/// Where a backup of the cluster is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WholeStatus {
    /// It is being made, or waits for that.
    Creating,
    /// It can be restored.
    Available,
    /// It was given up; nothing of it can be restored.
    Failed,
    /// It is being removed; nobody is shown it any more.
    Deleted,
}

/// What a backup has of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WholeTable {
    pub(crate) name: String,
    /// The table's id in the cluster that was backed up.
    pub(crate) id: Uuid,
    pub(crate) items: u64,
    /// In bytes as they are counted for tables.
    pub(crate) size: u64,
}

/// A backup of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WholeBackup {
    /// The time of the request in 14 digits, `-`, and 8 random hexadecimal ones.
    pub(crate) id: String,
    /// As its maker has named it; may be empty.
    pub(crate) name: String,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub(crate) created_at_ms: i64,
    pub(crate) status: WholeStatus,
    /// Its moment, in milliseconds since the Unix epoch; 0 before it is available.
    pub(crate) moment_ms: i64,
    pub(crate) table_count: u64,
    /// Users, groups, roles and managed policies.
    pub(crate) identities: u64,
    /// Items, and their size in bytes as they are counted for tables.
    pub(crate) items: u64,
    pub(crate) size: u64,
    /// Bytes that had to be written into the archive.
    pub(crate) copied: u64,
    /// How many items are read, and of about how many, while it is being made.
    pub(crate) progress: (u64, u64),
    /// Tables that are not in it, because their own items were still on their way.
    pub(crate) left_out: Vec<String>,
    /// Why it was not made at the last try.
    pub(crate) failure: String,
    /// Its tables; not in its row.
    pub(crate) tables: Vec<WholeTable>,
}

#[derive(Clone, PartialEq, Message)]
struct BackupMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(sint64, tag = "3")]
    created_at_ms: i64,
    /// 1 creating, 2 available, 3 deleted, 4 failed.
    #[prost(uint32, tag = "4")]
    status: u32,
    #[prost(sint64, tag = "5")]
    moment_ms: i64,
    #[prost(uint64, tag = "6")]
    table_count: u64,
    #[prost(uint64, tag = "7")]
    identities: u64,
    #[prost(uint64, tag = "8")]
    items: u64,
    #[prost(uint64, tag = "9")]
    size: u64,
    #[prost(uint64, tag = "10")]
    copied: u64,
    #[prost(uint64, tag = "11")]
    items_read: u64,
    #[prost(uint64, tag = "12")]
    items_expected: u64,
    #[prost(string, repeated, tag = "13")]
    left_out: Vec<String>,
    #[prost(string, tag = "14")]
    failure: String,
    #[prost(message, repeated, tag = "15")]
    tables: Vec<TableMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct TableMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    items: u64,
    #[prost(uint64, tag = "4")]
    size: u64,
}

fn framed(version: u8, message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(version);
    bytes.put_slice(&message.encode_to_vec());
    bytes.freeze()
}

fn unframed<M: Message + Default>(version: u8, bytes: &[u8]) -> Result<M, String> {
    match bytes.split_first() {
        Some((found, message)) if *found == version => M::decode(message).map_err(|error| error.to_string()),
        Some((found, _)) => Err(format!(
            "format version {found}, this program reads version {version}"
        )),
        None => Err("no bytes".to_owned()),
    }
}

impl WholeBackup {
    /// One that is to be made.
    pub(crate) fn new(id: String, name: String, created_at_ms: i64) -> Self {
        Self {
            id,
            name,
            created_at_ms,
            status: WholeStatus::Creating,
            moment_ms: 0,
            table_count: 0,
            identities: 0,
            items: 0,
            size: 0,
            copied: 0,
            progress: (0, 0),
            left_out: Vec::new(),
            failure: String::new(),
            tables: Vec::new(),
        }
    }

    /// Whether bytes that a manifest has are those of a backup of the cluster, and not of one table.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        bytes.first() == Some(&BACKUP_VERSION)
    }

    /// The bytes of its row.
    pub(crate) fn to_row(&self) -> Bytes {
        framed(BACKUP_VERSION, &self.message(Vec::new()))
    }

    /// The bytes in its manifest.
    pub(crate) fn to_manifest(&self) -> Bytes {
        let table = |table: &WholeTable| TableMessage {
            name: table.name.clone(),
            id: table.id.as_bytes().to_vec(),
            items: table.items,
            size: table.size,
        };
        framed(
            BACKUP_VERSION,
            &self.message(self.tables.iter().map(table).collect()),
        )
    }

    fn message(&self, tables: Vec<TableMessage>) -> BackupMessage {
        BackupMessage {
            id: self.id.clone(),
            name: self.name.clone(),
            created_at_ms: self.created_at_ms,
            status: match self.status {
                WholeStatus::Creating => 1,
                WholeStatus::Available => 2,
                WholeStatus::Deleted => 3,
                WholeStatus::Failed => 4,
            },
            moment_ms: self.moment_ms,
            table_count: self.table_count,
            identities: self.identities,
            items: self.items,
            size: self.size,
            copied: self.copied,
            items_read: self.progress.0,
            items_expected: self.progress.1,
            left_out: self.left_out.clone(),
            failure: self.failure.clone(),
            tables,
        }
    }

    /// Reads its bytes; otherwise what is wrong with them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let message: BackupMessage = unframed(BACKUP_VERSION, bytes)?;
        let table = |table: TableMessage| {
            Ok::<_, String>(WholeTable {
                name: table.name,
                id: Uuid::from_slice(&table.id).map_err(|error| error.to_string())?,
                items: table.items,
                size: table.size,
            })
        };
        Ok(Self {
            id: message.id,
            name: message.name,
            created_at_ms: message.created_at_ms,
            status: match message.status {
                1 => WholeStatus::Creating,
                2 => WholeStatus::Available,
                3 => WholeStatus::Deleted,
                4 => WholeStatus::Failed,
                other => return Err(format!("unknown status {other}")),
            },
            moment_ms: message.moment_ms,
            table_count: message.table_count,
            identities: message.identities,
            items: message.items,
            size: message.size,
            copied: message.copied,
            progress: (message.items_read, message.items_expected),
            left_out: message.left_out,
            failure: message.failure,
            tables: message.tables.into_iter().map(table).collect::<Result<_, _>>()?,
        })
    }
}

/// How far a restore of the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestorePhase {
    /// The tables are being made.
    Tables,
    /// Their items are being written; the identities come when all are there.
    Items,
    /// All is there.
    Complete,
    /// It is to be given up; tables that are not complete are being removed.
    Cancelling,
    /// It was given up.
    Cancelled,
}

/// A restore of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WholeRestore {
    /// The backup's id.
    pub(crate) backup: String,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub(crate) begun_at_ms: i64,
    pub(crate) phase: RestorePhase,
    /// The tables that are wanted; all of them if there are none.
    pub(crate) tables: Vec<String>,
    /// Whether users, groups, roles and policies are wanted.
    pub(crate) identities: bool,
    /// Tables and identities that were left alone, because something of their name was there.
    pub(crate) skipped: Vec<String>,
    /// Tables that were made, and identities that were.
    pub(crate) made: (u64, u64),
}

#[derive(Clone, PartialEq, Message)]
struct RestoreMessage {
    #[prost(string, tag = "1")]
    backup: String,
    #[prost(sint64, tag = "2")]
    begun_at_ms: i64,
    /// 1 tables, 2 items, 3 complete, 4 cancelling, 5 cancelled.
    #[prost(uint32, tag = "3")]
    phase: u32,
    #[prost(string, repeated, tag = "4")]
    tables: Vec<String>,
    #[prost(bool, tag = "5")]
    identities: bool,
    #[prost(string, repeated, tag = "6")]
    skipped: Vec<String>,
    #[prost(uint64, tag = "7")]
    tables_made: u64,
    #[prost(uint64, tag = "8")]
    identities_made: u64,
}

impl WholeRestore {
    /// Whether something is left to do.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.phase, RestorePhase::Complete | RestorePhase::Cancelled)
    }

    /// Whether a table is wanted.
    pub(crate) fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|wanted| wanted == table)
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let message = RestoreMessage {
            backup: self.backup.clone(),
            begun_at_ms: self.begun_at_ms,
            phase: match self.phase {
                RestorePhase::Tables => 1,
                RestorePhase::Items => 2,
                RestorePhase::Complete => 3,
                RestorePhase::Cancelling => 4,
                RestorePhase::Cancelled => 5,
            },
            tables: self.tables.clone(),
            identities: self.identities,
            skipped: self.skipped.clone(),
            tables_made: self.made.0,
            identities_made: self.made.1,
        };
        framed(RESTORE_VERSION, &message)
    }

    /// Reads its bytes; otherwise what is wrong with them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let message: RestoreMessage = unframed(RESTORE_VERSION, bytes)?;
        Ok(Self {
            backup: message.backup,
            begun_at_ms: message.begun_at_ms,
            phase: match message.phase {
                1 => RestorePhase::Tables,
                2 => RestorePhase::Items,
                3 => RestorePhase::Complete,
                4 => RestorePhase::Cancelling,
                5 => RestorePhase::Cancelled,
                other => return Err(format!("unknown phase {other}")),
            },
            tables: message.tables,
            identities: message.identities,
            skipped: message.skipped,
            made: (message.tables_made, message.identities_made),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::BackupRecord;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn a_backup_comes_back_from_its_bytes_and_is_told_from_one_of_a_table() {
        let mut record = WholeBackup::new("1-a".into(), "nightly".into(), 7);
        for status in [
            WholeStatus::Creating,
            WholeStatus::Available,
            WholeStatus::Failed,
            WholeStatus::Deleted,
        ] {
            record.status = status;
            (record.moment_ms, record.table_count, record.identities) = (8, 1, 2);
            (record.items, record.size, record.copied, record.progress) = (3, 4, 5, (6, 7));
            record.left_out = vec!["b".into()];
            record.failure = "because".into();
            record.tables.clear();
            assert_eq!(WholeBackup::from_bytes(&record.to_row()), Ok(record.clone()));
            record.tables = vec![WholeTable {
                name: "a".into(),
                id: Uuid::from_u128(9),
                items: 3,
                size: 4,
            }];
            assert_eq!(WholeBackup::from_bytes(&record.to_manifest()), Ok(record.clone()));
            assert_eq!(WholeBackup::from_bytes(&record.to_row()).unwrap().tables, []);
        }
        assert!(WholeBackup::is_whole(&record.to_manifest()));
        let of_table = BackupRecord::new("1-a".into(), "n".into(), 7, definition()).to_bytes();
        assert!(!WholeBackup::is_whole(&of_table));
        assert!(WholeBackup::from_bytes(&of_table).is_err() && WholeBackup::from_bytes(&[]).is_err());
    }

    #[test]
    fn a_restore_comes_back_from_its_bytes() {
        let mut restore = WholeRestore {
            backup: "1-a".into(),
            begun_at_ms: 1,
            phase: RestorePhase::Tables,
            tables: vec!["a".into()],
            identities: true,
            skipped: vec!["b".into()],
            made: (2, 3),
        };
        for (phase, is_under_way) in [
            (RestorePhase::Tables, true),
            (RestorePhase::Items, true),
            (RestorePhase::Complete, false),
            (RestorePhase::Cancelling, true),
            (RestorePhase::Cancelled, false),
        ] {
            restore.phase = phase;
            assert_eq!(WholeRestore::from_bytes(&restore.to_bytes()), Ok(restore.clone()));
            assert_eq!(restore.is_under_way(), is_under_way);
        }
        assert!(restore.wants("a") && !restore.wants("b"));
        restore.tables.clear();
        assert!(restore.wants("b"));
    }
}
