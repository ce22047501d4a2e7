//! A `SELECT` as queries of partitions, one after the other, or as a scan.
//!
//! A page ends at its limit or at its greatest size, as that of a query does, wherever that is in the row of partitions.

use std::ops::Bound;

use stator_cluster::{Bounds, ConsistencyLevel, Direction};
use stator_model::expression::{self, Placeholders};
use stator_model::item::Item;
use stator_model::partiql::{Condition, Order, Speller, Statement};

use super::ranges::{Partition, Ranges};
use super::token::NextToken;
use super::{PreparedStatement, meaning};
use crate::message;
use crate::operation::capacity::{CapacityDetail, ConsumedCapacity};
use crate::operation::page::{PAGE_BYTES_MAX, PageOutput, PagePlan, Source, read};
use crate::operation::query::start_after;
use crate::operation::scan::start;
use crate::operation::{Context, table_name};
use crate::wire::error::ApiError;

/// What a `SELECT` reads.
#[derive(Debug)]
pub(crate) struct TableRead {
    source: Source,
    plan: PagePlan,
    /// In the order in which they are read; `None` is a scan.
    partitions: Option<Vec<Partition>>,
    direction: Direction,
}

/// What a request says beside the statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadChoices {
    /// Most rows that are evaluated.
    pub(crate) limit: usize,
    pub(crate) capacity: CapacityDetail,
    /// The level that the request names.
    pub(crate) level: Option<ConsistencyLevel>,
}

/// One page.
#[derive(Debug)]
pub(crate) struct ReadOutput {
    pub(crate) items: Vec<Item>,
    /// Where the next page begins, if there may be one.
    pub(crate) next: Option<NextToken>,
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
}

/// In which order rows are read.
struct Directions {
    partitions_descend: bool,
    rows: Direction,
}

impl TableRead {
    /// What a prepared `SELECT` reads.
    ///
    /// # Errors
    /// ValidationException, ResourceNotFoundException, and ServiceUnavailable when the table is not known here and other
    /// nodes cannot be asked.
    pub(crate) async fn plan(
        context: &Context,
        prepared: PreparedStatement,
        choices: ReadChoices,
    ) -> Result<Self, ApiError> {
        let Statement::Select(select) = prepared.statement else {
            return Err(ApiError::Internal("only a SELECT is a read".to_owned()));
        };
        let name = table_name::resolve(&select.source.table)?;
        let source = Source::find(context, name, select.source.index.as_deref()).await?;
        let mut placeholders = prepared.placeholders;
        let condition = select.condition.as_ref();
        let condition = condition
            .map(|condition| spelled(condition, &mut placeholders, &prepared.parameters))
            .transpose()?;
        let is_conditional = condition.is_some();
        let Ranges {
            mut partitions,
            filter,
        } = Ranges::of(condition, &placeholders, &source)?;
        let directions = directions(&select.order, &source, is_conditional, partitions.is_some())?;
        if directions.partitions_descend
            && let Some(partitions) = &mut partitions
        {
            partitions.reverse();
        }
        let plan = PagePlan {
            named: source.table.name().to_owned(),
            limit: choices.limit,
            consistent: prepared.consistent,
            level: choices.level,
            select: None,
            count_only: false,
            capacity: choices.capacity,
            start_key: None,
            is_indexed: select.source.index.is_some(),
            projected: None,
            filter,
            projection: select.projection()?,
            key_conditions: None,
            placeholders,
        };
        Ok(Self {
            source,
            plan,
            partitions,
            direction: directions.rows,
        })
    }

    /// Reads a page, from the beginning or from where another one ended.
    ///
    /// # Errors
    /// ValidationException for a token of another statement, and failures of the cluster.
    pub(crate) async fn run(
        mut self,
        context: &Context,
        token: Option<NextToken>,
    ) -> Result<ReadOutput, ApiError> {
        let Some(partitions) = self.partitions.take() else {
            return self.scan(context, token).await;
        };
        let invalid = || ApiError::validation(message::statement::NEXT_TOKEN);
        let (first, mut key) = token.map_or((0, None), |token| (token.partition, token.key));
        let mut page = Collected::default();
        let mut numbered = (0_u32..)
            .zip(partitions)
            .skip_while(|(number, _)| *number < first);
        let mut following = numbered.next();
        if following.is_none() && first > 0 {
            return Err(invalid());
        }
        while let Some((number, partition)) = following {
            let Partition { prefix, mut bounds } = partition;
            if let Some(key) = key.take() {
                let forward = self.direction == Direction::Forward;
                start_after(&mut bounds, &self.source, &prefix, &key, forward).map_err(|_| invalid())?;
            }
            let output = read(context, &self.source, &self.plan, &bounds, self.direction).await?;
            self.plan.limit = self.plan.limit.saturating_sub(output.scanned_count);
            if let Some(key) = page.take(output) {
                return Ok(page.finish(Some(NextToken {
                    partition: number,
                    key: Some(key),
                })));
            }
            following = numbered.next();
            let is_full = self.plan.limit == 0 || page.bytes >= PAGE_BYTES_MAX;
            if let Some((number, _)) = following.as_ref().filter(|_| is_full) {
                let partition = *number;
                return Ok(page.finish(Some(NextToken { partition, key: None })));
            }
        }
        Ok(page.finish(None))
    }

    async fn scan(self, context: &Context, token: Option<NextToken>) -> Result<ReadOutput, ApiError> {
        let mut bounds = Bounds {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        };
        if let Some(NextToken { partition, key }) = token {
            let invalid = || ApiError::validation(message::statement::NEXT_TOKEN);
            let key = key.filter(|_| partition == 0).ok_or_else(invalid)?;
            bounds.start = Bound::Excluded(start(&self.source, &key, None).map_err(|_| invalid())?);
        }
        let mut page = Collected::default();
        let output = read(context, &self.source, &self.plan, &bounds, self.direction).await?;
        let key = page.take(output);
        Ok(page.finish(key.map(|key| NextToken {
            partition: 0,
            key: Some(key),
        })))
    }
}

/// A condition in the words of the expression language.
pub(super) fn spelled(
    condition: &Condition,
    placeholders: &mut Placeholders,
    parameters: &[usize],
) -> Result<expression::Condition, ApiError> {
    let text = Speller::new(placeholders, parameters).condition(condition);
    expression::Condition::parse_unbounded(&text?, placeholders).map_err(|error| meaning(&error))
}

/// The directions that `ORDER BY` asks for. Rows are in the order of their keys, so that only keys can be named.
fn directions(
    order: &[Order],
    source: &Source,
    is_conditional: bool,
    is_query: bool,
) -> Result<Directions, ApiError> {
    let mut directions = Directions {
        partitions_descend: false,
        rows: Direction::Forward,
    };
    if order.is_empty() {
        return Ok(directions);
    }
    if !is_conditional {
        return Err(ApiError::validation(message::statement::ORDER_WITHOUT_WHERE));
    }
    let (hash, range) = (source.hash(), source.range());
    let mut of_rows = None;
    for Order {
        attribute,
        descending,
    } in order
    {
        if range.iter().any(|key| key.name == attribute) {
            if *of_rows.get_or_insert(*descending) != *descending {
                return Err(ApiError::validation(message::statement::ORDERS_DIFFER));
            }
        } else if hash.iter().any(|key| key.name == attribute) {
            directions.partitions_descend = *descending;
        } else {
            return Err(message::statement::order_by_no_key(attribute));
        }
    }
    if !is_query {
        return Err(ApiError::validation(message::statement::ORDER_WITHOUT_PARTITION));
    }
    if of_rows == Some(true) {
        directions.rows = Direction::Backward;
    }
    Ok(directions)
}

/// What has been read so far.
#[derive(Default)]
struct Collected {
    items: Vec<Item>,
    bytes: usize,
    consumed_capacity: Option<ConsumedCapacity>,
}

impl Collected {
    /// Adds what a query has read, and gives the key at which it ended before its end.
    fn take(&mut self, output: PageOutput) -> Option<Item> {
        self.items.extend(output.items.into_iter().flatten());
        self.bytes += output.bytes;
        match (&mut self.consumed_capacity, output.consumed_capacity) {
            (Some(all), Some(consumed)) => all.cost.add(consumed.cost),
            (all, Some(consumed)) => *all = Some(consumed),
            (_, None) => {}
        }
        output.last_evaluated_key
    }

    fn finish(self, next: Option<NextToken>) -> ReadOutput {
        ReadOutput {
            items: self.items,
            next,
            consumed_capacity: self.consumed_capacity,
        }
    }
}
