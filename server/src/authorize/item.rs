//! GetItem, PutItem, UpdateItem and DeleteItem.

use std::sync::Arc;

use super::facts::{Facts, Names, or_none, partitions};
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::catalog::Table;
use crate::operation::delete_item::DeleteItem;
use crate::operation::expressions::ExpressionInputs;
use crate::operation::get_item::GetItem;
use crate::operation::item_command::WriteParameters;
use crate::operation::put_item::PutItem;
use crate::operation::update_item::UpdateItem;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

impl Authorize for GetItem {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let this = &*self;
        let leading = |table: &Arc<Table>| partitions(table, this.key.as_ref());
        let attributes = |_: &Arc<Table>| {
            let mut names = Names::default();
            names.item(this.key.as_ref());
            names.expression(this.projection.as_deref(), &this.expressions);
            names.list(this.attributes_to_get.iter().flatten());
            names.values()
        };
        let facts = Facts {
            leading: Some(&leading),
            attributes: Some(&attributes),
            select: Some(shown(
                this.projection.is_some() || this.attributes_to_get.is_some(),
            )),
            consumed_capacity: Some(or_none(this.consumed_capacity.as_ref())),
            ..Facts::default()
        };
        let table = Resource::of(this.table_name.as_deref(), None);
        judge.require_on_items("dynamodb:GetItem", table, &facts).await
    }
}

impl Authorize for PutItem {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let write = Write {
            parameters: &self.parameters,
            subject: self.item.as_ref(),
            update: None,
            expressions: &self.expressions,
        };
        write.authorize("dynamodb:PutItem", judge).await
    }
}

impl Authorize for UpdateItem {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let write = Write {
            parameters: &self.parameters,
            subject: self.key.as_ref(),
            update: self.update.as_deref(),
            expressions: &self.expressions,
        };
        write.authorize("dynamodb:UpdateItem", judge).await
    }
}

impl Authorize for DeleteItem {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let write = Write {
            parameters: &self.parameters,
            subject: self.key.as_ref(),
            update: None,
            expressions: &self.expressions,
        };
        write.authorize("dynamodb:DeleteItem", judge).await
    }
}

/// What a read of items selects when it does not say so.
pub(super) fn shown(is_projected: bool) -> &'static str {
    if is_projected {
        "SPECIFIC_ATTRIBUTES"
    } else {
        "ALL_ATTRIBUTES"
    }
}

/// What the three writes of one item have in common.
struct Write<'a> {
    parameters: &'a WriteParameters,
    /// The item or the key.
    subject: Option<&'a Attributes>,
    update: Option<&'a str>,
    expressions: &'a ExpressionInputs,
}

impl Write<'_> {
    async fn authorize(&self, action: &str, judge: &Judge<'_>) -> Result<(), ApiError> {
        let parameters = self.parameters;
        let leading = |table: &Arc<Table>| partitions(table, self.subject);
        let attributes = |_: &Arc<Table>| {
            let mut names = Names::default();
            names.item(self.subject);
            names.expression(self.update, self.expressions);
            names.expression(parameters.condition.as_deref(), self.expressions);
            names.expected(&parameters.legacy.expected);
            names.updated(&parameters.legacy.updates);
            names.values()
        };
        let facts = Facts {
            leading: Some(&leading),
            attributes: Some(&attributes),
            return_values: Some(or_none(parameters.return_values.as_ref())),
            consumed_capacity: Some(or_none(parameters.consumed_capacity.as_ref())),
            ..Facts::default()
        };
        let table = Resource::of(parameters.table_name.as_deref(), None);
        judge.require_on_items(action, table, &facts).await
    }
}
