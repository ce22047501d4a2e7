//! `Attach...Policy` and `Detach...Policy` for users, groups and roles.

use stator_iam::directory::Directory;

use super::error::IdentityError;
use super::inline_policy::Owner;
use super::{Asks, Call, IdentityOperation};

/// AttachUserPolicy, DetachUserPolicy and the like.
#[derive(Debug, Clone)]
pub(crate) struct AttachPolicy {
    pub(crate) owner: Owner,
    pub(crate) arn: String,
    /// Whether it is detached, rather than attached.
    pub(crate) detach: bool,
}

impl IdentityOperation for AttachPolicy {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks {
            policy_arn: Some(self.arn.clone()),
            ..self.owner.asks(directory)
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let Owner { kind, name, .. } = &self.owner;
        call.change(|changes| {
            if self.detach {
                changes.detach(*kind, name, &self.arn)
            } else {
                changes.attach(*kind, name, &self.arn)
            }
        })
        .await?;
        Ok(())
    }
}
