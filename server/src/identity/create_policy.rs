//! CreatePolicy.

use stator_iam::directory::{Directory, ENTITY_RANDOM_BYTES, Kind, NewPolicy};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation};

/// CreatePolicy.
#[derive(Debug, Clone)]
pub(crate) struct CreatePolicy(pub(crate) NewPolicy);

impl IdentityOperation for CreatePolicy {
    type Output = Entity;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let resource = directory.arn_of(Kind::Policy, &self.0.path, &self.0.name);
        Ok(Some(Asks {
            tags: self.0.tags.clone(),
            ..Asks::iam("CreatePolicy", resource)
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entity, IdentityError> {
        let random = call.identities.random::<ENTITY_RANDOM_BYTES>()?;
        let shown = call
            .change(|changes| changes.create_policy(&self.0, &random))
            .await?;
        let directory = shown.directory();
        Ok(Entity::new(directory, directory.get(Kind::Policy, &self.0.name)?))
    }
}
