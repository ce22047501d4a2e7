//! Reading the `Authorization` header: is there a well-formed signature, and is it meant for this server and this time?
//!
//! Everything here can be judged without a secret. Invariant of an [`Authorization`]: all parts are present, the
//! credential scope agrees with the date and the service, and `Host` is signed; whether the signature is right is for
//! `verify` to say.

use super::{ALGORITHM, RequestView, TERMINATOR, Timestamp};
use crate::error::{Error, MissingParts, ScopeProblem};

/// How far the date of a request may lie from the server's time, in seconds: 15 minutes either way.
pub const MAX_SKEW_S: u64 = 15 * 60;

/// What a signature must be made for.
///
/// `stator dev` without `--auth` takes any well-formed signature: it leaves `region` and `now` unset, so a client may
/// name any region and have any clock. All other checks still apply, because a client that fails them would fail
/// against AWS with any credentials.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The service in the credential scope: `dynamodb`.
    pub service: &'a str,
    /// The region in the credential scope; any when `None`.
    pub region: Option<&'a str>,
    /// The server's time; the request's date may differ by [`MAX_SKEW_S`]. Any date when `None`.
    pub now: Option<Timestamp>,
}

/// A well-formed signature and what it claims. Borrows from the request.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// The whole credential, `keyid/day/region/service/aws4_request`: what a signing key is valid for.
    pub(super) credential: &'a str,
    /// The access key id.
    pub access_key_id: &'a str,
    /// The day of the scope, `YYYYMMDD`.
    pub day: &'a str,
    /// The region of the scope.
    pub region: &'a str,
    /// The service of the scope.
    pub service: &'a str,
    /// Names of the signed headers as sent, separated by semicolons.
    pub signed_headers: &'a str,
    /// The signature as sent; 64 lower-case hexadecimal digits if it is to be right.
    pub signature: &'a str,
    /// The date of the request.
    pub signed_at: Timestamp,
    /// The date of the request as sent.
    pub(super) signed_at_text: &'a str,
}

impl Authorization<'_> {
    /// `day/region/service/aws4_request`.
    pub(super) fn scope(&self) -> &str {
        &self.credential[self.access_key_id.len() + 1..]
    }

    pub(super) fn signs(&self, header: &str) -> bool {
        signs(self.signed_headers, header)
    }
}

/// Reads and judges the signature of `request` as far as that goes without the secret.
///
/// # Errors
/// In AWS's order: no signature; one in header and query both; presigned; parts missing or not pairs; unknown
/// algorithm; `Host` (or an `X-Amz-Target` that is there) not signed; date unreadable; date outside the window;
/// credential not in five parts; credential scope for something else.
pub fn parse_authorization<'a>(
    request: &RequestView<'a>,
    expected: &Expected<'_>,
) -> Result<Authorization<'a>, Error> {
    let header = authorization_header(request)?;
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

    require_signed(request, signed_headers)?;
    let (signed_at, signed_at_text) = read_date(date)?;
    if let Some(now) = expected.now {
        check_skew(signed_at, now)?;
    }
    let authorization =
        split_credential(credential).map(|[access_key_id, day, region, service, terminator]| {
            let authorization = Authorization {
                credential,
                access_key_id,
                day,
                region,
                service,
                signed_headers,
                signature,
                signed_at,
                signed_at_text,
            };
            (authorization, terminator)
        });
    let Some((authorization, terminator)) = authorization else {
        return Err(Error::MalformedCredential {
            credential: credential.to_owned(),
        });
    };
    check_scope(&authorization, terminator, expected)?;
    Ok(authorization)
}

/// The one `Authorization` header of a version 4 signature, without surrounding spaces.
fn authorization_header<'a>(request: &RequestView<'a>) -> Result<&'a str, Error> {
    let mut headers = request.values("authorization");
    let in_query = is_presigned(request.query);
    let Some(header) = headers.next() else {
        return Err(if in_query {
            Error::PresignedNotAccepted
        } else {
            Error::MissingAuthenticationToken
        });
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
    str::from_utf8(header).map_err(|_| Error::IncompleteAuthorization {
        missing: MissingParts {
            credential: true,
            signature: true,
            signed_headers: true,
            date: false,
        },
        header: String::from_utf8_lossy(header).into_owned(),
    })
}

/// Whether any of the parameters that make a presigned request is there.
fn is_presigned(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        ["x-amz-algorithm", "x-amz-credential", "x-amz-signature"]
            .iter()
            .any(|parameter| name.eq_ignore_ascii_case(parameter))
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

fn read_date(date: &[u8]) -> Result<(Timestamp, &str), Error> {
    let date = date.trim_ascii();
    str::from_utf8(date)
        .ok()
        .and_then(|text| Timestamp::parse(text).map(|timestamp| (timestamp, text)))
        .ok_or_else(|| Error::MalformedDate {
            date: String::from_utf8_lossy(date).into_owned(),
        })
}

fn check_skew(signed_at: Timestamp, now: Timestamp) -> Result<(), Error> {
    let earliest = Timestamp::from_unix_s(now.unix_s().saturating_sub(MAX_SKEW_S));
    let latest = Timestamp::from_unix_s(now.unix_s().saturating_add(MAX_SKEW_S));
    if signed_at < earliest {
        return Err(Error::SignatureExpired {
            signed_at,
            earliest,
            now,
        });
    }
    if signed_at > latest {
        return Err(Error::SignatureNotYetCurrent {
            signed_at,
            latest,
            now,
        });
    }
    Ok(())
}

/// The five parts of a credential.
fn split_credential(credential: &str) -> Option<[&str; 5]> {
    let mut parts = credential.split('/');
    let split = [
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    ];
    parts.next().is_none().then_some(split)
}

fn check_scope(
    authorization: &Authorization<'_>,
    terminator: &str,
    expected: &Expected<'_>,
) -> Result<(), Error> {
    let mut problems = Vec::new();
    if expected
        .region
        .is_some_and(|region| region != authorization.region)
    {
        problems.push(ScopeProblem::Region {
            region: authorization.region.to_owned(),
        });
    }
    if authorization.service != expected.service {
        problems.push(ScopeProblem::Service {
            expected: expected.service.to_owned(),
        });
    }
    if terminator != TERMINATOR {
        problems.push(ScopeProblem::Terminator {
            terminator: terminator.to_owned(),
        });
    }
    let request_day = &authorization.signed_at_text[..8];
    if authorization.day != request_day {
        problems.push(ScopeProblem::Date {
            scope_day: authorization.day.to_owned(),
            request_day: request_day.to_owned(),
            signed_at: authorization.signed_at,
        });
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::CredentialScope { problems })
    }
}
