//! Sentences about exports and imports. They are ours, but for the names of the errors and where it says
//! otherwise. Where a source is the service's answers, they are those in aws-controllers-k8s/dynamodb-controller, docs/api-quirks.

use stator_iam::iso_8601;

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

/// An export that is not there, or not any more. It does begin so twice. Source: the service's answers, export.md, DDB-EXPORT-006.
pub(crate) fn no_export(arn: &str) -> ApiError {
    let text = format!("Export not found: Export not found: {arn}");
    ApiError::Transfer("ExportNotFoundException", text)
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

/// Options of CSV for records that are none. Source: the service's answers, details/DDB-IMPORT-009.md.
pub(crate) fn csv_of_other_format(format: &str) -> ApiError {
    ApiError::Validation(format!(
        "Invalid Request: Unsupported InputFormatOptions for the given input format: {format}."
    ))
}

/// Another import was asked for under the same token. Source: the service's answers, import.md, DDB-IMPORT-017.
pub(crate) fn import_conflict() -> ApiError {
    let text = "Import conflict: Duplicate request detected with conflicting parameters";
    ApiError::Transfer("ImportConflictException", text.to_owned())
}

/// Another export was asked for under the same token. Source: the same, export.md, DDB-EXPORT-009.
pub(crate) fn export_conflict() -> ApiError {
    let text = "Export conflict: Duplicate request detected with conflicting parameters";
    ApiError::Transfer("ExportConflictException", text.to_owned())
}

/// More are under way than may be at a time.
pub(crate) fn too_many(what: &str, most: usize) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: There is a limit of {most} concurrent {what} per subscriber"
    ))
}

/// What should be the ARN of an export, and of an import. Source: the service's answers, export.md, DDB-EXPORT-006, and import.md,
/// DDB-IMPORT-010.
pub(crate) const INVALID_EXPORT_ARN: &str = "Invalid Export ARN";
pub(crate) const INVALID_IMPORT_ARN: &str = "Invalid Import ARN";

/// What should be the ARN of a table that is to be exported: nothing, a name, and the ARN of something else. Source: the same,
/// details/DDB-TABLE-457.md; export.md, DDB-EXPORT-001; details/DDB-EXPORT-002.md.
pub(crate) const EMPTY_TABLE_ARN: &str = "Invalid TableArn: Invalid Table ARN";
pub(crate) const NO_TABLE_ARN: &str =
    "One or more parameter values were invalid: tableArn is not a valid ARN";
pub(crate) const OTHER_TABLE_ARN: &str = "Invalid Request: Table ARN is invalid.";

/// What should be the ARN of a bulk operation.
pub(crate) fn invalid_arn(member: &str, text: &str) -> ApiError {
    ApiError::Validation(format!("Invalid {member}: {text}"))
}

/// What should be a token of an earlier page. Source: the service's answers, export.md, DDB-EXPORT-006.
pub(crate) fn invalid_next_token(token: &str) -> ApiError {
    ApiError::Validation(format!("Invalid Request: Provided nextToken is invalid: {token}"))
}

/// A moment of which there is no table to export, as there was none yet, or it has not come. Source of this sentence and the next:
/// the service's answers, export.md, DDB-EXPORT-001.
pub(crate) fn no_moment_of_table() -> ApiError {
    invalid_time("Export Time is invalid".to_owned())
}

/// A moment of a table that cannot be exported any more, or not yet.
pub(crate) fn not_recovered() -> ApiError {
    invalid_time("Point in Time Recovery is not available for specified export time".to_owned())
}

/// An end of a period whose changes cannot be exported; they can between `earliest_ms` and `latest_ms`, if there are any yet.
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

/// Changes are to be exported, and no period is named; the next ones: without its beginning; a period without a type, and for a whole
/// table. Source: the service's answers, details/DDB-EXPORT-003.md.
pub(crate) const NO_PERIOD: &str = "Invalid Request: Incremental Export Specification expected when export type is set as Incremental Export";
pub(crate) const NO_BEGINNING: &str =
    "Invalid Request: ExportFromTime must be provided in IncrementalExportSpecification";
pub(crate) const PERIOD_WITHOUT_TYPE: &str = "Invalid Request: Export Type expected to be Incremental Export when incremental export specification is provided";
pub(crate) const PERIOD_OF_FULL: &str = "Invalid Request: When Export Type is Full Export , Incremental Export Specification should not be provided";

/// A key where objects of an export are to be encrypted otherwise. Source: the same, export.md, DDB-EXPORT-005.
pub(crate) const KEY_OF_OTHER_ENCRYPTION: &str =
    "Invalid Request: KMS Key Id is not supported for this encryption type";

/// Changes are to be exported, and a moment is named.
pub(crate) const MOMENT_OF_CHANGES: &str = "One or more parameter values were invalid: ExportTime must not be provided when \
                                            ExportType is INCREMENTAL_EXPORT";

/// A period that ends before it begins. Source: quoted in public by users of DynamoDB.
pub(crate) fn no_time_between() -> ApiError {
    let text = "Incremental export period from time should not be greater or equal to incremental export period to time";
    invalid_time(text.to_owned())
}

/// A period that begins before its table. Source of this sentence and the next two: the service's answers,
/// details/DDB-EXPORT-004.md.
pub(crate) fn before_table(from_ms: i64) -> ApiError {
    let from = iso_8601(from_ms);
    invalid_time(format!(
        "Incremental export period from time cannot be less than the table creation time : {from}"
    ))
}

/// A period that has not ended.
pub(crate) fn in_future(to_ms: i64) -> ApiError {
    let to = iso_8601(to_ms);
    invalid_time(format!(
        "Incremental export period to time cannot be greater than the current time : {to}"
    ))
}

/// A period that is too short.
pub(crate) fn too_short() -> ApiError {
    invalid_time(format!("{PERIOD_LENGTH} is less than 15 minutes"))
}

/// A period that is too long. The sentence is ours, after the one before.
pub(crate) fn too_long() -> ApiError {
    invalid_time(format!("{PERIOD_LENGTH} is greater than 24 hours"))
}

const PERIOD_LENGTH: &str = "Difference between export period from time and export period to time";

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
