//! Constraints of the service model (presence, ranges, enumerations), checked together and reported in one sentence.
//!
//! DynamoDB reports all of them at once ("2 validation errors detected: ...; ..."), before anything else is looked at.

use std::fmt::{Display, Write as _};

use crate::wire::error::ApiError;

/// Collects what a request violates.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    violations: Vec<String>,
}

/// An enumeration of the service model.
pub(crate) trait ModelEnum: Sized {
    /// Names as the API spells them, in the order in which DynamoDB lists them in messages.
    const NAMES: &'static [&'static str];

    /// The value of a name.
    fn from_name(name: &str) -> Option<Self>;
}

impl Constraints {
    /// Notes that `value` at `member` (in lower camel case, with its path) breaks `rule`.
    pub(crate) fn violated(&mut self, member: &str, value: impl Display, rule: &str) {
        self.violations.push(format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
        ));
    }

    /// A member that must be there.
    pub(crate) fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.violations.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// A member that must be one of an enumeration when it is there.
    pub(crate) fn one_of<E: ModelEnum>(&mut self, member: &str, value: Option<&str>) -> Option<E> {
        let name = value?;
        let found = E::from_name(name);
        if found.is_none() {
            let rule = format!("Member must satisfy enum value set: [{}]", E::NAMES.join(", "));
            self.violated(member, name, &rule);
        }
        found
    }

    /// A number with a least value.
    pub(crate) fn at_least<T: Copy + Display + PartialOrd>(
        &mut self,
        member: &str,
        value: Option<T>,
        least: T,
    ) {
        if let Some(value) = value.filter(|value| *value < least) {
            self.violated(
                member,
                value,
                &format!("Member must have value greater than or equal to {least}"),
            );
        }
    }

    /// A number with a greatest value.
    pub(crate) fn at_most<T: Copy + Display + PartialOrd>(
        &mut self,
        member: &str,
        value: Option<T>,
        most: T,
    ) {
        if let Some(value) = value.filter(|value| *value > most) {
            self.violated(
                member,
                value,
                &format!("Member must have value less than or equal to {most}"),
            );
        }
    }

    /// A text, list or map with a least and a greatest length; `shown` is how the value is repeated in the sentence.
    pub(crate) fn length(
        &mut self,
        member: &str,
        shown: impl Display,
        length: usize,
        least: usize,
        most: usize,
    ) {
        if length < least {
            self.violated(
                member,
                shown,
                &format!("Member must have length greater than or equal to {least}"),
            );
        } else if length > most {
            self.violated(
                member,
                shown,
                &format!("Member must have length less than or equal to {most}"),
            );
        }
    }

    /// Ends the check.
    ///
    /// # Errors
    /// The ValidationException that names all violations, ten at most.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let count = self.violations.len();
        if count == 0 {
            return Ok(());
        }
        let mut text = format!(
            "{count} validation error{} detected: ",
            if count == 1 { "" } else { "s" }
        );
        for (index, violation) in self.violations.iter().take(10).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            // Writing to a string does not fail.
            let _infallible = write!(text, "{separator}{violation}");
        }
        Err(ApiError::Validation(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_counted_and_listed() {
        let mut constraints = Constraints::default();
        constraints.required::<String>("tableName", None);
        constraints.at_least("limit", Some(0), 1);
        let Err(ApiError::Validation(text)) = constraints.finish() else {
            unreachable!()
        };
        assert_eq!(
            text,
            "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be \
             null; Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
        );
    }
}
