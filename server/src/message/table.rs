//! The sentences of table and tag operations, and the one table of what this version does not have yet.

use std::fmt::Display;

use stator_cluster::ConsistencyLevel;

use crate::catalog::{BillingMode, CatalogError};
use crate::consistency;
use crate::constraint::ModelEnum as _;
use crate::wire::error::ApiError;

pub(crate) const CAPACITY_WITH_PAY_PER_REQUEST: &str = "One or more parameter values were invalid: Neither \
     ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST";
pub(crate) const CAPACITY_MISSING: &str = "One or more parameter values were invalid: ReadCapacityUnits and \
     WriteCapacityUnits must both be specified when BillingMode is PROVISIONED";
/// The same of an update. Source of the sentences of UpdateTable: the service's answers in
/// aws-controllers-k8s/dynamodb-controller, docs/api-quirks.
pub(crate) const UPDATED_CAPACITY_MISSING: &str = "One or more parameter values were invalid: ProvisionedThroughput must be \
     specified when BillingMode is PROVISIONED";

/// Source: as for [`UPDATED_CAPACITY_MISSING`].
pub(crate) const SSE_TYPE_AES256: &str =
    "One or more parameter values were invalid: SSEType AES256 is not supported";
pub(crate) const SSE_TYPE_WHEN_DISABLED: &str =
    "One or more parameter values were invalid: SSEType can not be specified if Enabled is false";
pub(crate) const SSE_DISABLED: &str =
    "One or more parameter values were invalid: Table is already encrypted by default";

pub(crate) const FIRST_KEY_NOT_HASH: &str =
    "Invalid KeySchema: The first KeySchemaElement is not a HASH key type";
pub(crate) const SECOND_KEY_NOT_RANGE: &str =
    "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type";
pub(crate) const SAME_KEY_TWICE: &str =
    "Both the Hash Key and the Range Key element in the KeySchema have the same name";
pub(crate) const SAME_DEFINITION_TWICE: &str = "Cannot have two attributes with the same name";
pub(crate) const SURPLUS_DEFINITIONS: &str = "One or more parameter values were invalid: Number of attributes in \
     KeySchema does not exactly match number of attributes defined in AttributeDefinitions";

/// Source of these: see `operation/update_combinations.rs`.
pub(crate) const ON_DEMAND_WITH_OTHERS: &str = "One or more parameter values were invalid: OnDemandThroughput can only be \
     combined with BillingMode in an UpdateTable request";
pub(crate) const WARM_WITH_NEW_INDEX: &str = "One or more parameter values were invalid: Create global secondary index cannot \
     be specified when updating WarmThroughput";
pub(crate) const STREAM_WITH_THROUGHPUT: &str =
    "One or more parameter values were invalid: You cannot modify stream status while updating table IOPS";
pub(crate) const INDEX_WITH_THROUGHPUT: &str =
    "One or more parameter values were invalid: You cannot create or delete index while updating table IOPS";
pub(crate) const INDEX_WITH_STREAM: &str = "One or more parameter values were invalid: You cannot create or delete index while changing stream status";

/// Source: as for [`UPDATED_CAPACITY_MISSING`], DDB-TABLE-015. It names members that no model has.
pub(crate) const NOTHING_TO_UPDATE: &str = "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
     GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, \
     MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required";
/// Source: as for [`UPDATED_CAPACITY_MISSING`], DDB-TABLE-042.
pub(crate) const NO_DEFINITIONS: &str = "Invalid KeySchema: Some index key attribute have no definition";
pub(crate) const PROTECTED: &str = "Resource cannot be deleted as it is currently protected against deletion. \
     Disable deletion protection first.";

pub(crate) const NO_TAGS: &str = "Atleast one Tag needs to be provided as Input.";
pub(crate) const NO_TAG_KEYS: &str = "Atleast one Tag Key needs to be provided as Input.";
/// Source: as for [`invalid_tag`].
pub(crate) const TOO_MANY_TAGS: &str = "Number of Tags exceed the current limit for the provided ResourceArn";
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

/// A change of the throughput of a table with an index that is on its way. Source: as for [`UPDATED_CAPACITY_MISSING`],
/// DDB-TABLE-376.
pub(crate) fn indexes_on_their_way(name: &str, index: &str, is_deleted: bool) -> ApiError {
    let what = if is_deleted { "deleted" } else { "created" };
    still_in_use(format_args!(
        "Can't change table IOPS when an index is being {what}.  Table: {name} Indexes: [{index}]"
    ))
}

/// The deletion of a table that is changing. Source: as for [`UPDATED_CAPACITY_MISSING`], DDB-TABLE-063.
pub(crate) fn in_process_of_update(name: &str) -> ApiError {
    still_in_use(format_args!("Table: {name} is in the process of being updated."))
}

/// One table more than an account may have.
pub(crate) fn too_many(tables_max: usize) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: There is a limit of {tables_max} tables per subscriber"
    ))
}

/// More units than one table or index may have; `kind` is ReadCapacityUnits or WriteCapacityUnits. Source: as for
/// [`UPDATED_CAPACITY_MISSING`], DDB-TABLE-170.
pub(crate) fn too_many_units_of_one(
    (kind, units): (&str, i64),
    index: Option<&str>,
    region: &str,
    units_max: i64,
) -> ApiError {
    let (of, what) = match index {
        None => (String::new(), "table"),
        Some(name) => (format!(" for index {name}"), "index"),
    };
    ApiError::LimitExceeded(format!(
        "The requested {kind}{of}, {units}, is above the per {what} maximum for the account in {region}. Per table maximum: \
         {units_max}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
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

/// A tag operation on a table that is not there. Source: the service's answers in aws-controllers-k8s/dynamodb-controller,
/// docs/api-quirks/service.md, DDB-TABLE-070.
pub(crate) fn no_resource(arn: &str) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "Requested resource not found: ResourceArn: {arn} not found"
    ))
}

/// Text that should be the ARN of a table with tags, or of a table or a stream with a policy. Source: the same,
/// docs/api-quirks/details/DDB-TABLE-442.md.
pub(crate) fn invalid_resource_arn(text: &str) -> ApiError {
    match (text.starts_with("arn:"), text.contains("/index/")) {
        (false, _) => invalid(format_args!("ARNs must start with 'arn:': {text}")),
        (true, true) => invalid(format_args!(
            "Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {text}"
        )),
        (true, false) => invalid(format_args!(
            "Provided Arn is not a DynamoDB resource arn: {text}"
        )),
    }
}

/// Text that should be the ARN of a table.
pub(crate) fn invalid_arn(text: &str) -> ApiError {
    ApiError::Validation(format!(
        "Invalid TableArn: Invalid ResourceArn provided as input {text}"
    ))
}

/// Two definitions of one attribute. Source: as for [`UPDATED_CAPACITY_MISSING`], DDB-TABLE-042.
pub(crate) fn defined_twice(name: &str) -> ApiError {
    ApiError::Validation(format!("Attribute Name is duplicated: {name}"))
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

fn invalid(what: impl Display) -> ApiError {
    ApiError::Validation(format!("One or more parameter values were invalid: {what}"))
}

/// A change beside others that has to come alone. Source: see `operation/update_combinations.rs`.
pub(crate) fn alone(what: &str) -> ApiError {
    invalid(format_args!("{what} must be the only operation in the request"))
}

/// Warm throughput below what the table or the index has; `member` is ReadUnitsPerSecond or WriteUnitsPerSecond.
pub(crate) fn lower_warm_throughput(member: &str, index: Option<&str>) -> ApiError {
    invalid(format_args!(
        "Requested {member} for WarmThroughput for {} is lower than current WarmThroughput, decreasing WarmThroughput is not \
         supported",
        table_or_index(index, "index ")
    ))
}

/// Warm throughput of something new below what that serves at once in any case. Source: as for
/// [`UPDATED_CAPACITY_MISSING`].
pub(crate) fn low_warm_throughput(member: &str, index: Option<&str>, billing_mode: BillingMode) -> ApiError {
    let of = table_or_index(index, "index ");
    let capacity = match member {
        "ReadUnitsPerSecond" => "ReadCapacityUnits",
        _ => "WriteCapacityUnits",
    };
    match billing_mode {
        BillingMode::PayPerRequest => invalid(format_args!(
            "Requested {member} for WarmThroughput for {of} is lower than initial throughput for OnDemand. See: \
             https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html\
             #on-demand-capacity-mode-initial"
        )),
        BillingMode::Provisioned => invalid(format_args!(
            "Requested {member} for WarmThroughput for {of} is lower than {capacity} of ProvisionedThroughput"
        )),
    }
}

/// A limit that none can have; `member` is MaxReadRequestUnits or MaxWriteRequestUnits. Source: as for
/// [`UPDATED_CAPACITY_MISSING`].
pub(crate) fn on_demand_units(member: &str, index: Option<&str>) -> ApiError {
    invalid(format_args!(
        "Requested {member} for OnDemandThroughput for {} is outside of valid range",
        table_or_index(index, "index : ")
    ))
}

/// A limit of a table or an index that is provisioned. Source: as for [`UPDATED_CAPACITY_MISSING`].
pub(crate) fn on_demand_with_provisioned(member: &str, index: Option<&str>, is_new: bool) -> ApiError {
    let (colon, when) = if is_new {
        (":", "when table BillingMode is PROVISIONED.")
    } else {
        (" :", "when the table BillingMode is PROVISIONED")
    };
    let of = index.map(|name| format!(" for index{colon} {name}"));
    invalid(format_args!(
        "{member} for OnDemandThroughput{} cannot be specified {when}",
        of.unwrap_or_default()
    ))
}

fn table_or_index(index: Option<&str>, head: &str) -> String {
    index.map_or_else(|| "table".to_owned(), |name| format!("{head}{name}"))
}

/// Tags that repeat a key. Source: as for [`invalid_tag`].
pub(crate) fn duplicate_tag(key: &str) -> ApiError {
    ApiError::Validation(format!(
        "Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}"
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

/// A key or a value of a tag that is missing, or that has a length or characters that none can have; `what` is `Key` or
/// `Value`. Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/service.md,
/// DDB-TABLE-107.
pub(crate) fn invalid_tag(what: &str, text: Option<&str>) -> ApiError {
    let text = text.unwrap_or("null");
    ApiError::Validation(format!("The Tag {what} provided is invalid, {what}: {text}"))
}

/// A tag key that only AWS itself may use. Source: as for [`invalid_tag`].
pub(crate) fn reserved_tag(key: impl Display) -> ApiError {
    ApiError::Validation(format!("Tag Key cannot be prefixed with aws:, Key: {key}"))
}
