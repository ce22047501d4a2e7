//! Gossip as bytes: version 1 of `docs/format/gossip.md`.
//!
//! Invariant: reading never panics and never trusts a length; a message is read whole ([`Message::parse`]) before
//! anything in it is believed. Not here: what is in a state (`state`), what a message means (`foca`).

use bytes::{Buf, BufMut};
use foca::{Codec, Header, State};

use super::error::MessageError;
use super::id::MemberId;
use super::state::StateItem;
use crate::world::NodeId;

/// The longest message, in bytes: fits a datagram on any common network.
pub const MESSAGE_BYTES_MAX: usize = 1200;
/// The longest address, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;
/// The version of the format that this program writes and reads.
const VERSION: u8 = 1;

fn malformed(cause: &'static str) -> MessageError {
    MessageError::Malformed { cause }
}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MessageError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, MessageError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, MessageError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Seven bits a byte, the lowest first, in the fewest bytes.
    pub(super) fn varint(&mut self) -> Result<u64, MessageError> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(malformed("a number of more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(malformed("a number with more bytes than it needs"));
                }
                return Ok(value);
            }
        }
        Err(malformed("a number of more than 64 bits"))
    }

    /// A length of one byte and so much UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, MessageError> {
        let length = self.u8()?;
        let bytes = self.take(length.into())?;
        std::str::from_utf8(bytes).map_err(|_| malformed("a text that is not UTF-8"))
    }

    fn id(&mut self) -> Result<MemberId, MessageError> {
        let node = NodeId(self.varint()?);
        let incarnation = self.varint()?;
        let process = self.u32()?;
        let renewal =
            u32::try_from(self.varint()?).map_err(|_| malformed("a renewal of more than 32 bits"))?;
        let address = self.text()?;
        if !is_address(address) {
            return Err(malformed("an address that is empty or has blanks"));
        }
        Ok(MemberId {
            node,
            incarnation,
            process,
            renewal,
            address: address.into(),
        })
    }

    fn header(&mut self) -> Result<Header<MemberId>, MessageError> {
        let version = self.u8()?;
        if version != VERSION {
            return Err(MessageError::UnknownVersion {
                found: version,
                known: VERSION,
            });
        }
        let kind = self.u8()?;
        let src = self.id()?;
        let src_incarnation = self.u16()?;
        let dst = self.id()?;
        let message = match kind {
            0 => foca::Message::Ping(self.u8()?),
            1 => foca::Message::Ack(self.u8()?),
            2..=5 => self.indirect(kind)?,
            6 => foca::Message::Announce,
            7 => foca::Message::Feed,
            8 => foca::Message::Gossip,
            9 => foca::Message::Broadcast,
            10 => foca::Message::TurnUndead,
            _ => return Err(malformed("a kind of message that there is not")),
        };
        Ok(Header {
            src,
            src_incarnation,
            dst,
            message,
        })
    }

    /// The messages of an indirect probe: its number, and the third node that takes part.
    fn indirect(&mut self, kind: u8) -> Result<foca::Message<MemberId>, MessageError> {
        let probe_number = self.u8()?;
        let third = self.id()?;
        Ok(match kind {
            2 => foca::Message::PingReq {
                target: third,
                probe_number,
            },
            3 => foca::Message::IndirectPing {
                origin: third,
                probe_number,
            },
            4 => foca::Message::IndirectAck {
                target: third,
                probe_number,
            },
            _ => foca::Message::ForwardedAck {
                origin: third,
                probe_number,
            },
        })
    }

    fn member(&mut self) -> Result<foca::Member<MemberId>, MessageError> {
        let state = match self.u8()? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(malformed("a liveness that there is not")),
        };
        let refutations = self.u16()?;
        Ok(foca::Member::new(self.id()?, refutations, state))
    }
}

/// Whether a text may stand where an address is expected.
pub(super) fn is_address(text: &str) -> bool {
    (1..=ADDRESS_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        let [low, ..] = value.to_le_bytes();
        bytes.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    bytes.push(low);
}

/// Writes a text of at most 255 bytes; of a longer one, nothing.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let (length, text) = u8::try_from(text.len()).map_or((0, ""), |length| (length, text));
    bytes.push(length);
    bytes.extend_from_slice(text.as_bytes());
}

fn put_id(bytes: &mut Vec<u8>, id: &MemberId) {
    put_varint(bytes, id.node.0);
    put_varint(bytes, id.incarnation);
    bytes.extend_from_slice(&id.process.to_be_bytes());
    put_varint(bytes, id.renewal.into());
    put_text(bytes, &id.address);
}

fn put_header(bytes: &mut Vec<u8>, header: &Header<MemberId>) {
    let (kind, number, third) = match &header.message {
        foca::Message::Ping(number) => (0, Some(*number), None),
        foca::Message::Ack(number) => (1, Some(*number), None),
        foca::Message::PingReq { target, probe_number } => (2, Some(*probe_number), Some(target)),
        foca::Message::IndirectPing { origin, probe_number } => (3, Some(*probe_number), Some(origin)),
        foca::Message::IndirectAck { target, probe_number } => (4, Some(*probe_number), Some(target)),
        foca::Message::ForwardedAck { origin, probe_number } => (5, Some(*probe_number), Some(origin)),
        foca::Message::Announce => (6, None, None),
        foca::Message::Feed => (7, None, None),
        foca::Message::Gossip => (8, None, None),
        foca::Message::Broadcast => (9, None, None),
        foca::Message::TurnUndead => (10, None, None),
    };
    bytes.extend_from_slice(&[VERSION, kind]);
    put_id(bytes, &header.src);
    bytes.extend_from_slice(&header.src_incarnation.to_be_bytes());
    put_id(bytes, &header.dst);
    bytes.extend(number);
    if let Some(third) = third {
        put_id(bytes, third);
    }
}

fn put_member(bytes: &mut Vec<u8>, member: &foca::Member<MemberId>) {
    bytes.push(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
    bytes.extend_from_slice(&member.incarnation().to_be_bytes());
    put_id(bytes, member.id());
}

/// A message as it is read before `foca` sees it.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) header: Header<MemberId>,
    pub(super) members: Vec<foca::Member<MemberId>>,
    pub(super) states: Vec<StateItem>,
    /// The states, as they lie in the message.
    states_bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads all of a message.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, MessageError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let mut reader = Reader::new(bytes);
        let header = reader.header()?;
        if header.src.incarnation == 0 {
            return Err(malformed("a sender without an incarnation"));
        }
        let bare = matches!(
            header.message,
            foca::Message::Announce | foca::Message::TurnUndead
        );
        if bare && !reader.is_empty() {
            return Err(malformed("more than its kind of message has"));
        }
        let mut members = Vec::new();
        if header.message != foca::Message::Broadcast && !reader.is_empty() {
            for _ in 0..reader.u16()? {
                let member = reader.member()?;
                if member.id().incarnation == 0 {
                    return Err(malformed("a member without an incarnation"));
                }
                members.push(member);
            }
        }
        let states_bytes = reader.rest;
        let mut states = Vec::new();
        while !reader.is_empty() {
            let length = reader.u16()?;
            states.push(StateItem::decode(reader.take(length.into())?)?);
        }
        Ok(Self {
            header,
            members,
            states,
            states_bytes,
        })
    }

    /// Gossip about one member, as the bytes of a message.
    pub(super) fn gossip(src: &MemberId, dst: &MemberId, about: &MemberId) -> Vec<u8> {
        let message = Message {
            header: Header {
                src: src.clone(),
                // Does not contradict what the sender says elsewhere: the highest counts.
                src_incarnation: 0,
                dst: dst.clone(),
                message: foca::Message::Gossip,
            },
            members: vec![foca::Member::alive(about.clone())],
            states: Vec::new(),
            states_bytes: &[],
        };
        message.encode()
    }

    /// The message with the members that it has now.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        put_header(&mut bytes, &self.header);
        if !matches!(
            self.header.message,
            foca::Message::Announce | foca::Message::TurnUndead | foca::Message::Broadcast
        ) {
            // A message of 1200 bytes has room for fewer than a hundred.
            let count = u16::try_from(self.members.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&count.to_be_bytes());
            for member in self.members.iter().take(count.into()) {
                put_member(&mut bytes, member);
            }
        }
        bytes.extend_from_slice(self.states_bytes);
        bytes
    }
}

/// The codec that `foca` writes and reads its parts with.
#[derive(Debug, Default)]
pub(super) struct Wire {
    scratch: Vec<u8>,
}

impl Wire {
    fn put(&mut self, mut buf: impl BufMut) -> Result<(), MessageError> {
        if buf.remaining_mut() < self.scratch.len() {
            return Err(MessageError::NoRoom);
        }
        buf.put_slice(&self.scratch);
        Ok(())
    }
}

impl Codec<MemberId> for Wire {
    type Error = MessageError;

    fn encode_header(&mut self, header: &Header<MemberId>, buf: impl BufMut) -> Result<(), MessageError> {
        self.scratch.clear();
        put_header(&mut self.scratch, header);
        self.put(buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<MemberId>, MessageError> {
        let mut reader = Reader::new(buf.chunk());
        let header = reader.header()?;
        let rest = reader.rest.len();
        buf.advance(buf.chunk().len() - rest);
        Ok(header)
    }

    fn encode_member(
        &mut self,
        member: &foca::Member<MemberId>,
        buf: impl BufMut,
    ) -> Result<(), MessageError> {
        self.scratch.clear();
        put_member(&mut self.scratch, member);
        self.put(buf)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<foca::Member<MemberId>, MessageError> {
        let mut reader = Reader::new(buf.chunk());
        let member = reader.member()?;
        let rest = reader.rest.len();
        buf.advance(buf.chunk().len() - rest);
        Ok(member)
    }
}

#[cfg(test)]
mod tests;
