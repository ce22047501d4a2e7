//! `Put...PermissionsBoundary` and `Delete...PermissionsBoundary` for users and roles.

use stator_iam::directory::Directory;

use super::error::IdentityError;
use super::inline_policy::Owner;
use super::{Asks, Call, IdentityOperation};

/// PutUserPermissionsBoundary, DeleteUserPermissionsBoundary and the like.
#[derive(Debug, Clone)]
pub(crate) struct SetBoundary {
    pub(crate) owner: Owner,
    /// `None`: the boundary goes.
    pub(crate) arn: Option<String>,
}

impl IdentityOperation for SetBoundary {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks {
            boundary: self.arn.clone(),
            ..self.owner.asks(directory)
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let Owner { kind, name, .. } = &self.owner;
        call.change(|changes| match &self.arn {
            Some(arn) => changes.put_boundary(*kind, name, arn),
            None => changes.delete_boundary(*kind, name),
        })
        .await?;
        Ok(())
    }
}
