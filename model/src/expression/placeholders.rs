//! `ExpressionAttributeNames` and `ExpressionAttributeValues` of one request: what `#name` and `:value` stand for, and
//! which of them the expressions use.
//!
//! Invariant: a [`ValueId`] names a complete value in the buffer owned here. Decoding values from JSON is the caller's.

use std::collections::BTreeMap;

use super::error::ExpressionError;
use crate::attribute::RawValue;
use crate::codec::Writer;

/// Longest placeholder in bytes, with its first character.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: expression parameters".
const PLACEHOLDER_BYTES_MAX: usize = 255;

/// Most bytes of all names with their placeholders, of all values with theirs, and of both together.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: expression parameters", where it is 2 MB for all substitution variables; what
/// is counted and the sentences are DynamoDB Local's.
const VARIABLES_BYTES_MAX: usize = 2 * 1024 * 1024;

const NAMES: &str = "ExpressionAttributeNames";
const VALUES: &str = "ExpressionAttributeValues";

/// A value among the [`Placeholders`] with which an expression was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueId(usize);

/// What the placeholders of one request stand for. All its expressions are parsed with, and evaluated against, the same
/// placeholders.
#[derive(Debug, Default, Clone)]
pub struct Placeholders {
    names: BTreeMap<String, Used<String>>,
    values: BTreeMap<String, Used<ValueId>>,
    starts: Vec<usize>,
    writer: Writer,
}

#[derive(Debug, Clone)]
struct Used<T> {
    meaning: T,
    used: bool,
}

impl Placeholders {
    /// Adds an entry of `ExpressionAttributeNames`; `placeholder` is with its `#`.
    ///
    /// # Errors
    /// [`ExpressionError`] when the placeholder is misspelled or the name is empty.
    pub fn add_name(&mut self, placeholder: String, name: String) -> Result<(), ExpressionError> {
        check_spelling(NAMES, b'#', &placeholder)?;
        if name.is_empty() {
            return Err(ExpressionError::EmptyName { placeholder });
        }
        let entry = Used {
            meaning: name,
            used: false,
        };
        self.names.insert(placeholder, entry);
        Ok(())
    }

    /// Where the values of `ExpressionAttributeValues` are written, one after the other; see
    /// [`Placeholders::add_value`].
    pub fn values_writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Adds an entry of `ExpressionAttributeValues`, whose value has been written from `start` on; `placeholder` is with
    /// its `:`.
    ///
    /// # Errors
    /// [`ExpressionError`] when the placeholder is misspelled.
    pub fn add_value(&mut self, placeholder: String, start: usize) -> Result<(), ExpressionError> {
        Self::check_value_placeholder(&placeholder)?;
        let meaning = self.add_operand(start);
        self.values.insert(placeholder, Used { meaning, used: false });
        Ok(())
    }

    /// Checks the spelling of a `:value`, for a caller that wants to refuse it before decoding its value.
    ///
    /// # Errors
    /// [`ExpressionError`] when the placeholder is misspelled.
    pub fn check_value_placeholder(placeholder: &str) -> Result<(), ExpressionError> {
        check_spelling(VALUES, b':', placeholder)
    }

    /// Adds a value without a placeholder, written from `start` on: an operand of a condition that was not parsed.
    pub fn add_operand(&mut self, start: usize) -> ValueId {
        self.starts.push(start);
        ValueId(self.starts.len() - 1)
    }

    /// Checks how large the values given so far are with their placeholders.
    ///
    /// # Errors
    /// [`ExpressionError::VariablesTooLarge`].
    pub fn check_values_size(&self) -> Result<(), ExpressionError> {
        check_size(self.values_size(), VALUES)
    }

    /// Checks how large the names given so far are with their placeholders, and names and values together.
    ///
    /// # Errors
    /// [`ExpressionError::VariablesTooLarge`].
    pub fn check_names_size(&self) -> Result<(), ExpressionError> {
        let sizes = self
            .names()
            .map(|(placeholder, name)| placeholder.len() + name.len());
        let size = sizes.sum();
        check_size(size, NAMES)?;
        check_size(
            size + self.values_size(),
            "Combined size of ExpressionAttributeNames and ExpressionAttributeValues",
        )
    }

    fn values_size(&self) -> usize {
        let sizes = self
            .values()
            .map(|(placeholder, value)| placeholder.len() + value.size());
        sizes.sum()
    }

    /// The value that has been written from `start` on, whether or not it is an operand yet.
    pub fn written_at(&self, start: usize) -> RawValue<'_> {
        self.writer.value_at(start)
    }

    /// The value of an operand. `id` has to come from these placeholders.
    pub fn value(&self, id: ValueId) -> RawValue<'_> {
        self.writer.value_at(self.starts[id.0])
    }

    /// The given names: placeholders, each with its `#`, in the order of their bytes, and what they stand for.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .map(|(placeholder, name)| (placeholder.as_str(), name.meaning.as_str()))
    }

    /// The given values: placeholders, each with its `:`, in the order of their bytes, and what they stand for.
    pub fn values(&self) -> impl Iterator<Item = (&str, RawValue<'_>)> {
        self.values
            .iter()
            .map(|(placeholder, value)| (placeholder.as_str(), self.value(value.meaning)))
    }

    /// True when neither names nor values were given.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.values.is_empty()
    }

    /// Checks that the expressions parsed so far have used every placeholder.
    ///
    /// # Errors
    /// [`ExpressionError::UnusedPlaceholders`], for names before values.
    pub fn check_all_used(&self) -> Result<(), ExpressionError> {
        fn unused<T>(
            parameter: &'static str,
            map: &BTreeMap<String, Used<T>>,
        ) -> Result<(), ExpressionError> {
            let keys: Vec<&str> = map
                .iter()
                .filter(|(_, entry)| !entry.used)
                .map(|(key, _)| key.as_str())
                .collect();
            if keys.is_empty() {
                return Ok(());
            }
            let keys = keys.join(", ");
            Err(ExpressionError::UnusedPlaceholders { parameter, keys })
        }
        unused(NAMES, &self.names)?;
        unused(VALUES, &self.values)
    }

    pub(super) fn use_name(&mut self, placeholder: &str) -> Option<&str> {
        let entry = self.names.get_mut(placeholder)?;
        entry.used = true;
        Some(&entry.meaning)
    }

    pub(super) fn use_value(&mut self, placeholder: &str) -> Option<ValueId> {
        let entry = self.values.get_mut(placeholder)?;
        entry.used = true;
        Some(entry.meaning)
    }
}

fn check_size(size: usize, parameters: &'static str) -> Result<(), ExpressionError> {
    if size > VARIABLES_BYTES_MAX {
        return Err(ExpressionError::VariablesTooLarge { parameters });
    }
    Ok(())
}

fn check_spelling(parameter: &'static str, first: u8, key: &str) -> Result<(), ExpressionError> {
    if key.is_empty() {
        return Err(ExpressionError::PlaceholderEmpty { parameter });
    }
    if key.len() > PLACEHOLDER_BYTES_MAX {
        return Err(ExpressionError::PlaceholderTooLong {
            parameter,
            size: key.len(),
        });
    }
    match key.as_bytes() {
        [own, rest @ ..] if *own == first && !rest.is_empty() && rest.iter().all(|&byte| is_word(byte)) => {
            Ok(())
        }
        _ => Err(ExpressionError::PlaceholderSyntax {
            parameter,
            key: key.to_owned(),
        }),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_placeholders_are_refused_with_their_key() {
        let mut placeholders = Placeholders::default();
        for key in ["a", "#", "#a-b", "#a b", "#é", ":a"] {
            let error = placeholders.add_name(key.into(), "x".into()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("ExpressionAttributeNames contains invalid key: Syntax error; key: \"{key}\"")
            );
            assert!(!error.is_syntactic());
        }
        for key in ["a", ":", ":a-b", "#a"] {
            let error = placeholders.add_value(key.into(), 0).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("ExpressionAttributeValues contains invalid key: Syntax error; key: \"{key}\"")
            );
        }
        assert_eq!(
            placeholders
                .add_name(String::new(), "x".into())
                .unwrap_err()
                .to_string(),
            "ExpressionAttributeNames contains invalid key: The expression attribute map contains an empty key;"
        );
        assert_eq!(
            placeholders
                .add_name(format!("#{}", "a".repeat(255)), "x".into())
                .unwrap_err()
                .to_string(),
            "ExpressionAttributeNames contains invalid key: The expression attribute map contains a key that is too long; size of key: 256"
        );
        assert_eq!(
            placeholders
                .add_name("#a".into(), String::new())
                .unwrap_err()
                .to_string(),
            "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a"
        );
        assert!(placeholders.is_empty());
    }

    #[test]
    fn names_and_values_have_two_megabytes_together() {
        let told = |names: usize, values: usize| {
            let mut placeholders = Placeholders::default();
            let start = placeholders.values_writer().len();
            placeholders.values_writer().string(&"x".repeat(values - 2));
            placeholders.add_value(":v".into(), start).unwrap();
            placeholders.add_name("#n".into(), "x".repeat(names - 2)).unwrap();
            let checked = placeholders.check_values_size();
            let checked = checked.and_then(|()| placeholders.check_names_size());
            checked.map_err(|error| error.to_string())
        };
        let most = VARIABLES_BYTES_MAX;
        let refused = |what: &str| Err(format!("{what} exceeds max size"));
        assert_eq!(told(3, most - 3), Ok(()));
        assert_eq!(told(3, most + 1), refused("ExpressionAttributeValues"));
        assert_eq!(told(most + 1, 3), refused("ExpressionAttributeNames"));
        assert_eq!(
            told(most / 2, most / 2 + 1),
            refused("Combined size of ExpressionAttributeNames and ExpressionAttributeValues")
        );
    }

    #[test]
    fn what_was_given_is_listed_in_order() {
        let mut placeholders = Placeholders::default();
        for (key, name) in [("#b", "x"), ("#a", "y z")] {
            placeholders.add_name(key.into(), name.into()).unwrap();
        }
        for (key, flag) in [(":b", true), (":a", false)] {
            let start = placeholders.values_writer().len();
            placeholders.values_writer().bool(flag);
            placeholders.add_value(key.into(), start).unwrap();
        }
        assert!(placeholders.names().eq([("#a", "y z"), ("#b", "x")]));
        let values: Vec<_> = placeholders
            .values()
            .map(|(key, value)| (key, value.as_bytes()))
            .collect();
        assert_eq!(values, [(":a", &[1][..]), (":b", &[2][..])]);
    }

    #[test]
    fn unused_placeholders_are_listed_in_order_names_first() {
        let mut placeholders = Placeholders::default();
        for key in ["#q", "#p", "#_1"] {
            placeholders.add_name(key.into(), "x".into()).unwrap();
        }
        for key in [":b", ":a"] {
            let start = placeholders.values_writer().len();
            placeholders.values_writer().null();
            placeholders.add_value(key.into(), start).unwrap();
        }
        assert_eq!(placeholders.use_name("#_1"), Some("x"));
        let message = |placeholders: &Placeholders| placeholders.check_all_used().unwrap_err().to_string();
        assert_eq!(
            message(&placeholders),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#p, #q}"
        );
        placeholders.use_name("#p").unwrap();
        placeholders.use_name("#q").unwrap();
        assert_eq!(
            message(&placeholders),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:a, :b}"
        );
        placeholders.use_value(":a").unwrap();
        placeholders.use_value(":b").unwrap();
        assert_eq!(placeholders.check_all_used(), Ok(()));
    }
}
