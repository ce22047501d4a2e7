//! Temporary credentials, as AssumeRole and GetSessionToken give them.

use stator_iam::directory::sealing::NONCE_BYTES;
use stator_iam::directory::{KEY_RANDOM_BYTES, SESSION_KEY, access_key, token};
use stator_iam::{Identity, Principal, SecretKey, Session};

use super::Call;
use super::error::IdentityError;

/// Temporary credentials.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret: SecretKey,
    pub(crate) token: String,
    /// Seconds since the Unix epoch.
    pub(crate) expires_at_s: u64,
}

/// Credentials of a session that begins now and lasts so many seconds.
///
/// # Errors
/// When the sealing keys cannot be had.
pub(super) async fn issue(
    call: &Call<'_>,
    arn: String,
    identity: Identity,
    session: Session,
    duration_s: u32,
) -> Result<Credentials, IdentityError> {
    let sealing = call.identities.sealing().await?;
    let random = call.identities.random::<KEY_RANDOM_BYTES>()?;
    let nonce = call.identities.random::<NONCE_BYTES>()?;
    let (access_key_id, secret) = access_key(SESSION_KEY, &random);
    let issued_at_s = u64::try_from(call.identities.now_ms() / 1000).unwrap_or(0);
    let expires_at_s = issued_at_s + u64::from(duration_s);
    let principal = Principal {
        access_key_id,
        arn,
        identity,
        session: Some(std::sync::Arc::new(Session {
            issued_at_s,
            expires_at_s,
            ..session
        })),
    };
    Ok(Credentials {
        token: token::issue(&sealing, &principal, &secret, *nonce),
        access_key_id: principal.access_key_id,
        secret,
        expires_at_s,
    })
}
