//! A hint as bytes (`docs/format/hints.md`).
//!
//! Invariant: what was decoded encodes to the same bytes; the order of keys is that of groups and, within one, of
//! sequences. Not here: where they lie.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::command::InvocationId;

const VERSION: u8 = 1;
const INVOCATION_BYTES: usize = 16;
/// version, time, keyspace, invocation, length of the key.
const HEADER_BYTES: usize = 1 + 8 + 4 + INVOCATION_BYTES + 4;
/// group, sequence.
pub(super) const KEY_BYTES: usize = 4 + 8;

/// A write that waits for a majority of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// When it was asked for, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub(crate) at_ms: u64,
    /// The keyspace, by its number in the cluster.
    pub(crate) keyspace: u32,
    /// Under which it takes effect at most once.
    pub(crate) invocation: InvocationId,
    /// Key bytes of the cell.
    pub(crate) key: Bytes,
    /// The command, as [`Applier::encode`](crate::Applier::encode) writes it.
    pub(crate) command: Bytes,
}

/// The bytes are no hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedHint {
    /// It was written by a newer program.
    #[error("a hint has format version {version}, this program reads {VERSION}; upgrade this node")]
    UnknownVersion {
        /// The version.
        version: u8,
    },
    /// They end too early, or the key is none of a hint.
    #[error("a hint does not decode; restore the node's directory from a backup, or let it join again")]
    Malformed,
}

impl Hint {
    /// The hint as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let bytes = HEADER_BYTES + self.key.len() + self.command.len();
        let mut into = BytesMut::with_capacity(bytes);
        into.put_u8(VERSION);
        into.put_u64_le(self.at_ms);
        into.put_u32_le(self.keyspace);
        into.put_slice(self.invocation.as_bytes());
        // The engine takes no key that is nearly so long.
        into.put_u32_le(u32::try_from(self.key.len()).unwrap_or(u32::MAX));
        into.put_slice(&self.key);
        into.put_slice(&self.command);
        into.freeze()
    }

    /// Reads a hint that takes all of `bytes`; key and command share their memory.
    ///
    /// # Errors
    ///
    /// [`MalformedHint`].
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, MalformedHint> {
        let version = bytes.try_get_u8().map_err(|_| MalformedHint::Malformed)?;
        if version != VERSION {
            return Err(MalformedHint::UnknownVersion { version });
        }
        Self::decode_rest(bytes).ok_or(MalformedHint::Malformed)
    }

    fn decode_rest(mut bytes: Bytes) -> Option<Self> {
        let at_ms = bytes.try_get_u64_le().ok()?;
        let keyspace = bytes.try_get_u32_le().ok()?;
        let mut invocation = [0; INVOCATION_BYTES];
        bytes.try_copy_to_slice(&mut invocation).ok()?;
        let key = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
        if key > bytes.len() {
            return None;
        }
        Some(Self {
            at_ms,
            keyspace,
            invocation: InvocationId::new(invocation),
            key: bytes.split_to(key),
            command: bytes,
        })
    }
}

/// Where a hint lies.
pub(super) fn key(group: u32, sequence: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (head, tail) = key.split_at_mut(4);
    head.copy_from_slice(&group.to_be_bytes());
    tail.copy_from_slice(&sequence.to_be_bytes());
    key
}

/// In the place of a sequence: up to where hints of the group were delivered.
pub(super) const FLOOR: u64 = 0;

/// The sequence of the first hint that may wait.
pub(super) fn parse_floor(value: &[u8]) -> Result<u64, MalformedHint> {
    let floor = value.try_into().map(u64::from_le_bytes);
    floor
        .ok()
        .filter(|floor| *floor > FLOOR)
        .ok_or(MalformedHint::Malformed)
}

/// Group and sequence of a hint by where it lies.
pub(super) fn parse_key(key: &[u8]) -> Result<(u32, u64), MalformedHint> {
    let (group, sequence) = key.split_first_chunk().ok_or(MalformedHint::Malformed)?;
    let sequence = sequence.try_into().map_err(|_| MalformedHint::Malformed)?;
    Ok((u32::from_be_bytes(*group), u64::from_be_bytes(sequence)))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let hint = Hint {
            at_ms: 0x0102,
            keyspace: 3,
            invocation: InvocationId::new([7; 16]),
            key: Bytes::from_static(b"key"),
            command: Bytes::from_static(b"command"),
        };
        let expected = [
            &[1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0][..],
            &[7; 16],
            &[3, 0, 0, 0],
            b"keycommand",
        ]
        .concat();
        assert_eq!(hint.encode(), expected);
        assert_eq!(key(1, 2), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn an_unknown_version_is_named() {
        let bytes = Bytes::from(vec![2; 60]);
        let error = MalformedHint::UnknownVersion { version: 2 };
        assert_eq!(Hint::decode(bytes), Err(error));
    }

    proptest! {
        #[test]
        fn hints_come_back(at_ms in any::<u64>(), keyspace in any::<u32>(), invocation in any::<[u8; 16]>(), key in vec(any::<u8>(), 0..20), command in vec(any::<u8>(), 0..20)) {
            let invocation = InvocationId::new(invocation);
            let hint = Hint { at_ms, keyspace, invocation, key: key.into(), command: command.into() };
            let bytes = hint.encode();
            for end in 0..HEADER_BYTES + hint.key.len() {
                prop_assert!(Hint::decode(bytes.slice(..end)).is_err());
            }
            prop_assert_eq!(Hint::decode(bytes), Ok(hint));
        }

        #[test]
        fn what_can_be_read_is_written_in_the_same_way(mut bytes in vec(0_u8..4, 0..60)) {
            bytes.insert(0, VERSION);
            if let Ok(hint) = Hint::decode(bytes.clone().into()) {
                prop_assert_eq!(hint.encode(), bytes);
            }
        }

        #[test]
        fn keys_are_in_the_order_of_groups_and_sequences(one in any::<(u32, u64)>(), other in any::<(u32, u64)>()) {
            let keys = (key(one.0, one.1), key(other.0, other.1));
            prop_assert_eq!(keys.0.cmp(&keys.1), one.cmp(&other));
            prop_assert_eq!(parse_key(&keys.0), Ok(one));
            prop_assert!(parse_key(&keys.0[1..]).is_err());
        }
    }
}
