//! ExecuteStatement, BatchExecuteStatement and ExecuteTransaction: a question for each statement, by what it does.
//!
//! A statement that is none is not asked about: it is refused when it is parsed again. One that a batch may not carry out
//! is answered in its place, as the service model has it (`BatchStatementErrorCodeEnum`).

use std::sync::Arc;

use stator_iam::policy::{Value, Values};
use stator_model::partiql::Statement;

use super::facts::{Facts, Names, or_none, scalar};
use super::item::shown;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::catalog::Table;
use crate::operation::batch_execute_statement::BatchExecuteStatement;
use crate::operation::execute_statement::ExecuteStatement;
use crate::operation::execute_transaction::ExecuteTransaction;
use crate::operation::statement::{StatementAccess, StatementInput};
use crate::wire::error::ApiError;

impl Authorize for ExecuteStatement {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let capacity = Some(or_none(self.consumed_capacity.as_ref()));
        one(&self.statement, judge, capacity, None).await
    }
}

impl Authorize for BatchExecuteStatement {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let capacity = Some(or_none(self.consumed_capacity.as_ref()));
        for statement in self.statements.iter_mut().flatten() {
            match one(statement, judge, capacity, None).await {
                Err(
                    denied @ (ApiError::AccessDenied(_)
                    | ApiError::ResourceNotFound(_)
                    | ApiError::Validation(_)),
                ) => {
                    statement.denied = Some(denied);
                }
                other => other?,
            }
        }
        Ok(())
    }
}

impl Authorize for ExecuteTransaction {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let capacity = Some(or_none(self.consumed_capacity.as_ref()));
        for statement in self.statements.iter().flatten() {
            one(statement, judge, capacity, Some("ExecuteTransaction")).await?;
        }
        Ok(())
    }
}

async fn one(
    input: &StatementInput,
    judge: &Judge<'_>,
    consumed_capacity: Option<&str>,
    enclosing: Option<&'static str>,
) -> Result<(), ApiError> {
    if judge.permits_everything() {
        return Ok(());
    }
    let Some(access) = StatementAccess::of(input) else {
        return Ok(());
    };
    let (action, select) = match access.statement() {
        Statement::Select(select) => ("dynamodb:PartiQLSelect", Some(shown(select.paths.is_some()))),
        Statement::Exists(_) => ("dynamodb:PartiQLSelect", None),
        Statement::Insert(_) => ("dynamodb:PartiQLInsert", None),
        Statement::Update(_) => ("dynamodb:PartiQLUpdate", None),
        Statement::Delete(_) => ("dynamodb:PartiQLDelete", None),
    };
    let is_read = matches!(access.statement(), Statement::Select(_));
    let further = |table: &Arc<Table>, place: usize| {
        let partitions = access
            .touched(table, scalar)
            .and_then(|touched| touched.partitions);
        let values = partitions.and_then(|partitions| partitions.into_iter().nth(place));
        values.map_or(Values::Absent, Values::Many)
    };
    let leading = |table: &Arc<Table>| further(table, 0);
    let attributes = |table: &Arc<Table>| {
        let mut names = Names::default();
        names.keys(table, access.index());
        let touched = access.touched(table, |_| ());
        names.owned(touched.into_iter().flat_map(|touched| touched.names));
        names.values()
    };
    let full_scan = |table: &Arc<Table>| match access.touched(table, |_| ()) {
        Some(touched) if is_read => Values::One(Value::Bool(touched.partitions.is_none())),
        _ => Values::Absent,
    };
    let facts = Facts {
        leading: Some(&leading),
        further: Some(&further),
        attributes: Some(&attributes),
        full_scan: Some(&full_scan),
        select,
        return_values: access.return_values(),
        consumed_capacity,
        enclosing,
        ..Facts::default()
    };
    let resource = Resource::of(Some(access.table()), access.index());
    judge.require_on_items(action, resource, &facts).await
}
