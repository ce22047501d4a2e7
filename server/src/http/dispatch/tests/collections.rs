//! Item collections: their sizes as writes tell them, and what they may not grow above.

use super::*;

/// Bytes that a collection may have here: three of the items of these tests, with their rows, have 162.
const BYTES_MAX: u64 = 170;

async fn node() -> Node {
    let limits = Limits {
        item_collection_bytes_max: BYTES_MAX,
        ..Limits::default()
    };
    let attribute = |name| format!(r#"{{"AttributeName":"{name}","AttributeType":"S"}}"#);
    let keys = |sort| {
        format!(
            r#"[{{"AttributeName":"pk","KeyType":"HASH"}},{{"AttributeName":"{sort}","KeyType":"RANGE"}}]"#
        )
    };
    let body = format!(
        r#"{{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":{},"AttributeDefinitions":[{},{},{}],
            "LocalSecondaryIndexes":[{{"IndexName":"local","KeySchema":{},"Projection":{{"ProjectionType":"ALL"}}}}]}}"#,
        keys("sk"),
        attribute("pk"),
        attribute("sk"),
        attribute("a"),
        keys("a"),
    );
    Node::start_with(limits, &body).await
}

/// An item of 27 bytes, and with them 54 in the collection.
fn item(sk: &str) -> String {
    format!(r#"{{"pk":{{"S":"k"}},"sk":{{"S":"{sk}"}},"a":{{"S":"a"}},"x":{{"S":"0123456789abcdefgh"}}}}"#)
}

fn put(sk: &str, members: &str) -> String {
    format!(r#"{{"TableName":"Tab","Item":{}{members}}}"#, item(sk))
}

fn on(sk: &str, members: &str) -> String {
    format!(r#"{{"TableName":"Tab","Key":{{"pk":{{"S":"k"}},"sk":{{"S":"{sk}"}}}}{members}}}"#)
}

const SIZE: &str = r#","ReturnItemCollectionMetrics":"SIZE""#;
const METRICS: &str = r#"{"ItemCollectionKey":{"pk":{"S":"k"}},"SizeEstimateRangeGB":[0.0,1.0]}"#;

/// The size as it is kept.
async fn size(node: &Node) -> u64 {
    let table = node.context.catalog.table("Tab").unwrap();
    let keyspace = table.definition().collections().unwrap();
    let keyspace = node.context.cluster.keyspace(&keyspace).unwrap();
    let mut sizes = Vec::new();
    let everything = stator_cluster::Bounds {
        start: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
    };
    let (forward, level) = (
        stator_cluster::Direction::Forward,
        stator_cluster::ConsistencyLevel::Quorum,
    );
    let rows = node
        .context
        .cluster
        .range(keyspace, &everything, forward, level, |row| {
            sizes.push(stator_cluster::sum_of(Some(&row.to_cell())).unwrap());
            std::ops::ControlFlow::Continue(())
        });
    rows.await.unwrap();
    assert!(sizes.len() < 2 && !sizes.contains(&0), "{sizes:?}");
    sizes.first().copied().unwrap_or_default()
}

#[tokio::test]
async fn writes_tell_of_the_collection_when_they_are_asked_to() {
    let node = node().await;
    let told = format!(r#"{{"ItemCollectionMetrics":{METRICS}}}"#);
    let writes = [
        (Target::PutItem, put("1", SIZE)),
        (Target::PutItem, put("1", SIZE)),
        (Target::UpdateItem, on("1", SIZE)),
        (Target::DeleteItem, on("1", SIZE)),
        (Target::DeleteItem, on("1", SIZE)),
    ];
    for (target, body) in writes {
        assert_eq!(node.ask(target, &body, &[]).await, Ok(told.clone()), "{body}");
    }
    assert_eq!(
        node.ask(Target::PutItem, &put("1", ""), &[]).await,
        Ok("{}".to_owned())
    );
    let other = item("2").replace(r#""S":"k""#, r#""S":"l""#);
    let batch = format!(
        r#"{{"RequestItems":{{"Tab":[{{"PutRequest":{{"Item":{}}}}},{{"PutRequest":{{"Item":{}}}}},
            {{"PutRequest":{{"Item":{other}}}}}]}}{SIZE}}}"#,
        item("2"),
        item("3"),
    );
    let other = METRICS.replace(r#""S":"k""#, r#""S":"l""#);
    let told =
        format!(r#"{{"UnprocessedItems":{{}},"ItemCollectionMetrics":{{"Tab":[{METRICS},{other}]}}}}"#);
    assert_eq!(node.ask(Target::BatchWriteItem, &batch, &[]).await, Ok(told));
}

#[tokio::test]
async fn a_table_without_local_indexes_has_no_collections() {
    let node = Node::start("").await;
    let answer = node.ask(Target::PutItem, &super::put(SIZE), &[]).await;
    assert_eq!(answer, Ok("{}".to_owned()));
    let batch =
        format!(r#"{{"RequestItems":{{"Tab":[{{"PutRequest":{{"Item":{{"pk":{{"S":"b"}}}}}}}}]}}{SIZE}}}"#);
    let answer = node.ask(Target::BatchWriteItem, &batch, &[]).await;
    assert_eq!(answer, Ok(r#"{"UnprocessedItems":{}}"#.to_owned()));
    let table = node.context.catalog.table("Tab").unwrap();
    assert_eq!(table.definition().collections(), None);
}

#[tokio::test]
async fn a_collection_that_is_full_takes_what_makes_it_smaller() {
    let node = node().await;
    let full = || {
        Err(ApiError::CollectionTooLarge(
            "Collection size exceeded.".to_owned(),
        ))
    };
    for sk in ["1", "2", "3"] {
        node.ask(Target::PutItem, &put(sk, ""), &[]).await.unwrap();
    }
    assert_eq!(size(&node).await, 162);
    assert_eq!(node.ask(Target::PutItem, &put("4", ""), &[]).await, full());
    let set = |text: &str| {
        let values = format!(r#","ExpressionAttributeValues":{{":x":{{"S":"{text}"}}}}"#);
        on("1", &format!(r#","UpdateExpression":"SET x = :x"{values}"#))
    };
    let longer = set(&"x".repeat(23));
    assert_eq!(node.ask(Target::UpdateItem, &longer, &[]).await, full());
    let batch = format!(
        r#"{{"RequestItems":{{"Tab":[{{"PutRequest":{{"Item":{}}}}}]}}}}"#,
        item("4")
    );
    assert_eq!(node.ask(Target::BatchWriteItem, &batch, &[]).await, full());
    assert_eq!(size(&node).await, 162);
    let other = put("4", "").replace(r#""S":"k""#, r#""S":"l""#);
    node.ask(Target::PutItem, &other, &[]).await.unwrap();
    node.ask(
        Target::DeleteItem,
        &other
            .replace("Item", "Key")
            .replace(r#","a":{"S":"a"},"x":{"S":"0123456789abcdefgh"}"#, ""),
        &[],
    )
    .await
    .unwrap();
    // As large as may be, and then smaller.
    node.ask(Target::UpdateItem, &set(&"x".repeat(22)), &[])
        .await
        .unwrap();
    assert_eq!(size(&node).await, 170);
    node.ask(Target::UpdateItem, &set("x"), &[]).await.unwrap();
    assert_eq!(size(&node).await, 128);
    // Without a row in the index.
    let sparse = on("2", r#","UpdateExpression":"REMOVE a""#);
    node.ask(Target::UpdateItem, &sparse, &[]).await.unwrap();
    assert_eq!(size(&node).await, 99);
    for sk in ["1", "2", "3"] {
        node.ask(Target::DeleteItem, &on(sk, ""), &[]).await.unwrap();
    }
    assert_eq!(size(&node).await, 0);
    let error = ApiError::from(stator_cluster::Error::Unfit(stator_cluster::Unfit {
        code: crate::derive::unfit::COLLECTION_TOO_LARGE,
        reason: message::COLLECTION_TOO_LARGE.to_owned(),
    }));
    assert_eq!(
        (error.status().as_u16(), String::from_utf8(error.body()).unwrap()),
        (
            400,
            concat!(
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ItemCollectionSizeLimitExceededException","#,
                r#""message":"Collection size exceeded."}"#
            )
            .to_owned()
        )
    );
}

#[tokio::test]
async fn a_transaction_tells_of_collections_and_a_full_one_cancels_it() {
    let node = node().await;
    let puts = |sks: &[&str]| {
        let put = |sk: &&str| format!(r#"{{"Put":{{"TableName":"Tab","Item":{}}}}}"#, item(sk));
        let puts: Vec<_> = sks.iter().map(put).collect();
        format!(r#"{{"TransactItems":[{}]{SIZE}}}"#, puts.join(","))
    };
    let told = format!(r#"{{"ItemCollectionMetrics":{{"Tab":[{METRICS}]}}}}"#);
    let done = node
        .ask(Target::TransactWriteItems, &puts(&["1", "2"]), &[])
        .await;
    assert_eq!(done, Ok(told));
    let refused = node
        .ask(Target::TransactWriteItems, &puts(&["3", "4"]), &[])
        .await;
    let Err(ApiError::TransactionCanceled(reasons)) = refused else {
        panic!("{refused:?}")
    };
    let told: Vec<_> = reasons
        .iter()
        .map(|reason| {
            reason
                .as_ref()
                .map(|reason| (reason.code.name(), &reason.message[..]))
        })
        .collect();
    let full = ("ItemCollectionSizeLimitExceeded", "Collection size exceeded.");
    assert_eq!(told, [None, Some(full)]);
    assert_eq!(size(&node).await, 108);
}
