//! Records: what a frame of the log holds (`docs/format/log.md`, "Records").
//!
//! Invariant: what is encoded decodes to the same record; bytes that are no record are refused. Not here: what records
//! do to a stream (`stream.rs`).

use std::fmt;

use bytes::BufMut;

use crate::header::{u32_at, u64_at};

/// Names a stream of the log. Stream 0 is the engine's own; the others are the owner's, who gives out the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The engine's own writes. Only the engine appends to it.
    pub const ENGINE: Self = Self(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// kind, stream, index, length of the payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 1 + 8 + 8 + 4;

/// What a record says about its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// The payload is the stream's entry `index`.
    Entry,
    /// The payload is the stream's state from now on.
    State,
    /// Entries before `index` are not needed any more.
    HeadCut,
    /// Entries from `index` on never were.
    TailCut,
    /// The stream does not exist any more.
    Dropped,
    /// At the beginning of a segment: `index` comes next; the payload is the head (8 bytes) and the state.
    Checkpoint,
}

impl RecordKind {
    fn byte(self) -> u8 {
        match self {
            Self::Entry => 1,
            Self::State => 2,
            Self::HeadCut => 3,
            Self::TailCut => 4,
            Self::Dropped => 5,
            Self::Checkpoint => 6,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entry,
            2 => Self::State,
            3 => Self::HeadCut,
            4 => Self::TailCut,
            5 => Self::Dropped,
            6 => Self::Checkpoint,
            _ => return None,
        })
    }
}

/// Appends the header of a record, whose payload of `length` bytes belongs behind it.
pub(crate) fn put_header(into: &mut Vec<u8>, kind: RecordKind, stream: StreamId, index: u64, length: u32) {
    into.put_u8(kind.byte());
    into.put_u64_le(stream.0);
    into.put_u64_le(index);
    into.put_u32_le(length);
}

/// A record as it lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) stream: StreamId,
    pub(crate) index: u64,
    pub(crate) payload: &'a [u8],
    /// Where the record begins in the contents of the frame.
    pub(crate) at: usize,
}

/// Walks the records of a frame. A record that does not fit gives its offset and ends the walk.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    contents: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(contents: &'a [u8]) -> Self {
        Self { contents, at: 0 }
    }

    fn decode(&self) -> Option<Record<'a>> {
        let start = self.at.checked_add(RECORD_HEADER_BYTES)?;
        let header = self.contents.get(self.at..start)?;
        let end = start.checked_add(u32_at(header, 17)? as usize)?;
        Some(Record {
            kind: RecordKind::from_byte(*header.first()?)?,
            stream: StreamId(u64_at(header, 1)?),
            index: u64_at(header, 9)?,
            payload: self.contents.get(start..end)?,
            at: self.at,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.contents.len() {
            return None;
        }
        let Some(record) = self.decode() else {
            let bad = self.at;
            self.at = self.contents.len();
            return Some(Err(bad));
        };
        self.at += RECORD_HEADER_BYTES + record.payload.len();
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Vec<u8> {
        let mut bytes = Vec::new();
        put_header(&mut bytes, RecordKind::Entry, StreamId(3), 9, 2);
        bytes.extend_from_slice(b"ab");
        put_header(&mut bytes, RecordKind::TailCut, StreamId(u64::MAX), 7, 0);
        bytes
    }

    #[test]
    fn records_come_back() {
        let bytes = contents();
        let records: Vec<_> = Records::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(
            (
                records[0].kind,
                records[0].stream,
                records[0].index,
                records[0].payload
            ),
            (RecordKind::Entry, StreamId(3), 9, &b"ab"[..])
        );
        assert_eq!(
            (
                records[1].kind,
                records[1].stream,
                records[1].index,
                records[1].at
            ),
            (
                RecordKind::TailCut,
                StreamId(u64::MAX),
                7,
                RECORD_HEADER_BYTES + 2
            )
        );
        for byte in 0..=u8::MAX {
            if let Some(kind) = RecordKind::from_byte(byte) {
                assert_eq!(kind.byte(), byte);
            }
        }
    }

    #[test]
    fn a_cut_or_unknown_record_gives_its_offset() {
        let mut bytes = contents();
        let second = RECORD_HEADER_BYTES + 2;
        for end in second + 1..bytes.len() {
            assert_eq!(Records::new(&bytes[..end]).nth(1), Some(Err(second)));
        }
        bytes[0] = 99;
        assert_eq!(Records::new(&bytes).collect::<Vec<_>>(), [Err(0)]);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8..10, 0..120)) {
            let _records: Vec<_> = Records::new(&bytes).collect();
        }
    }
}
