//! CreateGroup.

use stator_iam::directory::{Directory, ENTITY_RANDOM_BYTES, Kind, NewGroup};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation};

/// CreateGroup.
#[derive(Debug, Clone)]
pub(crate) struct CreateGroup(pub(crate) NewGroup);

impl IdentityOperation for CreateGroup {
    type Output = Entity;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let resource = directory.arn_of(Kind::Group, &self.0.path, &self.0.name);
        Ok(Some(Asks::iam("CreateGroup", resource)))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entity, IdentityError> {
        let random = call.identities.random::<ENTITY_RANDOM_BYTES>()?;
        let shown = call
            .change(|changes| changes.create_group(&self.0, &random))
            .await?;
        let directory = shown.directory();
        Ok(Entity::new(directory, directory.get(Kind::Group, &self.0.name)?))
    }
}
