//! The sentences about the time to live.

use crate::wire::error::ApiError;

pub(crate) const ALREADY_ENABLED: &str = "TimeToLive is already enabled";
pub(crate) const ALREADY_DISABLED: &str = "TimeToLive is already disabled";
pub(crate) const CHANGED_LATELY: &str =
    "Time to live has been modified multiple times within a fixed interval";

/// Another attribute than the one that counts.
pub(crate) fn other_attribute(current: &str) -> String {
    format!("TimeToLive is active on a different AttributeName: current AttributeName is {current}")
}

/// A change of a table whose items are still on their way, which is told in another order of words than to other operations. Source:
/// the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-444.md.
pub(crate) fn being_created(table: &str) -> ApiError {
    ApiError::ResourceInUse(format!(
        "Attempt to change a resource which is still in use: Table {table} is being created"
    ))
}

/// A look at a table in a state in which it tells nothing. Source: the service's answer in
/// aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-442.md.
pub(crate) fn not_told(state: &str) -> ApiError {
    ApiError::Validation(format!(
        "Cannot describe time to live while table is in {state} state: Current table state is {state}"
    ))
}
