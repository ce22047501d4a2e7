//! `requestParameters` and `responseElements`: bodies as CloudTrail shows them, with members that begin in lower case and
//! without what is nobody's business.
//!
//! Invariant: of an operation on items only members that are listed here come through, so that a new one shows nothing before
//! somebody has thought about it. Secrets never come through.

use serde_json::{Map, Value, json};

/// What stands in the place of item data, in CloudTrail's words.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// The largest of the two (AWS CloudTrail User Guide, "CloudTrail record contents", "requestParameters").
const BYTES_MAX: usize = 100 << 10;

/// Members of operations on items that say nothing about items.
const SHOWN: [&str; 17] = [
    "AttributesToGet",
    "ConsistentRead",
    "IndexName",
    "Limit",
    "ReturnConsumedCapacity",
    "ReturnItemCollectionMetrics",
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
    "ScanIndexForward",
    "Segment",
    "Select",
    "SequenceNumber",
    "ShardId",
    "ShardIteratorType",
    "StreamArn",
    "TableName",
    "TotalSegments",
];

/// Members that hold others of both kinds. Their own names are the API's, but for those of `RequestItems`.
const ENTERED: [&str; 10] = [
    "ConditionCheck",
    "Delete",
    "DeleteRequest",
    "Get",
    "Put",
    "PutRequest",
    "Statements",
    "TransactItems",
    "TransactStatements",
    "Update",
];

/// By the names of tables.
const REQUEST_ITEMS: &str = "RequestItems";

/// Members that hold item data: that they were there is shown.
const ITEM_DATA: [&str; 13] = [
    "AttributeUpdates",
    "ExclusiveStartKey",
    "Expected",
    "ExpressionAttributeValues",
    "Item",
    "Key",
    "KeyConditions",
    "Keys",
    "Parameters",
    "QueryFilter",
    "ScanFilter",
    "ShardIterator",
    "Statement",
];

/// Members whose members are named by users.
const NAMED_BY_USERS: [&str; 12] = [
    "AttributeUpdates",
    "ExclusiveStartKey",
    "Expected",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "Item",
    "Key",
    "KeyConditions",
    "Keys",
    "Parameters",
    "QueryFilter",
    "ScanFilter",
];

/// Members that nobody is shown, in lower case.
const SECRETS: [&str; 4] = ["secretaccesskey", "sessiontoken", "password", "securitytoken"];

/// Whether an operation of this name changes nothing.
pub(super) fn is_read_only(name: &str) -> bool {
    const READING: [&str; 8] = [
        "Describe",
        "List",
        "Get",
        "Query",
        "Scan",
        "BatchGet",
        "TransactGet",
        "Simulate",
    ];
    READING.iter().any(|prefix| name.starts_with(prefix))
}

/// The tables that a body names, by their names or their ARNs.
pub(super) fn tables(body: &Value) -> impl Iterator<Item = &str> {
    let direct = ["TableName", "TableArn", "ResourceArn", "StreamArn"]
        .into_iter()
        .filter_map(|member| body.get(member)?.as_str());
    let batch = body
        .get(REQUEST_ITEMS)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|tables| tables.keys().map(String::as_str));
    let transaction = body
        .get("TransactItems")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .filter_map(|action| action.get("TableName")?.as_str());
    direct.chain(batch).chain(transaction)
}

/// A body of an operation on items without what it says of items.
pub(super) fn without_items(body: &Value) -> Value {
    match body {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter_map(|(name, value)| Some((lower(name), member_without_items(name, value)?)))
                .collect(),
        ),
        Value::Array(elements) => elements.iter().map(without_items).collect(),
        _ => Value::Null,
    }
}

fn member_without_items(name: &str, value: &Value) -> Option<Value> {
    if SHOWN.contains(&name) {
        return Some(plain(value));
    }
    if ITEM_DATA.contains(&name) {
        return Some(HIDDEN.into());
    }
    if ENTERED.contains(&name) {
        return Some(without_items(value));
    }
    let tables = (name == REQUEST_ITEMS).then(|| value.as_object())??;
    let table = |(name, value): (&String, &Value)| (name.clone(), without_items(value));
    Some(Value::Object(tables.iter().map(table).collect()))
}

/// A scalar, or a list of scalars; nothing else where nothing else belongs.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(elements)
            if elements
                .iter()
                .all(|value| !value.is_object() && !value.is_array()) =>
        {
            value.clone()
        }
        Value::Array(_) | Value::Object(_) => Value::Null,
        scalar => scalar.clone(),
    }
}

/// A body with everything but secrets.
pub(super) fn whole(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(members.into_iter().filter_map(whole_member).collect()),
        Value::Array(elements) => elements.into_iter().map(whole).collect(),
        scalar => scalar,
    }
}

fn whole_member((name, value): (String, Value)) -> Option<(String, Value)> {
    if SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
        return None;
    }
    let value = match value {
        value if NAMED_BY_USERS.contains(&name.as_str()) => value,
        Value::Object(tables) if name == REQUEST_ITEMS => {
            let tables = tables.into_iter().map(|(name, value)| (name, whole(value)));
            Value::Object(tables.collect())
        }
        value => whole(value),
    };
    Some((lower(&name), value))
}

/// A value that is not too large to be written down, or that it was.
pub(super) fn bounded(value: Value) -> Value {
    match &value {
        // An empty answer.
        Value::Object(members) if members.is_empty() => Value::Null,
        _ if value.to_string().len() > BYTES_MAX => json!({"omitted": true}),
        _ => value,
    }
}

/// The name of a member as CloudTrail writes it.
fn lower(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_items_comes_through_and_what_is_there_is_named() {
        let planted = json!({"S": "planted"});
        let body = json!({
            "TableName": "Music", "Key": {"pk": planted}, "Item": {"pk": planted},
            "ExpressionAttributeValues": {":v": planted}, "UpdateExpression": "SET planted = :v",
            "ReturnValues": "ALL_OLD", "IndexName": {"planted": 1}, "Unknown": "planted",
            "AttributesToGet": [{"S": "planted"}],
            "RequestItems": {"Item": {"Keys": [{"pk": planted}], "ConsistentRead": true}, "Music": [
                {"PutRequest": {"Item": {"pk": planted}}}]},
            "TransactItems": [{"Put": {"TableName": "Music", "Item": {"pk": planted}}}],
            "Statements": [{"Statement": "planted", "Parameters": [planted]}],
        });
        let shown = without_items(&body);
        assert!(!shown.to_string().contains("planted"), "{shown}");
        let expected = json!({
            "tableName": "Music", "key": HIDDEN, "item": HIDDEN, "expressionAttributeValues": HIDDEN,
            "returnValues": "ALL_OLD", "indexName": null, "attributesToGet": null,
            "requestItems": {"Item": {"keys": HIDDEN, "consistentRead": true}, "Music": [{"putRequest": {"item": HIDDEN}}]},
            "transactItems": [{"put": {"tableName": "Music", "item": HIDDEN}}],
            "statements": [{"statement": HIDDEN, "parameters": HIDDEN}],
        });
        assert_eq!(shown, expected);
        assert_eq!(
            tables(&body).collect::<Vec<_>>(),
            ["Music", "Item", "Music", "Music"]
        );
    }

    #[test]
    fn whole_bodies_keep_the_names_of_users_and_lose_secrets() {
        let body = json!({
            "TableName": "Music", "Key": {"Artist": {"S": "x"}}, "ExpressionAttributeNames": {"#A": "Artist"},
            "KeySchema": [{"AttributeName": "Artist", "KeyType": "HASH"}],
            "AccessKey": {"AccessKeyId": "AKIA1", "SecretAccessKey": "planted"}, "Password": "planted",
        });
        let expected = json!({
            "tableName": "Music", "key": {"Artist": {"S": "x"}}, "expressionAttributeNames": {"#A": "Artist"},
            "keySchema": [{"attributeName": "Artist", "keyType": "HASH"}],
            "accessKey": {"accessKeyId": "AKIA1"},
        });
        assert_eq!(whole(body), expected);
        assert_eq!(bounded(json!({})), Value::Null);
        assert_eq!(bounded("x".repeat(BYTES_MAX).into()), json!({"omitted": true}));
    }

    #[test]
    fn what_reads_is_told_from_what_writes() {
        for name in [
            "GetItem",
            "ListTables",
            "DescribeTable",
            "BatchGetItem",
            "TransactGetItems",
            "Scan",
        ] {
            assert!(is_read_only(name), "{name}");
        }
        for name in [
            "PutItem",
            "CreateTable",
            "BatchWriteItem",
            "ExecuteStatement",
            "TagResource",
        ] {
            assert!(!is_read_only(name), "{name}");
        }
    }
}
