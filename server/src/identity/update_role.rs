//! UpdateRole, UpdateRoleDescription and UpdateAssumeRolePolicy.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation, arn_of};

/// UpdateRole.
#[derive(Debug, Clone)]
pub(crate) struct UpdateRole {
    pub(crate) name: String,
    /// The call: UpdateRole or UpdateRoleDescription.
    pub(crate) action: &'static str,
    pub(crate) description: Option<String>,
    pub(crate) session_s_max: Option<u32>,
}

impl IdentityOperation for UpdateRole {
    type Output = Entity;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam(
            self.action,
            arn_of(directory, Kind::Role, &self.name),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entity, IdentityError> {
        let description = self.description.as_deref();
        let shown = call
            .change(|changes| changes.update_role(&self.name, description, self.session_s_max))
            .await?;
        let directory = shown.directory();
        Ok(Entity::new(directory, directory.get(Kind::Role, &self.name)?))
    }
}

/// UpdateAssumeRolePolicy.
#[derive(Debug, Clone)]
pub(crate) struct UpdateAssumeRolePolicy {
    pub(crate) name: String,
    pub(crate) document: String,
}

impl IdentityOperation for UpdateAssumeRolePolicy {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let resource = arn_of(directory, Kind::Role, &self.name);
        Ok(Some(Asks::iam("UpdateAssumeRolePolicy", resource)))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        call.change(|changes| changes.update_trust(&self.name, &self.document))
            .await?;
        Ok(())
    }
}
