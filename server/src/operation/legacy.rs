//! The API before expressions: `Expected`, `ConditionalOperator` and `AttributeUpdates` of writes; those of reads are in
//! `read`.
//!
//! What they state is put into the words of the expression language, with placeholders made here (`#0`, `:0`), so that a
//! command knows only expressions. Invariant: what a request states in the old way decides as DynamoDB decides it; where
//! the languages differ, the text says what the old one means. A request states everything in one of the two ways.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Legacy conditional parameters", and the API reference of
//! `ExpectedAttributeValue` and `AttributeValueUpdate`.

mod expected;
pub(crate) mod read;
#[cfg(test)]
mod tests;
mod updates;

use stator_model::attribute::RawValue;
use stator_model::expression::{Condition, ExpressionError, Placeholders, Update, UpdateError};

use super::expressions::{Parameter, mixed, refusal};
use crate::constraint::{Constraints, ModelEnum};
use crate::wire::decode::attribute::Problem;
use crate::wire::error::ApiError;

use expected::ComparisonOperator;
use updates::UpdateAction;

/// What an item write states without expressions, as it came. Values are already written where [`Placeholders`] keeps
/// them.
#[derive(Debug, Default)]
pub(crate) struct LegacyWrite {
    /// `Expected`, each attribute once, in the order in which they came.
    pub(crate) expected: Vec<Expectation>,
    /// `AttributeUpdates`, each attribute once, in the order in which they came.
    pub(crate) updates: Vec<AttributeUpdate>,
    /// `ConditionalOperator`
    pub(crate) conditional_operator: Option<String>,
}

/// An entry of `Expected`, or a `Condition`, which has a comparison and a list only.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    pub(crate) attribute: String,
    /// False when the entry is `null`.
    pub(crate) given: bool,
    /// `Exists`
    pub(crate) exists: Option<bool>,
    /// `Value`
    pub(crate) value: Option<LegacyValue>,
    /// `ComparisonOperator`
    pub(crate) comparison: Option<String>,
    /// `AttributeValueList`
    pub(crate) list: Option<Vec<LegacyValue>>,
}

/// An entry of `AttributeUpdates`.
#[derive(Debug, Default)]
pub(crate) struct AttributeUpdate {
    pub(crate) attribute: String,
    /// `Action`
    pub(crate) action: Option<String>,
    /// `Value`
    pub(crate) value: Option<LegacyValue>,
}

/// A value of one of these parameters.
#[derive(Debug)]
pub(crate) struct LegacyValue {
    /// Where the value starts in the writer of the placeholders.
    pub(crate) start: usize,
    pub(crate) problem: Option<Problem>,
}

/// `ConditionalOperator`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConditionalOperator {
    Or,
    And,
}

impl ModelEnum for ConditionalOperator {
    const NAMES: &'static [&'static str] = &["OR", "AND"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "OR" => Self::Or,
            "AND" => Self::And,
            _ => return None,
        })
    }
}

impl LegacyWrite {
    /// Checks the constraints of the service model.
    pub(super) fn check(&self, constraints: &mut Constraints) {
        constraints
            .one_of::<ConditionalOperator>("conditionalOperator", self.conditional_operator.as_deref());
        for entry in &self.expected {
            let member = format!("expected.{}.member.comparisonOperator", entry.attribute);
            constraints.one_of::<ComparisonOperator>(&member, entry.comparison.as_deref());
        }
        for entry in &self.updates {
            let member = format!("attributeUpdates.{}.member.action", entry.attribute);
            constraints.one_of::<UpdateAction>(&member, entry.action.as_deref());
        }
    }

    /// Checks that the request has no expression beside these parameters. Empty ones do not count.
    ///
    /// # Errors
    /// ValidationException that names both.
    pub(super) fn check_unmixed(&self, expressions: &[Parameter<'_>]) -> Result<(), ApiError> {
        let mut legacy = Vec::new();
        legacy.extend((!self.updates.is_empty()).then_some("AttributeUpdates"));
        legacy.extend((!self.expected.is_empty()).then_some("Expected"));
        legacy.extend(
            self.conditional_operator
                .is_some()
                .then_some("ConditionalOperator"),
        );
        unmixed(&legacy, expressions)
    }
}

/// Checks that there are no expressions beside parameters of the API before them.
fn unmixed(legacy: &[&str], expressions: &[Parameter<'_>]) -> Result<(), ApiError> {
    let given: Vec<&str> = expressions
        .iter()
        .filter_map(|(name, text)| text.and(Some(*name)))
        .collect();
    if legacy.is_empty() || given.is_empty() {
        return Ok(());
    }
    Err(mixed(legacy, &given))
}

/// An expression with its own text.
pub(super) type Stated<T> = Option<(String, T)>;

/// The expression as a command holds it.
pub(super) fn spelled<T>(stated: Option<&(String, T)>) -> Option<(&str, &T)> {
    stated.map(|(text, meaning)| (text.as_str(), meaning))
}

/// The condition of a write: the expression that the request has, or what it expects without one.
///
/// # Errors
/// ValidationException.
pub(super) fn condition(
    expression: Option<&str>,
    legacy: &LegacyWrite,
    placeholders: &mut Placeholders,
) -> Result<Stated<Condition>, ApiError> {
    if let Some(text) = expression {
        return parsed(
            "ConditionExpression",
            text.to_owned(),
            placeholders,
            Condition::parse,
        );
    }
    expectation(None, legacy, placeholders)
}

/// What a write without an expression expects; nothing for one with an expression, which stands in its place.
///
/// # Errors
/// ValidationException.
pub(super) fn expectation(
    expression: Option<&str>,
    legacy: &LegacyWrite,
    placeholders: &mut Placeholders,
) -> Result<Stated<Condition>, ApiError> {
    if expression.is_some() {
        return Ok(None);
    }
    match expected::text(legacy, &mut Maker::new('e', placeholders))? {
        Some(text) => parsed("Expected", text, placeholders, Condition::parse_unbounded),
        None => Ok(None),
    }
}

/// The update of an UpdateItem: the expression that the request has, or what it asks for without one.
///
/// # Errors
/// ValidationException.
pub(super) fn update(
    expression: Option<&str>,
    legacy: &LegacyWrite,
    placeholders: &mut Placeholders,
) -> Result<Stated<Update>, ApiError> {
    if let Some(text) = expression {
        return parsed("UpdateExpression", text.to_owned(), placeholders, Update::parse);
    }
    match updates::text(legacy, &mut Maker::new('u', placeholders))? {
        Some(text) => parsed("AttributeUpdates", text, placeholders, Update::parse_unbounded),
        None => Ok(None),
    }
}

fn parsed<T>(
    parameter: &str,
    text: String,
    placeholders: &mut Placeholders,
    parse: fn(&str, &mut Placeholders) -> Result<T, ExpressionError>,
) -> Result<Stated<T>, ApiError> {
    let meaning = parse(&text, placeholders).map_err(|error| refusal(parameter, &error))?;
    Ok(Some((text, meaning)))
}

/// A refusal of what `AttributeUpdates` asks for, in the words that DynamoDB has for it there.
pub(super) fn update_refusal(error: ApiError) -> ApiError {
    match error {
        ApiError::Validation(text) if text == UpdateError::OperandType.to_string() => {
            ApiError::validation("Type mismatch for attribute to update")
        }
        error => error,
    }
}

/// Makes placeholders. Those of one parameter begin with one letter, so that two parameters have no name in common.
struct Maker<'p> {
    letter: char,
    count: usize,
    placeholders: &'p mut Placeholders,
}

impl<'p> Maker<'p> {
    const fn new(letter: char, placeholders: &'p mut Placeholders) -> Self {
        Self {
            letter,
            count: 0,
            placeholders,
        }
    }

    fn next(&mut self, first: char) -> String {
        let placeholder = format!("{first}{}{}", self.letter, self.count);
        self.count += 1;
        placeholder
    }

    /// A placeholder of the whole attribute of this name.
    fn name(&mut self, attribute: &str) -> Result<String, ApiError> {
        if attribute.is_empty() {
            return Err(ApiError::Validation(Problem::EmptyName.to_string()));
        }
        let placeholder = self.next('#');
        self.placeholders
            .add_name(placeholder.clone(), attribute.to_owned())
            .map_err(|error| ApiError::Validation(error.to_string()))?;
        Ok(placeholder)
    }

    /// A value that has been written.
    fn written(&self, value: &LegacyValue) -> RawValue<'_> {
        self.placeholders.written_at(value.start)
    }

    /// A placeholder of a value that has been written.
    fn value(&mut self, value: &LegacyValue) -> Result<String, ApiError> {
        self.value_at(value.start)
    }

    /// A placeholder of the empty list.
    fn empty_list(&mut self) -> Result<String, ApiError> {
        let writer = self.placeholders.values_writer();
        let start = writer.len();
        let scope = writer.begin_list();
        writer.end_list(&scope);
        self.value_at(start)
    }

    fn value_at(&mut self, start: usize) -> Result<String, ApiError> {
        let placeholder = self.next(':');
        self.placeholders
            .add_value(placeholder.clone(), start)
            .map_err(|error| ApiError::Validation(error.to_string()))?;
        Ok(placeholder)
    }
}

impl LegacyValue {
    /// Checks that the value is one.
    fn check(&self) -> Result<(), ApiError> {
        match &self.problem {
            Some(problem) => Err(ApiError::Validation(problem.to_string())),
            None => Ok(()),
        }
    }
}

/// The refusal that a parameter has been given something invalid.
fn invalid(detail: impl std::fmt::Display) -> ApiError {
    ApiError::Validation(format!("One or more parameter values were invalid: {detail}"))
}
