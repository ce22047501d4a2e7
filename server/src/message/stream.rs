//! The sentences about streams.

use crate::wire::error::ApiError;

pub(crate) const NO_VIEW_TYPE: &str =
    "One or more parameter values were invalid: StreamViewType is required when StreamEnabled is true";
pub(crate) const BAD_ITERATOR: &str = "Invalid ShardIterator";
pub(crate) const EXPIRED_ITERATOR: &str =
    "Iterator expired. The iterator was created at time earlier than 15 minutes ago";
pub(crate) const TRIMMED: &str = "The operation attempted to read past the oldest stream record in a shard";
pub(crate) const SEQUENCE_NUMBER_MISSING: &str = "One or more parameter values were invalid: The SequenceNumber parameter is \
     required when ShardIteratorType is AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER";
pub(crate) const SEQUENCE_NUMBER_SURPLUS: &str = "One or more parameter values were invalid: The SequenceNumber parameter \
     cannot be specified when ShardIteratorType is TRIM_HORIZON or LATEST";

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
pub(crate) fn no_shard(shard: &str, arn: &str) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "Requested resource not found: Shard: {shard} in Stream: {arn} not found"
    ))
}

/// A sequence number that no record of the shard can have.
pub(crate) fn bad_sequence_number(number: &str) -> ApiError {
    ApiError::Validation(format!("Invalid SequenceNumber: {number}"))
}
