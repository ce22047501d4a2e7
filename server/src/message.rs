//! The sentences of the API that operations share: one table of messages, worded as DynamoDB words them.
//!
//! Those of table operations are in `message/table.rs`. Sentences of attribute values are in
//! `wire/decode/attribute.rs`, those of numbers and expressions in `model`.

pub(crate) mod backup;
pub(crate) mod index;
pub(crate) mod policy;
pub(crate) mod statement;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod time_to_live;
pub(crate) mod transfer;

use stator_model::attribute::Kind;
use stator_model::key::{KeyError, KeyRole};

use crate::throttle::Throttled;
use crate::wire::error::ApiError;

pub(crate) const ITEM_TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";
pub(crate) const UPDATED_ITEM_TOO_LARGE: &str = "Item size to update has exceeded the maximum allowed size";
/// Source: Amazon DynamoDB Developer Guide, "Error handling: ItemCollectionSizeLimitExceededException".
pub(crate) const COLLECTION_TOO_LARGE: &str = "Collection size exceeded.";
pub(crate) const KEY_MISMATCH: &str = "The provided key element does not match the schema";
pub(crate) const TABLE_NAME: &str = "Invalid table/index name.  Table/index names must be between 3 and 255 characters \
                                     long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'";
pub(crate) const DUPLICATE_KEYS: &str = "Provided list of item keys contains duplicates";
pub(crate) const CONDITION_AT_ONE: &str = "One or more parameter values were invalid: ConsistencyLevel ONE is not supported \
                                           for writes with a condition; use QUORUM or ALL";
pub(crate) const UPDATE_AT_ONE: &str = "One or more parameter values were invalid: ConsistencyLevel ONE is not supported for \
                                        UpdateItem, which reads before it writes; use QUORUM or ALL";
pub(crate) const RETURN_VALUES_OLD_ONLY: &str = "ReturnValues can only be ALL_OLD or NONE";

/// Source: Amazon DynamoDB Developer Guide, "Error handling: ThrottlingException".
pub(crate) const THROTTLED: &str = "Rate of requests exceeds the allowed throughput.";

pub(crate) const CONDITION_FAILED: &str = "The conditional request failed";
pub(crate) const TRANSACTION_CONFLICT: &str = "Transaction is ongoing for the item";
pub(crate) const TRANSACTION_IN_PROGRESS: &str =
    "The transaction with the given request token is already in progress.";
pub(crate) const TRANSACTION_OTHER_PAYLOAD: &str = "DynamoDB rejected the request because you retried a request with a different \
                                                    payload but with an idempotent token that was already used.";
pub(crate) const TRANSACTION_SAME_ITEM: &str =
    "Transaction request cannot include multiple operations on one item";
pub(crate) const TRANSACTION_NO_ACTION: &str =
    "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request";
pub(crate) const TRANSACTION_MANY_ACTIONS: &str =
    "TransactItems can only contain one of Check, Put, Update or Delete";
pub(crate) const TRANSACTION_AT_ONE: &str = "One or more parameter values were invalid: ConsistencyLevel ONE is not supported for \
                                             transactions; use QUORUM or ALL";

/// What a request is told whose table or index has no throughput left.
///
/// Source: the service model's documentation of TransactionCanceledException.
pub(crate) fn throttled(throttled: &Throttled) -> &'static str {
    match (throttled.is_on_demand, throttled.is_index) {
        (true, _) => "Throughput exceeds the maximum OnDemandThroughput configured on table or index",
        (false, false) => {
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API."
        }
        (false, true) => {
            "The level of configured provisioned throughput for one or more global secondary indexes of the table was \
             exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes \
             with the UpdateTable API."
        }
    }
}

/// A transaction whose items are more than one may have.
pub(crate) fn transaction_too_large(bytes: usize) -> ApiError {
    ApiError::Validation(format!(
        "Transaction payload size cannot exceed 4MB. Payload Size: {bytes}"
    ))
}

/// A transaction that did not take place, with the codes of its reasons.
pub(crate) fn transaction_canceled(codes: &[&str]) -> String {
    format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    )
}

/// An item operation on a table that is not there.
pub(crate) fn no_table() -> ApiError {
    ApiError::ResourceNotFound("Requested resource not found".to_owned())
}

/// A table operation on a table that is not there.
pub(crate) fn no_table_named(name: &str) -> ApiError {
    ApiError::ResourceNotFound(format!("Requested resource not found: Table: {name} not found"))
}

/// An item that cannot be stored because of its key.
pub(crate) fn item_key(error: &KeyError) -> ApiError {
    ApiError::Validation(match error {
        KeyError::Missing { name } => {
            format!("One or more parameter values were invalid: Missing the key {name} in the item")
        }
        KeyError::WrongKind {
            name,
            expected,
            actual,
        } => format!(
            "One or more parameter values were invalid: Type mismatch for key {name} expected: {} actual: {}",
            expected.descriptor(),
            actual.descriptor()
        ),
        KeyError::Empty { .. } | KeyError::TooLong { .. } | KeyError::Surplus => return key(error),
    })
}

/// A key that is none of the table's.
pub(crate) fn key(error: &KeyError) -> ApiError {
    ApiError::Validation(match error {
        KeyError::Missing { .. } | KeyError::WrongKind { .. } | KeyError::Surplus => KEY_MISMATCH.to_owned(),
        KeyError::Empty { name, kind } => format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
             empty {} value. Key: {name}",
            if *kind == Kind::Binary { "binary" } else { "string" }
        ),
        KeyError::TooLong { role: KeyRole::Partition, .. } => {
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"
                .to_owned()
        }
        KeyError::TooLong { role: KeyRole::Sort, .. } => {
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit \
             of 1024 bytes"
                .to_owned()
        }
    })
}
