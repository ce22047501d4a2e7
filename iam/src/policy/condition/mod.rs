//! The conditions of a statement: an operator, a key and the values to compare with.
//!
//! Invariant: values are read when the policy is, so that a decision compares and parses nothing of the policy. One file
//! for each kind of value; what is here is how operators are named and how keys that are missing, or have many values,
//! count.
//!
//! Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Set operators for multivalued context
//! keys".

mod address;
mod arn;
mod binary;
mod date;
mod number;
mod operator;
mod text;

use super::document::Effect;
use super::error::Problem;
use super::pattern::Pattern;
use super::request::{Scope, Value, Values};
use super::variable::Syntax;
use operator::{Operator, Quantifier};

/// One condition.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// In lower case.
    key: Box<str>,
    quantifier: Quantifier,
    /// `…IfExists`
    if_exists: bool,
    /// `…Not…`
    negated: bool,
    test: Test,
}

/// What a value is compared with: it passes when it fits one of the operands.
#[derive(Debug, Clone)]
enum Test {
    Text(text::Operands),
    Arn(Vec<arn::ArnPattern>),
    Number(number::Comparator, Vec<number::Decimal>),
    Date(number::Comparator, Vec<i64>),
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Address(Vec<address::Network>),
    /// Whether the key is to be missing.
    Null(Vec<bool>),
}

impl Condition {
    /// Reads a condition from an operator and the values as texts.
    ///
    /// # Errors
    /// [`Problem::Operator`] for an operator that there is not; for a value that is none of the operator's, the problem
    /// and the index of the value.
    pub(super) fn parse(
        operator: &str,
        key: &str,
        operands: &[&str],
        variables: bool,
    ) -> Result<Self, (Option<usize>, Problem)> {
        let parsed = Operator::parse(operator);
        let parsed = parsed.ok_or_else(|| (None, Problem::Operator(operator.to_owned())))?;
        let syntax = Syntax {
            wildcards: parsed.takes_wildcards(),
            variables,
        };
        let test = parsed.test(operands, syntax).map_err(|(index, problem)| {
            let problem = problem.unwrap_or_else(|| Problem::Operand {
                operator: operator.to_owned(),
                value: operands[index].to_owned(),
            });
            (Some(index), problem)
        })?;
        Ok(Self {
            key: key.to_ascii_lowercase().into(),
            quantifier: parsed.quantifier,
            if_exists: parsed.if_exists,
            negated: parsed.negated(),
            test,
        })
    }

    /// The key, in lower case.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The patterns among what it compares with.
    pub(super) fn patterns(&self) -> Vec<&Pattern> {
        match &self.test {
            Test::Text(operands) => operands.patterns().iter().collect(),
            Test::Arn(patterns) => patterns.iter().flat_map(arn::ArnPattern::parts).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the condition holds. `effect` is the statement's.
    ///
    /// A key of many values without a quantifier is no use that AWS describes. It is read narrowly: to allow, all values
    /// have to fit; to deny, one is enough.
    pub(super) fn holds(&self, scope: &Scope<'_>, effect: Effect) -> bool {
        let values = scope.values(&self.key);
        if let Test::Null(wanted) = &self.test {
            let is_missing = is_missing(&values);
            return wanted.contains(&is_missing);
        }
        if is_missing(&values) {
            return match self.quantifier {
                Quantifier::ForAllValues => true,
                Quantifier::ForAnyValue => self.if_exists,
                Quantifier::None => self.if_exists || self.negated,
            };
        }
        let fits = |value: &Value<'_>| self.test.fits(value, scope) != self.negated;
        let values = match &values {
            Values::Absent => &[],
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values.as_slice(),
        };
        match (self.quantifier, effect) {
            (Quantifier::ForAllValues, _) | (Quantifier::None, Effect::Allow) => values.iter().all(fits),
            (Quantifier::ForAnyValue, _) | (Quantifier::None, Effect::Deny) => values.iter().any(fits),
        }
    }
}

fn is_missing(values: &Values<'_>) -> bool {
    match values {
        Values::Absent => true,
        Values::One(_) => false,
        Values::Many(values) => values.is_empty(),
    }
}

impl Test {
    fn fits(&self, value: &Value<'_>, scope: &Scope<'_>) -> bool {
        match self {
            Self::Text(operands) => operands.fit(&value.text(), scope),
            Self::Arn(patterns) => {
                let text = value.text();
                patterns.iter().any(|pattern| pattern.matches(&text, scope))
            }
            Self::Number(comparator, operands) => number::of(value).is_some_and(|value| {
                operands
                    .iter()
                    .any(|operand| comparator.holds(value.cmp(operand)))
            }),
            Self::Date(comparator, operands) => date::of(value).is_some_and(|value| {
                operands
                    .iter()
                    .any(|operand| comparator.holds(value.cmp(operand)))
            }),
            Self::Bool(operands) => {
                let text = value.text();
                let value = parse_bool(&text);
                operands.iter().any(|operand| value == Some(*operand))
            }
            Self::Binary(operands) => binary::of(value).is_some_and(|value| operands.contains(&value)),
            Self::Address(networks) => address::of(value)
                .is_some_and(|address| networks.iter().any(|network| network.contains(address))),
            // Decided without a value.
            Self::Null(_) => false,
        }
    }
}

/// `true` or `false` in any case.
fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}
