//! Why a change of the directory is refused: IAM's codes and sentences.
//!
//! Wording: the IAM API reference ("Errors" of each action) and the answers of the live service that users quote. HTTP status
//! codes and XML belong to the caller.

/// IAM's names of errors, as its query API spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// What the call names is not there.
    NoSuchEntity,
    /// The name is taken.
    EntityAlreadyExists,
    /// Something hangs on what was to be deleted.
    DeleteConflict,
    /// A quota would be exceeded.
    LimitExceeded,
    /// A policy document is no policy.
    MalformedPolicyDocument,
    /// An argument is well-formed and makes no sense.
    InvalidInput,
    /// An argument breaks a rule of the service model.
    ValidationError,
    /// An argument does not fit what was settled before.
    InvalidParameterValue,
}

impl ErrorCode {
    /// As the query API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSuchEntity => "NoSuchEntity",
            Self::EntityAlreadyExists => "EntityAlreadyExists",
            Self::DeleteConflict => "DeleteConflict",
            Self::LimitExceeded => "LimitExceeded",
            Self::MalformedPolicyDocument => "MalformedPolicyDocument",
            Self::InvalidInput => "InvalidInput",
            Self::ValidationError => "ValidationError",
            Self::InvalidParameterValue => "InvalidParameterValue",
        }
    }
}

/// A change that is refused, with the sentence that the client gets to see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct DirectoryError {
    /// What kind of refusal it is.
    pub code: ErrorCode,
    /// The sentence.
    pub message: String,
}

impl DirectoryError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NoSuchEntity, message)
    }

    pub(super) fn exists(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::EntityAlreadyExists, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::DeleteConflict, message)
    }

    pub(super) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::LimitExceeded, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidInput, message)
    }
}
