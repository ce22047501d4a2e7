//! Deletion of a table with point-in-time recovery, from the request to the table that is restored from its last backup, on one
//! node.

use std::sync::atomic::Ordering;

use super::backups::{ask, keys, member, of, put, restore, start};
use super::histories::{Ahead, DAY_MS};
use super::*;
use crate::archivist::Archivist;
use crate::operation::readers::Look;
use crate::upkeep::{Upkeep, UpkeepSettings};

const NAMED: &str = r#"{"TableName":"Tab"}"#;
const OF_SYSTEM: &str = r#"{"BackupType":"SYSTEM"}"#;

/// A node with a table that has point-in-time recovery and two items.
async fn start_kept() -> (Node, Archivist) {
    let (node, archivist) = start().await;
    put(&node, "Tab", "x", "old").await;
    put(&node, "Tab", "y", "old").await;
    let body =
        r#"{"TableName":"Tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#;
    ask(&node, Target::UpdateContinuousBackups, body).await.unwrap();
    tokio::spawn(Catalog::follow(Arc::downgrade(&node.context.catalog)));
    (node, archivist)
}

async fn delete(node: &Node) -> String {
    let deleted = ask(node, Target::DeleteTable, NAMED).await.unwrap();
    member(&deleted, "TableStatus")
}

/// The code and the sentence of a refusal.
async fn refusal(node: &Node, target: Target, body: &str) -> (String, String) {
    let refusal = ask(node, target, body).await.unwrap_err();
    let sentence = refusal.to_string();
    (refusal.code().to_owned(), sentence)
}

#[tokio::test]
async fn a_table_with_recovery_leaves_a_backup_from_which_it_is_restored() {
    let (node, archivist) = start_kept().await;
    assert_eq!(delete(&node).await, "DELETING");
    archivist.look_after_all().await.unwrap();
    let (code, _) = refusal(&node, Target::DescribeTable, NAMED).await;
    assert_eq!(code, "ResourceNotFoundException");

    let listed = ask(&node, Target::ListBackups, OF_SYSTEM).await.unwrap();
    assert_eq!(member(&listed, "BackupName"), "Tab$DeletedTableBackup");
    assert_eq!(member(&listed, "BackupStatus"), "AVAILABLE");
    assert_eq!(member(&listed, "BackupType"), "SYSTEM");
    assert!(listed.contains(r#""BackupExpiryDateTime":"#), "{listed}");
    let of_user = ask(&node, Target::ListBackups, r#"{"BackupType":"USER"}"#).await;
    assert_eq!(of_user.unwrap(), r#"{"BackupSummaries":[]}"#);

    let arn = member(&listed, "BackupArn");
    restore(&node, &arn, "New", "").await.unwrap();
    archivist.look_after_all().await.unwrap();
    assert_eq!(keys(&node, "New", "").await, ["x", "y"]);
    assert_eq!(keys(&node, "New", r#","IndexName":"by-a""#).await, ["x", "y"]);
    let described = ask(&node, Target::DescribeTable, r#"{"TableName":"New"}"#).await;
    assert_eq!(member(&described.unwrap(), "TableStatus"), "ACTIVE");
    // The name is free as well.
    restore(&node, &arn, "Tab", "").await.unwrap();
    archivist.look_after_all().await.unwrap();
    assert_eq!(keys(&node, "Tab", "").await, ["x", "y"]);
}

#[tokio::test]
async fn nobody_reads_writes_or_changes_a_table_that_waits_for_its_last_backup() {
    let (node, _archivist) = start_kept().await;
    delete(&node).await;
    let described = ask(&node, Target::DescribeTable, NAMED).await.unwrap();
    assert_eq!(member(&described, "TableStatus"), "DELETING");
    let listed = ask(&node, Target::ListTables, "{}").await.unwrap();
    assert_eq!(listed, r#"{"TableNames":["Tab"]}"#);
    assert_eq!(delete(&node).await, "DELETING", "no error");

    let key = r#"{"TableName":"Tab","Key":{"pk":{"S":"x"}}}"#;
    let item = r#"{"TableName":"Tab","Item":{"pk":{"S":"x"}}}"#;
    let all_of_x = r#"{"TableName":"Tab","KeyConditionExpression":"pk = :x",
        "ExpressionAttributeValues":{":x":{"S":"x"}}}"#;
    let transaction = format!(r#"{{"TransactItems":[{{"Put":{item}}}]}}"#);
    for (target, body) in [
        (Target::GetItem, key),
        (Target::PutItem, item),
        (Target::DeleteItem, key),
        (Target::UpdateItem, key),
        (Target::Scan, NAMED),
        (Target::Query, all_of_x),
        (Target::TransactWriteItems, &transaction),
    ] {
        let (code, sentence) = refusal(&node, target, body).await;
        assert_eq!(code, "ResourceNotFoundException", "{target:?}: {sentence}");
    }

    let being_deleted = "Attempt to change a resource which is still in use: Table is being deleted: Tab";
    let update = r#"{"TableName":"Tab","DeletionProtectionEnabled":true}"#;
    let due = r#"{"TableName":"Tab","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"due"}}"#;
    let keep =
        r#"{"TableName":"Tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":false}}"#;
    for (target, body) in [(Target::UpdateTable, update), (Target::UpdateTimeToLive, due)] {
        let (code, sentence) = refusal(&node, target, body).await;
        assert_eq!(code, "ResourceInUseException", "{target:?}: {sentence}");
        assert!(sentence.ends_with(being_deleted), "{target:?}: {sentence}");
    }
    let back_up = r#"{"TableName":"Tab","BackupName":"late"}"#;
    let rewind = r#"{"SourceTableName":"Tab","TargetTableName":"New","UseLatestRestorableTime":true}"#;
    for (target, body) in [
        (Target::CreateBackup, back_up),
        (Target::UpdateContinuousBackups, keep),
        (Target::DescribeContinuousBackups, NAMED),
        (Target::RestoreTableToPointInTime, rewind),
    ] {
        let (code, sentence) = refusal(&node, target, body).await;
        assert_eq!(code, "TableNotFoundException", "{target:?}: {sentence}");
        assert!(
            sentence.ends_with("Table not found: Tab"),
            "{target:?}: {sentence}"
        );
    }
}

#[tokio::test]
async fn a_deletion_waits_for_its_backup_and_an_operator_can_do_without() {
    let (node, archivist) = start_kept().await;
    std::fs::write(node.directory.path().join("archive"), "no directory").unwrap();
    delete(&node).await;
    archivist.look_after_all().await.unwrap_err();
    archivist.look_after_all().await.unwrap_err();
    let described = ask(&node, Target::DescribeTable, NAMED).await.unwrap();
    assert_eq!(member(&described, "TableStatus"), "DELETING");
    let listed = ask(&node, Target::ListBackups, OF_SYSTEM).await.unwrap();
    assert_eq!(member(&listed, "BackupStatus"), "CREATING");

    node.context
        .cancel_job(&member(&listed, "BackupArn"))
        .await
        .unwrap();
    archivist.look_after_all().await.unwrap();
    let (code, _) = refusal(&node, Target::DescribeTable, NAMED).await;
    assert_eq!(code, "ResourceNotFoundException");
    let listed = ask(&node, Target::ListBackups, OF_SYSTEM).await.unwrap();
    assert_eq!(listed, r#"{"BackupSummaries":[]}"#);
}

#[tokio::test]
async fn whoever_looked_for_backups_before_one_was_asked_for_does_not_delete_its_table() {
    let (node, _archivist) = start().await;
    let table = node.context.catalog.latest("Tab").await.unwrap().unwrap();
    let look = Look::at(table.definition());
    let back_up = r#"{"TableName":"Tab","BackupName":"late"}"#;
    ask(&node, Target::CreateBackup, back_up).await.unwrap();
    let check = |there: &crate::catalog::TableDefinition| look.holds(there).then_some(()).ok_or(());
    let removed = node.context.catalog.remove("Tab", 0, check).await.unwrap();
    assert!(removed.is_err());
    let (code, _) = refusal(&node, Target::DeleteTable, NAMED).await;
    assert_eq!(code, "ResourceInUseException");
}

#[tokio::test]
async fn of_a_backup_and_a_deletion_at_the_same_moment_one_is_refused() {
    const MAKE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]}"#;
    let (node, archivist) = start().await;
    for late in 0..16 {
        let backing_up = async {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            ask(
                &node,
                Target::CreateBackup,
                r#"{"TableName":"Tab","BackupName":"late"}"#,
            )
            .await
        };
        let deleting = ask(&node, Target::DeleteTable, NAMED);
        let (backed_up, deleted) = tokio::join!(backing_up, deleting);
        assert_ne!(backed_up.is_ok(), deleted.is_ok(), "{backed_up:?} {deleted:?}");
        if let Ok(created) = backed_up {
            archivist.look_after_all().await.unwrap();
            let described = ask(&node, Target::DescribeBackup, &of(&member(&created, "BackupArn"))).await;
            assert_eq!(member(&described.unwrap(), "BackupStatus"), "AVAILABLE");
            ask(&node, Target::DeleteTable, NAMED).await.unwrap();
        } else {
            let listed = ask(&node, Target::ListBackups, "{}").await.unwrap();
            assert!(!listed.contains("CREATING"), "{listed}");
        }
        ask(&node, Target::CreateTable, MAKE).await.unwrap();
    }
}

#[tokio::test]
async fn the_backup_of_a_deleted_table_goes_after_35_days() {
    let (node, archivist) = start_kept().await;
    delete(&node).await;
    archivist.look_after_all().await.unwrap();
    let listed = ask(&node, Target::ListBackups, OF_SYSTEM).await.unwrap();
    let arn = member(&listed, "BackupArn");
    let clock = Arc::new(Ahead::default());
    let upkeep = Upkeep {
        cluster: node.context.cluster.clone(),
        catalog: Arc::clone(&node.context.catalog),
        clock: Arc::clone(&clock) as Arc<dyn crate::clock::Clock>,
        settings: UpkeepSettings::default(),
    };
    let archivist = Archivist::new(upkeep, node.context.backups.clone());
    clock.0.store(34 * DAY_MS, Ordering::SeqCst);
    archivist.look_after_all().await.unwrap();
    ask(&node, Target::DescribeBackup, &of(&arn)).await.unwrap();

    // As long as a table is being restored from it, it stays.
    restore(&node, &arn, "New", "").await.unwrap();
    clock.0.store(36 * DAY_MS, Ordering::SeqCst);
    archivist.look_after_all().await.unwrap();
    assert_eq!(keys(&node, "New", "").await, ["x", "y"]);
    ask(&node, Target::DescribeBackup, &of(&arn)).await.unwrap();
    archivist.look_after_all().await.unwrap();
    let (code, _) = refusal(&node, Target::DescribeBackup, &of(&arn)).await;
    assert_eq!(code, "BackupNotFoundException");
}
