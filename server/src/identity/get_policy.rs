//! GetPolicy.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation};

/// GetPolicy.
#[derive(Debug, Clone)]
pub(crate) struct GetPolicy {
    pub(crate) arn: String,
}

impl IdentityOperation for GetPolicy {
    type Output = Entity;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam("GetPolicy", self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entity, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let policy = directory.policy(&self.arn)?;
        Ok(Entity::new(directory, directory.get(Kind::Policy, &policy.name)?))
    }
}
