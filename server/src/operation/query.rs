//! Query: reads the items of one partition in the order of the sort key, or backward.

use std::ops::Bound;

use stator_cluster::{Bounds, Direction};
use stator_model::attribute::RawValue;
use stator_model::expression::key_condition::{KeyAttribute, KeyCondition, SortCondition};
use stator_model::expression::{Condition, Placeholders};
use stator_model::item::Item;
use stator_model::key::{KeySchema, after_prefix, partition_prefix};

use super::expressions::{parse, refusal};
use super::page::{PageOutput, PageParameters, read, table_of};
use super::{Context, Operation, table_name};
use crate::catalog::Table;
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// The name of the parameter, for sentences.
const KEY_CONDITION: &str = "KeyConditionExpression";

/// The request.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) page: PageParameters,
    pub(crate) key_condition: Option<String>,
    pub(crate) scan_index_forward: Option<bool>,
}

impl Operation for Query {
    type Output = PageOutput;

    async fn run(self, context: &Context) -> Result<PageOutput, ApiError> {
        let mut constraints = Constraints::default();
        let choices = self.page.constrain(&mut constraints);
        constraints.finish()?;
        let name = table_name::resolve(self.page.table_name.as_deref().unwrap_or_default())?.to_owned();
        let index = self.page.index_name.clone();
        let condition = (KEY_CONDITION, self.key_condition.as_deref());
        let (plan, condition) = self.page.plan(choices, &[condition], |placeholders| {
            parse(condition, placeholders, Condition::parse)
        })?;
        let condition = condition.ok_or_else(|| {
            ApiError::validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            )
        })?;

        let table = table_of(context, &name, index.as_deref()).await?;
        let condition = key_condition(&condition, &plan.placeholders, table.schema())?;
        check_filter(plan.filter.as_ref(), table.schema())?;
        let partition = scalar(condition.partition(&plan.placeholders));
        let partition = partition_prefix(table.seed(), &partition, 0);
        let mut bounds = bounds(&partition, &condition, &plan.placeholders);
        let forward = self.scan_index_forward.unwrap_or(true);
        if let Some(start_key) = &plan.start_key {
            start_after(&mut bounds, &table, &partition, start_key, forward)?;
        }
        let direction = if forward {
            Direction::Forward
        } else {
            Direction::Backward
        };
        read(context, &table, &plan, &bounds, direction).await
    }
}

fn key_condition(
    condition: &Condition,
    placeholders: &Placeholders,
    schema: &KeySchema,
) -> Result<KeyCondition, ApiError> {
    let key = |attribute: &'_ stator_model::key::KeyAttribute| (attribute.name.clone(), attribute.kind);
    let (partition, partition_kind) = key(&schema.partition);
    let sort = schema.sort.as_ref().map(key);
    KeyCondition::of_condition(
        condition,
        placeholders,
        KeyAttribute {
            name: &partition,
            kind: partition_kind,
        },
        sort.as_ref()
            .map(|(name, kind)| KeyAttribute { name, kind: *kind }),
    )
    .map_err(|error| refusal(KEY_CONDITION, &error))
}

/// What a key can decide belongs into the key condition.
fn check_filter(filter: Option<&Condition>, schema: &KeySchema) -> Result<(), ApiError> {
    let mut key = None;
    if let Some(filter) = filter {
        filter.for_each_path(&mut |path| {
            if schema.contains(path.top_level().as_bytes()) {
                key.get_or_insert(path.top_level());
            }
        });
    }
    match key {
        Some(name) => Err(ApiError::Validation(format!(
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: {name}"
        ))),
        None => Ok(()),
    }
}

/// The bytes that order a key value; the key condition has checked its type.
fn scalar(value: RawValue<'_>) -> Vec<u8> {
    value.scalar_bytes().unwrap_or_default().to_vec()
}

/// The rows that the condition asks for: one run of keys inside the partition.
fn bounds(prefix: &[u8], condition: &KeyCondition, placeholders: &Placeholders) -> Bounds {
    let row = |sort: Vec<u8>| [prefix, &sort].concat();
    let whole_start = || Bound::Included(prefix.to_vec());
    let whole_end = || after_prefix(prefix.to_vec()).map_or(Bound::Unbounded, Bound::Excluded);
    let (start, end) = match condition
        .sort(placeholders)
        .map(|condition| condition.map(scalar))
    {
        None => (whole_start(), whole_end()),
        Some(SortCondition::Equal(value)) => {
            let key = row(value);
            (Bound::Included(key.clone()), Bound::Included(key))
        }
        Some(SortCondition::Less(value)) => (whole_start(), Bound::Excluded(row(value))),
        Some(SortCondition::LessOrEqual(value)) => (whole_start(), Bound::Included(row(value))),
        Some(SortCondition::Greater(value)) => (Bound::Excluded(row(value)), whole_end()),
        Some(SortCondition::GreaterOrEqual(value)) => (Bound::Included(row(value)), whole_end()),
        Some(SortCondition::Between(lower, upper)) => {
            (Bound::Included(row(lower)), Bound::Included(row(upper)))
        }
        Some(SortCondition::BeginsWith(value)) => {
            let first = row(value);
            (
                Bound::Included(first.clone()),
                after_prefix(first).map_or(Bound::Unbounded, Bound::Excluded),
            )
        }
    };
    Bounds { start, end }
}

/// Moves the beginning of the range behind the last key of the page before.
fn start_after(
    bounds: &mut Bounds,
    table: &Table,
    partition: &[u8],
    key: &Item,
    forward: bool,
) -> Result<(), ApiError> {
    let bytes = table
        .key_of_key(key.as_ref())
        .map_err(|error| match message::key(&error) {
            ApiError::Validation(why) if why == message::KEY_MISMATCH => {
                ApiError::validation("The provided starting key is invalid")
            }
            ApiError::Validation(why) => {
                ApiError::Validation(format!("The provided starting key is invalid: {why}"))
            }
            other => other,
        })?
        .into_vec();
    let after_start = match &bounds.start {
        Bound::Included(start) => bytes >= *start,
        Bound::Excluded(start) => bytes > *start,
        Bound::Unbounded => true,
    };
    let before_end = match &bounds.end {
        Bound::Included(end) => bytes <= *end,
        Bound::Excluded(end) => bytes < *end,
        Bound::Unbounded => true,
    };
    if !(after_start && before_end) {
        // Which of the two parts of the key lies outside is told apart as DynamoDB does.
        let same_partition = bytes.starts_with(partition);
        return Err(ApiError::validation(if same_partition {
            "The provided starting key does not match the range key predicate"
        } else {
            "The provided starting key is outside query boundaries based on provided conditions"
        }));
    }
    if forward {
        bounds.start = Bound::Excluded(bytes);
    } else {
        bounds.end = Bound::Excluded(bytes);
    }
    Ok(())
}
