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
/// Source of these two: as for [`NO_ACTION`].
pub(crate) const SAME_KEYS: &str = "The KeySchema contains multiple key attributes with the same name";
pub(crate) const HASH_BEHIND_RANGE: &str = "One or more parameter values were invalid: All HASH key attributes must precede \
     RANGE key attributes in the KeySchema";
pub(crate) const EXISTS: &str = "Attempting to create an index which already exists";

/// Source of those of changes of indexes: the service's answers in aws-controllers-k8s/dynamodb-controller,
/// docs/api-quirks/table-indexes.md.
pub(crate) const NO_ACTION: &str = "One or more parameter values were invalid: One of GlobalSecondaryIndexUpdate.Update, \
     GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null";
pub(crate) const SEVERAL_ACTIONS: &str = "One or more parameter values were invalid: Only one global secondary index action \
     is allowed per GlobalSecondaryIndexUpdate object";

/// An update to the throughput that the index has; the pair is read and write units.
pub(crate) fn same_throughput(name: &str, (read_units, write_units): (i64, i64)) -> ApiError {
    ApiError::Validation(format!(
        "The provisioned throughput for the index {name} will not change. The requested value equals the current value. \
         Current ReadCapacityUnits provisioned for index {name}: {read_units}. Requested ReadCapacityUnits: {read_units}. \
         Current WriteCapacityUnits provisioned for index {name}: {write_units}. Requested WriteCapacityUnits: \
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

/// An index that is made, once more.
pub(crate) fn being_created(table: &str, index: &str) -> ApiError {
    still_in_use("created", table, index)
}

/// An index that is made and is given up before it is backfilled.
pub(crate) fn in_allocation(table: &str, index: &str) -> ApiError {
    ApiError::ResourceInUse(format!(
        "Attempt to change a resource which is still in use: Index creation is in resource allocation phase. Retry deletion \
         during backfilling phase or when the index is active.  Table: {table} Index: {index}"
    ))
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

/// An index without throughput of a table that is to be provisioned.
pub(crate) fn to_be_provisioned(name: &str) -> ApiError {
    invalid(format_args!(
        "ProvisionedThroughput must be specified for index: {name}"
    ))
}

/// An index of a table that is paid per request, with another change than it can have.
pub(crate) fn only_on_demand(name: &str) -> ApiError {
    invalid(format_args!(
        "The only Updates for index: {name} when TableThroughputMode is PAY_PER_REQUEST can be to OnDemandThroughput, \
         WarmThroughput"
    ))
}

/// Throughput of an index that is added to a table that is paid per request.
pub(crate) fn surplus_units(name: &str) -> ApiError {
    invalid(format_args!(
        "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name} when BillingMode is \
         PAY_PER_REQUEST"
    ))
}

/// No throughput of an index that is added to a table that has some.
pub(crate) fn missing_units(name: &str) -> ApiError {
    invalid(format_args!(
        "Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: {name}"
    ))
}

/// Warm throughput of an index without units.
pub(crate) fn no_warm_units(name: &str) -> ApiError {
    invalid(format_args!(
        "WarmThroughput must have at least one of ReadUnitsPerSecond or WriteUnitsPerSecond specified for index: {name}"
    ))
}

/// Two changes of one index in one request.
pub(crate) fn changed_twice(name: &str) -> ApiError {
    invalid(format_args!(
        "Only one global secondary index update per index is allowed simultaneously. Index: {name}"
    ))
}

/// An index that is added with keys that nothing defines.
pub(crate) fn no_definitions(name: &str) -> ApiError {
    invalid(format_args!(
        "AttributeDefinitions is not specified for index: {name}"
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

/// One more global index than a table can have, which is added later.
pub(crate) fn one_too_many_global(most: usize) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit of {most}"
    ))
}

/// An empty list of indexes.
pub(crate) fn none(member: &str) -> ApiError {
    invalid(format_args!("List of {member} is empty"))
}

/// A key with more attributes of a role than one may have; `role` is HASH or RANGE. Source: as for [`NO_ACTION`].
pub(crate) fn too_many_key_attributes(role: &str) -> ApiError {
    invalid(format_args!(
        "The KeySchema exceeds the maximum allowed number of {role} key attributes"
    ))
}

/// An attribute that is to be projected twice. Source: as for [`NO_ACTION`].
pub(crate) fn included_twice(name: &str) -> ApiError {
    invalid(format_args!("Duplicate element in NonKeyAttributes: {name}"))
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
pub(crate) fn not_there(name: &str, table: &str) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "Requested resource not found: Index {name} for table {table}"
    ))
}

/// A change of a local index; `action` is `update` or `delete`.
pub(crate) fn not_global(action: &str, name: &str) -> ApiError {
    ApiError::Validation(format!(
        "Cannot {action} an index that is not a GlobalSecondaryIndex: {name}"
    ))
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
