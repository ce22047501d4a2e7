//! What a question says of the request that it is asked for.

use bytes::Bytes;
use prost::Message;

use super::Question;
use crate::follow::{Origin, RequestName, SpanId, TraceId};

/// The bytes of what is not known are empty.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OriginOf {
    /// Its id.
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    /// Its trace, 16 bytes, if it is traced.
    #[prost(bytes = "bytes", tag = "2")]
    trace: Bytes,
    /// The step of the trace that this is a part of, 8 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    span: Bytes,
}

impl OriginOf {
    /// What is told.
    pub(super) fn new(origin: &Origin) -> Self {
        let Origin { name, trace } = origin;
        let copy = Bytes::copy_from_slice;
        let (trace, span) = trace
            .as_ref()
            .map_or_else(Default::default, |(trace, span)| (copy(&trace.0), copy(&span.0)));
        Self {
            name: name.map_or_else(Bytes::new, |name| copy(name.as_str().as_bytes())),
            trace,
            span,
        }
    }
}

impl Question {
    /// The request that it is asked for. What makes no sense is left out: nothing depends on it.
    pub(crate) fn origin(&self) -> Origin {
        let Some(origin) = &self.origin else {
            return Origin::default();
        };
        let trace = origin.trace[..].try_into().ok().filter(|id| *id != [0; 16]);
        let span = origin.span[..].try_into().ok().filter(|id| *id != [0; 8]);
        Origin {
            name: RequestName::new(&origin.name),
            trace: trace.map(TraceId).zip(span.map(SpanId)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, question};
    use super::*;

    fn sent(origin: Option<Origin>) -> Question {
        Question::decode(question(Ask::ReadIndex(7), origin)).unwrap()
    }

    #[test]
    fn the_request_comes_as_it_was_told() {
        let name = RequestName::new(b"ABC123");
        let trace = Some((TraceId([1; 16]), SpanId([2; 8])));
        for (name, trace) in [(name, None), (None, trace), (name, trace)] {
            let origin = Origin { name, trace };
            let question = sent(Some(origin));
            assert_eq!(
                (question.origin(), question.ask),
                (origin, Some(Ask::ReadIndex(7)))
            );
        }
        assert_eq!(sent(None).origin(), Origin::default());
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let of = |name: &'static [u8], trace: &'static [u8], span: &'static [u8]| Question {
            ask: None,
            origin: Some(OriginOf {
                name: Bytes::from_static(name),
                trace: Bytes::from_static(trace),
                span: Bytes::from_static(span),
            }),
        };
        for question in [
            of(b"two\nlines", &[1; 15], &[2; 8]),
            of(&[b'A'; 65], &[0; 16], &[2; 8]),
            of(b"", &[1; 16], &[0; 8]),
            of(b"\xff", &[1; 16], &[2; 9]),
        ] {
            assert_eq!(question.origin(), Origin::default(), "{question:?}");
        }
    }
}
