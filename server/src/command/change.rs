//! Changing attributes of an item in place, making the item when it is not there.

use bytes::Bytes;
use stator_cluster::{Applier, Cell, Verdict};
use stator_model::attribute::RawValue;
use stator_model::expression::{Condition, Update};
use stator_model::item::Item;

use super::answer::{Done, Refusal, Sizes, WriteAnswer};
use super::codec::{Cursor, Malformed, put_item};
use super::guard::{Guard, ReadExpression, ReadGuard, ReturnValues, Spelled, put_expression, spelled};
use super::{FORMAT_VERSION, ITEM_BYTES_MAX, kind, open};
use crate::message;

/// The command: the item of `key` is changed as `update` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) key: &'a Item,
    pub(crate) update: Option<Spelled<'a, Update>>,
    pub(crate) guard: Guard<'a>,
    pub(crate) return_values: ReturnValues,
}

impl Change<'_> {
    /// The item after the change.
    fn apply(&self, old: Option<&Item>) -> Result<Item, Refusal> {
        let Some((_, update)) = self.update else {
            // Without a clause the item is made when it is not there, and left as it is otherwise.
            return Ok(old.unwrap_or(self.key).clone());
        };
        let key: Vec<(&[u8], RawValue<'_>)> = self.key.as_ref().iter().collect();
        let new = update
            .apply(old.map(Item::as_ref), &key, self.guard.placeholders)
            .map_err(|error| Refusal::Validation(error.to_string()))?;
        if new.as_ref().size() > ITEM_BYTES_MAX {
            return Err(Refusal::Validation(message::UPDATED_ITEM_TOO_LARGE.to_owned()));
        }
        Ok(new)
    }

    fn returned(&self, old: Option<&Item>, new: &Item) -> Option<Item> {
        let update = self.update.map(|(_, update)| update);
        let item = match self.return_values {
            ReturnValues::None => None,
            ReturnValues::AllOld => old.cloned(),
            ReturnValues::AllNew => Some(new.clone()),
            ReturnValues::UpdatedOld => old
                .zip(update)
                .map(|(old, update)| update.updated_old(old.as_ref())),
            ReturnValues::UpdatedNew => update.map(|update| update.updated_new(new.as_ref())),
        };
        item.filter(|item| !item.as_ref().attributes().is_empty())
    }

    fn change(&self, current: Option<&Cell>) -> Result<Verdict<Done>, Refusal> {
        let old = current.map(open).transpose()?;
        self.guard.check(old.as_ref())?;
        let new = self.apply(old.as_ref())?;
        if old.is_none() && self.update.is_some_and(|(_, update)| update.only_takes_away()) {
            // Nothing is taken from nothing: DynamoDB makes no item for it.
            let answer = Done {
                attributes: None,
                sizes: Sizes::new(None, None),
                note: Bytes::new(),
            };
            return Ok(Verdict::Keep { answer });
        }
        let answer = Done {
            attributes: self.returned(old.as_ref(), &new),
            sizes: Sizes::new(old.as_ref().map(Item::as_ref), Some(new.as_ref())),
            note: Bytes::new(),
        };
        Ok(if old.as_ref() == Some(&new) {
            Verdict::Keep { answer }
        } else {
            Verdict::Put {
                cell: new.stored().clone(),
                answer,
            }
        })
    }
}

impl Applier for Change<'_> {
    type Answer = WriteAnswer;

    fn decide(&self, current: Option<&Cell>) -> Verdict<WriteAnswer> {
        WriteAnswer::verdict(self.change(current))
    }

    /// The new item is made of the current one.
    fn answer_unseen(&self) -> Option<WriteAnswer> {
        None
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[FORMAT_VERSION, kind::UPDATE, self.return_values.code()]);
        self.guard.encode(into);
        put_expression(into, self.update);
        put_item(into, Some(self.key));
    }
}

/// The same, as read from bytes.
#[derive(Debug)]
pub(super) struct ReadChange<'a> {
    key: Item,
    update: ReadExpression<'a, Update>,
    guard: ReadGuard<'a>,
    condition: ReadExpression<'a, Condition>,
    return_values: ReturnValues,
}

impl<'a> ReadChange<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let return_values = ReturnValues::read(cursor)?;
        let mut guard = ReadGuard::read(cursor)?;
        let update = cursor.text()?;
        let key = cursor.item()?;
        let update = guard.parse(update, Update::parse_unbounded)?;
        let condition = guard.condition()?;
        Ok(Self {
            key,
            update,
            guard,
            condition,
            return_values,
        })
    }

    pub(super) fn command(&self) -> Change<'_> {
        Change {
            key: &self.key,
            update: spelled(&self.update),
            guard: self.guard.guard(&self.condition),
            return_values: self.return_values,
        }
    }
}
