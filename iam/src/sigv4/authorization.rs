//! Reading a signature: is there a well-formed one, and is it meant for this server and this time?
//!
//! A signature lies in the `Authorization` header or, presigned, in the query string; `presigned.rs` reads the latter, and
//! both are judged by the same rules here. Everything can be judged without a secret. Invariant of an [`Authorization`]:
//! all parts are present, the credential scope agrees with the date and a service, and `Host` is signed; whether the
//! signature is right is for `verify` to say.

use std::borrow::Cow;

use super::{ALGORITHM, RequestView, TERMINATOR, Timestamp, presigned};
use crate::error::{Error, MissingParts, ScopeProblem};

/// How far the date of a request may lie from the server's time, in seconds: 15 minutes either way.
pub const MAX_SKEW_S: u64 = 15 * 60;

/// A service that an endpoint answers for, and the regions that its requests may be signed for.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// The service in the credential scope: `dynamodb`, `iam` or `sts`.
    pub name: &'a str,
    /// The regions in the credential scope; any when there are none.
    pub regions: &'a [&'a str],
}

/// What a signature must be made for.
///
/// `stator dev` without `--auth` takes any well-formed signature: it names no regions and no time, so a client may name any
/// region and have any clock. All other checks still apply, because a client that fails them would fail against AWS with
/// any credentials.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// At least one service. A scope of another service is told to be that of the first.
    pub services: &'a [Service<'a>],
    /// The server's time; the request's date may differ by [`MAX_SKEW_S`]. Any date when `None`.
    pub now: Option<Timestamp>,
}

/// Where a signature lies in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    /// In the query string, whose canonical form leaves the signature out.
    Query,
}

/// A well-formed signature and what it claims. Borrows from the request what needs no decoding.
#[derive(Debug, Clone)]
pub struct Authorization<'a> {
    /// The whole credential, `keyid/day/region/service/aws4_request`: what a signing key is valid for.
    pub(super) credential: Cow<'a, str>,
    /// Where the first four parts of the credential end.
    ends: [usize; 4],
    /// Names of the signed headers as sent, separated by semicolons.
    pub(super) signed_headers: Cow<'a, str>,
    /// The signature as sent; 64 lower-case hexadecimal digits if it is to be right.
    pub(super) signature: Cow<'a, str>,
    /// The date of the request as sent.
    pub(super) signed_at_text: Cow<'a, str>,
    /// The session token, when the credential is a temporary one.
    pub(super) token: Option<Cow<'a, str>>,
    pub(super) place: Place,
    /// The time at which the request was judged.
    pub(super) now: Option<Timestamp>,
}

#[cfg(test)]
impl<'a> Authorization<'a> {
    /// With this credential and no signature.
    pub(super) fn of_credential(credential: &'a str) -> Self {
        Self {
            credential: credential.into(),
            ends: split_credential(credential).unwrap(),
            signed_headers: "host".into(),
            signature: "".into(),
            signed_at_text: "19700101T000000Z".into(),
            token: None,
            place: Place::Header,
            now: None,
        }
    }
}

impl Authorization<'_> {
    /// The access key id.
    pub fn access_key_id(&self) -> &str {
        &self.credential[..self.ends[0]]
    }

    /// The day of the scope, `YYYYMMDD`.
    pub fn day(&self) -> &str {
        &self.credential[self.ends[0] + 1..self.ends[1]]
    }

    /// The region of the scope.
    pub fn region(&self) -> &str {
        &self.credential[self.ends[1] + 1..self.ends[2]]
    }

    /// The service of the scope.
    pub fn service(&self) -> &str {
        &self.credential[self.ends[2] + 1..self.ends[3]]
    }

    /// `day/region/service/aws4_request`.
    pub(super) fn scope(&self) -> &str {
        &self.credential[self.ends[0] + 1..]
    }

    fn terminator(&self) -> &str {
        &self.credential[self.ends[3] + 1..]
    }

    pub(super) fn signs(&self, header: &str) -> bool {
        signs(&self.signed_headers, header)
    }
}

/// The parts of a signature before they are judged.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) credential: Cow<'a, str>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) date: Cow<'a, [u8]>,
    pub(super) token: Option<Cow<'a, str>>,
    /// For how long a presigned request is good, in seconds after its date.
    pub(super) expires_s: Option<u64>,
    pub(super) place: Place,
}

/// Reads and judges the signature of `request` as far as that goes without the secret.
///
/// # Errors
/// In AWS's order: no signature; one in header and query both; parts missing or not pairs; unknown algorithm; `Host` (or an
/// `X-Amz-Target` that is there) not signed; date unreadable; date outside the window, or a presigned request that has
/// expired; credential not in five parts; credential scope for something else.
pub fn parse_authorization<'a>(
    request: &RequestView<'a>,
    expected: &Expected<'_>,
) -> Result<Authorization<'a>, Error> {
    let parts = match authorization_header(request)? {
        Some(header) => header_parts(request, header)?,
        None => presigned::parts(request)?,
    };
    require_signed(request, &parts.signed_headers)?;
    let (signed_at, signed_at_text) = read_date(parts.date)?;
    if let Some(now) = expected.now {
        check_time(signed_at, parts.expires_s, now)?;
    }
    let Some(ends) = split_credential(&parts.credential) else {
        return Err(Error::MalformedCredential {
            credential: parts.credential.into_owned(),
        });
    };
    let authorization = Authorization {
        credential: parts.credential,
        ends,
        signed_headers: parts.signed_headers,
        signature: parts.signature,
        signed_at_text,
        token: parts.token,
        place: parts.place,
        now: expected.now,
    };
    check_scope(&authorization, signed_at, expected)?;
    Ok(authorization)
}

/// The parts of a signature in the `Authorization` header.
fn header_parts<'a>(request: &RequestView<'a>, header: &'a str) -> Result<Parts<'a>, Error> {
    let (algorithm, parameters) = header.split_once(' ').unwrap_or((header, ""));
    if algorithm != ALGORITHM {
        return Err(Error::UnsupportedAlgorithm {
            algorithm: algorithm.to_owned(),
        });
    }
    let date = request
        .values("x-amz-date")
        .next()
        .or_else(|| request.values("date").next());
    let Parameters {
        credential,
        signed_headers,
        signature,
    } = Parameters::read(parameters, header)?;
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (credential, signed_headers, signature, date)
    else {
        let missing = MissingParts {
            credential: credential.is_none(),
            signature: signature.is_none(),
            signed_headers: signed_headers.is_none(),
            date: date.is_none(),
        };
        return Err(Error::IncompleteAuthorization {
            missing,
            header: header.to_owned(),
        });
    };
    Ok(Parts {
        credential: credential.into(),
        signed_headers: signed_headers.into(),
        signature: signature.into(),
        date: date.trim_ascii().into(),
        token: header_token(request)?,
        expires_s: None,
        place: Place::Header,
    })
}

/// The one session token of a request that is signed in its header.
fn header_token<'a>(request: &RequestView<'a>) -> Result<Option<Cow<'a, str>>, Error> {
    let mut tokens = request.values("x-amz-security-token");
    let Some(token) = tokens.next() else {
        return Ok(None);
    };
    match (str::from_utf8(token.trim_ascii()), tokens.next()) {
        (Ok(token), None) => Ok(Some(token.into())),
        _ => Err(Error::UnrecognizedClient),
    }
}

/// The one `Authorization` header of a version 4 signature, without surrounding spaces; none when the request is presigned.
fn authorization_header<'a>(request: &RequestView<'a>) -> Result<Option<&'a str>, Error> {
    let mut headers = request.values("authorization");
    let in_query = presigned::is_presigned(request.query);
    let Some(header) = headers.next() else {
        return if in_query {
            Ok(None)
        } else {
            Err(Error::MissingAuthenticationToken)
        };
    };
    if in_query {
        return Err(Error::HeaderAndQuery);
    }
    let header = header.trim_ascii();
    if headers.next().is_some() {
        let header = String::from_utf8_lossy(header).into_owned();
        return Err(Error::DuplicateParameter {
            parameter: "Authorization",
            header,
        });
    }
    if !header.starts_with(b"AWS4-") {
        return Err(Error::MissingAuthenticationToken);
    }
    str::from_utf8(header)
        .map(Some)
        .map_err(|_| Error::IncompleteAuthorization {
            missing: MissingParts {
                credential: true,
                signature: true,
                signed_headers: true,
                date: false,
            },
            header: String::from_utf8_lossy(header).into_owned(),
        })
}

/// The parameters of the header; one that is empty counts as absent.
#[derive(Default)]
struct Parameters<'a> {
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    /// AWS takes commas and white space alike as separators, and ignores parameters it does not know.
    fn read(text: &'a str, header: &str) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            let Some((key, value)) = word.split_once('=') else {
                return Err(Error::NotKeyValue {
                    word: word.to_owned(),
                    header: header.to_owned(),
                });
            };
            let (parameter, place) = match key {
                "Credential" => ("Credential", &mut parameters.credential),
                "SignedHeaders" => ("SignedHeaders", &mut parameters.signed_headers),
                "Signature" => ("Signature", &mut parameters.signature),
                _ => continue,
            };
            if place.is_some() {
                return Err(Error::DuplicateParameter {
                    parameter,
                    header: header.to_owned(),
                });
            }
            *place = (!value.is_empty()).then_some(value);
        }
        Ok(parameters)
    }
}

fn signs(signed_headers: &str, header: &str) -> bool {
    signed_headers
        .as_bytes()
        .split(|byte| *byte == b';')
        .any(|signed| signed == header.as_bytes())
}

/// `Host` must be signed, and so must the target if there is one: it names the operation, and unsigned, anyone on the
/// way could turn a GetItem into a DeleteItem.
fn require_signed(request: &RequestView<'_>, signed_headers: &str) -> Result<(), Error> {
    if !signs(signed_headers, "host") {
        return Err(Error::HeaderNotSigned {
            header: "'Host' or ':authority'",
        });
    }
    if request.values("x-amz-target").next().is_some() && !signs(signed_headers, "x-amz-target") {
        return Err(Error::HeaderNotSigned {
            header: "'X-Amz-Target'",
        });
    }
    Ok(())
}

fn read_date(date: Cow<'_, [u8]>) -> Result<(Timestamp, Cow<'_, str>), Error> {
    let malformed = |date: &[u8]| Error::MalformedDate {
        date: String::from_utf8_lossy(date).into_owned(),
    };
    let text = match date {
        Cow::Borrowed(date) => Cow::Borrowed(str::from_utf8(date).map_err(|_| malformed(date))?),
        Cow::Owned(date) => {
            let text = String::from_utf8(date).map_err(|error| malformed(error.as_bytes()))?;
            Cow::Owned(text)
        }
    };
    match Timestamp::parse(&text) {
        Some(timestamp) => Ok((timestamp, text)),
        None => Err(malformed(text.as_bytes())),
    }
}

/// A request with a signature in its header is good for 15 minutes; a presigned one as long as it says.
fn check_time(signed_at: Timestamp, expires_s: Option<u64>, now: Timestamp) -> Result<(), Error> {
    let Some(expires_s) = expires_s else {
        return check_skew(signed_at, now);
    };
    let expires_at = Timestamp::from_unix_s(signed_at.unix_s().saturating_add(expires_s));
    if now > expires_at {
        return Err(Error::PresignedExpired { expires_at, now });
    }
    check_not_early(signed_at, now)
}

fn check_skew(signed_at: Timestamp, now: Timestamp) -> Result<(), Error> {
    let earliest = Timestamp::from_unix_s(now.unix_s().saturating_sub(MAX_SKEW_S));
    if signed_at < earliest {
        return Err(Error::SignatureExpired {
            signed_at,
            earliest,
            now,
        });
    }
    check_not_early(signed_at, now)
}

fn check_not_early(signed_at: Timestamp, now: Timestamp) -> Result<(), Error> {
    let latest = Timestamp::from_unix_s(now.unix_s().saturating_add(MAX_SKEW_S));
    if signed_at > latest {
        return Err(Error::SignatureNotYetCurrent {
            signed_at,
            latest,
            now,
        });
    }
    Ok(())
}

/// Where the first four of the five parts of a credential end.
fn split_credential(credential: &str) -> Option<[usize; 4]> {
    let mut slashes = credential.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
    let mut next = || slashes.next().map(|(at, _)| at);
    let ends = [next()?, next()?, next()?, next()?];
    next().is_none().then_some(ends)
}

fn check_scope(
    authorization: &Authorization<'_>,
    signed_at: Timestamp,
    expected: &Expected<'_>,
) -> Result<(), Error> {
    let mut problems = Vec::new();
    let service = expected
        .services
        .iter()
        .find(|service| service.name == authorization.service());
    // What is told of a scope of another service is that of the first.
    let regions = service
        .or(expected.services.first())
        .map_or(&[][..], |service| service.regions);
    if !regions.is_empty() && !regions.contains(&authorization.region()) {
        problems.push(ScopeProblem::Region {
            region: authorization.region().to_owned(),
        });
    }
    if service.is_none() {
        let first = expected.services.first();
        problems.push(ScopeProblem::Service {
            expected: first.map_or_else(String::new, |service| service.name.to_owned()),
        });
    }
    if authorization.terminator() != TERMINATOR {
        problems.push(ScopeProblem::Terminator {
            terminator: authorization.terminator().to_owned(),
        });
    }
    let request_day = &authorization.signed_at_text[..8];
    if authorization.day() != request_day {
        problems.push(ScopeProblem::Date {
            scope_day: authorization.day().to_owned(),
            request_day: request_day.to_owned(),
            signed_at,
        });
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::CredentialScope { problems })
    }
}
