//! Messages of many groups as one message between nodes, so that a node that leads hundreds of groups sends one heartbeat.
//!
//! Invariant: what was put into batches comes out of them in the same order; a batch is no longer than
//! [`BATCH_BYTES_MAX`], or holds a single message. Not here: when a batch is sent.

use bytes::{Buf as _, BufMut as _, Bytes};

use super::envelope::Tag;
use crate::group::quiet::QuietMessage;
use crate::raft::RaftMessage;
use crate::world::MESSAGE_BYTES_MAX;

/// The longest batch of more than one message, in bytes: 1 MiB, so that the other side can begin while more is on its way.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

/// In front of each message: group, length.
const HEADER_BYTES: usize = 4 + 4;
const TAG_BYTES: usize = 1;

/// A message of one member of a group to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GroupMessage {
    /// Of consensus.
    Raft(RaftMessage),
    /// Whether the group rests.
    Quiet(QuietMessage),
}

/// The same, of its owner.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outgoing<'a> {
    Raft(&'a RaftMessage),
    Quiet(&'a QuietMessage),
}

impl Outgoing<'_> {
    pub(super) fn encoded_bytes(self) -> usize {
        match self {
            Self::Raft(message) => message.encoded_bytes(),
            Self::Quiet(_) => QuietMessage::ENCODED_BYTES,
        }
    }

    fn encode(self, into: &mut Vec<u8>) {
        match self {
            Self::Raft(message) => message.encode(into),
            Self::Quiet(message) => message.encode(into),
        }
    }
}

/// A batch that is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    /// With its tag; empty as long as there is no message.
    bytes: Vec<u8>,
    messages: u64,
}

/// A batch that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) bytes: Bytes,
    pub(super) messages: u64,
}

/// The message is longer than any that can be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Filling {
    /// Appends a message. What is handed back had no room for it and is to be sent before.
    pub(super) fn append(&mut self, group: u32, message: Outgoing<'_>) -> Result<Option<Filled>, TooLong> {
        let length = message.encoded_bytes();
        if TAG_BYTES + HEADER_BYTES + length > MESSAGE_BYTES_MAX {
            return Err(TooLong);
        }
        let length_u32 = u32::try_from(length).map_err(|_| TooLong)?;
        let is_full = self.bytes.len() + HEADER_BYTES + length > BATCH_BYTES_MAX;
        let filled = if is_full { self.take() } else { None };
        if self.bytes.is_empty() {
            self.bytes.push(Tag::Raft.byte());
        }
        self.bytes.reserve(HEADER_BYTES + length);
        self.bytes.put_u32_le(group);
        self.bytes.put_u32_le(length_u32);
        message.encode(&mut self.bytes);
        self.messages += 1;
        Ok(filled)
    }

    /// Ends the batch; `None` if there is nothing in it.
    pub(super) fn take(&mut self) -> Option<Filled> {
        let messages = std::mem::take(&mut self.messages);
        (messages > 0).then(|| Filled {
            bytes: std::mem::take(&mut self.bytes).into(),
            messages,
        })
    }
}

/// The bytes are no batch of messages, from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch of messages does not decode")]
pub(crate) struct MalformedBatch;

/// The messages of a batch, each with its group. They share the memory of the batch. An error ends it.
#[derive(Clone, Debug)]
pub(crate) struct RaftBatch {
    rest: Bytes,
}

impl RaftBatch {
    /// Reads what is behind the tag.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Option<(u32, GroupMessage)> {
        let group = self.rest.try_get_u32_le().ok()?;
        let length = usize::try_from(self.rest.try_get_u32_le().ok()?).ok()?;
        if length > self.rest.len() {
            return None;
        }
        let bytes = self.rest.split_to(length);
        let message = if QuietMessage::is_one(&bytes) {
            GroupMessage::Quiet(QuietMessage::decode(bytes).ok()?)
        } else {
            GroupMessage::Raft(RaftMessage::decode(bytes).ok()?)
        };
        Some((group, message))
    }
}

impl Iterator for RaftBatch {
    type Item = Result<(u32, GroupMessage), MalformedBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.rest.clear();
        }
        Some(read.ok_or(MalformedBatch))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::super::tests::raft_message;
    use super::*;
    use crate::group::quiet::QuietKind;
    use crate::raft::ReplicaId;

    fn outgoing(message: &GroupMessage) -> Outgoing<'_> {
        match message {
            GroupMessage::Raft(message) => Outgoing::Raft(message),
            GroupMessage::Quiet(message) => Outgoing::Quiet(message),
        }
    }

    fn raft(term: u64, bytes: usize) -> GroupMessage {
        GroupMessage::Raft(raft_message(term, bytes))
    }

    fn quiet(term: u64) -> GroupMessage {
        GroupMessage::Quiet(QuietMessage {
            to: ReplicaId(2),
            from: ReplicaId(1),
            term,
            kind: QuietKind::Quiesce { last: 7 },
        })
    }

    fn batches(messages: &[(u32, GroupMessage)]) -> Vec<Filled> {
        let mut filling = Filling::default();
        let mut filled: Vec<_> = messages
            .iter()
            .filter_map(|(group, message)| filling.append(*group, outgoing(message)).unwrap())
            .collect();
        filled.extend(filling.take());
        filled
    }

    fn read(filled: &Filled) -> Vec<Result<(u32, GroupMessage), MalformedBatch>> {
        RaftBatch::new(filled.bytes.slice(TAG_BYTES..)).collect()
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert_eq!(Filling::default().take(), None);
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let message = raft_message(9, 0);
        let mut filling = Filling::default();
        assert_eq!(filling.append(0x0102, Outgoing::Raft(&message)), Ok(None));
        let mut expected = vec![1, 2, 1, 0, 0, 82, 0, 0, 0];
        message.encode(&mut expected);
        assert_eq!(filling.take().unwrap().bytes, expected);
        assert_eq!(filling.take(), None, "it begins anew");
    }

    #[test]
    fn what_is_longer_than_a_batch_goes_alone_and_in_its_order() {
        let lengths = [0, BATCH_BYTES_MAX + 1, 0, 0, 5 << 20, 5 << 20, 0];
        let messages: Vec<_> = (1..).zip(lengths.map(|bytes| raft(1, bytes))).collect();
        let groups: Vec<Vec<u32>> = batches(&messages)
            .iter()
            .map(|filled| read(filled).into_iter().map(|read| read.unwrap().0).collect())
            .collect();
        assert_eq!(groups, [vec![1], vec![2], vec![3, 4], vec![5], vec![6], vec![7]]);
    }

    #[test]
    fn the_longest_message_fits_and_one_more_byte_does_not() {
        let beside = TAG_BYTES + HEADER_BYTES + raft_message(1, 0).encoded_bytes();
        let mut filling = Filling::default();
        let too_long = raft_message(1, MESSAGE_BYTES_MAX - beside + 1);
        assert_eq!(filling.append(1, Outgoing::Raft(&too_long)), Err(TooLong));
        assert_eq!(filling.take(), None);
        let longest = raft_message(1, MESSAGE_BYTES_MAX - beside);
        assert_eq!(filling.append(1, Outgoing::Raft(&longest)), Ok(None));
        assert_eq!(filling.take().unwrap().bytes.len(), MESSAGE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn messages_come_out_in_their_order(
            sent in vec((any::<u32>(), any::<u64>(), proptest::sample::select(vec![None, Some(0), Some(30), Some(400_000), Some(1_100_000)])), 0..12),
        ) {
            let messages: Vec<_> = sent
                .into_iter()
                .map(|(group, term, bytes)| (group, bytes.map_or_else(|| quiet(term), |bytes| raft(term, bytes))))
                .collect();
            let batches = batches(&messages);
            let mut received = Vec::new();
            for batch in &batches {
                let read: Vec<_> = read(batch).into_iter().map(Result::unwrap).collect();
                prop_assert_eq!(batch.messages, read.len() as u64);
                prop_assert!(read.len() == 1 || batch.bytes.len() <= BATCH_BYTES_MAX);
                received.extend(read);
            }
            prop_assert_eq!(received, messages);
        }

        #[test]
        fn a_batch_that_is_cut_gives_what_is_whole_and_then_an_error(groups in vec(any::<u32>(), 1..5), cut in any::<proptest::sample::Index>()) {
            let messages: Vec<_> = groups.into_iter().map(|group| (group, raft(3, 5))).collect();
            let whole = &batches(&messages)[0].bytes;
            let end = TAG_BYTES + cut.index(whole.len() - TAG_BYTES);
            let each = (whole.len() - TAG_BYTES) / messages.len();
            let read: Vec<_> = RaftBatch::new(whole.slice(TAG_BYTES..end)).collect();
            let complete = (end - TAG_BYTES) / each;
            let mut expected: Vec<_> = messages.into_iter().take(complete).map(Ok).collect();
            if !(end - TAG_BYTES).is_multiple_of(each) {
                expected.push(Err(MalformedBatch));
            }
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn arbitrary_bytes_end_and_never_panic(bytes in vec(0_u8..90, 0..300)) {
            let read: Vec<_> = RaftBatch::new(bytes.into()).collect();
            let errors = read.iter().filter(|read| read.is_err()).count();
            prop_assert!(errors == 0 || (errors == 1 && read.last().unwrap().is_err()));
        }
    }
}
