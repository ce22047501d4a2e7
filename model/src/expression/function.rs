//! The functions of the expression language, and what is wrong with operands that can be known without an item.
//!
//! Invariant: an operator whose checks pass here never meets, at evaluation, a given value of a type that DynamoDB
//! refuses; types of attributes are seen only then.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Condition and filter expressions, operators, and functions" and "Update
//! expressions".

use super::error::{ExpressionError, TYPE_NAMES};
use super::parser::{Call, Language, Parsed, Term};
use super::placeholders::{Placeholders, ValueId};
use crate::attribute::{Kind, RawValue, ValueRef};

/// Most values that `IN` compares with.
///
/// Source: Amazon DynamoDB Developer Guide, "Condition and filter expressions: IN".
const IN_OPERANDS_MAX: usize = 100;

/// A function of the expression language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    AttributeExists,
    AttributeNotExists,
    AttributeType,
    BeginsWith,
    Contains,
    Size,
    IfNotExists,
    ListAppend,
}

impl Function {
    const ALL: [Self; 8] = [
        Self::AttributeExists,
        Self::AttributeNotExists,
        Self::AttributeType,
        Self::BeginsWith,
        Self::Contains,
        Self::Size,
        Self::IfNotExists,
        Self::ListAppend,
    ];

    /// The functions that are conditions by themselves.
    pub(super) const CONDITIONS: [Self; 5] = [
        Self::AttributeExists,
        Self::AttributeNotExists,
        Self::AttributeType,
        Self::BeginsWith,
        Self::Contains,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AttributeExists => "attribute_exists",
            Self::AttributeNotExists => "attribute_not_exists",
            Self::AttributeType => "attribute_type",
            Self::BeginsWith => "begins_with",
            Self::Contains => "contains",
            Self::Size => "size",
            Self::IfNotExists => "if_not_exists",
            Self::ListAppend => "list_append",
        }
    }

    /// The function of this name. Capitals matter.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    pub(super) const fn belongs_to(self, language: Language) -> bool {
        matches!(self, Self::IfNotExists | Self::ListAppend) == matches!(language, Language::Update)
    }

    const fn operand_count(self) -> usize {
        match self {
            Self::AttributeExists | Self::AttributeNotExists | Self::Size => 1,
            _ => 2,
        }
    }
}

/// The type that a term has whatever the item is.
fn known_kind(term: &Term, placeholders: &Placeholders) -> Option<Kind> {
    match term {
        Term::Value(id) => Some(placeholders.value(*id).kind()),
        Term::Call(Call {
            function: Function::Size,
            ..
        }) => Some(Kind::Number),
        _ => None,
    }
}

/// Checks the operands of a call.
pub(super) fn check_call(function: Function, arguments: &[Term], placeholders: &Placeholders) -> Parsed<()> {
    let operator = function.name();
    if arguments.len() != function.operand_count() {
        return Err(ExpressionError::OperandCount {
            operator,
            count: arguments.len(),
        });
    }
    if function != Function::ListAppend {
        check_distinct(operator, arguments)?;
    }
    match function {
        Function::AttributeExists | Function::AttributeNotExists | Function::IfNotExists => {
            match arguments.first() {
                Some(Term::Path(_) | Term::Refused | Term::RefusedCall) => Ok(()),
                _ => Err(ExpressionError::PathRequired { operator }),
            }
        }
        Function::AttributeType => check_type_name(&arguments[1], placeholders),
        Function::BeginsWith => check_kinds(operator, arguments, placeholders, |kind| {
            matches!(kind, Kind::String | Kind::Binary)
        }),
        Function::Contains => Ok(()),
        Function::Size => check_kinds(operator, arguments, placeholders, |kind| {
            !matches!(kind, Kind::Number | Kind::Bool | Kind::Null)
        }),
        Function::ListAppend => check_kinds(operator, arguments, placeholders, |kind| kind == Kind::List),
    }
}

/// Checks the operands of `<`, `<=`, `>`, `>=` and `BETWEEN`, which work on scalars that have an order.
pub(super) fn check_ordered(
    operator: &'static str,
    terms: &[Term],
    placeholders: &Placeholders,
) -> Parsed<()> {
    check_distinct(operator, terms)?;
    check_kinds(operator, terms, placeholders, |kind| {
        matches!(kind, Kind::String | Kind::Number | Kind::Binary)
    })
}

/// Checks the operands of `IN`, the one before the list first.
pub(super) fn check_in(terms: &[Term]) -> Parsed<()> {
    let count = terms.len() - 1;
    if count > IN_OPERANDS_MAX {
        return Err(ExpressionError::TooManyInOperands { count });
    }
    check_distinct("IN", terms)
}

/// Checks that the first operand is not among the others.
pub(super) fn check_distinct(operator: &'static str, terms: &[Term]) -> Parsed<()> {
    let Some((Term::Path(first), others)) = terms.split_first() else {
        return Ok(());
    };
    let again = |term: &Term| matches!(term, Term::Path(path) if path == first);
    if others.iter().any(again) {
        return Err(ExpressionError::SameOperand {
            operator,
            operand: first.to_string(),
        });
    }
    Ok(())
}

/// Checks that the operands whose type is known have one that works.
pub(super) fn check_kinds(
    operator: &'static str,
    terms: &[Term],
    placeholders: &Placeholders,
    works: impl Fn(Kind) -> bool,
) -> Parsed<()> {
    let wrong = terms
        .iter()
        .filter_map(|term| known_kind(term, placeholders))
        .find(|&kind| !works(kind));
    match wrong {
        Some(kind) => Err(ExpressionError::OperandType {
            operator,
            kind: kind.descriptor(),
        }),
        None => Ok(()),
    }
}

/// Checks the bounds of `BETWEEN` against each other when both are values.
pub(super) fn check_bounds(lower: &Term, upper: &Term, placeholders: &Placeholders) -> Parsed<()> {
    let (Term::Value(lower), Term::Value(upper)) = (lower, upper) else {
        return Ok(());
    };
    let (lower, upper) = (placeholders.value(*lower), placeholders.value(*upper));
    let texts = || (describe(lower), describe(upper));
    if lower.kind() != upper.kind() {
        let (lower, upper) = texts();
        return Err(ExpressionError::BoundTypesDiffer { lower, upper });
    }
    if lower.scalar_bytes() > upper.scalar_bytes() {
        let (lower, upper) = texts();
        return Err(ExpressionError::BoundsInverted { lower, upper });
    }
    Ok(())
}

/// A scalar as DynamoDB's messages show it, such as `{N:7}`; of binary values they only give the length.
fn describe(value: RawValue<'_>) -> String {
    match value.open() {
        ValueRef::String(text) => format!("{{S:{}}}", String::from_utf8_lossy(text)),
        ValueRef::Number(number) => format!("{{N:{}}}", number.format().as_str()),
        ValueRef::Binary(bytes) => {
            let length = bytes.len();
            format!("{{B:java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]}}")
        }
        _ => format!("{{{}}}", value.kind().descriptor()),
    }
}

/// The type that a value names, for `attribute_type`.
pub(super) fn type_named(id: ValueId, placeholders: &Placeholders) -> Option<Kind> {
    match placeholders.value(id).open() {
        ValueRef::String(text) => std::str::from_utf8(text).ok().and_then(Kind::from_descriptor),
        _ => None,
    }
}

fn check_type_name(term: &Term, placeholders: &Placeholders) -> Parsed<()> {
    let operator = Function::AttributeType.name();
    match (term, known_kind(term, placeholders)) {
        (Term::Refused | Term::RefusedCall, _) => Ok(()),
        (Term::Value(id), Some(Kind::String)) => {
            match (type_named(*id, placeholders), placeholders.value(*id).open()) {
                (None, ValueRef::String(text)) => Err(ExpressionError::UnknownTypeName {
                    name: String::from_utf8_lossy(text).into_owned(),
                }),
                _ => Ok(()),
            }
        }
        (_, kind) => Err(ExpressionError::OperandType {
            operator,
            kind: kind.map_or(TYPE_NAMES, Kind::descriptor),
        }),
    }
}
