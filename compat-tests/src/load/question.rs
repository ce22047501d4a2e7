//! Requests of the load, and what their answers say: an operation of a register is a request on an item whose attribute
//! `v` is the register's value.

use serde_json::{Value as Json, json};
use stator_history::check::register::{Input, Output, Seen, Value};

use crate::{Answer, Random};

/// Something else than the value, so that items are not tiny.
const PADDING: &str = "The quick brown fox jumps over the lazy dog. ";

/// What a client asks next. `last` is the value that it has seen last, if it has seen the item; `value` is a number that no
/// other write uses.
pub(super) fn draw(random: &mut Random, is_counter: bool, last: Option<Value>, value: i64) -> Input {
    let percent = random.below(100);
    if is_counter {
        return if percent < 85 { Input::Add(1) } else { Input::Read };
    }
    match percent {
        0..20 => Input::Read,
        20..48 => Input::Write(value),
        48..78 => Input::CompareAndSet {
            expected: last.flatten(),
            new: (percent < 74).then_some(value),
        },
        78..86 => Input::Delete,
        _ => Input::Add(1),
    }
}

/// The operation of the API and its request.
pub(super) fn request(table: &str, key: &str, input: &Input) -> (&'static str, Json) {
    let mut body = json!({ "TableName": table });
    let operation = match input {
        Input::Read => {
            body["ConsistentRead"] = json!(true);
            "GetItem"
        }
        Input::Write(value) => {
            if is_told(*value) {
                body["ReturnValues"] = json!("ALL_OLD");
            }
            body["Item"] = item(key, *value);
            return ("PutItem", body);
        }
        Input::CompareAndSet { expected, new } => {
            body["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
            if let Some(expected) = expected {
                body["ConditionExpression"] = json!("v = :expected");
                body["ExpressionAttributeValues"] = json!({ ":expected": number(*expected) });
            } else {
                body["ConditionExpression"] = json!("attribute_not_exists(pk)");
            }
            if let Some(value) = new {
                body["Item"] = item(key, *value);
                return ("PutItem", body);
            }
            "DeleteItem"
        }
        Input::Delete => {
            body["ReturnValues"] = json!("ALL_OLD");
            "DeleteItem"
        }
        Input::Add(by) => {
            body["UpdateExpression"] = json!("ADD v :by");
            body["ExpressionAttributeValues"] = json!({ ":by": number(*by) });
            body["ReturnValues"] = json!("UPDATED_NEW");
            "UpdateItem"
        }
    };
    body["Key"] = json!({ "pk": { "S": key } });
    (operation, body)
}

/// What an answer says.
///
/// # Errors
/// A sentence when the operation was refused for another reason than its condition, or the answer is not understood.
pub(super) fn answer(input: &Input, answer: &Answer) -> Result<Output, String> {
    let refused = || format!("{} {}", answer.status, answer.body);
    if let Input::CompareAndSet { expected, new } = *input {
        return match (answer.status, answer.error()) {
            (200, _) => Ok(Output::changed(expected, new)),
            (400, Some("ConditionalCheckFailedException")) => {
                Ok(Output::refused(Seen::Was(value(&answer.body["Item"])?)))
            }
            _ => Err(refused()),
        };
    }
    if answer.status != 200 {
        return Err(refused());
    }
    let attributes = &answer.body["Attributes"];
    Ok(match *input {
        Input::Read => Output::read(value(&answer.body["Item"])?),
        Input::Write(new) if is_told(new) => Output::changed(value(attributes)?, Some(new)),
        Input::Write(new) => Output {
            new: Seen::Was(Some(new)),
            ..Output::done()
        },
        Input::Delete => Output::changed(value(attributes)?, None),
        Input::Add(_) | Input::CompareAndSet { .. } => match value(attributes)? {
            Some(new) => Output {
                new: Seen::Was(Some(new)),
                ..Output::done()
            },
            None => return Err(format!("no new value in {}", answer.body)),
        },
    })
}

/// The value that the item had after the operation, as far as the answer tells.
pub(super) fn told(output: &Output) -> Option<Value> {
    match output.new {
        Seen::Was(value) => Some(value),
        Seen::Untold => None,
    }
}

/// Whether a put of this value asks for what it replaces: seven of eight do, one is blind.
fn is_told(value: i64) -> bool {
    (value / 1000).rem_euclid(8) != 0
}

fn item(key: &str, value: i64) -> Json {
    json!({ "pk": { "S": key }, "v": number(value), "padding": { "S": PADDING } })
}

fn number(value: i64) -> Json {
    json!({ "N": value.to_string() })
}

/// The value of an item or of some attributes of it; none when there is no item.
fn value(attributes: &Json) -> Result<Value, String> {
    if attributes.is_null() {
        return Ok(None);
    }
    let number = attributes["v"]["N"].as_str();
    number
        .and_then(|number| number.parse().ok())
        .map(Some)
        .ok_or_else(|| format!("no value in {attributes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: Json) -> Answer {
        Answer { status, body }
    }

    #[test]
    fn conditions_name_what_was_seen() {
        let compare = |expected, new| request("t", "k", &Input::CompareAndSet { expected, new });
        let (operation, body) = compare(Some(3), Some(4));
        assert_eq!(operation, "PutItem");
        assert_eq!(
            body["ExpressionAttributeValues"],
            json!({ ":expected": { "N": "3" } })
        );
        assert_eq!(body["Item"]["v"], json!({ "N": "4" }));
        let (operation, body) = compare(None, None);
        assert_eq!(
            (operation, &body["Key"]),
            ("DeleteItem", &json!({ "pk": { "S": "k" } }))
        );
        assert_eq!(body["ConditionExpression"], json!("attribute_not_exists(pk)"));
    }

    #[test]
    fn answers_say_what_was_and_what_is() {
        let attributes = json!({ "Attributes": { "v": { "N": "5" } } });
        let told = |input, status, body| answer(&input, &said(status, body));
        assert_eq!(
            told(Input::Write(1000), 200, attributes.clone()),
            Ok(Output::changed(Some(5), Some(1000)))
        );
        assert_eq!(
            told(Input::Write(1000), 200, json!({})),
            Ok(Output::changed(None, Some(1000)))
        );
        assert_eq!(
            told(Input::Delete, 200, attributes.clone()),
            Ok(Output::changed(Some(5), None))
        );
        let added = told(Input::Add(1), 200, attributes).unwrap();
        assert_eq!((added.old, added.new), (Seen::Untold, Seen::Was(Some(5))));
        assert!(told(Input::Add(1), 200, json!({})).is_err());
        assert_eq!(told(Input::Read, 200, json!({})), Ok(Output::read(None)));
        assert!(told(Input::Read, 500, json!({})).is_err());
    }

    #[test]
    fn a_condition_that_does_not_hold_is_an_answer_and_other_refusals_are_not() {
        let compare = Input::CompareAndSet {
            expected: None,
            new: Some(1),
        };
        let body = json!({ "__type": "a#ConditionalCheckFailedException", "Item": { "v": { "N": "7" } } });
        let refused = answer(&compare, &said(400, body));
        assert_eq!(refused, Ok(Output::refused(Seen::Was(Some(7)))));
        let body = json!({ "__type": "a#ValidationException" });
        assert!(answer(&compare, &said(400, body)).is_err());
    }

    #[test]
    fn one_put_of_eight_is_blind() {
        let puts = (0..16).map(|index| request("t", "k", &Input::Write(index * 1000)).1);
        assert_eq!(puts.filter(|body| body["ReturnValues"].is_null()).count(), 2);
    }
}
