//! Replacing an item as a whole: a put replaces the current item by another, a deletion by none.

use bytes::Bytes;
use stator_cluster::{Applier, Cell, Verdict};
use stator_model::expression::Condition;
use stator_model::item::Item;

use super::answer::{Done, Refusal, Sizes, WriteAnswer};
use super::codec::{Cursor, Malformed, put_item};
use super::guard::{Guard, ReadExpression, ReadGuard, ReturnValues};
use super::{FORMAT_VERSION, kind, open};

/// The command: the item becomes `new`, or goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replace<'a> {
    pub(crate) new: Option<&'a Item>,
    pub(crate) guard: Guard<'a>,
    /// Whether the answer carries the item as it was.
    pub(crate) returns_old: bool,
}

impl Replace<'_> {
    fn replace(&self, current: Option<&Cell>) -> Result<Verdict<Done>, Refusal> {
        let old = current.map(open).transpose()?;
        self.guard.check(old.as_ref())?;
        let sizes = Sizes::new(old.as_ref().map(Item::as_ref), self.new.map(Item::as_ref));
        let unchanged = old.as_ref() == self.new;
        let answer = Done {
            attributes: old.filter(|_| self.returns_old),
            sizes,
            note: Bytes::new(),
        };
        Ok(match self.new {
            // What is there already needs no write, and what is not there no removal.
            _ if unchanged => Verdict::Keep { answer },
            Some(item) => Verdict::Put {
                cell: item.stored().clone(),
                answer,
            },
            None => Verdict::Delete { answer },
        })
    }
}

impl Applier for Replace<'_> {
    type Answer = WriteAnswer;

    fn decide(&self, current: Option<&Cell>) -> Verdict<WriteAnswer> {
        WriteAnswer::verdict(self.replace(current))
    }

    /// What was there before is not known, so it does not count.
    fn answer_unseen(&self) -> Option<WriteAnswer> {
        if self.guard.condition.is_some() || self.returns_old {
            return None;
        }
        Some(WriteAnswer(Ok(Done {
            attributes: None,
            sizes: Sizes::new(None, self.new.map(Item::as_ref)),
            note: Bytes::new(),
        })))
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let kind = if self.new.is_some() {
            kind::PUT
        } else {
            kind::DELETE
        };
        let returns = if self.returns_old {
            ReturnValues::AllOld
        } else {
            ReturnValues::None
        };
        into.extend_from_slice(&[FORMAT_VERSION, kind, returns.code()]);
        self.guard.encode(into);
        if self.new.is_some() {
            put_item(into, self.new);
        }
    }
}

/// The same, as read from bytes.
#[derive(Debug)]
pub(super) struct ReadReplace<'a> {
    new: Option<Item>,
    guard: ReadGuard<'a>,
    condition: ReadExpression<'a, Condition>,
    returns_old: bool,
}

impl<'a> ReadReplace<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>, put: bool) -> Result<Self, Malformed> {
        let returns_old = match ReturnValues::read(cursor)? {
            ReturnValues::None => false,
            ReturnValues::AllOld => true,
            other => return Err(Malformed(format!("return values {other:?} of a replacement"))),
        };
        let mut guard = ReadGuard::read(cursor)?;
        let new = if put { Some(cursor.item()?) } else { None };
        let condition = guard.condition()?;
        Ok(Self {
            new,
            guard,
            condition,
            returns_old,
        })
    }

    pub(super) fn command(&self) -> Replace<'_> {
        Replace {
            new: self.new.as_ref(),
            guard: self.guard.guard(&self.condition),
            returns_old: self.returns_old,
        }
    }
}
