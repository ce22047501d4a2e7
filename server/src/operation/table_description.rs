//! The description of a table that CreateTable, DescribeTable, UpdateTable and DeleteTable answer.

use stator_cluster::Tally;

use super::Context;
use super::throughput_change::decreases_today;
use crate::arn;
use crate::catalog::{Table, TableDefinition};

/// Where a table is in its life. Changes are complete when they are answered; the answer to a change itself names the
/// change, because clients wait for ACTIVE after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableStatus {
    Creating,
    Active,
    Updating,
    Deleting,
}

/// What a table and its indexes hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Tallies {
    table: Tally,
    /// In the order of the definition.
    indexes: Vec<Tally>,
}

impl Tallies {
    /// Of a table that is there.
    pub(super) async fn of(context: &Context, table: &Table) -> Self {
        let mut indexes = Vec::with_capacity(table.definition().indexes.len());
        for index in &table.definition().indexes {
            indexes.push(match context.cluster.keyspace(&index.keyspace()) {
                Some(keyspace) => context.cluster.tally(keyspace).await,
                None => Tally::default(),
            });
        }
        Self {
            table: context.cluster.tally(table.keyspace()).await,
            indexes,
        }
    }

    /// Of a table that is gone; its indexes are not told.
    pub(super) fn of_gone(table: Tally) -> Self {
        Self {
            table,
            indexes: Vec::new(),
        }
    }
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
    /// The same of each index, in the order of the definition.
    pub(crate) indexes: Vec<(i64, i64)>,
    /// How often the throughput was lowered since the day (UTC) began.
    pub(crate) decreases_today: u32,
    /// The key that it is encrypted with, if one of the account's was asked for.
    pub(crate) key_arn: Option<String>,
    /// What it was made of, if it was restored.
    pub(crate) source_arns: Option<SourceArns>,
}

/// What a table was restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceArns {
    /// `None` if it comes from a history.
    pub(crate) backup: Option<String>,
    pub(crate) table: String,
}

impl TableDescription {
    /// Describes a definition.
    pub(super) fn new(
        context: &Context,
        mut definition: TableDefinition,
        tallies: &Tallies,
        status: TableStatus,
    ) -> Self {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let pair = |tally: &Tally| (number(tally.items), number(tally.bytes));
        let (items, bytes) = pair(&tallies.table);
        let of_index = |place| tallies.indexes.get(place).map(pair).unwrap_or_default();
        let now_ms = context.clock.now_ms();
        for index in &mut definition.indexes {
            // What is stored is of the day on which it was lowered last.
            index.throughput.lowered_that_day = decreases_today(&index.throughput, now_ms);
        }
        Self {
            status,
            arn: arn::table(&context.region, &definition.name),
            items,
            bytes,
            indexes: (0..definition.indexes.len()).map(of_index).collect(),
            decreases_today: decreases_today(&definition.throughput, now_ms),
            key_arn: definition.account_key.then(|| arn::account_key(&context.region)),
            source_arns: definition.restore.as_ref().map(|restore| {
                let table = arn::table(&context.region, &restore.table);
                let backup = restore.history.is_none();
                SourceArns {
                    backup: backup.then(|| arn::backup(&table, &restore.backup)),
                    table,
                }
            }),
            definition,
        }
    }
}
