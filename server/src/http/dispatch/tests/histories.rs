//! Point-in-time recovery from the request to the restored table, on one node.

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicI64, Ordering};

use stator_cluster::{Bounds, ConsistencyLevel, Direction};

use super::*;
use crate::archivist::Archivist;
use crate::clock::Clock;
use crate::operation::readers::Look;
use crate::upkeep::{Upkeep, UpkeepSettings};

const TABLE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"a","AttributeType":"S"}],
    "GlobalSecondaryIndexes":[{"IndexName":"by-a","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
    "Projection":{"ProjectionType":"ALL"}}]}"#;
const NAMED: &str = r#"{"TableName":"Tab"}"#;
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The clock of the API, which may be ahead of that of leaders.
#[derive(Debug, Default)]
pub(super) struct Ahead(pub(super) AtomicI64);

impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

pub(super) struct Kept {
    pub(super) node: Node,
    pub(super) upkeep: Upkeep,
    archivist: Archivist,
    pub(super) clock: Arc<Ahead>,
}

impl Kept {
    /// A node without an archive, with a table that has no history yet.
    pub(super) async fn start() -> Self {
        let mut node = Node::start_with(Limits::default(), TABLE).await;
        let clock = Arc::new(Ahead::default());
        // So that what is now can be restored at once.
        clock.0.store(10_000, Ordering::SeqCst);
        node.context.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let upkeep = Upkeep {
            cluster: node.context.cluster.clone(),
            catalog: Arc::clone(&node.context.catalog),
            clock: Arc::new(SystemClock),
            settings: UpkeepSettings::default(),
        };
        let archivist = Archivist::new(upkeep.clone(), None);
        // What leaders derive by is always the newest.
        tokio::spawn(Catalog::follow(Arc::downgrade(&upkeep.catalog)));
        Self {
            node,
            upkeep,
            archivist,
            clock,
        }
    }

    pub(super) async fn ask(&self, target: Target, body: &str) -> Result<String, ApiError> {
        self.node.ask(target, body, &[]).await
    }

    pub(super) async fn keep(&self, enabled: bool, more: &str) -> Result<String, ApiError> {
        let body = format!(
            r#"{{"TableName":"Tab","PointInTimeRecoverySpecification":{{"PointInTimeRecoveryEnabled":{enabled}{more}}}}}"#
        );
        self.ask(Target::UpdateContinuousBackups, &body).await
    }

    /// Begins a history, and waits until there is a moment to restore.
    pub(super) async fn keep_from_now_on(&self, more: &str) {
        self.keep(true, more).await.unwrap();
        // It is filled, and then opened.
        self.upkeep.look_after_all().await.unwrap();
        self.upkeep.look_after_all().await.unwrap();
        let described = self.ask(Target::DescribeContinuousBackups, NAMED).await.unwrap();
        let (_, earliest) = described.split_once(r#""EarliestRestorableDateTime":"#).unwrap();
        let seconds: i64 = earliest.split_once('.').unwrap().0.parse().unwrap();
        while SystemClock.now_ms() <= seconds * 1000 {
            tokio::task::yield_now().await;
        }
    }

    /// A moment that no write has.
    pub(super) async fn moment(&self) -> i64 {
        let moment = SystemClock.now_ms() + 1;
        while SystemClock.now_ms() <= moment + 1 {
            tokio::task::yield_now().await;
        }
        moment
    }

    pub(super) async fn put(&self, pk: &str, a: &str) {
        let body = format!(r#"{{"TableName":"Tab","Item":{{"pk":{{"S":"{pk}"}},"a":{{"S":"{a}"}}}}}}"#);
        self.ask(Target::PutItem, &body).await.unwrap();
    }

    pub(super) async fn delete(&self, pk: &str) {
        let body = format!(r#"{{"TableName":"Tab","Key":{{"pk":{{"S":"{pk}"}}}}}}"#);
        self.ask(Target::DeleteItem, &body).await.unwrap();
    }

    async fn restore(&self, name: &str, moment: &str) -> Result<String, ApiError> {
        let body = format!(r#"{{"SourceTableName":"Tab","TargetTableName":"{name}",{moment}}}"#);
        self.ask(Target::RestoreTableToPointInTime, &body).await
    }

    /// Restores the table as it was, and says what it was.
    async fn at(&self, name: &str, moment_ms: i64) -> Vec<String> {
        let seconds = format!("{}.{:03}", moment_ms / 1000, moment_ms % 1000);
        let restoring = self
            .restore(name, &format!(r#""RestoreDateTime":{seconds}"#))
            .await;
        let restoring = restoring.unwrap();
        assert!(restoring.contains(r#""TableStatus":"CREATING""#), "{restoring}");
        self.archivist.look_after_all().await.unwrap();
        let found = self.items(name, "").await;
        assert_eq!(self.items(name, r#","IndexName":"by-a""#).await, found);
        found
    }

    /// What a table or an index of it has, as `pk=a` in their order.
    async fn items(&self, table: &str, index: &str) -> Vec<String> {
        let body = format!(r#"{{"TableName":"{table}"{index}}}"#);
        let found = self.ask(Target::Scan, &body).await.unwrap();
        let value = |item: &str, name: &str| {
            let (_, rest) = item.split_once(&format!(r#""{name}":{{"S":""#)).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        let items = found.split("}}").filter(|item| item.contains(r#""pk""#));
        let mut items: Vec<_> = items
            .map(|item| format!("{}={}", value(item, "pk"), value(item, "a")))
            .collect();
        items.sort();
        items
    }

    /// How many versions there are.
    pub(super) async fn versions(&self) -> usize {
        let cluster = &self.node.context.cluster;
        let table = self.node.context.catalog.table("Tab").unwrap();
        let history = table.definition().history.as_ref().unwrap();
        let keyspace = cluster.keyspace(&history.keyspace()).unwrap();
        let everything = Bounds {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        };
        let (mut count, level) = (0, ConsistencyLevel::Quorum);
        let counting = cluster.range(keyspace, &everything, Direction::Forward, level, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        counting.await.unwrap();
        assert_eq!(cluster.tally(keyspace).await.items, count as u64);
        count
    }
}

#[tokio::test]
async fn a_table_is_restored_as_it_was_at_any_moment_and_by_whatever_it_was_written() {
    let kept = Kept::start().await;
    for pk in ["x", "y", "z"] {
        kept.put(pk, "before").await;
    }
    kept.keep_from_now_on("").await;
    assert_eq!(kept.versions().await, 3);
    let first = kept.moment().await;
    kept.put("x", "new").await;
    kept.delete("y").await;
    let second = kept.moment().await;
    let body = r#"{"TransactItems":[
        {"Put":{"TableName":"Tab","Item":{"pk":{"S":"y"},"a":{"S":"again"}}}},
        {"Update":{"TableName":"Tab","Key":{"pk":{"S":"x"}},"UpdateExpression":"SET a = :a",
            "ExpressionAttributeValues":{":a":{"S":"moved"}}}},
        {"Delete":{"TableName":"Tab","Key":{"pk":{"S":"z"}}}}]}"#;
    kept.ask(Target::TransactWriteItems, body).await.unwrap();
    let third = kept.moment().await;
    let body = r#"{"RequestItems":{"Tab":[{"DeleteRequest":{"Key":{"pk":{"S":"x"}}}},
        {"PutRequest":{"Item":{"pk":{"S":"w"},"a":{"S":"batch"}}}}]}}"#;
    kept.ask(Target::BatchWriteItem, body).await.unwrap();
    let body = r#"{"Statement":"UPDATE Tab SET a = 'partiql' WHERE pk = 'y'"}"#;
    kept.ask(Target::ExecuteStatement, body).await.unwrap();
    let fourth = kept.moment().await;
    // Nothing changes, and has no version.
    kept.put("w", "batch").await;
    assert_eq!(kept.versions().await, 3 + 2 + 3 + 3);

    assert_eq!(
        kept.at("First", first).await,
        ["x=before", "y=before", "z=before"]
    );
    assert_eq!(kept.at("Second", second).await, ["x=new", "z=before"]);
    assert_eq!(kept.at("Third", third).await, ["x=moved", "y=again"]);
    assert_eq!(kept.at("Fourth", fourth).await, ["w=batch", "y=partiql"]);
    // Whenever it is asked for.
    kept.put("x", "later").await;
    assert_eq!(kept.at("Again", second).await, ["x=new", "z=before"]);
    let described = kept
        .ask(Target::DescribeTable, r#"{"TableName":"Second"}"#)
        .await
        .unwrap();
    let summary = format!(
        r#""RestoreSummary":{{"SourceTableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Tab","RestoreDateTime":{}.{:03},"RestoreInProgress":false}}"#,
        second / 1000,
        second % 1000
    );
    assert!(described.contains(&summary), "{described}");
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_in_dynamodbs_words() {
    let kept = Kept::start().await;
    let latest = r#""UseLatestRestorableTime":true"#;
    let refused = kept.restore("New", latest).await.unwrap_err();
    let sentence = "Point in time recovery is not enabled for table 'Tab'".to_owned();
    assert_eq!(refused, ApiError::PointInTimeRecoveryUnavailable(sentence));
    let body =
        r#"{"TableName":"None","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#;
    let refused = kept.ask(Target::UpdateContinuousBackups, body).await.unwrap_err();
    assert_eq!(refused, ApiError::TableNotFound("Table not found: None".into()));

    let enabled = kept.keep(true, r#","RecoveryPeriodInDays":3"#).await.unwrap();
    assert!(
        enabled.contains(r#""PointInTimeRecoveryStatus":"ENABLED","RecoveryPeriodInDays":3}"#),
        "{enabled}"
    );
    let refused = kept.restore("New", latest).await.unwrap_err();
    assert_eq!(refused.code(), "InvalidRestoreTimeException");
    kept.keep_from_now_on("").await;
    let described = kept.ask(Target::DescribeContinuousBackups, NAMED).await.unwrap();
    assert!(
        described.contains(r#""RecoveryPeriodInDays":35,"EarliestRestorableDateTime""#),
        "{described}"
    );
    for moment in ["1.5", "99999999999"] {
        let refused = kept
            .restore("New", &format!(r#""RestoreDateTime":{moment}"#))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "InvalidRestoreTimeException");
    }
    let refused = kept.restore("Tab", latest).await.unwrap_err();
    assert_eq!(
        refused,
        ApiError::TableAlreadyExists("Table already exists: Tab".into())
    );
    kept.restore("New", latest).await.unwrap();
    // What is read from stays, and what is being made has no history yet.
    let refused = kept.ask(Target::DeleteTable, NAMED).await.unwrap_err();
    assert_eq!(refused.code(), "ResourceInUseException");
    let refused = kept.keep(false, "").await.unwrap_err();
    assert_eq!(refused.code(), "ContinuousBackupsUnavailableException");
    let body =
        r#"{"TableName":"New","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#;
    let refused = kept.ask(Target::UpdateContinuousBackups, body).await.unwrap_err();
    assert_eq!(refused.code(), "TableNotFoundException");
    let body = format!(r#"{{"SourceTableName":"New","TargetTableName":"Newer",{latest}}}"#);
    let refused = kept
        .ask(Target::RestoreTableToPointInTime, &body)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "TableNotFoundException");
    kept.archivist.look_after_all().await.unwrap();

    let disabled = kept.keep(false, "").await.unwrap();
    assert!(
        disabled.contains(r#"{"PointInTimeRecoveryStatus":"DISABLED"}"#),
        "{disabled}"
    );
    let names = kept.node.context.cluster.keyspaces();
    assert!(
        names.iter().all(|(_, name)| !name.starts_with("history/")),
        "{names:?}"
    );
    kept.keep_from_now_on("").await;
    kept.ask(Target::DeleteTable, NAMED).await.unwrap();
}

#[tokio::test]
async fn of_a_restore_and_the_end_of_its_history_at_the_same_moment_one_is_refused() {
    let kept = Kept::start().await;
    let latest = r#""UseLatestRestorableTime":true"#;
    for late in [0, 3, 6, 12] {
        kept.keep_from_now_on("").await;
        let source = kept.upkeep.catalog.latest("Tab").await.unwrap().unwrap();
        let look = Look::at(source.definition());
        let name = format!("New{late}");
        let ending = async {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            kept.keep(false, "").await
        };
        let (restored, ended) = tokio::join!(kept.restore(&name, latest), ending);
        assert_ne!(restored.is_ok(), ended.is_ok(), "{restored:?} {ended:?}");
        let tables = kept.upkeep.catalog.all().await.unwrap();
        assert_eq!(tables.contains_key(&name), restored.is_ok());
        if restored.is_ok() {
            // Whoever looked before it began does not end the history.
            assert!(!look.holds(tables["Tab"].definition()));
            kept.archivist.look_after_all().await.unwrap();
            kept.keep(false, "").await.unwrap();
        }
    }
}

#[tokio::test]
async fn versions_that_nobody_can_ask_for_go_and_the_others_stay() {
    let mut kept = Kept::start().await;
    kept.put("x", "before").await;
    kept.put("gone", "before").await;
    kept.keep_from_now_on(r#","RecoveryPeriodInDays":1"#).await;
    for a in ["one", "two", "three"] {
        kept.put("x", a).await;
    }
    kept.delete("gone").await;
    assert_eq!(kept.versions().await, 2 + 3 + 1);
    kept.upkeep.clock = Arc::clone(&kept.clock) as Arc<dyn Clock>;
    let ahead = |by_ms: i64| kept.clock.0.store(by_ms, Ordering::SeqCst);
    ahead(DAY_MS / 2);
    assert_eq!(kept.upkeep.prune_all().await.unwrap(), 0);
    // A restore that is under way holds on to what it needs.
    let moment = kept.moment().await;
    let seconds = format!(r#""RestoreDateTime":{}.{:03}"#, moment / 1000, moment % 1000);
    kept.restore("New", &seconds).await.unwrap();
    kept.put("x", "four").await;
    ahead(2 * DAY_MS);
    assert_eq!(kept.upkeep.prune_all().await.unwrap(), 0);
    kept.archivist.look_after_all().await.unwrap();
    assert_eq!(kept.items("New", "").await, ["x=three"]);
    // First what is older than that an item is gone, then that.
    assert_eq!(kept.upkeep.prune_all().await.unwrap(), 4 + 1);
    assert_eq!(kept.upkeep.prune_all().await.unwrap(), 1);
    assert_eq!(kept.versions().await, 1);
    kept.restore("Newest", r#""UseLatestRestorableTime":true"#)
        .await
        .unwrap();
    kept.archivist.look_after_all().await.unwrap();
    assert_eq!(kept.items("Newest", "").await, ["x=four"]);
}
