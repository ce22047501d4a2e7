//! UpdateItem: changes attributes of an item in place, making the item when it is not there, if a condition holds.

use stator_cluster::{Applier, Cell, ConsistencyLevel, Verdict};
use stator_model::attribute::RawValue;
use stator_model::expression::{Condition, Update};
use stator_model::item::{Item, ItemRef};

use super::expressions::{ExpressionInputs, check_all_used, parse};
use super::item_command::{Guard, ITEM_BYTES_MAX, ReturnValues, Sizes, WriteOutput, WriteParameters, open};
use super::replacement::checked;
use super::{Context, Operation, table_name};
use crate::catalog::Table;
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
        let options = self.parameters.options(("key", self.key.as_ref()))?;
        let update = ("UpdateExpression", self.update.as_deref());
        let condition = ("ConditionExpression", self.parameters.condition.as_deref());
        let name = table_name::resolve(self.parameters.table_name.as_deref().unwrap_or_default())?;
        let mut placeholders = self.expressions.check(&[update, condition])?;
        let key = checked(self.key)?;
        let update = parse(update, &mut placeholders, Update::parse)?;
        let condition = parse(condition, &mut placeholders, Condition::parse)?;
        check_all_used(&placeholders)?;

        let table = context.catalog.table(name).ok_or_else(message::no_table)?;
        let key_bytes = table
            .key_of_key(key.as_ref())
            .map_err(|error| message::key(&error))?;
        check_key_stays(&table, update.as_ref())?;
        let guard = Guard {
            condition: condition.as_ref(),
            placeholders: &placeholders,
            on_failure: options.on_failure,
        };
        let command = Change {
            key: key.as_ref(),
            update: update.as_ref(),
            guard,
            return_values: options.return_values,
        };
        let changed = context
            .cluster
            .write(
                table.keyspace(),
                key_bytes.as_bytes(),
                ConsistencyLevel::Quorum,
                command,
            )
            .await??;
        changed.sizes.count(&table);
        Ok(WriteOutput {
            attributes: changed.attributes,
            consumed_capacity: changed.sizes.consumed(options.capacity, &table),
        })
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

struct Change<'a> {
    key: ItemRef<'a>,
    update: Option<&'a Update>,
    guard: Guard<'a>,
    return_values: ReturnValues,
}

/// What the change has done.
#[derive(Debug)]
struct Changed {
    attributes: Option<Item>,
    sizes: Sizes,
}

impl Change<'_> {
    /// The item after the change.
    fn apply(&self, old: Option<&Item>) -> Result<Item, ApiError> {
        let Some(update) = self.update else {
            // Without a clause the item is made when it is not there, and left as it is otherwise.
            return Ok(old.cloned().unwrap_or_else(|| self.key.to_owned()));
        };
        let key: Vec<(&[u8], RawValue<'_>)> = self.key.iter().collect();
        let new = update
            .apply(old.map(Item::as_ref), &key, self.guard.placeholders)
            .map_err(|error| ApiError::Validation(error.to_string()))?;
        if new.as_ref().size() > ITEM_BYTES_MAX {
            return Err(ApiError::validation(message::UPDATED_ITEM_TOO_LARGE));
        }
        Ok(new)
    }

    fn returned(&self, old: Option<&Item>, new: &Item) -> Option<Item> {
        let item = match self.return_values {
            ReturnValues::None => None,
            ReturnValues::AllOld => old.cloned(),
            ReturnValues::AllNew => Some(new.clone()),
            ReturnValues::UpdatedOld => old
                .zip(self.update)
                .map(|(old, update)| update.updated_old(old.as_ref())),
            ReturnValues::UpdatedNew => self.update.map(|update| update.updated_new(new.as_ref())),
        };
        item.filter(|item| !item.as_ref().attributes().is_empty())
    }

    fn change(&self, current: Option<&Cell>) -> Result<(Option<Item>, Item), ApiError> {
        let old = current.map(open).transpose()?;
        self.guard.check(old.as_ref())?;
        let new = self.apply(old.as_ref())?;
        Ok((old, new))
    }
}

impl Applier for Change<'_> {
    type Answer = Result<Changed, ApiError>;

    fn decide(self, current: Option<&Cell>) -> Verdict<Self::Answer> {
        let (old, new) = match self.change(current) {
            Ok(images) => images,
            Err(error) => return Verdict::Keep { answer: Err(error) },
        };
        let answer = Ok(Changed {
            attributes: self.returned(old.as_ref(), &new),
            sizes: Sizes::new(old.as_ref().map(Item::as_ref), Some(new.as_ref())),
        });
        if old.as_ref() == Some(&new) {
            Verdict::Keep { answer }
        } else {
            Verdict::Put {
                cell: new.stored().clone(),
                answer,
            }
        }
    }
}
