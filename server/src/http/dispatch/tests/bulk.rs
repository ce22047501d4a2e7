//! Bulk operations from the request to the table and the report, on one node, with buckets in a directory.

use std::fs;

use super::transfers::{Place, gzip, member, start};
use super::*;
use crate::transfer::BulkRecord;
use crate::transfer::record::bulk::BulkStatus;

/// The request to put what lies below `in/` into the table.
fn puts(more: &str) -> String {
    format!(
        r#"{{"TableName":"Tab","InputS3Configuration":{{"S3Bucket":"bucket","S3KeyPrefix":"in/","InputFormat":"DYNAMODB_JSON"}},
        "OutputS3Configuration":{{"S3Bucket":"bucket","S3KeyPrefix":"out","OutputType":["ERROR","CONDITION_CHECK_FAILURE"]}}{more}}}"#
    )
}

async fn begin(place: &Place, body: &str) -> String {
    let asked = place.ask(Target::StartBulkPutItems, body).await.unwrap();
    assert_eq!(member(&asked, "BulkOperationStatus"), "IN_PROGRESS");
    member(&asked, "BulkOperationArn")
}

async fn describe(place: &Place, arn: &str) -> String {
    let body = format!(r#"{{"BulkOperationArn":"{arn}"}}"#);
    place.ask(Target::DescribeBulkOperation, &body).await.unwrap()
}

async fn ended(place: &Place, body: &str) -> String {
    let arn = begin(place, body).await;
    place.porter.look_after_all().await.unwrap();
    describe(place, &arn).await
}

fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// A file of the report of the only operation.
fn report(place: &Place, name: &str) -> String {
    let mut folders = fs::read_dir(place.bucket.join("out/AWSDynamoDB")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    fs::read_to_string(folder.join(name)).unwrap()
}

#[tokio::test]
async fn items_are_put_as_put_item_would_each_if_its_condition_holds() {
    let place = Box::pin(start()).await;
    let there = r#"{"TableName":"Tab","Item":{"pk":{"S":"there"},"v":{"N":"1"}}}"#;
    place.ask(Target::PutItem, there).await.unwrap();
    let lines = concat!(
        r#"{"Item":{"pk":{"S":"new"}},"ConditionExpression":"attribute_not_exists(pk)"}"#,
        "\n",
        r#"{"Item":{"pk":{"S":"there"}},"ConditionExpression":"attribute_not_exists(pk)"}"#,
        "\n",
        r##"{"Item":{"pk":{"S":"there"},"v":{"N":"2"}},"ConditionExpression":"#v = :one","##,
        r##""ExpressionAttributeNames":{"#v":"v"},"ExpressionAttributeValues":{":one":{"N":"1"}}}"##,
        "\n",
        // Each sees what the one before has put.
        r#"{"Item":{"pk":{"S":"there"},"v":{"N":"3"}},"ConditionExpression":"v = :two","ExpressionAttributeValues":{":two":{"N":"2"}}}"#,
        "\n",
        "nothing\n",
        r#"{"Item":{"other":{"S":"x"}}}"#,
        "\n",
        r#"{"Item":{"pk":{"S":"x"}},"ConditionExpression":"v = :unknown"}"#,
        "\n",
        r#"{"Item":{"pk":{"S":"x"}},"ExpressionAttributeNames":{"a":"b"}}"#,
        "\n",
    );
    place.write("in/1", lines.as_bytes());
    let described = ended(&place, &puts(r#","MaxWriteRequestUnits":2000"#)).await;
    let size = format!(r#""ProcessedInputBytes":{0},"TotalInputBytes":{0}"#, lines.len());
    let usage = r#""BulkPutBytes":3072,"Table":{"BulkPutBytes":3072}"#;
    holds(
        &described,
        &[
            r#""BulkOperationStatus":"COMPLETED_WITH_ERRORS""#,
            r#""ProcessedItemCount":8"#,
            r#""FailedItemCount":4"#,
            r#""MaxWriteRequestUnits":2000,"PerformanceTier":"STANDARD""#,
            r#""OutputType":["ERROR","CONDITION_CHECK_FAILURE"]"#,
            r#""InputCompressionType":"NONE""#,
            &size,
            usage,
        ],
    );
    assert!(place.count("Tab", "").await.contains(r#""Count":2"#));
    let get = r#"{"TableName":"Tab","Key":{"pk":{"S":"there"}}}"#;
    let found = place.ask(Target::GetItem, get).await.unwrap();
    assert_eq!(found, r#"{"Item":{"pk":{"S":"there"},"v":{"N":"3"}}}"#);
    assert_eq!(
        report(&place, "condition-check-failures/000000.json"),
        concat!(
            r#"{"S3Key":"in/1","RecordNumber":1,"Item":{"pk":{"S":"there"}},"#,
            r#""ExistingItem":{"pk":{"S":"there"},"v":{"N":"1"}}}"#,
            "\n"
        )
    );
    let errors = report(&place, "errors/000000.json");
    let numbers = [4, 5, 6, 7].map(|number| format!(r#""RecordNumber":{number},"ErrorMessage":""#));
    holds(&errors, &numbers.each_ref().map(String::as_str));
    assert_eq!(errors.lines().count(), 4);
    let summary = report(&place, "manifest-summary.json");
    holds(
        &summary,
        &[
            r#""status":"COMPLETED_WITH_ERRORS""#,
            r#""writtenItemCount":3,"failedItemCount":4,"conditionCheckFailureCount":1,"reportParts":1"#,
        ],
    );
}

#[tokio::test]
async fn ion_has_conditions_and_what_is_compressed_is_read() {
    let place = Box::pin(start()).await;
    let lines = concat!(
        "$ion_1_0 {Item:{pk:\"a\",v:1.}}\n",
        "{Item:{pk:\"a\",v:2.},ConditionExpression:\"#v = :one\",",
        "ExpressionAttributeNames:{'#v':\"v\"},ExpressionAttributeValues:{':one':1.}}\n",
        "{Item:{pk:\"a\",v:3.},ConditionExpression:\"attribute_not_exists(pk)\"}\n",
    );
    place.write("in/1", &gzip(lines.as_bytes()));
    let body = puts("").replace(
        r#""InputFormat":"DYNAMODB_JSON""#,
        r#""InputFormat":"ION","InputCompressionType":"GZIP""#,
    );
    let described = ended(&place, &body).await;
    holds(
        &described,
        &[
            r#""BulkOperationStatus":"COMPLETED""#,
            r#""ProcessedItemCount":3"#,
            r#""FailedItemCount":0"#,
        ],
    );
    let get = r#"{"TableName":"Tab","Key":{"pk":{"S":"a"}}}"#;
    let found = place.ask(Target::GetItem, get).await.unwrap();
    assert!(found.contains(r#""v":{"N":"2"}"#), "{found}");
    // An object that cannot be decompressed is one record that failed.
    place.write("in/1", b"no gzip");
    let described = ended(&place, &body).await;
    holds(
        &described,
        &[
            r#""BulkOperationStatus":"COMPLETED_WITH_ERRORS""#,
            r#""ProcessedItemCount":1"#,
            r#""FailedItemCount":1"#,
        ],
    );
}

#[tokio::test]
async fn an_operation_goes_on_where_its_row_says_and_ends_when_it_is_cancelled() {
    let place = Box::pin(start()).await;
    let line = |key: &str| format!("{{\"Item\":{{\"pk\":{{\"S\":\"{key}\"}}}}}}\n");
    place.write("in/1", line("done").as_bytes());
    place.write("in/2", [line("skipped"), line("read")].concat().as_bytes());
    let arn = begin(&place, &puts("")).await;
    // As whoever went before has left it.
    let transfers = Arc::clone(place.node.context.transfers.as_ref().unwrap());
    let was = transfers.all::<BulkRecord>().await.unwrap().remove(0);
    let mut now = was.clone();
    now.progress.key = Some("in/2".into());
    (now.progress.records, now.progress.processed) = (1, 2);
    now.bytes_of_all = Some(1);
    assert!(transfers.put(Some(&was), &now).await.unwrap());
    place.porter.look_after_all().await.unwrap();
    let described = describe(&place, &arn).await;
    holds(&described, &[r#""ProcessedItemCount":3"#, r#""COMPLETED""#]);
    assert!(place.count("Tab", "").await.contains(r#""Count":1"#));
    // The part that somebody may have begun is written anew.
    assert_eq!(report(&place, "errors/000000.json"), "");

    let arn = begin(&place, &puts("")).await;
    let body = format!(r#"{{"BulkOperationArn":"{arn}"}}"#);
    for _ in 0..2 {
        let answer = place.ask(Target::CancelBulkOperation, &body).await.unwrap();
        assert_eq!(
            answer,
            format!(r#"{{"BulkOperationArn":"{arn}","BulkOperationStatus":"CANCELLING"}}"#)
        );
    }
    place.porter.look_after_all().await.unwrap();
    let described = describe(&place, &arn).await;
    holds(
        &described,
        &[r#""BulkOperationStatus":"CANCELLED""#, "EndTime", "FailureCode"],
    );
    assert!(place.count("Tab", "").await.contains(r#""Count":1"#));
    let answer = place.ask(Target::CancelBulkOperation, &body).await.unwrap();
    assert_eq!(member(&answer, "BulkOperationStatus"), "CANCELLED");
}

#[tokio::test]
async fn what_cannot_be_done_fails_and_says_why() {
    let place = Box::pin(start()).await;
    place.write("in/1", b"{\"Item\":{\"pk\":{\"S\":\"a\"}}}");
    let refused = place
        .ask(
            Target::StartBulkPutItems,
            &puts("").replace(r#""Tab""#, r#""None""#),
        )
        .await;
    assert_eq!(refused.unwrap_err().code(), "ResourceNotFoundException");
    for (wrong, code) in [
        (puts("").replace("in/", "nothing/"), "S3NoSuchKey"),
        (
            puts("").replace(r#""bucket","S3KeyPrefix":"out""#, r#""none","S3KeyPrefix":"out""#),
            "S3NoSuchBucket",
        ),
    ] {
        let described = ended(&place, &wrong).await;
        assert_eq!(member(&described, "BulkOperationStatus"), "FAILED");
        assert_eq!(member(&described, "FailureCode"), code);
    }
    assert!(
        place.count("Tab", "").await.contains(r#""Count":0"#),
        "nothing is put"
    );
    let arn = begin(&place, &puts("")).await;
    let named = r#"{"TableName":"Tab"}"#;
    place.ask(Target::DeleteTable, named).await.unwrap();
    place.porter.look_after_all().await.unwrap();
    let described = describe(&place, &arn).await;
    assert_eq!(member(&described, "FailureCode"), "TableNotFound");
    for (arn, code) in [
        (arn.replace("Tab", "Other"), "ResourceNotFoundException"),
        (arn.replace("bulk-operation", "import"), "ValidationException"),
    ] {
        let body = format!(r#"{{"BulkOperationArn":"{arn}"}}"#);
        for target in [Target::DescribeBulkOperation, Target::CancelBulkOperation] {
            assert_eq!(place.ask(target, &body).await.unwrap_err().code(), code);
        }
    }
}

#[tokio::test]
async fn operations_are_listed_latest_first_and_a_token_is_one_of_them() {
    let place = Box::pin(start()).await;
    let first = begin(&place, &puts(r#","ClientToken":"t""#)).await;
    assert_eq!(begin(&place, &puts(r#","ClientToken":"t""#)).await, first);
    let other = puts(r#","ClientToken":"t","PerformanceTier":"ACCELERATED""#);
    let refused = place.ask(Target::StartBulkPutItems, &other).await.unwrap_err();
    assert_eq!(refused.code(), "IdempotentParameterMismatchException");
    // They may begin in one millisecond.
    let transfers = Arc::clone(place.node.context.transfers.as_ref().unwrap());
    let mut later = transfers.all::<BulkRecord>().await.unwrap().remove(0);
    later.id = "99999999999999-00000000".into();
    later.table = "AAA".into();
    later.set_status(BulkStatus::Completed);
    assert!(transfers.put(None, &later).await.unwrap());
    let page = place
        .ask(Target::ListBulkOperations, r#"{"MaxResults":1}"#)
        .await
        .unwrap();
    assert!(member(&page, "BulkOperationArn").ends_with("table/AAA/bulk-operation/99999999999999-00000000"));
    let next = format!(r#"{{"NextToken":"{}"}}"#, member(&page, "NextToken"));
    let page = place.ask(Target::ListBulkOperations, &next).await.unwrap();
    assert_eq!(member(&page, "BulkOperationArn"), first);
    assert!(!page.contains("NextToken"), "{page}");
}
