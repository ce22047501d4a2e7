//! Pages: what Query and Scan share. Rows come in order; the page decides which are returned and where it ends.
//!
//! A page ends before the row that would take it over 1 MB, or after `Limit` rows; both count before the filter and the
//! projection. Source: Amazon DynamoDB Developer Guide, "Paginating table query results".

mod source;

use std::ops::ControlFlow;

use futures_util::future::join_all;
use stator_cluster::{Bounds, ConsistencyLevel, Direction, Row};
use stator_model::expression::{Condition, Placeholders, Projection};
use stator_model::item::Item;

pub(super) use self::source::Source;
use super::capacity::{CapacityDetail, ConsumedCapacity, Cost, read_units};
use super::expressions::{ExpressionInputs, Parameter};
use super::index_settings::check_name;
use super::item_command::open;
use super::legacy::read::{self, KeyConditions, LegacyRead};
use super::{Context, table_name};
use crate::consistency::{self, NamedLevels};
use crate::constraint::{Constraints, ModelEnum};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// Largest sum of item sizes that one page evaluates.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// `Select`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Select {
    SpecificAttributes,
    Count,
    AllAttributes,
    AllProjectedAttributes,
}

impl ModelEnum for Select {
    const NAMES: &'static [&'static str] = &[
        "SPECIFIC_ATTRIBUTES",
        "COUNT",
        "ALL_ATTRIBUTES",
        "ALL_PROJECTED_ATTRIBUTES",
    ];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "SPECIFIC_ATTRIBUTES" => Self::SpecificAttributes,
            "COUNT" => Self::Count,
            "ALL_ATTRIBUTES" => Self::AllAttributes,
            "ALL_PROJECTED_ATTRIBUTES" => Self::AllProjectedAttributes,
            _ => return None,
        })
    }
}

/// Parameters that Query and Scan share, as they came.
#[derive(Debug, Default)]
pub(crate) struct PageParameters {
    pub(crate) table_name: Option<String>,
    pub(crate) index_name: Option<String>,
    pub(crate) limit: Option<i32>,
    pub(crate) select: Option<String>,
    pub(crate) consistent_read: Option<bool>,
    pub(crate) levels: NamedLevels,
    pub(crate) start_key: Option<Attributes>,
    pub(crate) filter: Option<String>,
    pub(crate) projection: Option<String>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) expressions: ExpressionInputs,
    /// What the request states without expressions.
    pub(crate) legacy: LegacyRead,
}

/// The answer of Query and Scan.
#[derive(Debug)]
pub(crate) struct PageOutput {
    /// None when only the count was asked for.
    pub(crate) items: Option<Vec<Item>>,
    pub(crate) count: usize,
    pub(crate) scanned_count: usize,
    /// Sum of the sizes of the rows that were evaluated.
    pub(crate) bytes: usize,
    pub(crate) last_evaluated_key: Option<Item>,
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
}

/// What of the parameters is one of a few, understood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices {
    pub(super) select: Option<Select>,
    pub(super) capacity: CapacityDetail,
    /// The level that the request names.
    pub(super) level: Option<ConsistencyLevel>,
}

/// The same parameters, understood.
#[derive(Debug)]
pub(super) struct PagePlan {
    /// The table, as the request names it.
    pub(super) named: String,
    pub(super) limit: usize,
    /// `ConsistentRead`.
    pub(super) consistent: bool,
    /// The level that the request names.
    pub(super) level: Option<ConsistencyLevel>,
    pub(super) select: Option<Select>,
    pub(super) count_only: bool,
    pub(super) capacity: CapacityDetail,
    pub(super) start_key: Option<Attributes>,
    /// Whether an index is read.
    pub(super) is_indexed: bool,
    /// The parameter that says which attributes are wanted.
    pub(super) projected: Option<&'static str>,
    pub(super) filter: Option<Condition>,
    pub(super) projection: Option<Projection>,
    pub(super) key_conditions: Option<KeyConditions>,
    pub(super) placeholders: Placeholders,
}

impl PageParameters {
    /// The constraints of the service model that both operations have; `filter` is the member with the filter from before
    /// expressions.
    pub(super) fn constrain(&self, filter: &str, constraints: &mut Constraints) -> Choices {
        table_name::check(constraints, self.table_name.as_ref());
        if let Some(name) = &self.index_name {
            check_name(constraints, "indexName", name);
        }
        constraints.at_least("limit", self.limit, 1);
        let select = constraints.one_of("select", self.select.as_deref());
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        self.legacy.check(filter, constraints);
        Choices {
            select,
            capacity: capacity.unwrap_or_default(),
            level: self.levels.check(constraints),
        }
    }

    /// Checks everything that needs no table; `own` are the operation's own expressions, parsed by `parse_own`, and
    /// `legacy_filter` is its parameter with the filter from before expressions.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn plan<T>(
        self,
        choices: Choices,
        legacy_filter: &'static str,
        own: &[Parameter<'_>],
        parse_own: impl FnOnce(&mut Placeholders) -> Result<T, ApiError>,
    ) -> Result<(PagePlan, T), ApiError> {
        let filter = ("FilterExpression", self.filter.as_deref());
        let projection = ("ProjectionExpression", self.projection.as_deref());
        let all: Vec<Parameter<'_>> = [projection, filter]
            .into_iter()
            .chain(own.iter().copied())
            .collect();
        self.legacy.check_unmixed(legacy_filter, &all)?;
        let mut placeholders = self.expressions.check(&all)?;
        let attributes = self.legacy.attributes.as_deref();
        let projected = projection
            .1
            .and(Some(projection.0))
            .or(attributes.and(Some("AttributesToGet")));
        let key_conditions = self.legacy.key_conditions(&mut placeholders)?;
        let filter = self.legacy.filter(filter, &mut placeholders)?;
        let projection = read::projection(projection, attributes, &mut placeholders, read::same_name)?;
        let own = parse_own(&mut placeholders)?;
        super::expressions::check_all_used(&placeholders)?;
        let plan = PagePlan {
            named: self.table_name.unwrap_or_default(),
            limit: self
                .limit
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX),
            consistent: self.consistent_read.unwrap_or_default(),
            select: choices.select,
            count_only: choices.select == Some(Select::Count),
            capacity: choices.capacity,
            level: choices.level,
            start_key: self.start_key,
            is_indexed: self.index_name.is_some(),
            projected,
            filter,
            projection,
            key_conditions,
            placeholders,
        };
        Ok((plan, own))
    }
}

impl PagePlan {
    /// What is checked when the expressions are known to fit what is read: the values of the start key, which it returns,
    /// and `Select`.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn start_key(&self) -> Result<Option<&Item>, ApiError> {
        if let Some(Attributes {
            problem: Some(problem),
            ..
        }) = &self.start_key
        {
            return Err(ApiError::Validation(problem.to_string()));
        }
        check_select(self.select, self.projected, self.is_indexed)?;
        Ok(self.start_key.as_ref().map(|attributes| &attributes.item))
    }
}

/// Which attributes can be selected together with which parameters.
fn check_select(select: Option<Select>, projected: Option<&str>, index: bool) -> Result<(), ApiError> {
    let beside = match select {
        Some(Select::AllAttributes) => "ALL_ATTRIBUTES",
        Some(Select::AllProjectedAttributes) => "ALL_PROJECTED_ATTRIBUTES",
        Some(Select::Count) => "only the Count",
        Some(Select::SpecificAttributes) | None => "",
    };
    match (select, projected) {
        (Some(Select::SpecificAttributes), None) => Err(ApiError::validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )),
        (_, Some(parameter)) if !beside.is_empty() => Err(ApiError::Validation(format!(
            "Cannot specify the {parameter} when choosing to get {beside}"
        ))),
        (Some(Select::AllProjectedAttributes), _) if !index => Err(ApiError::validation(
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        )),
        _ => Ok(()),
    }
}

/// A page being filled.
struct Page<'a> {
    plan: &'a PagePlan,
    /// Whether rows are kept as they are, to be completed before they are filtered.
    is_raw: bool,
    items: Vec<Item>,
    count: usize,
    scanned: usize,
    bytes: usize,
    /// The row that was evaluated last, unless it is the last of `items`.
    last: Option<Item>,
    /// Whether rows may follow the last one.
    more: bool,
    failure: Option<ApiError>,
}

impl Page<'_> {
    fn visit(&mut self, row: &Row<'_>) -> ControlFlow<()> {
        let (item, size) = match Item::measured(row.to_cell()) {
            Ok(measured) => measured,
            Err(error) => {
                self.failure = Some(ApiError::Internal(error.to_string()));
                return ControlFlow::Break(());
            }
        };
        if self.scanned > 0 && self.bytes + size > PAGE_BYTES_MAX {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.scanned += 1;
        self.bytes += size;
        self.last = if self.is_raw {
            self.items.push(item);
            None
        } else {
            self.take(item)
        };
        if self.scanned == self.plan.limit {
            self.more = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Page<'_> {
    /// Takes an item if it passes the filter. Gives it back when it is not returned as it is.
    fn take(&mut self, item: Item) -> Option<Item> {
        let passes = match &self.plan.filter {
            Some(filter) => filter.evaluate(Some(item.as_ref()), &self.plan.placeholders),
            None => true,
        };
        if !passes {
            return Some(item);
        }
        self.count += 1;
        match &self.plan.projection {
            _ if self.plan.count_only => Some(item),
            Some(projection) => {
                self.items.push(projection.apply(item.as_ref()));
                Some(item)
            }
            None => {
                self.items.push(item);
                None
            }
        }
    }

    /// The row that was evaluated last, if others may follow it.
    fn last(&mut self) -> Option<Item> {
        let last = self.last.take().or_else(|| self.items.last().cloned());
        last.filter(|_| self.more)
    }

    /// Completes the rows of an index with the items that they are of. Gives the units of it.
    async fn fetch(
        &mut self,
        context: &Context,
        source: &Source,
        level: ConsistencyLevel,
    ) -> Result<f64, ApiError> {
        let table = &source.table;
        let rows = std::mem::take(&mut self.items);
        let reads = rows.iter().map(async |row| {
            let key = table.schema().project(row.as_ref());
            let key = table.key_of_key(key.as_ref());
            let key = key.map_err(|error| ApiError::Internal(error.to_string()))?;
            let cell = context
                .cluster
                .read(table.keyspace(), key.as_bytes(), level)
                .await?;
            cell.as_ref().map(open).transpose()
        });
        let mut units = 0.0;
        for (row, item) in rows.iter().zip(join_all(reads).await) {
            // An item that went between the two reads is shown as its row was.
            let item = item?.unwrap_or_else(|| row.clone());
            units += read_units(item.as_ref().size(), level);
            self.take(item);
        }
        Ok(units)
    }
}

/// Reads one page.
///
/// # Errors
/// ValidationException for what an index cannot give, and when the cluster cannot read.
pub(super) async fn read(
    context: &Context,
    source: &Source,
    plan: &PagePlan,
    bounds: &Bounds,
    direction: Direction,
) -> Result<PageOutput, ApiError> {
    let is_raw = source.fetches(plan)?;
    let mut page = Page {
        plan,
        is_raw,
        items: Vec::new(),
        count: 0,
        scanned: 0,
        bytes: 0,
        last: None,
        more: false,
        failure: None,
    };
    let keyspace = source.keyspace(context)?;
    let table = &source.table;
    let level = consistency::of_read(plan.level, table.level(), plan.consistent);
    let permit = context.admit_read(table, source.index(), read_units(0, level))?;
    context
        .cluster
        .range(keyspace, bounds, direction, level, |row| page.visit(row))
        .await?;
    if let Some(failure) = page.failure {
        return Err(failure);
    }
    // Before the rows of an index give way to the items that they are of.
    let last = page.last();
    let units = read_units(page.bytes, level);
    let mut cost = match source.index() {
        None => Cost::from(units),
        Some(index) => Cost::of_index(index.keys.kind(), &index.definition.name, units),
    };
    if is_raw {
        cost.table += page.fetch(context, source, level).await?;
    }
    context.settle(table, permit, || cost.clone());
    Ok(PageOutput {
        items: (!plan.count_only).then_some(page.items),
        count: page.count,
        scanned_count: page.scanned,
        bytes: page.bytes,
        last_evaluated_key: last.map(|item| source.key_of_row(item.as_ref())),
        consumed_capacity: plan.capacity.report(&plan.named, cost),
    })
}
