//! GetUser and GetRole. GetUser without a name tells of the caller, who may be root.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::view::Entity;
use super::{Asks, Call, IdentityOperation, arn_of};

/// GetUser or GetRole.
#[derive(Debug, Clone)]
pub(crate) struct GetEntity {
    pub(crate) kind: Kind,
    /// `None` for the caller.
    pub(crate) name: Option<String>,
}

/// What it tells of.
#[derive(Debug, Clone)]
pub(crate) enum Got {
    Entity(Entity),
    /// The root of an account.
    Root {
        account: String,
    },
}

impl GetEntity {
    fn is_root(&self, call: &Call<'_>) -> bool {
        self.name.is_none() && call.principal.identity == stator_iam::Identity::Root
    }
}

impl IdentityOperation for GetEntity {
    type Output = Got;

    fn asks(&self, call: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        if self.is_root(call) {
            return Ok(None);
        }
        let name = call.user_name(self.name.as_ref(), directory)?;
        let action = if self.kind == Kind::Role {
            "GetRole"
        } else {
            "GetUser"
        };
        Ok(Some(Asks::iam(action, arn_of(directory, self.kind, &name))))
    }

    async fn run(self, call: &Call<'_>) -> Result<Got, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        if self.is_root(call) {
            return Ok(Got::Root {
                account: directory.account().to_owned(),
            });
        }
        let name = call.user_name(self.name.as_ref(), directory)?;
        Ok(Got::Entity(Entity::new(
            directory,
            directory.get(self.kind, &name)?,
        )))
    }
}
