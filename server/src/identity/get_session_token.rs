//! GetSessionToken: temporary credentials of the caller itself. Nobody needs a permission for it.
//!
//! Source: AWS STS API reference, GetSessionToken. A session cannot ask for another one.

use stator_iam::directory::Directory;
use stator_iam::{Identity, Session};

use super::error::IdentityError;
use super::session::{self, Credentials};
use super::{Asks, Call, IdentityOperation};

/// How long a session of a user lasts when nothing is said, and at most when it is one of root, in seconds.
const DURATION_S_DEFAULT: u32 = 12 * 60 * 60;
const ROOT_DURATION_S_MAX: u32 = 60 * 60;

/// GetSessionToken.
#[derive(Debug, Clone)]
pub(crate) struct GetSessionToken {
    pub(crate) duration_s: Option<u32>,
}

impl IdentityOperation for GetSessionToken {
    type Output = Credentials;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(None)
    }

    async fn run(self, call: &Call<'_>) -> Result<Credentials, IdentityError> {
        if call.principal.session.is_some() {
            return Err(IdentityError::AccessDenied(
                "Cannot call GetSessionToken with session credentials".to_owned(),
            ));
        }
        let asked = self.duration_s.unwrap_or(DURATION_S_DEFAULT);
        let duration_s = match call.principal.identity {
            Identity::Root => asked.min(ROOT_DURATION_S_MAX),
            Identity::User { .. } | Identity::Role { .. } => asked,
        };
        let principal = call.principal;
        session::issue(
            call,
            principal.arn.clone(),
            principal.identity.clone(),
            Session::default(),
            duration_s,
        )
        .await
    }
}
