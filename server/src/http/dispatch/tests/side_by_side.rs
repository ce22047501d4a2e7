//! Changes of several tables, which are completed side by side.

use super::*;
use crate::catalog::{IndexStatus, StreamStatus};
use crate::upkeep::{Upkeep, UpkeepSettings};

const INDEX: &str = r#"{"TableName":"Aaa","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},
    {"AttributeName":"a","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"by-a",
    "KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}"#;
const STREAM: &str =
    r#"{"TableName":"Bbb","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#;

fn table(name: &str) -> String {
    format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
            "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}]}}"#
    )
}

/// The table whose index is filled comes first in the order of names, and has many more questions to ask.
#[tokio::test]
async fn an_index_that_is_being_filled_holds_up_no_other_table() {
    let node = Node::start_with(Limits::default(), &table("Aaa")).await;
    node.ask(Target::CreateTable, &table("Bbb"), &[]).await.unwrap();
    let catalog = &node.context.catalog;
    let upkeep = Upkeep {
        cluster: node.context.cluster.clone(),
        catalog: Arc::clone(catalog),
        clock: Arc::new(SystemClock),
        settings: UpkeepSettings::default(),
    };
    // What leaders derive by is always the newest.
    tokio::spawn(Catalog::follow(Arc::downgrade(catalog)));
    node.ask(Target::UpdateTable, INDEX, &[]).await.unwrap();
    upkeep.look_after_all().await.unwrap();
    let index = || catalog.table("Aaa").unwrap().definition().indexes[0].status;
    assert_eq!(index(), IndexStatus::Backfilling);
    node.ask(Target::UpdateTable, STREAM, &[]).await.unwrap();
    let stream = || catalog.table("Bbb").unwrap().definition().streams[0].status;
    let first = async {
        while stream() != StreamStatus::Enabled {
            tokio::task::yield_now().await;
        }
        index()
    };
    let both = async { tokio::join!(upkeep.look_after_all(), first) };
    let both = tokio::time::timeout(std::time::Duration::from_secs(60), both).await;
    let (looked, status) = both.expect("the stream is not enabled");
    looked.unwrap();
    assert_eq!(status, IndexStatus::Backfilling);
    assert_eq!(index(), IndexStatus::Active);
}
