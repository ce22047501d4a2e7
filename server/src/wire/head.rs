//! What a request says in its headers rather than in its body: which try of which call it is, and its consistency level.
//!
//! The headers are borrowed, and looked at only for operations that ask.

use http::HeaderMap;
use stator_cluster::{Invocation, InvocationId};
use uuid::Uuid;

use crate::consistency::{NamedLevel, named};

/// Set by the AWS SDKs, and the same for all tries of one call.
const INVOCATION: &str = "amz-sdk-invocation-id";
/// Which try of the call it is: `attempt=2; max=3`.
const TRY: &str = "amz-sdk-request";
/// The same of older SDKs, which count how often they have tried before: `1/100/500`.
const RETRY: &str = "amz-sdk-retry";
/// The consistency level, for clients that cannot add a member to the body.
const CONSISTENCY: &str = "x-stator-consistency";

/// The headers of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a>(&'a HeaderMap);

impl<'a> Head<'a> {
    pub(crate) fn new(headers: &'a HeaderMap) -> Self {
        Self(headers)
    }

    /// Which call the request is a try of, and whether others were made before it. A UUID is taken as it is, any other text
    /// by its hash.
    pub(crate) fn invocation(self) -> Option<Invocation> {
        let text = self.0.get(INVOCATION)?.as_bytes().trim_ascii();
        if text.is_empty() {
            return None;
        }
        let id = match Uuid::try_parse_ascii(text) {
            Ok(uuid) => InvocationId::new(uuid.into_bytes()),
            Err(_) => InvocationId::hashed(text),
        };
        let is_repeated = !self.is_first_try();
        Some(Invocation { id, is_repeated })
    }

    /// Whether the client says that it has not tried before. One that does not say may have.
    fn is_first_try(self) -> bool {
        let text = |name| self.0.get(name)?.to_str().ok();
        if let Some(request) = text(TRY) {
            let mut members = request.split(';').map(str::trim);
            return members.any(|member| member == "attempt=1");
        }
        text(RETRY).is_some_and(|retry| retry.split('/').next() == Some("0"))
    }

    /// The region that the request is signed for: `Credential=ID/DATE/REGION/...`.
    pub(crate) fn region(self) -> Option<&'a str> {
        let text = self.0.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let (_, credential) = text.split_once("Credential=")?;
        credential.split('/').nth(2).filter(|region| !region.is_empty())
    }

    /// The consistency level.
    pub(crate) fn level(self) -> Option<NamedLevel> {
        let value = self.0.get(CONSISTENCY)?.as_bytes().trim_ascii();
        Some(named(&String::from_utf8_lossy(value)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use stator_cluster::ConsistencyLevel;

    use super::*;

    fn headers(name: &'static str, value: &'static [u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn a_uuid_is_its_bytes_and_other_text_its_hash() {
        let id = |value| {
            Head::new(&headers(INVOCATION, value))
                .invocation()
                .map(|one| one.id)
        };
        let uuid = 0x0123_4567_89ab_4def_8123_4567_89ab_cdef_u128;
        let expected = Some(InvocationId::new(uuid.to_be_bytes()));
        assert_eq!(id(b"01234567-89ab-4def-8123-456789abcdef"), expected);
        assert_eq!(id(b" 01234567-89AB-4DEF-8123-456789ABCDEF"), expected);
        assert_eq!(id(b"try-7"), Some(InvocationId::hashed(b"try-7")));
        assert_eq!(id(b"\xff"), Some(InvocationId::hashed(b"\xff")));
        assert_eq!(id(b""), None);
        assert_eq!(Head::new(&HeaderMap::new()).invocation(), None);
    }

    #[test]
    fn a_try_is_the_first_one_if_the_client_says_so() {
        let is_repeated = |name, value| {
            let mut headers = headers(INVOCATION, b"call");
            headers.insert(name, HeaderValue::from_static(value));
            Head::new(&headers).invocation().unwrap().is_repeated
        };
        assert!(!is_repeated(TRY, "attempt=1; max=3"));
        assert!(!is_repeated(TRY, "attempt=1"));
        assert!(!is_repeated(TRY, "ttl=20261127T101112Z; attempt=1; max=3"));
        assert!(is_repeated(TRY, "attempt=2; max=3"));
        assert!(is_repeated(TRY, "attempt=10"));
        assert!(!is_repeated(RETRY, "0/0/500"));
        assert!(is_repeated(RETRY, "1/100/495"));
        assert!(is_repeated("x-other", "attempt=1"));
    }

    #[test]
    fn a_level_is_one_of_three_or_told_as_it_came() {
        let level = |value| Head::new(&headers(CONSISTENCY, value)).level();
        assert_eq!(level(b"QUORUM"), Some(Ok(ConsistencyLevel::Quorum)));
        assert_eq!(level(b"TWO"), Some(Err("TWO".to_owned())));
        assert_eq!(level(b""), Some(Err(String::new())));
        assert_eq!(Head::new(&HeaderMap::new()).level(), None);
    }
}
