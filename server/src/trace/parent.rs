//! `traceparent`: which trace a request belongs to, and `tracestate`: what systems of clients know of it. Source: W3C Recommendation
//! "Trace Context", level 1, sections 3.2 and 3.3.

use http::{HeaderMap, HeaderName};
use stator_cluster::follow::{SpanId, TraceId};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// So much of the state is passed on by all, and so many members it has, by the recommendation.
const STATE_BYTES_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;
/// The bytes of version 00; later versions begin with the same.
const LENGTH: usize = 55;

/// What a client has said of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    /// The client's span.
    pub(super) span: SpanId,
    /// Whether the client records it.
    pub(super) is_sampled: bool,
}

impl Parent {
    /// What the headers of a request say; `None` if they say nothing, or nothing that can be understood.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        // Two of them contradict each other.
        values.next().is_none().then(|| Self::parse(value.as_bytes()))?
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let [version] = hex(head.get(..2)?)?;
        let fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|place| head.get(*place) == Some(&b'-'));
        if !fits || !dashes {
            return None;
        }
        let (trace, span) = (hex(head.get(3..35)?)?, hex(head.get(36..52)?)?);
        let [flags] = hex(head.get(53..)?)?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            is_sampled: flags & 1 == 1,
        })
    }
}

/// What the systems of a client have noted of the trace of a request, for the request's own span: all of it, or nothing if it is
/// not what it should be.
pub(super) fn state_of(headers: &HeaderMap) -> Option<String> {
    let mut members = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        let value = value.to_str().ok()?;
        members.extend(value.split(',').map(|member| member.trim_matches([' ', '\t'])));
    }
    // A list may have members that are empty.
    members.retain(|member| !member.is_empty());
    let is_member = |member: &&str| {
        let pair = member.split_once('=');
        pair.is_some_and(|(key, value)| is_key(key) && is_value(value))
    };
    let state = members.join(",");
    let fits = members.len() <= STATE_MEMBERS_MAX && state.len() <= STATE_BYTES_MAX;
    (fits && !members.is_empty() && members.iter().all(is_member)).then_some(state)
}

fn is_key(key: &str) -> bool {
    let is_of_key = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(is_of_key)
}

fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// Bytes from lower-case digits.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(values: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Parent::of(&headers)
    }

    #[test]
    fn what_the_recommendation_shows_is_understood() {
        let parent = of(&[GOOD]).unwrap();
        assert_eq!(hex::encode(parent.trace.0), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(hex::encode(parent.span.0), "00f067aa0ba902b7");
        assert!(parent.is_sampled);
        assert!(!of(&[&GOOD.replace("-01", "-00")]).unwrap().is_sampled);
        // Flags that are not known yet mean nothing; later versions may say more.
        assert!(of(&[&GOOD.replace("-01", "-ff")]).unwrap().is_sampled);
        assert_eq!(of(&[&GOOD.replacen("00", "01", 1)]), Some(parent));
        assert_eq!(of(&[&(GOOD.replacen("00", "fe", 1) + "-what")]), Some(parent));
    }

    #[test]
    fn a_state_is_taken_over_as_a_whole_or_not_at_all() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
            }
            state_of(&headers)
        };
        let both = Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".to_owned());
        assert_eq!(of(&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]), both);
        assert_eq!(of(&["rojo=00f067aa0ba902b7 ,, ", "congo=t61rcWkgMzE"]), both);
        assert_eq!(of(&["a@b=1"]), Some("a@b=1".to_owned()));
        let many = vec!["a=1"; STATE_MEMBERS_MAX + 1].join(",");
        let long = format!("a={}", "x".repeat(STATE_BYTES_MAX));
        for wrong in [
            "", ",", "a", "A=1", "a=", "a=b=c", "=1", "-a=1", "a=1,b", &many, &long,
        ] {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn everything_else_is_as_if_nothing_was_said() {
        for wrong in [
            "",
            &GOOD[..54],
            &(GOOD.to_owned() + "-"),
            &(GOOD.to_owned() + "0"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &(GOOD.replacen("00", "01", 1) + "x"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("4b", "4g"),
            &GOOD.replace('-', "_"),
        ] {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD, GOOD]), None);
    }
}
