//! What put, delete, update and check have in common: a condition, what to show, and expressions in bytes.
//!
//! Expressions travel as the text that the client has sent, because the language of the API changes least of all forms.
//! What a client states without an expression travels as the text that the operation has made of it.
//! Names and values travel as one item in stored form whose attributes are the placeholders: of a `#name` the text that
//! it stands for, of a `:value` the value.

use stator_model::attribute::ValueRef;
use stator_model::expression::{Condition, ExpressionError, Placeholders};
use stator_model::item::{Item, ItemWriter};

use super::answer::Refusal;
use super::codec::{Cursor, Malformed, put_bytes};
use crate::constraint::ModelEnum;

/// An expression with the text that it was parsed from.
pub(crate) type Spelled<'a, T> = (&'a str, &'a T);

/// `ReturnValues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReturnValues {
    AllNew,
    UpdatedOld,
    AllOld,
    #[default]
    None,
    UpdatedNew,
}

impl ModelEnum for ReturnValues {
    const NAMES: &'static [&'static str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ALL_NEW" => Self::AllNew,
            "UPDATED_OLD" => Self::UpdatedOld,
            "ALL_OLD" => Self::AllOld,
            "NONE" => Self::None,
            "UPDATED_NEW" => Self::UpdatedNew,
            _ => return None,
        })
    }
}

impl ReturnValues {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::AllOld => 1,
            Self::AllNew => 2,
            Self::UpdatedOld => 3,
            Self::UpdatedNew => 4,
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(match cursor.byte()? {
            0 => Self::None,
            1 => Self::AllOld,
            2 => Self::AllNew,
            3 => Self::UpdatedOld,
            4 => Self::UpdatedNew,
            other => return Err(Malformed(format!("unknown return values {other}"))),
        })
    }
}

/// `ReturnValuesOnConditionCheckFailure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnFailure {
    AllOld,
    #[default]
    None,
}

impl ModelEnum for OnFailure {
    const NAMES: &'static [&'static str] = &["ALL_OLD", "NONE"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ALL_OLD" => Self::AllOld,
            "NONE" => Self::None,
            _ => return None,
        })
    }
}

/// A condition with what it was parsed with. All expressions of a command share the placeholders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard<'a> {
    pub(crate) condition: Option<Spelled<'a, Condition>>,
    pub(crate) placeholders: &'a Placeholders,
    pub(crate) on_failure: OnFailure,
}

impl Guard<'_> {
    /// Checks the condition on the current item.
    ///
    /// # Errors
    /// [`Refusal::ConditionFailed`], with the item if that was asked for.
    pub(super) fn check(&self, current: Option<&Item>) -> Result<(), Refusal> {
        let Some((_, condition)) = self.condition else {
            return Ok(());
        };
        if condition.evaluate(current.map(Item::as_ref), self.placeholders) {
            return Ok(());
        }
        let shown = current.filter(|_| self.on_failure == OnFailure::AllOld).cloned();
        Err(Refusal::ConditionFailed(shown))
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.push(match self.on_failure {
            OnFailure::None => 0,
            OnFailure::AllOld => 1,
        });
        put_expression(into, self.condition);
        if self.placeholders.is_empty() {
            put_bytes(into, &[]);
            return;
        }
        let mut item = ItemWriter::with_capacity(256);
        for (placeholder, name) in self.placeholders.names() {
            item.writer().name(placeholder.as_bytes());
            item.writer().string(name);
        }
        for (placeholder, value) in self.placeholders.values() {
            item.writer().name(placeholder.as_bytes());
            item.writer().raw(value);
        }
        put_bytes(into, item.finish().stored());
    }
}

/// Appends the text of an expression, or that there is none: no expression is empty.
pub(super) fn put_expression<T>(into: &mut Vec<u8>, expression: Option<Spelled<'_, T>>) {
    put_bytes(into, expression.map_or("", |(text, _)| text).as_bytes());
}

/// A guard that was read from bytes. Its condition is parsed by [`ReadGuard::condition`], when the bytes of all
/// expressions of the command are known to be there.
#[derive(Debug)]
pub(super) struct ReadGuard<'a> {
    on_failure: OnFailure,
    condition: &'a str,
    placeholders: Placeholders,
}

/// An expression that was read from bytes.
pub(super) type ReadExpression<'a, T> = Option<(&'a str, T)>;

/// The expression as a command holds it.
pub(super) fn spelled<'a, T>(read: &'a ReadExpression<'_, T>) -> Option<Spelled<'a, T>> {
    read.as_ref().map(|(text, meaning)| (*text, meaning))
}

impl<'a> ReadGuard<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let on_failure = match cursor.byte()? {
            0 => OnFailure::None,
            1 => OnFailure::AllOld,
            other => return Err(Malformed(format!("unknown on-failure {other}"))),
        };
        let condition = cursor.text()?;
        let placeholders = match cursor.optional_item()? {
            Some(item) => placeholders(&item)?,
            None => Placeholders::default(),
        };
        Ok(Self {
            on_failure,
            condition,
            placeholders,
        })
    }

    /// Parses a text of the command; `None` for an empty one. The API's bounds are no concern here: the operation has
    /// seen to them, or has made the text itself.
    pub(super) fn parse<T>(
        &mut self,
        text: &'a str,
        parse: impl FnOnce(&str, &mut Placeholders) -> Result<T, ExpressionError>,
    ) -> Result<ReadExpression<'a, T>, Malformed> {
        if text.is_empty() {
            return Ok(None);
        }
        let meaning = parse(text, &mut self.placeholders)
            .map_err(|error| Malformed(format!("expression {text:?}: {error}")))?;
        Ok(Some((text, meaning)))
    }

    /// Parses the condition, which comes last: then every placeholder has to be used.
    pub(super) fn condition(&mut self) -> Result<ReadExpression<'a, Condition>, Malformed> {
        let condition = self.parse(self.condition, Condition::parse_unbounded)?;
        self.placeholders
            .check_all_used()
            .map_err(|error| Malformed(error.to_string()))?;
        Ok(condition)
    }

    /// The guard as a command holds it.
    pub(super) fn guard<'b>(&'b self, condition: &'b ReadExpression<'_, Condition>) -> Guard<'b> {
        Guard {
            condition: spelled(condition),
            placeholders: &self.placeholders,
            on_failure: self.on_failure,
        }
    }
}

fn placeholders(item: &Item) -> Result<Placeholders, Malformed> {
    let invalid = |error: ExpressionError| Malformed(error.to_string());
    let mut placeholders = Placeholders::default();
    for (placeholder, value) in item.as_ref().iter() {
        // Names are checked to be UTF-8 with the item.
        let placeholder = String::from_utf8_lossy(placeholder).into_owned();
        if placeholder.starts_with('#') {
            let ValueRef::String(name) = value.open() else {
                return Err(Malformed(format!("{placeholder} is not a name")));
            };
            let name = String::from_utf8_lossy(name).into_owned();
            placeholders.add_name(placeholder, name).map_err(invalid)?;
        } else {
            let start = placeholders.values_writer().len();
            placeholders.values_writer().raw(value);
            placeholders.add_value(placeholder, start).map_err(invalid)?;
        }
    }
    if placeholders.is_empty() {
        return Err(Malformed("no placeholders where some should be".to_owned()));
    }
    Ok(placeholders)
}
