//! The life of a table: made, waited for, described, listed, deleted.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::client::Waiters;
use aws_sdk_dynamodb::types::{BillingMode, TableStatus, TimeToLiveSpecification, TimeToLiveStatus};

use crate::shelf::{PATIENCE, Shelf, connect, definition, key_schema, unused_name};

#[tokio::test]
async fn a_table_is_made_waited_for_described_and_deleted() {
    let client = connect().await;
    let name = unused_name();
    let made = definition(&client, &name).send().await.unwrap();
    assert_eq!(
        made.table_description().unwrap().table_name(),
        Some(name.as_str())
    );
    let again = definition(&client, &name).send().await.unwrap_err();
    assert!(again.into_service_error().is_resource_in_use_exception());
    client
        .wait_until_table_exists()
        .table_name(&name)
        .wait(PATIENCE)
        .await
        .unwrap();

    let described = client.describe_table().table_name(&name).send().await.unwrap();
    let table = described.table().unwrap();
    assert_eq!(table.table_status(), Some(&TableStatus::Active));
    assert_eq!(table.key_schema(), key_schema("author", "year"));
    let billing = table.billing_mode_summary().unwrap();
    assert_eq!(billing.billing_mode(), Some(&BillingMode::PayPerRequest));
    assert_eq!(table.global_secondary_indexes()[0].index_name(), Some("by-genre"));
    let made = SystemTime::try_from(*table.creation_date_time().unwrap()).unwrap();
    let age = made.elapsed().unwrap_or_else(|later| later.duration());
    assert!(age < Duration::from_secs(60), "made {age:?} ago");
    let of_table = format!("{}/stream/", table.table_arn().unwrap());
    assert!(table.latest_stream_arn().unwrap().starts_with(&of_table));

    client.delete_table().table_name(&name).send().await.unwrap();
    client
        .wait_until_table_not_exists()
        .table_name(&name)
        .wait(PATIENCE)
        .await
        .unwrap();
    let gone = client
        .describe_table()
        .table_name(&name)
        .send()
        .await
        .unwrap_err();
    assert!(gone.into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn tables_are_listed_page_by_page() {
    let mine = [Shelf::empty().await, Shelf::empty().await, Shelf::empty().await];
    let mut pages = mine[0].client.list_tables().limit(2).into_paginator().send();
    let mut listed = HashSet::new();
    while let Some(page) = pages.next().await {
        let names = page.unwrap().table_names.unwrap();
        assert!(names.len() <= 2);
        for name in names {
            assert!(listed.insert(name.clone()), "{name} is listed twice");
        }
    }
    for shelf in mine {
        assert!(
            listed.contains(&shelf.name),
            "{} is not in {listed:?}",
            shelf.name
        );
    }
}

#[tokio::test]
async fn a_table_keeps_its_time_to_live() {
    let Shelf { client, name } = Shelf::empty().await;
    let setting = TimeToLiveSpecification::builder()
        .attribute_name("lent_until")
        .enabled(true);
    let update = client.update_time_to_live().table_name(&name);
    update
        .time_to_live_specification(setting.build().unwrap())
        .send()
        .await
        .unwrap();
    let described = client
        .describe_time_to_live()
        .table_name(&name)
        .send()
        .await
        .unwrap();
    let described = described.time_to_live_description().unwrap();
    assert_eq!(described.attribute_name(), Some("lent_until"));
    let status = described.time_to_live_status().unwrap();
    assert!(
        matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling),
        "{status}"
    );
}
