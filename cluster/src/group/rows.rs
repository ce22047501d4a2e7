//! Derived rows as they lie in a log: in the entry of the write that they follow from, and in the entry of the range that
//! has taken them (`docs/format/group.md`).
//!
//! Invariant: what is read back is what was written, or refused. Not here: what rows follow (`Commands::derive`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::effect::{Change, MalformedEffect, length, take};
use crate::command::Cell;
use crate::derive::{APPENDED_KEY_BYTES, APPENDED_TIME_BYTES, Route, VERSION_KEY_BYTES};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const APPEND: u8 = 3;
const VERSION: u8 = 4;
const DATED: u8 = 5;
const FORWARD: u8 = 1 << 4;
const WITH_CELL: u8 = 1 << 5;
const FOUND: u8 = 1 << 6;
const KIND: u8 = 0x0f;

/// Bytes of a row beside key and head: keyspace, kind, change of items and bytes, lengths of both.
const ROW_BYTES: usize = 4 + 1 + 1 + 8 + 4 + 4;
/// Bytes of a row that was sent on, beside key and cell: entry of the source, keyspace, kind, change, lengths.
const SENT_BYTES: usize = 8 + ROW_BYTES;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    Put,
    Delete,
    Append,
    /// A version of the time of its entry.
    Version,
    /// A version whose time stands behind its key already.
    Dated,
}

impl RowKind {
    fn number(self) -> u8 {
        match self {
            Self::Put => PUT,
            Self::Delete => DELETE,
            Self::Append => APPEND,
            Self::Version => VERSION,
            Self::Dated => DATED,
        }
    }

    fn of(number: u8) -> Result<Self, MalformedEffect> {
        Ok(match number & KIND {
            PUT => Self::Put,
            DELETE => Self::Delete,
            APPEND => Self::Append,
            VERSION => Self::Version,
            DATED => Self::Dated,
            _ => return Err(MalformedEffect::Malformed),
        })
    }
}

/// A row in the entry that it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Number of its keyspace.
    pub(crate) keyspace: u32,
    pub(crate) route: Route,
    pub(crate) kind: RowKind,
    /// Whether the cell of the entry follows the head.
    pub(crate) with_cell: bool,
    pub(crate) change: Change,
    /// Whether its range finds out what changes; nothing is said of it then.
    pub(crate) is_found: bool,
    pub(crate) key: Bytes,
    pub(crate) head: Bytes,
}

impl Row {
    /// The bytes that the row becomes, in an entry with this cell.
    pub(crate) fn value(&self, cell: Option<&Cell>) -> Bytes {
        match cell.filter(|_| self.with_cell) {
            None => self.head.clone(),
            Some(cell) if self.head.is_empty() => cell.clone(),
            Some(cell) => [&self.head[..], cell].concat().into(),
        }
    }

    fn is_forwarded(&self) -> bool {
        self.route == Route::Forward
    }

    /// The key of the row that it becomes beside the cell, in entry `index` of this time.
    pub(crate) fn placed_key(&self, (index, at_ms): (u64, u64)) -> Bytes {
        if !matches!(self.kind, RowKind::Version | RowKind::Dated) {
            return self.key.clone();
        }
        let mut key = BytesMut::with_capacity(self.key.len() + VERSION_KEY_BYTES);
        key.put_slice(&self.key);
        if self.kind == RowKind::Version {
            key.put_u64(!at_ms);
        }
        key.put_u64(!index);
        key.freeze()
    }

    /// The row with a time of its own, if it is a version that has none.
    pub(super) fn dated(mut self, at_ms: u64) -> Self {
        if self.kind == RowKind::Version {
            self.key = [&self.key[..], &(!at_ms).to_be_bytes()].concat().into();
            self.kind = RowKind::Dated;
        }
        self
    }

    /// Appends rows that [`Row::decode_all`] reads.
    pub(crate) fn encode_all(rows: &[Self], into: &mut BytesMut) {
        into.put_u32_le(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        for row in rows {
            let route = if row.is_forwarded() { FORWARD } else { 0 };
            let with_cell = if row.with_cell { WITH_CELL } else { 0 };
            into.put_u32_le(row.keyspace);
            let found = if row.is_found { FOUND } else { 0 };
            into.put_u8(row.kind.number() | route | with_cell | found);
            into.put_i8(row.change.items);
            into.put_i64_le(row.change.bytes);
            into.put_u32_le(length(&row.key));
            into.put_u32_le(length(&row.head));
            into.put_slice(&row.key);
            into.put_slice(&row.head);
        }
    }

    /// How many bytes [`Row::encode_all`] appends.
    pub(crate) fn encoded_bytes(rows: &[Self]) -> usize {
        let bytes = rows.iter().map(|row| ROW_BYTES + row.key.len() + row.head.len());
        4 + bytes.sum::<usize>()
    }

    /// Reads rows; keys and heads share the memory of `bytes`.
    ///
    /// # Errors
    /// [`MalformedEffect`].
    pub(crate) fn decode_all(bytes: &mut Bytes) -> Result<Vec<Self>, MalformedEffect> {
        let count = bytes.try_get_u32_le().map_err(|_| MalformedEffect::Malformed)?;
        let mut rows = Vec::new();
        for _ in 0..count {
            if bytes.len() < ROW_BYTES {
                return Err(MalformedEffect::Malformed);
            }
            let (keyspace, kind) = (bytes.get_u32_le(), bytes.get_u8());
            if kind & !(KIND | FORWARD | WITH_CELL | FOUND) != 0 {
                return Err(MalformedEffect::Malformed);
            }
            let change = Change {
                items: bytes.get_i8(),
                bytes: bytes.get_i64_le(),
            };
            let (key, head) = (bytes.get_u32_le(), bytes.get_u32_le());
            rows.push(Self {
                keyspace,
                route: if kind & FORWARD == 0 {
                    Route::Beside
                } else {
                    Route::Forward
                },
                kind: RowKind::of(kind)?,
                with_cell: kind & WITH_CELL != 0,
                change,
                is_found: kind & FOUND != 0,
                key: take(bytes, key as usize)?,
                head: take(bytes, head as usize)?,
            });
        }
        Ok(rows)
    }
}

/// A row that has come from the log of another range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The entry of the source that it follows from.
    pub(crate) source_index: u64,
    /// Number of its keyspace.
    pub(crate) keyspace: u32,
    pub(crate) kind: RowKind,
    pub(crate) change: Change,
    /// As [`Row::is_found`].
    pub(crate) is_found: bool,
    /// Its key, or what an append begins with.
    pub(crate) key: Bytes,
    pub(crate) cell: Bytes,
}

impl Sent {
    /// A row of an entry with this index, time and cell.
    pub(crate) fn of(row: &Row, (source_index, at_ms): (u64, u64), cell: Option<&Cell>) -> Self {
        let value = row.value(cell);
        let cell = if row.kind == RowKind::Append {
            let mut timed = BytesMut::with_capacity(APPENDED_TIME_BYTES + value.len());
            timed.put_u64_le(at_ms);
            timed.put_slice(&value);
            timed.freeze()
        } else {
            value
        };
        Self {
            source_index,
            keyspace: row.keyspace,
            kind: row.kind,
            change: row.change,
            is_found: row.is_found,
            key: row.key.clone(),
            cell,
        }
    }

    /// How many bytes it takes in an entry.
    pub(crate) fn encoded_bytes(&self) -> usize {
        SENT_BYTES + self.key.len() + self.cell.len()
    }

    /// The key of the row that it becomes, at a place in an entry of its own range.
    pub(crate) fn placed_key(&self, index: u64, place: u32) -> Bytes {
        if self.kind != RowKind::Append {
            return self.key.clone();
        }
        let mut key = BytesMut::with_capacity(self.key.len() + APPENDED_KEY_BYTES);
        key.put_slice(&self.key);
        key.put_u64(index);
        key.put_u32(place);
        key.freeze()
    }

    pub(super) fn encode_all(rows: &[Self], into: &mut BytesMut) {
        into.put_u32_le(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        for row in rows {
            into.put_u64_le(row.source_index);
            into.put_u32_le(row.keyspace);
            into.put_u8(row.kind.number() | if row.is_found { FOUND } else { 0 });
            into.put_i8(row.change.items);
            into.put_i64_le(row.change.bytes);
            into.put_u32_le(length(&row.key));
            into.put_u32_le(length(&row.cell));
            into.put_slice(&row.key);
            into.put_slice(&row.cell);
        }
    }

    pub(super) fn decode_all(bytes: &mut Bytes) -> Result<Vec<Self>, MalformedEffect> {
        let count = bytes.try_get_u32_le().map_err(|_| MalformedEffect::Malformed)?;
        let mut rows = Vec::new();
        for _ in 0..count {
            if bytes.len() < SENT_BYTES {
                return Err(MalformedEffect::Malformed);
            }
            let (source_index, keyspace) = (bytes.get_u64_le(), bytes.get_u32_le());
            let kind = bytes.get_u8();
            if kind & !(KIND | FOUND) != 0 {
                return Err(MalformedEffect::Malformed);
            }
            let change = Change {
                items: bytes.get_i8(),
                bytes: bytes.get_i64_le(),
            };
            let (key, cell) = (bytes.get_u32_le(), bytes.get_u32_le());
            rows.push(Self {
                source_index,
                keyspace,
                kind: RowKind::of(kind)?,
                change,
                is_found: kind & FOUND != 0,
                key: take(bytes, key as usize)?,
                cell: take(bytes, cell as usize)?,
            });
        }
        Ok(rows)
    }
}

/// Rows that do not refer to the cell of their entry, as an entry with several cells needs them.
pub(super) fn materialized(mut rows: Vec<Row>, cell: Option<&Cell>) -> Vec<Row> {
    for row in &mut rows {
        row.head = row.value(cell);
        row.with_cell = false;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: RowKind, head: &'static [u8], with_cell: bool) -> Row {
        Row {
            keyspace: 7,
            route: Route::Forward,
            kind,
            with_cell,
            change: Change { items: 1, bytes: 3 },
            is_found: false,
            key: Bytes::from_static(b"12345678k"),
            head: Bytes::from_static(head),
        }
    }

    #[test]
    fn the_cell_follows_the_head() {
        let cell = Bytes::from_static(b"cell");
        assert_eq!(row(RowKind::Put, b"", true).value(Some(&cell)), cell);
        assert_eq!(row(RowKind::Put, b"h", true).value(Some(&cell))[..], *b"hcell");
        assert_eq!(row(RowKind::Put, b"h", false).value(Some(&cell))[..], *b"h");
        assert_eq!(row(RowKind::Put, b"h", true).value(None)[..], *b"h");
    }

    #[test]
    fn versions_of_a_key_stand_from_the_newest_to_the_oldest() {
        let version = row(RowKind::Version, b"", true);
        let placed = [(9, 700), (8, 700), (10, 600), (11, 3)].map(|at| version.placed_key(at));
        assert!(placed.is_sorted(), "{placed:?}");
        let dated = version.clone().dated(600);
        assert_eq!(dated.placed_key((10, 99)), placed[2]);
        assert_eq!(dated.clone().dated(7), dated, "it has a time already");
        let read = crate::derive::version_of(&placed[1]);
        assert_eq!(read, Some((&b"12345678k"[..], 700, 8)));
        assert_eq!(row(RowKind::Put, b"", true).placed_key((1, 2)), version.key);
    }

    #[test]
    fn an_append_has_its_time_before_it_and_its_place_behind_its_key() {
        let cell = Bytes::from_static(b"c");
        let sent = Sent::of(&row(RowKind::Append, b"h", true), (9, 258), Some(&cell));
        assert_eq!(sent.cell[..], *b"\x02\x01\0\0\0\0\0\0hc");
        assert_eq!(
            sent.placed_key(3, 1)[..],
            *b"12345678k\0\0\0\0\0\0\0\x03\0\0\0\x01"
        );
        let put = Sent::of(&row(RowKind::Put, b"h", true), (9, 258), Some(&cell));
        assert_eq!((&put.cell[..], put.placed_key(3, 1)), (&b"hc"[..], put.key));
    }
}
