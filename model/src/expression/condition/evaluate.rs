//! Evaluation of conditions on an item in stored form.
//!
//! Invariant: nothing is copied: operands are slices of the item or of the given values, `size` is a number held in
//! place. A missing attribute differs from everything, equals nothing and has no order.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Condition and filter expressions, operators, and functions".

use std::cmp::Ordering;

use memchr::memmem;

use super::{Comparator, Condition, Operand};
use crate::attribute::{Kind, RawValue, SetElement, ValueRef};
use crate::expression::placeholders::Placeholders;
use crate::item::ItemRef;
use crate::number::{EncodedNumber, Number};

/// What an operand is for one item.
enum Evaluated<'a> {
    Missing,
    Value(RawValue<'a>),
    Size(EncodedNumber),
}

impl Evaluated<'_> {
    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Missing => None,
            Self::Value(value) => Some(value.kind()),
            Self::Size(_) => Some(Kind::Number),
        }
    }

    /// Type and ordering bytes of a scalar.
    fn scalar(&self) -> Option<SetElement<'_>> {
        match self {
            Self::Missing => None,
            Self::Value(value) => SetElement::of(*value),
            Self::Size(number) => Some(SetElement {
                kind: Kind::Number,
                bytes: number.as_bytes(),
            }),
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(own), Self::Value(other)) => own == other,
            _ => self.scalar().is_some_and(|own| other.scalar() == Some(own)),
        }
    }

    /// The order of two scalars of one type.
    fn order(&self, other: &Self) -> Option<Ordering> {
        let (own, other) = (self.scalar()?, other.scalar()?);
        (own.kind == other.kind).then(|| own.bytes.cmp(other.bytes))
    }

    fn contains(&self, element: &Self) -> bool {
        let Self::Value(container) = self else {
            return false;
        };
        match (container.open(), element.scalar()) {
            (ValueRef::String(text), Some(part)) => {
                part.kind == Kind::String && memmem::find(text, part.bytes).is_some()
            }
            (ValueRef::Binary(bytes), Some(part)) => {
                part.kind == Kind::Binary && memmem::find(bytes, part.bytes).is_some()
            }
            (ValueRef::Set(set), Some(element)) => set.contains(element),
            (ValueRef::List(list), _) => list.iter().any(|own| Evaluated::Value(own).equals(element)),
            _ => false,
        }
    }
}

impl Operand {
    fn evaluate<'a>(&self, item: Option<ItemRef<'a>>, placeholders: &'a Placeholders) -> Evaluated<'a> {
        let value = match self {
            Self::Path(path) | Self::SizeOfPath(path) => item.and_then(|item| path.resolve(item)),
            Self::Value(id) | Self::SizeOfValue(id) => Some(placeholders.value(*id)),
        };
        let value = match self {
            Self::Path(_) | Self::Value(_) => value.map(Evaluated::Value),
            Self::SizeOfPath(_) | Self::SizeOfValue(_) => value.and_then(size).map(Evaluated::Size),
        };
        value.unwrap_or(Evaluated::Missing)
    }
}

/// The `size` of a value; numbers, `BOOL` and `NULL` have none.
fn size(value: RawValue<'_>) -> Option<EncodedNumber> {
    let size = match value.open() {
        ValueRef::String(text) => utf16_length(text),
        ValueRef::Binary(bytes) => bytes.len(),
        ValueRef::Set(set) => set.len(),
        ValueRef::List(list) => list.len(),
        ValueRef::Map(map) => map.len(),
        ValueRef::Null | ValueRef::Bool(_) | ValueRef::Number(_) => return None,
    };
    Some(Number::from(u32::try_from(size).unwrap_or(u32::MAX)).encode())
}

/// The length of a text as DynamoDB counts it: in UTF-16 units, two for a character of four UTF-8 bytes.
fn utf16_length(text: &[u8]) -> usize {
    text.iter()
        .map(|byte| match byte {
            0x80..=0xBF => 0,
            0xF0..=0xFF => 2,
            _ => 1,
        })
        .sum()
}

impl Condition {
    /// Whether the condition holds for an item, or for the absence of one.
    pub fn evaluate(&self, item: Option<ItemRef<'_>>, placeholders: &Placeholders) -> bool {
        let evaluate = |operand: &Operand| operand.evaluate(item, placeholders);
        let exists = |path: &crate::expression::Path| item.and_then(|item| path.resolve(item)).is_some();
        match self {
            Self::All(conditions) => conditions
                .iter()
                .all(|condition| condition.evaluate(item, placeholders)),
            Self::Any(conditions) => conditions
                .iter()
                .any(|condition| condition.evaluate(item, placeholders)),
            Self::Not(condition) => !condition.evaluate(item, placeholders),
            Self::Compare {
                comparator,
                left,
                right,
            } => compare(*comparator, &evaluate(left), &evaluate(right)),
            Self::Between {
                operand,
                lower,
                upper,
            } => {
                let operand = evaluate(operand);
                operand.order(&evaluate(lower)).is_some_and(Ordering::is_ge)
                    && operand.order(&evaluate(upper)).is_some_and(Ordering::is_le)
            }
            Self::In { operand, candidates } => {
                let operand = evaluate(operand);
                candidates
                    .iter()
                    .any(|candidate| operand.equals(&evaluate(candidate)))
            }
            Self::AttributeExists(path) => exists(path),
            Self::AttributeNotExists(path) => !exists(path),
            Self::AttributeType { operand, kind } => evaluate(operand).kind() == Some(*kind),
            Self::BeginsWith { operand, prefix } => {
                let (operand, prefix) = (evaluate(operand), evaluate(prefix));
                match (operand.scalar(), prefix.scalar()) {
                    (Some(own), Some(prefix)) => {
                        own.kind == prefix.kind
                            && own.kind != Kind::Number
                            && own.bytes.starts_with(prefix.bytes)
                    }
                    _ => false,
                }
            }
            Self::Contains { container, element } => evaluate(container).contains(&evaluate(element)),
        }
    }
}

fn compare(comparator: Comparator, left: &Evaluated<'_>, right: &Evaluated<'_>) -> bool {
    let order = |holds: fn(Ordering) -> bool| left.order(right).is_some_and(holds);
    match comparator {
        Comparator::Equal => left.equals(right),
        Comparator::NotEqual => !left.equals(right),
        Comparator::Less => order(Ordering::is_lt),
        Comparator::LessOrEqual => order(Ordering::is_le),
        Comparator::Greater => order(Ordering::is_gt),
        Comparator::GreaterOrEqual => order(Ordering::is_ge),
    }
}
