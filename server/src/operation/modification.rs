//! Changing an item in place: what UpdateItem and TransactWriteItems have in common.

use stator_model::expression::{Condition, Placeholders, Update};
use stator_model::item::Item;

use super::expressions::{ExpressionInputs, check_all_used};
use super::legacy;
use super::legacy::{LegacyWrite, Stated};
use super::replacement::checked;
use crate::catalog::Table;
use crate::command::{Change, Guard, OnFailure, ReturnValues};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// An update, validated as far as it can be without its table.
#[derive(Debug)]
pub(super) struct Modification {
    pub(super) key: Item,
    update: Stated<Update>,
    condition: Stated<Condition>,
    pub(super) placeholders: Placeholders,
}

impl Modification {
    /// Validates what a request states: the key, what becomes of its item, and the condition.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn check(
        key: Option<Attributes>,
        update: Option<&str>,
        condition: Option<&str>,
        legacy: &LegacyWrite,
        mut expressions: ExpressionInputs,
    ) -> Result<Self, ApiError> {
        let parameters = [("UpdateExpression", update), ("ConditionExpression", condition)];
        legacy.check_unmixed(&parameters)?;
        expressions.check_presence(&parameters)?;
        // What is expected without expressions is looked at before the key.
        let expected = legacy::expectation(condition.or(update), legacy, &mut expressions.placeholders)?;
        let key = checked(key)?;
        let mut placeholders = expressions.register()?;
        let update = legacy::update(update, legacy, &mut placeholders)?;
        let condition = match expected {
            Some(condition) => Some(condition),
            None => legacy::condition(condition, legacy, &mut placeholders)?,
        };
        check_all_used(&placeholders)?;
        Ok(Self {
            key,
            update,
            condition,
            placeholders,
        })
    }

    /// An item cannot move to another key.
    ///
    /// # Errors
    /// ValidationException when the update touches an attribute of the table's key.
    pub(super) fn check_key_stays(&self, table: &Table) -> Result<(), ApiError> {
        check_key_stays(table, self.update.as_ref().map(|(_, update)| update))
    }

    /// The command.
    pub(super) fn command(&self, on_failure: OnFailure, return_values: ReturnValues) -> Change<'_> {
        Change {
            key: &self.key,
            update: legacy::spelled(self.update.as_ref()),
            guard: Guard {
                condition: legacy::spelled(self.condition.as_ref()),
                placeholders: &self.placeholders,
                on_failure,
            },
            return_values,
        }
    }
}

/// An item cannot move to another key.
///
/// # Errors
/// ValidationException when the update touches an attribute of the table's key.
pub(super) fn check_key_stays(table: &Table, update: Option<&Update>) -> Result<(), ApiError> {
    let mut touched = update.into_iter().flat_map(Update::touched_top_level);
    match touched.find(|name| table.schema().contains(name.as_bytes())) {
        Some(name) => Err(ApiError::Validation(format!(
            "One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
        ))),
        None => Ok(()),
    }
}
