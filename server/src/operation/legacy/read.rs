//! Reads in the API before expressions: `AttributesToGet`, `KeyConditions`, `QueryFilter`, `ScanFilter` and
//! `ConditionalOperator`.
//!
//! Like those of writes they are put into the words of the expression language. Unlike them, `KeyConditions` may stand
//! beside expressions: it is older than all of them, and only `KeyConditionExpression` takes its place.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Legacy conditional parameters", and the API reference of `Condition`.

use std::collections::BTreeSet;

use stator_model::attribute::Kind;
use stator_model::expression::key_condition::KeyAttribute;
use stator_model::expression::{Condition, ExpressionError, Placeholders, Projection};

use super::expected::{self, ComparisonOperator};
use super::{ConditionalOperator, Expectation, Maker, unmixed};
use crate::constraint::{Constraints, ModelEnum as _};
use crate::message;
use crate::operation::expressions::{Parameter, parse, refusal};
use crate::wire::decode::attribute::Problem;
use crate::wire::error::ApiError;

/// What a read states without expressions, as it came.
#[derive(Debug, Default)]
pub(crate) struct LegacyRead {
    /// `AttributesToGet`; an element that is `null` is an empty name.
    pub(crate) attributes: Option<Vec<String>>,
    /// `KeyConditions`, each attribute once, in the order in which they came.
    pub(crate) key_conditions: Option<Vec<Expectation>>,
    /// `QueryFilter` or `ScanFilter`, each attribute once, in the order in which they came.
    pub(crate) filter: Vec<Expectation>,
    /// `ConditionalOperator`
    pub(crate) conditional_operator: Option<String>,
}

/// `KeyConditions` that make sense by themselves.
#[derive(Debug)]
pub(crate) struct KeyConditions {
    /// All of them, joined by `AND`.
    pub(crate) condition: Condition,
    entries: Vec<(String, ComparisonOperator, Vec<Kind>)>,
}

impl LegacyRead {
    /// Checks the constraints of the service model; `filter` is the member with the filter.
    pub(in crate::operation) fn check(&self, filter: &str, constraints: &mut Constraints) {
        check_attributes("attributesToGet", self.attributes.as_deref(), constraints);
        constraints
            .one_of::<ConditionalOperator>("conditionalOperator", self.conditional_operator.as_deref());
        let key_conditions = self.key_conditions.iter().flatten();
        let members = std::iter::repeat("keyConditions").zip(key_conditions);
        for (member, entry) in members.chain(std::iter::repeat(filter).zip(&self.filter)) {
            if entry.given {
                let member = format!("{member}.{}.member.comparisonOperator", entry.attribute);
                constraints.required(&member, entry.comparison.as_ref());
                constraints.one_of::<ComparisonOperator>(&member, entry.comparison.as_deref());
            }
        }
    }

    /// Checks that the request has no expression beside these parameters; `filter` is the parameter with the filter.
    /// Empty ones do not count.
    ///
    /// # Errors
    /// ValidationException that names both.
    pub(in crate::operation) fn check_unmixed(
        &self,
        filter: &'static str,
        expressions: &[Parameter<'_>],
    ) -> Result<(), ApiError> {
        let attributes = self.attributes.as_ref().is_some_and(|names| !names.is_empty());
        let key_conditions = self
            .key_conditions
            .as_ref()
            .is_some_and(|entries| !entries.is_empty());
        let replaced = expressions
            .iter()
            .any(|(name, text)| *name == "KeyConditionExpression" && text.is_some());
        let mut legacy = Vec::new();
        legacy.extend(attributes.then_some("AttributesToGet"));
        legacy.extend((!self.filter.is_empty()).then_some(filter));
        legacy.extend(
            self.conditional_operator
                .is_some()
                .then_some("ConditionalOperator"),
        );
        legacy.extend((key_conditions && replaced).then_some("KeyConditions"));
        unmixed(&legacy, expressions)
    }

    /// What `KeyConditions` says, as far as it can be known without the keys.
    ///
    /// # Errors
    /// ValidationException.
    pub(in crate::operation) fn key_conditions(
        &self,
        placeholders: &mut Placeholders,
    ) -> Result<Option<KeyConditions>, ApiError> {
        let Some(given) = &self.key_conditions else {
            return Ok(None);
        };
        let mut maker = Maker::new('k', placeholders);
        let (mut texts, mut entries) = (Vec::new(), Vec::new());
        for entry in given {
            let (operator, kinds, text) = understood(entry, &mut maker)?;
            texts.push(text);
            entries.push((entry.attribute.clone(), operator, kinds));
        }
        if texts.is_empty() {
            return Err(ApiError::validation("Conditions must be at least length 1"));
        }
        let text = texts.join(" AND ");
        let condition = Condition::parse_unbounded(&text, placeholders)
            .map_err(|error| refusal("KeyConditions", &error))?;
        Ok(Some(KeyConditions { condition, entries }))
    }

    /// The filter: the expression that the request has, or what it states without one.
    ///
    /// # Errors
    /// ValidationException.
    pub(in crate::operation) fn filter(
        &self,
        expression: Parameter<'_>,
        placeholders: &mut Placeholders,
    ) -> Result<Option<Condition>, ApiError> {
        if expression.1.is_some() {
            return parse(expression, placeholders, Condition::parse);
        }
        let mut maker = Maker::new('f', placeholders);
        let texts = self
            .filter
            .iter()
            .map(|entry| understood(entry, &mut maker).map(|(_, _, text)| text))
            .collect::<Result<Vec<_>, _>>()?;
        let text = expected::joined(&texts, self.conditional_operator.as_deref())?;
        let parameter = ("Filter", text.as_deref());
        parse(parameter, placeholders, Condition::parse_unbounded)
    }
}

/// Notes what the service model has against an `AttributesToGet`.
pub(in crate::operation) fn check_attributes(
    member: &str,
    attributes: Option<&[String]>,
    constraints: &mut Constraints,
) {
    if let Some(names) = attributes {
        constraints.length(member, "[]", names.len(), 1, usize::MAX);
    }
}

/// The projection: the expression that the request has, or what it gets without one.
///
/// # Errors
/// ValidationException; `repeated` words the one for a name that comes twice.
pub(in crate::operation) fn projection(
    expression: Parameter<'_>,
    attributes: Option<&[String]>,
    placeholders: &mut Placeholders,
    repeated: fn(&str) -> ApiError,
) -> Result<Option<Projection>, ApiError> {
    let Some(attributes) = attributes.filter(|_| expression.1.is_none()) else {
        return parse(expression, placeholders, Projection::parse);
    };
    let mut seen = BTreeSet::new();
    let mut maker = Maker::new('a', placeholders);
    let mut names = Vec::new();
    for attribute in attributes {
        if attribute.is_empty() {
            return Err(ApiError::Validation(Problem::EmptyName.to_string()));
        }
        if !seen.insert(attribute) {
            return Err(repeated(attribute));
        }
        names.push(maker.name(attribute)?);
    }
    let text = names.join(", ");
    parse(
        ("AttributesToGet", Some(&text)),
        placeholders,
        Projection::parse_unbounded,
    )
}

/// The refusal of a name that comes twice, in most operations.
pub(in crate::operation) fn same_name(_: &str) -> ApiError {
    ApiError::validation(message::table::SAME_DEFINITION_TWICE)
}

/// The refusal of a name that comes twice, in BatchGetItem.
pub(in crate::operation) fn duplicate_name(name: &str) -> ApiError {
    super::invalid(format_args!("Duplicate value in attribute name: {name}"))
}

/// Checks that there is no `AttributesToGet` beside a projection expression.
///
/// # Errors
/// ValidationException that names both.
pub(in crate::operation) fn check_attributes_unmixed(
    attributes: Option<&[String]>,
    expression: Parameter<'_>,
) -> Result<(), ApiError> {
    let given = attributes.is_some_and(|names| !names.is_empty());
    let legacy: &[&str] = if given { &["AttributesToGet"] } else { &[] };
    unmixed(legacy, &[expression])
}

/// The operator of a `Condition`, the types of its values, and its words.
fn understood(
    entry: &Expectation,
    maker: &mut Maker<'_>,
) -> Result<(ComparisonOperator, Vec<Kind>, String), ApiError> {
    if !entry.given {
        return Err(ApiError::Validation(format!(
            "The filter condition for an attribute cannot be null: {}",
            entry.attribute
        )));
    }
    let values: Vec<_> = entry.list.iter().flatten().collect();
    for value in &values {
        value.check()?;
    }
    let kinds = values.iter().map(|value| maker.written(value).kind()).collect();
    // A missing or unknown name has been refused with the other constraints of the service model.
    let named = entry.comparison.as_deref().unwrap_or_default();
    let operator = ComparisonOperator::from_name(named).unwrap_or(ComparisonOperator::Eq);
    let text = expected::condition(&entry.attribute, operator, &values, maker)?;
    Ok((operator, kinds, text))
}

impl KeyConditions {
    /// Checks the conditions against the keys of what is queried, as far as these parameters have sentences of their own;
    /// the rest is checked with the condition.
    ///
    /// # Errors
    /// ValidationException.
    pub(in crate::operation) fn check(
        &self,
        hash: &[KeyAttribute<'_>],
        range: &[KeyAttribute<'_>],
    ) -> Result<(), ApiError> {
        if self.entries.len() > (hash.len() + range.len()).max(2) {
            return Err(ApiError::Validation(
                ExpressionError::KeyTooManyConditions.to_string(),
            ));
        }
        for key in hash {
            if let Some((operator, kinds)) = self.of(key) {
                check_key(key, kinds, "Hash")?;
                if operator != ComparisonOperator::Eq {
                    return Err(ApiError::Validation(ExpressionError::KeyNotSupported.to_string()));
                }
            }
        }
        for key in range {
            if let Some((operator, kinds)) = self.of(key) {
                check_key(key, kinds, "Range")?;
                if !operator.is_indexable() {
                    return Err(ApiError::validation(
                        "Attempted conditional constraint is not an indexable operation",
                    ));
                }
            }
        }
        Ok(())
    }

    fn of(&self, key: &KeyAttribute<'_>) -> Option<(ComparisonOperator, &[Kind])> {
        let mut entries = self.entries.iter();
        let (_, operator, kinds) = entries.find(|(name, _, _)| name == key.name)?;
        Some((*operator, kinds))
    }
}

fn check_key(key: &KeyAttribute<'_>, kinds: &[Kind], role: &str) -> Result<(), ApiError> {
    if kinds.is_empty() {
        return Err(ApiError::Validation(format!(
            "Only scalar types can be used as {role} Key values"
        )));
    }
    if kinds.iter().any(|kind| *kind != key.kind) {
        return Err(ApiError::Validation(ExpressionError::KeyType.to_string()));
    }
    Ok(())
}
