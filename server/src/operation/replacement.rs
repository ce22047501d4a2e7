//! Replacing an item as a whole: what PutItem, DeleteItem, BatchWriteItem and TransactWriteItems have in common.
//!
//! A put replaces the current item by another, a deletion by none; everything else about the two is the same.

use stator_model::expression::{Condition, Placeholders};
use stator_model::item::Item;
use stator_model::key::{KeyBytes, KeyError};

use super::expressions::{ExpressionInputs, check_all_used};
use super::item_command::{WriteOutput, WriteParameters};
use super::legacy::{LegacyWrite, Stated};
use super::{Context, legacy, table_name};
use crate::catalog::Table;
use crate::command::{Guard, ITEM_BYTES_MAX, OnFailure, Replace, ReturnValues};
use crate::consistency::{Needs, check_write};
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// What a request names: the item to be stored, or the key of the item to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Item,
    Key,
}

/// A put or a deletion, validated as far as it can be without its table.
#[derive(Debug)]
pub(crate) struct Replacement {
    subject: Subject,
    pub(super) attributes: Item,
    condition: Stated<Condition>,
    pub(super) placeholders: Placeholders,
}

impl Replacement {
    /// Validates what a request states: the item or key, its condition, what is to be shown of the item as it was.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn check(
        subject: Subject,
        attributes: Option<Attributes>,
        condition: Option<&str>,
        legacy: &LegacyWrite,
        mut expressions: ExpressionInputs,
        return_values: ReturnValues,
    ) -> Result<Self, ApiError> {
        let condition = ("ConditionExpression", condition);
        if !matches!(return_values, ReturnValues::None | ReturnValues::AllOld) {
            return Err(ApiError::validation(message::RETURN_VALUES_OLD_ONLY));
        }
        legacy.check_unmixed(&[condition])?;
        expressions.check_presence(&[condition])?;
        // What is expected without expressions is looked at before a key, and after an item.
        let expected = match subject {
            Subject::Key => legacy::expectation(condition.1, legacy, &mut expressions.placeholders)?,
            Subject::Item => None,
        };
        let attributes = checked(attributes)?;
        if subject == Subject::Item {
            check_size(&attributes)?;
        }
        let mut placeholders = expressions.register()?;
        let condition = match expected {
            Some(condition) => Some(condition),
            None => legacy::condition(condition.1, legacy, &mut placeholders)?,
        };
        check_all_used(&placeholders)?;
        Ok(Self {
            subject,
            attributes,
            condition,
            placeholders,
        })
    }

    /// A put of an item that comes without a request of its own.
    ///
    /// # Errors
    /// As [`Replacement::check`].
    pub(crate) fn of_item(
        item: Item,
        condition: Option<&str>,
        expressions: ExpressionInputs,
    ) -> Result<Self, ApiError> {
        let attributes = Some(Attributes { item, problem: None });
        let (legacy, returns) = (LegacyWrite::default(), ReturnValues::None);
        Self::check(
            Subject::Item,
            attributes,
            condition,
            &legacy,
            expressions,
            returns,
        )
    }

    fn needs(&self) -> Needs {
        if self.condition.is_some() {
            Needs::Condition
        } else {
            Needs::Nothing
        }
    }

    /// The item to be stored; `None` for a deletion.
    pub(crate) fn new_item(&self) -> Option<&Item> {
        (self.subject == Subject::Item).then_some(&self.attributes)
    }

    /// Key bytes in its table.
    ///
    /// # Errors
    /// [`KeyError`], which [`Replacement::refusal`] words.
    pub(crate) fn key(&self, table: &Table) -> Result<KeyBytes, KeyError> {
        match self.subject {
            Subject::Item => table.key_of_item(self.attributes.as_ref()),
            Subject::Key => table.key_of_key(self.attributes.as_ref()),
        }
    }

    /// The refusal of a key that is none of the table's.
    pub(crate) fn refusal(&self, error: &KeyError) -> ApiError {
        match self.subject {
            Subject::Item => message::item_key(error),
            Subject::Key => message::key(error),
        }
    }

    /// The command.
    pub(crate) fn command(&self, on_failure: OnFailure, returns_old: bool) -> Replace<'_> {
        Replace {
            new: self.new_item(),
            guard: Guard {
                condition: legacy::spelled(self.condition.as_ref()),
                placeholders: &self.placeholders,
                on_failure,
            },
            returns_old,
        }
    }
}

/// Validates and carries out a PutItem or a DeleteItem.
///
/// # Errors
/// Whatever the operation refuses with.
pub(super) async fn run(
    context: &Context,
    parameters: WriteParameters,
    expressions: ExpressionInputs,
    subject: Subject,
    attributes: Option<Attributes>,
) -> Result<WriteOutput, ApiError> {
    let member = if subject == Subject::Item { "item" } else { "key" };
    let choices = parameters.choices((member, attributes.as_ref()))?;
    let name = table_name::resolve(parameters.table_name.as_deref().unwrap_or_default())?;
    let (condition, legacy) = (parameters.condition.as_deref(), &parameters.legacy);
    let returns = choices.return_values;
    let replacement = Replacement::check(subject, attributes, condition, legacy, expressions, returns)?;
    let needs = replacement.needs();
    check_write(choices.level, needs)?;

    let table = context.table(name).await?;
    let key = replacement
        .key(&table)
        .map_err(|error| replacement.refusal(&error))?;
    if let Some(item) = replacement.new_item() {
        table.check_index_keys(item.as_ref())?;
    }
    let command = replacement.command(choices.on_failure(context), returns == ReturnValues::AllOld);
    let item = (replacement.attributes.as_ref(), &key);
    let written = choices.carry_out(context, &table, item, needs, &command).await?;
    Ok(written.named(parameters.table_name.as_deref()))
}

/// Takes an item or a key that came with a request. A missing one is a violated constraint, reported before.
///
/// # Errors
/// ValidationException for its first invalid value.
pub(super) fn checked(attributes: Option<Attributes>) -> Result<Item, ApiError> {
    match attributes {
        Some(Attributes {
            problem: Some(problem),
            ..
        }) => Err(ApiError::Validation(problem.to_string())),
        Some(Attributes { item, .. }) => Ok(item),
        None => Ok(Item::empty()),
    }
}

/// Checks that an item is small enough to be stored.
///
/// # Errors
/// ValidationException.
pub(super) fn check_size(item: &Item) -> Result<(), ApiError> {
    if item.as_ref().size() > ITEM_BYTES_MAX {
        return Err(ApiError::validation(message::ITEM_TOO_LARGE));
    }
    Ok(())
}
