//! CreateUser.

use stator_iam::directory::{Directory, ENTITY_RANDOM_BYTES, Kind, NewUser};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation};

/// CreateUser.
#[derive(Debug, Clone)]
pub(crate) struct CreateUser(pub(crate) NewUser);

impl IdentityOperation for CreateUser {
    type Output = Entity;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let resource = directory.arn_of(Kind::User, &self.0.path, &self.0.name);
        Ok(Some(Asks {
            boundary: self.0.boundary.clone(),
            tags: self.0.tags.clone(),
            ..Asks::iam("CreateUser", resource)
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entity, IdentityError> {
        let random = call.identities.random::<ENTITY_RANDOM_BYTES>()?;
        let shown = call
            .change(|changes| changes.create_user(&self.0, &random))
            .await?;
        let directory = shown.directory();
        Ok(Entity::new(directory, directory.get(Kind::User, &self.0.name)?))
    }
}
