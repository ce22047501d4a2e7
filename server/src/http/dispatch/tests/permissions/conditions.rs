//! What requests have for the keys of conditions.

use super::*;

/// A policy that allows everything under one condition.
fn under(operator: &str, key: &str, values: &str) -> Caller<'static> {
    user(&format!(
        r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"{operator}":{{"{key}":{values}}}}}}}"#
    ))
}

/// Whether a request is denied under each of these conditions.
async fn check(node: &Node, target: Target, body: &str, conditions: &[(&str, &str, &str, bool)]) {
    for (operator, key, values, holds) in conditions {
        let denial = node.denial(&under(operator, key, values), target, body).await;
        assert_eq!(
            denial.is_none(),
            *holds,
            "{target:?}: {operator} {key} {values}: {denial:?}"
        );
    }
}

#[tokio::test]
async fn the_connection_and_the_time_are_told() {
    let node = node().await;
    let body = r#"{"TableName":"Tab"}"#;
    check(
        &node,
        Target::DescribeTable,
        body,
        &[
            ("IpAddress", "aws:SourceIp", r#""10.0.0.0/8""#, true),
            ("NotIpAddress", "aws:SourceIp", r#""10.0.0.0/8""#, false),
            ("Bool", "aws:SecureTransport", "true", true),
            ("Bool", "aws:SecureTransport", "false", false),
            (
                "DateGreaterThan",
                "aws:CurrentTime",
                r#""2024-01-01T00:00:00Z""#,
                true,
            ),
            (
                "DateLessThan",
                "aws:CurrentTime",
                r#""2024-01-01T00:00:00Z""#,
                false,
            ),
            ("NumericGreaterThan", "aws:EpochTime", "1700000000", true),
            ("StringEquals", "aws:RequestedRegion", r#""us-east-1""#, true),
            ("StringEquals", "aws:RequestedRegion", r#""eu-west-1""#, false),
            ("StringLike", "aws:UserAgent", r#""test/*""#, true),
            ("StringEquals", "aws:ResourceAccount", r#""000000000000""#, true),
            (
                "StringEquals",
                "aws:ResourceTag/team",
                r#""${aws:PrincipalTag/team}""#,
                true,
            ),
            ("StringEquals", "aws:ResourceTag/team", r#""blue""#, false),
            ("StringEquals", "aws:ResourceTag/none", r#""red""#, false),
            ("StringEquals", "aws:username", r#""ann""#, true),
            ("Null", "dynamodb:LeadingKeys", "true", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn tags_of_requests_are_told() {
    let node = node().await;
    let body = format!(
        r#"{{"ResourceArn":"{TABLE}","Tags":[{{"Key":"Cost","Value":"7"}},{{"Key":"x","Value":"y"}}]}}"#
    );
    check(
        &node,
        Target::TagResource,
        &body,
        &[
            ("StringEquals", "aws:RequestTag/cost", r#""7""#, true),
            ("StringEquals", "aws:RequestTag/cost", r#""8""#, false),
            (
                "ForAllValues:StringEquals",
                "aws:TagKeys",
                r#"["Cost","x"]"#,
                true,
            ),
            ("ForAllValues:StringEquals", "aws:TagKeys", r#"["Cost"]"#, false),
        ],
    )
    .await;
    let body = format!(r#"{{"ResourceArn":"{TABLE}","TagKeys":["Cost"]}}"#);
    check(
        &node,
        Target::UntagResource,
        &body,
        &[
            ("ForAnyValue:StringEquals", "aws:TagKeys", r#""Cost""#, true),
            ("ForAnyValue:StringEquals", "aws:TagKeys", r#""x""#, false),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameters_are_told_with_their_defaults() {
    let node = node().await;
    let (select, returns) = ("dynamodb:Select", "dynamodb:ReturnValues");
    let capacity = "dynamodb:ReturnConsumedCapacity";
    for (target, members, key, value) in [
        (Target::GetItem, "", select, "ALL_ATTRIBUTES"),
        (
            Target::GetItem,
            r#","AttributesToGet":["a"]"#,
            select,
            "SPECIFIC_ATTRIBUTES",
        ),
        (Target::GetItem, "", capacity, "NONE"),
        (
            Target::GetItem,
            r#","ReturnConsumedCapacity":"TOTAL""#,
            capacity,
            "TOTAL",
        ),
        (Target::Scan, "", select, "ALL_ATTRIBUTES"),
        (
            Target::Scan,
            r#","IndexName":"by_g""#,
            select,
            "ALL_PROJECTED_ATTRIBUTES",
        ),
        (Target::Scan, r#","Select":"COUNT""#, select, "COUNT"),
        (
            Target::Scan,
            r#","ProjectionExpression":"a""#,
            select,
            "SPECIFIC_ATTRIBUTES",
        ),
        (Target::DeleteItem, "", returns, "NONE"),
        (
            Target::DeleteItem,
            r#","ReturnValues":"ALL_OLD""#,
            returns,
            "ALL_OLD",
        ),
        (
            Target::UpdateItem,
            r#","ReturnValues":"UPDATED_NEW""#,
            returns,
            "UPDATED_NEW",
        ),
    ] {
        let body = format!(r#"{{"TableName":"Tab","Key":{{"pk":{{"S":"k"}}}}{members}}}"#);
        let values = format!("{value:?}");
        check(
            &node,
            target,
            &body,
            &[
                ("StringEquals", key, values.as_str(), true),
                ("StringNotEquals", key, values.as_str(), false),
                ("Null", "dynamodb:EnclosingOperation", "true", true),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn transactions_are_told_from_single_requests() {
    let node = node().await;
    for (target, name) in [
        (Target::TransactGetItems, "TransactGetItems"),
        (Target::TransactWriteItems, "TransactWriteItems"),
        (Target::ExecuteTransaction, "ExecuteTransaction"),
    ] {
        let body = Sample::of(target).body;
        let key = "dynamodb:EnclosingOperation";
        let value = format!("{name:?}");
        check(
            &node,
            target,
            &body,
            &[
                ("StringEquals", key, value.as_str(), true),
                ("StringEquals", key, r#""x""#, false),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn statements_are_told_by_what_they_read() {
    let node = node().await;
    let (scan, keys) = ("dynamodb:FullTableScan", "dynamodb:LeadingKeys");
    let of = "ForAllValues:StringEquals";
    for (statement, conditions) in [
        ("SELECT * FROM Tab", vec![("Bool", scan, "true", true)]),
        (
            "SELECT * FROM Tab WHERE a = 1",
            vec![("Bool", scan, "true", true)],
        ),
        (
            "SELECT * FROM Tab WHERE pk > 'k'",
            vec![("Bool", scan, "true", true)],
        ),
        (
            "SELECT * FROM Tab WHERE pk = 'k' AND a = 1",
            vec![
                ("Bool", scan, "true", false),
                (of, keys, r#"["k"]"#, true),
                (of, keys, r#"["l"]"#, false),
            ],
        ),
        (
            "SELECT * FROM Tab WHERE pk IN ['k', 'l']",
            vec![
                ("Bool", scan, "false", true),
                (of, keys, r#"["k"]"#, false),
                (of, keys, r#"["l","k"]"#, true),
            ],
        ),
        (
            "SELECT * FROM Tab WHERE pk = 'k' OR pk = 'l'",
            vec![(of, keys, r#"["k"]"#, false), (of, keys, r#"["k","l"]"#, true)],
        ),
        (
            "INSERT INTO Tab VALUE {'pk': 'n', 'secret': 1}",
            vec![
                (of, keys, r#"["n"]"#, true),
                (of, keys, r#"["k"]"#, false),
                (of, "dynamodb:Attributes", r#"["pk","secret"]"#, true),
                (of, "dynamodb:Attributes", r#"["pk"]"#, false),
                ("Null", scan, "true", true),
            ],
        ),
        (
            "UPDATE Tab SET a = b + 1 WHERE pk = 'k' AND c = 2 RETURNING ALL OLD *",
            vec![
                (of, "dynamodb:Attributes", r#"["pk","a","b","c"]"#, true),
                (of, "dynamodb:Attributes", r#"["pk","a","b"]"#, false),
                (of, "dynamodb:Attributes", r#"["pk","a","c"]"#, false),
                ("StringEquals", "dynamodb:ReturnValues", r#""ALL_OLD""#, true),
            ],
        ),
    ] {
        let body = format!(r#"{{"Statement":"{statement}"}}"#);
        check(&node, Target::ExecuteStatement, &body, &conditions).await;
    }
}

#[tokio::test]
async fn a_batch_of_statements_answers_for_each() {
    let node = node().await;
    let own = r#"{"Effect":"Allow","Action":"dynamodb:PartiQL*","Resource":"*",
        "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":"ann"}}}"#;
    let body = r#"{"Statements":[{"Statement":"INSERT INTO Tab VALUE {'pk': 'ann'}"},
        {"Statement":"INSERT INTO Tab VALUE {'pk': 'bob'}"}]}"#;
    let answer = node
        .ask_as(&user(own), Target::BatchExecuteStatement, body)
        .await
        .unwrap();
    assert!(
        answer.starts_with(
            r#"{"Responses":[{"TableName":"Tab"},{"Error":{"Code":"AccessDenied","Message":"User: "#
        ),
        "{answer}"
    );
    let item = |key: &str| format!(r#"{{"TableName":"Tab","Key":{{"pk":{{"S":"{key}"}}}}}}"#);
    let stored = node.ask(Target::GetItem, &item("ann"), &[]).await.unwrap();
    assert_eq!(stored, r#"{"Item":{"pk":{"S":"ann"}}}"#);
    assert_eq!(node.ask(Target::GetItem, &item("bob"), &[]).await.unwrap(), "{}");
}

#[tokio::test]
async fn what_is_stated_without_expressions_is_told_as_well() {
    let node = node().await;
    let of = "ForAllValues:StringEquals";
    let attributes = "dynamodb:Attributes";
    for (target, members, names) in [
        (
            Target::UpdateItem,
            r#""Key":{"pk":{"S":"k"}},"AttributeUpdates":{"a":{"Action":"DELETE"}},"Expected":{"b":{"Exists":false}}"#,
            ["a", "b", "pk"],
        ),
        (
            Target::Query,
            r#""KeyConditions":{"pk":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"k"}]}},
               "QueryFilter":{"a":{"ComparisonOperator":"NULL"}},"AttributesToGet":["b"]"#,
            ["a", "b", "pk"],
        ),
        (
            Target::Scan,
            r#""ScanFilter":{"a":{"ComparisonOperator":"NULL"}},"AttributesToGet":["b","pk"]"#,
            ["a", "b", "pk"],
        ),
    ] {
        let body = format!(r#"{{"TableName":"Tab",{members}}}"#);
        check(
            &node,
            target,
            &body,
            &[(of, attributes, format!("{names:?}").as_str(), true)],
        )
        .await;
        for left_out in names {
            let others: Vec<&str> = names.into_iter().filter(|name| *name != left_out).collect();
            check(
                &node,
                target,
                &body,
                &[(of, attributes, format!("{others:?}").as_str(), false)],
            )
            .await;
        }
        if target != Target::Scan {
            let key = "dynamodb:LeadingKeys";
            check(
                &node,
                target,
                &body,
                &[(of, key, r#""k""#, true), (of, key, r#""l""#, false)],
            )
            .await;
        }
    }
}

/// A table with an index that has two hash attributes.
const WIDE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST",
    "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"},
        {"AttributeName":"h","AttributeType":"S"}],
    "GlobalSecondaryIndexes":[{"IndexName":"by_gh","Projection":{"ProjectionType":"ALL"},
        "KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"h","KeyType":"HASH"}]}]}"#;

#[tokio::test]
async fn each_attribute_of_a_partition_key_is_told() {
    let node = Node::start_with(Limits::default(), WIDE).await;
    let of = "ForAllValues:StringEquals";
    let [first, second] = [
        "dynamodb:FirstPartitionKeyValues",
        "dynamodb:SecondPartitionKeyValues",
    ];
    let leading = "dynamodb:LeadingKeys";
    for (target, body) in [
        (
            Target::Query,
            r#"{"TableName":"Tab","IndexName":"by_gh","KeyConditionExpression":"h = :h AND g = :g",
                "ExpressionAttributeValues":{":g":{"S":"k"},":h":{"S":"m"}}}"#,
        ),
        (
            Target::ExecuteStatement,
            r#"{"Statement":"SELECT * FROM \"Tab\".\"by_gh\" WHERE h IN ('m', 'n') AND g = 'k'"}"#,
        ),
    ] {
        check(
            &node,
            target,
            body,
            &[
                (of, leading, r#""k""#, true),
                (of, leading, r#""m""#, false),
                (of, first, r#""k""#, true),
                (of, first, r#""m""#, false),
                (of, second, r#"["m","n"]"#, true),
                (of, second, r#""k""#, false),
                ("Null", "dynamodb:ThirdPartitionKeyValues", "true", true),
                ("Null", "dynamodb:FourthPartitionKeyValues", "true", true),
            ],
        )
        .await;
    }
    check(
        &node,
        Target::PutItem,
        r#"{"TableName":"Tab","Item":{"pk":{"S":"k"},"h":{"S":"m"}}}"#,
        &[
            (of, first, r#""k""#, true),
            (of, first, r#""l""#, false),
            ("Null", second, "true", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_table_that_there_is_not_is_told_to_those_who_may_ask() {
    let node = node().await;
    let body = r#"{"TableName":"None","Key":{"pk":{"S":"k"}}}"#;
    let everything = user(&allow("*", "*"));
    let refused = node.ask_as(&everything, Target::GetItem, body).await;
    assert_eq!(refused, Err(message::no_table()));
    assert!(node.denial(&user(""), Target::GetItem, body).await.is_some());
    // Without a name it is still nobody's to pass who may do nothing.
    assert!(node.denial(&user(""), Target::GetItem, "{}").await.is_some());
    let invalid = node.ask_as(&everything, Target::GetItem, "{}").await;
    assert!(matches!(invalid, Err(ApiError::Validation(_))), "{invalid:?}");
}
