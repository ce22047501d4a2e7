//! The description of a table that CreateTable, DescribeTable, UpdateTable and DeleteTable answer.

use stator_cluster::Tally;

use super::Context;
use crate::arn;
use crate::catalog::TableDefinition;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Where a table is in its life. Changes are complete when they are answered; the answer to a change itself names the
/// change, because clients wait for ACTIVE after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableStatus {
    Creating,
    Active,
    Updating,
    Deleting,
}

/// A table as the API describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableDescription {
    pub(crate) definition: TableDefinition,
    pub(crate) status: TableStatus,
    pub(crate) arn: String,
    /// Number of items and their size in bytes.
    pub(crate) items: i64,
    pub(crate) bytes: i64,
    /// How often the throughput was lowered since the day (UTC) began.
    pub(crate) decreases_today: u32,
}

impl TableDescription {
    /// Describes a definition; `tally` is what the table holds.
    pub(super) fn new(
        context: &Context,
        definition: TableDefinition,
        tally: Tally,
        status: TableStatus,
    ) -> Self {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            status,
            arn: arn::table(&context.region, &definition.name),
            items: number(tally.items),
            bytes: number(tally.bytes),
            decreases_today: decreases_today(&definition, context.clock.now_ms()),
            definition,
        }
    }
}

/// How often the throughput was lowered on the day (UTC) of `now_ms`.
pub(super) fn decreases_today(definition: &TableDefinition, now_ms: i64) -> u32 {
    let lowered_today = definition
        .throughput
        .lowered_at_ms
        .is_some_and(|lowered_ms| lowered_ms.div_euclid(DAY_MS) == now_ms.div_euclid(DAY_MS));
    if lowered_today {
        definition.throughput.lowered_that_day
    } else {
        0
    }
}
