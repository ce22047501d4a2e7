//! The sentences about resource policies.

use std::fmt::Display;

use stator_iam::policy::DocumentError;

use crate::wire::error::ApiError;

pub(crate) const LOCKS_OUT: &str = "The new resource-based policy will not allow you to update it in the future. Set \
     ConfirmRemoveSelfResourceAccess to true to confirm it.";

/// A resource without a policy. Source: the service's answers in aws-controllers-k8s/dynamodb-controller,
/// docs/api-quirks/table-policy-kinesis-autoscaling.md, DDB-TABLE-205.
pub(crate) fn none(arn: &str) -> ApiError {
    not_found(arn)
}

/// A stream that its table does not have. Source: the same, docs/api-quirks/service.md, DDB-TABLE-446.
pub(crate) fn no_stream(label: &str, table: &str) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "Requested resource not found: Stream: {label} not found for Table: {table}"
    ))
}

/// A resource with another policy than a request expects, which is the one of this revision; `of` is `table` or `stream` with its
/// name. Source: as for [`none`], up to "target ta"; how it goes on, and [`there_is_one`], are answers of moto.
pub(crate) fn other_revision(of: &str, expected: &str, found: &str) -> ApiError {
    not_found(format_args!(
        "Requested update for policy with revision id {expected}, but the policy associated to target {of} has revision id \
         {found}."
    ))
}

/// A resource without a policy, where a request expects one. Source: as for [`none`], up to "associated".
pub(crate) fn no_revision(of: &str, expected: &str) -> ApiError {
    not_found(format_args!(
        "Requested update for policy with revision id {expected}, but {of} has no associated policy."
    ))
}

/// A resource with a policy, where a request expects that there is none.
pub(crate) fn there_is_one(of: &str, found: &str) -> ApiError {
    not_found(format_args!(
        "Requested policy update expecting none to be present for {of}, but a policy exists with revision id {found}."
    ))
}

fn not_found(why: impl Display) -> ApiError {
    ApiError::PolicyNotFound(format!(
        "Resource-based policy not found for the provided ResourceArn: {why}"
    ))
}

/// A document that is no policy, with the place and the reason.
pub(crate) fn malformed(error: &DocumentError) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Invalid policy document: {error}"
    ))
}

/// A document of more bytes than it may have. Source: as for [`none`], docs/api-quirks/details/DDB-TABLE-442.md.
pub(crate) fn too_large(bytes_max: usize) -> ApiError {
    ApiError::Validation(format!(
        "One or more parameter values were invalid: Maximum policy size of {bytes_max} bytes exceeded"
    ))
}
