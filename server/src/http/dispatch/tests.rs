//! Requests from the target to the answer: consistency levels (member, header, tag, defaults), tables that come and go.

mod backups;
mod bulk;
mod collections;
mod deleted_streams;
mod deletions;
mod histories;
mod left_behind;
mod past_exports;
mod side_by_side;
mod throttling;
mod transfers;
mod whole_backups;

use http::{HeaderMap, HeaderName, HeaderValue};
use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey};
use tempfile::TempDir;

use super::*;
use crate::catalog::Catalog;
use crate::clock::SystemClock;
use crate::limits::Limits;
use crate::message;
use crate::node::Opened;
use crate::{node, random};

mod permissions;
mod transactions;

/// A node of its own with the table `Tab`, whose partition key is `pk`.
struct Node {
    context: Context,
    directory: TempDir,
}

impl Node {
    async fn start(tags: &str) -> Self {
        let body = format!(
            r#"{{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
                "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}],"Tags":[{tags}]}}"#
        );
        Self::start_with(Limits::default(), &body).await
    }

    /// With the table of a CreateTable request.
    async fn start_with(limits: Limits, body: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let key = MasterKey::new([3; MASTER_KEY_BYTES]);
        let Opened {
            cluster, derivations, ..
        } = node::open_alone(Durability::Interval, directory.path(), key, limits).unwrap();
        cluster.ready().await.unwrap();
        let context = Context {
            catalog: Catalog::open(cluster.clone(), derivations).await.unwrap(),
            cluster,
            backups: None,
            transfers: None,
            region: "us-east-1".to_owned(),
            endpoint: "localhost".to_owned(),
            throttle: None,
            limits,
            clock: Arc::new(SystemClock),
            random: random::fill,
        };
        let node = Self { context, directory };
        node.ask(Target::CreateTable, body, &[]).await.unwrap();
        node
    }

    /// Runs an operation and returns the JSON of its answer.
    async fn ask(
        &self,
        target: Target,
        body: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<String, ApiError> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        run(target, body.as_bytes(), Head::new(&headers), &self.context)
            .await
            .map(|json| String::from_utf8(json).unwrap())
    }
}

impl Node {
    /// Another node of the same cluster, which has heard of the same tables so far.
    async fn another(&self) -> Context {
        let cluster = self.context.cluster.clone();
        Context {
            catalog: Catalog::open(cluster.clone(), Arc::default()).await.unwrap(),
            cluster,
            backups: None,
            transfers: None,
            region: "us-east-1".to_owned(),
            endpoint: "localhost".to_owned(),
            throttle: None,
            limits: self.context.limits,
            clock: Arc::new(SystemClock),
            random: random::fill,
        }
    }
}

#[tokio::test]
async fn a_table_that_was_made_anew_elsewhere_is_found_and_one_that_was_deleted_is_not() {
    let node = Node::start("").await;
    let slow = node.another().await;
    let headers = HeaderMap::new();
    let ask = |target, body: String| {
        let (slow, headers) = (&slow, &headers);
        async move { run(target, body.as_bytes(), Head::new(headers), slow).await }
    };
    ask(Target::PutItem, put("")).await.unwrap();
    let named = r#"{"TableName":"Tab"}"#;
    node.ask(Target::DeleteTable, named, &[]).await.unwrap();
    assert_eq!(ask(Target::GetItem, on_item("")).await, Err(message::no_table()));
    assert_eq!(ApiError::TableDropped.body(), message::no_table().body());
    let again = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]}"#;
    node.ask(Target::CreateTable, again, &[]).await.unwrap();
    ask(Target::PutItem, put("")).await.unwrap();
    // Both at once, before the slow node hears of either.
    node.ask(Target::DeleteTable, named, &[]).await.unwrap();
    node.ask(Target::CreateTable, again, &[]).await.unwrap();
    assert_eq!(
        ask(Target::GetItem, on_item("")).await,
        Ok(b"{}".to_vec()),
        "the new table is empty"
    );
    let described = ask(Target::DescribeTable, named.to_owned()).await.unwrap();
    let described = String::from_utf8(described).unwrap();
    assert!(
        described.contains(r#""TableStatus":"ACTIVE""#) && described.contains(r#""ItemCount":0"#),
        "{described}"
    );
}

#[tokio::test]
async fn items_are_counted_with_their_size() {
    let node = Node::start("").await;
    node.ask(Target::PutItem, &put(r#","ReturnConsumedCapacity":"TOTAL""#), &[])
        .await
        .unwrap();
    let described = node
        .ask(Target::DescribeTable, r#"{"TableName":"Tab"}"#, &[])
        .await
        .unwrap();
    assert!(
        described.contains(r#""TableSizeBytes":3,"ItemCount":1"#),
        "{described}"
    );
}

/// A request on the item `k` of `Tab`, with more members.
fn on_item(members: &str) -> String {
    format!(r#"{{"TableName":"Tab","Key":{{"pk":{{"S":"k"}}}}{members}}}"#)
}

/// The put of the item `k` into `Tab`, with more members.
fn put(members: &str) -> String {
    format!(r#"{{"TableName":"Tab","Item":{{"pk":{{"S":"k"}}}}{members}}}"#)
}

const ONE: &str = r#","ConsistencyLevel":"ONE""#;
const CONDITION: &str = r#","ConditionExpression":"attribute_not_exists(pk)""#;
const AT_ONE: (&str, &str) = ("x-stator-consistency", "ONE");

#[tokio::test]
async fn every_item_operation_takes_a_level_from_body_and_header() {
    let node = Node::start("").await;
    let bodies = [
        (Target::PutItem, put("@")),
        (Target::UpdateItem, on_item("@")),
        (Target::GetItem, on_item("@")),
        (
            Target::BatchWriteItem,
            r#"{"RequestItems":{"Tab":[{"PutRequest":{"Item":{"pk":{"S":"b"}}}}]}@}"#.to_owned(),
        ),
        (
            Target::BatchGetItem,
            r#"{"RequestItems":{"Tab":{"Keys":[{"pk":{"S":"b"}}]}}@}"#.to_owned(),
        ),
        (
            Target::Query,
            r#"{"TableName":"Tab","KeyConditionExpression":"pk = :k","ExpressionAttributeValues":{":k":{"S":"k"}}@}"#
                .to_owned(),
        ),
        (Target::Scan, r#"{"TableName":"Tab"@}"#.to_owned()),
        (Target::DeleteItem, on_item("@")),
        (
            Target::ExecuteStatement,
            r#"{"Statement":"SELECT * FROM Tab WHERE pk = 'k'"@}"#.to_owned(),
        ),
        (
            Target::BatchExecuteStatement,
            r#"{"Statements":[{"Statement":"INSERT INTO Tab VALUE {'pk': 'c'}"}]@}"#.to_owned(),
        ),
    ];
    for (target, body) in bodies {
        let with = |members: &str| body.replace('@', members);
        let good = [
            ("x-stator-consistency", "QUORUM"),
            ("amz-sdk-invocation-id", "call"),
        ];
        let all = with(r#","ConsistencyLevel":"ALL""#);
        assert!(node.ask(target, &all, &good).await.is_ok(), "{target:?}");
        let refusal = |place: &str| {
            Err(ApiError::Validation(format!(
                "1 validation error detected: Value 'SOME' at '{place}' failed to satisfy constraint: Member must \
                 satisfy enum value set: [ONE, QUORUM, ALL]"
            )))
        };
        let some = with(r#","ConsistencyLevel":"SOME""#);
        assert_eq!(
            node.ask(target, &some, &[]).await,
            refusal("consistencyLevel"),
            "{target:?}"
        );
        let some = [("x-stator-consistency", "SOME")];
        assert_eq!(
            node.ask(target, &with(""), &some).await,
            refusal("x-stator-consistency"),
            "{target:?}"
        );
        let number = node.ask(target, &with(r#","ConsistencyLevel":1"#), &[]).await;
        assert!(
            matches!(number, Err(ApiError::Serialization(Some(_)))),
            "{target:?}"
        );
    }
}

#[tokio::test]
async fn a_write_that_needs_the_item_is_refused_at_one() {
    let node = Node::start("").await;
    let condition = Err(ApiError::validation(message::CONDITION_AT_ONE));
    let update = Err(ApiError::validation(message::UPDATE_AT_ONE));
    assert_eq!(
        node.ask(Target::PutItem, &put(&format!("{ONE}{CONDITION}")), &[])
            .await,
        condition
    );
    assert_eq!(
        node.ask(Target::DeleteItem, &on_item(CONDITION), &[AT_ONE]).await,
        condition
    );
    assert_eq!(node.ask(Target::UpdateItem, &on_item(ONE), &[]).await, update);
    assert_eq!(
        node.ask(Target::UpdateItem, &on_item(""), &[AT_ONE]).await,
        update
    );
    // The member counts, and a write without a condition needs nothing.
    let quorum = r#","ConsistencyLevel":"QUORUM""#;
    assert!(
        node.ask(Target::UpdateItem, &on_item(quorum), &[AT_ONE])
            .await
            .is_ok()
    );
    assert!(node.ask(Target::PutItem, &put(ONE), &[]).await.is_ok());
    assert!(
        node.ask(Target::DeleteItem, &on_item(""), &[AT_ONE])
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_statement_that_is_tried_again_takes_effect_once() {
    let node = Node::start("").await;
    let retry = [("amz-sdk-invocation-id", "the call")];
    let insert = r#"{"Statement":"INSERT INTO Tab VALUE {'pk': 'k', 'n': 1}"}"#;
    let update = r#"{"Statement":"UPDATE Tab SET n = n + 1 WHERE pk = 'k' RETURNING ALL NEW *"}"#;
    node.ask(Target::ExecuteStatement, insert, &[]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            node.ask(Target::ExecuteStatement, update, &retry).await,
            Ok(r#"{"Items":[{"n":{"N":"2"},"pk":{"S":"k"}}]}"#.to_owned())
        );
    }
    assert_eq!(
        node.ask(Target::ExecuteStatement, insert, &[]).await,
        Err(ApiError::DuplicateItem)
    );
    let batch = r#"{"Statements":[{"Statement":"UPDATE Tab SET n = n + 1 WHERE pk = 'k' RETURNING ALL NEW *"},
        {"Statement":"INSERT INTO Tab VALUE {'pk': 'l'}"}]}"#;
    let retry = [("amz-sdk-invocation-id", "another call")];
    for _ in 0..2 {
        assert_eq!(
            node.ask(Target::BatchExecuteStatement, batch, &retry).await,
            Ok(
                r#"{"Responses":[{"Item":{"n":{"N":"3"},"pk":{"S":"k"}},"TableName":"Tab"},{"TableName":"Tab"}]}"#
                    .to_owned()
            )
        );
    }
}

#[tokio::test]
async fn an_update_by_statement_is_refused_at_one() {
    let node = Node::start("").await;
    let body = format!(r#"{{"Statement":"UPDATE Tab SET n = 1 WHERE pk = 'k'"{ONE}}}"#);
    assert_eq!(
        node.ask(Target::ExecuteStatement, &body, &[]).await,
        Err(ApiError::validation(message::UPDATE_AT_ONE))
    );
    let body = r#"{"Statement":"DELETE FROM Tab WHERE pk = 'k'"}"#;
    assert!(node.ask(Target::ExecuteStatement, body, &[AT_ONE]).await.is_ok());
}

/// Units that GetItem reports: half a one at ONE, a whole one above.
async fn read_units(node: &Node, members: &str, headers: &[(&'static str, &'static str)]) -> String {
    let body = on_item(&format!(r#","ReturnConsumedCapacity":"TOTAL"{members}"#));
    let answer = node.ask(Target::GetItem, &body, headers).await.unwrap();
    let (_, units) = answer.split_once(r#""CapacityUnits":"#).unwrap();
    units.trim_end_matches('}').to_owned()
}

#[tokio::test]
async fn reads_are_at_the_level_that_is_named_first() {
    let node = Node::start("").await;
    assert_eq!(read_units(&node, "", &[]).await, "0.5");
    assert_eq!(read_units(&node, r#","ConsistentRead":true"#, &[]).await, "1.0");
    assert_eq!(
        read_units(&node, r#","ConsistencyLevel":"QUORUM""#, &[AT_ONE]).await,
        "1.0"
    );
    assert_eq!(
        read_units(&node, r#","ConsistentRead":true"#, &[AT_ONE]).await,
        "0.5"
    );
}

#[tokio::test]
async fn the_tag_of_a_table_names_its_level() {
    let tag = |level: &str| format!(r#"{{"Key":"stator:consistency-level","Value":"{level}"}}"#);
    let node = Node::start(&tag("ALL")).await;
    assert_eq!(read_units(&node, "", &[]).await, "1.0");
    assert_eq!(read_units(&node, "", &[AT_ONE]).await, "0.5");
    let retag = |level: &str| {
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";
        format!(r#"{{"ResourceArn":"{arn}","Tags":[{}]}}"#, tag(level))
    };
    let refused = node.ask(Target::TagResource, &retag("most"), &[]).await;
    assert_eq!(refused, Err(message::table::level_tag("most")));
    node.ask(Target::TagResource, &retag("ONE"), &[]).await.unwrap();
    assert_eq!(read_units(&node, "", &[]).await, "0.5");
    assert_eq!(read_units(&node, r#","ConsistentRead":true"#, &[]).await, "1.0");
    // A client that knows nothing of levels is not broken by the tag.
    for (target, body) in [
        (Target::PutItem, put(CONDITION)),
        (Target::UpdateItem, on_item("")),
    ] {
        assert!(node.ask(target, &body, &[]).await.is_ok(), "{target:?}");
    }
}

#[tokio::test]
async fn there_are_no_more_tables_than_there_may_be() {
    let body = |name: &str| {
        format!(
            r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
                "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}]}}"#
        )
    };
    let limits = Limits {
        tables_max: 1,
        ..Limits::default()
    };
    let node = Node::start_with(limits, &body("Tab")).await;
    let create = async |name| node.ask(Target::CreateTable, &body(name), &[]).await;
    assert_eq!(create("Other").await, Err(message::table::too_many(1)));
    assert_eq!(create("Tab").await, Err(message::table::exists("Tab")));
    node.ask(Target::DeleteTable, r#"{"TableName":"Tab"}"#, &[])
        .await
        .unwrap();
    create("Other").await.unwrap();
}
