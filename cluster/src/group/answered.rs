//! Entries that change nothing and say what a request was answered.
//!
//! A client, or the node that it asks, sends a request again when nobody knows what has become of it. If the second try is
//! refused, or finds nothing to change, the first one may still be under way, and would be decided anew on what the cell is
//! by then: a request that was answered with "not done" would take effect. So the answer of such a try goes into the log,
//! and whatever comes later finds it. Invariant: one call has one answer, whichever of its tries is decided first. Not here:
//! which tries that concerns (`write.rs`), for how long answers are remembered (`invocations.rs`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::effect::{INVOCATION_BYTES, MalformedEffect, length, take};
use crate::command::InvocationId;

/// Format version of such entries.
pub(super) const VERSION_OF_ANSWERS: u8 = 4;
/// Their kind.
pub(super) const ANSWERED: u8 = 11;

/// Bytes in front of key and answer: version, kind, time, keyspace, invocation, length of the key.
const HEADER_BYTES: usize = 1 + 1 + 8 + 4 + INVOCATION_BYTES + 4;

/// See the head of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// As that of an effect.
    pub(crate) at_ms: u64,
    /// The keyspace, by its number in the cluster.
    pub(crate) keyspace: u32,
    pub(crate) invocation: InvocationId,
    /// Key bytes of the cell that it was about.
    pub(crate) key: Bytes,
    pub(crate) answer: Bytes,
}

impl Answered {
    /// The record as bytes, whose time can be set as that of an effect.
    pub(crate) fn encode(&self) -> BytesMut {
        let mut into = BytesMut::with_capacity(HEADER_BYTES + self.key.len() + self.answer.len());
        into.put_u8(VERSION_OF_ANSWERS);
        into.put_u8(ANSWERED);
        into.put_u64_le(self.at_ms);
        into.put_u32_le(self.keyspace);
        into.put_slice(self.invocation.as_bytes());
        into.put_u32_le(length(&self.key));
        into.put_slice(&self.key);
        into.put_slice(&self.answer);
        into
    }

    /// Reads what is behind version and kind; key and answer share the memory of `bytes`.
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        if bytes.len() < HEADER_BYTES - 2 {
            return Err(MalformedEffect::Malformed);
        }
        let (at_ms, keyspace) = (bytes.get_u64_le(), bytes.get_u32_le());
        let mut invocation = [0; INVOCATION_BYTES];
        bytes.copy_to_slice(&mut invocation);
        let key = bytes.get_u32_le();
        let key = take(&mut bytes, key as usize)?;
        Ok(Self {
            at_ms,
            keyspace,
            invocation: InvocationId::new(invocation),
            key,
            answer: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::group::effect::{Effect, Record};

    proptest! {
        #[test]
        fn an_answer_is_read_as_it_was_written(
            (at_ms, keyspace, invocation) in any::<(u64, u32, [u8; 16])>(),
            (key, answer) in any::<(Vec<u8>, Vec<u8>)>(),
            stamp in any::<u64>(),
        ) {
            let answered = Answered {
                at_ms,
                keyspace,
                invocation: InvocationId::new(invocation),
                key: key.into(),
                answer: answer.into(),
            };
            let mut bytes = answered.encode();
            prop_assert_eq!(Record::decode(bytes.clone().freeze()), Ok(Record::Answered(answered.clone())));
            Effect::stamp(&mut bytes, stamp);
            let stamped = Answered { at_ms: stamp, ..answered };
            prop_assert_eq!(Record::decode(bytes.freeze()), Ok(Record::Answered(stamped)));
        }

        #[test]
        fn what_ends_too_early_is_no_answer(cut in 0_usize..HEADER_BYTES + 3) {
            let answered = Answered {
                at_ms: 1,
                keyspace: 2,
                invocation: InvocationId::new([3; 16]),
                key: Bytes::from_static(b"key"),
                answer: Bytes::new(),
            };
            let bytes = answered.encode().freeze().slice(..cut);
            prop_assert_eq!(Record::decode(bytes), Err(MalformedEffect::Malformed));
        }
    }
}
