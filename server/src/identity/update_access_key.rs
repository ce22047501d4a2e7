//! UpdateAccessKey.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// UpdateAccessKey.
#[derive(Debug, Clone)]
pub(crate) struct UpdateAccessKey {
    /// `None` for the caller.
    pub(crate) user: Option<String>,
    pub(crate) id: String,
    pub(crate) active: bool,
}

impl IdentityOperation for UpdateAccessKey {
    type Output = ();

    fn asks(&self, call: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let name = call.user_name(self.user.as_ref(), directory)?;
        Ok(Some(Asks::iam(
            "UpdateAccessKey",
            arn_of(directory, Kind::User, &name),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let name = call.user_name(self.user.as_ref(), call.identities.shown().directory())?;
        call.change(|changes| changes.update_key(&name, &self.id, self.active))
            .await?;
        Ok(())
    }
}
