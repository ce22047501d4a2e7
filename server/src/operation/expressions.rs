//! The expression parameters that item operations share: names, values, and the rules about using them together.
//!
//! DynamoDB checks in two steps with other checks between them: first which parameters are there and how placeholders
//! are spelled ([`ExpressionInputs::check`]), later what the expressions say ([`parse`], [`check_all_used`]).

use stator_model::expression::{ExpressionError, Placeholders};

use crate::wire::decode::attribute::Problem;
use crate::wire::error::ApiError;

/// ExpressionAttributeNames and ExpressionAttributeValues as they came. Values are already written where
/// [`Placeholders`] keeps them; they get their names in [`ExpressionInputs::check`].
#[derive(Debug, Default, Clone)]
pub(crate) struct ExpressionInputs {
    pub(crate) placeholders: Placeholders,
    pub(crate) names: Option<Vec<(String, String)>>,
    pub(crate) values: Option<Vec<ValueInput>>,
}

/// An entry of ExpressionAttributeValues.
#[derive(Debug, Clone)]
pub(crate) struct ValueInput {
    pub(crate) placeholder: String,
    /// Where the value starts in the writer of the placeholders.
    pub(crate) start: usize,
    pub(crate) problem: Option<Problem>,
}

/// An expression parameter by name, with its text when it is there.
pub(crate) type Parameter<'a> = (&'static str, Option<&'a str>);

impl ExpressionInputs {
    /// Checks which parameters are there together, and registers names and values.
    ///
    /// # Errors
    /// ValidationException.
    pub(crate) fn check(self, expressions: &[Parameter<'_>]) -> Result<Placeholders, ApiError> {
        self.check_presence(expressions)?;
        self.register()
    }

    /// Checks which parameters are there together.
    ///
    /// # Errors
    /// ValidationException.
    pub(crate) fn check_presence(&self, expressions: &[Parameter<'_>]) -> Result<(), ApiError> {
        let given: Vec<&str> = expressions
            .iter()
            .filter(|(_, text)| text.is_some())
            .map(|(name, _)| *name)
            .collect();
        if self.names.is_some() && given.is_empty() {
            return Err(ApiError::validation(
                "ExpressionAttributeNames can only be specified when using expressions",
            ));
        }
        let users: Vec<&str> = expressions
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name != "ProjectionExpression")
            .collect();
        if self.values.is_some() && !given.iter().any(|name| users.contains(name)) {
            let be = if users.len() == 1 { "is" } else { "are" };
            let users = users.join(" and ");
            return Err(ApiError::Validation(format!(
                "ExpressionAttributeValues can only be specified when using expressions: {users} {be} null"
            )));
        }
        Ok(())
    }

    /// Registers values and names, in this order.
    ///
    /// # Errors
    /// ValidationException for what is no placeholder, name or value.
    pub(crate) fn register(mut self) -> Result<Placeholders, ApiError> {
        let invalid = |error: ExpressionError| ApiError::Validation(error.to_string());
        if self.values.as_ref().is_some_and(Vec::is_empty) {
            return Err(ApiError::validation(
                "ExpressionAttributeValues must not be empty",
            ));
        }
        for input in self.values.iter().flatten() {
            Placeholders::check_value_placeholder(&input.placeholder).map_err(invalid)?;
        }
        for ValueInput {
            placeholder,
            start,
            problem,
        } in self.values.into_iter().flatten()
        {
            if let Some(problem) = problem {
                return Err(ApiError::Validation(format!(
                    "ExpressionAttributeValues contains invalid value: {problem} for key {placeholder}"
                )));
            }
            self.placeholders.add_value(placeholder, start).map_err(invalid)?;
        }
        self.placeholders.check_values_size().map_err(invalid)?;
        if self.names.as_ref().is_some_and(Vec::is_empty) {
            return Err(ApiError::validation("ExpressionAttributeNames must not be empty"));
        }
        for (placeholder, name) in self.names.into_iter().flatten() {
            self.placeholders.add_name(placeholder, name).map_err(invalid)?;
        }
        self.placeholders.check_names_size().map_err(invalid)?;
        Ok(self.placeholders)
    }
}

/// The refusal of parameters of the API before expressions beside expressions, both by name.
pub(super) fn mixed(legacy: &[&str], expressions: &[&str]) -> ApiError {
    ApiError::Validation(format!(
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
         {{{}}} Expression parameters: {{{}}}",
        legacy.join(", "),
        expressions.join(", ")
    ))
}

/// Parses one expression if it is there; `parameter` is its name in the API, for the sentence.
///
/// # Errors
/// ValidationException that begins with `Invalid <parameter>: ` where DynamoDB's does.
pub(crate) fn parse<T>(
    parameter: Parameter<'_>,
    placeholders: &mut Placeholders,
    parse: impl FnOnce(&str, &mut Placeholders) -> Result<T, ExpressionError>,
) -> Result<Option<T>, ApiError> {
    let (name, Some(text)) = parameter else {
        return Ok(None);
    };
    parse(text, placeholders)
        .map(Some)
        .map_err(|error| refusal(name, &error))
}

/// The ValidationException of an expression error.
pub(crate) fn refusal(parameter: &str, error: &ExpressionError) -> ApiError {
    ApiError::Validation(if error.is_syntactic() {
        format!("Invalid {parameter}: {error}")
    } else {
        error.to_string()
    })
}

/// Checks that the expressions have used all names and values.
///
/// # Errors
/// ValidationException.
pub(crate) fn check_all_used(placeholders: &Placeholders) -> Result<(), ApiError> {
    placeholders
        .check_all_used()
        .map_err(|error| ApiError::Validation(error.to_string()))
}
