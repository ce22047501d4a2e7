//! Verifying a signature: the same computation as the signer's, compared in constant time.
//!
//! A [`Verifier`] is long-lived and shared by all connections, since it holds the cache of signing keys. It trusts the
//! [`Authorization`] to be of the same request; checks of form, scope and date happened when that was parsed.

use std::fmt;
use std::sync::Arc;

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::authorization::Place;
use super::canonical::write_canonical_request;
use super::signing_key::SigningKeyCache;
use super::{ALGORITHM, Authorization, RequestView, presigned};
use crate::error::Error;
use crate::principal::{Credential, CredentialStore, Principal};

/// How many signing keys are kept: one per access key and day in use, 300 bytes or so each.
const SIGNING_KEYS_MAX: usize = 16_384;

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
        let credential = match &authorization.token {
            None => store.credential(authorization.access_key_id()),
            Some(token) => store.session(authorization.access_key_id(), token),
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
        match (credential.expires_at, authorization.now) {
            (Some(expires_at), Some(now)) if expires_at <= now => Err(Error::TokenExpired),
            _ => Ok(credential.principal),
        }
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

        let mut hmac = self.keys.get(authorization, &credential.secret);
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
