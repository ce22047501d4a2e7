//! CreatePolicyVersion.

use stator_iam::directory::{Directory, PolicyVersion};

use super::error::IdentityError;
use super::policy_version::VersionView;
use super::{Asks, Call, IdentityOperation};

/// CreatePolicyVersion.
#[derive(Debug, Clone)]
pub(crate) struct CreatePolicyVersion {
    pub(crate) arn: String,
    pub(crate) document: String,
    pub(crate) set_default: bool,
}

impl IdentityOperation for CreatePolicyVersion {
    type Output = VersionView;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam("CreatePolicyVersion", self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<VersionView, IdentityError> {
        let shown = call
            .change(|changes| changes.create_version(&self.arn, &self.document, self.set_default))
            .await?;
        let policy = shown.directory().policy(&self.arn)?;
        let missing = || IdentityError::Internal("a policy has no version".to_owned());
        let version: &PolicyVersion = policy.versions.last().ok_or_else(missing)?;
        // The document is what the caller has sent; it is not told again.
        Ok(VersionView::new(policy, version, false))
    }
}
