//! Why a request is not authenticated: one variant a sentence, since the sentence is what the client gets to see.
//!
//! `Display` gives the message as AWS writes it and [`Error::code`] the name of the exception. HTTP status codes and
//! the JSON around both belong to the caller. A message repeats only what the client sent, never a secret or a
//! computed signature.

use std::fmt;

use crate::sigv4::Timestamp;

/// A request that is refused before its operation runs.
///
/// Wording: AWS IAM User Guide, "Troubleshoot signed requests for AWS APIs", and the answers of the live service that
/// users quote in public bug reports. Where AWS documents no sentence the variant says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither header nor query string carry a version 4 signature.
    #[error("Request is missing Authentication Token")]
    MissingAuthenticationToken,

    /// Signed twice, in the header and in the query string.
    #[error("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")]
    HeaderAndQuery,

    /// A presigned request lacks a parameter.
    #[error(
        "AWS query-string parameters must include '{parameter}'. Re-examine the query-string parameters."
    )]
    IncompleteQuery {
        /// `X-Amz-Credential`, ...
        parameter: &'static str,
    },

    /// A parameter of a presigned request is given twice, so that two readers could disagree. (Own sentence.)
    #[error("'{parameter}' is given more than once in the query string.")]
    DuplicateQueryParameter {
        /// `X-Amz-Credential`, ...
        parameter: &'static str,
    },

    /// The expiry of a presigned request is of no use.
    #[error("{problem}")]
    MalformedExpires {
        /// In which way.
        problem: ExpiresProblem,
    },

    /// A presigned request is used after it has expired.
    #[error("Signature expired: {expires_at} is now earlier than {now}")]
    PresignedExpired {
        /// Until when it was good.
        expires_at: Timestamp,
        /// This server's time.
        now: Timestamp,
    },

    /// The header names the algorithm but lacks parameters, or no date accompanies it.
    #[error("{missing}Authorization={header}")]
    IncompleteAuthorization {
        /// What is not there.
        missing: MissingParts,
        /// The `Authorization` header as received.
        header: String,
    },

    /// A word of the header is not a `key=value` pair.
    #[error("'{word}' not a valid key=value pair (missing equal-sign) in Authorization header: '{header}'.")]
    NotKeyValue {
        /// The word without an equal sign.
        word: String,
        /// The `Authorization` header as received.
        header: String,
    },

    /// A parameter, or the whole header, is given twice, so that two readers could disagree. (Own sentence.)
    #[error("'{parameter}' is given more than once in Authorization header: '{header}'.")]
    DuplicateParameter {
        /// `Credential`, `SignedHeaders`, `Signature` or `Authorization`.
        parameter: &'static str,
        /// The `Authorization` header as received.
        header: String,
    },

    /// An `AWS4-...` algorithm other than `AWS4-HMAC-SHA256`.
    #[error("Unsupported AWS 'algorithm': '{algorithm}'.")]
    UnsupportedAlgorithm {
        /// The algorithm as received.
        algorithm: String,
    },

    /// The credential does not have five parts.
    #[error(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
         '{credential}'"
    )]
    MalformedCredential {
        /// The `Credential` parameter as received.
        credential: String,
    },

    /// The date of the request is not `YYYYMMDD'T'HHMMSS'Z'`.
    #[error(
        "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )]
    MalformedDate {
        /// The date as received.
        date: String,
    },

    /// A header that must be covered by the signature is not. (AWS's sentence for `Host`; the same for
    /// `X-Amz-Target`, for which AWS documents none.)
    #[error("{header} must be a 'SignedHeader' in the AWS Authorization.")]
    HeaderNotSigned {
        /// The header, with quotes.
        header: &'static str,
    },

    /// Signed too long ago.
    #[error("Signature expired: {signed_at} is now earlier than {earliest} ({now} - 15 min.)")]
    SignatureExpired {
        /// When the request says it was signed.
        signed_at: Timestamp,
        /// The oldest date that would have been accepted.
        earliest: Timestamp,
        /// This server's time.
        now: Timestamp,
    },

    /// Signed too far in the future.
    #[error("Signature not yet current: {signed_at} is still later than {latest} ({now} + 15 min.)")]
    SignatureNotYetCurrent {
        /// When the request says it was signed.
        signed_at: Timestamp,
        /// The newest date that would have been accepted.
        latest: Timestamp,
        /// This server's time.
        now: Timestamp,
    },

    /// The credential is scoped to another region, service, day or terminator. AWS lists every problem in one message.
    #[error("{}", ScopeProblems(problems))]
    CredentialScope {
        /// At least one problem, in AWS's order.
        problems: Vec<ScopeProblem>,
    },

    /// `UNSIGNED-PAYLOAD` without TLS: anyone on the way could change the body. (Own sentence.)
    #[error("'UNSIGNED-PAYLOAD' is accepted over TLS only. Sign the SHA-256 of the request body.")]
    UnsignedPayloadOverPlain,

    /// No such access key, or one that is inactive, or a session token that nobody issued for it.
    #[error("The security token included in the request is invalid.")]
    UnrecognizedClient,

    /// The signature is right, but the session is over.
    #[error("The security token included in the request is expired")]
    TokenExpired,

    /// The signature is not the one that the secret makes over this request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
    )]
    SignatureMismatch,
}

impl Error {
    /// The exception name that goes with the message; its namespace is `com.amazon.coral.service`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteAuthorization { .. }
            | Self::NotKeyValue { .. }
            | Self::DuplicateParameter { .. }
            | Self::UnsupportedAlgorithm { .. }
            | Self::MalformedCredential { .. }
            | Self::IncompleteQuery { .. }
            | Self::DuplicateQueryParameter { .. }
            | Self::MalformedExpires { .. }
            | Self::MalformedDate { .. } => "IncompleteSignatureException",
            Self::HeaderAndQuery
            | Self::PresignedExpired { .. }
            | Self::HeaderNotSigned { .. }
            | Self::SignatureExpired { .. }
            | Self::SignatureNotYetCurrent { .. }
            | Self::CredentialScope { .. }
            | Self::UnsignedPayloadOverPlain
            | Self::SignatureMismatch => "InvalidSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::TokenExpired => "ExpiredTokenException",
        }
    }
}

/// Which parts of a header signature are absent. `Display` gives AWS's sentences, each followed by a space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MissingParts {
    /// No `Credential=`.
    pub credential: bool,
    /// No `Signature=`.
    pub signature: bool,
    /// No `SignedHeaders=`.
    pub signed_headers: bool,
    /// Neither an `X-Amz-Date` nor a `Date` header.
    pub date: bool,
}

impl MissingParts {
    /// Whether anything is missing.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl fmt::Display for MissingParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = [
            (self.credential, "Credential"),
            (self.signature, "Signature"),
            (self.signed_headers, "SignedHeaders"),
        ];
        for (_, name) in parameters.iter().filter(|(missing, _)| *missing) {
            write!(f, "Authorization header requires '{name}' parameter. ")?;
        }
        if self.date {
            f.write_str(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
            )?;
        }
        Ok(())
    }
}

/// What is wrong with `X-Amz-Expires`. Sentences: Amazon S3's, the one service that documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpiresProblem {
    /// Not a whole number.
    #[error("X-Amz-Expires should be a number")]
    NotANumber,
    /// Less than zero.
    #[error("X-Amz-Expires must be non-negative")]
    Negative,
    /// More than a week.
    #[error(
        "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 \
         seconds"
    )]
    TooLong,
}

/// One way in which a credential scope is not the one this server serves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeProblem {
    /// Another region than this server's.
    #[error("Credential should be scoped to a valid region, not '{region}'. ")]
    Region {
        /// The region in the scope.
        region: String,
    },
    /// Another service.
    #[error("Credential should be scoped to correct service: '{expected}'. ")]
    Service {
        /// The service this endpoint answers for.
        expected: String,
    },
    /// Another terminator than `aws4_request`.
    #[error("Credential should be scoped with a valid terminator: 'aws4_request', not '{terminator}'. ")]
    Terminator {
        /// The terminator in the scope.
        terminator: String,
    },
    /// Another day than that of the request's date.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope_day}' != \
         '{request_day}', from '{signed_at}'. "
    )]
    Date {
        /// The day in the scope.
        scope_day: String,
        /// The day of the request's date.
        request_day: String,
        /// The request's date.
        signed_at: Timestamp,
    },
}

/// Writes the problems one behind the other.
struct ScopeProblems<'a>(&'a [ScopeProblem]);

impl fmt::Display for ScopeProblems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| problem.fmt(f))
    }
}
