//! DeletePolicy.

use stator_iam::directory::Directory;

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation};

/// DeletePolicy.
#[derive(Debug, Clone)]
pub(crate) struct DeletePolicy {
    pub(crate) arn: String,
}

impl IdentityOperation for DeletePolicy {
    type Output = ();

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam("DeletePolicy", self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        call.change(|changes| changes.delete_policy(&self.arn)).await?;
        Ok(())
    }
}
