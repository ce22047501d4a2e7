//! ListAccessKeys.

use stator_iam::directory::{AccessKey, Directory, Kind};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation, arn_of};

/// ListAccessKeys.
#[derive(Debug, Clone)]
pub(crate) struct ListAccessKeys {
    /// `None` for the caller.
    pub(crate) user: Option<String>,
    pub(crate) page: PageRequest,
}

/// The keys of a user.
#[derive(Debug, Clone)]
pub(crate) struct AccessKeys {
    pub(crate) user: String,
    pub(crate) page: Page<AccessKey>,
}

impl IdentityOperation for ListAccessKeys {
    type Output = AccessKeys;

    fn asks(&self, call: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let name = call.user_name(self.user.as_ref(), directory)?;
        Ok(Some(Asks::iam(
            "ListAccessKeys",
            arn_of(directory, Kind::User, &name),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<AccessKeys, IdentityError> {
        let shown = call.identities.latest().await?;
        let name = call.user_name(self.user.as_ref(), shown.directory())?;
        let user = shown.directory().user(&name)?;
        let mut keys: Vec<_> = user
            .keys
            .iter()
            .map(|key| (key.id.clone(), key.clone()))
            .collect();
        keys.sort_by(|one, two| one.0.cmp(&two.0));
        Ok(AccessKeys {
            user: user.name.clone(),
            page: Page::of(keys, &self.page),
        })
    }
}
