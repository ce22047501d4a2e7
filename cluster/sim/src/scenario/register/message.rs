//! What replicas of the register say to each other, and what they write to disk.
//!
//! Invariant: what was not written by `encode` is not read as anything. All numbers are little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::check::register::Value;

/// A version: higher is later. Two writers never make the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) counter: u64,
    /// A number of the write's own.
    pub(super) write: u64,
}

/// A value with its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) stamp: Stamp,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Asks for the cell.
    Query,
    /// Answers a query.
    Current(Cell),
    /// Asks to keep a cell, unless there is a later one.
    Store(Cell),
    /// Answers: this cell or a later one is kept.
    Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Whose answer this is, or will be.
    pub(super) request: u64,
    pub(super) key: u64,
    pub(super) body: Body,
}

/// A cell of a key on disk: cell, key, checksum.
pub(super) const RECORD_BYTES: usize = CELL_BYTES + 16;

const CELL_BYTES: usize = 25;

fn put_cell(out: &mut BytesMut, cell: Cell) {
    out.put_u64_le(cell.stamp.counter);
    out.put_u64_le(cell.stamp.write);
    out.put_u8(u8::from(cell.value.is_some()));
    out.put_i64_le(cell.value.unwrap_or(0));
}

fn get_cell(bytes: &mut &[u8]) -> Option<Cell> {
    let counter = bytes.try_get_u64_le().ok()?;
    let write = bytes.try_get_u64_le().ok()?;
    let has_value = bytes.try_get_u8().ok()?;
    let value = bytes.try_get_i64_le().ok()?;
    Some(Cell {
        stamp: Stamp { counter, write },
        value: match has_value {
            0 => None,
            1 => Some(value),
            _ => return None,
        },
    })
}

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(17 + CELL_BYTES);
        let (tag, cell) = match self.body {
            Body::Query => (0, None),
            Body::Current(cell) => (1, Some(cell)),
            Body::Store(cell) => (2, Some(cell)),
            Body::Stored => (3, None),
        };
        out.put_u8(tag);
        out.put_u64_le(self.request);
        out.put_u64_le(self.key);
        if let Some(cell) = cell {
            put_cell(&mut out, cell);
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let tag = bytes.try_get_u8().ok()?;
        let request = bytes.try_get_u64_le().ok()?;
        let key = bytes.try_get_u64_le().ok()?;
        let body = match tag {
            0 => Body::Query,
            1 => Body::Current(get_cell(&mut bytes)?),
            2 => Body::Store(get_cell(&mut bytes)?),
            3 => Body::Stored,
            _ => return None,
        };
        bytes.is_empty().then_some(Self { request, key, body })
    }

    /// The message in words, for traces.
    pub(super) fn describe(bytes: &[u8]) -> String {
        Self::decode(bytes).map_or_else(
            || "no message of a register".to_owned(),
            |message| {
                format!(
                    "{:?} key {} request {:x}",
                    message.body, message.key, message.request
                )
            },
        )
    }
}

pub(super) fn encode_record(key: u64, cell: Cell) -> Bytes {
    let mut out = BytesMut::with_capacity(RECORD_BYTES);
    put_cell(&mut out, cell);
    out.put_u64_le(key);
    let sum = xxh3_64(&out);
    out.put_u64_le(sum);
    out.freeze()
}

pub(super) fn decode_record(record: &[u8]) -> Option<(u64, Cell)> {
    let (body, sum) = record.split_last_chunk::<8>()?;
    let mut rest = body;
    let cell = get_cell(&mut rest)?;
    let key = rest.try_get_u64_le().ok()?;
    (rest.is_empty() && xxh3_64(body) == u64::from_le_bytes(*sum)).then_some((key, cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> [Cell; 2] {
        let stamp = Stamp {
            counter: 3,
            write: u64::MAX,
        };
        [
            Cell {
                stamp,
                value: Some(-7),
            },
            Cell { stamp, value: None },
        ]
    }

    #[test]
    fn messages_survive_the_way_and_cut_ones_do_not() {
        let cells = cells().into_iter();
        let bodies =
            cells.flat_map(|cell| [Body::Query, Body::Current(cell), Body::Store(cell), Body::Stored]);
        for body in bodies {
            let message = Message {
                request: 9,
                key: 8,
                body,
            };
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Some(message));
            assert_eq!(Message::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Message::decode(&[9; 17]), None);
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_no_record() {
        for cell in cells() {
            let record = encode_record(5, cell);
            assert_eq!(
                (record.len(), decode_record(&record)),
                (RECORD_BYTES, Some((5, cell)))
            );
            for bit in 0..RECORD_BYTES * 8 {
                let mut bad = record.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode_record(&bad), None);
            }
        }
        assert_eq!(decode_record(&[0; RECORD_BYTES]), None);
    }
}
