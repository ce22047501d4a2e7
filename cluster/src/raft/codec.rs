//! Messages between the members of a group, as bytes (`docs/format/transport.md`, "Messages of a group").
//!
//! Invariant: what was decoded encodes to the same bytes; entries share the memory of the message that they came in.
//! Snapshots do not travel as messages of the group.

use bytes::{Buf as _, BufMut as _, Bytes};
use raft::eraftpb::{Entry as RaftEntry, EntryType, Message, MessageType};

use super::ReplicaId;

/// A message from one member of a group to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RaftMessage(Message);

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of a group does not decode")]
pub(crate) struct MalformedMessage;

/// Bytes of an entry beside its data.
const ENTRY_HEADER_BYTES: usize = 8 + 8 + 1 + 4;
/// Bytes of a message beside entries and context.
const HEADER_BYTES: usize = 2 + 9 * 8 + 4 + 4;
const REJECT_FLAG: u8 = 1;

impl RaftMessage {
    pub(super) fn new(message: Message) -> Self {
        Self(message)
    }

    /// What a leader tells a member that needs what its log does not have any more: behind which entry the log begins.
    pub(crate) fn notice((from, to): (ReplicaId, ReplicaId), term: u64, before: (u64, u64)) -> Self {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgSnapshot);
        (message.from, message.to, message.term) = (from.0, to.0, term);
        (message.index, message.log_term) = before;
        Self(message)
    }

    pub(super) fn message(&self) -> &Message {
        &self.0
    }

    pub(super) fn into_message(self) -> Message {
        self.0
    }

    /// Whom it is for.
    pub(crate) fn to(&self) -> ReplicaId {
        ReplicaId(self.0.to)
    }

    /// Who has sent it.
    pub(crate) fn from(&self) -> ReplicaId {
        ReplicaId(self.0.from)
    }

    /// Whether it carries data, so that others should not wait behind it.
    pub(crate) fn is_bulk(&self) -> bool {
        !self.0.entries.is_empty()
    }

    /// Its size as bytes.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let entries = self.0.entries.iter();
        let entries: usize = entries.map(|entry| ENTRY_HEADER_BYTES + entry.data.len()).sum();
        HEADER_BYTES + self.0.context.len() + entries
    }

    /// Appends it.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let message = &self.0;
        into.reserve(self.encoded_bytes());
        into.put_u8(number_of(message.get_msg_type()));
        into.put_u8(if message.reject { REJECT_FLAG } else { 0 });
        let numbers = [
            message.to,
            message.from,
            message.term,
            message.log_term,
            message.index,
            message.commit,
            message.commit_term,
            message.reject_hint,
            message.request_snapshot,
        ];
        for number in numbers {
            into.put_u64_le(number);
        }
        into.put_u32_le(length(message.context.len()));
        into.put_u32_le(length(message.entries.len()));
        into.put_slice(&message.context);
        for entry in &message.entries {
            into.put_u64_le(entry.index);
            into.put_u64_le(entry.term);
            into.put_u8(match entry.entry_type {
                EntryType::EntryNormal => 0,
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => 1,
            });
            into.put_u32_le(length(entry.data.len()));
            into.put_slice(&entry.data);
        }
    }

    /// Reads one that takes all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`MalformedMessage`].
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, MalformedMessage> {
        if bytes.len() < HEADER_BYTES {
            return Err(MalformedMessage);
        }
        let mut message = Message::default();
        message.set_msg_type(type_of(bytes.get_u8()).ok_or(MalformedMessage)?);
        message.reject = match bytes.get_u8() {
            0 => false,
            REJECT_FLAG => true,
            _ => return Err(MalformedMessage),
        };
        message.to = bytes.get_u64_le();
        message.from = bytes.get_u64_le();
        message.term = bytes.get_u64_le();
        message.log_term = bytes.get_u64_le();
        message.index = bytes.get_u64_le();
        message.commit = bytes.get_u64_le();
        message.commit_term = bytes.get_u64_le();
        message.reject_hint = bytes.get_u64_le();
        message.request_snapshot = bytes.get_u64_le();
        let context = bytes.get_u32_le() as usize;
        let count = bytes.get_u32_le() as usize;
        message.context = take(&mut bytes, context)?;
        if count > bytes.len() / ENTRY_HEADER_BYTES {
            return Err(MalformedMessage);
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(entry(&mut bytes)?);
        }
        message.set_entries(entries.into());
        if bytes.is_empty() {
            Ok(Self(message))
        } else {
            Err(MalformedMessage)
        }
    }
}

fn entry(bytes: &mut Bytes) -> Result<RaftEntry, MalformedMessage> {
    if bytes.len() < ENTRY_HEADER_BYTES {
        return Err(MalformedMessage);
    }
    let mut entry = RaftEntry::default();
    entry.set_index(bytes.get_u64_le());
    entry.set_term(bytes.get_u64_le());
    entry.set_entry_type(match bytes.get_u8() {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChangeV2,
        _ => return Err(MalformedMessage),
    });
    let data = bytes.get_u32_le() as usize;
    entry.data = take(bytes, data)?;
    Ok(entry)
}

fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, MalformedMessage> {
    if count > bytes.len() {
        return Err(MalformedMessage);
    }
    Ok(bytes.split_to(count))
}

/// Messages are limited to far less (`CoreSettings::message_bytes_max`).
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The types that travel. The others are a core's own affair.
const TYPES: [(u8, MessageType); 11] = [
    (1, MessageType::MsgAppend),
    (2, MessageType::MsgAppendResponse),
    (3, MessageType::MsgRequestVote),
    (4, MessageType::MsgRequestVoteResponse),
    (5, MessageType::MsgHeartbeat),
    (6, MessageType::MsgHeartbeatResponse),
    (7, MessageType::MsgTimeoutNow),
    (8, MessageType::MsgRequestPreVote),
    (9, MessageType::MsgRequestPreVoteResponse),
    (10, MessageType::MsgTransferLeader),
    // Without a snapshot: the member is to be filled anew.
    (11, MessageType::MsgSnapshot),
];

fn number_of(message_type: MessageType) -> u8 {
    let found = TYPES.iter().find(|(_, known)| *known == message_type);
    // 0 is no type, so that the other side refuses it.
    found.map_or(0, |(number, _)| *number)
}

fn type_of(number: u8) -> Option<MessageType> {
    let found = TYPES.iter().find(|(known, _)| *known == number);
    found.map(|(_, message_type)| *message_type)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = RaftMessage> {
        let entry = (any::<u64>(), any::<u64>(), any::<bool>(), vec(any::<u8>(), 0..50));
        (
            0..TYPES.len(),
            any::<bool>(),
            any::<[u64; 9]>(),
            vec(any::<u8>(), 0..20),
            vec(entry, 0..5),
        )
            .prop_map(|(message_type, reject, numbers, context, entries)| {
                let mut message = Message::default();
                message.set_msg_type(TYPES[message_type].1);
                message.reject = reject;
                [
                    message.to,
                    message.from,
                    message.term,
                    message.log_term,
                    message.index,
                    message.commit,
                    message.commit_term,
                    message.reject_hint,
                    message.request_snapshot,
                ] = numbers;
                message.context = context.into();
                let entries = entries.into_iter().map(|(index, term, membership, data)| {
                    let mut entry = RaftEntry::default();
                    entry.set_index(index);
                    entry.set_term(term);
                    if membership {
                        entry.set_entry_type(EntryType::EntryConfChangeV2);
                    }
                    entry.data = data.into();
                    entry
                });
                message.set_entries(entries.collect::<Vec<_>>().into());
                RaftMessage(message)
            })
    }

    proptest! {
        #[test]
        fn messages_come_back(message in message()) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), message.encoded_bytes());
            for end in 0..bytes.len() {
                prop_assert!(RaftMessage::decode(Bytes::copy_from_slice(&bytes[..end])).is_err());
            }
            prop_assert_eq!(RaftMessage::decode(bytes.into()), Ok(message));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(0_u8..12, 0..200)) {
            if let Ok(message) = RaftMessage::decode(Bytes::copy_from_slice(&bytes)) {
                let mut again = Vec::new();
                message.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
