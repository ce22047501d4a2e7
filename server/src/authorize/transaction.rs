//! TransactGetItems and TransactWriteItems: a question for each action, as the operation that it would be alone.

use std::sync::Arc;

use super::facts::{Facts, Names, or_none, partitions};
use super::item::shown;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::catalog::Table;
use crate::operation::transact_get_items::TransactGetItems;
use crate::operation::transact_write_items::{ActionInput, ActionKind, TransactWriteItems};
use crate::wire::error::ApiError;

impl Authorize for TransactGetItems {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        for get in self.items.iter().flatten().filter_map(|item| item.get.as_ref()) {
            let leading = |table: &Arc<Table>| partitions(table, get.key.as_ref());
            let attributes = |_: &Arc<Table>| {
                let mut names = Names::default();
                names.item(get.key.as_ref());
                names.expression(get.projection.as_deref(), &get.expressions);
                names.values()
            };
            let facts = Facts {
                leading: Some(&leading),
                attributes: Some(&attributes),
                select: Some(shown(get.projection.is_some())),
                consumed_capacity: Some(or_none(self.consumed_capacity.as_ref())),
                enclosing: Some("TransactGetItems"),
                ..Facts::default()
            };
            let table = Resource::of(get.table_name.as_deref(), None);
            judge.require_on_items("dynamodb:GetItem", table, &facts).await?;
        }
        Ok(())
    }
}

impl Authorize for TransactWriteItems {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        for (kind, input) in self.items.iter().flatten().flat_map(|item| &item.actions) {
            let action = match kind {
                ActionKind::ConditionCheck => "dynamodb:ConditionCheckItem",
                ActionKind::Put => "dynamodb:PutItem",
                ActionKind::Update => "dynamodb:UpdateItem",
                ActionKind::Delete => "dynamodb:DeleteItem",
            };
            let leading = |table: &Arc<Table>| partitions(table, input.subject.as_ref());
            let attributes = |_: &Arc<Table>| names(input).values();
            let facts = Facts {
                leading: Some(&leading),
                attributes: Some(&attributes),
                // The only values that an action of a transaction returns.
                return_values: Some(or_none(input.on_failure.as_ref())),
                consumed_capacity: Some(or_none(self.consumed_capacity.as_ref())),
                enclosing: Some("TransactWriteItems"),
                ..Facts::default()
            };
            let table = Resource::of(input.table_name.as_deref(), None);
            judge.require_on_items(action, table, &facts).await?;
        }
        Ok(())
    }
}

fn names(input: &ActionInput) -> Names<'_> {
    let mut names = Names::default();
    names.item(input.subject.as_ref());
    names.expression(input.update.as_deref(), &input.expressions);
    names.expression(input.condition.as_deref(), &input.expressions);
    names
}
