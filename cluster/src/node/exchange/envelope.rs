//! What a message between nodes begins with (`docs/format/transport.md`, "What is in a message").
//!
//! Invariant: a header says all that is needed to bring an answer back to its request and to nothing else. Not here: what
//! is behind it.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::world::{MESSAGE_BYTES_MAX, Priority};

/// tag, incarnation, id, priority of the answer.
const REQUEST_HEADER_BYTES: usize = 1 + 8 + 8 + 1;
/// tag, incarnation, id, outcome.
const RESPONSE_HEADER_BYTES: usize = 1 + 8 + 8 + 1;

/// The longest body of a request, and of an answer, in bytes.
pub(crate) const REQUEST_BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - REQUEST_HEADER_BYTES;
const _: () = assert!(
    REQUEST_HEADER_BYTES == RESPONSE_HEADER_BYTES,
    "one limit stands for both"
);

const ANSWERED: u8 = 0;
const NOT_SERVED: u8 = 1;
const URGENT: u8 = 0;
const BULK: u8 = 1;

/// What a message is: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Raft,
    Gossip,
    Request,
    Response,
}

impl Tag {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Raft => 1,
            Self::Gossip => 2,
            Self::Request => 3,
            Self::Response => 4,
        }
    }

    /// Takes the tag off; `None` for one that there is not.
    pub(super) fn take(message: &mut Bytes) -> Option<Self> {
        let byte = message.try_get_u8().ok()?;
        [Self::Raft, Self::Gossip, Self::Request, Self::Response]
            .into_iter()
            .find(|tag| tag.byte() == byte)
    }
}

/// A request, told from all others of the process that makes it, and of all processes that the node ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestId {
    /// How often the node that asks was started.
    pub(super) incarnation: u64,
    /// Counts the requests since then.
    pub(super) number: u64,
}

impl RequestId {
    fn put(self, bytes: &mut BytesMut) {
        bytes.put_u64_le(self.incarnation);
        bytes.put_u64_le(self.number);
    }

    fn read(bytes: &mut Bytes) -> Option<Self> {
        Some(Self {
            incarnation: bytes.try_get_u64_le().ok()?,
            number: bytes.try_get_u64_le().ok()?,
        })
    }
}

/// A request as it travels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: RequestId,
    /// How the answer is to be sent.
    pub(super) priority: Priority,
    pub(super) body: Bytes,
}

impl Request {
    /// The whole message; `None` if it is too long.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut bytes = buffer(Tag::Request, &self.body)?;
        self.id.put(&mut bytes);
        bytes.put_u8(match self.priority {
            Priority::Urgent => URGENT,
            Priority::Bulk => BULK,
        });
        bytes.put_slice(&self.body);
        Some(bytes.freeze())
    }

    /// Reads what is behind the tag; the body shares its memory.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        let id = RequestId::read(&mut bytes)?;
        let priority = match bytes.try_get_u8().ok()? {
            URGENT => Priority::Urgent,
            BULK => Priority::Bulk,
            _ => return None,
        };
        Some(Self {
            id,
            priority,
            body: bytes,
        })
    }
}

/// An answer as it travels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) id: RequestId,
    /// `None` if the request was not served.
    pub(super) body: Option<Bytes>,
}

impl Response {
    /// The whole message; `None` if it is too long.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let (outcome, body) = match &self.body {
            Some(body) => (ANSWERED, &body[..]),
            None => (NOT_SERVED, &[][..]),
        };
        let mut bytes = buffer(Tag::Response, body)?;
        self.id.put(&mut bytes);
        bytes.put_u8(outcome);
        bytes.put_slice(body);
        Some(bytes.freeze())
    }

    /// Reads what is behind the tag; the body shares its memory.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        let id = RequestId::read(&mut bytes)?;
        let body = match bytes.try_get_u8().ok()? {
            ANSWERED => Some(bytes),
            NOT_SERVED if bytes.is_empty() => None,
            _ => return None,
        };
        Some(Self { id, body })
    }
}

fn buffer(tag: Tag, body: &[u8]) -> Option<BytesMut> {
    if body.len() > REQUEST_BODY_BYTES_MAX {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(REQUEST_HEADER_BYTES + body.len());
    bytes.put_u8(tag.byte());
    Some(bytes)
}

/// A message of gossip with its tag.
pub(super) fn gossip(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.len());
    bytes.put_u8(Tag::Gossip.byte());
    bytes.put_slice(message);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn id(incarnation: u64, number: u64) -> RequestId {
        RequestId { incarnation, number }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let request = Request {
            id: id(2, 0x0103),
            priority: Priority::Bulk,
            body: Bytes::from_static(b"?"),
        };
        let expected = [&[3, 2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 1][..], b"?"].concat();
        assert_eq!(request.encode().unwrap(), expected);
        let answered = Response {
            id: id(2, 0x0103),
            body: Some(Bytes::from_static(b"!")),
        };
        let expected = [&[4, 2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0][..], b"!"].concat();
        assert_eq!(answered.encode().unwrap(), expected);
        let not_served = Response {
            body: None,
            ..answered
        };
        let expected = [4, 2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(not_served.encode().unwrap(), &expected[..]);
        assert_eq!(gossip(b"hi"), &b"\x02hi"[..]);
    }

    #[test]
    fn the_longest_body_fits_a_message_and_one_more_byte_does_not() {
        for (bytes, fits) in [
            (REQUEST_BODY_BYTES_MAX, true),
            (REQUEST_BODY_BYTES_MAX + 1, false),
        ] {
            let body = Bytes::from(vec![0; bytes]);
            let request = Request {
                id: id(1, 1),
                priority: Priority::Urgent,
                body: body.clone(),
            };
            let response = Response {
                id: id(1, 1),
                body: Some(body),
            };
            let lengths =
                [request.encode(), response.encode()].map(|message| message.map(|bytes| bytes.len()));
            assert_eq!(lengths, [fits.then_some(MESSAGE_BYTES_MAX); 2]);
        }
    }

    #[test]
    fn tags_that_there_are_not_are_refused() {
        for byte in (0..=255).filter(|byte| !(1..=4).contains(byte)) {
            assert_eq!(Tag::take(&mut Bytes::from(vec![byte])), None);
        }
        assert_eq!(Tag::take(&mut Bytes::new()), None);
    }

    proptest! {
        #[test]
        fn requests_and_answers_come_back(numbers in any::<[u64; 2]>(), bulk in any::<bool>(), served in any::<bool>(), body in vec(any::<u8>(), 0..40)) {
            let id = id(numbers[0], numbers[1]);
            let body = Bytes::from(body);
            let priority = if bulk { Priority::Bulk } else { Priority::Urgent };
            let request = Request { id, priority, body: body.clone() };
            let mut bytes = request.encode().unwrap();
            prop_assert_eq!(Tag::take(&mut bytes), Some(Tag::Request));
            prop_assert_eq!(Request::decode(bytes), Some(request));
            let response = Response { id, body: served.then_some(body) };
            let mut bytes = response.encode().unwrap();
            prop_assert_eq!(Tag::take(&mut bytes), Some(Tag::Response));
            prop_assert_eq!(Response::decode(bytes), Some(response));
        }

        #[test]
        fn what_can_be_read_is_written_in_the_same_way(bytes in vec(0_u8..3, 0..24)) {
            let bytes = Bytes::from(bytes);
            if let Some(request) = Request::decode(bytes.clone()) {
                prop_assert_eq!(request.encode().unwrap().slice(1..), bytes.clone());
            }
            if let Some(response) = Response::decode(bytes.clone()) {
                prop_assert_eq!(response.encode().unwrap().slice(1..), bytes);
            }
        }
    }
}
