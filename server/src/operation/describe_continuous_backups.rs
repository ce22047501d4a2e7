//! DescribeContinuousBackups: whether a table can be restored to any moment, and between which ones.
//!
//! A table that is there can be backed up at any time: `ContinuousBackupsStatus` is always `ENABLED`, as in DynamoDB.

use super::backup_description::check_is_there;
use super::{Context, Operation, table_name};
use crate::catalog::TableDefinition;
use crate::message::{self, backup};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeContinuousBackups {
    pub(crate) table_name: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeContinuousBackupsOutput {
    pub(crate) recovery: Option<PointInTimeRecovery>,
}

/// What is said of a table that can be restored to any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PointInTimeRecovery {
    pub(crate) period_days: u32,
    /// The first and the last moment, in milliseconds since the Unix epoch; `None` as long as its history is not complete.
    pub(crate) restorable_ms: Option<(i64, i64)>,
}

impl PointInTimeRecovery {
    /// `None` for a table without.
    pub(super) fn of(definition: &TableDefinition, now_ms: i64) -> Option<Self> {
        let history = definition.history.as_ref()?;
        Some(Self {
            period_days: history.period_days,
            restorable_ms: history.restorable(now_ms),
        })
    }
}

impl Operation for DescribeContinuousBackups {
    type Output = DescribeContinuousBackupsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let name = table_name::only(self.table_name)?;
        let table = context.catalog.latest(&name).await;
        let table = table.map_err(message::table::catalog)?;
        let table = table.ok_or_else(|| backup::no_table(&name))?;
        check_is_there(table.definition(), &name)?;
        Ok(DescribeContinuousBackupsOutput {
            recovery: PointInTimeRecovery::of(table.definition(), context.clock.now_ms()),
        })
    }
}
