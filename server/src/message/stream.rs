//! The sentences about streams.

use crate::wire::error::ApiError;

/// Source of these sentences and of those of [`already_enabled`] and [`not_enabled`]: the service's answers in
/// aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-050.md and DDB-TABLE-442.md.
pub(crate) const NO_VIEW_TYPE: &str = "One or more parameter values were invalid: Table is being created with a stream \
     enabled, UpdateViewType is required";
pub(crate) const VIEW_TYPE_WITHOUT_STREAM: &str = "One or more parameter values were invalid: Table is being created with a \
     stream disabled, UpdateViewType should not be specified";
pub(crate) const UPDATED_NO_VIEW_TYPE: &str =
    "One or more parameter values were invalid: If stream is being enabled then UpdateViewType is required";
pub(crate) const UPDATED_VIEW_TYPE_WITHOUT_STREAM: &str = "One or more parameter values were invalid: If stream is being \
     disabled, then UpdateViewType must not be specified";
pub(crate) const BAD_ITERATOR: &str = "Invalid ShardIterator";
pub(crate) const EXPIRED_ITERATOR: &str =
    "Iterator expired. The iterator was created at time earlier than 15 minutes ago";
/// Source: the service's answer in ironSource/node-dynamodb-stream issue 13; service model, TrimmedDataAccessException.
pub(crate) const TRIMMED: &str = "The data you are trying to access has been trimmed";
pub(crate) const SEQUENCE_NUMBER_MISSING: &str =
    "One or more parameter values were invalid: Invalid SequenceNumber";
pub(crate) const SEQUENCE_NUMBER_SURPLUS: &str = "One or more parameter values were invalid: SequenceNumber should not \
     be passed for this iterator type";

pub(crate) const FILTER_WITH_START: &str =
    "ShardFilter and ExclusiveStartShardId both should not be specified in the request.";

pub(crate) const TIMESTAMP_MISSING: &str =
    "One or more parameter values were invalid: Timestamp must be specified for AT_TIMESTAMP";

/// A time that has not come yet. The sentence is ours.
pub(crate) const TIMESTAMP_IN_FUTURE: &str =
    "One or more parameter values were invalid: Timestamp must not be in the future";
pub(crate) const TOO_MANY_RECORDS: &str =
    "One or more parameter values were invalid: Limit should be less than or equal to 1000";
pub(crate) const TOO_MANY_SHARDS: &str =
    "One or more parameter values were invalid: Limit cannot be greater than the maximum: 100";
pub(crate) const TOO_MANY_STREAMS: &str =
    "One or more parameter values were invalid: Limit cannot be greater than the maximum allowed size: 100";

/// A stream for a table that has one.
pub(crate) fn already_enabled(table: &str) -> ApiError {
    ApiError::Validation(format!("Table already has an enabled stream: TableName: {table}"))
}

/// The end of a stream that a table does not have.
pub(crate) fn not_enabled(table: &str) -> ApiError {
    ApiError::Validation(format!("Table has no stream to disable: TableName: {table}"))
}

/// A stream that is not there.
pub(crate) fn no_stream(arn: &str) -> ApiError {
    ApiError::ResourceNotFound(format!("Requested resource not found: Stream: {arn} not found"))
}

/// A shard that is not there.
///
/// Source: the service's answers in ironSource/node-dynamodb-stream issue 16, opensearch-project/data-prepper issue 4401.
pub(crate) fn no_shard() -> ApiError {
    ApiError::ResourceNotFound("Requested resource not found: Shard does not exist".to_owned())
}

/// A sequence number that no record of the shard can have.
pub(crate) fn bad_sequence_number(number: &str) -> ApiError {
    ApiError::Validation(format!("Invalid SequenceNumber: {number}"))
}
