//! Presigned requests: the signature as parameters of the query string.
//!
//! Source: AWS IAM User Guide, "Create a signed AWS API request" (query string parameters). The names of the parameters
//! are exact; one that is given twice is refused, so that no two readers can disagree. Not here: what the parts have to be.

use std::borrow::Cow;

use super::authorization::{Parts, Place};
use super::canonical::decoded;
use super::{ALGORITHM, RequestView};
use crate::error::{Error, ExpiresProblem};

/// The parameter that holds the signature, which the canonical query leaves out.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
/// The parameter that holds the session token, which some signers add after signing.
pub(super) const TOKEN: &str = "X-Amz-Security-Token";

const ALGORITHM_PARAMETER: &str = "X-Amz-Algorithm";
const CREDENTIAL: &str = "X-Amz-Credential";
const DATE: &str = "X-Amz-Date";
const EXPIRES: &str = "X-Amz-Expires";
const SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";

/// The longest that a presigned request may be good for, in seconds: a week.
pub const MAX_EXPIRES_S: u64 = 7 * 24 * 60 * 60;

/// Whether any of the parameters that make a presigned request is there.
pub(super) fn is_presigned(query: &str) -> bool {
    !query.is_empty()
        && query.split('&').any(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            [ALGORITHM_PARAMETER, CREDENTIAL, SIGNATURE]
                .iter()
                .any(|parameter| name.eq_ignore_ascii_case(parameter))
        })
}

/// The parts of a signature in the query string. A date may also come as a header.
///
/// # Errors
/// Another algorithm, parameters that are missing or given twice, an expiry that is no number up to a week.
pub(super) fn parts<'a>(request: &RequestView<'a>) -> Result<Parts<'a>, Error> {
    let algorithm = required(request, ALGORITHM_PARAMETER)?;
    if algorithm != ALGORITHM {
        return Err(Error::UnsupportedAlgorithm {
            algorithm: algorithm.into_owned(),
        });
    }
    let credential = required(request, CREDENTIAL)?;
    let signature = required(request, SIGNATURE)?;
    let signed_headers = required(request, SIGNED_HEADERS)?;
    let date = match parameter(request.query, DATE)? {
        Some(Cow::Borrowed(date)) => Cow::Borrowed(date.as_bytes()),
        Some(Cow::Owned(date)) => Cow::Owned(date.into_bytes()),
        None => match request.values("x-amz-date").next() {
            Some(date) => date.trim_ascii().into(),
            None => return Err(Error::IncompleteQuery { parameter: DATE }),
        },
    };
    let expires_s = parameter(request.query, EXPIRES)?
        .map(|text| expires(&text))
        .transpose()?;
    Ok(Parts {
        credential,
        signed_headers,
        signature,
        date,
        token: parameter(request.query, TOKEN)?,
        expires_s,
        place: Place::Query,
    })
}

fn expires(text: &str) -> Result<u64, Error> {
    let problem = match text.parse::<i64>().map(u64::try_from) {
        Ok(Ok(seconds)) if seconds <= MAX_EXPIRES_S => return Ok(seconds),
        Ok(Ok(_)) => ExpiresProblem::TooLong,
        Ok(Err(_)) => ExpiresProblem::Negative,
        Err(_) => ExpiresProblem::NotANumber,
    };
    Err(Error::MalformedExpires { problem })
}

fn required<'a>(request: &RequestView<'a>, name: &'static str) -> Result<Cow<'a, str>, Error> {
    parameter(request.query, name)?
        .filter(|value| !value.is_empty())
        .ok_or(Error::IncompleteQuery { parameter: name })
}

/// The decoded value of the one parameter of a name.
fn parameter<'a>(query: &'a str, name: &'static str) -> Result<Option<Cow<'a, str>>, Error> {
    let mut values = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(other, _)| *other == name)
        .map(|(_, value)| value);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Error::DuplicateQueryParameter { parameter: name });
    }
    Ok(Some(match decoded(value.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(value),
        Cow::Owned(bytes) => {
            Cow::Owned(String::from_utf8(bytes).map_err(|_| Error::IncompleteQuery { parameter: name })?)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::{is_presigned, parameter};
    use crate::error::Error;

    #[test]
    fn parameters_are_decoded_and_unique() {
        let query = "a=1&X-Amz-Credential=A%2FB%2fc&b=&X-Amz-Date=20150830T123600Z";
        assert!(is_presigned(query) && !is_presigned("a=1") && !is_presigned(""));
        assert_eq!(
            parameter(query, "X-Amz-Credential").unwrap().as_deref(),
            Some("A/B/c")
        );
        assert_eq!(parameter(query, "b").unwrap().as_deref(), Some(""));
        assert_eq!(parameter(query, "c"), Ok(None));
        assert_eq!(
            parameter("a=1&a=1", "a"),
            Err(Error::DuplicateQueryParameter { parameter: "a" })
        );
    }
}
