//! Query: reads the items of one partition in the order of the sort key, or backward.

use std::ops::Bound;
use std::sync::Arc;

use stator_cluster::{Bounds, Direction};
use stator_model::attribute::RawValue;
use stator_model::expression::key_condition::{KeyCondition, SortCondition};
use stator_model::expression::{Condition, ExpressionError};
use stator_model::item::Item;
use stator_model::key::{after_prefix, escape, escape_open};

use super::expressions::{parse, refusal};
use super::page::{PageOutput, PageParameters, PagePlan, Source, read};
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

    fn table(&self) -> Option<&str> {
        table_name::given(self.page.table_name.as_ref())
    }

    async fn run(mut self, context: &Context) -> Result<PageOutput, ApiError> {
        let mut constraints = Constraints::default();
        let choices = self.page.constrain("queryFilter", &mut constraints);
        constraints.finish()?;
        let name = table_name::resolve(self.page.table_name.as_deref().unwrap_or_default())?.to_owned();
        let index = self.page.index_name.clone();
        let condition = (KEY_CONDITION, self.key_condition.as_deref());
        if condition.1.is_none() && self.page.legacy.key_conditions.is_none() {
            return Err(ApiError::validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            ));
        }
        if condition.1.is_some() {
            // Empty, they count as absent beside an expression.
            self.page.legacy.key_conditions.take_if(|given| given.is_empty());
        }
        let is_legacy = !self.page.legacy.filter.is_empty();
        let (plan, condition) = self
            .page
            .plan(choices, "QueryFilter", &[condition], |placeholders| {
                parse(condition, placeholders, Condition::parse)
            })?;

        let source = Source::find(context, &name, index.as_deref()).await?;
        source.check_consistency(&plan)?;
        let condition = key_condition(condition.as_ref(), &plan, &source)?;
        check_filter(plan.filter.as_ref(), is_legacy, &source)?;
        let start_key = plan.start_key()?;
        let hash: Vec<Vec<u8>> = condition.hash(&plan.placeholders).map(scalar).collect();
        let hash: Vec<&[u8]> = hash.iter().map(Vec::as_slice).collect();
        let partition = source.prefix(&hash);
        let range = condition.range(&plan.placeholders);
        let mut bounds = bounds(
            partition.clone(),
            range.map(|condition| condition.map(scalar)).collect(),
            source.is_escaped(),
        );
        let forward = self.scan_index_forward.unwrap_or(true);
        if let Some(start_key) = start_key {
            start_after(&mut bounds, &source, &partition, start_key, forward)?;
        }
        let direction = if forward {
            Direction::Forward
        } else {
            Direction::Backward
        };
        read(context, &source, &plan, &bounds, direction).await
    }
}

impl Query {
    /// What `make` makes of the value that the request names for an attribute of the partition key, by its place; `None` when
    /// there are fewer, or the request will be refused.
    pub(crate) fn partition<T>(
        &self,
        table: &Arc<Table>,
        place: usize,
        make: impl FnOnce(RawValue<'_>) -> T,
    ) -> Option<T> {
        let source = Source::of(Arc::clone(table), self.page.index_name.as_deref())?;
        let mut placeholders = self.page.expressions.clone().register().ok()?;
        let condition = match &self.key_condition {
            Some(text) => Condition::parse(text, &mut placeholders).ok()?,
            None => {
                self.page
                    .legacy
                    .key_conditions(&mut placeholders)
                    .ok()??
                    .condition
            }
        };
        let (hash, range) = (source.hash(), source.range());
        let condition = KeyCondition::of_attributes(&condition, &placeholders, &hash, &range).ok()?;
        condition.hash(&placeholders).nth(place).map(make)
    }
}

/// What the request asks of the key: by an expression, or without one.
fn key_condition(
    expression: Option<&Condition>,
    plan: &PagePlan,
    source: &Source,
) -> Result<KeyCondition, ApiError> {
    let (hash, range) = (source.hash(), source.range());
    let condition = match (expression, &plan.key_conditions) {
        (Some(condition), _) => condition,
        (None, Some(conditions)) => {
            conditions.check(&hash, &range)?;
            &conditions.condition
        }
        (None, None) => return Err(ApiError::Internal("a query without a key condition".to_owned())),
    };
    KeyCondition::of_attributes(condition, &plan.placeholders, &hash, &range).map_err(|error| {
        match (&error, source.index()) {
            (ExpressionError::KeyEmpty { kind, name }, Some(index)) => {
                message::index::empty_key(kind, &index.definition.name, name)
            }
            _ => refusal(KEY_CONDITION, &error),
        }
    })
}

/// What a key can decide belongs into the key condition.
fn check_filter(filter: Option<&Condition>, is_legacy: bool, source: &Source) -> Result<(), ApiError> {
    let mut key = None;
    if let Some(filter) = filter {
        filter.for_each_path(&mut |path| {
            if source.is_key(path.top_level().as_bytes()) {
                key.get_or_insert(path.top_level());
            }
        });
    }
    match key {
        Some(name) => Err(ApiError::Validation(format!(
            "{} can only contain non-primary key attributes: Primary key attribute: {name}",
            if is_legacy {
                "QueryFilter"
            } else {
                "Filter Expression"
            }
        ))),
        None => Ok(()),
    }
}

/// The bytes that order a key value; the key condition has checked its type.
fn scalar(value: RawValue<'_>) -> Vec<u8> {
    value.scalar_bytes().unwrap_or_default().to_vec()
}

/// The rows that the conditions on the range attributes ask for: one run of keys inside the partition. All conditions but
/// the last are equalities.
pub(super) fn bounds(
    mut prefix: Vec<u8>,
    mut range: Vec<SortCondition<Vec<u8>>>,
    is_escaped: bool,
) -> Bounds {
    let last = range.pop();
    for condition in range {
        if let SortCondition::Equal(value) = condition {
            escape(&mut prefix, &value);
        }
    }
    // What every row with this value begins with; where nothing follows the value, the row itself.
    let row = |value: &[u8]| {
        let mut row = prefix.clone();
        if is_escaped {
            escape(&mut row, value);
        } else {
            row.extend_from_slice(value);
        }
        row
    };
    let behind = |row: Vec<u8>| after_prefix(row).map_or(Bound::Unbounded, Bound::Excluded);
    let through = |value: &[u8]| {
        let row = row(value);
        if is_escaped {
            behind(row)
        } else {
            Bound::Included(row)
        }
    };
    let beyond = |value: &[u8]| match through(value) {
        Bound::Excluded(next) => Bound::Included(next),
        Bound::Included(row) => Bound::Excluded(row),
        Bound::Unbounded => Bound::Unbounded,
    };
    let whole_start = || Bound::Included(prefix.clone());
    let whole_end = || behind(prefix.clone());
    let (start, end) = match last {
        None => (whole_start(), whole_end()),
        Some(SortCondition::Equal(value)) => (Bound::Included(row(&value)), through(&value)),
        Some(SortCondition::Less(value)) => (whole_start(), Bound::Excluded(row(&value))),
        Some(SortCondition::LessOrEqual(value)) => (whole_start(), through(&value)),
        Some(SortCondition::Greater(value)) => (beyond(&value), whole_end()),
        Some(SortCondition::GreaterOrEqual(value)) => (Bound::Included(row(&value)), whole_end()),
        Some(SortCondition::Between(lower, upper)) => (Bound::Included(row(&lower)), through(&upper)),
        Some(SortCondition::BeginsWith(value)) => {
            let mut first = prefix.clone();
            if is_escaped {
                escape_open(&mut first, &value);
            } else {
                first.extend_from_slice(&value);
            }
            (Bound::Included(first.clone()), behind(first))
        }
    };
    Bounds { start, end }
}

/// Moves the beginning of the range behind the last key of the page before.
pub(super) fn start_after(
    bounds: &mut Bounds,
    source: &Source,
    partition: &[u8],
    key: &Item,
    forward: bool,
) -> Result<(), ApiError> {
    let bytes = source
        .row_of_key(key.as_ref())
        .map_err(|error| match message::key(&error) {
            ApiError::Validation(why) if why == message::KEY_MISMATCH => {
                ApiError::validation("The provided starting key is invalid")
            }
            ApiError::Validation(why) => {
                ApiError::Validation(format!("The provided starting key is invalid: {why}"))
            }
            other => other,
        })?;
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
