//! ExecuteStatement: one statement of PartiQL, which reads a page or writes an item.

use stator_cluster::{ConsistencyLevel, Invocation};
use stator_model::item::Item;
use stator_model::partiql::Statement;

use super::capacity::{CapacityDetail, ConsumedCapacity};
use super::item_collection::CollectionMetrics;
use super::item_command::{WriteChoices, WriteOutput};
use super::statement::{
    NextToken, PreparedStatement, ReadChoices, ReadOutput, StatementInput, TableRead, TableWrite,
};
use super::{Context, Operation};
use crate::command::{OnFailure, ReturnValues};
use crate::consistency::{NamedLevels, check_write};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// Longest token. Source: service model of DynamoDB, shape PartiQLNextToken.
const TOKEN_LENGTH_MAX: usize = 32_768;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct ExecuteStatement {
    pub(crate) statement: StatementInput,
    pub(crate) limit: Option<i32>,
    pub(crate) next_token: Option<String>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) levels: NamedLevels,
    /// Which call the request is a try of.
    pub(crate) invocation: Option<Invocation>,
}

/// The answer.
#[derive(Debug, Default)]
pub(crate) struct ExecuteStatementOutput {
    /// What was read, or what a write returns.
    pub(crate) items: Vec<Item>,
    /// Where the next page begins, if there may be one.
    pub(crate) next: Option<NextToken>,
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
}

impl Operation for ExecuteStatement {
    type Output = ExecuteStatementOutput;

    async fn run(self, context: &Context) -> Result<ExecuteStatementOutput, ApiError> {
        let (capacity, level) = self.constraints()?;
        self.statement.check_values()?;
        let prepared = self.statement.prepare()?;
        if prepared.is_read() {
            let token = self.next_token.as_deref().map(NextToken::decode).transpose()?;
            let limit = self.limit.and_then(|limit| usize::try_from(limit).ok());
            let choices = ReadChoices {
                limit: limit.unwrap_or(usize::MAX),
                capacity,
                level,
            };
            let read = TableRead::plan(context, prepared, choices).await?;
            let page = read.run(context, token).await?;
            Ok(page.into())
        } else {
            let choices = write_choices(capacity, level, self.invocation);
            write(context, prepared, choices).await.map(Into::into)
        }
    }
}

/// Carries out a statement that changes an item.
async fn write(
    context: &Context,
    prepared: PreparedStatement,
    choices: WriteChoices,
) -> Result<WriteOutput, ApiError> {
    if matches!(prepared.statement, Statement::Exists(_)) {
        return Err(ApiError::validation(
            message::statement::EXISTS_OUTSIDE_TRANSACTION,
        ));
    }
    let write = TableWrite::plan(context, prepared).await?;
    check_write(choices.level, write.needs())?;
    write.carry_out(context, choices).await
}

/// What a request says about a write beside the statement.
fn write_choices(
    capacity: CapacityDetail,
    level: Option<ConsistencyLevel>,
    invocation: Option<Invocation>,
) -> WriteChoices {
    WriteChoices {
        // These two are the statement's.
        return_values: ReturnValues::None,
        on_failure: OnFailure::None,
        // PartiQL has no such parameter.
        collection: CollectionMetrics::None,
        capacity,
        level,
        invocation,
    }
}

impl ExecuteStatement {
    fn constraints(&self) -> Result<(CapacityDetail, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        self.statement.check(&mut constraints, "");
        constraints.at_least("limit", self.limit, 1);
        if let Some(token) = &self.next_token {
            constraints.length("nextToken", token, token.len(), 1, TOKEN_LENGTH_MAX);
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok((capacity.unwrap_or_default(), level))
    }
}

impl From<ReadOutput> for ExecuteStatementOutput {
    fn from(page: ReadOutput) -> Self {
        Self {
            items: page.items,
            next: page.next,
            consumed_capacity: page.consumed_capacity,
        }
    }
}

impl From<WriteOutput> for ExecuteStatementOutput {
    fn from(written: WriteOutput) -> Self {
        Self {
            items: written.attributes.into_iter().collect(),
            next: None,
            consumed_capacity: written.consumed_capacity,
        }
    }
}
