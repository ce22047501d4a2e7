//! The sentences about secondary indexes.

use stator_model::attribute::Kind;
use stator_model::index::Misfit;
use stator_model::key::{KeyError, KeyRole, PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX};

use super::key;
use crate::wire::error::ApiError;

/// An index that a table does not have.
pub(crate) fn no_index(name: &str) -> ApiError {
    ApiError::Validation(format!("The table does not have the specified index: {name}"))
}

/// A read of an index that is still being made.
pub(crate) fn backfilling(name: &str) -> ApiError {
    ApiError::Validation(format!(
        "Cannot read from backfilling global secondary index: {name}"
    ))
}

pub(crate) const CONSISTENT_GLOBAL: &str = "Consistent reads are not supported on global secondary indexes";

/// A strongly consistent read of a global index.
pub(crate) fn consistent_global() -> ApiError {
    ApiError::validation(CONSISTENT_GLOBAL)
}

/// ALL_ATTRIBUTES of a global index that does not have them.
pub(crate) fn not_all_projected(name: &str) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary \
         index {name} because its projection type is not ALL"
    ))
}

/// Attributes of a global index that its rows do not have.
pub(crate) fn not_projected(name: &str, attributes: &[&str]) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Global secondary index {name} does not project [{}]",
        attributes.join(", ")
    ))
}

/// An empty value where the key of an index is wanted; `kind` is `string` or `binary`.
pub(crate) fn empty_key(kind: &str, index: &str, attribute: &str) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
         AttributeValue for a key attribute cannot contain an empty {kind} value. IndexName: {index}, IndexKey: \
         {attribute}"
    ))
}

fn empty(kind: Kind) -> &'static str {
    match kind {
        Kind::Binary => "binary",
        _ => "string",
    }
}

/// An item that is put and has an attribute that an index cannot have for a key.
pub(crate) fn misfit(misfit: &Misfit, index: &str) -> ApiError {
    let attribute = &misfit.attribute;
    ApiError::Validation(match &misfit.error {
        KeyError::WrongKind { expected, actual, .. } => format!(
            "One or more parameter values were invalid: Type mismatch for Index Key {attribute} Expected: {} Actual: {} \
             IndexName: {index}",
            expected.descriptor(),
            actual.descriptor()
        ),
        KeyError::Empty { kind, .. } => return empty_key(empty(*kind), index, attribute),
        KeyError::TooLong { role, size } => format!(
            "One or more parameter values were invalid: Size limit exceeded for Index Key {attribute} Actual Size: {size} \
             bytes Max Size: {} bytes IndexName: {index}",
            match role {
                KeyRole::Partition => PARTITION_KEY_BYTES_MAX,
                KeyRole::Sort => SORT_KEY_BYTES_MAX,
            }
        ),
        error => return key(error),
    })
}

/// The same for an item that is changed.
///
/// Source: the service model's documentation of TransactionCanceledException.
pub(crate) fn misfit_of_update(misfit: &Misfit) -> String {
    match &misfit.error {
        KeyError::TooLong { .. } => {
            "The update expression attempted to update the secondary index key beyond allowed size limits"
                .to_owned()
        }
        KeyError::WrongKind { .. } => {
            "The update expression attempted to update the secondary index key to unsupported type".to_owned()
        }
        KeyError::Empty { kind, .. } => format!(
            "One or more parameter values are not valid. The update expression attempted to update a secondary index \
             key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty {} \
             value.",
            empty(*kind)
        ),
        error => match key(error) {
            ApiError::Validation(text) => text,
            other => other.to_string(),
        },
    }
}

pub(crate) const NO_PROJECTION: &str =
    "One or more parameter values were invalid: Unknown ProjectionType: null";
pub(crate) const NOTHING_INCLUDED: &str = "One or more parameter values were invalid: ProjectionType is INCLUDE, but NonKeyAttributes is not specified";
pub(crate) const TOO_MANY_INCLUDED: &str = "One or more parameter values were invalid: Number of projected attributes of all \
     secondary indexes exceeds per-table limit of 100";
pub(crate) const LOCAL_WITHOUT_SORT_KEY: &str = "One or more parameter values were invalid: Table KeySchema does not have a \
     range key, which is required when specifying a LocalSecondaryIndex";
pub(crate) const ONE_AT_A_TIME: &str = "Subscriber limit exceeded: Only 1 online index can be created or deleted \
     simultaneously per table";
pub(crate) const EXISTS: &str = "Attempting to create an index which already exists";

pub(crate) const CAPACITY_TOO_LARGE: &str =
    "Cannot increase provisioned throughput to more than 40,000 units per global secondary index";
pub(crate) const NO_ACTION: &str = "Update global secondary index action is null";

/// An update to the throughput that the index has; the pair is read and write units.
pub(crate) fn same_throughput(name: &str, (read_units, write_units): (i64, i64)) -> ApiError {
    ApiError::Validation(format!(
        "The provisioned throughput for the index {name} will not change. The requested value equals the current value. \
         Current ReadCapacityUnits provisioned for the index: {read_units}. Requested ReadCapacityUnits: {read_units}. \
         Current WriteCapacityUnits provisioned for the index: {write_units}. Requested WriteCapacityUnits: \
         {write_units}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher \
         limits."
    ))
}

/// A change of an index that is on its way. Source: quoted in public by users of DynamoDB, with the two spaces.
fn still_in_use(what: &str, table: &str, index: &str) -> ApiError {
    ApiError::ResourceInUse(format!(
        "Attempt to change a resource which is still in use: Index is being {what}.  Table: {table} Index: {index}"
    ))
}

/// An index that is made, once more, or given up before it is backfilled.
pub(crate) fn being_created(table: &str, index: &str) -> ApiError {
    still_in_use("created", table, index)
}

/// Settings of an index that is not backfilled yet.
pub(crate) fn not_backfilling(table: &str, index: &str) -> ApiError {
    still_in_use("created but not backfilling", table, index)
}

/// An index that is given up already.
pub(crate) fn being_deleted(table: &str, index: &str) -> ApiError {
    still_in_use("deleted", table, index)
}

fn invalid(what: impl std::fmt::Display) -> ApiError {
    ApiError::Validation(format!("One or more parameter values were invalid: {what}"))
}

/// A projection type that takes no names, with names.
pub(crate) fn included_beside(kind: &str) -> ApiError {
    invalid(format_args!(
        "ProjectionType is {kind}, but NonKeyAttributes is specified"
    ))
}

/// Throughput of an index of a table that is paid per request.
pub(crate) fn surplus_throughput(name: &str) -> ApiError {
    invalid(format_args!(
        "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
    ))
}

/// No throughput of an index of a table that has some.
pub(crate) fn missing_throughput(name: &str) -> ApiError {
    invalid(format_args!(
        "ProvisionedThroughput is not specified for index: {name}"
    ))
}

/// A local index without a sort key.
pub(crate) fn no_range_key(name: &str) -> ApiError {
    invalid(format_args!(
        "Index KeySchema does not have a range key for index: {name}"
    ))
}

/// A local index with another partition key than its table.
pub(crate) fn other_hash_key(name: &str, index: &str, table: &str) -> ApiError {
    invalid(format_args!(
        "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. index hash key: \
         {index}, table hash key: {table}"
    ))
}

/// Two indexes of one name.
pub(crate) fn duplicate(name: &str) -> ApiError {
    invalid(format_args!("Duplicate index name: {name}"))
}

/// More local indexes than a table can have.
pub(crate) fn too_many_local(most: usize) -> ApiError {
    invalid(format_args!(
        "Number of LocalSecondaryIndexes exceeds per-table limit of {most}"
    ))
}

/// More global indexes than a table can have.
pub(crate) fn too_many_global(most: usize) -> ApiError {
    invalid(format_args!(
        "GlobalSecondaryIndex count exceeds the per-table limit of {most}"
    ))
}

/// An empty list of indexes.
pub(crate) fn none(member: &str) -> ApiError {
    invalid(format_args!("List of {member} is empty"))
}

/// A key with more attributes than one may have.
pub(crate) fn too_many_key_attributes(name: &str) -> ApiError {
    invalid(format_args!(
        "KeySchema of index {name} has more than 4 attributes of one key type"
    ))
}

/// Definitions of attributes that no key has.
pub(crate) fn unused_definitions<'a>(
    definitions: impl Iterator<Item = &'a str>,
    used: impl Iterator<Item = &'a str>,
) -> ApiError {
    let used = used.collect::<std::collections::BTreeSet<_>>().into_iter();
    let list = |names: Vec<&str>| names.join(", ");
    invalid(format_args!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
        list(definitions.collect()),
        list(used.collect())
    ))
}

/// A change of an index that the table does not have.
pub(crate) fn not_there() -> ApiError {
    super::no_table()
}

/// A filter on attributes that the rows of an index do not have.
pub(crate) fn filter_not_projected(name: &str, attributes: &[&str]) -> ApiError {
    invalid(format_args!(
        "Secondary index {name} does not project one or more filter attributes: [{}]",
        attributes.join(", ")
    ))
}

/// A definition of an attribute that a key has with another type.
pub(crate) fn other_type(name: &str) -> ApiError {
    invalid(format_args!(
        "Attribute {name} is the key of the table or of an index already, with another type"
    ))
}
