//! A condition on an item that a transaction does not write.

use stator_model::expression::{Condition, Placeholders};
use stator_model::item::Item;

use super::expressions::{ExpressionInputs, check_all_used, refusal};
use super::legacy;
use super::replacement::checked;
use crate::command::{Check, Guard, OnFailure};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// A check, validated as far as it can be without its table.
#[derive(Debug)]
pub(super) struct ConditionCheck {
    pub(super) key: Item,
    condition: (String, Condition),
    pub(super) placeholders: Placeholders,
}

impl ConditionCheck {
    /// Validates what a request states. That there is a condition is a constraint of the service model, checked before.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn check(
        key: Option<Attributes>,
        condition: &str,
        expressions: ExpressionInputs,
    ) -> Result<Self, ApiError> {
        let parameter = ("ConditionExpression", Some(condition));
        let mut placeholders = expressions.check(&[parameter])?;
        let key = checked(key)?;
        let meaning =
            Condition::parse(condition, &mut placeholders).map_err(|error| refusal(parameter.0, &error))?;
        check_all_used(&placeholders)?;
        Ok(Self {
            key,
            condition: (condition.to_owned(), meaning),
            placeholders,
        })
    }

    /// The command.
    pub(super) fn command(&self, on_failure: OnFailure) -> Check<'_> {
        Check {
            guard: Guard {
                condition: legacy::spelled(Some(&self.condition)),
                placeholders: &self.placeholders,
                on_failure,
            },
        }
    }
}
