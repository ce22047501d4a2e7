//! Checking a condition on an item, which stays as it is: what a transaction asks of items that it does not write.

use bytes::Bytes;
use stator_cluster::{Applier, Cell, Verdict};
use stator_model::expression::Condition;
use stator_model::item::Item;

use super::answer::{Done, Refusal, Sizes, WriteAnswer};
use super::codec::{Cursor, Malformed};
use super::guard::{Guard, ReadExpression, ReadGuard};
use super::{FORMAT_VERSION, kind, open};

/// The command: the guard's condition holds. Its answer has the item's size as that before and after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check<'a> {
    /// Has a condition.
    pub(crate) guard: Guard<'a>,
}

impl Check<'_> {
    fn check(&self, current: Option<&Cell>) -> Result<Verdict<Done>, Refusal> {
        let item = current.map(open).transpose()?;
        self.guard.check(item.as_ref())?;
        let item = item.as_ref().map(Item::as_ref);
        Ok(Verdict::Keep {
            answer: Done {
                attributes: None,
                sizes: Sizes::new(item, item),
                note: Bytes::new(),
            },
        })
    }
}

impl Applier for Check<'_> {
    type Answer = WriteAnswer;

    fn decide(&self, current: Option<&Cell>) -> Verdict<WriteAnswer> {
        WriteAnswer::verdict(self.check(current))
    }

    fn answer_unseen(&self) -> Option<WriteAnswer> {
        None
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[FORMAT_VERSION, kind::CHECK]);
        self.guard.encode(into);
    }
}

/// The same, as read from bytes.
#[derive(Debug)]
pub(super) struct ReadCheck<'a> {
    guard: ReadGuard<'a>,
    condition: ReadExpression<'a, Condition>,
}

impl<'a> ReadCheck<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let mut guard = ReadGuard::read(cursor)?;
        let condition = guard.condition()?;
        if condition.is_none() {
            return Err(Malformed("a check without a condition".to_owned()));
        }
        Ok(Self { guard, condition })
    }

    pub(super) fn command(&self) -> Check<'_> {
        Check {
            guard: self.guard.guard(&self.condition),
        }
    }
}
