//! The names of operators: `ForAllValues:StringNotLikeIfExists` and what it is made of.
//!
//! Names are read whatever their case, as AWS does.

use super::super::error::Problem;
use super::super::variable::Syntax;
use super::number::Comparator;
use super::{Test, address, arn, binary, date, number, parse_bool, text};

/// How the values of a key of many values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    None,
    ForAllValues,
    ForAnyValue,
}

/// An operator with what stands before and behind its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) quantifier: Quantifier,
    pub(super) if_exists: bool,
    kind: Kind,
}

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    StringEquals { negated: bool },
    StringEqualsIgnoreCase { negated: bool },
    StringLike { negated: bool },
    Arn { negated: bool },
    Number(Comparator),
    NumberNot,
    Date(Comparator),
    DateNot,
    Bool,
    Binary,
    Address { negated: bool },
    Null,
}

impl Operator {
    /// Reads the name of an operator; `None` when there is no such one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (quantifier, name) = if let Some(name) = name.strip_prefix("forallvalues:") {
            (Quantifier::ForAllValues, name)
        } else if let Some(name) = name.strip_prefix("foranyvalue:") {
            (Quantifier::ForAnyValue, name)
        } else {
            (Quantifier::None, name.as_str())
        };
        let (name, if_exists) = match name.strip_suffix("ifexists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let kind = Kind::parse(name)?;
        // Whether a key is there cannot depend on whether it is there, nor on its values.
        let is_bare = quantifier == Quantifier::None && !if_exists;
        (kind != Kind::Null || is_bare).then_some(Self {
            quantifier,
            if_exists,
            kind,
        })
    }

    /// Whether `*` and `?` mean something in its values.
    pub(super) fn takes_wildcards(self) -> bool {
        matches!(self.kind, Kind::StringLike { .. } | Kind::Arn { .. })
    }

    /// Whether the condition holds where no value fits.
    pub(super) fn negated(self) -> bool {
        match self.kind {
            Kind::StringEquals { negated }
            | Kind::StringEqualsIgnoreCase { negated }
            | Kind::StringLike { negated }
            | Kind::Arn { negated }
            | Kind::Address { negated } => negated,
            Kind::NumberNot | Kind::DateNot => true,
            Kind::Number(_) | Kind::Date(_) | Kind::Bool | Kind::Binary | Kind::Null => false,
        }
    }

    /// Reads the values to compare with.
    ///
    /// # Errors
    /// The index of a value that cannot be compared with, and why if it is not its form.
    pub(super) fn test(self, operands: &[&str], syntax: Syntax) -> Result<Test, (usize, Option<Problem>)> {
        let equal = Comparator::Equal;
        Ok(match self.kind {
            Kind::StringEquals { .. } | Kind::StringLike { .. } => {
                Test::Text(text::Operands::parse(operands, syntax, false)?)
            }
            Kind::StringEqualsIgnoreCase { .. } => Test::Text(text::Operands::parse(operands, syntax, true)?),
            Kind::Arn { .. } => Test::Arn(each(operands, |text| {
                arn::ArnPattern::parse(text, syntax).map_err(Some)
            })?),
            Kind::Number(comparator) => Test::Number(comparator, each(operands, known(number::parse))?),
            Kind::NumberNot => Test::Number(equal, each(operands, known(number::parse))?),
            Kind::Date(comparator) => Test::Date(comparator, each(operands, known(date::parse))?),
            Kind::DateNot => Test::Date(equal, each(operands, known(date::parse))?),
            Kind::Bool => Test::Bool(each(operands, known(parse_bool))?),
            Kind::Null => Test::Null(each(operands, known(parse_bool))?),
            Kind::Binary => Test::Binary(each(operands, known(binary::parse))?),
            Kind::Address { .. } => Test::Address(each(operands, known(address::Network::parse))?),
        })
    }
}

impl Kind {
    /// The operator of a name in lower case.
    fn parse(name: &str) -> Option<Self> {
        if let Some(comparator) = name.strip_prefix("numeric") {
            return Some(match comparator {
                "notequals" => Self::NumberNot,
                _ => Self::Number(Comparator::parse(comparator)?),
            });
        }
        if let Some(comparator) = name.strip_prefix("date") {
            return Some(match comparator {
                "notequals" => Self::DateNot,
                _ => Self::Date(Comparator::parse(comparator)?),
            });
        }
        Some(match name {
            "stringequals" => Self::StringEquals { negated: false },
            "stringnotequals" => Self::StringEquals { negated: true },
            "stringequalsignorecase" => Self::StringEqualsIgnoreCase { negated: false },
            "stringnotequalsignorecase" => Self::StringEqualsIgnoreCase { negated: true },
            "stringlike" => Self::StringLike { negated: false },
            "stringnotlike" => Self::StringLike { negated: true },
            "arnequals" | "arnlike" => Self::Arn { negated: false },
            "arnnotequals" | "arnnotlike" => Self::Arn { negated: true },
            "bool" => Self::Bool,
            "binaryequals" => Self::Binary,
            "ipaddress" => Self::Address { negated: false },
            "notipaddress" => Self::Address { negated: true },
            "null" => Self::Null,
            _ => return None,
        })
    }
}

/// A reader of values whose only problem is their form.
fn known<T>(parse: impl Fn(&str) -> Option<T>) -> impl Fn(&str) -> Result<T, Option<Problem>> {
    move |text| parse(text).ok_or(None)
}

/// Reads each value.
///
/// # Errors
/// The index of the first that cannot be read, and why if that is known.
pub(super) fn each<T>(
    operands: &[&str],
    parse: impl Fn(&str) -> Result<T, Option<Problem>>,
) -> Result<Vec<T>, (usize, Option<Problem>)> {
    let parsed = operands.iter().enumerate();
    parsed
        .map(|(index, text)| parse(text).map_err(|problem| (index, problem)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_of_the_guide_is_known() {
        let names = "StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike \
                     StringNotLike NumericEquals NumericNotEquals NumericLessThan NumericLessThanEquals \
                     NumericGreaterThan NumericGreaterThanEquals DateEquals DateNotEquals DateLessThan \
                     DateLessThanEquals DateGreaterThan DateGreaterThanEquals Bool BinaryEquals IpAddress \
                     NotIpAddress ArnEquals ArnLike ArnNotEquals ArnNotLike";
        for name in names.split_whitespace() {
            for before in ["", "ForAllValues:", "ForAnyValue:"] {
                for behind in ["", "IfExists"] {
                    let operator = Operator::parse(&format!("{before}{name}{behind}")).unwrap();
                    assert_eq!(operator.if_exists, !behind.is_empty());
                    assert_eq!(operator.quantifier == Quantifier::None, before.is_empty());
                    assert_eq!(operator.negated(), name.contains("Not"));
                }
            }
        }
        assert!(Operator::parse("Null").is_some());
        for name in [
            "",
            "NullIfExists",
            "ForAllValues:Null",
            "StringEqual",
            "Numeric",
            "IfExists",
            "DateLess",
        ] {
            assert_eq!(Operator::parse(name), None, "{name}");
        }
    }
}
