//! The sentences about statements that need a table to be found. Those about their form are in `model`.

use stator_model::key::KeyError;

use crate::wire::error::ApiError;

pub(crate) const DUPLICATE: &str = "Duplicate primary key exists in table";
pub(crate) const EXISTS_OUTSIDE_TRANSACTION: &str =
    "EXISTS can only be used in ExecuteTransaction write requests.";
pub(crate) const EXISTS_OF_MORE: &str = "EXISTS() must contain a single item read with additional condition";
pub(crate) const KEY_NOT_GIVEN: &str =
    "Where clause does not contain a mandatory equality on all key attributes";
pub(crate) const MIXED_BATCH: &str = "Read and write requests together in the same batch is not supported.";
pub(crate) const MIXED_TRANSACTION: &str =
    "ExecuteTransaction API does not support both read and write operations in the same request.";
pub(crate) const NEXT_TOKEN: &str = "Invalid NextToken";
pub(crate) const ORDER_WITHOUT_WHERE: &str =
    "Must have WHERE clause in the statement when using ORDER BY clause.";
pub(crate) const ORDER_WITHOUT_PARTITION: &str =
    "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.";
pub(crate) const ORDERS_DIFFER: &str =
    "All attributes of the sort key must have the same direction in ORDER BY clause.";
pub(crate) const RETURNING_IN_TRANSACTION: &str = "RETURNING clause is not supported in ExecuteTransaction.";

/// A `SELECT` of more than one item, where the operation reads items one by one.
pub(crate) fn not_by_key(operation: &str) -> String {
    format!("Select statements within {operation} must specify the primary key in the where clause.")
}

/// What is wrong with a statement of a transaction, and which one it is.
pub(crate) fn in_transaction(place: usize, problem: &str) -> ApiError {
    ApiError::Validation(format!(
        "Validation failed in TransactStatements[{place}]: {problem}"
    ))
}

/// An `ORDER BY` of something that orders nothing.
pub(crate) fn order_by_no_key(attribute: &str) -> ApiError {
    ApiError::Validation(format!(
        "Variable reference {attribute} in ORDER BY clause must be part of the primary key"
    ))
}

/// A `WHERE` of a write that says two things of one key attribute.
pub(crate) fn key_twice(attribute: &str) -> ApiError {
    ApiError::Validation(format!(
        "Multiple conditions on same key {attribute}. Only single item Update/Insert/Delete are supported"
    ))
}

/// A value of a statement that is no key.
pub(crate) fn key(error: &KeyError) -> ApiError {
    ApiError::Validation(match error {
        KeyError::Missing { name } => format!("Key attribute should be present in the item: Key {name}"),
        KeyError::WrongKind { name, .. } => {
            format!("Key attribute's data type should match its data type in table's schema: Key {name}")
        }
        other => return super::key(other),
    })
}
