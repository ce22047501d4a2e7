//! `Expected`: conditions on single attributes, joined by `ConditionalOperator`.

use stator_model::attribute::Kind;

use super::{ConditionalOperator, Expectation, LegacyValue, LegacyWrite, Maker, invalid};
use crate::constraint::ModelEnum;
use crate::wire::error::ApiError;

/// Most values that one `IN` of the expression language takes.
const IN_VALUES_MAX: usize = 100;

/// `ComparisonOperator`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComparisonOperator {
    In,
    Null,
    Between,
    Lt,
    NotContains,
    Eq,
    Gt,
    NotNull,
    Ne,
    Le,
    BeginsWith,
    Ge,
    Contains,
}

impl ModelEnum for ComparisonOperator {
    const NAMES: &'static [&'static str] = &[
        "IN",
        "NULL",
        "BETWEEN",
        "LT",
        "NOT_CONTAINS",
        "EQ",
        "GT",
        "NOT_NULL",
        "NE",
        "LE",
        "BEGINS_WITH",
        "GE",
        "CONTAINS",
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }
}

impl ComparisonOperator {
    const ALL: [Self; 13] = [
        Self::In,
        Self::Null,
        Self::Between,
        Self::Lt,
        Self::NotContains,
        Self::Eq,
        Self::Gt,
        Self::NotNull,
        Self::Ne,
        Self::Le,
        Self::BeginsWith,
        Self::Ge,
        Self::Contains,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::In => "IN",
            Self::Null => "NULL",
            Self::Between => "BETWEEN",
            Self::Lt => "LT",
            Self::NotContains => "NOT_CONTAINS",
            Self::Eq => "EQ",
            Self::Gt => "GT",
            Self::NotNull => "NOT_NULL",
            Self::Ne => "NE",
            Self::Le => "LE",
            Self::BeginsWith => "BEGINS_WITH",
            Self::Ge => "GE",
            Self::Contains => "CONTAINS",
        }
    }

    /// Whether a sort key answers it with one run of items.
    pub(super) const fn is_indexable(self) -> bool {
        matches!(
            self,
            Self::Eq | Self::Lt | Self::Le | Self::Gt | Self::Ge | Self::Between | Self::BeginsWith
        )
    }

    /// Whether the operator works with so many values.
    const fn takes(self, count: usize) -> bool {
        match self {
            Self::Null | Self::NotNull => count == 0,
            Self::Between => count == 2,
            Self::In => count >= 1,
            _ => count == 1,
        }
    }

    /// Whether the operator works with values of this type.
    const fn works_with(self, kind: Kind) -> bool {
        match self {
            Self::Eq | Self::Ne | Self::Null | Self::NotNull => true,
            Self::Lt | Self::Le | Self::Gt | Self::Ge | Self::Between | Self::In => {
                matches!(kind, Kind::String | Kind::Number | Kind::Binary)
            }
            Self::BeginsWith => matches!(kind, Kind::String | Kind::Binary),
            Self::Contains | Self::NotContains => {
                kind.element().is_none() && !matches!(kind, Kind::List | Kind::Map)
            }
        }
    }
}

/// The text of the condition; `None` when nothing is expected.
pub(super) fn text(legacy: &LegacyWrite, maker: &mut Maker<'_>) -> Result<Option<String>, ApiError> {
    let conditions = legacy
        .expected
        .iter()
        .map(|entry| {
            let (operator, values) = understood(entry)?;
            condition(&entry.attribute, operator, &values, maker)
        })
        .collect::<Result<Vec<_>, _>>()?;
    joined(&conditions, legacy.conditional_operator.as_deref())
}

/// The conditions as one, joined by `ConditionalOperator`; `None` when there is none.
pub(super) fn joined(conditions: &[String], operator: Option<&str>) -> Result<Option<String>, ApiError> {
    // An unknown name has been refused with the other constraints of the service model.
    match (
        operator.and_then(ConditionalOperator::from_name),
        conditions.len(),
    ) {
        (Some(_), 0) => Err(ApiError::validation(
            "ConditionalOperator cannot be used without Filter or Expected",
        )),
        (Some(_), 1) => Err(ApiError::validation(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )),
        (None, 0) => Ok(None),
        (Some(ConditionalOperator::Or), _) => Ok(Some(conditions.join(" OR "))),
        (Some(ConditionalOperator::And) | None, _) => Ok(Some(conditions.join(" AND "))),
    }
}

/// What one entry says, in the words of an expression: something that both `AND` and `OR` may join.
pub(super) fn condition(
    attribute: &str,
    operator: ComparisonOperator,
    values: &[&LegacyValue],
    maker: &mut Maker<'_>,
) -> Result<String, ApiError> {
    if !operator.takes(values.len()) {
        return Err(invalid(format_args!(
            "Invalid number of argument(s) for the {} ComparisonOperator",
            operator.name()
        )));
    }
    check_kinds(operator, values, maker)?;
    let name = maker.name(attribute)?;
    let values = values
        .iter()
        .map(|value| maker.value(value))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(spelled(operator, &name, &values))
}

/// The operator and values of an entry; `Exists` and `Value` alone are short for some of them.
fn understood(entry: &Expectation) -> Result<(ComparisonOperator, Vec<&LegacyValue>), ApiError> {
    let attribute = &entry.attribute;
    let refuse = |what: &str| Err(invalid(format_args!("{what} for Attribute: {attribute}")));
    if !entry.given {
        return refuse("ExpectedAttributeValue must not be null");
    }
    for value in entry.value.iter().chain(entry.list.iter().flatten()) {
        value.check()?;
    }
    if entry.value.is_some() && entry.list.is_some() {
        return refuse("Value and AttributeValueList cannot be used together");
    }
    let values = entry.value.iter().chain(entry.list.iter().flatten()).collect();
    let Some(named) = &entry.comparison else {
        if entry.list.is_some() {
            return refuse("AttributeValueList can only be used with a ComparisonOperator");
        }
        return match (entry.exists, entry.value.is_some()) {
            (Some(false), true) => refuse("Value cannot be used when Exists is false"),
            (Some(false), false) => Ok((ComparisonOperator::Null, values)),
            (Some(true) | None, true) => Ok((ComparisonOperator::Eq, values)),
            (Some(true), false) => refuse("Value must be provided when Exists is true"),
            (None, false) => refuse("Value must be provided when Exists is null"),
        };
    };
    if entry.exists.is_some() {
        return refuse("Exists and ComparisonOperator cannot be used together");
    }
    // An unknown name has been refused with the other constraints of the service model.
    let operator = ComparisonOperator::from_name(named).unwrap_or(ComparisonOperator::Eq);
    if entry.value.is_none() && entry.list.is_none() && !operator.takes(0) {
        return refuse(&format!(
            "Value or AttributeValueList must be used with ComparisonOperator: {named}"
        ));
    }
    Ok((operator, values))
}

fn check_kinds(
    operator: ComparisonOperator,
    values: &[&LegacyValue],
    maker: &mut Maker<'_>,
) -> Result<(), ApiError> {
    let values: Vec<_> = values.iter().map(|value| maker.written(value)).collect();
    if let Some(value) = values.iter().find(|value| !operator.works_with(value.kind())) {
        return Err(invalid(format_args!(
            "ComparisonOperator {} is not valid for {} AttributeValue type",
            operator.name(),
            value.kind().descriptor()
        )));
    }
    if values.windows(2).any(|pair| pair[0].kind() != pair[1].kind()) {
        return Err(invalid(
            "AttributeValues inside AttributeValueList must be of same type",
        ));
    }
    match values[..] {
        [lower, upper]
            if operator == ComparisonOperator::Between && lower.scalar_bytes() > upper.scalar_bytes() =>
        {
            Err(ApiError::validation(
                "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
            ))
        }
        _ => Ok(()),
    }
}

fn spelled(operator: ComparisonOperator, name: &str, values: &[String]) -> String {
    let first = values.first().map_or("", String::as_str);
    let compared = |sign: &str| format!("{name} {sign} {first}");
    match operator {
        ComparisonOperator::Eq => compared("="),
        ComparisonOperator::Ne => compared("<>"),
        ComparisonOperator::Lt => compared("<"),
        ComparisonOperator::Le => compared("<="),
        ComparisonOperator::Gt => compared(">"),
        ComparisonOperator::Ge => compared(">="),
        ComparisonOperator::NotNull => format!("attribute_exists({name})"),
        ComparisonOperator::Null => format!("attribute_not_exists({name})"),
        ComparisonOperator::Contains => format!("contains({name}, {first})"),
        // Unlike the negation of a function, it says that there is something that could contain the value.
        ComparisonOperator::NotContains => {
            format!("(attribute_exists({name}) AND NOT contains({name}, {first}))")
        }
        ComparisonOperator::BeginsWith => format!("begins_with({name}, {first})"),
        ComparisonOperator::Between => format!("{name} BETWEEN {}", values.join(" AND ")),
        ComparisonOperator::In => {
            let parts = values.chunks(IN_VALUES_MAX);
            let parts: Vec<_> = parts
                .map(|part| format!("{name} IN ({})", part.join(", ")))
                .collect();
            match &parts[..] {
                [part] => part.clone(),
                parts => format!("({})", parts.join(" OR ")),
            }
        }
    }
}
