//! Tags: their rules, and the tables that have them.
//!
//! Source of the rules: Amazon DynamoDB Developer Guide, "Tagging restrictions in DynamoDB".

use std::collections::BTreeMap;

use crate::arn;
use crate::catalog::CatalogError;
use crate::consistency;
use crate::constraint::Constraints;
use crate::message::table;
use crate::wire::error::ApiError;

/// Most tags of one resource.
pub(super) const TAGS_MAX: usize = 50;
/// Longest key and value in characters.
const KEY_LENGTH_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 256;
/// Longest `ResourceArn`. Source: service model of DynamoDB, shape ResourceArnString.
const ARN_LENGTH_MAX: usize = 1283;
/// Beginning of the keys that AWS keeps for itself.
const RESERVED: &str = "aws:";

/// A tag as a request names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

/// Notes what the service model has against a `ResourceArn`.
pub(super) fn check_arn(constraints: &mut Constraints, resource_arn: Option<&String>) {
    constraints.required("resourceArn", resource_arn);
    if let Some(text) = resource_arn {
        constraints.length("resourceArn", text, text.chars().count(), 1, ARN_LENGTH_MAX);
    }
}

/// Checks the keys of tags that are to go.
///
/// # Errors
/// ValidationException, in the same words as for tags that are to be.
pub(super) fn check_keys(keys: &[String]) -> Result<(), ApiError> {
    for key in keys {
        if !is_valid(key, 1, KEY_LENGTH_MAX) {
            return Err(table::invalid_tag("Key", Some(key)));
        }
    }
    if keys.len() > TAGS_MAX {
        return Err(ApiError::validation(table::TOO_MANY_TAGS));
    }
    Ok(())
}

/// Checked tags by key.
///
/// # Errors
/// ValidationException for lengths and characters that tags cannot have, for reserved and repeated keys, for too many tags, and
/// for a tag of ours with no meaning.
pub(super) fn by_key(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut by_key = BTreeMap::new();
    for tag in tags {
        let key = match tag.key {
            Some(key) if is_valid(&key, 1, KEY_LENGTH_MAX) => key,
            key => return Err(table::invalid_tag("Key", key.as_deref())),
        };
        if key
            .get(..RESERVED.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(RESERVED))
        {
            return Err(table::reserved_tag(&key));
        }
        if by_key.contains_key(&key) {
            return Err(table::duplicate_tag(&key));
        }
        let value = match tag.value {
            Some(value) if is_valid(&value, 0, VALUE_LENGTH_MAX) => value,
            value => return Err(table::invalid_tag("Value", value.as_deref())),
        };
        if key == consistency::TAG && consistency::named(&value).is_err() {
            return Err(table::level_tag(&value));
        }
        by_key.insert(key, value);
    }
    if by_key.len() > TAGS_MAX {
        return Err(ApiError::validation(table::TOO_MANY_TAGS));
    }
    Ok(by_key)
}

/// Whether a text of a tag has a length of these, in characters, and only those that it may have.
fn is_valid(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && text.chars().all(is_allowed)
}

/// Whether a key or a value may have a character.
fn is_allowed(letter: char) -> bool {
    letter.is_alphanumeric() || letter.is_whitespace() || "+-=._:/@".contains(letter)
}

/// Adds tags to those of a table; a key that is there gets the new value.
///
/// # Errors
/// ValidationException when there would be too many.
pub(super) fn merge(
    tags: &mut BTreeMap<String, String>,
    added: BTreeMap<String, String>,
) -> Result<(), ApiError> {
    tags.extend(added);
    if tags.len() > TAGS_MAX {
        return Err(ApiError::validation(table::TOO_MANY_TAGS));
    }
    Ok(())
}

/// The name of the table that a `ResourceArn` is the ARN of.
///
/// # Errors
/// ValidationException when it is none, ResourceNotFoundException for that of a stream, which has no tags.
pub(super) fn table_of(resource_arn: &str) -> Result<&str, ApiError> {
    if arn::stream_parts(resource_arn).is_some() {
        return Err(table::no_resource(resource_arn));
    }
    arn::table_name(resource_arn)
        .filter(|name| arn::is_table_name(name))
        .ok_or_else(|| table::invalid_resource_arn(resource_arn))
}

/// A failure of the catalog, as a tag operation answers it.
pub(super) fn catalog(resource_arn: &str, error: CatalogError) -> ApiError {
    match error {
        CatalogError::Missing { .. } => table::no_resource(resource_arn),
        error => table::catalog(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        }
    }

    #[test]
    fn tags_have_letters_numbers_and_few_signs() {
        let allowed = [tag("Größe 1 +-=._:/@", "中\u{3000}٣")];
        assert!(by_key(allowed.to_vec()).is_ok());
        for (key, value) in [("a*", "b"), ("a", "b?"), ("a\u{1}", "")] {
            let refused = matches!(by_key(vec![tag(key, value)]), Err(ApiError::Validation(_)));
            assert!(refused, "{key} {value}");
        }
    }

    #[test]
    fn keys_are_unique_and_not_reserved() {
        let tags = by_key(vec![tag("a", "b"), tag("A", "")]).unwrap();
        assert_eq!(tags.len(), 2);
        assert_eq!(
            by_key(vec![tag("a", "b"), tag("a", "c")]),
            Err(table::duplicate_tag("a"))
        );
        for key in ["aws:x", "AWS:x"] {
            assert_eq!(by_key(vec![tag(key, "")]), Err(table::reserved_tag(key)));
        }
        assert!(
            by_key(vec![tag("aws", "")]).is_ok(),
            "only with the colon it is reserved"
        );
    }

    #[test]
    fn the_tag_of_the_consistency_level_names_one() {
        assert!(by_key(vec![tag(consistency::TAG, "ALL")]).is_ok());
        assert_eq!(
            by_key(vec![tag(consistency::TAG, "TWO")]),
            Err(table::level_tag("TWO"))
        );
    }

    #[test]
    fn a_table_has_fifty_tags_at_most() {
        let many = |count: usize| (0..count).map(|n| tag(&format!("k{n}"), "")).collect();
        let mut tags = by_key(many(50)).unwrap();
        assert_eq!(by_key(many(51)), Err(ApiError::validation(table::TOO_MANY_TAGS)));
        let replaced = by_key(vec![tag("k1", "new")]).unwrap();
        assert_eq!(merge(&mut tags, replaced), Ok(()));
        assert_eq!(tags["k1"], "new");
        let added = by_key(vec![tag("more", "")]).unwrap();
        assert_eq!(
            merge(&mut tags, added),
            Err(ApiError::validation(table::TOO_MANY_TAGS))
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let refusal = |tag: Tag| by_key(vec![tag]).err();
        assert_eq!(refusal(tag(&"ä".repeat(128), &"ä".repeat(256))), None);
        let (key, value) = ("k".repeat(129), "v".repeat(257));
        assert_eq!(
            refusal(tag(&key, "")),
            Some(table::invalid_tag("Key", Some(&key)))
        );
        assert_eq!(
            refusal(tag("k", &value)),
            Some(table::invalid_tag("Value", Some(&value)))
        );
        let without = |key: Option<&str>| Tag {
            key: key.map(str::to_owned),
            value: None,
        };
        for (key, sentence) in [
            (None, "The Tag Key provided is invalid, Key: null"),
            (Some(""), "The Tag Key provided is invalid, Key: "),
            (Some("k"), "The Tag Value provided is invalid, Value: null"),
        ] {
            assert_eq!(refusal(without(key)), Some(ApiError::validation(sentence)));
        }
    }

    #[test]
    fn only_the_arn_of_a_table_names_a_table() {
        assert_eq!(
            table_of("arn:aws:dynamodb:eu-west-1:000000000000:table/Tab"),
            Ok("Tab")
        );
        for text in ["Tab", "arn:aws:s3:::x", "arn:aws:dynamodb:r:a:table/Tab;"] {
            assert_eq!(table_of(text), Err(table::invalid_resource_arn(text)));
        }
        let of_table = |rest: &str| format!("arn:aws:dynamodb:eu-west-1:000000000000:table/Tab/{rest}");
        let index = of_table("index/by-a");
        assert_eq!(
            table_of(&index),
            Err(ApiError::Validation(format!(
                "One or more parameter values were invalid: Invalid resource arn provided, only table or stream is \
                 accepted. Provided resource arn: {index}"
            )))
        );
        let stream = of_table("stream/2026-01-01T00:00:00.000");
        assert_eq!(table_of(&stream), Err(table::no_resource(&stream)));
    }
}
