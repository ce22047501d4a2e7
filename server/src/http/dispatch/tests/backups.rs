//! Backups from the request to the restored table, on one node.

use super::*;
use crate::archivist::Archivist;
use crate::backup::{BackupSettings, Backups, archive_keys};
use crate::upkeep::{Upkeep, UpkeepSettings};

const TABLE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"a","AttributeType":"S"}],
    "GlobalSecondaryIndexes":[{"IndexName":"by-a","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
    "Projection":{"ProjectionType":"ALL"}}],"Tags":[{"Key":"team","Value":"red"}],
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#;
const NAMED: &str = r#"{"TableName":"Tab"}"#;

/// A node with a table, and with who makes its backups.
pub(super) async fn start() -> (Node, Archivist) {
    let mut node = Node::start_with(Limits::default(), TABLE).await;
    let keys = archive_keys(&stator_cluster::MasterKeys::new(MasterKey::new(
        [3; MASTER_KEY_BYTES],
    )));
    let settings = BackupSettings::new(node.directory.path().join("archive"));
    let backups = Backups::new(node.context.cluster.clone(), settings, keys);
    node.context.backups = Some(Arc::clone(&backups));
    let upkeep = Upkeep {
        cluster: node.context.cluster.clone(),
        catalog: Arc::clone(&node.context.catalog),
        clock: Arc::new(SystemClock),
        settings: UpkeepSettings::default(),
    };
    (node, Archivist::new(upkeep, Some(backups)))
}

/// The text of a member.
pub(super) fn member(json: &str, name: &str) -> String {
    let (_, rest) = json.split_once(&format!(r#""{name}":""#)).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

pub(super) async fn ask(node: &Node, target: Target, body: &str) -> Result<String, ApiError> {
    node.ask(target, body, &[]).await
}

pub(super) async fn put(node: &Node, table: &str, pk: &str, a: &str) {
    let body = format!(r#"{{"TableName":"{table}","Item":{{"pk":{{"S":"{pk}"}},"a":{{"S":"{a}"}}}}}}"#);
    ask(node, Target::PutItem, &body).await.unwrap();
}

/// What a table or an index of it has, as the values of `pk` in their order.
pub(super) async fn keys(node: &Node, table: &str, index: &str) -> Vec<String> {
    let body = format!(r#"{{"TableName":"{table}"{index}}}"#);
    let found = ask(node, Target::Scan, &body).await.unwrap();
    let values = found.split(r#""pk":{"S":""#).skip(1);
    let mut keys: Vec<_> = values
        .map(|rest| rest.split_once('"').unwrap().0.to_owned())
        .collect();
    keys.sort();
    keys
}

async fn back_up(node: &Node, name: &str) -> String {
    let body = format!(r#"{{"TableName":"Tab","BackupName":"{name}"}}"#);
    let created = ask(node, Target::CreateBackup, &body).await.unwrap();
    assert_eq!(member(&created, "BackupStatus"), "CREATING");
    member(&created, "BackupArn")
}

pub(super) fn of(arn: &str) -> String {
    format!(r#"{{"BackupArn":"{arn}"}}"#)
}

pub(super) async fn restore(node: &Node, arn: &str, name: &str, more: &str) -> Result<String, ApiError> {
    let body = format!(r#"{{"TargetTableName":"{name}","BackupArn":"{arn}"{more}}}"#);
    ask(node, Target::RestoreTableFromBackup, &body).await
}

#[tokio::test]
async fn a_backup_that_is_being_made_is_cancelled_and_its_table_can_go() {
    let (node, archivist) = start().await;
    let arn = back_up(&node, "nightly").await;
    let refused = ask(&node, Target::DeleteBackup, &of(&arn)).await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    node.context.cancel_job(&arn).await.unwrap();
    archivist.look_after_all().await.unwrap();
    let gone = ask(&node, Target::DescribeBackup, &of(&arn)).await.unwrap_err();
    assert_eq!(gone.code(), "BackupNotFoundException");
    let gone = node.context.cancel_job(&arn).await.unwrap_err();
    assert_eq!(gone.code(), "BackupNotFoundException");
    // One that is complete is deleted instead.
    let arn = back_up(&node, "second").await;
    archivist.look_after_all().await.unwrap();
    let refused = node.context.cancel_job(&arn).await.unwrap_err();
    assert_eq!(refused.code(), "ValidationException");
    ask(&node, Target::DeleteTable, NAMED).await.unwrap();
}

#[tokio::test]
async fn a_table_is_restored_as_it_was_when_it_was_backed_up() {
    let (node, archivist) = start().await;
    for pk in ["x", "y", "z"] {
        put(&node, "Tab", pk, "old").await;
    }
    let arn = back_up(&node, "nightly").await;
    archivist.look_after_all().await.unwrap();
    let described = ask(&node, Target::DescribeBackup, &of(&arn)).await.unwrap();
    assert_eq!(member(&described, "BackupStatus"), "AVAILABLE");
    for part in [
        r#""ItemCount":3"#,
        r#""StreamViewType":"KEYS_ONLY""#,
        r#""IndexName":"by-a""#,
    ] {
        assert!(described.contains(part), "{described}");
    }
    // What comes later is not in it, and the table may go.
    put(&node, "Tab", "later", "new").await;
    let second = back_up(&node, "second").await;
    archivist.look_after_all().await.unwrap();
    ask(&node, Target::DeleteTable, NAMED).await.unwrap();

    let restoring = restore(&node, &arn, "New", "").await.unwrap();
    assert_eq!(member(&restoring, "TableStatus"), "CREATING");
    assert!(restoring.contains(r#""RestoreInProgress":true"#), "{restoring}");
    let refused = ask(&node, Target::Scan, r#"{"TableName":"New"}"#)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "ResourceNotFoundException");
    let refused = ask(&node, Target::DeleteBackup, &of(&arn)).await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    archivist.look_after_all().await.unwrap();
    let described = ask(&node, Target::DescribeTable, r#"{"TableName":"New"}"#)
        .await
        .unwrap();
    assert_eq!(member(&described, "TableStatus"), "ACTIVE");
    let summary = format!(
        r#""RestoreSummary":{{"SourceBackupArn":"{arn}","SourceTableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Tab","RestoreDateTime":"#
    );
    assert!(described.contains(&summary), "{described}");
    assert!(described.contains(r#""RestoreInProgress":false"#), "{described}");
    assert!(!described.contains("StreamSpecification"), "{described}");
    assert_eq!(keys(&node, "New", "").await, ["x", "y", "z"]);
    assert_eq!(
        keys(&node, "New", r#","IndexName":"by-a""#).await,
        ["x", "y", "z"]
    );
    // It is a table as any other is.
    put(&node, "New", "w", "new").await;
    node.context.cluster.settled().await.unwrap();
    assert_eq!(keys(&node, "New", r#","IndexName":"by-a""#).await.len(), 4);

    restore(&node, &second, "Tab", r#","GlobalSecondaryIndexOverride":[]"#)
        .await
        .unwrap();
    archivist.look_after_all().await.unwrap();
    assert_eq!(keys(&node, "Tab", "").await, ["later", "x", "y", "z"]);
    let described = ask(&node, Target::DescribeTable, NAMED).await.unwrap();
    assert!(!described.contains("by-a"), "{described}");
}

#[tokio::test]
async fn a_backup_that_is_deleted_is_gone_and_those_that_built_on_it_stay() {
    let (node, archivist) = start().await;
    put(&node, "Tab", "x", "old").await;
    let first = back_up(&node, "first").await;
    let refused = ask(&node, Target::DeleteBackup, &of(&first)).await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    let refused = ask(&node, Target::DeleteTable, NAMED).await.unwrap_err();
    assert_eq!(refused.code(), "ResourceInUseException");
    let refused = restore(&node, &first, "New", "").await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    archivist.look_after_all().await.unwrap();
    put(&node, "Tab", "y", "new").await;
    let second = back_up(&node, "second").await;
    archivist.look_after_all().await.unwrap();
    let listed = ask(&node, Target::ListBackups, "{}").await.unwrap();
    let (one, two) = (listed.find(&first).unwrap(), listed.find(&second).unwrap());
    assert!(one < two, "{listed}");

    let deleted = ask(&node, Target::DeleteBackup, &of(&first)).await.unwrap();
    assert_eq!(member(&deleted, "BackupStatus"), "DELETED");
    for target in [Target::DescribeBackup, Target::DeleteBackup] {
        let refused = ask(&node, target, &of(&first)).await.unwrap_err();
        assert_eq!(refused.sentence(), Some(format!("Backup not found: {first}")));
    }
    archivist.look_after_all().await.unwrap();
    assert!(
        !ask(&node, Target::ListBackups, "{}")
            .await
            .unwrap()
            .contains(&first)
    );
    restore(&node, &second, "New", "").await.unwrap();
    archivist.look_after_all().await.unwrap();
    assert_eq!(keys(&node, "New", "").await, ["x", "y"]);
}

#[tokio::test]
async fn what_cannot_be_backed_up_or_restored_is_refused_in_dynamodbs_words() {
    let (mut node, archivist) = start().await;
    let body = r#"{"TableName":"None","BackupName":"nightly"}"#;
    let refused = ask(&node, Target::CreateBackup, body).await.unwrap_err();
    assert_eq!(refused, ApiError::TableNotFound("Table not found: None".into()));
    let body = r#"{"TableName":"None"}"#;
    let refused = ask(&node, Target::DescribeContinuousBackups, body)
        .await
        .unwrap_err();
    assert_eq!(refused, ApiError::TableNotFound("Table not found: None".into()));
    let arn = back_up(&node, "nightly").await;
    archivist.look_after_all().await.unwrap();
    let refused = restore(&node, &arn, "Tab", "").await.unwrap_err();
    assert_eq!(
        refused,
        ApiError::TableAlreadyExists("Table already exists: Tab".into())
    );
    let absent = arn.replace("/backup/0", "/backup/1");
    let refused = restore(&node, &absent, "New", "").await.unwrap_err();
    assert_eq!(
        refused,
        ApiError::BackupNotFound(format!("Backup not found: {absent}"))
    );

    node.context.backups = None;
    let body = r#"{"TableName":"Tab","BackupName":"nightly"}"#;
    let refused = ask(&node, Target::CreateBackup, body).await.unwrap_err();
    assert_eq!(refused.code(), "ValidationException");
    assert_eq!(
        ask(&node, Target::ListBackups, "{}").await.unwrap(),
        r#"{"BackupSummaries":[]}"#
    );
}

#[tokio::test]
async fn a_table_that_is_being_restored_may_be_given_up_and_not_be_changed() {
    let (node, archivist) = start().await;
    let arn = back_up(&node, "nightly").await;
    archivist.look_after_all().await.unwrap();
    restore(&node, &arn, "New", "").await.unwrap();
    for (target, body, what) in [
        (
            Target::UpdateTable,
            r#"{"TableName":"New","DeletionProtectionEnabled":true}"#,
            "Table is being created: New",
        ),
        (
            Target::UpdateTimeToLive,
            r#"{"TableName":"New","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"t"}}"#,
            "Table New is being created",
        ),
    ] {
        let refused = ask(&node, target, body).await.unwrap_err();
        let sentence = format!("Attempt to change a resource which is still in use: {what}");
        assert_eq!(refused, ApiError::ResourceInUse(sentence));
    }
    let keep =
        r#"{"TableName":"New","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#;
    for (target, body) in [
        (
            Target::CreateBackup,
            r#"{"TableName":"New","BackupName":"again"}"#,
        ),
        (Target::UpdateContinuousBackups, keep),
        (Target::DescribeContinuousBackups, r#"{"TableName":"New"}"#),
    ] {
        let refused = ask(&node, target, body).await.unwrap_err();
        assert_eq!(refused, ApiError::TableNotFound("Table not found: New".into()));
    }
    ask(&node, Target::DeleteTable, r#"{"TableName":"New"}"#)
        .await
        .unwrap();
    archivist.look_after_all().await.unwrap();
    let refused = ask(&node, Target::DescribeTable, r#"{"TableName":"New"}"#)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_backup_feeds_one_restore_at_a_time() {
    let (node, archivist) = start().await;
    put(&node, "Tab", "x", "old").await;
    let arn = back_up(&node, "nightly").await;
    archivist.look_after_all().await.unwrap();
    restore(&node, &arn, "New", "").await.unwrap();
    let sentence = format!("Table: New is already being restored from backup: {arn}");
    let refused = restore(&node, &arn, "New", "").await.unwrap_err();
    assert_eq!(refused, ApiError::TableInUse(sentence));
    let sentence = format!("Backup is being used to restore another table: {arn}");
    let refused = restore(&node, &arn, "Other", "").await.unwrap_err();
    assert_eq!(refused, ApiError::BackupInUse(sentence));
    let sentence = format!("Backup is being used to restore table: {arn}");
    let refused = ask(&node, Target::DeleteBackup, &of(&arn)).await.unwrap_err();
    assert_eq!(refused, ApiError::BackupInUse(sentence));
    archivist.look_after_all().await.unwrap();
    let refused = restore(&node, &arn, "New", "").await.unwrap_err();
    assert_eq!(refused.code(), "TableAlreadyExistsException");
    restore(&node, &arn, "Other", "").await.unwrap();
    archivist.look_after_all().await.unwrap();
    assert_eq!(keys(&node, "Other", "").await, ["x"]);
}

#[tokio::test]
async fn nothing_is_kept_of_how_far_the_restore_of_a_deleted_table_was() {
    use crate::archivist::restore_progress_key;
    use crate::compare_and_set;
    use crate::desk::Worker as _;
    let (node, archivist) = start().await;
    let arn = back_up(&node, "nightly").await;
    archivist.look_after_all().await.unwrap();
    restore(&node, &arn, "New", "").await.unwrap();
    // As whoever was at it has left it.
    let table = node.context.catalog.latest("New").await.unwrap().unwrap();
    let key = restore_progress_key(table.definition().id);
    let done = bytes::Bytes::from_static(b"done");
    let cluster = &node.context.cluster;
    assert!(
        compare_and_set::install(cluster, &key, None, Some(done.clone()))
            .await
            .unwrap()
    );
    let level = stator_cluster::ConsistencyLevel::Quorum;
    let kept = async || cluster.read(cluster.metadata(), &key, level).await.unwrap();
    archivist.jobs().await.unwrap();
    assert_eq!(kept().await, Some(done), "it is needed");
    ask(&node, Target::DeleteTable, r#"{"TableName":"New"}"#)
        .await
        .unwrap();
    archivist.look_after_all().await.unwrap();
    archivist.jobs().await.unwrap();
    assert_eq!(kept().await, None);
}

#[tokio::test]
async fn whoever_restores_too_late_changes_nothing() {
    use crate::command::Deposit;
    use crate::derive::unfit;
    let (node, archivist) = start().await;
    put(&node, "Tab", "x", "old").await;
    let arn = back_up(&node, "nightly").await;
    archivist.look_after_all().await.unwrap();
    restore(&node, &arn, "New", "").await.unwrap();
    archivist.look_after_all().await.unwrap();
    let table = node.context.catalog.table("New").unwrap();
    let read = r#"{"TableName":"New","Key":{"pk":{"S":"x"}}}"#;
    let before = ask(&node, Target::GetItem, read).await.unwrap();
    let mut stale = None;
    let bounds = stator_cluster::Bounds {
        start: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
    };
    let collect = |row: &stator_cluster::Row<'_>| {
        stale = Some((row.key().to_vec(), row.to_cell()));
        std::ops::ControlFlow::Continue(())
    };
    let (cluster, level) = (&node.context.cluster, stator_cluster::ConsistencyLevel::Quorum);
    let forward = stator_cluster::Direction::Forward;
    cluster
        .range(table.keyspace(), &bounds, forward, level, collect)
        .await
        .unwrap();
    let (key, cell) = stale.unwrap();
    ask(&node, Target::DeleteItem, read).await.unwrap();
    let deposit = Deposit {
        item: stator_model::item::Item::from_stored(cell).unwrap(),
    };
    let options = stator_cluster::WriteOptions::default();
    let refused = cluster
        .write(table.keyspace(), &key, options, &deposit)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, stator_cluster::Error::Unfit(misfit) if misfit.code == unfit::NOT_RESTORED),
        "{refused}"
    );
    assert_ne!(ask(&node, Target::GetItem, read).await.unwrap(), before);
}
