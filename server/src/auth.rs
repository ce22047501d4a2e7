//! Who sent a request: the signature rules of `iam` with the node's credentials and clock.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use stator_iam::{
    Credential, CredentialStore, Expected, Principal, RequestView, SecretKey, Service, StaticCredentials,
    Timestamp, Transport, Verifier, parse_authorization,
};

use crate::arn;
use crate::identity::store::{Identities, Shown};

/// The region that AWS's IAM is in, and STS where no other is named.
const GLOBAL_REGION: &str = "us-east-1";

/// The service of the tables.
pub(crate) const DYNAMODB: &str = "dynamodb";

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
    /// The key pair of root.
    pub(crate) root: StaticCredentials,
    /// The keys of users and sessions; none until the directory is there.
    pub(crate) identities: Option<Arc<Identities>>,
    pub(crate) region: String,
    pub(crate) transport: Transport,
}

/// The root principal with its access key.
pub(crate) fn root(access_key_id: &str) -> Principal {
    Principal::root(access_key_id, arn::ACCOUNT)
}

/// All credentials of a moment.
struct Known<'a> {
    root: &'a StaticCredentials,
    shown: Option<&'a Shown>,
}

impl CredentialStore for Known<'_> {
    fn credential(&self, access_key_id: &str) -> Option<Credential> {
        let own = self.root.credential(access_key_id);
        own.or_else(|| self.shown?.directory().credential(access_key_id))
    }

    fn session(&self, access_key_id: &str, token: &str) -> Option<Credential> {
        self.shown?.directory().session(access_key_id, token)
    }

    fn session_epoch(&self) -> Option<u64> {
        self.shown?.directory().session_epoch()
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
            root: StaticCredentials::new(root(access_key_id), secret),
            identities: None,
            region,
            transport,
        }))
    }

    /// Accepts also what users and sessions of a directory have signed.
    pub(crate) fn knowing(mut self, identities: &Arc<Identities>) -> Self {
        if let Self::Verified(verification) = &mut self {
            verification.identities = Some(Arc::clone(identities));
        }
        self
    }

    /// Authenticates a request for a service at a time in milliseconds since the Unix epoch.
    ///
    /// IAM is global, and its requests are signed for `us-east-1`; SDKs that are told an endpoint sign for the region that
    /// they are told as well, which is taken too. So it is with STS.
    ///
    /// # Errors
    /// What is missing or wrong, in AWS's words.
    pub(crate) fn authenticate_for(
        &self,
        service: &str,
        request: &RequestView<'_>,
        now_ms: i64,
    ) -> Result<Arc<Principal>, stator_iam::Error> {
        match self {
            Self::AnyWellFormed(principal) => {
                let services = [Service {
                    name: service,
                    regions: &[],
                }];
                let expected = Expected {
                    services: &services,
                    now: None,
                };
                parse_authorization(request, &expected)?;
                Ok(Arc::clone(principal))
            }
            Self::Verified(verification) => verification.authenticate(service, request, now_ms),
        }
    }
}

impl Verification {
    fn authenticate(
        &self,
        service: &str,
        request: &RequestView<'_>,
        now_ms: i64,
    ) -> Result<Arc<Principal>, stator_iam::Error> {
        let now_s = u64::try_from(now_ms / 1000).unwrap_or(0);
        let (own, both) = ([self.region.as_str()], [GLOBAL_REGION, self.region.as_str()]);
        let services = [Service {
            name: service,
            regions: if service == DYNAMODB { &own } else { &both },
        }];
        let expected = Expected {
            services: &services,
            now: Some(Timestamp::from_unix_s(now_s)),
        };
        let authorization = parse_authorization(request, &expected)?;
        let shown = self.identities.as_ref().map(|identities| identities.shown());
        let known = Known {
            root: &self.root,
            shown: shown.as_ref().map(|shown| &***shown),
        };
        let principal = self
            .verifier
            .verify(request, &authorization, self.transport, &known)?;
        if let Some((_, last_used)) = known
            .shown
            .and_then(|shown| shown.directory().key(&principal.access_key_id))
        {
            last_used.note(now_s, service);
        }
        Ok(principal)
    }
}
