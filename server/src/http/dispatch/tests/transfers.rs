//! Exports and imports from the request to the table, on one node, with buckets in a directory.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::object_store::Buckets;
use crate::transfer::porter::Porter;
use crate::transfer::{ExportRecord, ImportRecord, Transfers};
use crate::upkeep::{Upkeep, UpkeepSettings};

const TABLE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]}"#;
const ITEM: &str = concat!(
    r#"{"b":{"B":"YWI="},"bs":{"BS":["","YQ=="]},"empty":{"S":""},"l":{"L":[{"NULL":true},{"BOOL":false},{"L":[]}]},"#,
    r#""m":{"M":{"k":{"S":"\"v\"\n"}}},"n":{"N":"-12345678901234567890123456789012345678"},"ns":{"NS":["1","2.5"]},"#,
    r#""pk":{"S":"a"},"ss":{"SS":["","x"]}}"#
);

/// A node with a table and a bucket, and who carries out what is asked for.
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) porter: Porter,
    pub(super) bucket: PathBuf,
}

pub(super) async fn start() -> Place {
    let mut node = Box::pin(Node::start_with(Limits::default(), TABLE)).await;
    let buckets = node.directory.path().join("buckets");
    let bucket = buckets.join("bucket");
    fs::create_dir_all(&bucket).unwrap();
    let cluster = node.context.cluster.clone();
    let transfers = Transfers::new(cluster.clone(), Buckets::in_directory(buckets), 1 << 30);
    node.context.transfers = Some(Arc::clone(&transfers));
    let upkeep = Upkeep {
        cluster,
        catalog: Arc::clone(&node.context.catalog),
        clock: Arc::new(SystemClock),
        settings: UpkeepSettings::default(),
    };
    let porter = Porter::new(upkeep, transfers, "us-east-1", random::fill);
    let place = Place { node, porter, bucket };
    Box::pin(place.keep("Tab")).await;
    place
}

/// The request to import from the prefix `in/` into a table with an index of `a`.
fn import(name: &str, format: &str, more: &str) -> String {
    format!(
        r#"{{"S3BucketSource":{{"S3Bucket":"bucket","S3KeyPrefix":"in/"}},"InputFormat":"{format}"{more},
        "TableCreationParameters":{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST",
        "KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
        "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}},{{"AttributeName":"a","AttributeType":"S"}}],
        "GlobalSecondaryIndexes":[{{"IndexName":"by-a","KeySchema":[{{"AttributeName":"a","KeyType":"HASH"}}],
        "Projection":{{"ProjectionType":"KEYS_ONLY"}}}}]}}}}"#
    )
}

/// The text of a member.
pub(super) fn member(json: &str, name: &str) -> String {
    let (_, rest) = json.split_once(&format!(r#""{name}":""#)).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

impl Place {
    pub(super) async fn ask(&self, target: Target, body: &str) -> Result<String, ApiError> {
        self.node.ask(target, body, &[]).await
    }

    /// Turns recovery on, without which nothing is exported.
    async fn keep(&self, table: &str) {
        let body = format!(
            r#"{{"TableName":"{table}","PointInTimeRecoverySpecification":{{"PointInTimeRecoveryEnabled":true}}}}"#
        );
        self.ask(Target::UpdateContinuousBackups, &body).await.unwrap();
    }

    pub(super) fn write(&self, key: &str, bytes: &[u8]) {
        let path = self.bucket.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Asks for an import and has it carried out; gives its description.
    async fn import(&self, body: &str) -> String {
        let asked = self.ask(Target::ImportTable, body).await.unwrap();
        assert_eq!(member(&asked, "ImportStatus"), "IN_PROGRESS");
        self.porter.look_after_all().await.unwrap();
        self.describe_import(&asked).await
    }

    async fn describe_import(&self, asked: &str) -> String {
        let body = format!(r#"{{"ImportArn":"{}"}}"#, member(asked, "ImportArn"));
        self.ask(Target::DescribeImport, &body).await.unwrap()
    }

    pub(super) async fn count(&self, table: &str, index: &str) -> String {
        let body = format!(r#"{{"TableName":"{table}"{index},"Select":"COUNT"}}"#);
        self.ask(Target::Scan, &body).await.unwrap()
    }

    async fn status(&self, table: &str) -> String {
        let body = format!(r#"{{"TableName":"{table}"}}"#);
        member(
            &self.ask(Target::DescribeTable, &body).await.unwrap(),
            "TableStatus",
        )
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn a_table_that_is_exported_can_be_imported_as_it_was() {
    let place = Box::pin(start()).await;
    let put = format!(r#"{{"TableName":"Tab","Item":{ITEM}}}"#);
    place.ask(Target::PutItem, &put).await.unwrap();
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";
    for (format, extension, name) in [("DYNAMODB_JSON", "json", "Json"), ("ION", "ion", "Ion")] {
        let body = format!(
            r#"{{"TableArn":"{table}","S3Bucket":"bucket","S3Prefix":"out/{name}","ExportFormat":"{format}"}}"#
        );
        let asked = place.ask(Target::ExportTableToPointInTime, &body).await.unwrap();
        assert_eq!(member(&asked, "ExportStatus"), "IN_PROGRESS");
        place.porter.look_after_all().await.unwrap();
        let arn = member(&asked, "ExportArn");
        let described = format!(r#"{{"ExportArn":"{arn}"}}"#);
        let described = place.ask(Target::DescribeExport, &described).await.unwrap();
        assert_eq!(member(&described, "ExportStatus"), "COMPLETED", "{described}");
        assert!(described.contains(r#""ItemCount":1"#), "{described}");
        let manifest = member(&described, "ExportManifest");
        let folder = manifest.strip_suffix("manifest-summary.json").unwrap();
        for file in [
            "_started",
            "manifest-files.json",
            "manifest-files.md5",
            "manifest-summary.md5",
        ] {
            assert!(place.bucket.join(folder).join(file).is_file(), "{file}");
        }
        let files = fs::read_to_string(place.bucket.join(folder).join("manifest-files.json")).unwrap();
        let data = member(&files, "dataFileS3Key");
        assert!(data.ends_with(&format!(".{extension}.gz")), "{data}");
        assert!(place.bucket.join(&data).is_file());
        let more = r#","InputCompressionType":"GZIP""#;
        let body = import(name, format, more).replace("in/", &format!("{folder}data/"));
        let described = place.import(&body).await;
        assert_eq!(member(&described, "ImportStatus"), "COMPLETED", "{described}");
        let get = format!(r#"{{"TableName":"{name}","Key":{{"pk":{{"S":"a"}}}}}}"#);
        let found = place.ask(Target::GetItem, &get).await.unwrap();
        assert_eq!(found, format!(r#"{{"Item":{ITEM}}}"#));
    }
    let listed = place
        .ask(Target::ListExports, r#"{"MaxResults":1}"#)
        .await
        .unwrap();
    let next = format!(
        r#"{{"MaxResults":1,"NextToken":"{}"}}"#,
        member(&listed, "NextToken")
    );
    let rest = place.ask(Target::ListExports, &next).await.unwrap();
    let arns = (member(&listed, "ExportArn"), member(&rest, "ExportArn"));
    assert!(arns.0 > arns.1, "{arns:?}");
    assert!(!rest.contains("NextToken"), "{rest}");
}

#[tokio::test]
async fn records_that_are_no_items_are_counted_and_the_others_are_there() {
    let place = Box::pin(start()).await;
    let lines = concat!(
        "{\"Item\":{\"pk\":{\"S\":\"a\"},\"a\":{\"S\":\"x\"}}}\n",
        "not an item\n",
        "{\"Item\":{\"other\":{\"S\":\"b\"}}}\n",
        "{\"Item\":{\"pk\":{\"N\":\"1\"}}}\n",
        "{\"Item\":{\"pk\":{\"S\":\"c\"},\"a\":{\"N\":\"1\"}}}\n",
        "{\"Item\":{\"pk\":{\"S\":\"d\"}}}\n",
        "{\"Item\":{\"pk\":{\"S\":\"d\"},\"v\":{\"S\":\"last\"}}}\n",
    );
    place.write("in/1.gz", &gzip(lines.as_bytes()));
    // What is no gzip is one error, and ends its object only.
    place.write("in/2.gz", b"no gzip");
    place.write("in/3.gz", &gzip(b"{\"Item\":{\"pk\":{\"S\":\"e\"}}}"));
    place.write("in/empty", b"");
    place.write("elsewhere", b"{\"Item\":{\"pk\":{\"S\":\"f\"}}}");
    let body = import("New", "DYNAMODB_JSON", r#","InputCompressionType":"GZIP""#);
    let described = place.import(&body).await;
    for part in [
        r#""ImportStatus":"FAILED""#,
        r#""FailureCode":"ItemValidationError""#,
        r#""ErrorCount":5"#,
        r#""ProcessedItemCount":8"#,
        r#""ImportedItemCount":4"#,
        r#""InputCompressionType":"GZIP""#,
        r#""TableCreationParameters":{"TableName":"New","AttributeDefinitions":[{"AttributeName":"pk""#,
    ] {
        assert!(described.contains(part), "{part} is not in {described}");
    }
    assert_eq!(place.status("New").await, "ACTIVE");
    assert!(place.count("New", "").await.contains(r#""Count":3"#));
    let in_index = place.count("New", r#","IndexName":"by-a""#).await;
    assert!(in_index.contains(r#""Count":1"#), "{in_index}");
    let get = r#"{"TableName":"New","Key":{"pk":{"S":"d"}}}"#;
    let found = place.ask(Target::GetItem, get).await.unwrap();
    assert!(found.contains("last"), "{found}");
}

#[tokio::test]
async fn an_import_goes_on_where_its_row_says() {
    let place = Box::pin(start()).await;
    let line = |key: &str| format!("{{\"Item\":{{\"pk\":{{\"S\":\"{key}\"}}}}}}\n");
    place.write("in/1", line("done").as_bytes());
    place.write("in/2", [line("skipped"), line("read")].concat().as_bytes());
    place.write("in/3", line("next").as_bytes());
    let asked = place
        .ask(Target::ImportTable, &import("New", "DYNAMODB_JSON", ""))
        .await;
    let asked = asked.unwrap();
    assert_eq!(place.status("New").await, "CREATING");
    let scan = place
        .ask(Target::Scan, r#"{"TableName":"New"}"#)
        .await
        .unwrap_err();
    assert_eq!(scan.code(), "ResourceNotFoundException");
    // As whoever went before has left it.
    let transfers = place.node.context.transfers.as_ref().unwrap();
    let was = transfers.all::<ImportRecord>().await.unwrap().remove(0);
    let mut now = was.clone();
    now.progress.key = Some("in/2".into());
    (
        now.progress.records,
        now.progress.processed,
        now.progress.imported,
    ) = (1, 2, 2);
    assert!(transfers.put(Some(&was), &now).await.unwrap());
    assert!(
        !transfers.put(Some(&was), &was).await.unwrap(),
        "who is late stops"
    );
    place.porter.look_after_all().await.unwrap();
    let described = place.describe_import(&asked).await;
    assert!(
        described.contains(r#""ProcessedItemCount":4,"ImportedItemCount":4"#),
        "{described}"
    );
    assert!(place.count("New", "").await.contains(r#""Count":2"#));
}

#[tokio::test]
async fn an_import_ends_with_its_table_or_without_its_source() {
    let place = Box::pin(start()).await;
    place.write("in/1", b"{\"Item\":{\"pk\":{\"S\":\"a\"}}}");
    let asked = place
        .ask(Target::ImportTable, &import("New", "DYNAMODB_JSON", ""))
        .await;
    let asked = asked.unwrap();
    place
        .ask(Target::DeleteTable, r#"{"TableName":"New"}"#)
        .await
        .unwrap();
    place.porter.look_after_all().await.unwrap();
    let described = place.describe_import(&asked).await;
    assert_eq!(member(&described, "ImportStatus"), "CANCELLED");
    let wrong = import("One", "CSV", "").replace(r#""bucket""#, r#""other""#);
    let described = place.import(&wrong).await;
    assert_eq!(member(&described, "ImportStatus"), "FAILED");
    assert_eq!(member(&described, "FailureCode"), "S3NoSuchBucket");
    assert_eq!(place.status("One").await, "ACTIVE");
    // Of nothing comes a table without items.
    let nothing = import("Two", "CSV", "").replace("in/", "nothing/");
    let described = place.import(&nothing).await;
    assert_eq!(member(&described, "ImportStatus"), "COMPLETED");
    assert!(described.contains(r#""ImportedItemCount":0"#), "{described}");
    // Nobody has asked for these.
    assert_eq!(member(&described, "S3BucketOwner"), "000000000000");
    assert_eq!(member(&described, "InputCompressionType"), "NONE");
    assert_eq!(place.status("Two").await, "ACTIVE");
    let of_two = r#"{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Two"}"#;
    let listed = place.ask(Target::ListImports, of_two).await.unwrap();
    assert_eq!(listed.matches("ImportArn").count(), 1, "{listed}");
    let all = place.ask(Target::ListImports, "{}").await.unwrap();
    assert_eq!(all.matches("ImportArn").count(), 3, "{all}");
}

#[tokio::test]
async fn the_same_token_is_the_same_import_or_export() {
    let place = Box::pin(start()).await;
    place.write("in/1", b"{\"Item\":{\"pk\":{\"S\":\"a\"}}}");
    let body = import("New", "DYNAMODB_JSON", r#","ClientToken":"t""#);
    let first = place.ask(Target::ImportTable, &body).await.unwrap();
    let second = place.ask(Target::ImportTable, &body).await.unwrap();
    assert_eq!(member(&first, "ImportArn"), member(&second, "ImportArn"));
    let other = place.ask(Target::ImportTable, &body.replace("in/", "i/")).await;
    assert_eq!(other.unwrap_err().code(), "ImportConflictException");
    let taken = place
        .ask(Target::ImportTable, &body.replace(r#""t""#, r#""u""#))
        .await;
    assert_eq!(taken.unwrap_err().code(), "ResourceInUseException");
    let body = r#"{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Tab","S3Bucket":"bucket","ClientToken":"t"}"#;
    let first = place.ask(Target::ExportTableToPointInTime, body).await.unwrap();
    let second = place.ask(Target::ExportTableToPointInTime, body).await.unwrap();
    assert_eq!(member(&first, "ExportArn"), member(&second, "ExportArn"));
    let other = body.replace("bucket", "other");
    let other = place.ask(Target::ExportTableToPointInTime, &other).await;
    assert_eq!(other.unwrap_err().code(), "ExportConflictException");
    // A token goes when it is old, and then it is good for something else.
    let transfers = place.node.context.transfers.as_ref().unwrap();
    transfers.forget_tokens::<ExportRecord>(0).await.unwrap();
    let known = place.ask(Target::ExportTableToPointInTime, body).await.unwrap();
    assert_eq!(member(&first, "ExportArn"), member(&known, "ExportArn"));
    transfers.forget_tokens::<ExportRecord>(i64::MAX).await.unwrap();
    let anew = place.ask(Target::ExportTableToPointInTime, body).await.unwrap();
    assert_ne!(member(&first, "ExportArn"), member(&anew, "ExportArn"));
}

#[tokio::test]
async fn ten_are_listed_when_the_request_does_not_say_how_many() {
    let place = Box::pin(start()).await;
    let body = r#"{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Tab","S3Bucket":"bucket"}"#;
    for _ in 0..11 {
        place.ask(Target::ExportTableToPointInTime, body).await.unwrap();
    }
    let count = async |body: &str| {
        let listed = place.ask(Target::ListExports, body).await.unwrap();
        (listed.matches("ExportArn").count(), listed.contains("NextToken"))
    };
    assert_eq!(count("{}").await, (10, true));
    assert_eq!(count(r#"{"MaxResults":25}"#).await, (11, false));
}

#[tokio::test]
async fn nothing_stays_of_an_export_that_is_cancelled_or_of_a_try_that_was_cut_short() {
    let place = Box::pin(start()).await;
    let transfers = Arc::clone(place.node.context.transfers.as_ref().unwrap());
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";
    let body = format!(r#"{{"TableArn":"{table}","S3Bucket":"bucket","S3Prefix":"out"}}"#);
    let cut_short = async |id: &str| {
        let asked = place.ask(Target::ExportTableToPointInTime, &body).await.unwrap();
        let all = transfers.all::<ExportRecord>().await.unwrap();
        let was = all.into_iter().find(|record| record.ended_ms.is_none()).unwrap();
        let mut now = was.clone();
        now.attempt = Some(id.to_owned());
        assert!(transfers.put(Some(&was), &now).await.unwrap());
        let folder = format!("out/AWSDynamoDB/{}", was.id);
        place.write(&format!("{folder}/_started"), b"");
        place.write(&format!("{folder}/data/{id}000000.json.gz"), b"x");
        (member(&asked, "ExportArn"), folder)
    };
    let describe = async |arn: &str| {
        let body = format!(r#"{{"ExportArn":"{arn}"}}"#);
        place.ask(Target::DescribeExport, &body).await.unwrap()
    };
    let files = |folder: &str| fs::read_dir(place.bucket.join(folder)).unwrap().count();

    let (arn, folder) = cut_short("0123").await;
    place.porter.look_after_all().await.unwrap();
    assert_eq!(member(&describe(&arn).await, "ExportStatus"), "COMPLETED");
    assert_eq!(files(&format!("{folder}/data")), 1);
    assert!(
        !place
            .bucket
            .join(format!("{folder}/data/0123000000.json.gz"))
            .exists()
    );
    let over = place.node.context.cancel_job(&arn).await.unwrap_err();
    assert_eq!(over.code(), "ValidationException");

    let (arn, folder) = cut_short("4567").await;
    place.node.context.cancel_job(&arn).await.unwrap();
    place.porter.look_after_all().await.unwrap();
    let described = describe(&arn).await;
    assert_eq!(member(&described, "ExportStatus"), "FAILED");
    assert_eq!(member(&described, "FailureCode"), "Cancelled");
    assert_eq!(files(&format!("{folder}/data")), 0);
    assert!(!place.bucket.join(format!("{folder}/_started")).exists());

    let gone = place
        .node
        .context
        .cancel_job(&arn.replace("Tab", "Other"))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), "ExportNotFoundException");
    let import = arn.replace("/export/", "/import/");
    let refused = place.node.context.cancel_job(&import).await.unwrap_err();
    assert_eq!(refused.code(), "ValidationException");
}

#[tokio::test]
async fn what_is_not_there_is_told_by_its_name() {
    let place = Box::pin(start()).await;
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";
    for (target, kind, code) in [
        (Target::DescribeImport, "import", "ImportNotFoundException"),
        (Target::DescribeExport, "export", "ExportNotFoundException"),
    ] {
        let name = if kind == "import" {
            "ImportArn"
        } else {
            "ExportArn"
        };
        let ask = |arn: String| format!(r#"{{"{name}":"{arn}"}}"#);
        let arn = format!("{table}/{kind}/01678793340962-cc4bfb86");
        let refused = place.ask(target, &ask(arn)).await.unwrap_err();
        assert_eq!(refused.code(), code);
        let refused = place.ask(target, &ask(table.to_owned())).await.unwrap_err();
        assert_eq!(refused.code(), "ValidationException");
    }
    let body = r#"{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/None","S3Bucket":"bucket"}"#;
    let refused = place
        .ask(Target::ExportTableToPointInTime, body)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "TableNotFoundException");
    let mut place = place;
    place.node.context.transfers = None;
    let refused = place.ask(Target::ImportTable, &import("New", "CSV", "")).await;
    assert!(refused.unwrap_err().to_string().contains("object_store"));
}
