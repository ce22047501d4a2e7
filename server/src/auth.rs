//! Who sent a request: the signature rules of `iam` with the node's credentials and clock.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use stator_iam::{
    Expected, Principal, RequestView, SecretKey, StaticCredentials, Timestamp, Transport, Verifier,
    parse_authorization,
};

use crate::arn;

/// The service that requests are signed for.
const SERVICE: &str = "dynamodb";

/// The longest access key id (IAM API Reference, "AccessKey").
const ACCESS_KEY_BYTES_MAX: usize = 128;

/// How requests are authenticated.
#[derive(Debug)]
pub(crate) enum Authenticator {
    /// Any well-formed signature, of any key, region and time, acts as the root principal (`stator dev`).
    AnyWellFormed(Arc<Principal>),
    /// The signature has to be that of a known key for this region, now.
    Verified(Box<Verification>),
}

/// What verification needs.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) verifier: Verifier,
    pub(crate) credentials: StaticCredentials,
    pub(crate) region: String,
    pub(crate) transport: Transport,
}

/// The root principal with its access key.
pub(crate) fn root(access_key_id: &str) -> Principal {
    Principal {
        access_key_id: access_key_id.to_owned(),
        arn: format!("arn:aws:iam::{}:root", arn::ACCOUNT),
    }
}

/// A principal that a client's certificate stands for.
pub(crate) fn by_certificate(arn: &str) -> Principal {
    Principal {
        access_key_id: String::new(),
        arn: arn.to_owned(),
    }
}

/// The access key that a request names in its header or its query, before anything is verified.
pub(crate) fn claimed_key(parts: &Parts) -> Option<&str> {
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (text, name) = match header {
        Some(header) => (header, "Credential="),
        None => (parts.uri.query()?, "X-Amz-Credential="),
    };
    let (_, credential) = text.split_once(name)?;
    let end = credential
        .bytes()
        .position(|byte| !byte.is_ascii_alphanumeric())
        .unwrap_or(credential.len());
    credential
        .get(..end.min(ACCESS_KEY_BYTES_MAX))
        .filter(|key| !key.is_empty())
}

impl Authenticator {
    /// Accepts what the root principal has signed for a region.
    pub(crate) fn of_root(
        access_key_id: &str,
        secret: SecretKey,
        region: String,
        transport: Transport,
    ) -> Self {
        Self::Verified(Box::new(Verification {
            verifier: Verifier::new(),
            credentials: StaticCredentials::new(root(access_key_id), secret),
            region,
            transport,
        }))
    }

    /// Authenticates a request at a time in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// What is missing or wrong, in AWS's words.
    pub(crate) fn authenticate(
        &self,
        request: &RequestView<'_>,
        now_ms: i64,
    ) -> Result<Arc<Principal>, stator_iam::Error> {
        match self {
            Self::AnyWellFormed(principal) => {
                parse_authorization(
                    request,
                    &Expected {
                        service: SERVICE,
                        region: None,
                        now: None,
                    },
                )?;
                Ok(Arc::clone(principal))
            }
            Self::Verified(verification) => {
                let Verification {
                    verifier,
                    credentials,
                    region,
                    transport,
                } = verification.as_ref();
                let now = Timestamp::from_unix_s(u64::try_from(now_ms / 1000).unwrap_or(0));
                let expected = Expected {
                    service: SERVICE,
                    region: Some(region),
                    now: Some(now),
                };
                let authorization = parse_authorization(request, &expected)?;
                verifier.verify(request, &authorization, *transport, credentials)
            }
        }
    }
}
