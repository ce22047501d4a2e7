//! Sentences about exports and imports. They are ours, but for the names of the errors.

use crate::transfer::TransferError;
use crate::wire::error::ApiError;

/// A node that was not told where buckets are.
pub(crate) const NOWHERE: &str = "Exports and imports are not configured: name a directory that all nodes share, or an endpoint, \
                                  in object_store of the configuration file";

/// Changes between two moments are to be exported.
pub(crate) const INCREMENTAL: &str = "One or more parameter values were invalid: Exports of the past are not supported yet by this \
                                      version of Stator: ExportType INCREMENTAL_EXPORT; use FULL_EXPORT";

/// An import that is not there, or not any more.
pub(crate) fn no_import(arn: &str) -> ApiError {
    ApiError::Transfer("ImportNotFoundException", format!("Import not found: {arn}"))
}

/// An export that is not there, or not any more.
pub(crate) fn no_export(arn: &str) -> ApiError {
    ApiError::Transfer("ExportNotFoundException", format!("Export not found: {arn}"))
}

/// Another import was asked for under the same token.
pub(crate) fn import_conflict() -> ApiError {
    let text = "ClientToken was used for an import with other parameters";
    ApiError::Transfer("ImportConflictException", text.to_owned())
}

/// Another export was asked for under the same token.
pub(crate) fn export_conflict() -> ApiError {
    let text = "ClientToken was used for an export with other parameters";
    ApiError::Transfer("ExportConflictException", text.to_owned())
}

/// More are under way than may be at a time.
pub(crate) fn too_many(what: &str, most: usize) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: There is a limit of {most} concurrent {what} per subscriber"
    ))
}

/// What should be the ARN of an import or an export.
pub(crate) fn invalid_arn(member: &str, text: &str) -> ApiError {
    ApiError::Validation(format!("Invalid {member}: {text}"))
}

/// What should be a token of an earlier page.
pub(crate) fn invalid_next_token() -> ApiError {
    ApiError::validation("One or more parameter values were invalid: NextToken is not valid")
}

/// A failure to read or change exports and imports, as an operation answers it.
pub(crate) fn failed(error: TransferError) -> ApiError {
    match error {
        TransferError::Cluster(error) => error.into(),
        TransferError::Malformed { .. } => ApiError::Internal(error.to_string()),
    }
}
