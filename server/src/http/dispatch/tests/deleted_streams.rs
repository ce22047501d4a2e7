//! The streams of a deleted table: read for a day, and forgotten then. So are shards that have come to their end.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::clock::Clock;
use crate::operation::shards::RETENTION_MS;
use crate::upkeep::{Upkeep, UpkeepSettings};

/// Shows the system's time and what a test adds to it.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

const TABLE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;
const NAMED: &str = r#"{"TableName":"Tab"}"#;

/// The text of a member.
fn member(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!(r#""{name}":""#))?;
    Some(rest.split_once('"')?.0.to_owned())
}

async fn describe(node: &Node, arn: &str) -> Result<String, ApiError> {
    let body = format!(r#"{{"StreamArn":"{arn}"}}"#);
    node.ask(Target::DescribeStream, &body, &[]).await
}

/// The events of all shards, and how many of these have come to their end.
async fn events(node: &Node, arn: &str) -> (Vec<String>, usize) {
    let described = describe(node, arn).await.unwrap();
    let (mut events, mut ended) = (Vec::new(), 0);
    for shard in described.split(r#""ShardId":""#).skip(1) {
        let (shard, _) = shard.split_once('"').unwrap();
        let body =
            format!(r#"{{"StreamArn":"{arn}","ShardId":"{shard}","ShardIteratorType":"TRIM_HORIZON"}}"#);
        let answer = node.ask(Target::GetShardIterator, &body, &[]).await.unwrap();
        let iterator = member(&answer, "ShardIterator").unwrap();
        let body = format!(r#"{{"ShardIterator":"{iterator}"}}"#);
        let answer = node.ask(Target::GetRecords, &body, &[]).await.unwrap();
        events.extend(answer.split(r#""eventName":""#).skip(1).map(|rest| {
            let (event, _) = rest.split_once('"').unwrap();
            event.to_owned()
        }));
        ended += usize::from(!answer.contains("NextShardIterator"));
    }
    (events, ended)
}

async fn streams(node: &Node) -> usize {
    let listed = node.ask(Target::ListStreams, NAMED, &[]).await.unwrap();
    listed.matches("StreamArn").count()
}

fn keyspaces(node: &Node) -> Vec<String> {
    let all = node.context.cluster.keyspaces().into_iter();
    let names = all.map(|(_, name)| name);
    names.filter(|name| name.starts_with("stream/")).collect()
}

#[tokio::test]
async fn a_shard_is_not_forgotten_before_its_records_are_removed() {
    let node = Node::start_with(Limits::default(), TABLE).await;
    let clock = Arc::new(Ahead::default());
    let settings = UpkeepSettings::default();
    let upkeep = Upkeep {
        cluster: node.context.cluster.clone(),
        catalog: Arc::clone(&node.context.catalog),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        settings,
    };
    node.ask(Target::PutItem, &put(""), &[]).await.unwrap();
    node.context.cluster.settled().await.unwrap();
    let stream = || node.context.catalog.table("Tab").unwrap().definition().streams[0].clone();
    let keyspace = node.context.cluster.keyspace(&stream().keyspace()).unwrap();
    let ages = [i64::try_from(settings.shard_age_ms).unwrap(), 2 * RETENTION_MS];
    for age_ms in ages {
        clock.0.fetch_add(age_ms, Ordering::SeqCst);
        for _ in 0..3 {
            upkeep.look_after_all().await.unwrap();
        }
    }
    // Nobody has removed anything: three of the first four shards are empty, and gone.
    assert_eq!(stream().shards.len(), 4 + 4 + 1);
    assert_eq!(node.context.cluster.tally(keyspace).await.items, 1);
    upkeep.trim_all().await.unwrap();
    assert_eq!(node.context.cluster.tally(keyspace).await.items, 0);
    upkeep.look_after_all().await.unwrap();
    assert_eq!(stream().shards.len(), 4 + 4);
}

#[tokio::test]
async fn a_stream_outlives_its_table_by_a_day() {
    let mut node = Node::start_with(Limits::default(), TABLE).await;
    let clock = Arc::new(Ahead::default());
    node.context.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let upkeep = Upkeep {
        cluster: node.context.cluster.clone(),
        catalog: Arc::clone(&node.context.catalog),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        settings: UpkeepSettings::default(),
    };
    for _ in 0..2 {
        node.ask(Target::PutItem, &put(r#","ReturnValues":"ALL_OLD""#), &[])
            .await
            .unwrap();
    }
    let described = node.ask(Target::DescribeTable, NAMED, &[]).await.unwrap();
    let arn = member(&described, "LatestStreamArn").unwrap();
    node.ask(Target::DeleteTable, NAMED, &[]).await.unwrap();
    node.context.cluster.settled().await.unwrap();
    let described = describe(&node, &arn).await.unwrap();
    assert!(described.contains(r#""StreamStatus":"DISABLED""#), "{described}");
    assert!(described.contains(r#""TableName":"Tab""#), "{described}");
    assert_eq!(streams(&node).await, 1);
    assert_eq!(events(&node, &arn).await, (vec!["INSERT".to_owned()], 0));
    upkeep.look_after_all().await.unwrap();
    // No record can come any more: a reader comes to the end, and there is none of what went with the table.
    assert_eq!(events(&node, &arn).await, (vec!["INSERT".to_owned()], 4));

    // Another table of the name has another stream.
    clock.0.fetch_add(60_000, Ordering::SeqCst);
    node.ask(Target::CreateTable, TABLE, &[]).await.unwrap();
    let described = node.ask(Target::DescribeTable, NAMED, &[]).await.unwrap();
    let new = member(&described, "LatestStreamArn").unwrap();
    assert_ne!(new, arn);
    assert_eq!(streams(&node).await, 2);
    node.ask(Target::PutItem, &put(""), &[]).await.unwrap();
    node.context.cluster.settled().await.unwrap();
    assert_eq!(events(&node, &arn).await.0.len(), 1);
    assert_eq!(events(&node, &new).await.0.len(), 1);
    assert_eq!(keyspaces(&node).len(), 2);

    // A day later nobody is shown the record, and it goes; then the stream does.
    clock.0.fetch_add(RETENTION_MS, Ordering::SeqCst);
    assert_eq!(events(&node, &arn).await, (Vec::new(), 4));
    upkeep.trim_all().await.unwrap();
    let deleted = node.context.catalog.deleted();
    let stream = &deleted[0].streams[0];
    let keyspace = node.context.cluster.keyspace(&stream.keyspace()).unwrap();
    assert_eq!(node.context.cluster.tally(keyspace).await.items, 0);
    clock.0.fetch_add(2 * 60 * 60 * 1000, Ordering::SeqCst);
    upkeep.look_after_all().await.unwrap();
    assert_eq!(describe(&node, &arn).await, Err(message::stream::no_stream(&arn)));
    assert_eq!(streams(&node).await, 1);
    assert_eq!(keyspaces(&node).len(), 1);
    assert!(describe(&node, &new).await.is_ok());
}
