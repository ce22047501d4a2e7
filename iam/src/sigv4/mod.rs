//! AWS Signature Version 4, the verifying side.
//!
//! Source of every rule here: AWS IAM User Guide, "Create a signed AWS API request" (canonical request, string to
//! sign, signing key) and "Troubleshoot signed requests for AWS APIs" (refusals). A signature comes in the `Authorization`
//! header or, presigned, in the query string; with temporary credentials a session token comes along.
//!
//! Invariant: nothing in this module decides what a principal may do; it only says who signed.

mod authorization;
mod canonical;
mod presigned;
mod session_cache;
mod signing_key;
mod timestamp;
mod verify;

pub use authorization::{Authorization, Expected, MAX_SKEW_S, Service, parse_authorization};
pub use presigned::MAX_EXPIRES_S;
pub(crate) use timestamp::unix_day;
pub use timestamp::{Timestamp, iso_8601};
pub use verify::{Transport, Verifier};

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The last part of every credential scope.
const TERMINATOR: &str = "aws4_request";

/// A request as it came over the wire, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// `POST`, `GET`, ...
    pub method: &'a str,
    /// The path of the request target, still percent-encoded; `/` for DynamoDB.
    pub path: &'a str,
    /// The query string without the question mark, still percent-encoded; mostly empty.
    pub query: &'a str,
    /// Every header in the order received, names in lower case. Over HTTP/2 `:authority` goes here as `host`.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body as received, before any content decoding.
    pub body: &'a [u8],
}

impl<'a> RequestView<'a> {
    /// The values of a header, in the order received. `name` is in lower case.
    fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |(header, _)| *header == name)
            .map(|(_, value)| *value)
    }
}
