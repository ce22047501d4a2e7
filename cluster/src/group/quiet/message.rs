//! What members say about resting, as bytes (`docs/format/transport.md`, "Messages about resting").
//!
//! Invariant: what was decoded encodes to the same bytes. Not here: what is done about it.

use bytes::{Buf as _, BufMut as _, Bytes};

use crate::raft::ReplicaId;

/// Kinds of messages of a group share their first byte; these are above those of Raft.
const QUIESCE: u8 = 64;
const WAKE: u8 = 65;

/// A message of one member of a group to another, beside those of Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuietMessage {
    /// Whom it is for.
    pub(crate) to: ReplicaId,
    /// Who sends it.
    pub(crate) from: ReplicaId,
    /// The term of the sender.
    pub(crate) term: u64,
    /// What it says.
    pub(crate) kind: QuietKind,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuietKind {
    /// The leader rests.
    Quiesce {
        /// The last entry of its log.
        last: u64,
    },
    /// The leader must not rest.
    Wake,
}

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message about resting does not decode")]
pub(crate) struct MalformedQuiet;

impl QuietMessage {
    /// Its size as bytes.
    pub(crate) const ENCODED_BYTES: usize = 1 + 4 * 8;

    /// Whether the bytes of a message of a group begin as one of these, not as one of Raft.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(&(QUIESCE | WAKE)))
    }

    /// Appends it.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let (kind, last) = match self.kind {
            QuietKind::Quiesce { last } => (QUIESCE, last),
            QuietKind::Wake => (WAKE, 0),
        };
        into.put_u8(kind);
        for number in [self.to.0, self.from.0, self.term, last] {
            into.put_u64_le(number);
        }
    }

    /// Reads one that takes all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`MalformedQuiet`].
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, MalformedQuiet> {
        if bytes.len() != Self::ENCODED_BYTES {
            return Err(MalformedQuiet);
        }
        let kind = bytes.get_u8();
        let (to, from) = (ReplicaId(bytes.get_u64_le()), ReplicaId(bytes.get_u64_le()));
        let (term, last) = (bytes.get_u64_le(), bytes.get_u64_le());
        let kind = match (kind, last) {
            (QUIESCE, last) => QuietKind::Quiesce { last },
            (WAKE, 0) => QuietKind::Wake,
            _ => return Err(MalformedQuiet),
        };
        Ok(Self { to, from, term, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn messages_come_back(numbers in any::<[u64; 3]>(), last in any::<Option<u64>>()) {
            let [to, from, term] = numbers;
            let kind = last.map_or(QuietKind::Wake, |last| QuietKind::Quiesce { last });
            let message = QuietMessage { to: ReplicaId(to), from: ReplicaId(from), term, kind };
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), QuietMessage::ENCODED_BYTES);
            prop_assert_eq!(QuietMessage::is_one(&bytes), true);
            for end in 0..bytes.len() {
                prop_assert_eq!(QuietMessage::decode(Bytes::copy_from_slice(&bytes[..end])), Err(MalformedQuiet));
            }
            prop_assert_eq!(QuietMessage::decode(bytes.into()), Ok(message));
        }

        #[test]
        fn what_can_be_read_is_written_in_the_same_way(kind in 62_u8..68, rest in vec(0_u8..2, QuietMessage::ENCODED_BYTES - 1)) {
            let bytes = [&[kind][..], &rest].concat();
            let read = QuietMessage::decode(bytes.clone().into());
            if let Ok(message) = read {
                let mut again = Vec::new();
                message.encode(&mut again);
                prop_assert_eq!(&again, &bytes);
            }
            prop_assert_eq!(QuietMessage::is_one(&bytes), (64..66).contains(&kind));
        }
    }
}
