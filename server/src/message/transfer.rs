//! Sentences about exports and imports. They are ours, but for the names of the errors and where it says
//! otherwise.

use super::backup::seconds;
use crate::transfer::TransferError;
use crate::wire::error::ApiError;

/// A node that was not told where buckets are.
pub(crate) const NOWHERE: &str = "Exports and imports are not configured: name a directory that all nodes share, or an endpoint, \
                                  in object_store of the configuration file";

/// An import that is not there, or not any more.
pub(crate) fn no_import(arn: &str) -> ApiError {
    ApiError::Transfer("ImportNotFoundException", format!("Import not found: {arn}"))
}

/// An export that is not there, or not any more.
pub(crate) fn no_export(arn: &str) -> ApiError {
    ApiError::Transfer("ExportNotFoundException", format!("Export not found: {arn}"))
}

/// A bulk operation that is not there, or not any more.
pub(crate) fn no_bulk_operation(arn: &str) -> ApiError {
    ApiError::ResourceNotFound(format!("Bulk operation not found: {arn}"))
}

/// A table that takes no bulk puts as long as it is what it is.
pub(crate) fn no_bulk_puts(table: &str) -> ApiError {
    ApiError::ResourceInUse(format!(
        "Bulk operations wait until the table and its indexes are made: {table}"
    ))
}

/// Something is to be cancelled that no operator cancels.
pub(crate) const NOT_CANCELLED: &str = "Name a backup that is being made, an export or a bulk operation by its ARN; restores and \
                                        imports end when their table is deleted";

/// An export is to be cancelled, and cannot be any more.
pub(crate) const EXPORT_OVER: &str = "The export is over";

/// Nothing of a bulk operation is to be told.
pub(crate) const NO_OUTPUT_TYPE: &str = "One or more parameter values were invalid: OutputType must name ERROR, \
                                         CONDITION_CHECK_FAILURE or both";

/// A key of KMS where KMS is not asked for.
pub(crate) const KEY_WITHOUT_KMS: &str = "One or more parameter values were invalid: S3SseKmsKeyId must not be provided unless \
                                          S3SseAlgorithm is KMS";

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

/// A moment of which a table cannot be exported; it can of those between `earliest_ms` and `latest_ms`, if there are any yet.
/// Source: service model of DynamoDB, InvalidExportTimeException, up to the colon.
pub(crate) fn wrong_moment(member: &str, at_ms: i64, restorable: Option<(i64, i64)>) -> ApiError {
    let why = match restorable {
        Some((earliest_ms, latest_ms)) => format!(
            "{} is not between {} and {}",
            seconds(at_ms),
            seconds(earliest_ms),
            seconds(latest_ms)
        ),
        None => "it is being enabled, and there is no moment in it yet".to_owned(),
    };
    invalid_time(format!(
        "The specified {member} is outside of the point in time recovery window: {why}"
    ))
}

/// Changes are to be exported, and it is not said of when.
pub(crate) const NO_PERIOD: &str = "One or more parameter values were invalid: IncrementalExportSpecification with ExportFromTime \
                                    must be provided when ExportType is INCREMENTAL_EXPORT";

/// A whole table is to be exported, and a period is named.
pub(crate) const PERIOD_OF_FULL: &str = "One or more parameter values were invalid: IncrementalExportSpecification must not be \
                                         provided when ExportType is FULL_EXPORT";

/// Changes are to be exported, and a moment is named.
pub(crate) const MOMENT_OF_CHANGES: &str = "One or more parameter values were invalid: ExportTime must not be provided when \
                                            ExportType is INCREMENTAL_EXPORT";

/// A period that ends before it begins. Source: quoted in public by users of DynamoDB.
pub(crate) fn no_time_between() -> ApiError {
    let text = "Incremental export period from time should not be greater or equal to incremental export period to time";
    invalid_time(text.to_owned())
}

/// A period that is too short or too long.
pub(crate) fn wrong_period() -> ApiError {
    let text = "Incremental export period must be between 15 minutes and 24 hours";
    invalid_time(text.to_owned())
}

fn invalid_time(text: String) -> ApiError {
    ApiError::Transfer("InvalidExportTimeException", text)
}

/// A failure to read or change exports and imports, as an operation answers it.
pub(crate) fn failed(error: TransferError) -> ApiError {
    match error {
        TransferError::Cluster(error) => error.into(),
        TransferError::Malformed { .. } => ApiError::Internal(error.to_string()),
    }
}
