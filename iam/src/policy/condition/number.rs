//! Conditions on numbers: exact decimals, so that no number is taken for its neighbour.

use std::cmp::Ordering;

use super::super::request::Value;

/// Digits behind the point that are kept; a number with more is none.
const SCALE: usize = 18;
/// Digits before the point.
const WHOLE_MAX: usize = 19;

/// A decimal with up to 19 digits before the point and 18 behind it, in units of 10^-18.
pub(super) type Decimal = i128;

/// How a value is to stand to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparator {
    /// What stands behind `Numeric` and `Date` in the name of an operator, in lower case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "equals" => Self::Equal,
            "lessthan" => Self::Less,
            "lessthanequals" => Self::LessOrEqual,
            "greaterthan" => Self::Greater,
            "greaterthanequals" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether a value that compares like this with the policy's is wanted.
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// The number that a value is.
pub(super) fn of(value: &Value<'_>) -> Option<Decimal> {
    match value {
        Value::Number(number) => Some(i128::from(*number) * 10_i128.pow(18)),
        other => parse(&other.text()),
    }
}

/// Reads `-12.5`.
pub(super) fn parse(text: &str) -> Option<Decimal> {
    let (digits, sign) = match text.strip_prefix('-') {
        Some(digits) => (digits, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fits = whole.len() <= WHOLE_MAX && fraction.len() <= SCALE && whole.len() + fraction.len() > 0;
    if !fits {
        return None;
    }
    let zeros = std::iter::repeat_n(b'0', SCALE - fraction.len());
    let mut number: Decimal = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i128::from(digit - b'0');
    }
    Some(sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        assert_eq!(parse("1.50"), parse("+1.5"));
        assert_eq!(parse("-0"), Some(0));
        assert_eq!(parse(".5"), Some(500_000_000_000_000_000));
        assert_ne!(parse("9007199254740993"), parse("9007199254740992"));
        assert_eq!(of(&Value::Number(-3)), parse("-3"));
        for text in [
            "",
            "-",
            ".",
            "1e3",
            " 1",
            "1.2.3",
            "0.0000000000000000001",
            "12345678901234567890",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
