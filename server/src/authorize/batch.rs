//! BatchGetItem and BatchWriteItem: one question for each table, with the keys and attributes of all its items.

use std::sync::Arc;

use super::facts::{Facts, Names, or_none, partitions};
use super::item::shown;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::catalog::Table;
use crate::operation::batch_get_item::{BatchGetItem, KeysOfTable};
use crate::operation::batch_write_item::{BatchWriteItem, WriteRequest};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

impl Authorize for BatchGetItem {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        for (name, wanted) in self.tables.iter().flatten() {
            let leading = |table: &Arc<Table>| partitions(table, wanted.keys.iter().flatten());
            let attributes = |_: &Arc<Table>| names(wanted).values();
            let facts = Facts {
                leading: Some(&leading),
                attributes: Some(&attributes),
                select: Some(shown(
                    wanted.projection.is_some() || wanted.attributes_to_get.is_some(),
                )),
                consumed_capacity: Some(or_none(self.consumed_capacity.as_ref())),
                ..Facts::default()
            };
            let table = Resource::Table(name);
            judge
                .require_on_items("dynamodb:BatchGetItem", table, &facts)
                .await?;
        }
        Ok(())
    }
}

fn names(wanted: &KeysOfTable) -> Names<'_> {
    let mut names = Names::default();
    for key in wanted.keys.iter().flatten() {
        names.item(Some(key));
    }
    names.expression(wanted.projection.as_deref(), &wanted.expressions);
    names.list(wanted.attributes_to_get.iter().flatten());
    names
}

impl Authorize for BatchWriteItem {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        for (name, writes) in self.tables.iter().flatten() {
            let leading = |table: &Arc<Table>| partitions(table, subjects(writes));
            let attributes = |_: &Arc<Table>| {
                let mut names = Names::default();
                for subject in subjects(writes) {
                    names.item(Some(subject));
                }
                names.values()
            };
            let facts = Facts {
                leading: Some(&leading),
                attributes: Some(&attributes),
                consumed_capacity: Some(or_none(self.consumed_capacity.as_ref())),
                ..Facts::default()
            };
            let table = Resource::Table(name);
            judge
                .require_on_items("dynamodb:BatchWriteItem", table, &facts)
                .await?;
        }
        Ok(())
    }
}

/// The items that are put and the keys of those that are deleted.
fn subjects(writes: &[WriteRequest]) -> impl Iterator<Item = &Attributes> {
    writes.iter().flat_map(|write| {
        let put = write.put.as_ref().and_then(|put| put.item.as_ref());
        let delete = write.delete.as_ref().and_then(|delete| delete.key.as_ref());
        put.into_iter().chain(delete)
    })
}
