//! DeleteAccessKey.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// DeleteAccessKey.
#[derive(Debug, Clone)]
pub(crate) struct DeleteAccessKey {
    /// `None` for the caller.
    pub(crate) user: Option<String>,
    pub(crate) id: String,
}

impl IdentityOperation for DeleteAccessKey {
    type Output = ();

    fn asks(&self, call: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let name = call.user_name(self.user.as_ref(), directory)?;
        Ok(Some(Asks::iam(
            "DeleteAccessKey",
            arn_of(directory, Kind::User, &name),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let name = call.user_name(self.user.as_ref(), call.identities.shown().directory())?;
        call.change(|changes| changes.delete_key(&name, &self.id)).await?;
        call.identities.forget_use(&self.id).await;
        Ok(())
    }
}
