//! What the operations on one item share: parameters, opening the cell, the outcome of a write.

use stator_cluster::{Applier, Cell, ConsistencyLevel, Invocation, WriteOptions};
use stator_model::item::{Item, ItemRef};
use stator_model::key::KeyBytes;

use super::capacity::{CapacityDetail, ConsumedCapacity, Cost, write_units};
use super::item_collection::{CollectionMetrics, ItemCollection};
use super::legacy::LegacyWrite;
use super::{Context, table_name};
use crate::catalog::Table;
use crate::command::{self, OnFailure, Refusal, ReturnValues, Sizes, WriteAnswer};
use crate::consistency::{self, NamedLevels, Needs};
use crate::constraint::Constraints;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// Parameters that PutItem, UpdateItem and DeleteItem share, as they came.
#[derive(Debug, Default)]
pub(crate) struct WriteParameters {
    pub(crate) table_name: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) return_values: Option<String>,
    pub(crate) on_failure: Option<String>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) collection_metrics: Option<String>,
    /// What the request states without expressions.
    pub(crate) legacy: LegacyWrite,
    pub(crate) levels: NamedLevels,
    /// Which call the request is a try of.
    pub(crate) invocation: Option<Invocation>,
}

/// The same, understood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteChoices {
    pub(crate) return_values: ReturnValues,
    pub(crate) on_failure: OnFailure,
    pub(crate) capacity: CapacityDetail,
    pub(crate) collection: CollectionMetrics,
    /// The level that the request names.
    pub(crate) level: Option<ConsistencyLevel>,
    pub(crate) invocation: Option<Invocation>,
}

impl WriteParameters {
    /// Checks the constraints of the service model; `subject` is the member with the item or key.
    ///
    /// # Errors
    /// ValidationException with all violations.
    pub(crate) fn choices(
        &self,
        subject: (&'static str, Option<&Attributes>),
    ) -> Result<WriteChoices, ApiError> {
        let mut constraints = Constraints::default();
        table_name::check(&mut constraints, self.table_name.as_ref());
        constraints.required(subject.0, subject.1);
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let return_values = constraints.one_of("returnValues", self.return_values.as_deref());
        let collection =
            constraints.one_of("returnItemCollectionMetrics", self.collection_metrics.as_deref());
        let on_failure =
            constraints.one_of("returnValuesOnConditionCheckFailure", self.on_failure.as_deref());
        self.legacy.check(&mut constraints);
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok(WriteChoices {
            return_values: return_values.unwrap_or_default(),
            on_failure: on_failure.unwrap_or_default(),
            capacity: capacity.unwrap_or_default(),
            collection: collection.unwrap_or_default(),
            level,
            invocation: self.invocation,
        })
    }
}

impl WriteChoices {
    /// What a command is to answer when its condition is false: where throughput is held, what that costs has to be known.
    pub(crate) fn on_failure(&self, context: &Context) -> OnFailure {
        match context.throttle {
            Some(_) => OnFailure::AllOld,
            None => self.on_failure,
        }
    }

    /// Carries out a command on the item of a key, and builds the answer. `item` has at least the key; of a condition, the command
    /// asks for [`WriteChoices::on_failure`].
    ///
    /// # Errors
    /// What the command refuses with, and failures of the cluster.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        table: &Table,
        (item, key): (ItemRef<'_>, &KeyBytes),
        needs: Needs,
        command: &impl Applier<Answer = WriteAnswer>,
    ) -> Result<WriteOutput, ApiError> {
        let options = WriteOptions {
            level: consistency::of_write(self.level, table.level(), needs),
            invocation: self.invocation,
        };
        let permit = context.admit_write(table, Some(item))?;
        let written = context
            .cluster
            .write(table.keyspace(), key.as_bytes(), options, command);
        let WriteAnswer(answer) = written.await?;
        let done = match answer {
            Err(Refusal::ConditionFailed(item)) => {
                context.settle(table, permit, || Cost::of_failed_condition(item.as_ref()));
                let shown = item.filter(|_| self.on_failure == OnFailure::AllOld);
                return Err(Refusal::ConditionFailed(shown).into());
            }
            answer => answer?,
        };
        context.settle(table, permit, || Cost::of_write(&done));
        let collection = match self.collection {
            CollectionMetrics::Size => {
                ItemCollection::read(context, table, (item, key), options.level).await?
            }
            CollectionMetrics::None => None,
        };
        Ok(WriteOutput {
            consumed_capacity: self.capacity.report(table.name(), Cost::of_write(&done)),
            attributes: done.attributes,
            collection,
        })
    }
}

/// Opens a cell as an item.
///
/// # Errors
/// An internal error when the cell is no item, which checksums make all but impossible.
pub(crate) fn open(cell: &Cell) -> Result<Item, ApiError> {
    Ok(command::open(cell)?)
}

/// What the sizes before and after a write that stands come to.
impl Sizes {
    /// Write units of the write.
    pub(crate) fn units(self) -> f64 {
        write_units(self.before.unwrap_or(0), self.after.unwrap_or(0))
    }
}

/// What PutItem, UpdateItem and DeleteItem answer.
#[derive(Debug, Default)]
pub(crate) struct WriteOutput {
    /// `Attributes`, when something is to be returned.
    pub(crate) attributes: Option<Item>,
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
    /// `ItemCollectionMetrics`, when it was asked for and there is one.
    pub(crate) collection: Option<ItemCollection>,
}

impl WriteOutput {
    /// The same, with the table as the request names it.
    pub(crate) fn named(mut self, table: Option<&str>) -> Self {
        if let (Some(consumed), Some(table)) = (&mut self.consumed_capacity, table) {
            table.clone_into(&mut consumed.table);
        }
        self
    }
}
