//! Throughput: what is let through, what is paid, and what clients are told.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::clock::Clock;
use crate::operation::cancellation::CancellationCode;
use crate::operation::capacity::UnitKind;
use crate::throttle::{Throttle, Throttled};

/// A clock that goes when it is told to.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hand {
    fn turn(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A node that throttles, with a table of these settings and an index on `g` with its own.
async fn node(table: &str, index: &str) -> (Node, Arc<Hand>) {
    let body = format!(
        r#"{{"TableName":"Tab",{table},"KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
            "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}},{{"AttributeName":"g",
            "AttributeType":"S"}}],"GlobalSecondaryIndexes":[{{"IndexName":"by-g",{index},"KeySchema":[{{
            "AttributeName":"g","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"KEYS_ONLY"}}}}]}}"#
    );
    let mut node = Node::start_with(Limits::default(), &body).await;
    let clock = Arc::new(Hand::default());
    let throttle = Throttle::new("us-east-1".to_owned(), Arc::clone(&clock) as Arc<dyn Clock>);
    node.context.throttle = Some(Arc::new(throttle));
    (node, clock)
}

fn units(read: u32, write: u32) -> String {
    format!(r#""ProvisionedThroughput":{{"ReadCapacityUnits":{read},"WriteCapacityUnits":{write}}}"#)
}

fn throttled(kind: UnitKind, index: bool, is_on_demand: bool) -> Throttled {
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";
    Throttled {
        kind,
        is_index: index,
        is_on_demand,
        resource: if index {
            format!("{table}/index/by-g")
        } else {
            table.to_owned()
        },
    }
}

/// A put of an item of one unit; with `g` it has a row in the index.
fn put_of(key: &str, members: &str) -> String {
    format!(r#"{{"TableName":"Tab","Item":{{"pk":{{"S":"{key}"}}{members}}}}}"#)
}

/// How many of 2,000 such requests are answered before one is refused, and with what.
async fn until_refused(node: &Node, target: Target, body: &str) -> (usize, ApiError) {
    for count in 0..2000 {
        if let Err(error) = node.ask(target, body, &[]).await {
            return (count, error);
        }
    }
    panic!("nothing is refused");
}

#[tokio::test]
async fn a_table_serves_its_burst_and_then_its_rate() {
    let (node, clock) = node(&units(1, 1), &units(1, 1)).await;
    let write = put_of("k", "");
    let (count, error) = until_refused(&node, Target::PutItem, &write).await;
    assert_eq!(count, 300);
    assert_eq!(
        error,
        ApiError::Throttled(throttled(UnitKind::Write, false, false))
    );
    let body = String::from_utf8(error.body()).unwrap();
    assert_eq!(
        body,
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.","ThrottlingReasons":[{"reason":"TableWriteProvisionedThroughputExceeded","resource":"arn:aws:dynamodb:us-east-1:000000000000:table/Tab"}]}"#
    );
    // Reads have a bucket of their own, and those that may lag cost half.
    let (count, _) = until_refused(&node, Target::GetItem, &on_item("")).await;
    assert_eq!(count, 600);
    let (count, error) = until_refused(&node, Target::GetItem, &on_item(r#","ConsistentRead":true"#)).await;
    assert_eq!(count, 0);
    assert_eq!(
        error,
        ApiError::Throttled(throttled(UnitKind::Read, false, false))
    );
    clock.turn(5000);
    let (count, _) = until_refused(&node, Target::PutItem, &write).await;
    assert_eq!(count, 5);
    let (count, _) = until_refused(
        &node,
        Target::Scan,
        r#"{"TableName":"Tab","ConsistentRead":true}"#,
    )
    .await;
    assert_eq!(count, 5);
    let refused = node.context.throttle.as_ref().unwrap().refused();
    assert_eq!(refused, [("read", 3), ("write", 2)]);
}

#[tokio::test]
async fn a_large_item_is_paid_off() {
    let (node, clock) = node(&units(1, 1), &units(1, 1)).await;
    let large = put_of("k", &format!(r#","x":{{"S":"{}"}}"#, "x".repeat(399 * 1024)));
    node.ask(Target::PutItem, &large, &[]).await.unwrap();
    let small = put_of("k2", "");
    assert!(node.ask(Target::PutItem, &small, &[]).await.is_err());
    clock.turn(99_000);
    assert!(node.ask(Target::PutItem, &small, &[]).await.is_err());
    clock.turn(2_000);
    node.ask(Target::PutItem, &small, &[]).await.unwrap();
    // A read is known to be large when it is done.
    node.ask(Target::GetItem, &on_item(r#","ConsistentRead":true"#), &[])
        .await
        .unwrap();
    let (count, _) = until_refused(&node, Target::GetItem, &on_item("")).await;
    assert_eq!(count, 4, "300 units less 100 are four reads of 50");
}

#[tokio::test]
async fn an_index_holds_up_the_writes_that_touch_it() {
    let (node, clock) = node(&units(100, 100), &units(1, 1)).await;
    let mut count = 0;
    let error = loop {
        let body = put_of(&format!("k{count}"), r#","g":{"S":"x"}"#);
        match node.ask(Target::PutItem, &body, &[]).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(count, 300);
    assert_eq!(
        error,
        ApiError::Throttled(throttled(UnitKind::Write, true, false))
    );
    node.ask(Target::PutItem, &put_of("other", r#","x":{"S":"y"}"#), &[])
        .await
        .unwrap();
    // What touches the index is not known of these.
    let delete = r#"{"TableName":"Tab","Key":{"pk":{"S":"k1"}}}"#;
    assert!(node.ask(Target::DeleteItem, delete, &[]).await.is_err());
    clock.turn(1000);
    node.ask(Target::DeleteItem, delete, &[]).await.unwrap();
    let query = r#"{"TableName":"Tab","IndexName":"by-g","KeyConditionExpression":"g = :g","Limit":1,
        "ExpressionAttributeValues":{":g":{"S":"x"}}}"#;
    let (count, error) = until_refused(&node, Target::Query, query).await;
    assert_eq!(count, 600);
    assert_eq!(error, ApiError::Throttled(throttled(UnitKind::Read, true, false)));
    node.ask(Target::GetItem, &on_item(""), &[]).await.unwrap();
}

#[tokio::test]
async fn on_demand_tables_have_their_maximum_and_else_none() {
    let settings = |maximum| format!(r#""OnDemandThroughput":{{"MaxWriteRequestUnits":{maximum}}}"#);
    let table = format!(r#""BillingMode":"PAY_PER_REQUEST",{}"#, settings(1));
    let (node, _) = node(&table, &settings(1000)).await;
    let (count, error) = until_refused(&node, Target::PutItem, &put_of("k", "")).await;
    assert_eq!(count, 300);
    assert_eq!(
        error,
        ApiError::Throttled(throttled(UnitKind::Write, false, true))
    );
    let body = String::from_utf8(error.body()).unwrap();
    assert!(body.contains("coral.availability#ThrottlingException"), "{body}");
    assert!(
        body.contains(r#""throttlingReasons":[{"reason":"TableWriteMaxOnDemandThroughputExceeded""#),
        "{body}"
    );
    for _ in 0..1000 {
        node.ask(Target::GetItem, &on_item(""), &[]).await.unwrap();
    }
}

#[tokio::test]
async fn batches_give_back_what_is_not_let_through() {
    let (node, clock) = node(&units(1, 1), &units(1, 1)).await;
    until_refused(&node, Target::PutItem, &put_of("k", "")).await;
    until_refused(&node, Target::GetItem, &on_item("")).await;
    let write = r#"{"RequestItems":{"Tab":[{"PutRequest":{"Item":{"pk":{"S":"a"}}}},
        {"PutRequest":{"Item":{"pk":{"S":"b"}}}}]}}"#;
    let read =
        r#"{"RequestItems":{"Tab":{"Keys":[{"pk":{"S":"a"}},{"pk":{"S":"b"}}],"ConsistentRead":true}}}"#;
    let refused = |kind| Err(ApiError::Throttled(throttled(kind, false, false)));
    assert_eq!(
        node.ask(Target::BatchWriteItem, write, &[]).await,
        refused(UnitKind::Write)
    );
    assert_eq!(
        node.ask(Target::BatchGetItem, read, &[]).await,
        refused(UnitKind::Read)
    );
    clock.turn(1000);
    let answer = node.ask(Target::BatchWriteItem, write, &[]).await.unwrap();
    assert!(
        answer.contains(r#""UnprocessedItems":{"Tab":[{"PutRequest":"#),
        "{answer}"
    );
    let answer = node.ask(Target::BatchGetItem, read, &[]).await.unwrap();
    assert!(
        answer.contains(r#""UnprocessedKeys":{"Tab":{"Keys":[{"pk":"#),
        "{answer}"
    );
}

#[tokio::test]
async fn a_transaction_is_cancelled_where_there_is_nothing_left_and_costs_twice() {
    let (node, clock) = node(&units(1, 1), &units(1, 1)).await;
    let put = |key: &str| format!(r#"{{"Put":{{"TableName":"Tab","Item":{{"pk":{{"S":"{key}"}}}}}}}}"#);
    let two = format!(r#"{{"TransactItems":[{},{}]}}"#, put("a"), put("b"));
    let (count, error) = until_refused(&node, Target::TransactWriteItems, &two).await;
    assert_eq!(count, 75, "four units each");
    let code = Some(CancellationCode::ProvisionedThroughputExceeded);
    let ApiError::TransactionCanceled(reasons) = error else {
        panic!("{error:?}")
    };
    let codes: Vec<_> = reasons.iter().map(|reason| Some(reason.as_ref()?.code)).collect();
    assert_eq!(codes, [code, code]);
    clock.turn(1000);
    let error = node.ask(Target::TransactWriteItems, &two, &[]).await.unwrap_err();
    let body = String::from_utf8(error.body()).unwrap();
    assert!(body.contains("[None, ProvisionedThroughputExceeded]"), "{body}");
    let get = |key: &str| format!(r#"{{"Get":{{"TableName":"Tab","Key":{{"pk":{{"S":"{key}"}}}}}}}}"#);
    let read = format!(r#"{{"TransactItems":[{},{}]}}"#, get("a"), get("b"));
    let (count, _) = until_refused(&node, Target::TransactGetItems, &read).await;
    assert_eq!(count, 75);
}

#[tokio::test]
async fn statements_are_throttled_as_what_they_are_made_of() {
    let (node, _) = node(&units(1, 1), &units(1, 1)).await;
    let select = r#"{"Statement":"SELECT * FROM Tab WHERE pk = 'k'"}"#;
    let (count, error) = until_refused(&node, Target::ExecuteStatement, select).await;
    assert_eq!(
        (count, error),
        (600, ApiError::Throttled(throttled(UnitKind::Read, false, false)))
    );
    let batch = r#"{"Statements":[{"Statement":"SELECT * FROM Tab WHERE pk = 'k'"}]}"#;
    let answer = node.ask(Target::BatchExecuteStatement, batch, &[]).await.unwrap();
    assert!(
        answer.contains(r#""Code":"ProvisionedThroughputExceeded""#),
        "{answer}"
    );
    let delete = r#"{"Statement":"DELETE FROM Tab WHERE pk = 'k'"}"#;
    let (count, _) = until_refused(&node, Target::ExecuteStatement, delete).await;
    assert_eq!(count, 300);
}

#[tokio::test]
async fn all_tables_together_have_no_more_than_the_account() {
    let (mut node, _) = node(&units(30_000, 1), &units(10_000, 1)).await;
    let create = |name: &str, read| {
        let units = units(read, 1);
        format!(
            r#"{{"TableName":"{name}",{units},"KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
                "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}]}}"#
        )
    };
    let most = node.context.limits.account_units_max;
    let refused = Err(message::table::too_many_units(most));
    node.ask(Target::CreateTable, &create("One", 39_999), &[])
        .await
        .unwrap();
    assert_eq!(
        node.ask(Target::CreateTable, &create("Two", 2), &[]).await,
        refused
    );
    node.ask(Target::CreateTable, &create("Two", 1), &[])
        .await
        .unwrap();
    let update = |read| format!(r#"{{"TableName":"Two",{}}}"#, units(read, 1));
    assert_eq!(node.ask(Target::UpdateTable, &update(2), &[]).await, refused);
    // Where throughput is not held, its sum is not either.
    node.context.limits.throughput = false;
    node.ask(Target::UpdateTable, &update(2), &[]).await.unwrap();
}
