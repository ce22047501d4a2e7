//! Statements of PartiQL, as requests of several operations carry them.
//!
//! A statement becomes what the other operations are made of, and nothing below knows that there was one: a [`TableWrite`],
//! which is a command on one item, or a [`TableRead`], which is a query or a scan. Invariant: what a statement says is
//! checked here before anything is done. How many statements a request may have, and what becomes of their outcomes, is the
//! operation's.
//!
//! Rules: Amazon DynamoDB Developer Guide, "PartiQL - a SQL-compatible query language for Amazon DynamoDB"; where it is
//! silent, DynamoDB Local.

mod access;
mod point;
mod ranges;
mod read;
mod token;
mod write;

use stator_model::expression::{ExpressionError, Placeholders};
use stator_model::partiql::{Problem as Refused, Statement, StatementError};

pub(crate) use access::StatementAccess;
pub(crate) use point::PointRead;
pub(crate) use read::{ReadChoices, ReadOutput, TableRead};
pub(crate) use token::NextToken;
pub(crate) use write::TableWrite;

use crate::command::OnFailure;
use crate::constraint::Constraints;
use crate::wire::decode::attribute::Problem;
use crate::wire::error::ApiError;

/// Longest statement in characters. Source: service model of DynamoDB, shape PartiQLStatement.
const LENGTH_MAX: usize = 8192;

/// A statement with what belongs to it, as it came.
#[derive(Debug, Default, Clone)]
pub(crate) struct StatementInput {
    pub(crate) statement: Option<String>,
    /// `Parameters`. Their values are written where the placeholders keep them.
    pub(crate) parameters: Option<Vec<ParameterInput>>,
    pub(crate) placeholders: Placeholders,
    pub(crate) consistent_read: Option<bool>,
    /// `ReturnValuesOnConditionCheckFailure`
    pub(crate) on_failure: Option<String>,
    /// Why it may not be carried out, in a batch, which answers for each statement.
    pub(crate) denied: Option<ApiError>,
}

/// An element of `Parameters`.
#[derive(Debug, Clone)]
pub(crate) struct ParameterInput {
    /// Where the value starts in the writer of the placeholders.
    pub(crate) start: usize,
    pub(crate) problem: Option<Problem>,
}

/// A statement that has been parsed, with the values of its parameters.
#[derive(Debug, Clone)]
pub(crate) struct PreparedStatement {
    pub(crate) statement: Statement,
    /// Where the values of the parameters start in the writer of the placeholders.
    parameters: Vec<usize>,
    placeholders: Placeholders,
    consistent: bool,
    on_failure: OnFailure,
}

impl StatementInput {
    /// Checks the constraints of the service model; `path` is what stands before the names of the members.
    pub(super) fn check(&self, constraints: &mut Constraints, path: &str) {
        let member = format!("{path}statement");
        constraints.required(&member, self.statement.as_ref());
        if let Some(text) = &self.statement {
            constraints.length(&member, text, text.chars().count(), 1, LENGTH_MAX);
        }
        if let Some(parameters) = &self.parameters {
            let member = format!("{path}parameters");
            constraints.length(&member, "[]", parameters.len(), 1, usize::MAX);
        }
        let member = format!("{path}returnValuesOnConditionCheckFailure");
        constraints.one_of::<OnFailure>(&member, self.on_failure.as_deref());
    }

    /// Checks the values of the parameters.
    ///
    /// # Errors
    /// ValidationException for the first that is none.
    pub(super) fn check_values(&self) -> Result<(), ApiError> {
        let mut problems = self.parameters.iter().flatten();
        match problems.find_map(|parameter| parameter.problem.as_ref()) {
            Some(problem) => Err(ApiError::Validation(problem.to_string())),
            None => Ok(()),
        }
    }

    /// Parses the statement. What [`StatementInput::check`] and [`StatementInput::check_values`] find is expected to have
    /// been refused.
    ///
    /// # Errors
    /// ValidationException, and why it is denied.
    pub(super) fn prepare(self) -> Result<PreparedStatement, ApiError> {
        if let Some(denied) = self.denied {
            return Err(denied);
        }
        let (statement, count) = Statement::parse(&self.statement.unwrap_or_default())?;
        let parameters = self.parameters.unwrap_or_default();
        if parameters.len() < count {
            return Err(ApiError::validation(Refused::Parameters.to_string()));
        }
        let on_failure = self.on_failure.as_deref();
        Ok(PreparedStatement {
            statement,
            parameters: parameters.iter().map(|parameter| parameter.start).collect(),
            placeholders: self.placeholders,
            consistent: self.consistent_read.unwrap_or_default(),
            on_failure: on_failure
                .and_then(crate::constraint::ModelEnum::from_name)
                .unwrap_or_default(),
        })
    }
}

impl PreparedStatement {
    /// Whether it asks for the item that it writes.
    pub(super) fn returns(&self) -> bool {
        match &self.statement {
            Statement::Update(update) => update.returning.is_some(),
            Statement::Delete(delete) => delete.returns_old,
            Statement::Insert(_) | Statement::Select(_) | Statement::Exists(_) => false,
        }
    }

    /// Whether it stores a new item.
    pub(super) fn is_insert(&self) -> bool {
        matches!(self.statement, Statement::Insert(_))
    }

    /// True for a statement that changes nothing.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.statement, Statement::Select(_))
    }
}

impl From<StatementError> for ApiError {
    fn from(error: StatementError) -> Self {
        Self::Validation(error.to_string())
    }
}

/// The refusal of what a statement says in the words of the expression language.
fn meaning(error: &ExpressionError) -> ApiError {
    ApiError::Validation(error.to_string())
}
