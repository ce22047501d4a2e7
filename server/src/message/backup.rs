//! Sentences about backups. Source of those of the four errors of backups: quoted in public by users of DynamoDB, but where
//! it says otherwise.

use std::fmt::Display;

use stator_cluster::NodeId;
use stator_iam::iso_8601;

use crate::backup::BackupError;
use crate::wire::error::ApiError;

/// A backup that is not there, or not any more.
pub(crate) fn not_found(arn: &str) -> ApiError {
    ApiError::BackupNotFound(format!("Backup not found: {arn}"))
}

/// A backup that is not complete. The sentence is ours.
pub(crate) fn being_created(arn: &str) -> ApiError {
    ApiError::BackupInUse(format!("Backup is being created: {arn}"))
}

/// A backup that is to be cancelled, and cannot be any more.
pub(crate) const COMPLETE: &str = "The backup is complete: delete it with DeleteBackup";

/// The deletion of a backup from which a table is being restored. Source of this one and the next: the service's answers in
/// aws-controllers-k8s/dynamodb-controller, docs/api-quirks/backup.md, DDB-BACKUP-010.
pub(crate) fn being_restored(arn: &str) -> ApiError {
    ApiError::BackupInUse(format!("Backup is being used to restore table: {arn}"))
}

/// A restore from a backup from which another table is being restored.
pub(crate) fn feeds_another(arn: &str) -> ApiError {
    ApiError::BackupInUse(format!("Backup is being used to restore another table: {arn}"))
}

/// A table of which there is none to make a backup of.
pub(crate) fn no_table(name: &str) -> ApiError {
    ApiError::TableNotFound(format!("Table not found: {name}"))
}

/// The name of a restored table is taken.
pub(crate) fn table_exists(name: &str) -> ApiError {
    ApiError::TableAlreadyExists(format!("Table already exists: {name}"))
}

/// A restored table without a name. Source: as for [`being_restored`], details/DDB-TABLE-457.md.
pub(crate) const EMPTY_TARGET: &str =
    "TableName must be at least 3 characters long and at most 255 characters long";

/// The name of a restored table is that of one that is being restored. Source: as for [`being_restored`], table-restore.md,
/// DDB-TABLE-219.
pub(crate) fn target_in_use(name: &str, arn: &str) -> ApiError {
    ApiError::TableInUse(format!(
        "Table: {name} is already being restored from backup: {arn}"
    ))
}

/// More tables are being restored than may be at a time. Source: the service's answer in
/// aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-443.md.
pub(crate) fn too_many_restores(most: usize) -> ApiError {
    ApiError::LimitExceeded(format!(
        "Subscriber limit exceeded: Only {most} restore operations can be done simultaneously"
    ))
}

/// A table without a history. Source: quoted in public by users of DynamoDB.
pub(crate) fn no_history(name: &str) -> ApiError {
    ApiError::PointInTimeRecoveryUnavailable(format!(
        "Point in time recovery is not enabled for table '{name}'"
    ))
}

/// A period of a history that is given up. Source: the service's answer in aws-controllers-k8s/dynamodb-controller,
/// docs/api-quirks/details/DDB-TABLE-442.md.
pub(crate) const PERIOD_OF_NOTHING: &str =
    "Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.";

/// A history that is not complete yet. The sentence is ours.
pub(crate) fn incomplete_history(name: &str) -> ApiError {
    ApiError::InvalidRestoreTime(format!(
        "Point in time recovery is being enabled for table '{name}': there is no moment yet that it can be restored to"
    ))
}

/// A history of a table that is being made. Source: quoted in public by users of DynamoDB, whose tools try again.
pub(crate) fn history_of_new_table(name: &str) -> ApiError {
    ApiError::ContinuousBackupsUnavailable(format!(
        "Backups are being enabled for the table: {name}. Please retry later"
    ))
}

/// A backup of a cluster, whose tables nodes with an earlier program could not restore. The sentence is ours.
pub(crate) fn whole_before_upgrade(nodes: &[NodeId]) -> ApiError {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ApiError::Validation(format!(
        "to restore a whole cluster needs a later program on nodes that run an earlier one, or were not met yet: {}; upgrade all \
         nodes, then retry",
        nodes.join(", ")
    ))
}

/// Versions of items that nodes with an earlier program could not read. The sentence is ours.
pub(crate) fn history_before_upgrade(nodes: &[NodeId]) -> ApiError {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ApiError::ContinuousBackupsUnavailable(format!(
        "Point in time recovery needs a later program on nodes that run an earlier one, or were not met yet: {}. Upgrade all nodes, then retry",
        nodes.join(", ")
    ))
}

/// A history from which a table is being restored is to be given up. The sentence is ours.
pub(crate) fn history_in_use(name: &str) -> ApiError {
    ApiError::ContinuousBackupsUnavailable(format!(
        "Another table is being restored from the table: {name}. Please retry later"
    ))
}

/// A moment that a table cannot be restored to; it can to those between `earliest_ms` and `latest_ms`. Source of this sentence and
/// of the next four: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/table-restore.md,
/// DDB-TABLE-100 and DDB-TABLE-272.
pub(crate) fn wrong_moment(at_ms: i64, (earliest_ms, latest_ms): (i64, i64)) -> ApiError {
    ApiError::InvalidRestoreTime(format!(
        "RestoreDateTime '{}' must be within EarliestRestorableDateTime '{}' and LatestRestorableDateTime '{}'",
        iso_8601(at_ms),
        iso_8601(earliest_ms),
        iso_8601(latest_ms)
    ))
}

/// A time in milliseconds as clients write it.
pub(super) fn seconds(at_ms: i64) -> String {
    format!("{}.{:03}", at_ms.div_euclid(1000), at_ms.rem_euclid(1000))
}

/// A restore without a moment.
pub(crate) const NO_MOMENT: &str = "Invalid Request: Either one of RestoreDateTime or UseLatestRestorableTime must be \
                                    specified, but not both";

/// A restore to two moments. The answer is recorded up to "Pleas"; how it goes on is quoted elsewhere in public.
pub(crate) const TWO_MOMENTS: &str = "Invalid Request: Both RestoreDateTime and UseLatestRestorableTime cannot be set for \
                                      point-in-time restore request. Please specify either RestoreDateTime time or \
                                      UseLatestRestorableTime";

/// A restore of nothing.
pub(crate) const NO_SOURCE: &str = "The parameter 'TableName' is required but was not present in the request";

/// A restore of a table that is named twice.
pub(crate) const TWO_SOURCES: &str = "Must provide exactly one of: sourceTableArn, sourceTableName";

/// What should be the ARN of a backup. Source: as for [`PERIOD_OF_NOTHING`].
pub(crate) fn invalid_arn() -> ApiError {
    ApiError::validation("Invalid Backup ARN")
}

/// Times of backups that end before they begin. Source: as for [`PERIOD_OF_NOTHING`].
pub(crate) const TIMES_TURNED: &str = "One or more parameter values were invalid: Time range lower bound must be less than or equal to upper bound";

/// An index that is to be restored and that the source did not have so. Source of this sentence and of those down to
/// [`wrong_limit`]: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks: table-restore.md,
/// DDB-TABLE-273, and details/DDB-TABLE-280.md; what they begin with, details/DDB-TABLE-442.md.
pub(crate) fn other_index(name: &str) -> ApiError {
    invalid_request(format_args!(
        "Index {name} does not match a secondary index that existed in the source table and cannot be created during the \
         restore operation"
    ))
}

/// An index of a restored table that is provisioned, without its units.
pub(crate) fn missing_units(index: &str) -> ApiError {
    invalid_request(format_args!(
        "Must specify provisioned throughput for index {index}"
    ))
}

/// Units of a restored table, or of its index, where the request says that it is to be paid for each request.
pub(crate) fn units_of_on_demand(index: Option<&str>) -> ApiError {
    let of = index.map(|name| format!(" for index {name}"));
    invalid_request(format_args!(
        "Cannot override ProvisionedThroughput if BillingMode is overridden to PAY_PER_REQUEST{}",
        of.unwrap_or_default()
    ))
}

/// Units of a restored table whose source is paid for each request.
pub(crate) fn units_of_other_mode() -> ApiError {
    invalid_request("Cannot override ProvisionedThroughput unless BillingMode is PROVISIONED")
}

/// A restored table that is to be provisioned, without its units.
pub(crate) fn no_units() -> ApiError {
    invalid_request("Must override ProvisionedThroughput if BillingMode is overridden to PROVISIONED")
}

/// A limit of a restored table that is provisioned; `member` is MaxReadRequestUnits or MaxWriteRequestUnits.
pub(crate) fn limit_of_provisioned(member: &str) -> ApiError {
    invalid_request(format_args!(
        "Cannot override {member} for OnDemandThroughput unless BillingModeOverride is PAY_PER_REQUEST"
    ))
}

/// A limit that no restored table can have.
pub(crate) fn wrong_limit(member: &str) -> ApiError {
    invalid_request(format_args!(
        "Requested {member} for OnDemandThroughput is outside of valid range"
    ))
}

fn invalid_request(what: impl Display) -> ApiError {
    ApiError::Validation(format!("Invalid Request: {what}"))
}

/// A node that was not told where backups are to be. The sentence is ours.
pub(crate) const NOWHERE: &str = "Backups are not configured: name a directory that all nodes share in backup.directory of the \
                                  configuration file";

/// A failure to read or change backups, as an operation answers it.
pub(crate) fn failed(error: BackupError) -> ApiError {
    match error {
        BackupError::Cluster(error) => error.into(),
        BackupError::Contended { .. } => ApiError::Unavailable(error.to_string()),
        BackupError::Archive(_)
        | BackupError::Malformed { .. }
        | BackupError::Ended(_)
        | BackupError::Aside(_) => ApiError::Internal(error.to_string()),
    }
}
