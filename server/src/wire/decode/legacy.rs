//! Members from before expressions: `Expected` and `AttributeUpdates` of writes, conditions and `AttributesToGet` of reads.

use std::collections::BTreeMap;

use stator_model::expression::Placeholders;

use super::reader::{Decoded, Reader};
use crate::operation::legacy::{AttributeUpdate, Expectation, LegacyValue};

impl Reader<'_> {
    /// `Expected`: an object of objects. Of an attribute that comes twice the last one counts.
    pub(super) fn expected(&mut self, placeholders: &mut Placeholders) -> Decoded<Vec<Expectation>> {
        let mut expected = ByName::default();
        self.object(|reader, attribute| {
            let mut entry = Expectation {
                attribute: attribute.to_owned(),
                ..Expectation::default()
            };
            entry.given = reader.object(|reader, member| {
                match member {
                    "Exists" => entry.exists = reader.boolean()?,
                    "Value" => entry.value = reader.legacy_value(placeholders)?,
                    "ComparisonOperator" => entry.comparison = reader.text()?,
                    "AttributeValueList" => {
                        entry.list = reader.list_of(|reader| reader.legacy_value(placeholders))?;
                    }
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            expected.put(attribute, entry);
            Ok(())
        })?;
        Ok(expected.entries)
    }

    /// `KeyConditions`, `QueryFilter` or `ScanFilter`: an object of objects. Of an attribute that comes twice the last one
    /// counts.
    pub(super) fn conditions(
        &mut self,
        placeholders: &mut Placeholders,
    ) -> Decoded<Option<Vec<Expectation>>> {
        let mut conditions = ByName::default();
        let present = self.object(|reader, attribute| {
            let mut entry = Expectation {
                attribute: attribute.to_owned(),
                ..Expectation::default()
            };
            entry.given = reader.object(|reader, member| {
                match member {
                    "ComparisonOperator" => entry.comparison = reader.text()?,
                    "AttributeValueList" => {
                        entry.list = reader.list_of(|reader| reader.legacy_value(placeholders))?;
                    }
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            conditions.put(attribute, entry);
            Ok(())
        })?;
        Ok(present.then_some(conditions.entries))
    }

    /// `AttributesToGet`: a list of names, of which one that is `null` is empty.
    pub(super) fn attributes_to_get(&mut self) -> Decoded<Option<Vec<String>>> {
        self.list_of(|reader| Ok(Some(reader.text()?.unwrap_or_default())))
    }

    /// `AttributeUpdates`: an object of objects. Of an attribute that comes twice the last one counts.
    pub(super) fn attribute_updates(
        &mut self,
        placeholders: &mut Placeholders,
    ) -> Decoded<Vec<AttributeUpdate>> {
        let mut updates = ByName::default();
        self.object(|reader, attribute| {
            let mut entry = AttributeUpdate {
                attribute: attribute.to_owned(),
                ..AttributeUpdate::default()
            };
            reader.object(|reader, member| {
                match member {
                    "Action" => entry.action = reader.text()?,
                    "Value" => entry.value = reader.legacy_value(placeholders)?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            updates.put(attribute, entry);
            Ok(())
        })?;
        Ok(updates.entries)
    }

    /// An attribute value, written where the placeholders keep values; none for `null`.
    fn legacy_value(&mut self, placeholders: &mut Placeholders) -> Decoded<Option<LegacyValue>> {
        if self.is_null()? {
            return Ok(None);
        }
        let start = placeholders.values_writer().len();
        self.value(placeholders.values_writer())?;
        let problem = self.take_problem();
        Ok(Some(LegacyValue { start, problem }))
    }
}

/// Entries in the order in which their names came first; of a name that comes twice the last entry counts.
struct ByName<T> {
    entries: Vec<T>,
    /// Where each name is.
    places: BTreeMap<String, usize>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            places: BTreeMap::new(),
        }
    }
}

impl<T> ByName<T> {
    fn put(&mut self, name: &str, entry: T) {
        let earlier = self.places.get(name);
        if let Some(earlier) = earlier.and_then(|place| self.entries.get_mut(*place)) {
            *earlier = entry;
        } else {
            self.places.insert(name.to_owned(), self.entries.len());
            self.entries.push(entry);
        }
    }
}
