//! What is stated without expressions, put into words and decided on one item.

use stator_model::expression::Placeholders;
use stator_model::item::Item;

use super::{LegacyWrite, condition, update, update_refusal};
use crate::constraint::Constraints;
use crate::operation::put_item::PutItem;
use crate::operation::update_item::UpdateItem;
use crate::wire::decode::decode;
use crate::wire::error::ApiError;
use crate::wire::head::Head;

const ITEM: &str = r#"{"pk":{"S":"a"},"s":{"S":"abc"},"n":{"N":"5"},"b":{"B":"YWJj"},"ss":{"SS":["x","y"]},
    "l":{"L":[{"N":"1"}]},"m":{"M":{"a":{"N":"1"}}}}"#;

fn put(members: &str) -> PutItem {
    let headers = http::HeaderMap::new();
    let body = format!(r#"{{"TableName":"ttt","Item":{ITEM}{members}}}"#);
    decode(body.as_bytes(), Head::new(&headers)).unwrap()
}

fn item() -> Item {
    put("").item.unwrap().item
}

/// Whether what `Expected` says holds for the item, and its text.
fn holds(expected: &str, operator: Option<&str>) -> Result<(bool, String), ApiError> {
    let operator = operator.map_or(String::new(), |name| {
        format!(r#","ConditionalOperator":"{name}""#)
    });
    let request = put(&format!(r#","Expected":{expected}{operator}"#));
    let mut placeholders = request.expressions.check(&[])?;
    let (text, condition) = condition(None, &request.parameters.legacy, &mut placeholders)?.unwrap();
    placeholders.check_all_used().unwrap();
    Ok((condition.evaluate(Some(item().as_ref()), &placeholders), text))
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
    match result {
        Err(ApiError::Validation(text)) => text,
        other => format!("{other:?}"),
    }
}

#[test]
fn every_operator_decides() {
    for (attribute, operator, values, expected) in [
        ("s", "EQ", r#"{"S":"abc"}"#, true),
        ("nope", "EQ", r#"{"S":"abc"}"#, false),
        ("l", "EQ", r#"{"L":[{"N":"1.0"}]}"#, true),
        ("s", "NE", r#"{"S":"abc"}"#, false),
        ("nope", "NE", r#"{"S":"abc"}"#, true),
        ("n", "LE", r#"{"N":"5"}"#, true),
        ("n", "LT", r#"{"N":"5"}"#, false),
        ("nope", "LT", r#"{"N":"5"}"#, false),
        ("n", "GE", r#"{"N":"5.0"}"#, true),
        ("n", "GT", r#"{"N":"4"}"#, true),
        ("s", "GT", r#"{"N":"4"}"#, false),
        ("s", "NOT_NULL", "", true),
        ("nope", "NOT_NULL", "", false),
        ("s", "NULL", "", false),
        ("nope", "NULL", "", true),
        ("s", "CONTAINS", r#"{"S":"bc"}"#, true),
        ("ss", "CONTAINS", r#"{"S":"x"}"#, true),
        ("l", "CONTAINS", r#"{"N":"1"}"#, true),
        ("s", "NOT_CONTAINS", r#"{"S":"bc"}"#, false),
        ("n", "NOT_CONTAINS", r#"{"S":"bc"}"#, true),
        ("nope", "NOT_CONTAINS", r#"{"S":"bc"}"#, false),
        ("b", "BEGINS_WITH", r#"{"B":"YWI="}"#, true),
        ("s", "BEGINS_WITH", r#"{"S":"b"}"#, false),
        ("n", "IN", r#"{"N":"1"},{"N":"5"}"#, true),
        ("n", "IN", r#"{"S":"5"}"#, false),
        ("n", "BETWEEN", r#"{"N":"4"},{"N":"5"}"#, true),
        ("n", "BETWEEN", r#"{"N":"6"},{"N":"7"}"#, false),
    ] {
        let list = if values.is_empty() {
            String::new()
        } else {
            format!(r#","AttributeValueList":[{values}]"#)
        };
        let entry = format!(r#"{{"{attribute}":{{"ComparisonOperator":"{operator}"{list}}}}}"#);
        let (held, text) = holds(&entry, None).unwrap();
        assert_eq!(held, expected, "{entry}: {text}");
    }
}

#[test]
fn entries_are_joined_as_the_operator_says() {
    let both = r#"{"s":{"Value":{"S":"abc"}},"n":{"Exists":false}}"#;
    assert!(!holds(both, None).unwrap().0);
    assert!(!holds(both, Some("AND")).unwrap().0);
    let (held, text) = holds(both, Some("OR")).unwrap();
    assert!(held);
    assert_eq!(text, "#e0 = :e1 OR attribute_not_exists(#e2)");
    // `AND` within an entry binds its own words only.
    let absent = r#"{"nope":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"S":"a"}]},"s":{"Exists":true,"Value":{"S":"abc"}}}"#;
    assert!(holds(absent, Some("OR")).unwrap().0);
    assert!(!holds(absent, None).unwrap().0);
}

#[test]
fn there_is_no_bound_that_the_old_way_does_not_have() {
    let many: Vec<_> = (0..700)
        .map(|count| format!(r#""x{count}":{{"Exists":false}}"#))
        .collect();
    assert!(holds(&format!("{{{}}}", many.join(",")), None).unwrap().0);
    let values: Vec<_> = (0..250).map(|count| format!(r#"{{"N":"{count}"}}"#)).collect();
    for (attribute, expected) in [("n", true), ("s", false)] {
        let entry = format!(
            r#"{{"{attribute}":{{"ComparisonOperator":"IN","AttributeValueList":[{}]}},"nope":{{"Exists":false}}}}"#,
            values.join(",")
        );
        assert_eq!(holds(&entry, None).unwrap().0, expected);
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_dynamodbs_sentences() {
    let invalid = "One or more parameter values were invalid: ";
    for (entry, sentence) in [
        (
            "{}",
            "Value must be provided when Exists is null for Attribute: s",
        ),
        (
            r#"{"Exists":true}"#,
            "Value must be provided when Exists is true for Attribute: s",
        ),
        (
            r#"{"Exists":false,"Value":{"S":"a"}}"#,
            "Value cannot be used when Exists is false for Attribute: s",
        ),
        (
            r#"{"Exists":false,"ComparisonOperator":"NULL"}"#,
            "Exists and ComparisonOperator cannot be used together for Attribute: s",
        ),
        (
            r#"{"Value":{"S":"a"},"AttributeValueList":[]}"#,
            "Value and AttributeValueList cannot be used together for Attribute: s",
        ),
        (
            r#"{"AttributeValueList":[{"S":"a"}]}"#,
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: s",
        ),
        (
            r#"{"ComparisonOperator":"EQ"}"#,
            "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: s",
        ),
        (
            r#"{"ComparisonOperator":"BETWEEN","Value":{"S":"a"}}"#,
            "Invalid number of argument(s) for the BETWEEN ComparisonOperator",
        ),
        (
            r#"{"ComparisonOperator":"CONTAINS","Value":{"SS":["a"]}}"#,
            "ComparisonOperator CONTAINS is not valid for SS AttributeValue type",
        ),
        (
            r#"{"ComparisonOperator":"IN","AttributeValueList":[{"S":"a"},{"N":"1"}]}"#,
            "AttributeValues inside AttributeValueList must be of same type",
        ),
        ("null", "ExpectedAttributeValue must not be null for Attribute: s"),
        (r#"{"Value":{"SS":[]}}"#, "An string set  may not be empty"),
    ] {
        let refused = refusal(holds(&format!(r#"{{"s":{entry}}}"#), None));
        assert_eq!(refused, format!("{invalid}{sentence}"), "{entry}");
    }
    assert_eq!(
        refusal(holds(
            r#"{"n":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"7"},{"N":"3"}]}}"#,
            None
        )),
        "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
    );
    assert_eq!(
        refusal(holds(r#"{"":{"Exists":false}}"#, None)),
        "Empty attribute name"
    );
    assert_eq!(
        refusal(holds("{}", Some("OR"))),
        "ConditionalOperator cannot be used without Filter or Expected"
    );
    assert_eq!(
        refusal(holds(r#"{"s":{"Exists":false}}"#, Some("AND"))),
        "ConditionalOperator can only be used when Filter or Expected has two or more elements"
    );
}

/// What `AttributeUpdates` makes of the item, and the text.
fn updated(updates: &str) -> Result<(Item, String), ApiError> {
    let headers = http::HeaderMap::new();
    let body = format!(r#"{{"AttributeUpdates":{updates}}}"#);
    let request: UpdateItem = decode(body.as_bytes(), Head::new(&headers)).unwrap();
    let mut placeholders = request.expressions.check(&[])?;
    let Some((text, update)) = update(None, &request.parameters.legacy, &mut placeholders)? else {
        return Ok((item(), String::new()));
    };
    placeholders.check_all_used().unwrap();
    let applied = update.apply(Some(item().as_ref()), &[], &placeholders);
    let applied = applied.map_err(|error| update_refusal(ApiError::Validation(error.to_string())))?;
    Ok((applied, text))
}

#[test]
fn every_action_has_its_words() {
    let (changed, text) = updated(
        r#"{"s":{"Action":"DELETE"},"q":{"Value":{"S":"new"}},"n":{"Action":"ADD","Value":{"N":"2"}},
            "l":{"Action":"ADD","Value":{"L":[{"S":"z"}]}},"k":{"Action":"ADD","Value":{"L":[]}},
            "ss":{"Action":"DELETE","Value":{"SS":["x"]}}}"#,
    )
    .unwrap();
    assert_eq!(
        text,
        "SET #u1 = :u2, #u5 = list_append(if_not_exists(#u5, :u7), :u6), #u8 = list_append(if_not_exists(#u8, :u10), \
         :u9) REMOVE #u0 ADD #u3 :u4 DELETE #u11 :u12"
    );
    let expected = put("").item.unwrap();
    let headers = http::HeaderMap::new();
    let body = r#"{"Item":{"pk":{"S":"a"},"q":{"S":"new"},"n":{"N":"7"},"b":{"B":"YWJj"},"ss":{"SS":["y"]},
        "k":{"L":[]},"l":{"L":[{"N":"1"},{"S":"z"}]},"m":{"M":{"a":{"N":"1"}}}}}"#;
    let wanted: PutItem = decode(body.as_bytes(), Head::new(&headers)).unwrap();
    assert_eq!(changed, wanted.item.unwrap().item);
    assert_ne!(changed, expected.item);
    assert_eq!(updated("{}").unwrap(), (item(), String::new()));
    let many: Vec<_> = (0..1500)
        .map(|count| format!(r#""x{count}":{{"Value":{{"N":"1"}}}}"#))
        .collect();
    let (changed, _) = updated(&format!("{{{}}}", many.join(","))).unwrap();
    assert_eq!(
        changed.as_ref().attributes().len(),
        item().as_ref().attributes().len() + 1500
    );
}

#[test]
fn actions_that_cannot_be_are_refused() {
    let invalid = "One or more parameter values were invalid: ";
    for (entry, sentence) in [
        (
            r#"{"q":{"Action":"PUT"}}"#,
            "Only DELETE action is allowed when no attribute value is specified",
        ),
        (
            r#"{"q":null}"#,
            "Only DELETE action is allowed when no attribute value is specified",
        ),
        (
            r#"{"q":{"Action":"ADD","Value":{"BOOL":true}}}"#,
            "ADD action is not supported for the type BOOLEAN",
        ),
        (
            r#"{"q":{"Action":"DELETE","Value":{"N":"1"}}}"#,
            "DELETE action with value is not supported for the type NUMBER",
        ),
        (r#"{"q":{"Value":{"NS":[]}}}"#, "An number set  may not be empty"),
    ] {
        assert_eq!(refusal(updated(entry)), format!("{invalid}{sentence}"), "{entry}");
    }
    for entry in [
        r#"{"s":{"Action":"ADD","Value":{"N":"1"}}}"#,
        r#"{"s":{"Action":"ADD","Value":{"L":[]}}}"#,
        r#"{"n":{"Action":"DELETE","Value":{"NS":["1"]}}}"#,
    ] {
        assert_eq!(
            refusal(updated(entry)),
            "Type mismatch for attribute to update",
            "{entry}"
        );
    }
}

#[test]
fn constraints_and_mixing_name_the_parameters() {
    let legacy = put(r#","Expected":{"s":{"ComparisonOperator":"FOO"}},"ConditionalOperator":"XOR""#)
        .parameters
        .legacy;
    let mut constraints = Constraints::default();
    legacy.check(&mut constraints);
    assert_eq!(
        refusal(constraints.finish()),
        "2 validation errors detected: Value 'XOR' at 'conditionalOperator' failed to satisfy constraint: Member must \
         satisfy enum value set: [OR, AND]; Value 'FOO' at 'expected.s.member.comparisonOperator' failed to satisfy \
         constraint: Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, \
         BEGINS_WITH, GE, CONTAINS]"
    );
    let given = [("UpdateExpression", None), ("ConditionExpression", Some("a = b"))];
    assert_eq!(
        refusal(legacy.check_unmixed(&given)),
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
         {Expected, ConditionalOperator} Expression parameters: {ConditionExpression}"
    );
    assert!(legacy.check_unmixed(&given[..1]).is_ok());
    assert!(LegacyWrite::default().check_unmixed(&given).is_ok());
    assert!(
        condition(None, &LegacyWrite::default(), &mut Placeholders::default())
            .unwrap()
            .is_none()
    );
}
