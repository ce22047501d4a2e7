//! BatchExecuteStatement: up to 25 statements of PartiQL, which all read or all write, each one item.
//!
//! Every statement succeeds or fails on its own. They are planned together and then go out together, so that writes share a
//! sync of the log.

use std::collections::HashSet;

use futures_util::future::join_all;
use stator_cluster::{ConsistencyLevel, Invocation};
use stator_model::item::Item;
use stator_model::partiql::Statement;

use super::capacity::{CapacityDetail, ConsumedCapacity, Cost};
use super::item_collection::CollectionMetrics;
use super::item_command::WriteChoices;
use super::statement::{PointRead, PreparedStatement, StatementInput, TableWrite};
use super::{Context, Operation};
use crate::catalog::Table;
use crate::command::{OnFailure, ReturnValues};
use crate::consistency::{self, NamedLevels, check_write};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// Most statements in one request. Source: Amazon DynamoDB API Reference, "BatchExecuteStatement".
const STATEMENTS_MAX: usize = 25;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct BatchExecuteStatement {
    pub(crate) statements: Option<Vec<StatementInput>>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) levels: NamedLevels,
    /// Which call the request is a try of.
    pub(crate) invocation: Option<Invocation>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct BatchExecuteStatementOutput {
    /// One for each statement, in their order.
    pub(crate) responses: Vec<StatementResponse>,
    pub(crate) consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// What has become of a statement.
#[derive(Debug)]
pub(crate) struct StatementResponse {
    /// The table, once it is known.
    pub(crate) table: Option<String>,
    /// The item that was read or is returned by a write, or why there is none.
    pub(crate) result: Result<Option<Item>, ApiError>,
}

/// A statement that can be carried out.
enum Planned {
    Read(PointRead),
    Write(Box<TableWrite>),
}

/// What the statements have in common.
#[derive(Clone, Copy)]
struct Common {
    capacity: CapacityDetail,
    level: Option<ConsistencyLevel>,
    invocation: Option<Invocation>,
}

impl Planned {
    fn table(&self) -> &Table {
        match self {
            Self::Read(read) => &read.table,
            Self::Write(write) => &write.table,
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Self::Read(read) => read.key_bytes.as_bytes(),
            Self::Write(write) => write.key_bytes.as_bytes(),
        }
    }

    async fn plan(context: &Context, prepared: PreparedStatement, common: Common) -> Result<Self, ApiError> {
        if prepared.is_read() {
            let read = PointRead::plan(context, "BatchExecuteStatement", prepared).await;
            return read.map(Self::Read);
        }
        if matches!(prepared.statement, Statement::Exists(_)) {
            return Err(ApiError::validation(
                message::statement::EXISTS_OUTSIDE_TRANSACTION,
            ));
        }
        let write = TableWrite::plan(context, prepared).await?;
        check_write(common.level, write.needs())?;
        Ok(Self::Write(Box::new(write)))
    }

    /// Carries the statement out, as the one at `place`. Gives the item and the cost.
    async fn carry_out(
        &self,
        context: &Context,
        common: Common,
        place: u32,
    ) -> Result<(Option<Item>, Cost), ApiError> {
        match self {
            Self::Read(read) => {
                let level = consistency::of_read(common.level, read.table.level(), read.consistent);
                let (item, units) = read.read(context, level).await?;
                Ok((item, units.into()))
            }
            Self::Write(write) => {
                let choices = WriteChoices {
                    // These two are the statement's.
                    return_values: ReturnValues::None,
                    on_failure: OnFailure::None,
                    // PartiQL has no such parameter.
                    collection: CollectionMetrics::None,
                    capacity: common.capacity,
                    level: common.level,
                    invocation: common.invocation.map(|id| id.of_part(place)),
                };
                let written = write.carry_out(context, choices).await?;
                let consumed = written.consumed_capacity.map(|consumed| consumed.cost);
                Ok((written.attributes, consumed.unwrap_or_default()))
            }
        }
    }
}

impl Operation for BatchExecuteStatement {
    type Output = BatchExecuteStatementOutput;

    async fn run(self, context: &Context) -> Result<BatchExecuteStatementOutput, ApiError> {
        let common = self.constraints()?;
        let statements = self.statements.unwrap_or_default();
        for statement in &statements {
            statement.check_values()?;
        }
        let prepared: Vec<_> = statements.into_iter().map(StatementInput::prepare).collect();
        check_alike(&prepared)?;
        let mut plans = Vec::with_capacity(prepared.len());
        for prepared in prepared {
            plans.push(match prepared {
                Ok(prepared) => Planned::plan(context, prepared, common).await,
                Err(error) => Err(error),
            });
        }
        check_distinct(&plans)?;
        let carried_out = (0_u32..).zip(&plans).map(async |(place, plan)| match plan {
            Ok(planned) => planned.carry_out(context, common, place).await,
            Err(error) => Err(error.clone()),
        });
        let results = join_all(carried_out).await;
        check_results(&results)?;
        let mut output = BatchExecuteStatementOutput {
            responses: Vec::with_capacity(plans.len()),
            consumed_capacity: (common.capacity != CapacityDetail::None).then(Vec::new),
        };
        for (plan, result) in plans.iter().zip(results) {
            let table = plan.as_ref().ok().map(Planned::table);
            let result = result.map(|(item, cost)| {
                if let (Some(table), Some(consumed)) = (table, &mut output.consumed_capacity) {
                    add(consumed, common.capacity, table.name(), cost);
                }
                item
            });
            output.responses.push(StatementResponse {
                table: table.map(|table| table.name().to_owned()),
                result,
            });
        }
        Ok(output)
    }
}

impl BatchExecuteStatement {
    fn constraints(&self) -> Result<Common, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("statements", self.statements.as_ref());
        if let Some(statements) = &self.statements {
            constraints.length("statements", "[...]", statements.len(), 1, STATEMENTS_MAX);
            for (place, statement) in (1..).zip(statements) {
                statement.check(&mut constraints, &format!("statements.{place}.member."));
            }
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok(Common {
            capacity: capacity.unwrap_or_default(),
            level,
            invocation: self.invocation,
        })
    }
}

/// All statements read or all write. Those that are none do not count.
fn check_alike(prepared: &[Result<PreparedStatement, ApiError>]) -> Result<(), ApiError> {
    let mut kinds = prepared.iter().flatten().map(PreparedStatement::is_read);
    let first = kinds.next();
    if kinds.any(|kind| Some(kind) != first) {
        return Err(ApiError::validation(message::statement::MIXED_BATCH));
    }
    Ok(())
}

/// No two statements are about one item.
fn check_distinct(plans: &[Result<Planned, ApiError>]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    for planned in plans.iter().flatten() {
        if !seen.insert((planned.table().name(), planned.key())) {
            return Err(ApiError::validation(message::DUPLICATE_KEYS));
        }
    }
    Ok(())
}

/// A request of which nothing was done, because the node cannot serve, fails as a whole: a client meets that with a pause
/// and another try.
fn check_results<T>(results: &[Result<T, ApiError>]) -> Result<(), ApiError> {
    let unavailable = |result: &Result<T, ApiError>| matches!(result, Err(ApiError::Unavailable(_)));
    match results.first() {
        Some(Err(error)) if results.iter().all(unavailable) => Err(error.clone()),
        _ => Ok(()),
    }
}

/// Adds a cost to that of the same table.
fn add(consumed: &mut Vec<ConsumedCapacity>, capacity: CapacityDetail, table: &str, cost: Cost) {
    match consumed.iter_mut().find(|consumed| consumed.table == table) {
        Some(consumed) => consumed.cost.add(cost),
        None => consumed.extend(capacity.report(table, cost)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(text: &str) -> Result<PreparedStatement, ApiError> {
        StatementInput {
            statement: Some(text.to_owned()),
            ..StatementInput::default()
        }
        .prepare()
    }

    #[test]
    fn a_batch_reads_or_writes() {
        let (read, write, neither) = (
            || prepared("SELECT * FROM Music WHERE pk = 'a'"),
            || prepared("DELETE FROM Music WHERE pk = 'a'"),
            || prepared("SELEC"),
        );
        assert!(neither().is_err());
        for alike in [
            vec![read(), neither(), read()],
            vec![write(), write()],
            vec![neither()],
        ] {
            assert_eq!(check_alike(&alike), Ok(()));
        }
        let mixed = Err(ApiError::validation(message::statement::MIXED_BATCH));
        assert_eq!(check_alike(&[neither(), read(), write()]), mixed);
    }

    #[test]
    fn what_is_unavailable_as_a_whole_is_to_be_tried_again() {
        let unavailable = || Err(ApiError::Unavailable("no leader".to_owned()));
        let refused = || Err(ApiError::DuplicateItem);
        assert_eq!(check_results(&[Ok(()), unavailable()]), Ok(()));
        assert_eq!(check_results(&[refused(), unavailable()]), Ok(()));
        assert_eq!(
            check_results::<()>(&[unavailable(), unavailable()]),
            unavailable()
        );
    }
}
