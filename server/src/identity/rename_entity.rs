//! UpdateUser and UpdateGroup: another name, another path.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// UpdateUser or UpdateGroup.
#[derive(Debug, Clone)]
pub(crate) struct RenameEntity {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) new_name: Option<String>,
    pub(crate) new_path: Option<String>,
}

impl IdentityOperation for RenameEntity {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let action = if self.kind == Kind::Group {
            "UpdateGroup"
        } else {
            "UpdateUser"
        };
        Ok(Some(Asks::iam(action, arn_of(directory, self.kind, &self.name))))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let (name, path) = (self.new_name.as_deref(), self.new_path.as_deref());
        call.change(|changes| changes.rename(self.kind, &self.name, name, path))
            .await?;
        Ok(())
    }
}
