//! The sentences of table and tag operations, and the one table of what this version does not have yet.

use std::fmt::Display;

use stator_cluster::ConsistencyLevel;

use crate::catalog::CatalogError;
use crate::consistency;
use crate::constraint::ModelEnum as _;
use crate::wire::error::ApiError;

pub(crate) const CAPACITY_WITH_PAY_PER_REQUEST: &str = "One or more parameter values were invalid: Neither \
     ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST";
pub(crate) const CAPACITY_MISSING: &str = "One or more parameter values were invalid: ReadCapacityUnits and \
     WriteCapacityUnits must both be specified when BillingMode is PROVISIONED";
pub(crate) const CAPACITY_TOO_LARGE: &str =
    "Cannot increase provisioned throughput to more than 40,000 units per table";
pub(crate) const ON_DEMAND_WITH_PROVISIONED: &str = "One or more parameter values were invalid: OnDemandThroughput \
     can only be specified when BillingMode is PAY_PER_REQUEST";
pub(crate) const ON_DEMAND_UNITS: &str = "One or more parameter values were invalid: MaxReadRequestUnits and \
     MaxWriteRequestUnits must be -1 or greater than or equal to 1";
pub(crate) const VIEW_TYPE_WITHOUT_STREAM: &str = "One or more parameter values were invalid: StreamViewType must not be specified when StreamEnabled is false";

pub(crate) const SSE_TYPE_NOT_KMS: &str =
    "One or more parameter values were invalid: SSEType can only be KMS";
pub(crate) const SSE_TYPE_WHEN_DISABLED: &str = "One or more parameter values were invalid: SSEType must not be \
     specified when Enabled is false";

pub(crate) const FIRST_KEY_NOT_HASH: &str =
    "Invalid KeySchema: The first KeySchemaElement is not a HASH key type";
pub(crate) const SECOND_KEY_NOT_RANGE: &str =
    "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type";
pub(crate) const SAME_KEY_TWICE: &str =
    "Both the Hash Key and the Range Key element in the KeySchema have the same name";
pub(crate) const SAME_DEFINITION_TWICE: &str = "Cannot have two attributes with the same name";
pub(crate) const SURPLUS_DEFINITIONS: &str = "One or more parameter values were invalid: Number of attributes in \
     KeySchema does not exactly match number of attributes defined in AttributeDefinitions";

pub(crate) const NOTHING_TO_UPDATE: &str = "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
     GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required";
pub(crate) const THROUGHPUT_WITH_STREAM: &str = "Cannot change IOPS and Streams at the same time.";
pub(crate) const NO_DEFINITIONS: &str = "No Attribute Schema Defined";
pub(crate) const NO_KEY_SCHEMA: &str =
    "No defined key schema.  A key schema containing at least a hash key must be defined for all tables";
pub(crate) const KEY_SCHEMA_TOO_BIG: &str =
    "Key Schema too big.  Key Schema must at most consist of the hash and range key of a table";
pub(crate) const PROTECTED: &str = "Resource cannot be deleted as it is currently protected against deletion. \
     Disable deletion protection first.";

pub(crate) const NO_TAGS: &str = "Atleast one Tag needs to be provided as Input.";
pub(crate) const NO_TAG_KEYS: &str = "Atleast one Tag Key needs to be provided as Input.";
pub(crate) const TOO_MANY_TAGS: &str =
    "One or more parameter values were invalid: Too many Tags. A resource can have at most 50 tags";
pub(crate) const INVALID_NEXT_TOKEN: &str = "One or more parameter values were invalid: Invalid NextToken";

/// What a request can ask for and this version does not have. Refused, so that no client believes that it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// By this member.
    VectorIndexes(&'static str),
    /// By the key of this member.
    EncryptionKey(&'static str),
    /// By this member.
    GlobalTables(&'static str),
    /// By this member.
    ExportFilters(&'static str),
}

impl Unsupported {
    /// The refusal.
    pub(crate) fn refusal(self) -> ApiError {
        let (what, member) = match self {
            Self::VectorIndexes(member) => ("Vector indexes are", member),
            Self::EncryptionKey(member) => ("Keys of KMS for single tables are", member),
            Self::GlobalTables(member) => ("Global tables are", member),
            Self::ExportFilters(member) => ("Filters of exports are", member),
        };
        ApiError::Validation(format!(
            "One or more parameter values were invalid: {what} not supported yet by this version of Stator: {member}"
        ))
    }
}

/// A table whose name is taken.
pub(crate) fn exists(name: &str) -> ApiError {
    ApiError::ResourceInUse(format!("Table already exists: {name}"))
}

fn still_in_use(what: impl Display) -> ApiError {
    ApiError::ResourceInUse(format!(
        "Attempt to change a resource which is still in use: {what}"
    ))
}

/// A change of a table that is changing. Source: quoted in public by users of DynamoDB.
pub(crate) fn being_updated(name: &str) -> ApiError {
    still_in_use(format_args!("Table is being updated: {name}"))
}

/// A change of a table whose items are still on their way. Source: as for [`being_updated`].
pub(crate) fn being_created(name: &str) -> ApiError {
    still_in_use(format_args!("Table is being created: {name}"))
}

/// A change of a table that is being deleted. Source: as for [`being_updated`].
pub(crate) fn being_deleted(name: &str) -> ApiError {
    still_in_use(format_args!("Table is being deleted: {name}"))
}

/// The deletion of a table of which a backup is being made.
pub(crate) fn being_backed_up(name: &str) -> ApiError {
    still_in_use(format_args!("Table is being backed up: {name}"))
}

/// The deletion of a table from whose history another one is being restored.
pub(crate) fn being_read_back(name: &str) -> ApiError {
    still_in_use(format_args!(
        "Another table is being restored from the table: {name}"
    ))
}

/// The deletion of a table with an index that is on its way. Source: as for [`being_updated`].
pub(crate) fn indexes_in_use() -> ApiError {
    still_in_use("Cannot delete table while indexes are being created, updated, or deleted.")
}

/// A change of the throughput of a table with an index that is on its way. Source: DynamoDB Local.
pub(crate) fn indexes_on_their_way(name: &str, index: &str, is_deleted: bool) -> ApiError {
    let status = if is_deleted {
        "DELETING"
    } else {
        "CREATING, isBackfilling=false"
    };
    ApiError::ResourceInUse(format!(
        "Can't update table while indexes are in {status} status. Table: {name} Index: {index}"
    ))
}

/// One table more than an account may have.
pub(crate) fn too_many(tables_max: usize) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: There is a limit of {tables_max} tables per subscriber"
    ))
}

/// Throughput that takes all tables together above what they may have.
pub(crate) fn too_many_units(units_max: i64) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: Provisioned throughput of all tables and indexes is limited to {units_max} read and \
         {units_max} write capacity units"
    ))
}

/// Throughput that is lowered once more on a day on which it was lowered so often.
pub(crate) fn too_many_decreases(today: u32) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the first \
         4 decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 seconds. \
         Number of decreases today: {today}."
    ))
}

/// A failure of the catalog, as a table operation answers it.
pub(crate) fn catalog(error: CatalogError) -> ApiError {
    match error {
        CatalogError::Exists { name } => exists(&name),
        CatalogError::Missing { name } => super::no_table_named(&name),
        CatalogError::Contended { .. } => ApiError::Unavailable(error.to_string()),
        CatalogError::Malformed { .. } => ApiError::Internal(error.to_string()),
        CatalogError::Cluster(error) => error.into(),
    }
}

/// A tag operation on a table that is not there. DynamoDB spells the word like this.
pub(crate) fn no_resource(arn: &str) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "Requested resource not found: ResourcArn: {arn} not found"
    ))
}

/// Text that should be the ARN of a table.
pub(crate) fn invalid_arn(text: &str) -> ApiError {
    ApiError::Validation(format!(
        "Invalid TableArn: Invalid ResourceArn provided as input {text}"
    ))
}

/// Key attributes without a definition.
pub(crate) fn undefined_keys<'a>(
    keys: impl Iterator<Item = &'a str>,
    definitions: impl Iterator<Item = &'a str>,
) -> ApiError {
    let list = |names: Vec<&str>| names.join(", ");
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Some index key attributes are not defined in \
         AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
        list(keys.collect()),
        list(definitions.collect())
    ))
}

/// An update to the throughput that the table has; each pair is read and write units.
pub(crate) fn same_throughput((read_units, write_units): (i64, i64)) -> ApiError {
    ApiError::Validation(format!(
        "The provisioned throughput for the table will not change. The requested value equals the current value. \
         Current ReadCapacityUnits provisioned for the table: {read_units}. Requested ReadCapacityUnits: {read_units}. \
         Current WriteCapacityUnits provisioned for the table: {write_units}. Requested WriteCapacityUnits: \
         {write_units}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher \
         limits."
    ))
}

/// Warm throughput below what the table has; `member` is ReadUnitsPerSecond or WriteUnitsPerSecond.
pub(crate) fn lower_warm_throughput(member: &str) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Requested {member} for WarmThroughput for table is lower than \
         current WarmThroughput, decreasing WarmThroughput is not supported"
    ))
}

/// Tags that repeat a key.
pub(crate) fn duplicate_tag(key: &str) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Duplicate Keys are not allowed: {key}"
    ))
}

/// The tag of the consistency level with a value that is none.
pub(crate) fn level_tag(value: &str) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Value '{value}' of the tag {} failed to satisfy constraint: Tag value \
         must satisfy enum value set: [{}]",
        consistency::TAG,
        ConsistencyLevel::NAMES.join(", ")
    ))
}

/// A key or a value of a tag with characters that it cannot have.
pub(crate) fn tag_characters(what: &str, text: &str) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: A tag {what} can only have letters, white space, numbers and the \
         characters + - = . _ : / @: {text}"
    ))
}

/// A tag key that only AWS itself may use.
pub(crate) fn reserved_tag(key: impl Display) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: The prefix aws: is reserved for tag keys: {key}"
    ))
}
