//! The resource policies of a table and of its streams, as part of the table's definition.
//!
//! Invariant: a document is kept as it was put, and was a policy then; a table and a stream have at most one each.

use prost::Message;
use uuid::Uuid;

/// A policy of a table or of one of its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourcePolicy {
    /// The id of the stream; `None` for the policy of the table, which is that of its indexes, too.
    pub(crate) stream: Option<Uuid>,
    /// As it was put.
    pub(crate) document: String,
    /// `RevisionId`: another one for each document that is put in the place of another.
    pub(crate) revision: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourcePolicyRecord {
    #[prost(bytes = "vec", optional, tag = "1")]
    stream: Option<Vec<u8>>,
    #[prost(string, tag = "2")]
    document: String,
    #[prost(string, tag = "3")]
    revision: String,
}

impl ResourcePolicyRecord {
    pub(super) fn of(policy: &ResourcePolicy) -> Self {
        Self {
            stream: policy.stream.map(|id| id.as_bytes().to_vec()),
            document: policy.document.clone(),
            revision: policy.revision.clone(),
        }
    }

    pub(super) fn read(self) -> Result<ResourcePolicy, String> {
        let stream = self.stream.map(|id| Uuid::from_slice(&id)).transpose();
        Ok(ResourcePolicy {
            stream: stream.map_err(|error| error.to_string())?,
            document: self.document,
            revision: self.revision,
        })
    }
}
