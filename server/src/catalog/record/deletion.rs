//! That a table is being deleted: a last backup of it is made first. It is part of a definition until the table goes.

use prost::Message;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// The id of the backup.
    pub(crate) backup: String,
    /// When the deletion was asked for, in milliseconds since the Unix epoch.
    pub(crate) asked_at_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeletionRecord {
    #[prost(string, tag = "1")]
    backup: String,
    #[prost(sint64, tag = "2")]
    asked_at_ms: i64,
}

impl DeletionRecord {
    pub(super) fn of(deletion: &Deletion) -> Self {
        Self {
            backup: deletion.backup.clone(),
            asked_at_ms: deletion.asked_at_ms,
        }
    }

    pub(super) fn read(self) -> Deletion {
        Deletion {
            backup: self.backup,
            asked_at_ms: self.asked_at_ms,
        }
    }
}
