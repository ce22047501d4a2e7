//! The sentences about resource policies.

use stator_iam::policy::DocumentError;

use crate::wire::error::ApiError;

pub(crate) const LOCKS_OUT: &str = "The new resource-based policy will not allow you to update it in the future. Set \
     ConfirmRemoveSelfResourceAccess to true to confirm it.";

/// A resource without a policy.
pub(crate) fn none() -> ApiError {
    ApiError::PolicyNotFound("Resource-based policy not found for the provided ResourceArn".to_owned())
}

/// A resource with another policy than a request expects, or with none.
pub(crate) fn other_revision() -> ApiError {
    ApiError::PolicyNotFound(
        "Resource-based policy not found for the provided ResourceArn and ExpectedRevisionId".to_owned(),
    )
}

/// A document that is no policy, with the place and the reason.
pub(crate) fn malformed(error: &DocumentError) -> ApiError {
    ApiError::Validation(format!("Invalid policy document: {error}"))
}

/// A document of more bytes than it may have.
pub(crate) fn too_large(bytes_max: usize) -> ApiError {
    ApiError::Validation(format!(
        "Invalid policy document: The size of a resource-based policy must not exceed {bytes_max} bytes"
    ))
}
