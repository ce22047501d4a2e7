//! DeleteItem: removes an item, if a condition holds. Removing what is not there succeeds.

use stator_cluster::{Applier, Cell, ConsistencyLevel, Verdict};
use stator_model::expression::Condition;
use stator_model::item::Item;

use super::expressions::{ExpressionInputs, check_all_used, parse};
use super::item_command::{Guard, ReturnValues, Sizes, WriteOutput, WriteParameters, open};
use super::put_item::{Replaced, stored_item};
use super::{Context, Operation, table_name};
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct DeleteItem {
    pub(crate) parameters: WriteParameters,
    pub(crate) key: Option<Attributes>,
    pub(crate) expressions: ExpressionInputs,
}

impl Operation for DeleteItem {
    type Output = WriteOutput;

    async fn run(self, context: &Context) -> Result<WriteOutput, ApiError> {
        let options = self.parameters.options(("key", self.key.as_ref()))?;
        let condition = ("ConditionExpression", self.parameters.condition.as_deref());
        let name = table_name::resolve(self.parameters.table_name.as_deref().unwrap_or_default())?;
        let mut placeholders = self.expressions.check(&[condition])?;
        let key = stored_item(self.key)?;
        if !matches!(options.return_values, ReturnValues::None | ReturnValues::AllOld) {
            return Err(ApiError::validation(message::RETURN_VALUES_OLD_ONLY));
        }
        let condition = parse(condition, &mut placeholders, Condition::parse)?;
        check_all_used(&placeholders)?;

        let table = context.catalog.table(name).ok_or_else(message::no_table)?;
        let key = table
            .key_of_key(key.as_ref())
            .map_err(|error| message::key(&error))?;
        let guard = Guard {
            condition: condition.as_ref(),
            placeholders: &placeholders,
            on_failure: options.on_failure,
        };
        let command = Delete { guard };
        let removed = context
            .cluster
            .write(
                table.keyspace(),
                key.as_bytes(),
                ConsistencyLevel::Quorum,
                command,
            )
            .await??;
        removed.sizes.count(&table);
        Ok(WriteOutput {
            attributes: removed
                .old
                .filter(|_| options.return_values == ReturnValues::AllOld),
            consumed_capacity: removed.sizes.consumed(options.capacity, &table),
        })
    }
}

/// The command: the same for DeleteItem and for a deletion of BatchWriteItem.
pub(super) struct Delete<'a> {
    pub(super) guard: Guard<'a>,
}

impl Applier for Delete<'_> {
    type Answer = Result<Replaced, ApiError>;

    fn decide(self, current: Option<&Cell>) -> Verdict<Self::Answer> {
        let old = match current.map(open).transpose() {
            Ok(old) => old,
            Err(error) => return Verdict::Keep { answer: Err(error) },
        };
        if let Err(error) = self.guard.check(old.as_ref()) {
            return Verdict::Keep { answer: Err(error) };
        }
        let existed = old.is_some();
        let sizes = Sizes::new(old.as_ref().map(Item::as_ref), None);
        let answer = Ok(Replaced { old, sizes });
        if existed {
            Verdict::Delete { answer }
        } else {
            Verdict::Keep { answer }
        }
    }
}
