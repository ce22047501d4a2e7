//! GetAccessKeyLastUsed.

use stator_iam::directory::{Directory, Kind, Use};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// GetAccessKeyLastUsed.
#[derive(Debug, Clone)]
pub(crate) struct GetAccessKeyLastUsed {
    pub(crate) id: String,
}

/// When it was used.
#[derive(Debug, Clone)]
pub(crate) struct KeyUse {
    /// `None` for a key that is not there, about which no more is told.
    pub(crate) user: Option<String>,
    pub(crate) last: Option<Use>,
    /// The region of the tables.
    pub(crate) region: String,
}

impl IdentityOperation for GetAccessKeyLastUsed {
    type Output = KeyUse;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let user = directory.key(&self.id).map(|(user, _)| user.name.as_str());
        let resource = user.map_or_else(|| "*".to_owned(), |name| arn_of(directory, Kind::User, name));
        Ok(Some(Asks::iam("GetAccessKeyLastUsed", resource)))
    }

    async fn run(self, call: &Call<'_>) -> Result<KeyUse, IdentityError> {
        let shown = call.identities.latest().await?;
        let user = shown.directory().key(&self.id).map(|(user, _)| user.name.clone());
        Ok(KeyUse {
            last: shown.last_used(&self.id).filter(|_| user.is_some()),
            user,
            region: call.region.to_owned(),
        })
    }
}
