//! That a table's items are on their way from a bucket. It is part of a definition for as long as they are.

use bytes::Bytes;
use prost::Message;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// The id of the import.
    pub(crate) id: String,
    /// What is to be known of it from the beginning, as its row in the metadata has it.
    pub(crate) record: Bytes,
    /// Whether all items are written, and none is taken any more.
    pub(crate) is_sealed: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImportOfTable {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "2")]
    record: Bytes,
    #[prost(bool, tag = "3")]
    is_sealed: bool,
}

impl ImportOfTable {
    pub(super) fn of(import: &Import) -> Self {
        Self {
            id: import.id.clone(),
            record: import.record.clone(),
            is_sealed: import.is_sealed,
        }
    }

    pub(super) fn read(self) -> Import {
        Import {
            id: self.id,
            record: self.record,
            is_sealed: self.is_sealed,
        }
    }
}
