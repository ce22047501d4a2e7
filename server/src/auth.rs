//! Who sent a request: the signature rules of `iam` with the node's credentials and clock.

use std::sync::Arc;

use stator_iam::{
    Expected, Principal, RequestView, StaticCredentials, Timestamp, Transport, Verifier, parse_authorization,
};

/// The service that requests are signed for.
const SERVICE: &str = "dynamodb";

/// How requests are authenticated.
#[derive(Debug)]
pub(crate) enum Authenticator {
    /// Any well-formed signature, of any key, region and time, acts as the root principal (`stator dev`).
    AnyWellFormed(Arc<Principal>),
    /// The signature has to be that of a known key for this region, now.
    Verified {
        verifier: Verifier,
        credentials: StaticCredentials,
        region: String,
        transport: Transport,
    },
}

impl Authenticator {
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
            Self::Verified {
                verifier,
                credentials,
                region,
                transport,
            } => {
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
