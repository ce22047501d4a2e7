//! CreateRole.

use stator_iam::directory::{Directory, ENTITY_RANDOM_BYTES, Kind, NewRole};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation};

/// CreateRole.
#[derive(Debug, Clone)]
pub(crate) struct CreateRole(pub(crate) NewRole);

impl IdentityOperation for CreateRole {
    type Output = Entity;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let resource = directory.arn_of(Kind::Role, &self.0.path, &self.0.name);
        Ok(Some(Asks {
            boundary: self.0.boundary.clone(),
            tags: self.0.tags.clone(),
            ..Asks::iam("CreateRole", resource)
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entity, IdentityError> {
        let random = call.identities.random::<ENTITY_RANDOM_BYTES>()?;
        let shown = call
            .change(|changes| changes.create_role(&self.0, &random))
            .await?;
        let directory = shown.directory();
        Ok(Entity::new(directory, directory.get(Kind::Role, &self.0.name)?))
    }
}
