//! Verifying a signature: the same computation as the signer's, compared in constant time.
//!
//! A [`Verifier`] is long-lived and shared by all connections, since it holds the caches of signing keys and of opened session
//! tokens. It trusts the [`Authorization`] to be of the same request; checks of form, scope and date happened when that was
//! parsed. Invariant: the secrets of sessions that have expired leave the caches with the next request that comes
//! [`SWEEP_S`] after the last sweep.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::authorization::Place;
use super::canonical::write_canonical_request;
use super::session_cache::{SessionCache, SessionKey, session_key};
use super::signing_key::SigningKeyCache;
use super::{ALGORITHM, Authorization, RequestView, Timestamp, presigned};
use crate::error::Error;
use crate::principal::{Credential, CredentialStore, Principal};

/// How many signing keys are kept: one per access key and day in use, 300 bytes or so each.
const SIGNING_KEYS_MAX: usize = 16_384;

/// How many sessions are kept opened: 500 bytes or so each, and the policies that cut them.
const SESSIONS_MAX: usize = 4_096;

/// How often expired sessions are swept out, in seconds.
const SWEEP_S: u64 = 60;

/// What the request came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP: the body must be covered by the signature.
    Plain,
    /// TLS, which protects a body that the client declared `UNSIGNED-PAYLOAD`.
    Tls,
}

/// Verifies signatures and keeps what makes that cheap.
pub struct Verifier {
    keys: SigningKeyCache,
    sessions: SessionCache,
    /// When expired sessions were swept out last, in seconds since the Unix epoch.
    swept_at_s: AtomicU64,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            keys: SigningKeyCache::new(SIGNING_KEYS_MAX),
            sessions: SessionCache::new(SESSIONS_MAX),
            swept_at_s: AtomicU64::new(0),
        }
    }
}

impl Verifier {
    /// A verifier with an empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says who signed `request`, or why nobody did.
    ///
    /// `authorization` comes from [`parse_authorization`](super::parse_authorization) over the same request.
    ///
    /// # Errors
    /// [`Error::UnrecognizedClient`] for an access key or a session token that the store does not know;
    /// [`Error::UnsignedPayloadOverPlain`]; [`Error::SignatureMismatch`]; [`Error::TokenExpired`] last of all.
    pub fn verify(
        &self,
        request: &RequestView<'_>,
        authorization: &Authorization<'_>,
        transport: Transport,
        store: &(impl CredentialStore + ?Sized),
    ) -> Result<Arc<Principal>, Error> {
        self.sweep(authorization.now);
        let (credential, to_be_kept) = match &authorization.token {
            None => (store.credential(authorization.access_key_id()), None),
            Some(token) => self.session(authorization, token, store),
        };
        let credential = credential.ok_or(Error::UnrecognizedClient)?;
        let mut body_hash = [0; 64];
        let payload_hash = payload_hash(request, authorization, transport, &mut body_hash)?;
        let signs = |left_out: &[&str]| -> Result<bool, Error> {
            let expected = self.signature(request, authorization, left_out, payload_hash, &credential)?;
            Ok(bool::from(
                expected.as_slice().ct_eq(authorization.signature.as_bytes()),
            ))
        };
        let right = match (authorization.place, &authorization.token) {
            (Place::Header, _) => signs(&[])?,
            (Place::Query, None) => signs(&[presigned::SIGNATURE])?,
            // Some signers add the token after signing. Nobody else can: it belongs to the access key.
            (Place::Query, Some(_)) => {
                signs(&[presigned::SIGNATURE])? || signs(&[presigned::SIGNATURE, presigned::TOKEN])?
            }
        };
        if !right {
            return Err(Error::SignatureMismatch);
        }
        // Who has no secret does not fill the cache.
        if let Some(key) = to_be_kept {
            self.sessions.keep(key, &credential, authorization.now);
        }
        match (credential.expires_at, authorization.now) {
            (Some(expires_at), Some(now)) if expires_at <= now => Err(Error::TokenExpired),
            _ => Ok(credential.principal),
        }
    }

    /// The credential of a session token, and the key by which to keep it if it was opened now.
    fn session(
        &self,
        authorization: &Authorization<'_>,
        token: &str,
        store: &(impl CredentialStore + ?Sized),
    ) -> (Option<Credential>, Option<SessionKey>) {
        let access_key_id = authorization.access_key_id();
        let Some(epoch) = store.session_epoch() else {
            return (store.session(access_key_id, token), None);
        };
        let key = session_key(epoch, access_key_id, token);
        match self.sessions.get(&key, authorization.now) {
            Some(credential) => (Some(credential), None),
            None => (store.session(access_key_id, token), Some(key)),
        }
    }

    /// Lets go of the secrets of sessions that have expired, now and then.
    fn sweep(&self, now: Option<Timestamp>) {
        let Some(now) = now else { return };
        let swept_at_s = self.swept_at_s.load(Ordering::Relaxed);
        // A clock that was set back counts as well.
        if now.unix_s().abs_diff(swept_at_s) < SWEEP_S {
            return;
        }
        // Two that sweep at once do no harm.
        self.swept_at_s.store(now.unix_s(), Ordering::Relaxed);
        self.sessions.forget_expired(now);
        self.keys.forget_expired(now);
    }

    /// The signature that the secret of a credential makes over a request.
    fn signature(
        &self,
        request: &RequestView<'_>,
        authorization: &Authorization<'_>,
        left_out: &[&str],
        payload_hash: &[u8],
        credential: &Credential,
    ) -> Result<[u8; 64], Error> {
        let mut hasher = Sha256::new();
        let signed_headers = &authorization.signed_headers;
        write_canonical_request(&mut hasher, request, signed_headers, left_out, payload_hash)
            .map_err(|_| Error::SignatureMismatch)?;
        let mut request_hash = [0; 64];
        encode_hex(&hasher.finalize(), &mut request_hash);

        let mut hmac = self.keys.get(authorization, credential);
        hmac.update(ALGORITHM.as_bytes());
        hmac.update(b"\n");
        hmac.update(authorization.signed_at_text.as_bytes());
        hmac.update(b"\n");
        hmac.update(authorization.scope().as_bytes());
        hmac.update(b"\n");
        hmac.update(&request_hash);
        let mut signature = [0; 64];
        encode_hex(&hmac.finalize().into_bytes(), &mut signature);
        Ok(signature)
    }
}

/// The last line of the canonical request. A signed `x-amz-content-sha256` must be true, or `UNSIGNED-PAYLOAD` over TLS.
fn payload_hash<'h>(
    request: &RequestView<'_>,
    authorization: &Authorization<'_>,
    transport: Transport,
    body_hash: &'h mut [u8; 64],
) -> Result<&'h [u8], Error> {
    const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";
    let declared = authorization
        .signs("x-amz-content-sha256")
        .then(|| request.values("x-amz-content-sha256").next())
        .flatten()
        .map(<[u8]>::trim_ascii);
    if declared == Some(UNSIGNED) {
        return match transport {
            Transport::Tls => Ok(UNSIGNED),
            Transport::Plain => Err(Error::UnsignedPayloadOverPlain),
        };
    }
    encode_hex(&Sha256::digest(request.body), body_hash);
    if declared.is_some_and(|declared| declared != body_hash) {
        return Err(Error::SignatureMismatch);
    }
    Ok(body_hash)
}

fn encode_hex(bytes: &[u8], out: &mut [u8; 64]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}
