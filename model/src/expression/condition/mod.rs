//! Condition and filter expressions: what they are made of. Parsing is in `parse.rs`, evaluation in
//! `evaluate.rs`.
//!
//! Invariant: a parsed [`Condition`] names only values of the placeholders it was parsed with. Conditions may also be put
//! together by hand, for requests that state them without an expression.

mod evaluate;
mod parse;

use super::path::Path;
use super::placeholders::ValueId;
use crate::attribute::Kind;

/// A condition on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `AND`: true when all are, and so when there are none.
    All(Vec<Condition>),
    /// `OR`: true when one is.
    Any(Vec<Condition>),
    /// `NOT`
    Not(Box<Condition>),
    /// `=`, `<>`, `<`, `<=`, `>`, `>=`
    Compare {
        /// How the operands are to stand to each other.
        comparator: Comparator,
        /// The operand before the comparator.
        left: Operand,
        /// The operand after it.
        right: Operand,
    },
    /// `BETWEEN`, with both bounds included.
    Between {
        /// What is compared.
        operand: Operand,
        /// Lower bound.
        lower: Operand,
        /// Upper bound.
        upper: Operand,
    },
    /// `IN`
    In {
        /// What is compared.
        operand: Operand,
        /// What it may be equal to.
        candidates: Vec<Operand>,
    },
    /// `attribute_exists`
    AttributeExists(Path),
    /// `attribute_not_exists`
    AttributeNotExists(Path),
    /// `attribute_type`
    AttributeType {
        /// What is looked at.
        operand: Operand,
        /// The type it is to have.
        kind: Kind,
    },
    /// `begins_with`, for text and binary.
    BeginsWith {
        /// What is looked at.
        operand: Operand,
        /// What it is to begin with.
        prefix: Operand,
    },
    /// `contains`: a part of a text or binary, an element of a set or list.
    Contains {
        /// What is searched.
        container: Operand,
        /// What is to be in it.
        element: Operand,
    },
}

/// Something that has a value once there is an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// What the item has at a path.
    Path(Path),
    /// A given value.
    Value(ValueId),
    /// `size` of what the item has at a path.
    SizeOfPath(Path),
    /// `size` of a given value.
    SizeOfValue(ValueId),
}

/// How two operands are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparator {
    /// The comparator as it is written.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The comparator that says the same of the operands in the other order.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

impl Operand {
    /// The path that is read, if one is.
    pub const fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) | Self::SizeOfPath(path) => Some(path),
            Self::Value(_) | Self::SizeOfValue(_) => None,
        }
    }
}

impl Condition {
    /// Calls `visit` with every path that the condition reads, in the order of the text.
    pub fn for_each_path<'a>(&'a self, visit: &mut impl FnMut(&'a Path)) {
        let mut operands = |operands: &[&'a Operand]| {
            operands
                .iter()
                .filter_map(|operand| operand.path())
                .for_each(&mut *visit);
        };
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                for condition in conditions {
                    condition.for_each_path(visit);
                }
            }
            Self::Not(condition) => condition.for_each_path(visit),
            Self::Compare { left, right, .. } => operands(&[left, right]),
            Self::Between {
                operand,
                lower,
                upper,
            } => operands(&[operand, lower, upper]),
            Self::In { operand, candidates } => {
                operands(&[operand]);
                for candidate in candidates {
                    operands(&[candidate]);
                }
            }
            Self::AttributeExists(path) | Self::AttributeNotExists(path) => visit(path),
            Self::AttributeType { operand, .. } => operands(&[operand]),
            Self::BeginsWith { operand, prefix } => operands(&[operand, prefix]),
            Self::Contains { container, element } => operands(&[container, element]),
        }
    }
}
