//! Query and Scan, of tables and of indexes.

use std::sync::Arc;

use stator_iam::policy::Values;

use super::facts::{Facts, Names, or_none, scalar};
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::catalog::Table;
use crate::operation::page::PageParameters;
use crate::operation::query::Query;
use crate::operation::scan::Scan;
use crate::wire::error::ApiError;

impl Authorize for Query {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let this = &*self;
        let further = |table: &Arc<Table>, place: usize| match this.partition(table, place, scalar) {
            Some(value) => Values::Many(vec![value]),
            None => Values::Absent,
        };
        let leading = |table: &Arc<Table>| further(table, 0);
        let attributes = |table: &Arc<Table>| {
            let mut names = names(&this.page, table);
            names.expression(this.key_condition.as_deref(), &this.page.expressions);
            names.expected(this.page.legacy.key_conditions.iter().flatten());
            names.values()
        };
        let facts = Facts {
            leading: Some(&leading),
            further: Some(&further),
            attributes: Some(&attributes),
            ..facts(&this.page)
        };
        judge
            .require_on_items("dynamodb:Query", resource(&this.page), &facts)
            .await
    }
}

impl Authorize for Scan {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let page = &self.page;
        let attributes = |table: &Arc<Table>| names(page, table).values();
        let facts = Facts {
            attributes: Some(&attributes),
            ..facts(page)
        };
        judge
            .require_on_items("dynamodb:Scan", resource(page), &facts)
            .await
    }
}

fn resource(page: &PageParameters) -> Resource<'_> {
    Resource::of(page.table_name.as_deref(), page.index_name.as_deref())
}

fn facts(page: &PageParameters) -> Facts<'_> {
    // What is shown when the request does not say so. Source: API reference of Query, `Select`.
    let shown = match (
        page.projection.is_some() || page.legacy.attributes.is_some(),
        &page.index_name,
    ) {
        (true, _) => "SPECIFIC_ATTRIBUTES",
        (false, Some(_)) => "ALL_PROJECTED_ATTRIBUTES",
        (false, None) => "ALL_ATTRIBUTES",
    };
    Facts {
        select: Some(page.select.as_deref().unwrap_or(shown)),
        consumed_capacity: Some(or_none(page.consumed_capacity.as_ref())),
        ..Facts::default()
    }
}

fn names<'a>(page: &'a PageParameters, table: &Table) -> Names<'a> {
    let mut names = Names::default();
    names.keys(table, page.index_name.as_deref());
    names.item(page.start_key.as_ref());
    names.expression(page.projection.as_deref(), &page.expressions);
    names.expression(page.filter.as_deref(), &page.expressions);
    names.list(page.legacy.attributes.iter().flatten());
    names.expected(&page.legacy.filter);
    names
}
