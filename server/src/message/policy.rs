//! The sentences about resource policies.

use stator_iam::policy::DocumentError;

use crate::wire::error::ApiError;

pub(crate) const LOCKS_OUT: &str = "The new resource-based policy will not allow you to update it in the future. Set \
     ConfirmRemoveSelfResourceAccess to true to confirm it.";

/// A resource without a policy. Source: the service's answers in aws-controllers-k8s/dynamodb-controller,
/// docs/api-quirks/table-policy-kinesis-autoscaling.md, DDB-TABLE-205.
pub(crate) fn none(arn: &str) -> ApiError {
    ApiError::PolicyNotFound(format!(
        "Resource-based policy not found for the provided ResourceArn: {arn}"
    ))
}

/// A stream that its table does not have. Source: the same, docs/api-quirks/service.md, DDB-TABLE-446.
pub(crate) fn no_stream(label: &str, table: &str) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "Requested resource not found: Stream: {label} not found for Table: {table}"
    ))
}

/// A resource with another policy than a request expects, or with none.
pub(crate) fn other_revision() -> ApiError {
    ApiError::PolicyNotFound(
        "Resource-based policy not found for the provided ResourceArn and ExpectedRevisionId".to_owned(),
    )
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
