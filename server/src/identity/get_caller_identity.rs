//! GetCallerIdentity: who the caller is. Nobody needs a permission for it, and nothing can deny it.

use stator_iam::Identity;
use stator_iam::directory::Directory;

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation};

/// GetCallerIdentity.
#[derive(Debug, Clone)]
pub(crate) struct GetCallerIdentity;

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallerIdentity {
    pub(crate) user_id: String,
    pub(crate) account: String,
    pub(crate) arn: String,
}

impl IdentityOperation for GetCallerIdentity {
    type Output = CallerIdentity;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(None)
    }

    async fn run(self, call: &Call<'_>) -> Result<CallerIdentity, IdentityError> {
        let account = call.identities.shown().directory().account().to_owned();
        let user_id = match &call.principal.identity {
            Identity::Root => account.clone(),
            Identity::User { id } => id.clone(),
            Identity::Role { id, session_name } => format!("{id}:{session_name}"),
        };
        Ok(CallerIdentity {
            user_id,
            account,
            arn: call.principal.arn.clone(),
        })
    }
}
