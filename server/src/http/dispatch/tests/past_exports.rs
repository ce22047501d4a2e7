//! Exports of the past from the request to the lines in the bucket, on one node.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::histories::{DAY_MS, Kept};
use super::*;
use crate::clock::Clock;
use crate::object_store::Buckets;
use crate::transfer::Transfers;
use crate::transfer::porter::Porter;

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";

/// A table with a history, and a bucket.
struct Place {
    kept: Kept,
    porter: Porter,
    bucket: PathBuf,
}

async fn start() -> Place {
    let mut kept = Kept::start().await;
    let buckets = kept.node.directory.path().join("buckets");
    let bucket = buckets.join("bucket");
    fs::create_dir_all(&bucket).unwrap();
    let transfers = Transfers::new(
        kept.node.context.cluster.clone(),
        Buckets::in_directory(buckets),
        1 << 30,
    );
    kept.node.context.transfers = Some(Arc::clone(&transfers));
    let porter = Porter::new(kept.upkeep.clone(), transfers, "us-east-1", random::fill);
    Place { kept, porter, bucket }
}

fn seconds(moment_ms: i64) -> String {
    format!("{}.{:03}", moment_ms / 1000, moment_ms % 1000)
}

/// The text of a member.
fn member(json: &str, name: &str) -> String {
    let (_, rest) = json.split_once(&format!(r#""{name}":""#)).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

impl Place {
    /// Asks for an export.
    async fn ask(&self, more: &str) -> Result<String, ApiError> {
        let body = format!(r#"{{"TableArn":"{ARN}","S3Bucket":"bucket"{more}}}"#);
        self.kept.ask(Target::ExportTableToPointInTime, &body).await
    }

    /// Has everything carried out, and describes an export.
    async fn ended(&self, asked: &str) -> String {
        self.porter.look_after_all().await.unwrap();
        let body = format!(r#"{{"ExportArn":"{}"}}"#, member(asked, "ExportArn"));
        self.kept.ask(Target::DescribeExport, &body).await.unwrap()
    }

    /// The lines of an export that is complete, in their order.
    fn lines(&self, described: &str) -> Vec<String> {
        assert_eq!(member(described, "ExportStatus"), "COMPLETED", "{described}");
        let manifest = member(described, "ExportManifest");
        let folder = manifest.strip_suffix("manifest-summary.json").unwrap();
        let files = fs::read_to_string(self.bucket.join(folder).join("manifest-files.json")).unwrap();
        let mut text = String::new();
        for file in files.lines() {
            let data = fs::read(self.bucket.join(member(file, "dataFileS3Key"))).unwrap();
            flate2::read::GzDecoder::new(&data[..])
                .read_to_string(&mut text)
                .unwrap();
        }
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    async fn exported(&self, more: &str) -> Vec<String> {
        let asked = self.ask(more).await.unwrap();
        assert_eq!(member(&asked, "ExportStatus"), "IN_PROGRESS");
        self.lines(&self.ended(&asked).await)
    }

    async fn at(&self, moment_ms: i64) -> Vec<String> {
        self.exported(&format!(r#","ExportTime":{}"#, seconds(moment_ms)))
            .await
    }
}

fn line(pk: &str, a: &str) -> String {
    format!(r#"{{"Item":{{"a":{{"S":"{a}"}},"pk":{{"S":"{pk}"}}}}}}"#)
}

#[tokio::test]
async fn a_table_is_exported_as_it_was_at_any_moment() {
    let place = start().await;
    let kept = &place.kept;
    kept.put("x", "before").await;
    kept.put("y", "before").await;
    kept.keep_from_now_on("").await;
    let first = kept.moment().await;
    kept.put("x", "new").await;
    kept.delete("y").await;
    let second = kept.moment().await;
    kept.put("z", "late").await;
    assert_eq!(
        Box::pin(place.at(first)).await,
        [line("x", "before"), line("y", "before")]
    );
    assert_eq!(Box::pin(place.at(second)).await, [line("x", "new")]);
    assert_eq!(place.exported("").await, [line("z", "late"), line("x", "new")]);
    // Whenever it is asked for.
    kept.put("x", "later").await;
    let asked = place.ask(&format!(r#","ExportTime":{}"#, seconds(second))).await;
    let described = place.ended(&asked.unwrap()).await;
    assert_eq!(place.lines(&described), [line("x", "new")]);
    let moment = format!(r#""ExportTime":{}"#, seconds(second));
    assert!(described.contains(&moment), "{described}");
}

#[tokio::test]
async fn without_a_history_nothing_is_exported() {
    let place = start().await;
    let refused = place.ask("").await.unwrap_err();
    let sentence = "Point in time recovery is not enabled for table 'Tab'".to_owned();
    assert_eq!(refused, ApiError::PointInTimeRecoveryUnavailable(sentence));
    place.kept.keep_from_now_on("").await;
    for moment in ["1.5", "99999999999"] {
        let refused = place
            .ask(&format!(r#","ExportTime":{moment}"#))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "InvalidExportTimeException");
    }
    // One that is under way ends with the history.
    let moment = place.kept.moment().await;
    let asked = place.ask(&format!(r#","ExportTime":{}"#, seconds(moment))).await;
    place.kept.keep(false, "").await.unwrap();
    let described = place.ended(&asked.unwrap()).await;
    assert_eq!(member(&described, "ExportStatus"), "FAILED");
    assert_eq!(
        member(&described, "FailureCode"),
        "PointInTimeRecoveryUnavailable"
    );
}

#[tokio::test]
async fn what_an_export_needs_stays_until_it_ends() {
    let mut place = start().await;
    place.kept.put("x", "before").await;
    place.kept.keep_from_now_on(r#","RecoveryPeriodInDays":1"#).await;
    let moment = place.kept.moment().await;
    let asked = place.ask(&format!(r#","ExportTime":{}"#, seconds(moment))).await;
    place.kept.put("x", "new").await;
    place.kept.upkeep.clock = Arc::clone(&place.kept.clock) as Arc<dyn Clock>;
    place.kept.clock.0.store(2 * DAY_MS, Ordering::SeqCst);
    assert_eq!(place.kept.upkeep.prune_all().await.unwrap(), 0);
    let described = place.ended(&asked.unwrap()).await;
    assert_eq!(place.lines(&described), [line("x", "before")]);
    assert_eq!(place.kept.upkeep.prune_all().await.unwrap(), 1);
}

#[tokio::test]
async fn what_has_changed_in_a_period_is_exported_once_an_item() {
    const PERIOD_MS: i64 = 15 * 60 * 1000;
    let place = start().await;
    let kept = &place.kept;
    for pk in ["changed", "deleted", "still"] {
        kept.put(pk, "before").await;
    }
    kept.keep_from_now_on("").await;
    let from = kept.moment().await;
    kept.put("changed", "between").await;
    kept.put("changed", "after").await;
    kept.put("new", "after").await;
    kept.delete("deleted").await;
    kept.put("gone", "at once").await;
    kept.delete("gone").await;
    let after = kept.moment().await;
    kept.clock.0.store(2 * PERIOD_MS, Ordering::SeqCst);
    let changes = |view: &str, format: &str| {
        let (from, to) = (seconds(from), seconds(from + PERIOD_MS));
        format!(
            r#","ExportType":"INCREMENTAL_EXPORT","ExportFormat":"{format}","IncrementalExportSpecification":{{"ExportFromTime":{from},"ExportToTime":{to}{view}}}"#
        )
    };
    let asked = place.ask(&changes("", "DYNAMODB_JSON")).await.unwrap();
    assert!(asked.contains(r#""ExportType":"INCREMENTAL_EXPORT""#), "{asked}");
    let described = place.ended(&asked).await;
    let specification = format!(
        r#""IncrementalExportSpecification":{{"ExportFromTime":{},"ExportToTime":{},"ExportViewType":"NEW_AND_OLD_IMAGES"}}"#,
        seconds(from),
        seconds(from + PERIOD_MS)
    );
    assert!(
        described.contains(&specification) && described.contains(r#""ItemCount":3"#),
        "{described}"
    );
    // Times of writes are those of the leaders.
    let written = |line: &String| {
        let micros: i64 = member(line, "N").parse().unwrap();
        assert!(
            (from..=after).contains(&(micros / 1000)) && micros % 1000 == 0,
            "{line}"
        );
        let (_, rest) = line.split_once("}},").unwrap();
        rest.to_owned()
    };
    let rests = |lines: &[String]| {
        let mut rests: Vec<_> = lines.iter().map(written).collect();
        rests.sort();
        rests
    };
    let image = |pk: &str, a: &str| format!(r#"{{"a":{{"S":"{a}"}},"pk":{{"S":"{pk}"}}}}"#);
    let keys = |pk: &str| format!(r#""Keys":{{"pk":{{"S":"{pk}"}}}}"#);
    let (changed, new) = (image("changed", "after"), image("new", "after"));
    let (of_changed, of_deleted) = (image("changed", "before"), image("deleted", "before"));
    assert_eq!(
        rests(&place.lines(&described)),
        [
            format!(
                r#"{},"NewImage":{changed},"OldImage":{of_changed}}}"#,
                keys("changed")
            ),
            format!(r#"{},"OldImage":{of_deleted}}}"#, keys("deleted")),
            format!(r#"{},"NewImage":{new}}}"#, keys("new")),
        ]
    );
    let view = r#","ExportViewType":"NEW_IMAGE""#;
    let only_new = place.exported(&changes(view, "DYNAMODB_JSON")).await;
    assert_eq!(
        rests(&only_new),
        [
            format!(r#"{},"NewImage":{changed}}}"#, keys("changed")),
            format!("{}}}", keys("deleted")),
            format!(r#"{},"NewImage":{new}}}"#, keys("new")),
        ]
    );
    let ion = place.exported(&changes(view, "ION")).await.concat();
    for rest in [
        "000.},Keys:{'pk':\"changed\"},NewImage:{'a':\"after\",'pk':\"changed\"}}}",
        "000.},Keys:{'pk':\"deleted\"}}}",
        "000.},Keys:{'pk':\"new\"},NewImage:{'a':\"after\",'pk':\"new\"}}}",
    ] {
        assert!(ion.contains(rest), "{rest} is not in {ion}");
    }
    let listed = kept.ask(Target::ListExports, "{}").await.unwrap();
    assert_eq!(listed.matches("INCREMENTAL_EXPORT").count(), 3, "{listed}");
}
