//! Where the items of a table come from that was restored, and whether they are there.

use prost::Message;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restore {
    /// The name of the table that the backup is of.
    pub(crate) table: String,
    /// The id of the backup.
    pub(crate) backup: String,
    /// The time of the backup, in milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// Whether items may still be on their way.
    pub(crate) in_progress: bool,
    /// Whether all of them are written, and none is taken any more.
    pub(crate) is_sealed: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RestoreRecord {
    #[prost(string, tag = "1")]
    table: String,
    #[prost(string, tag = "2")]
    backup: String,
    #[prost(sint64, tag = "3")]
    at_ms: i64,
    #[prost(bool, tag = "4")]
    in_progress: bool,
    #[prost(bool, tag = "5")]
    is_sealed: bool,
}

impl RestoreRecord {
    pub(super) fn of(restore: &Restore) -> Self {
        Self {
            table: restore.table.clone(),
            backup: restore.backup.clone(),
            at_ms: restore.at_ms,
            in_progress: restore.in_progress,
            is_sealed: restore.is_sealed,
        }
    }

    pub(super) fn read(self) -> Restore {
        Restore {
            table: self.table,
            backup: self.backup,
            at_ms: self.at_ms,
            in_progress: self.in_progress,
            is_sealed: self.is_sealed,
        }
    }
}
