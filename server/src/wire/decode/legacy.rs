//! `Expected` and `AttributeUpdates`, members of item writes from before expressions.

use std::collections::BTreeMap;

use stator_model::expression::Placeholders;

use super::reader::{Decoded, Reader};
use crate::operation::legacy::{AttributeUpdate, Expectation, LegacyValue};

impl Reader<'_> {
    /// `Expected`: an object of objects. Of an attribute that comes twice the last one counts.
    pub(super) fn expected(&mut self, placeholders: &mut Placeholders) -> Decoded<Vec<Expectation>> {
        let mut expected = BTreeMap::new();
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
            expected.insert(attribute.to_owned(), entry);
            Ok(())
        })?;
        Ok(expected.into_values().collect())
    }

    /// `AttributeUpdates`: an object of objects. Of an attribute that comes twice the last one counts.
    pub(super) fn attribute_updates(
        &mut self,
        placeholders: &mut Placeholders,
    ) -> Decoded<Vec<AttributeUpdate>> {
        let mut updates = BTreeMap::new();
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
            updates.insert(attribute.to_owned(), entry);
            Ok(())
        })?;
        Ok(updates.into_values().collect())
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
