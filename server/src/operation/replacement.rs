//! Replacing an item as a whole: what PutItem, DeleteItem and BatchWriteItem have in common.
//!
//! A put replaces the current item by another, a deletion by none; everything else about the two is the same.

use stator_model::item::Item;

use super::expressions::{ExpressionInputs, check_all_used};
use super::item_command::{WriteOutput, WriteParameters};
use super::{Context, legacy, table_name};
use crate::command::{Guard, ITEM_BYTES_MAX, Replace, ReturnValues};
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
    let condition = ("ConditionExpression", parameters.condition.as_deref());
    let name = table_name::resolve(parameters.table_name.as_deref().unwrap_or_default())?;
    parameters.legacy.check_unmixed(&[condition])?;
    let mut placeholders = expressions.check(&[condition])?;
    let attributes = checked(attributes)?;
    if !matches!(choices.return_values, ReturnValues::None | ReturnValues::AllOld) {
        return Err(ApiError::validation(message::RETURN_VALUES_OLD_ONLY));
    }
    if subject == Subject::Item {
        check_size(&attributes)?;
    }
    let condition = legacy::condition(condition.1, &parameters.legacy, &mut placeholders)?;
    check_all_used(&placeholders)?;
    let needs = if condition.is_some() {
        Needs::Condition
    } else {
        Needs::Nothing
    };
    check_write(choices.level, needs)?;

    let table = context.table(name).await?;
    let (key, new) = match subject {
        Subject::Item => (table.key_of_item(attributes.as_ref()), Some(&attributes)),
        Subject::Key => (table.key_of_key(attributes.as_ref()), None),
    };
    let key = key.map_err(|error| match subject {
        Subject::Item => message::item_key(&error),
        Subject::Key => message::key(&error),
    })?;
    if let Some(item) = new {
        table.check_index_keys(item.as_ref())?;
    }
    let command = Replace {
        new,
        guard: Guard {
            condition: legacy::spelled(condition.as_ref()),
            placeholders: &placeholders,
            on_failure: choices.on_failure,
        },
        returns_old: choices.return_values == ReturnValues::AllOld,
    };
    choices.carry_out(context, &table, &key, needs, &command).await
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
