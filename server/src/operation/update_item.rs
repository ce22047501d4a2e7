//! UpdateItem: changes attributes of an item in place, making the item when it is not there, if a condition holds.

use super::expressions::ExpressionInputs;
use super::item_command::{WriteOutput, WriteParameters};
use super::modification::Modification;
use super::{Context, Operation, legacy, table_name};
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

    fn table(&self) -> Option<&str> {
        table_name::given(self.parameters.table_name.as_ref())
    }

    async fn run(self, context: &Context) -> Result<WriteOutput, ApiError> {
        let choices = self.parameters.choices(("key", self.key.as_ref()))?;
        let name = table_name::resolve(self.parameters.table_name.as_deref().unwrap_or_default())?;
        let (update, condition) = (self.update.as_deref(), self.parameters.condition.as_deref());
        let legacy = &self.parameters.legacy;
        let modification = Modification::check(self.key, update, condition, legacy, self.expressions)?;
        check_write(choices.level, Needs::ReadModifyWrite)?;

        let table = context.table(name).await?;
        let key_bytes = table
            .key_of_key(modification.key.as_ref())
            .map_err(|error| message::key(&error))?;
        modification.check_key_stays(&table)?;
        let command = modification.command(choices.on_failure(context), choices.return_values);
        let done = choices
            .carry_out(
                context,
                &table,
                (modification.key.as_ref(), &key_bytes),
                Needs::ReadModifyWrite,
                &command,
            )
            .await;
        let done = done.map(|written| written.named(self.parameters.table_name.as_deref()));
        if self.parameters.legacy.updates.is_empty() {
            done
        } else {
            done.map_err(legacy::update_refusal)
        }
    }
}
