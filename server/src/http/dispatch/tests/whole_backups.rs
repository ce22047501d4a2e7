//! Backups of the whole cluster from the request to another cluster that has it all, on one node each.

use super::*;
use crate::archivist::Archivist;
use crate::backup::{BackupSettings, Backups, archive_keys};
use crate::identity::store::{Identities, IdentitySettings};
use crate::upkeep::{Upkeep, UpkeepSettings};
use crate::whole::request::{self, ChangeBackups, ChangeRestore, ShownBackup};

const TABLE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"a","AttributeType":"S"}],
    "GlobalSecondaryIndexes":[{"IndexName":"by-a","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
    "Projection":{"ProjectionType":"ALL"}}],"Tags":[{"Key":"team","Value":"red"}],"DeletionProtectionEnabled":true,
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#;
const OTHER: &str = r#"{"TableName":"Other","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]}"#;

/// A cluster of one node, with who makes its backups.
struct World {
    node: Node,
    archivist: Archivist,
    identities: Arc<Identities>,
    upkeep: Upkeep,
}

impl World {
    /// With a table, and an archive in a directory, or in its own.
    async fn start(table: &str, archive: Option<&std::path::Path>) -> Self {
        let mut node = Node::start_with(Limits::default(), table).await;
        let keys = stator_cluster::MasterKeys::new(MasterKey::new([3; MASTER_KEY_BYTES]));
        let own = node.directory.path().join("archive");
        let settings = BackupSettings::new(archive.unwrap_or(&own).to_owned());
        let backups = Backups::new(node.context.cluster.clone(), settings, archive_keys(&keys));
        node.context.backups = Some(Arc::clone(&backups));
        // Leaders are told of changes that nobody reads for them, as in a running node.
        tokio::spawn(Catalog::follow(Arc::downgrade(&node.context.catalog)));
        let upkeep = Upkeep {
            cluster: node.context.cluster.clone(),
            catalog: Arc::clone(&node.context.catalog),
            clock: Arc::new(SystemClock),
            settings: UpkeepSettings::default(),
        };
        let settings = IdentitySettings {
            wrapping: node::wrapping_keys(&keys),
            clock: Arc::new(SystemClock),
            random: random::fill,
        };
        let identities = Identities::open(node.context.cluster.clone(), settings);
        let identities = identities.await.unwrap();
        Self {
            archivist: Archivist::new(upkeep.clone(), Some(backups)).knowing(&identities),
            node,
            identities,
            upkeep,
        }
    }

    fn archive(&self) -> std::path::PathBuf {
        self.node.directory.path().join("archive")
    }

    async fn ask(&self, target: Target, body: &str) -> Result<String, ApiError> {
        self.node.ask(target, body, &[]).await
    }

    async fn put(&self, table: &str, pk: &str) {
        let body = format!(r#"{{"TableName":"{table}","Item":{{"pk":{{"S":"{pk}"}},"a":{{"S":"x"}}}}}}"#);
        self.ask(Target::PutItem, &body).await.unwrap();
    }

    async fn user(&self, name: &str) {
        let new = stator_iam::directory::NewUser {
            name: name.to_owned(),
            path: "/".to_owned(),
            ..Default::default()
        };
        // Another id for another spelling.
        let random = [name.as_bytes()[0] >> 5; stator_iam::directory::ENTITY_RANDOM_BYTES];
        let made = self
            .identities
            .change(|changes| changes.create_user(&new, &random));
        made.await.unwrap();
    }

    /// Begins a backup, and makes it; as it is shown then.
    async fn back_up(&self, name: &str) -> serde_json::Value {
        let create = ChangeBackups::Create { name: name.into() };
        let begun = request::change(&self.node.context, create).await.unwrap();
        let id = json(&begun)["id"].clone();
        self.archivist.look_after_all().await.unwrap();
        let all = self.backups().await;
        all.into_iter().find(|backup| backup["id"] == id).unwrap()
    }

    async fn backups(&self) -> Vec<serde_json::Value> {
        let all = request::all(&self.node.context).await.unwrap();
        all.iter().map(json).collect()
    }

    /// How many chunks are removed from the archive that no backup needs.
    async fn sweep(&self) -> u64 {
        let backups = self.node.context.backups.as_ref().unwrap();
        let now_ms = u64::try_from(self.node.context.clock.now_ms()).unwrap();
        match backups.archive().await.unwrap().sweep(|| now_ms).unwrap() {
            stator_archive::Swept::Removed(chunks) => chunks,
            stator_archive::Swept::Later => unreachable!("no backup is being made"),
        }
    }

    async fn delete(&self, id: &str) -> Result<ShownBackup, ApiError> {
        let delete = ChangeBackups::Delete { id: id.to_owned() };
        request::change(&self.node.context, delete).await
    }

    async fn restore(&self, backup: &str, tables: &[&str], skip_existing: bool) -> Result<(), ApiError> {
        let begin = ChangeRestore::Begin {
            backup: backup.to_owned(),
            tables: tables.iter().map(|name| (*name).to_owned()).collect(),
            skip_existing,
            without_identities: false,
        };
        let begun = request::change_restore(&self.node.context, &self.identities, begin).await;
        begun.map(drop)
    }

    /// Does what is left to do: tables, items, identities; and what tables are completed with.
    async fn work(&self) {
        for _ in 0..3 {
            self.archivist.look_after_all().await.unwrap();
        }
        for _ in 0..3 {
            self.upkeep.look_after_all().await.unwrap();
        }
    }

    async fn standing(&self) -> serde_json::Value {
        json(&request::standing(&self.node.context).await.unwrap().unwrap())
    }

    async fn items(&self, table: &str, index: &str) -> usize {
        let body = format!(r#"{{"TableName":"{table}"{index}}}"#);
        self.ask(Target::Scan, &body)
            .await
            .unwrap()
            .matches(r#""pk":"#)
            .count()
    }
}

fn json(shown: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(shown).unwrap()
}

#[tokio::test]
async fn a_cluster_comes_back_in_another_one_with_all_that_it_had() {
    let source = World::start(TABLE, None).await;
    source.ask(Target::CreateTable, OTHER).await.unwrap();
    let due = r#"{"TableName":"Tab","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"due"}}"#;
    source.ask(Target::UpdateTimeToLive, due).await.unwrap();
    let history = r#"{"TableName":"Tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true,
        "RecoveryPeriodInDays":3}}"#;
    source
        .ask(Target::UpdateContinuousBackups, history)
        .await
        .unwrap();
    for pk in ["x", "y", "z"] {
        source.put("Tab", pk).await;
        source.put("Other", pk).await;
    }
    source.user("ann").await;
    let made = source.back_up("first").await;
    assert_eq!(
        (&made["status"], &made["tables"], &made["identities"]),
        (&"available".into(), &2.into(), &1.into())
    );
    assert_eq!(
        (&made["items"], &made["left_out"]),
        (&6.into(), &serde_json::json!([]))
    );
    // What comes later is not in it.
    source.put("Other", "later").await;
    let id = made["id"].as_str().unwrap();

    let target = World::start(&OTHER.replace("Other", "Third"), Some(&source.archive())).await;
    target.archivist.adopt().await.unwrap();
    assert_eq!(target.backups().await.len(), 1);
    target.restore(id, &[], false).await.unwrap();
    let refused = target.restore(id, &[], true).await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    let refused = target.delete(id).await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    assert_eq!(target.standing().await["phase"], "tables");
    target.archivist.look_after_all().await.unwrap();
    let standing = target.standing().await;
    assert_eq!(
        (&standing["phase"], &standing["permille"]),
        (&"items".into(), &0.into())
    );
    assert_eq!(standing["tables_left"], serde_json::json!(["Other", "Tab"]));
    assert!(
        target
            .identities
            .latest()
            .await
            .unwrap()
            .directory()
            .user("ann")
            .is_err()
    );
    target.work().await;
    let standing = target.standing().await;
    assert_eq!(
        (&standing["phase"], &standing["tables"]),
        (&"complete".into(), &2.into())
    );
    assert_eq!(
        (&standing["identities"], &standing["skipped"]),
        (&1.into(), &serde_json::json!([]))
    );
    target
        .identities
        .latest()
        .await
        .unwrap()
        .directory()
        .user("ann")
        .unwrap();
    assert_eq!(
        (target.items("Tab", "").await, target.items("Other", "").await),
        (3, 3)
    );
    assert_eq!(target.items("Tab", r#","IndexName":"by-a""#).await, 3);
    let described = target
        .ask(Target::DescribeTable, r#"{"TableName":"Tab"}"#)
        .await
        .unwrap();
    for part in [
        r#""StreamViewType":"KEYS_ONLY""#,
        r#""DeletionProtectionEnabled":true"#,
        r#""TableStatus":"ACTIVE""#,
    ] {
        assert!(described.contains(part), "{described}");
    }
    let table = target.node.context.catalog.table("Tab").unwrap();
    let definition = table.definition();
    assert_eq!(definition.tags["team"], "red");
    assert_eq!(definition.time_to_live.as_ref().unwrap().attribute, "due");
    assert_eq!(definition.history.as_ref().unwrap().period_days, 3);
    // The writes of the restore are no records of the stream.
    let records = definition.stream().unwrap().keyspace();
    let records = target.node.context.cluster.keyspace(&records).unwrap();
    assert_eq!(target.node.context.cluster.tally(records).await.items, 0);
}

#[tokio::test]
async fn what_is_there_is_in_the_way_unless_it_is_to_be_left_alone() {
    let source = World::start(TABLE, None).await;
    source.put("Tab", "x").await;
    source.user("ann").await;
    let made = source.back_up("").await;
    let id = made["id"].as_str().unwrap();
    let target = World::start(&OTHER.replace("Other", "Tab"), Some(&source.archive())).await;
    target.archivist.adopt().await.unwrap();
    target.user("Ann").await;
    let refused = target.restore(id, &[], false).await.unwrap_err().to_string();
    assert!(
        refused.contains("this cluster has table Tab, user ann already"),
        "{refused}"
    );
    let refused = target
        .restore(id, &["None"], false)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("has no table None"), "{refused}");
    let refused = target.restore("1-a", &[], false).await.unwrap_err();
    assert_eq!(refused.code(), "BackupNotFoundException");
    target.restore(id, &[], true).await.unwrap();
    target.work().await;
    let standing = target.standing().await;
    assert_eq!(standing["phase"], "complete");
    assert_eq!(standing["skipped"], serde_json::json!(["table Tab", "user ann"]));
    assert_eq!(target.items("Tab", "").await, 0);
}

#[tokio::test]
async fn a_second_backup_copies_what_has_changed_and_the_first_may_go() {
    let source = World::start(TABLE, None).await;
    for number in 0..200 {
        source.put("Tab", &format!("item-{number}")).await;
    }
    let first = source.back_up("first").await;
    source.put("Tab", "one more").await;
    let second = source.back_up("second").await;
    let copied = |backup: &serde_json::Value| backup["copied_bytes"].as_u64().unwrap();
    assert!(copied(&second) * 2 < copied(&first), "{first} {second}");
    source.delete(first["id"].as_str().unwrap()).await.unwrap();
    source.archivist.look_after_all().await.unwrap();
    assert_eq!(source.backups().await, std::slice::from_ref(&second));
    // The second one builds on what the first one has written.
    assert_eq!(source.sweep().await, 0);

    let target = World::start(OTHER, Some(&source.archive())).await;
    target.archivist.adopt().await.unwrap();
    target
        .restore(second["id"].as_str().unwrap(), &[], false)
        .await
        .unwrap();
    target.work().await;
    assert_eq!(target.items("Tab", "").await, 201);
    source.delete(second["id"].as_str().unwrap()).await.unwrap();
    source.archivist.look_after_all().await.unwrap();
    assert!(source.sweep().await > 0);
}

#[tokio::test]
async fn backups_and_restores_are_given_up() {
    let source = World::start(TABLE, None).await;
    source.put("Tab", "x").await;
    let create = || ChangeBackups::Create { name: "a".into() };
    let begun = request::change(&source.node.context, create()).await.unwrap();
    let id = json(&begun)["id"].as_str().unwrap().to_owned();
    let refused = request::change(&source.node.context, create()).await.unwrap_err();
    assert_eq!(refused.code(), "BackupInUseException");
    let refused = source.ask(Target::DeleteTable, r#"{"TableName":"Tab"}"#).await;
    assert_eq!(refused.unwrap_err().code(), "ResourceInUseException");
    source.delete(&id).await.unwrap();
    source.archivist.look_after_all().await.unwrap();
    assert!(source.backups().await.is_empty());
    let bad = ChangeBackups::Create { name: "a/b".into() };
    let refused = request::change(&source.node.context, bad).await.unwrap_err();
    assert_eq!(refused.code(), "ValidationException");

    let made = source.back_up("b").await;
    let target = World::start(OTHER, Some(&source.archive())).await;
    target.archivist.adopt().await.unwrap();
    target
        .restore(made["id"].as_str().unwrap(), &[], false)
        .await
        .unwrap();
    target.archivist.look_after_all().await.unwrap();
    let cancel =
        || request::change_restore(&target.node.context, &target.identities, ChangeRestore::Cancel {});
    cancel().await.unwrap();
    target.archivist.look_after_all().await.unwrap();
    target.work().await;
    assert_eq!(target.standing().await["phase"], "cancelled");
    cancel().await.unwrap_err();
}
