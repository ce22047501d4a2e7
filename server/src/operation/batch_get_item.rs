//! BatchGetItem: reads up to 100 items of any tables by their keys.
//!
//! Everything is validated before anything is read. What would take the answer over 16 MB, and what its table
//! has no throughput for, comes back as unprocessed.

use std::collections::HashSet;
use std::sync::Arc;

use stator_cluster::ConsistencyLevel;
use stator_model::expression::{Placeholders, Projection};
use stator_model::item::Item;
use stator_model::key::KeyBytes;

use super::capacity::{CapacityDetail, ConsumedCapacity, read_units};
use super::expressions::{ExpressionInputs, check_all_used};
use super::item_command::open;
use super::legacy::read as legacy;
use super::replacement::checked;
use super::{Context, Operation, table_name};
use crate::catalog::Table;
use crate::consistency::{self, NamedLevels};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// Most keys in one request. Source: Amazon DynamoDB API Reference, "BatchGetItem".
const KEYS_MAX: usize = 100;
/// Largest sum of item sizes in one answer. Source: the same.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct BatchGetItem {
    /// Tables in the order in which they came.
    pub(crate) tables: Option<Vec<(String, KeysOfTable)>>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) levels: NamedLevels,
}

/// What is wanted of one table.
#[derive(Debug, Default)]
pub(crate) struct KeysOfTable {
    pub(crate) keys: Option<Vec<Attributes>>,
    pub(crate) consistent_read: Option<bool>,
    pub(crate) projection: Option<String>,
    pub(crate) attributes_to_get: Option<Vec<String>>,
    /// Names as they came, to be returned with unprocessed keys.
    pub(crate) names: Option<Vec<(String, String)>>,
    pub(crate) expressions: ExpressionInputs,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct BatchGetItemOutput {
    pub(crate) responses: Vec<(String, Vec<Item>)>,
    pub(crate) unprocessed: Vec<(String, UnprocessedKeys)>,
    pub(crate) consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// Keys that were not read, with what is needed to ask for them again.
#[derive(Debug)]
pub(crate) struct UnprocessedKeys {
    pub(crate) keys: Vec<Item>,
    pub(crate) consistent_read: Option<bool>,
    pub(crate) projection: Option<String>,
    pub(crate) attributes_to_get: Option<Vec<String>>,
    pub(crate) names: Option<Vec<(String, String)>>,
}

/// One table's part of the request, validated.
struct Plan {
    /// As the request named it.
    name: String,
    table: Arc<Table>,
    keys: Vec<(KeyBytes, Item)>,
    projection: Option<Projection>,
    level: ConsistencyLevel,
    again: UnprocessedKeys,
}

impl Operation for BatchGetItem {
    type Output = BatchGetItemOutput;

    async fn run(self, context: &Context) -> Result<BatchGetItemOutput, ApiError> {
        let (capacity, level) = self.constraints()?;
        let mut checked = Vec::new();
        for table in self.tables.unwrap_or_default().into_iter().map(check) {
            checked.push(table?);
        }
        let mut plans = Vec::new();
        for checked in checked {
            plans.push(resolve(context, checked, level).await?);
        }
        read(context, plans, capacity).await
    }
}

impl BatchGetItem {
    fn constraints(&self) -> Result<(CapacityDetail, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("requestItems", self.tables.as_ref());
        if let Some(tables) = &self.tables {
            constraints.length("requestItems", "{}", tables.len(), 1, KEYS_MAX);
            for (name, table) in tables {
                let member = format!("requestItems.{name}.member.keys");
                constraints.required(&member, table.keys.as_ref());
                if let Some(keys) = &table.keys {
                    constraints.length(&member, "[...]", keys.len(), 1, KEYS_MAX);
                }
                let member = format!("requestItems.{name}.member.attributesToGet");
                legacy::check_attributes(&member, table.attributes_to_get.as_deref(), &mut constraints);
            }
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        let keys = self
            .tables
            .iter()
            .flatten()
            .filter_map(|(_, table)| table.keys.as_ref())
            .map(Vec::len)
            .sum::<usize>();
        if keys > KEYS_MAX {
            return Err(ApiError::validation(
                "Too many items requested for the BatchGetItem call",
            ));
        }
        Ok((capacity.unwrap_or_default(), level))
    }
}

/// One table's part of the request as far as it can be checked without the table.
struct Checked {
    name: String,
    keys: Vec<Item>,
    projection: Option<Projection>,
    again: UnprocessedKeys,
}

fn check((name, wanted): (String, KeysOfTable)) -> Result<Checked, ApiError> {
    let parameter = ("ProjectionExpression", wanted.projection.as_deref());
    let attributes = wanted.attributes_to_get.as_deref();
    legacy::check_attributes_unmixed(attributes, parameter)?;
    let mut placeholders: Placeholders = wanted.expressions.check(&[parameter])?;
    let keys: Vec<Item> = wanted
        .keys
        .unwrap_or_default()
        .into_iter()
        .map(|key| checked(Some(key)))
        .collect::<Result<_, _>>()?;
    let projection = legacy::projection(parameter, attributes, &mut placeholders, legacy::duplicate_name)?;
    check_all_used(&placeholders)?;
    let again = UnprocessedKeys {
        keys: Vec::new(),
        consistent_read: wanted.consistent_read,
        projection: wanted.projection,
        attributes_to_get: wanted.attributes_to_get,
        names: wanted.names,
    };
    Ok(Checked {
        name,
        keys,
        projection,
        again,
    })
}

async fn resolve(
    context: &Context,
    checked: Checked,
    named: Option<ConsistencyLevel>,
) -> Result<Plan, ApiError> {
    let table = context.table(table_name::resolve(&checked.name)?).await?;
    let mut seen = HashSet::new();
    let mut keys = Vec::with_capacity(checked.keys.len());
    for key in checked.keys {
        let bytes = table
            .key_of_key(key.as_ref())
            .map_err(|error| message::key(&error))?;
        if !seen.insert(bytes.clone()) {
            return Err(ApiError::validation(message::DUPLICATE_KEYS));
        }
        keys.push((bytes, key));
    }
    let consistent = checked.again.consistent_read.unwrap_or_default();
    let level = consistency::of_read(named, table.level(), consistent);
    Ok(Plan {
        name: checked.name,
        table,
        keys,
        projection: checked.projection,
        level,
        again: checked.again,
    })
}

async fn read(
    context: &Context,
    plans: Vec<Plan>,
    capacity: CapacityDetail,
) -> Result<BatchGetItemOutput, ApiError> {
    let mut output = BatchGetItemOutput {
        responses: Vec::new(),
        unprocessed: Vec::new(),
        consumed_capacity: (capacity != CapacityDetail::None).then(Vec::new),
    };
    let (mut bytes, mut done, mut throttled) = (0, false, None);
    for mut plan in plans {
        let (mut items, mut units) = (Vec::new(), 0.0);
        for (key_bytes, key) in plan.keys {
            if bytes >= ANSWER_BYTES_MAX {
                plan.again.keys.push(key);
                continue;
            }
            let permit = match context.admit_read(&plan.table, None, read_units(0, plan.level)) {
                Ok(permit) => permit,
                Err(error) => {
                    throttled = Some(error);
                    plan.again.keys.push(key);
                    continue;
                }
            };
            done = true;
            let cell = context
                .cluster
                .read(plan.table.keyspace(), key_bytes.as_bytes(), plan.level)
                .await?;
            let item = cell.as_ref().map(open).transpose()?;
            let size = item.as_ref().map_or(0, |item| item.as_ref().size());
            if bytes + size > ANSWER_BYTES_MAX {
                bytes = ANSWER_BYTES_MAX;
                plan.again.keys.push(key);
                continue;
            }
            bytes += size;
            let of_item = read_units(size, plan.level);
            context.settle(&plan.table, permit, || of_item.into());
            units += of_item;
            items.extend(item.map(|item| match &plan.projection {
                Some(projection) => projection.apply(item.as_ref()),
                None => item,
            }));
        }
        if let Some(consumed) = &mut output.consumed_capacity {
            consumed.extend(capacity.report(&plan.name, units));
        }
        if !plan.again.keys.is_empty() {
            output.unprocessed.push((plan.name.clone(), plan.again));
        }
        output.responses.push((plan.name, items));
    }
    match throttled {
        // Of a request of which nothing is done a client hears with a pause.
        Some(error) if !done => Err(error),
        _ => Ok(output),
    }
}
