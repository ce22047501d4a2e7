//! Batches of messages as bytes of a stream, and back. The format is `docs/format/transport.md`.
//!
//! Invariant: whatever bytes come in whatever pieces, the decoder gives the messages that were put in or an error, and
//! holds at most one message. Not here: streams and sockets.

use std::collections::VecDeque;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::world::MESSAGE_BYTES_MAX;

/// Length and number of messages.
const BATCH_HEAD_BYTES: usize = 8;
/// What a message costs beside its own bytes.
pub(super) const MESSAGE_HEAD_BYTES: usize = 4;
/// The longest batch behind its head: one message of full length.
const BATCH_BYTES_MAX: usize = MESSAGE_HEAD_BYTES + MESSAGE_BYTES_MAX;
/// Messages up to this many bytes are copied together, longer ones go as they are: a copy is cheaper than a frame of
/// its own up to about here.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Bytes that no peer of this version sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error(
        "a batch of {bytes} bytes claims to hold {messages} messages; at most {BATCH_BYTES_MAX} bytes are allowed"
    )]
    Batch { bytes: usize, messages: usize },
    #[error(
        "a message of {bytes} bytes does not fit in its batch, which has {left} bytes left for {messages} messages"
    )]
    Message {
        bytes: usize,
        left: usize,
        messages: usize,
    },
    #[error("the stream ended in the middle of a batch")]
    Cut,
}

/// A batch of messages as pieces to be sent one after the other. The caller has seen to it that none is longer than
/// [`MESSAGE_BYTES_MAX`] and that, beyond one, they stay under it together.
pub(super) fn encode(messages: &[Bytes]) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    if messages.is_empty() {
        return pieces;
    }
    let bytes: usize = messages
        .iter()
        .map(|message| MESSAGE_HEAD_BYTES + message.len())
        .sum();
    assert!(bytes <= BATCH_BYTES_MAX, "the queue keeps batches short");
    let copied: usize = messages
        .iter()
        .filter(|message| message.len() <= COPIED_BYTES_MAX)
        .map(Bytes::len)
        .sum();
    let mut piece = BytesMut::with_capacity(BATCH_HEAD_BYTES + MESSAGE_HEAD_BYTES * messages.len() + copied);
    put_length(&mut piece, bytes);
    put_length(&mut piece, messages.len());
    for message in messages {
        put_length(&mut piece, message.len());
        if message.len() <= COPIED_BYTES_MAX {
            piece.extend_from_slice(message);
        } else {
            pieces.push_back(piece.split().freeze());
            pieces.push_back(message.clone());
        }
    }
    if !piece.is_empty() {
        pieces.push_back(piece.freeze());
    }
    pieces
}

/// Lengths are under [`BATCH_BYTES_MAX`], and there are fewer messages in a batch than bytes.
fn put_length(piece: &mut BytesMut, length: usize) {
    piece.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
}

fn length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Batch,
    Message,
    Body(usize),
}

/// Takes a stream apart again.
#[derive(Debug)]
pub(super) struct Decoder {
    next: Next,
    /// The beginning of what comes next, when it has not come whole.
    begun: BytesMut,
    /// Bytes of the batch that have not come yet.
    left: usize,
    /// Messages of the batch that have not come yet.
    messages: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Batch,
            begun: BytesMut::new(),
            left: 0,
            messages: 0,
        }
    }

    /// Takes the next bytes of the stream and hands out every message that is whole with them.
    ///
    /// # Errors
    /// When the bytes are not of the format; the stream is of no use afterwards.
    pub(super) fn decode(
        &mut self,
        mut input: Bytes,
        mut receive: impl FnMut(Bytes),
    ) -> Result<(), FrameError> {
        loop {
            match self.next {
                Next::Batch => {
                    let Some(mut head) = self.take(&mut input, BATCH_HEAD_BYTES) else {
                        return Ok(());
                    };
                    self.left = length(head.get_u32_le());
                    self.messages = length(head.get_u32_le());
                    self.check_batch()?;
                    self.next = Next::Message;
                }
                Next::Message => {
                    let Some(mut head) = self.take(&mut input, MESSAGE_HEAD_BYTES) else {
                        return Ok(());
                    };
                    let bytes = length(head.get_u32_le());
                    self.check_message(bytes)?;
                    self.next = Next::Body(bytes);
                }
                Next::Body(bytes) => {
                    let Some(message) = self.take(&mut input, bytes) else {
                        return Ok(());
                    };
                    self.left -= MESSAGE_HEAD_BYTES + bytes;
                    self.messages -= 1;
                    self.next = if self.messages == 0 {
                        Next::Batch
                    } else {
                        Next::Message
                    };
                    receive(message);
                }
            }
        }
    }

    /// To be asked when the stream has ended.
    ///
    /// # Errors
    /// When it ended in the middle of a batch.
    pub(super) fn finish(&self) -> Result<(), FrameError> {
        match self.next {
            Next::Batch if self.begun.is_empty() => Ok(()),
            Next::Batch | Next::Message | Next::Body(_) => Err(FrameError::Cut),
        }
    }

    /// The next `bytes` bytes, once they are all there.
    fn take(&mut self, input: &mut Bytes, bytes: usize) -> Option<Bytes> {
        if self.begun.is_empty() && input.len() >= bytes {
            return Some(input.split_to(bytes));
        }
        if input.is_empty() {
            return None;
        }
        let missing = bytes.saturating_sub(self.begun.len());
        self.begun.reserve(missing);
        let part = input.split_to(missing.min(input.len()));
        self.begun.extend_from_slice(&part);
        (self.begun.len() == bytes).then(|| std::mem::take(&mut self.begun).freeze())
    }

    fn check_batch(&self) -> Result<(), FrameError> {
        let heads = self.messages.saturating_mul(MESSAGE_HEAD_BYTES);
        if self.messages == 0 || self.left > BATCH_BYTES_MAX || heads > self.left {
            return Err(FrameError::Batch {
                bytes: self.left,
                messages: self.messages,
            });
        }
        Ok(())
    }

    /// A message leaves room for the heads of those behind it, and the last one leaves nothing.
    fn check_message(&self, bytes: usize) -> Result<(), FrameError> {
        let with_heads = bytes.saturating_add(self.messages.saturating_mul(MESSAGE_HEAD_BYTES));
        let fits = if self.messages == 1 {
            with_heads == self.left
        } else {
            with_heads <= self.left
        };
        if !fits || bytes > MESSAGE_BYTES_MAX {
            return Err(FrameError::Message {
                bytes,
                left: self.left,
                messages: self.messages,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn encoded(batches: &[Vec<Vec<u8>>]) -> Vec<u8> {
        batches
            .iter()
            .flat_map(|batch| encode(&batch.iter().cloned().map(Bytes::from).collect::<Vec<_>>()))
            .flat_map(|piece| piece.to_vec())
            .collect()
    }

    /// Feeds the bytes in pieces whose lengths are taken from `cuts` in turn.
    fn decoded(decoder: &mut Decoder, bytes: &[u8], cuts: &[usize]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut messages = Vec::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(1, |cut| (*cut).clamp(1, rest.len()));
            decoder.decode(rest.split_to(cut), |message| messages.push(message.to_vec()))?;
        }
        Ok(messages)
    }

    #[test]
    fn a_batch_of_one_message_is_as_documented() {
        assert_eq!(
            encoded(&[vec![b"ab".to_vec()]]),
            [6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, b'a', b'b']
        );
    }

    #[test]
    fn a_long_message_is_sent_without_a_copy_and_comes_back_whole() {
        let long = Bytes::from(vec![7; MESSAGE_BYTES_MAX]);
        let pieces = encode(std::slice::from_ref(&long));
        assert!(pieces.iter().any(|piece| piece.as_ptr() == long.as_ptr()));
        let mut decoder = Decoder::new();
        let mut messages = Vec::new();
        for piece in pieces {
            for chunk in piece.chunks(100_000) {
                decoder
                    .decode(Bytes::copy_from_slice(chunk), |message| messages.push(message))
                    .unwrap();
            }
        }
        assert_eq!(messages, [long]);
        decoder.finish().unwrap();
    }

    #[test]
    fn a_stream_that_ends_within_a_batch_is_cut() {
        let bytes = encoded(&[vec![b"ab".to_vec(), Vec::new()]]);
        for end in 0..=bytes.len() {
            let mut decoder = Decoder::new();
            decoded(&mut decoder, &bytes[..end], &[3]).unwrap();
            let whole = end == 0 || end == bytes.len();
            assert_eq!(decoder.finish().is_ok(), whole, "{end}");
        }
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let refused = |words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            decoded(&mut Decoder::new(), &bytes, &[64]).unwrap_err()
        };
        assert!(matches!(refused(&[4, 0]), FrameError::Batch { .. }));
        assert!(matches!(refused(&[4, 2]), FrameError::Batch { .. }));
        assert!(matches!(refused(&[u32::MAX, 1]), FrameError::Batch { .. }));
        assert!(matches!(refused(&[12, 1, 4]), FrameError::Message { .. }));
        assert!(matches!(refused(&[8, 2, 1]), FrameError::Message { .. }));
        assert!(matches!(refused(&[8, 1, u32::MAX]), FrameError::Message { .. }));
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out_however_it_is_cut(
            batches in vec(vec(vec(any::<u8>(), 0..40), 1..5), 0..5),
            long in vec(any::<u8>(), COPIED_BYTES_MAX - 2..COPIED_BYTES_MAX + 3),
            cuts in vec(1_usize..30_000, 1..20),
        ) {
            let mut batches = batches;
            if let Some(batch) = batches.first_mut() {
                batch.push(long);
            }
            let mut decoder = Decoder::new();
            let messages = decoded(&mut decoder, &encoded(&batches), &cuts).unwrap();
            prop_assert_eq!(messages, batches.concat());
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn arbitrary_bytes_give_the_same_however_they_are_cut(
            bytes in vec(prop_oneof![3 => Just(0_u8), 1 => 0..16_u8, 1 => any::<u8>()], 0..200),
            cuts in vec(1_usize..20, 1..20),
        ) {
            let (mut whole, mut cut) = (Decoder::new(), Decoder::new());
            let at_once = decoded(&mut whole, &bytes, &[usize::MAX]);
            let in_pieces = decoded(&mut cut, &bytes, &cuts);
            prop_assert_eq!(&at_once, &in_pieces);
            if at_once.is_ok() {
                prop_assert_eq!(whole.finish(), cut.finish());
            }
        }

        #[test]
        fn a_flipped_byte_loses_no_bound(
            batch in vec(vec(any::<u8>(), 0..40), 1..5),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = encoded(&[batch]);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(messages) = decoded(&mut Decoder::new(), &bytes, &[7]) {
                prop_assert!(messages.iter().map(Vec::len).sum::<usize>() < bytes.len());
            }
        }
    }
}
