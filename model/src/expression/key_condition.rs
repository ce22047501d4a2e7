//! Key condition expressions: which items of one partition a query reads.
//!
//! Invariant: a [`KeyCondition`] has an equality for every hash attribute and, from the first range attribute on without a
//! gap, equalities of which the last one may be another condition; values have the types that the keys name. How keys are ordered on disk is not known here.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Key condition expressions for the Query operation".

use super::condition::{Comparator, Condition, Operand};
use super::error::ExpressionError;
use super::path::Path;
use super::placeholders::{Placeholders, ValueId};
use crate::attribute::{Kind, RawValue};

/// A key attribute: its name, and `String`, `Number` or `Binary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAttribute<'a> {
    /// Name of the attribute.
    pub name: &'a str,
    /// Type of its values.
    pub kind: Kind,
}

/// A parsed key condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCondition {
    hash: Vec<ValueId>,
    /// All but the last are equalities.
    range: Vec<SortCondition<ValueId>>,
}

/// What a query asks of the sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortCondition<V> {
    /// `=`
    Equal(V),
    /// `<`
    Less(V),
    /// `<=`
    LessOrEqual(V),
    /// `>`
    Greater(V),
    /// `>=`
    GreaterOrEqual(V),
    /// `BETWEEN`, with both bounds included; the first is not greater than the second.
    Between(V, V),
    /// `begins_with`, for text and binary.
    BeginsWith(V),
}

impl<V> SortCondition<V> {
    /// The same condition with other values.
    pub fn map<W>(self, mut map: impl FnMut(V) -> W) -> SortCondition<W> {
        match self {
            Self::Equal(value) => SortCondition::Equal(map(value)),
            Self::Less(value) => SortCondition::Less(map(value)),
            Self::LessOrEqual(value) => SortCondition::LessOrEqual(map(value)),
            Self::Greater(value) => SortCondition::Greater(map(value)),
            Self::GreaterOrEqual(value) => SortCondition::GreaterOrEqual(map(value)),
            Self::Between(lower, upper) => SortCondition::Between(map(lower), map(upper)),
            Self::BeginsWith(value) => SortCondition::BeginsWith(map(value)),
        }
    }
}

impl SortCondition<ValueId> {
    /// The attribute of which a condition compares the order with values, and how; `None` when it says anything else.
    pub fn stated_by(condition: &Condition) -> Option<(&str, Self)> {
        match condition {
            Condition::Compare {
                comparator: Comparator::NotEqual,
                ..
            } => None,
            Condition::Compare { .. } | Condition::Between { .. } | Condition::BeginsWith { .. } => {
                bound(condition).ok()
            }
            _ => None,
        }
    }
}

impl KeyCondition {
    /// Parses a key condition expression for a table or index with these keys.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is not one, or does not fit the keys.
    pub fn parse(
        text: &str,
        placeholders: &mut Placeholders,
        partition: KeyAttribute<'_>,
        sort: Option<KeyAttribute<'_>>,
    ) -> Result<Self, ExpressionError> {
        let condition = Condition::parse(text, placeholders)?;
        Self::of_condition(&condition, placeholders, partition, sort)
    }

    /// The key condition that a condition states for a table or index with a partition key and perhaps a sort key.
    ///
    /// # Errors
    /// [`ExpressionError`] when the condition says more or less than a query by key can answer.
    pub fn of_condition(
        condition: &Condition,
        placeholders: &Placeholders,
        partition: KeyAttribute<'_>,
        sort: Option<KeyAttribute<'_>>,
    ) -> Result<Self, ExpressionError> {
        Self::of_attributes(condition, placeholders, &[partition], sort.as_slice())
    }

    /// The same for an index with several hash or range attributes: every hash attribute with `=`, the range attributes
    /// from the first on without a gap, and only the last of those with another operator.
    ///
    /// # Errors
    /// As [`KeyCondition::of_condition`].
    pub fn of_attributes(
        condition: &Condition,
        placeholders: &Placeholders,
        hash: &[KeyAttribute<'_>],
        range: &[KeyAttribute<'_>],
    ) -> Result<Self, ExpressionError> {
        let mut conjuncts = Vec::new();
        collect(condition, &mut conjuncts)?;
        let mut bounds = Vec::with_capacity(conjuncts.len());
        for condition in conjuncts {
            bounds.push(bound(condition)?);
        }
        for (index, (name, _)) in bounds.iter().enumerate() {
            if bounds[..index].iter().any(|(other, _)| name == other) {
                return Err(ExpressionError::KeyRepeated);
            }
        }
        let attributes = hash.len() + range.len();
        if bounds.len() > attributes.max(2) {
            return Err(ExpressionError::KeyTooManyConditions);
        }
        if bounds.len() > attributes {
            return Err(ExpressionError::KeyNotSupported);
        }
        let of = |key: &KeyAttribute<'_>| {
            let found = bounds.iter().find(|(name, _)| *name == key.name);
            let missing = || ExpressionError::KeyMissing {
                name: key.name.to_owned(),
            };
            found.map(|(_, bound)| *bound).ok_or_else(missing)
        };
        let mut parsed = Self {
            hash: Vec::with_capacity(hash.len()),
            range: Vec::new(),
        };
        for key in hash {
            let SortCondition::Equal(value) = of(key)? else {
                return Err(ExpressionError::KeyNotSupported);
            };
            parsed.hash.push(value);
        }
        let on_range = bounds.len() - hash.len();
        for (place, key) in range.iter().take(on_range).enumerate() {
            let bound = of(key)?;
            if place + 1 < on_range && !matches!(bound, SortCondition::Equal(_)) {
                return Err(ExpressionError::KeyNotSupported);
            }
            parsed.range.push(bound);
        }
        parsed.check_values(placeholders, hash, range)?;
        Ok(parsed)
    }

    fn check_values(
        &self,
        placeholders: &Placeholders,
        hash: &[KeyAttribute<'_>],
        range: &[KeyAttribute<'_>],
    ) -> Result<(), ExpressionError> {
        for (key, value) in hash.iter().zip(&self.hash) {
            check_value(*key, placeholders.value(*value))?;
        }
        for (key, bound) in range.iter().zip(&self.range) {
            let mut outcome = Ok(());
            bound.map(|value| {
                if outcome.is_ok() {
                    outcome = check_value(*key, placeholders.value(value));
                }
            });
            outcome?;
        }
        Ok(())
    }

    /// The values that the hash attributes are to have, in the order of the attributes.
    pub fn hash<'a>(&self, placeholders: &'a Placeholders) -> impl Iterator<Item = RawValue<'a>> {
        self.hash.iter().map(|value| placeholders.value(*value))
    }

    /// What is asked of the range attributes, in their order; all but the last are equalities.
    pub fn range<'a>(
        &self,
        placeholders: &'a Placeholders,
    ) -> impl Iterator<Item = SortCondition<RawValue<'a>>> {
        self.range
            .iter()
            .map(|condition| condition.map(|value| placeholders.value(value)))
    }
}

/// Takes conjunctions apart and refuses operators that no key condition may have.
fn collect<'a>(condition: &'a Condition, conjuncts: &mut Vec<&'a Condition>) -> Result<(), ExpressionError> {
    let operator = match condition {
        Condition::All(conditions) => {
            return conditions
                .iter()
                .try_for_each(|condition| collect(condition, conjuncts));
        }
        Condition::Compare { comparator, .. } if *comparator != Comparator::NotEqual => {
            conjuncts.push(condition);
            return Ok(());
        }
        Condition::Between { .. } | Condition::BeginsWith { .. } => {
            conjuncts.push(condition);
            return Ok(());
        }
        Condition::Compare { comparator, .. } => comparator.symbol(),
        Condition::Any(_) => "OR",
        Condition::Not(_) => "NOT",
        Condition::In { .. } => "IN",
        Condition::AttributeExists(_) => "attribute_exists",
        Condition::AttributeNotExists(_) => "attribute_not_exists",
        Condition::AttributeType { .. } => "attribute_type",
        Condition::Contains { .. } => "contains",
    };
    Err(ExpressionError::KeyOperator { operator })
}

/// The attribute that a comparison is about, and what it asks.
fn bound(condition: &Condition) -> Result<(&str, SortCondition<ValueId>), ExpressionError> {
    let (operator, operands): (_, &[&Operand]) = match condition {
        Condition::Compare {
            comparator,
            left,
            right,
        } => (comparator.symbol(), &[left, right]),
        Condition::Between {
            operand,
            lower,
            upper,
        } => ("BETWEEN", &[operand, lower, upper]),
        Condition::BeginsWith { operand, prefix } => ("begins_with", &[operand, prefix]),
        _ => return Err(ExpressionError::KeyNestedOperation),
    };
    let is_size = |operand: &&Operand| matches!(operand, Operand::SizeOfPath(_) | Operand::SizeOfValue(_));
    if operands.iter().any(is_size) {
        return Err(ExpressionError::KeyNestedOperation);
    }
    if operands.iter().filter(|operand| operand.path().is_some()).count() > 1 {
        return Err(ExpressionError::KeyManyNames);
    }
    match (condition, operands) {
        (Condition::Compare { comparator, .. }, [Operand::Path(path), Operand::Value(value)]) => {
            Ok((scalar_name(path)?, compared(*comparator, *value)))
        }
        (Condition::Compare { comparator, .. }, [Operand::Value(value), Operand::Path(path)]) => {
            Ok((scalar_name(path)?, compared(comparator.flipped(), *value)))
        }
        (_, [Operand::Path(path), Operand::Value(lower), Operand::Value(upper)]) => {
            Ok((scalar_name(path)?, SortCondition::Between(*lower, *upper)))
        }
        (_, [Operand::Path(path), Operand::Value(prefix)]) => {
            Ok((scalar_name(path)?, SortCondition::BeginsWith(*prefix)))
        }
        _ if operands.iter().all(|operand| operand.path().is_none()) => Err(ExpressionError::KeyNoName),
        _ => Err(ExpressionError::KeyNotFirst { operator }),
    }
}

fn compared(comparator: Comparator, value: ValueId) -> SortCondition<ValueId> {
    match comparator {
        Comparator::Less => SortCondition::Less(value),
        Comparator::LessOrEqual => SortCondition::LessOrEqual(value),
        Comparator::Greater => SortCondition::Greater(value),
        Comparator::GreaterOrEqual => SortCondition::GreaterOrEqual(value),
        // `collect` lets no `<>` through.
        Comparator::Equal | Comparator::NotEqual => SortCondition::Equal(value),
    }
}

fn scalar_name(path: &Path) -> Result<&str, ExpressionError> {
    if path.is_attribute() {
        Ok(path.top_level())
    } else {
        Err(ExpressionError::KeyNested)
    }
}

fn check_value(key: KeyAttribute<'_>, value: RawValue<'_>) -> Result<(), ExpressionError> {
    if value.kind() != key.kind {
        return Err(ExpressionError::KeyType);
    }
    if value.scalar_bytes().is_some_and(<[u8]>::is_empty) {
        return Err(ExpressionError::KeyEmpty {
            kind: if key.kind == Kind::Binary {
                "binary"
            } else {
                "string"
            },
            name: key.name.to_owned(),
        });
    }
    Ok(())
}
