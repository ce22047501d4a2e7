//! Where the items of a table come from that was restored, and whether they are there.

use prost::Message;
use uuid::Uuid;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restore {
    /// The name of the table that it was.
    pub(crate) table: String,
    /// The id of the backup; empty if it comes from a history.
    pub(crate) backup: String,
    /// The time of the backup, or the moment that the table is restored to, in milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// Whether items may still be on their way.
    pub(crate) in_progress: bool,
    /// Whether all of them are written, and none is taken any more.
    pub(crate) is_sealed: bool,
    /// The id of the history that it comes from, if it does not come from a backup.
    pub(crate) history: Option<Uuid>,
    /// The id that the table had in a backup of the whole cluster, if it comes from one.
    pub(crate) part: Option<Uuid>,
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
    #[prost(bytes = "vec", optional, tag = "6")]
    history: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "7")]
    part: Option<Vec<u8>>,
}

impl RestoreRecord {
    pub(super) fn of(restore: &Restore) -> Self {
        Self {
            table: restore.table.clone(),
            backup: restore.backup.clone(),
            at_ms: restore.at_ms,
            in_progress: restore.in_progress,
            is_sealed: restore.is_sealed,
            history: restore.history.map(|id| id.as_bytes().to_vec()),
            part: restore.part.map(|id| id.as_bytes().to_vec()),
        }
    }

    pub(super) fn read(self) -> Result<Restore, String> {
        let id = |bytes: Option<Vec<u8>>| bytes.map(|id| Uuid::from_slice(&id)).transpose();
        let wrong = |error: uuid::Error| error.to_string();
        Ok(Restore {
            table: self.table,
            backup: self.backup,
            at_ms: self.at_ms,
            in_progress: self.in_progress,
            is_sealed: self.is_sealed,
            history: id(self.history).map_err(wrong)?,
            part: id(self.part).map_err(wrong)?,
        })
    }
}
