//! CreateAccessKey: the only call that tells a secret.

use stator_iam::SecretKey;
use stator_iam::directory::sealing::{NONCE_BYTES, Purpose};
use stator_iam::directory::{Directory, KEY_RANDOM_BYTES, Kind, USER_KEY, access_key};

use super::error::IdentityError;
use super::{Asks, Call, IdentityOperation, arn_of};

/// CreateAccessKey.
#[derive(Debug, Clone)]
pub(crate) struct CreateAccessKey {
    /// `None` for the caller.
    pub(crate) user: Option<String>,
}

/// The key with its secret.
#[derive(Debug, Clone)]
pub(crate) struct NewAccessKey {
    pub(crate) user: String,
    pub(crate) id: String,
    pub(crate) secret: SecretKey,
    pub(crate) created_at_ms: i64,
}

impl IdentityOperation for CreateAccessKey {
    type Output = NewAccessKey;

    fn asks(&self, call: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let name = call.user_name(self.user.as_ref(), directory)?;
        Ok(Some(Asks::iam(
            "CreateAccessKey",
            arn_of(directory, Kind::User, &name),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<NewAccessKey, IdentityError> {
        let sealing = call.identities.sealing().await?;
        let name = call.user_name(self.user.as_ref(), call.identities.shown().directory())?;
        let random = call.identities.random::<KEY_RANDOM_BYTES>()?;
        let nonce = call.identities.random::<NONCE_BYTES>()?;
        let (id, secret) = access_key(USER_KEY, &random);
        let sealed = sealing.seal(Purpose::AccessKey, &id, *nonce, secret.expose().as_bytes());
        let shown = call
            .change(|changes| changes.create_key(&name, &id, &sealed))
            .await?;
        let user = shown.directory().user(&name)?;
        let key = user.keys.iter().find(|key| key.id == id);
        Ok(NewAccessKey {
            user: user.name.clone(),
            created_at_ms: key.map_or_else(|| call.identities.now_ms(), |key| key.created_at_ms),
            id,
            secret,
        })
    }
}
