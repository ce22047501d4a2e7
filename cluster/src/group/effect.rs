//! The effect of a write, as it stands in the log of a group (`docs/format/group.md`, "Effect").
//!
//! Invariant: an effect is a result, never an expression: whoever applies it needs no clock, no randomness and no program
//! of the same version. Not here: how an effect came about (`command.rs`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::command::{Cell, InvocationId};

const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Bytes of an effect beside invocation, key, answer and cell: version, kind, time, keyspace, whether there is an
/// invocation, lengths of key and answer.
const HEADER_BYTES: usize = 1 + 1 + 8 + 4 + 1 + 4 + 4;
const INVOCATION_BYTES: usize = 16;

/// What a write does to one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// When the leader took the write, in milliseconds since the Unix epoch. Never less than that of the entry before.
    pub at_ms: u64,
    /// The keyspace, by its number in the cluster.
    pub keyspace: u32,
    /// The request that it belongs to, if that can be sent again.
    pub invocation: Option<InvocationId>,
    /// Key bytes of the cell.
    pub key: Bytes,
    /// What was answered, for the same request sent again; empty without an invocation.
    pub answer: Bytes,
    /// What the cell becomes; `None` removes it.
    pub cell: Option<Cell>,
}

/// The bytes are no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedEffect {
    /// It was written by a newer program.
    #[error("the effect has format version {version}, this program reads {VERSION}; upgrade this node")]
    UnknownVersion {
        /// The version.
        version: u8,
    },
    /// They end too early, go on too long, or say something impossible.
    #[error("the effect does not decode")]
    Malformed,
}

impl Effect {
    /// The effect as bytes.
    pub fn encode(&self) -> Bytes {
        let cell = self.cell.as_ref().map_or(0, Bytes::len);
        let bytes = HEADER_BYTES + INVOCATION_BYTES + self.key.len() + self.answer.len() + cell;
        let mut into = BytesMut::with_capacity(bytes);
        into.put_u8(VERSION);
        into.put_u8(if self.cell.is_some() { PUT } else { DELETE });
        into.put_u64_le(self.at_ms);
        into.put_u32_le(self.keyspace);
        into.put_u8(u8::from(self.invocation.is_some()));
        into.put_u32_le(length(&self.key));
        into.put_u32_le(length(&self.answer));
        if let Some(invocation) = &self.invocation {
            into.put_slice(invocation.as_bytes());
        }
        into.put_slice(&self.key);
        into.put_slice(&self.answer);
        if let Some(cell) = &self.cell {
            into.put_slice(cell);
        }
        into.freeze()
    }

    /// Reads an effect that takes all of `bytes`; key, answer and cell share their memory.
    ///
    /// # Errors
    ///
    /// [`MalformedEffect`].
    pub fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        if bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        let version = bytes.get_u8();
        if version != VERSION {
            return Err(MalformedEffect::UnknownVersion { version });
        }
        if bytes.len() < HEADER_BYTES - 1 {
            return Err(MalformedEffect::Malformed);
        }
        let kind = bytes.get_u8();
        let (at_ms, keyspace) = (bytes.get_u64_le(), bytes.get_u32_le());
        let has_invocation = bytes.get_u8();
        let (key, answer) = (bytes.get_u32_le(), bytes.get_u32_le());
        let invocation = match has_invocation {
            0 => None,
            1 => {
                let id = take(&mut bytes, INVOCATION_BYTES)?;
                let id = id[..].try_into().map_err(|_| MalformedEffect::Malformed)?;
                Some(InvocationId::new(id))
            }
            _ => return Err(MalformedEffect::Malformed),
        };
        let key = take(&mut bytes, key as usize)?;
        let answer = take(&mut bytes, answer as usize)?;
        let cell = match kind {
            PUT => Some(bytes),
            DELETE if bytes.is_empty() => None,
            _ => return Err(MalformedEffect::Malformed),
        };
        Ok(Self {
            at_ms,
            keyspace,
            invocation,
            key,
            answer,
            cell,
        })
    }
}

fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, MalformedEffect> {
    if count > bytes.len() {
        return Err(MalformedEffect::Malformed);
    }
    Ok(bytes.split_to(count))
}

/// Keys and answers are far smaller than 4 GiB, as the engine and the API limit them.
fn length(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn effect()(
            at_ms in any::<u64>(),
            keyspace in any::<u32>(),
            invocation in proptest::option::of(any::<[u8; 16]>()),
            key in vec(any::<u8>(), 0..40),
            answer in vec(any::<u8>(), 0..40),
            cell in proptest::option::of(vec(any::<u8>(), 0..100)),
        ) -> Effect {
            Effect {
                at_ms,
                keyspace,
                invocation: invocation.map(InvocationId::new),
                key: key.into(),
                answer: answer.into(),
                cell: cell.map(Bytes::from),
            }
        }
    }

    proptest! {
        #[test]
        fn effects_come_back(effect in effect()) {
            let bytes = effect.encode();
            prop_assert_eq!(Effect::decode(bytes.clone()), Ok(effect.clone()));
            for end in 0..bytes.len() {
                // Only a cell has no length of its own; the log keeps it whole.
                prop_assert_ne!(Effect::decode(bytes.slice(..end)), Ok(effect.clone()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(0_u8..3, 0..80)) {
            if let Ok(effect) = Effect::decode(Bytes::from(bytes.clone())) {
                prop_assert_eq!(&effect.encode()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let error = Effect::decode(Bytes::from_static(&[9, 1]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("format version 9, this program reads 1"),
            "{error}"
        );
    }
}
