//! What the entries of a group's log say (`docs/format/group.md`): effects of writes, and how far the log is needed.
//!
//! Invariant: an effect is a result, never an expression: whoever applies it needs no clock, no randomness and no program
//! of the same version. Not here: how an effect came about (`command.rs`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::command::{Cell, InvocationId};

const VERSION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const FLOOR: u8 = 3;

/// Bytes of an effect beside invocation, key, answer and cell: version, kind, time, keyspace, whether there is an
/// invocation, change of items and bytes, lengths of key and answer.
const HEADER_BYTES: usize = 1 + 1 + 8 + 4 + 1 + 1 + 8 + 4 + 4;
/// Where the time stands.
const TIME: std::ops::Range<usize> = 2..10;
const INVOCATION_BYTES: usize = 16;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A write.
    Effect(Effect),
    /// Every member has all entries up to this one, so that nobody will ask for them.
    Floor {
        /// The last entry that nobody asks for.
        index: u64,
    },
}

/// By how much the rows of a keyspace change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Rows that come (1), go (-1) or stay (0).
    pub(crate) items: i8,
    /// Their size, as [`crate::Commands::weigh`] gives it.
    pub(crate) bytes: i64,
}

/// What a write does to one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// When the leader took the write, in milliseconds since the Unix epoch. Never less than that of the entry before.
    pub(crate) at_ms: u64,
    /// The keyspace, by its number in the cluster.
    pub(crate) keyspace: u32,
    /// The request that it belongs to, if that can be sent again.
    pub(crate) invocation: Option<InvocationId>,
    /// By how much the rows of the keyspace change.
    pub(crate) change: Change,
    /// Key bytes of the cell.
    pub(crate) key: Bytes,
    /// What was answered, for the same request sent again; empty without an invocation.
    pub(crate) answer: Bytes,
    /// What the cell becomes; `None` removes it.
    pub(crate) cell: Option<Cell>,
}

/// The bytes are no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedEffect {
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
    /// The effect as bytes. Key, answer and cell lie at the end in this order.
    pub(crate) fn encode(&self) -> BytesMut {
        let cell = self.cell.as_ref().map_or(0, Bytes::len);
        let bytes = HEADER_BYTES + INVOCATION_BYTES + self.key.len() + self.answer.len() + cell;
        let mut into = BytesMut::with_capacity(bytes);
        into.put_u8(VERSION);
        into.put_u8(if self.cell.is_some() { PUT } else { DELETE });
        into.put_u64_le(self.at_ms);
        into.put_u32_le(self.keyspace);
        into.put_u8(u8::from(self.invocation.is_some()));
        into.put_i8(self.change.items);
        into.put_i64_le(self.change.bytes);
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
        into
    }

    /// The key of an effect that is in bytes, shared with them.
    pub(crate) fn key_in(encoded: &Bytes, key_bytes: usize, has_invocation: bool) -> Bytes {
        let start = HEADER_BYTES + if has_invocation { INVOCATION_BYTES } else { 0 };
        encoded.slice(start..start + key_bytes)
    }

    /// Sets the time of an effect that is in bytes already.
    pub(crate) fn stamp(encoded: &mut BytesMut, at_ms: u64) {
        if let Some(time) = encoded.get_mut(TIME) {
            time.copy_from_slice(&at_ms.to_le_bytes());
        }
    }

    fn decode(kind: u8, mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        if bytes.len() < HEADER_BYTES - 2 {
            return Err(MalformedEffect::Malformed);
        }
        let (at_ms, keyspace) = (bytes.get_u64_le(), bytes.get_u32_le());
        let has_invocation = bytes.get_u8();
        let change = Change {
            items: bytes.get_i8(),
            bytes: bytes.get_i64_le(),
        };
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
            change,
            key,
            answer,
            cell,
        })
    }
}

impl Record {
    /// A floor as bytes.
    pub(crate) fn floor(index: u64) -> Bytes {
        let mut into = BytesMut::with_capacity(2 + 8);
        into.put_u8(VERSION);
        into.put_u8(FLOOR);
        into.put_u64_le(index);
        into.freeze()
    }

    /// Reads what takes all of `bytes`; key, answer and cell of an effect share their memory.
    ///
    /// # Errors
    ///
    /// [`MalformedEffect`].
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        if bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        let version = bytes.get_u8();
        if version != VERSION {
            return Err(MalformedEffect::UnknownVersion { version });
        }
        if bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        match bytes.get_u8() {
            FLOOR if bytes.len() == 8 => Ok(Self::Floor {
                index: bytes.get_u64_le(),
            }),
            kind @ (PUT | DELETE) => Effect::decode(kind, bytes).map(Self::Effect),
            _ => Err(MalformedEffect::Malformed),
        }
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
            (items, bytes) in (-1_i8..=1, any::<i64>()),
            key in vec(any::<u8>(), 0..40),
            answer in vec(any::<u8>(), 0..40),
            cell in proptest::option::of(vec(any::<u8>(), 0..100)),
        ) -> Effect {
            Effect {
                at_ms,
                keyspace,
                invocation: invocation.map(InvocationId::new),
                change: Change { items, bytes },
                key: key.into(),
                answer: answer.into(),
                cell: cell.map(Bytes::from),
            }
        }
    }

    proptest! {
        #[test]
        fn effects_come_back(effect in effect(), later in any::<u64>()) {
            let mut bytes = effect.encode();
            let record = Record::Effect(effect.clone());
            let whole = bytes.clone().freeze();
            prop_assert_eq!(Record::decode(whole.clone()), Ok(record.clone()));
            for end in 0..whole.len() {
                // Only a cell has no length of its own; the log keeps it whole.
                prop_assert_ne!(Record::decode(whole.slice(..end)), Ok(record.clone()));
            }
            Effect::stamp(&mut bytes, later);
            let stamped = Effect { at_ms: later, ..effect };
            prop_assert_eq!(Record::decode(bytes.freeze()), Ok(Record::Effect(stamped)));
        }

        #[test]
        fn floors_come_back(index in any::<u64>()) {
            prop_assert_eq!(Record::decode(Record::floor(index)), Ok(Record::Floor { index }));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(0_u8..3, 0..80)) {
            if let Ok(Record::Effect(effect)) = Record::decode(Bytes::from(bytes.clone())) {
                prop_assert_eq!(&effect.encode()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let error = Record::decode(Bytes::from_static(&[9, 1]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("format version 9, this program reads 1"),
            "{error}"
        );
    }
}
