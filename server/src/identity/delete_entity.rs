//! DeleteUser, DeleteGroup and DeleteRole.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// DeleteUser, DeleteGroup or DeleteRole.
#[derive(Debug, Clone)]
pub(crate) struct DeleteEntity {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl IdentityOperation for DeleteEntity {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let action = match self.kind {
            Kind::Group => "DeleteGroup",
            Kind::Role => "DeleteRole",
            Kind::User | Kind::Policy => "DeleteUser",
        };
        Ok(Some(Asks::iam(action, arn_of(directory, self.kind, &self.name))))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        call.change(|changes| changes.delete(self.kind, &self.name))
            .await?;
        Ok(())
    }
}
