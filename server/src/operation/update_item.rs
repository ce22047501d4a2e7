//! UpdateItem: changes attributes of an item in place, making the item when it is not there, if a condition holds.

use stator_model::expression::Update;

use super::expressions::{ExpressionInputs, check_all_used};
use super::item_command::{WriteOutput, WriteParameters};
use super::replacement::checked;
use super::{Context, Operation, legacy, table_name};
use crate::catalog::Table;
use crate::command::{Change, Guard};
use crate::consistency::{Needs, check_write};
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct UpdateItem {
    pub(crate) parameters: WriteParameters,
    pub(crate) key: Option<Attributes>,
    pub(crate) update: Option<String>,
    pub(crate) expressions: ExpressionInputs,
}

impl Operation for UpdateItem {
    type Output = WriteOutput;

    async fn run(self, context: &Context) -> Result<WriteOutput, ApiError> {
        let choices = self.parameters.choices(("key", self.key.as_ref()))?;
        let update = ("UpdateExpression", self.update.as_deref());
        let condition = ("ConditionExpression", self.parameters.condition.as_deref());
        let name = table_name::resolve(self.parameters.table_name.as_deref().unwrap_or_default())?;
        self.parameters.legacy.check_unmixed(&[update, condition])?;
        let mut placeholders = self.expressions.check(&[update, condition])?;
        let key = checked(self.key)?;
        let update = legacy::update(update.1, &self.parameters.legacy, &mut placeholders)?;
        let condition = legacy::condition(condition.1, &self.parameters.legacy, &mut placeholders)?;
        check_all_used(&placeholders)?;
        check_write(choices.level, Needs::ReadModifyWrite)?;

        let table = context.table(name).await?;
        let key_bytes = table
            .key_of_key(key.as_ref())
            .map_err(|error| message::key(&error))?;
        check_key_stays(&table, update.as_ref().map(|(_, update)| update))?;
        let command = Change {
            key: &key,
            update: legacy::spelled(update.as_ref()),
            guard: Guard {
                condition: legacy::spelled(condition.as_ref()),
                placeholders: &placeholders,
                on_failure: choices.on_failure,
            },
            return_values: choices.return_values,
        };
        let done = choices
            .carry_out(context, &table, &key_bytes, Needs::ReadModifyWrite, &command)
            .await;
        if self.parameters.legacy.updates.is_empty() {
            done
        } else {
            done.map_err(legacy::update_refusal)
        }
    }
}

/// An item cannot move to another key.
fn check_key_stays(table: &Table, update: Option<&Update>) -> Result<(), ApiError> {
    let mut touched = update.into_iter().flat_map(Update::touched_top_level);
    match touched.find(|name| table.schema().contains(name.as_bytes())) {
        Some(name) => Err(ApiError::Validation(format!(
            "One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
        ))),
        None => Ok(()),
    }
}
