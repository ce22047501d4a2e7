//! Why a call of the IAM or STS API is refused. Codes, status and XML are the part of `wire/query/error.rs`.

use stator_iam::directory::{DirectoryError, MalformedRow};

/// A call that is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum IdentityError {
    /// In IAM's words.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Who signed is not proved.
    #[error("{}: {}", .0.code(), .0)]
    Authentication(stator_iam::Error),
    /// More than one client may ask for at a time.
    #[error("Throttling")]
    Throttling,
    /// Who signed may not do it.
    #[error("AccessDenied: {0}")]
    AccessDenied(String),
    /// No call of the API, or one that this version does not have.
    #[error("InvalidAction: {0}")]
    InvalidAction(String),
    /// The policies of a session are too long.
    #[error("PackedPolicyTooLarge: {0}")]
    PackedPolicyTooLarge(String),
    /// The body is larger than it may be, or breaks off.
    #[error("the body is of no use")]
    Body,
    /// Others have changed the same each time; it can be tried again.
    #[error("ConcurrentModification")]
    Contended,
    /// The cluster cannot say or do it now.
    #[error("ServiceUnavailable: {0}")]
    Unavailable(String),
    /// Something failed on our side. What it was is logged, not told.
    #[error("ServiceFailure: {0}")]
    Internal(String),
}

impl IdentityError {
    /// Whether the cluster could not be asked; it may be another time.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<MalformedRow> for IdentityError {
    fn from(error: MalformedRow) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<stator_cluster::Error> for IdentityError {
    fn from(error: stator_cluster::Error) -> Self {
        match error {
            stator_cluster::Error::Unavailable { cause } => Self::Unavailable(cause),
            error => Self::Internal(error.to_string()),
        }
    }
}
