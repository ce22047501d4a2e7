//! What the commands on one item share: opening the cell, the condition, the outcome of a write.

use stator_cluster::Cell;
use stator_model::expression::{Condition, Placeholders};
use stator_model::item::{Item, ItemRef};

use super::capacity::{CapacityDetail, ConsumedCapacity, write_units};
use super::table_name;
use crate::catalog::Table;
use crate::constraint::{Constraints, ModelEnum};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// Largest item in bytes. Source: Amazon DynamoDB Developer Guide, "Quotas: item size".
pub(crate) const ITEM_BYTES_MAX: usize = 400 * 1024;

/// `ReturnValues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReturnValues {
    AllNew,
    UpdatedOld,
    AllOld,
    #[default]
    None,
    UpdatedNew,
}

impl ModelEnum for ReturnValues {
    const NAMES: &'static [&'static str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ALL_NEW" => Self::AllNew,
            "UPDATED_OLD" => Self::UpdatedOld,
            "ALL_OLD" => Self::AllOld,
            "NONE" => Self::None,
            "UPDATED_NEW" => Self::UpdatedNew,
            _ => return None,
        })
    }
}

/// `ReturnValuesOnConditionCheckFailure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnFailure {
    AllOld,
    #[default]
    None,
}

impl ModelEnum for OnFailure {
    const NAMES: &'static [&'static str] = &["ALL_OLD", "NONE"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ALL_OLD" => Self::AllOld,
            "NONE" => Self::None,
            _ => return None,
        })
    }
}

/// `ReturnItemCollectionMetrics`. Tables without local secondary indexes have no item collections to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CollectionMetrics {
    Size,
    None,
}

impl ModelEnum for CollectionMetrics {
    const NAMES: &'static [&'static str] = &["SIZE", "NONE"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "SIZE" => Self::Size,
            "NONE" => Self::None,
            _ => return None,
        })
    }
}

/// Parameters that PutItem, UpdateItem and DeleteItem share, as they came.
#[derive(Debug, Default)]
pub(crate) struct WriteParameters {
    pub(crate) table_name: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) return_values: Option<String>,
    pub(crate) on_failure: Option<String>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) collection_metrics: Option<String>,
    /// `ConditionalOperator` of the API before expressions.
    pub(crate) conditional_operator: Option<String>,
}

/// The same, understood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteOptions {
    pub(crate) return_values: ReturnValues,
    pub(crate) on_failure: OnFailure,
    pub(crate) capacity: CapacityDetail,
}

impl WriteParameters {
    /// Checks the constraints of the service model; `subject` is the member with the item or key.
    ///
    /// # Errors
    /// ValidationException with all violations.
    pub(crate) fn options(
        &self,
        subject: (&'static str, Option<&Attributes>),
    ) -> Result<WriteOptions, ApiError> {
        let mut constraints = Constraints::default();
        table_name::check(&mut constraints, self.table_name.as_ref());
        constraints.required(subject.0, subject.1);
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let return_values = constraints.one_of("returnValues", self.return_values.as_deref());
        constraints
            .one_of::<CollectionMetrics>("returnItemCollectionMetrics", self.collection_metrics.as_deref());
        let on_failure =
            constraints.one_of("returnValuesOnConditionCheckFailure", self.on_failure.as_deref());
        constraints
            .one_of::<ConditionalOperator>("conditionalOperator", self.conditional_operator.as_deref());
        constraints.finish()?;
        Ok(WriteOptions {
            return_values: return_values.unwrap_or_default(),
            on_failure: on_failure.unwrap_or_default(),
            capacity: capacity.unwrap_or_default(),
        })
    }
}

/// `ConditionalOperator` of the API before expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConditionalOperator {
    Or,
    And,
}

impl ModelEnum for ConditionalOperator {
    const NAMES: &'static [&'static str] = &["OR", "AND"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "OR" => Self::Or,
            "AND" => Self::And,
            _ => return None,
        })
    }
}

/// Opens a cell as an item.
///
/// # Errors
/// An internal error when the cell is no item, which checksums make all but impossible.
pub(crate) fn open(cell: &Cell) -> Result<Item, ApiError> {
    Item::from_stored(cell.clone()).map_err(|error| ApiError::Internal(error.to_string()))
}

/// A condition with what it was parsed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard<'a> {
    pub(crate) condition: Option<&'a Condition>,
    pub(crate) placeholders: &'a Placeholders,
    pub(crate) on_failure: OnFailure,
}

impl Guard<'_> {
    /// Checks the condition on the current item.
    ///
    /// # Errors
    /// ConditionalCheckFailedException, with the item if that was asked for.
    pub(crate) fn check(&self, current: Option<&Item>) -> Result<(), ApiError> {
        let Some(condition) = self.condition else {
            return Ok(());
        };
        if condition.evaluate(current.map(Item::as_ref), self.placeholders) {
            return Ok(());
        }
        let shown = current.filter(|_| self.on_failure == OnFailure::AllOld).cloned();
        Err(ApiError::ConditionalCheckFailed(shown))
    }
}

/// Sizes before and after a write that stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    before: Option<usize>,
    after: Option<usize>,
}

impl Sizes {
    pub(crate) fn new(before: Option<ItemRef<'_>>, after: Option<ItemRef<'_>>) -> Self {
        Self {
            before: before.map(ItemRef::size),
            after: after.map(ItemRef::size),
        }
    }

    /// Adds the difference to the table's tally.
    pub(crate) fn count(self, table: &Table) {
        let items = i64::from(self.after.is_some()) - i64::from(self.before.is_some());
        let bytes = |size: Option<usize>| i64::try_from(size.unwrap_or(0)).unwrap_or(i64::MAX);
        table.tally().add(items, bytes(self.after) - bytes(self.before));
    }

    /// Write units of the write.
    pub(crate) fn units(self) -> f64 {
        write_units(self.before.unwrap_or(0), self.after.unwrap_or(0))
    }

    /// The cost as far as the client wants to hear of it.
    pub(crate) fn consumed(self, detail: CapacityDetail, table: &Table) -> Option<ConsumedCapacity> {
        detail.report(table.name(), self.units())
    }
}

/// What PutItem, UpdateItem and DeleteItem answer.
#[derive(Debug, Default)]
pub(crate) struct WriteOutput {
    /// `Attributes`, when something is to be returned.
    pub(crate) attributes: Option<Item>,
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
}
