//! ExecuteTransaction: up to 100 statements of PartiQL, which all read or all write, all or none.
//!
//! Statements become the reads of TransactGetItems or the commands of TransactWriteItems. Invariant: everything is checked
//! before anything is decided.
//!
//! Rules: API reference of `ExecuteTransaction`; Amazon DynamoDB Developer Guide, "Performing transactions with PartiQL for
//! DynamoDB"; where they are silent, DynamoDB Local.

use std::collections::HashSet;

use stator_cluster::{ConsistencyLevel, Invocation};

use super::cancellation::{self, CancellationReason};
use super::capacity::{CapacityDetail, ConsumedCapacity};
use super::statement::{PointRead, PreparedStatement, StatementInput, TableWrite};
use super::transact_get_items::{self, TransactGetItemsOutput};
use super::transact_write_items::{self, ACTIONS_MAX, TRANSACTION_BYTES_MAX};
use super::{Context, Operation};
use crate::consistency::{self, NamedLevels};
use crate::constraint::Constraints;
use crate::message;
use crate::message::statement::in_transaction;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct ExecuteTransaction {
    /// `TransactStatements`
    pub(crate) statements: Option<Vec<StatementInput>>,
    /// `ClientRequestToken`
    pub(crate) token: Option<String>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) levels: NamedLevels,
    /// Which call the request is a try of.
    pub(crate) invocation: Option<Invocation>,
}

impl Operation for ExecuteTransaction {
    /// Statements that write have no responses.
    type Output = TransactGetItemsOutput;

    async fn run(self, context: &Context) -> Result<TransactGetItemsOutput, ApiError> {
        let (capacity, named) = self.constraints()?;
        let statements = self.statements.unwrap_or_default();
        for statement in &statements {
            statement.check_values()?;
        }
        let prepared: Vec<_> = statements
            .into_iter()
            .map(StatementInput::prepare)
            .collect::<Result<_, _>>()?;
        let is_read = prepared.first().is_some_and(PreparedStatement::is_read);
        if prepared.iter().any(|statement| statement.is_read() != is_read) {
            return Err(ApiError::validation(message::statement::MIXED_TRANSACTION));
        }
        if let Some(place) = prepared.iter().position(PreparedStatement::returns) {
            return Err(in_transaction(
                place,
                message::statement::RETURNING_IN_TRANSACTION,
            ));
        }
        consistency::of_transaction(named, [])?;
        if is_read {
            return read(context, prepared, capacity).await;
        }
        let ids = (self.token.as_deref(), self.invocation);
        Ok(TransactGetItemsOutput {
            responses: Vec::new(),
            consumed_capacity: write(context, prepared, named, ids, capacity).await?,
        })
    }
}

impl ExecuteTransaction {
    fn constraints(&self) -> Result<(CapacityDetail, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("transactStatements", self.statements.as_ref());
        if let Some(statements) = &self.statements {
            constraints.length("transactStatements", "[...]", statements.len(), 1, ACTIONS_MAX);
            for (place, statement) in (1..).zip(statements) {
                statement.check(&mut constraints, &format!("transactStatements.{place}.member."));
            }
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        transact_write_items::check_token(&mut constraints, self.token.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok((capacity.unwrap_or_default(), level))
    }
}

async fn read(
    context: &Context,
    prepared: Vec<PreparedStatement>,
    capacity: CapacityDetail,
) -> Result<TransactGetItemsOutput, ApiError> {
    let mut planned = Vec::with_capacity(prepared.len());
    let mut seen = HashSet::new();
    for (place, prepared) in prepared.into_iter().enumerate() {
        let read = PointRead::plan(context, "ExecuteTransaction", prepared).await;
        let read = read.map_err(|error| placed(place, error))?;
        if !seen.insert((read.table.name().to_owned(), read.key_bytes.clone())) {
            return Err(ApiError::validation(message::TRANSACTION_SAME_ITEM));
        }
        planned.push(transact_get_items::Planned {
            named: read.table.name().to_owned(),
            table: read.table,
            key: read.key_bytes,
            projection: read.projection,
        });
    }
    transact_get_items::carry_out(context, &planned, capacity).await
}

async fn write(
    context: &Context,
    prepared: Vec<PreparedStatement>,
    named: Option<ConsistencyLevel>,
    ids: (Option<&str>, Option<Invocation>),
    capacity: CapacityDetail,
) -> Result<Option<Vec<ConsumedCapacity>>, ApiError> {
    let mut planned = Vec::with_capacity(prepared.len());
    let (mut inserts, mut reasons) = (Vec::with_capacity(prepared.len()), Vec::new());
    let (mut seen, mut bytes) = (HashSet::new(), 0);
    for (place, prepared) in prepared.into_iter().enumerate() {
        let is_insert = prepared.is_insert();
        inserts.push(is_insert);
        let write = match TableWrite::plan(context, prepared).await {
            Ok(write) => write,
            // An item that does not fit its table is a reason, as that of a Put is.
            Err(ApiError::Validation(sentence)) if is_insert => {
                reasons.push(Some(CancellationReason::validation(sentence)));
                continue;
            }
            Err(error) => return Err(placed(place, error)),
        };
        if !seen.insert((write.table.name().to_owned(), write.key_bytes.clone())) {
            return Err(ApiError::validation(message::TRANSACTION_SAME_ITEM));
        }
        bytes += write.bytes();
        reasons.push(None);
        planned.push(transact_write_items::Planned {
            command: write.command(),
            named: write.table.name().to_owned(),
            table: write.table,
            key: write.key_bytes,
        });
    }
    if bytes > TRANSACTION_BYTES_MAX {
        return Err(message::transaction_too_large(bytes));
    }
    cancellation::check(reasons)?;
    let outcome = transact_write_items::carry_out(context, &planned, named, ids, capacity).await;
    outcome.map_err(|error| match error {
        ApiError::TransactionCanceled(reasons) => {
            let told = reasons.into_iter().zip(inserts);
            let told = told.map(|(reason, is_insert)| match reason {
                Some(reason) if is_insert => Some(reason.of_insert()),
                reason => reason,
            });
            ApiError::TransactionCanceled(told.collect())
        }
        error => error,
    })
}

/// A refusal, with the place of the statement that is meant.
fn placed(place: usize, error: ApiError) -> ApiError {
    match error {
        ApiError::Validation(sentence) => in_transaction(place, &sentence),
        error => error,
    }
}
