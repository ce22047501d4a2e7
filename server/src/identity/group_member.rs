//! AddUserToGroup and RemoveUserFromGroup.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// AddUserToGroup or RemoveUserFromGroup.
#[derive(Debug, Clone)]
pub(crate) struct GroupMember {
    pub(crate) user: String,
    pub(crate) group: String,
    /// Whether the user leaves it, rather than coming to it.
    pub(crate) remove: bool,
}

impl IdentityOperation for GroupMember {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let action = if self.remove {
            "RemoveUserFromGroup"
        } else {
            "AddUserToGroup"
        };
        Ok(Some(Asks::iam(
            action,
            arn_of(directory, Kind::Group, &self.group),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        call.change(|changes| {
            if self.remove {
                changes.remove_from_group(&self.user, &self.group)
            } else {
                changes.add_to_group(&self.user, &self.group)
            }
        })
        .await?;
        Ok(())
    }
}
