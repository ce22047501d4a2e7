//! Changing an item in place: what UpdateItem and TransactWriteItems have in common.

use stator_model::expression::update::Action;
use stator_model::expression::{Condition, Placeholders, Update};
use stator_model::item::Item;

use super::expressions::{ExpressionInputs, check_all_used};
use super::legacy;
use super::legacy::{LegacyWrite, Stated};
use super::replacement::checked;
use crate::catalog::Table;
use crate::command::{Change, Guard, OnFailure, ReturnValues};
use crate::wire::decode::attribute::{Attributes, NAME_BYTES_MAX, Problem};
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
        check_names(update.as_ref().map(|(_, update)| update))?;
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

/// Checks that the update gives nothing a name that is too long. Names stand in placeholders, so that a text is no bound for
/// them.
///
/// Source: the service's answers in ExtendDB/extenddb issue 365.
///
/// # Errors
/// ValidationException.
fn check_names(update: Option<&Update>) -> Result<(), ApiError> {
    let actions = update.into_iter().flat_map(Update::actions);
    let mut targets = actions.filter_map(|action| match action {
        Action::Set { target, .. } | Action::Add { target, .. } => Some(target),
        Action::Remove { .. } | Action::Delete { .. } => None,
    });
    let is_long = |name: &str| name.len() > NAME_BYTES_MAX;
    if targets.any(|target| target.names().any(is_long)) {
        return Err(ApiError::Validation(Problem::LongName.to_string()));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use stator_model::number::Number;

    use super::*;
    use crate::operation::expressions::ValueInput;

    /// What an update is refused with in which `#n` stands for a name of `length` bytes, and `:v` for 1.
    fn refusal(text: &str, length: usize) -> Option<ApiError> {
        let mut expressions = ExpressionInputs::default();
        let start = expressions.placeholders.values_writer().len();
        expressions
            .placeholders
            .values_writer()
            .number(&Number::from(1_u32));
        expressions.values = Some(vec![ValueInput {
            placeholder: ":v".to_owned(),
            start,
            problem: None,
        }]);
        expressions.names = Some(vec![("#n".to_owned(), "x".repeat(length))]);
        Modification::check(None, Some(text), None, &LegacyWrite::default(), expressions).err()
    }

    #[test]
    fn an_attribute_gets_no_name_of_64_kilobytes() {
        let long = ApiError::validation("Attribute name is too large, must be less than 65536 bytes");
        for text in [
            "SET #n = :v",
            "SET m.#n = :v",
            "SET a = :v, m.b[1].#n = :v",
            "ADD #n :v",
        ] {
            assert_eq!(refusal(text, NAME_BYTES_MAX), None, "{text}");
            assert_eq!(refusal(text, NAME_BYTES_MAX + 1).as_ref(), Some(&long), "{text}");
        }
        assert_eq!(refusal("SET a = if_not_exists(#n, :v)", NAME_BYTES_MAX + 1), None);
    }
}
