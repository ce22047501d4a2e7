//! What put, delete, update and check answer: what was done, or why nothing was.

use bytes::Bytes;
use stator_cluster::{Answer, MalformedAnswer, Verdict};
use stator_model::codec::write_length;
use stator_model::item::{Item, ItemRef};

use super::FORMAT_VERSION;
use super::codec::{Cursor, Malformed, put_bytes, put_item};

/// Second byte of an answer.
mod outcome {
    pub(super) const DONE: u8 = 0;
    pub(super) const CONDITION_FAILED: u8 = 1;
    pub(super) const VALIDATION: u8 = 2;
    pub(super) const INTERNAL: u8 = 3;
}

/// Bits of the presence byte of what was done.
const BEFORE: u8 = 1;
const AFTER: u8 = 2;
/// What the write has cost in indexes follows.
const NOTE: u8 = 4;

/// The answer of a write command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteAnswer(pub(crate) Result<Done, Refusal>);

/// What a write has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// What the request wants to see of the item before or after.
    pub(crate) attributes: Option<Item>,
    pub(crate) sizes: Sizes,
    /// What it has cost in the table's indexes, as [`IndexUnits::decode`](crate::derive::index::IndexUnits::decode) reads
    /// it; empty for nothing.
    pub(crate) note: Bytes,
}

/// Sizes in bytes by DynamoDB's rules, before and after a write; `None` where there is no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) before: Option<usize>,
    pub(crate) after: Option<usize>,
}

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The condition was false. Carries the item when the request asked for it.
    ConditionFailed(Option<Item>),
    /// The command does not fit the item; the text is the ValidationException's.
    Validation(String),
    /// The cell cannot be read.
    Internal(String),
}

impl Sizes {
    pub(super) fn new(before: Option<ItemRef<'_>>, after: Option<ItemRef<'_>>) -> Self {
        Self {
            before: before.map(ItemRef::size),
            after: after.map(ItemRef::size),
        }
    }
}

/// Whether an answer in bytes says that a put, delete, update or check was refused.
pub(super) fn is_refusal(answer: &[u8]) -> bool {
    !matches!(answer, [FORMAT_VERSION, outcome::DONE, ..])
}

/// An answer in bytes without the item of a condition that was false. Any other stays as it is.
pub(super) fn without_item(answer: Vec<u8>) -> Vec<u8> {
    if !matches!(answer[..], [FORMAT_VERSION, outcome::CONDITION_FAILED, ..]) {
        return answer;
    }
    let mut bytes = Vec::new();
    WriteAnswer(Err(Refusal::ConditionFailed(None))).encode(&mut bytes);
    bytes
}

impl WriteAnswer {
    /// The verdict of a command: a refusal changes nothing.
    pub(super) fn verdict(decided: Result<Verdict<Done>, Refusal>) -> Verdict<Self> {
        match decided {
            Ok(verdict) => verdict.map(|done| Self(Ok(done))),
            Err(refusal) => Verdict::Keep {
                answer: Self(Err(refusal)),
            },
        }
    }

    fn read(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        cursor.version()?;
        let result = match cursor.byte()? {
            outcome::DONE => Ok(Done::read(&mut cursor)?),
            outcome::CONDITION_FAILED => Err(Refusal::ConditionFailed(cursor.optional_item()?)),
            outcome::VALIDATION => Err(Refusal::Validation(cursor.text()?.to_owned())),
            outcome::INTERNAL => Err(Refusal::Internal(cursor.text()?.to_owned())),
            other => return Err(Malformed(format!("unknown outcome {other}"))),
        };
        cursor.end()?;
        Ok(Self(result))
    }
}

impl Done {
    fn encode(&self, into: &mut Vec<u8>) {
        let Sizes { before, after } = self.sizes;
        let bit = |size: Option<usize>, bit: u8| if size.is_some() { bit } else { 0 };
        let note = if self.note.is_empty() { 0 } else { NOTE };
        into.push(bit(before, BEFORE) | bit(after, AFTER) | note);
        for size in [before, after].into_iter().flatten() {
            write_length(into, size);
        }
        put_item(into, self.attributes.as_ref());
        if !self.note.is_empty() {
            put_bytes(into, &self.note);
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let presence = cursor.byte()?;
        if presence & !(BEFORE | AFTER | NOTE) != 0 {
            return Err(Malformed(format!("unknown presence {presence}")));
        }
        let mut size = |bit: u8| match presence & bit {
            0 => Ok(None),
            _ => cursor.length().map(Some),
        };
        let (before, after) = (size(BEFORE)?, size(AFTER)?);
        let attributes = cursor.optional_item()?;
        let note = match presence & NOTE {
            0 => Bytes::new(),
            _ => cursor.shared()?,
        };
        if note.is_empty() != (presence & NOTE == 0) {
            return Err(Malformed("a note without content".to_owned()));
        }
        Ok(Self {
            attributes,
            sizes: Sizes { before, after },
            note,
        })
    }
}

impl Answer for WriteAnswer {
    fn encode(&self, into: &mut Vec<u8>) {
        into.push(FORMAT_VERSION);
        match &self.0 {
            Ok(done) => {
                into.push(outcome::DONE);
                done.encode(into);
            }
            Err(Refusal::ConditionFailed(item)) => {
                into.push(outcome::CONDITION_FAILED);
                put_item(into, item.as_ref());
            }
            Err(Refusal::Validation(text)) => {
                into.push(outcome::VALIDATION);
                put_bytes(into, text.as_bytes());
            }
            Err(Refusal::Internal(text)) => {
                into.push(outcome::INTERNAL);
                put_bytes(into, text.as_bytes());
            }
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        Ok(Self::read(bytes)?)
    }

    fn note(&mut self, note: &Bytes) {
        if let Ok(done) = &mut self.0 {
            done.note = note.clone();
        }
    }
}
