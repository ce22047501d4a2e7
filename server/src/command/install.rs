//! Compare-and-set of one cell of metadata: nodes that change the same cell at once do not undo each other's changes.

use bytes::Bytes;
use stator_cluster::{Answer, Applier, Cell, MalformedAnswer, Verdict};

use super::codec::{Cursor, Malformed, put_bytes};
use super::{FORMAT_VERSION, kind};

/// Bits of the presence byte of a command.
const EXPECTED: u8 = 1;
const CELL: u8 = 2;

/// The command: the cell that is as expected becomes this one. `None` is no cell, on either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Install {
    pub(crate) expected: Option<Bytes>,
    pub(crate) cell: Option<Bytes>,
}

/// The answer: whether the cell was as expected. If not, nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fits(pub(crate) bool);

impl Install {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let presence = cursor.byte()?;
        if presence & !(EXPECTED | CELL) != 0 {
            return Err(Malformed(format!("unknown presence {presence}")));
        }
        let mut part = |bit: u8| match presence & bit {
            0 => Ok(None),
            _ => cursor.shared().map(Some),
        };
        Ok(Self {
            expected: part(EXPECTED)?,
            cell: part(CELL)?,
        })
    }
}

impl Applier for Install {
    type Answer = Fits;

    fn decide(&self, current: Option<&Cell>) -> Verdict<Fits> {
        if current != self.expected.as_ref() {
            return Verdict::Keep { answer: Fits(false) };
        }
        let answer = Fits(true);
        match &self.cell {
            // What is there already needs no write.
            cell if cell.as_ref() == current => Verdict::Keep { answer },
            Some(cell) => Verdict::Put {
                cell: cell.clone(),
                answer,
            },
            None => Verdict::Delete { answer },
        }
    }

    fn answer_unseen(&self) -> Option<Fits> {
        None
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let bit = |part: &Option<Bytes>, bit: u8| if part.is_some() { bit } else { 0 };
        let presence = bit(&self.expected, EXPECTED) | bit(&self.cell, CELL);
        into.extend_from_slice(&[FORMAT_VERSION, kind::INSTALL, presence]);
        for part in [&self.expected, &self.cell].into_iter().flatten() {
            put_bytes(into, part);
        }
    }
}

impl Answer for Fits {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[FORMAT_VERSION, u8::from(self.0)]);
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        let mut cursor = Cursor::new(bytes);
        let read = |cursor: &mut Cursor<'_>| {
            cursor.version()?;
            let fits = match cursor.byte()? {
                0 => Self(false),
                1 => Self(true),
                other => return Err(Malformed(format!("unknown answer {other}"))),
            };
            cursor.end()?;
            Ok(fits)
        };
        Ok(read(&mut cursor)?)
    }
}
