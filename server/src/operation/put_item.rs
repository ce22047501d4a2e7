//! PutItem: replaces an item as a whole, if a condition holds.

use stator_cluster::{Applier, Cell, ConsistencyLevel, Verdict};
use stator_model::expression::Condition;
use stator_model::item::Item;

use super::expressions::{ExpressionInputs, check_all_used, parse};
use super::item_command::{Guard, ITEM_BYTES_MAX, ReturnValues, Sizes, WriteOutput, WriteParameters, open};
use super::{Context, Operation, table_name};
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct PutItem {
    pub(crate) parameters: WriteParameters,
    pub(crate) item: Option<Attributes>,
    pub(crate) expressions: ExpressionInputs,
}

impl Operation for PutItem {
    type Output = WriteOutput;

    async fn run(self, context: &Context) -> Result<WriteOutput, ApiError> {
        let options = self.parameters.options(("item", self.item.as_ref()))?;
        let condition = ("ConditionExpression", self.parameters.condition.as_deref());
        let name = table_name::resolve(self.parameters.table_name.as_deref().unwrap_or_default())?;
        let mut placeholders = self.expressions.check(&[condition])?;
        let item = stored_item(self.item)?;
        if !matches!(options.return_values, ReturnValues::None | ReturnValues::AllOld) {
            return Err(ApiError::validation(message::RETURN_VALUES_OLD_ONLY));
        }
        if item.as_ref().size() > ITEM_BYTES_MAX {
            return Err(ApiError::validation(message::ITEM_TOO_LARGE));
        }
        let condition = parse(condition, &mut placeholders, Condition::parse)?;
        check_all_used(&placeholders)?;

        let table = context.catalog.table(name).ok_or_else(message::no_table)?;
        let key = table
            .key_of_item(item.as_ref())
            .map_err(|error| message::item_key(&error))?;
        let guard = Guard {
            condition: condition.as_ref(),
            placeholders: &placeholders,
            on_failure: options.on_failure,
        };
        let command = Put { item: &item, guard };
        let written = context
            .cluster
            .write(
                table.keyspace(),
                key.as_bytes(),
                ConsistencyLevel::Quorum,
                command,
            )
            .await??;
        written.sizes.count(&table);
        Ok(WriteOutput {
            attributes: written
                .old
                .filter(|_| options.return_values == ReturnValues::AllOld),
            consumed_capacity: written.sizes.consumed(options.capacity, &table),
        })
    }
}

/// Takes an item that came with a request.
///
/// # Errors
/// ValidationException for its first invalid value.
pub(super) fn stored_item(item: Option<Attributes>) -> Result<Item, ApiError> {
    // A missing member is a violated constraint, which is reported before.
    let Some(attributes) = item else {
        return Ok(Item::empty());
    };
    match attributes.problem {
        Some(problem) => Err(ApiError::Validation(problem.to_string())),
        None => Ok(attributes.item),
    }
}

/// The command: the same for PutItem and for a put of BatchWriteItem.
pub(super) struct Put<'a> {
    pub(super) item: &'a Item,
    pub(super) guard: Guard<'a>,
}

/// What a put or a deletion has replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) old: Option<Item>,
    pub(super) sizes: Sizes,
}

impl Applier for Put<'_> {
    type Answer = Result<Replaced, ApiError>;

    fn decide(self, current: Option<&Cell>) -> Verdict<Self::Answer> {
        let old = match current.map(open).transpose() {
            Ok(old) => old,
            Err(error) => return Verdict::Keep { answer: Err(error) },
        };
        if let Err(error) = self.guard.check(old.as_ref()) {
            return Verdict::Keep { answer: Err(error) };
        }
        let sizes = Sizes::new(old.as_ref().map(Item::as_ref), Some(self.item.as_ref()));
        let unchanged = old.as_ref() == Some(self.item);
        let answer = Ok(Replaced { old, sizes });
        if unchanged {
            Verdict::Keep { answer }
        } else {
            Verdict::Put {
                cell: self.item.stored().clone(),
                answer,
            }
        }
    }
}
