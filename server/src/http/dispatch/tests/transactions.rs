//! Transactions from the request to the answer: all or nothing, in one range and over several tables.

use super::*;
use crate::operation::cancellation::CancellationCode;

/// A node with the tables `Tab`, `One` and `Two`.
async fn tables() -> Node {
    let node = Node::start("").await;
    for name in ["One", "Two"] {
        let body = format!(
            r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}},
                {{"AttributeName":"sk","KeyType":"RANGE"}}],"AttributeDefinitions":[{{"AttributeName":"pk",
                "AttributeType":"S"}},{{"AttributeName":"sk","AttributeType":"N"}},{{"AttributeName":"g",
                "AttributeType":"S"}}],"GlobalSecondaryIndexes":[{{"IndexName":"by-g","KeySchema":[{{"AttributeName":"g",
                "KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}]}}"#
        );
        node.ask(Target::CreateTable, &body, &[]).await.unwrap();
    }
    node
}

/// A put of an item with this sort key, whose attribute `g` is a key of the index.
fn put_at(table: &str, partition: &str, sort: u32) -> String {
    format!(
        r#"{{"Put":{{"TableName":"{table}","Item":{{"pk":{{"S":"{partition}"}},"sk":{{"N":"{sort}"}},"g":{{"S":"x"}}}}}}}}"#
    )
}

/// A check that fails.
fn failing(table: &str, partition: &str) -> String {
    format!(
        r#"{{"ConditionCheck":{{"TableName":"{table}","Key":{{"pk":{{"S":"{partition}"}},"sk":{{"N":"99"}}}},
            "ConditionExpression":"attribute_exists(pk)"}}}}"#
    )
}

fn transaction(actions: &[String], members: &str) -> String {
    format!(r#"{{"TransactItems":[{}]{members}}}"#, actions.join(","))
}

async fn count(node: &Node, table: &str) -> String {
    let body = format!(r#"{{"TableName":"{table}","Select":"COUNT","ConsistentRead":true}}"#);
    node.ask(Target::Scan, &body, &[]).await.unwrap()
}

const NOTHING: &str = r#"{"Count":0,"ScannedCount":0}"#;

fn codes(answer: Result<String, ApiError>) -> Vec<Option<CancellationCode>> {
    match answer {
        Err(ApiError::TransactionCanceled(reasons)) => reasons
            .into_iter()
            .map(|reason| reason.map(|reason| reason.code))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cancelled_transaction_leaves_nothing_in_one_range() {
    let node = tables().await;
    let actions = [put_at("One", "p", 1), put_at("One", "p", 2), failing("One", "p")];
    let failed = Some(CancellationCode::ConditionalCheckFailed);
    for members in ["", r#","ClientRequestToken":"token""#] {
        let body = transaction(&actions, members);
        let answer = node.ask(Target::TransactWriteItems, &body, &[]).await;
        assert_eq!(codes(answer), [None, None, failed]);
        assert_eq!(count(&node, "One").await, NOTHING);
    }
    // Nothing is locked either.
    let good = transaction(&actions[..2], r#","ClientRequestToken":"another""#);
    let done = node.ask(Target::TransactWriteItems, &good, &[]).await;
    assert_eq!(done, Ok("{}".to_owned()));
    assert_eq!(count(&node, "One").await, r#"{"Count":2,"ScannedCount":2}"#);
}

#[tokio::test]
async fn a_cancelled_transaction_leaves_nothing_in_several_tables() {
    let node = tables().await;
    let mut actions = Vec::new();
    for partition in 0..20 {
        let partition = format!("p{partition}");
        actions.extend([put_at("One", &partition, 1), put_at("Two", &partition, 1)]);
    }
    let count_both = async || (count(&node, "One").await, count(&node, "Two").await);
    actions.push(failing("Two", "other"));
    let body = transaction(&actions, "");
    let codes = codes(node.ask(Target::TransactWriteItems, &body, &[]).await);
    assert_eq!(
        codes.last(),
        Some(&Some(CancellationCode::ConditionalCheckFailed))
    );
    assert!(codes[..40].iter().all(Option::is_none), "{codes:?}");
    assert_eq!(count_both().await, (NOTHING.to_owned(), NOTHING.to_owned()));
    // Nothing is locked either.
    actions.pop();
    let done = node
        .ask(Target::TransactWriteItems, &transaction(&actions, ""), &[])
        .await;
    assert_eq!(done, Ok("{}".to_owned()));
    let twenty = r#"{"Count":20,"ScannedCount":20}"#.to_owned();
    assert_eq!(count_both().await, (twenty.clone(), twenty));
}

#[tokio::test]
async fn statements_of_a_transaction_carry_no_more_than_actions_may() {
    let node = tables().await;
    let insert = |sort: usize| {
        let text = "x".repeat(390_000);
        format!(
            r#"{{"Statement":"INSERT INTO \"One\" VALUE {{'pk':'k','sk':{sort},'v':?}}","Parameters":[{{"S":"{text}"}}]}}"#
        )
    };
    let ask = async |statements: usize| {
        let statements: Vec<_> = (0..statements).map(insert).collect();
        let body = format!(r#"{{"TransactStatements":[{}]}}"#, statements.join(","));
        node.ask(Target::ExecuteTransaction, &body, &[]).await
    };
    let refused = ask(11).await;
    let starts = |sentence: &str| sentence.starts_with("Transaction payload size cannot exceed 4MB. ");
    assert!(
        matches!(&refused, Err(ApiError::Validation(sentence)) if starts(sentence)),
        "{refused:?}"
    );
    assert_eq!(count(&node, "One").await, NOTHING);
    let done = ask(10).await;
    assert!(done.is_ok(), "{done:?}");
}

#[tokio::test]
async fn equal_requests_under_one_token_take_effect_once() {
    let node = tables().await;
    let add = |table: &str, token: &str| {
        let add = |key: u32| {
            format!(
                r#"{{"Update":{{"TableName":"{table}","Key":{{"sk":{{"N":"{key}"}},"pk":{{"S":"k"}}}},
                    "UpdateExpression":"ADD v :v, w :w",
                    "ExpressionAttributeValues":{{":w":{{"N":"1"}},":v":{{"N":"1.0"}}}}}}}}"#
            )
        };
        transaction(
            &[add(1), add(2)],
            &format!(r#","ReturnConsumedCapacity":"TOTAL","ClientRequestToken":"{token}""#),
        )
    };
    let ask = async |body: String| node.ask(Target::TransactWriteItems, &body, &[]).await;
    let units =
        |kind| format!(r#"{{"ConsumedCapacity":[{{"TableName":"One","CapacityUnits":4.0,"{kind}":4.0}}]}}"#);
    assert_eq!(ask(add("One", "t")).await, Ok(units("WriteCapacityUnits")));
    // Other members, in another order; the table by its ARN; a number in another spelling.
    let other = r#"{"ClientRequestToken":"t","ReturnConsumedCapacity":"TOTAL","TransactItems":[
        {"Update":{"ExpressionAttributeValues":{":v":{"N":"1"},":w":{"N":"1"}},"UpdateExpression":"ADD v :v, w :w",
            "Key":{"pk":{"S":"k"},"sk":{"N":"1"}},"TableName":"One"}},
        {"Update":{"ExpressionAttributeValues":{":v":{"N":"1"},":w":{"N":"1"}},"UpdateExpression":"ADD v :v, w :w",
            "Key":{"pk":{"S":"k"},"sk":{"N":"2"}},"TableName":"arn:aws:dynamodb:us-east-1:000000000000:table/One"}}]}"#;
    assert_eq!(ask(other.to_owned()).await, Ok(units("ReadCapacityUnits")));
    assert_eq!(
        ask(add("Two", "t")).await,
        Err(ApiError::IdempotentParameterMismatch)
    );
    assert!(ask(add("One", "u")).await.is_ok());
    let get = r#"{"TransactItems":[{"Get":{"TableName":"One","Key":{"pk":{"S":"k"},"sk":{"N":"1"}},
        "ProjectionExpression":"v"}},{"Get":{"TableName":"Two","Key":{"pk":{"S":"k"},"sk":{"N":"1"}}}}]}"#;
    assert_eq!(
        node.ask(Target::TransactGetItems, get, &[]).await,
        Ok(r#"{"Responses":[{"Item":{"v":{"N":"2"}}},{}]}"#.to_owned())
    );
}

#[tokio::test]
async fn a_call_that_is_tried_again_takes_effect_once() {
    let node = tables().await;
    let add = r#"{"TransactItems":[{"Update":{"TableName":"One","Key":{"pk":{"S":"k"},"sk":{"N":"1"}},
        "UpdateExpression":"ADD v :v","ExpressionAttributeValues":{":v":{"N":"1"}}}}]}"#;
    for _ in 0..2 {
        let call = [("amz-sdk-invocation-id", "one call")];
        node.ask(Target::TransactWriteItems, add, &call).await.unwrap();
    }
    let get = r#"{"TableName":"One","Key":{"pk":{"S":"k"},"sk":{"N":"1"}},"ProjectionExpression":"v"}"#;
    let item = node.ask(Target::GetItem, get, &[]).await;
    assert_eq!(item, Ok(r#"{"Item":{"v":{"N":"1"}}}"#.to_owned()));
}

#[tokio::test]
async fn transactions_are_refused_at_one() {
    let node = tables().await;
    let refusal = Err(ApiError::validation(message::TRANSACTION_AT_ONE));
    let get = r#"{"TransactItems":[{"Get":{"TableName":"One","Key":{"pk":{"S":"k"},"sk":{"N":"1"}}}}]@}"#;
    let put = transaction(&[put_at("One", "k", 1)], "@");
    for (target, body) in [
        (Target::TransactWriteItems, put.as_str()),
        (Target::TransactGetItems, get),
    ] {
        let with = |members: &str| body.replace('@', members);
        assert_eq!(node.ask(target, &with(ONE), &[]).await, refusal, "{target:?}");
        assert_eq!(
            node.ask(target, &with(""), &[AT_ONE]).await,
            refusal,
            "{target:?}"
        );
        let all = with(r#","ConsistencyLevel":"ALL""#);
        assert!(node.ask(target, &all, &[AT_ONE]).await.is_ok(), "{target:?}");
    }
}
