//! A request of every operation, and what it has to be permitted.

use crate::wire::target::Target;

/// The table of the tests.
pub(super) const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";

/// One request.
pub(super) struct Sample {
    pub(super) body: String,
    /// Actions, without their service when it is DynamoDB, each with its resource, in the order in which they are asked for.
    pub(super) needs: Vec<(&'static str, String)>,
    /// The one partition key that it is about.
    pub(super) leading: Option<&'static str>,
    /// The attributes that it is about; empty for an operation on no items.
    pub(super) attributes: &'static [&'static str],
}

/// On the table `Tab`, by an action of the operation's name.
fn on_table(action: &'static str, members: &str) -> Sample {
    Sample {
        body: format!(r#"{{"TableName":"Tab"{members}}}"#),
        needs: vec![(action, TABLE.to_owned())],
        leading: None,
        attributes: &[],
    }
}

/// On items of the key `k` and their attribute `a`.
fn on_items(needs: &[&'static str], body: &str) -> Sample {
    Sample {
        body: body.to_owned(),
        needs: needs.iter().map(|action| (*action, TABLE.to_owned())).collect(),
        leading: Some("k"),
        attributes: &["a", "pk"],
    }
}

/// On the rows of the index `by_g`.
fn on_index(action: &'static str, body: &str) -> Sample {
    Sample {
        body: body.to_owned(),
        needs: vec![(action, format!("{TABLE}/index/by_g"))],
        leading: Some("k"),
        attributes: &["a", "g", "pk"],
    }
}

fn on_account(action: &'static str) -> Sample {
    Sample {
        body: "{}".to_owned(),
        needs: vec![(action, "*".to_owned())],
        leading: None,
        attributes: &[],
    }
}

/// On the table, by its ARN.
fn on_arn(action: &'static str, members: &str) -> Sample {
    Sample {
        body: format!(r#"{{"ResourceArn":"{TABLE}"{members}}}"#),
        ..on_table(action, "")
    }
}

/// On a stream, whose ARN stands for `@` in the body.
fn on_stream(action: &'static str, body: &str) -> Sample {
    let stream = format!("{TABLE}/stream/2026-01-01T00:00:00.000");
    Sample {
        body: body.replace('@', &stream),
        needs: vec![(action, stream)],
        leading: None,
        attributes: &[],
    }
}

/// On a backup.
fn on_backup(action: &'static str) -> Sample {
    let backup = format!("{TABLE}/backup/01678793340962-cc4bfb86");
    Sample {
        body: format!(r#"{{"BackupArn":"{backup}"}}"#),
        needs: vec![(action, backup)],
        leading: None,
        attributes: &[],
    }
}

/// From a backup into another table.
fn restore() -> Sample {
    let mut sample = on_backup("RestoreTableFromBackup");
    let name = "Restored";
    sample.body = sample
        .body
        .replace('{', &format!(r#"{{"TargetTableName":"{name}","#));
    let table = TABLE.replace("Tab", name);
    let more = [
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "GetItem",
        "Query",
        "Scan",
        "BatchWriteItem",
        "RestoreTableFromBackup",
    ];
    sample.needs.extend(more.map(|action| (action, table.clone())));
    sample
}

/// On an export or an import, whose ARN is `member`.
fn on_transfer(action: &'static str, kind: &str, member: &str) -> Sample {
    let arn = format!("{TABLE}/{kind}/01678793340962-cc4bfb86");
    Sample {
        body: format!(r#"{{"{member}":"{arn}"}}"#),
        needs: vec![(action, arn)],
        leading: None,
        attributes: &[],
    }
}

/// From a bucket into a table.
fn import() -> Sample {
    let bucket = "arn:aws:s3:::bucket";
    Sample {
        body: r#"{"TableCreationParameters":{"TableName":"Tab"},
            "S3BucketSource":{"S3Bucket":"bucket","S3KeyPrefix":"a/"}}"#
            .to_owned(),
        needs: vec![
            ("ImportTable", TABLE.to_owned()),
            ("s3:ListBucket", bucket.to_owned()),
            ("s3:GetObject", format!("{bucket}/a/")),
        ],
        leading: None,
        attributes: &[],
    }
}

/// From a bucket into a table that is there.
fn bulk_puts() -> Sample {
    let bucket = "arn:aws:s3:::bucket";
    Sample {
        body: r#"{"TableName":"Tab","InputS3Configuration":{"S3Bucket":"bucket","S3KeyPrefix":"a/"},
            "OutputS3Configuration":{"S3Bucket":"reports","S3KeyPrefix":"b/"}}"#
            .to_owned(),
        needs: vec![
            ("StartBulkPutItems", TABLE.to_owned()),
            ("s3:ListBucket", bucket.to_owned()),
            ("s3:GetObject", format!("{bucket}/a/")),
            ("s3:PutObject", "arn:aws:s3:::reports/b/AWSDynamoDB/".to_owned()),
        ],
        leading: None,
        attributes: &[],
    }
}

/// From a table into a bucket.
fn export() -> Sample {
    Sample {
        body: format!(r#"{{"TableArn":"{TABLE}","S3Bucket":"bucket","S3Prefix":"a"}}"#),
        needs: vec![
            ("ExportTableToPointInTime", TABLE.to_owned()),
            ("s3:PutObject", "arn:aws:s3:::bucket/a/AWSDynamoDB/".to_owned()),
        ],
        leading: None,
        attributes: &[],
    }
}

/// From what a table was into another one.
fn rewind() -> Sample {
    let action = "RestoreTableToPointInTime";
    let mut sample = restore();
    sample.body =
        r#"{"SourceTableName":"Tab","TargetTableName":"Restored","UseLatestRestorableTime":true}"#.to_owned();
    for (needed, _) in &mut sample.needs {
        if *needed == "RestoreTableFromBackup" {
            *needed = action;
        }
    }
    if let Some((_, resource)) = sample.needs.first_mut() {
        TABLE.clone_into(resource);
    }
    sample
}

impl Sample {
    /// The request of a target.
    pub(super) fn of(target: Target) -> Self {
        match target {
            Target::BatchExecuteStatement
            | Target::BatchGetItem
            | Target::BatchWriteItem
            | Target::DeleteItem
            | Target::ExecuteStatement
            | Target::ExecuteTransaction
            | Target::GetItem
            | Target::PutItem
            | Target::Query
            | Target::Scan
            | Target::TransactGetItems
            | Target::TransactWriteItems
            | Target::UpdateItem => Self::of_items(target),
            Target::CreateTable => {
                let mut sample = on_table(
                    "CreateTable",
                    r#","ResourcePolicy":"{}","Tags":[{"Key":"team","Value":"red"}]"#,
                );
                let more = ["PutResourcePolicy", "TagResource"];
                sample.needs.extend(more.map(|action| (action, TABLE.to_owned())));
                sample
            }
            Target::CreateBackup => on_table("CreateBackup", r#","BackupName":"nightly""#),
            Target::DeleteBackup => on_backup("DeleteBackup"),
            Target::DescribeBackup => on_backup("DescribeBackup"),
            Target::DescribeContinuousBackups => on_table("DescribeContinuousBackups", ""),
            Target::ListBackups => on_account("ListBackups"),
            Target::RestoreTableFromBackup => restore(),
            Target::RestoreTableToPointInTime => rewind(),
            Target::DeleteResourcePolicy => on_arn("DeleteResourcePolicy", ""),
            Target::DeleteTable => on_table("DeleteTable", ""),
            Target::DescribeEndpoints => on_account("DescribeEndpoints"),
            Target::DescribeLimits => on_account("DescribeLimits"),
            Target::DescribeStream => on_stream("DescribeStream", r#"{"StreamArn":"@"}"#),
            Target::DescribeTable => on_table("DescribeTable", ""),
            Target::DescribeTimeToLive => on_table("DescribeTimeToLive", ""),
            Target::DescribeExport => on_transfer("DescribeExport", "export", "ExportArn"),
            Target::DescribeImport => on_transfer("DescribeImport", "import", "ImportArn"),
            Target::CancelBulkOperation => {
                on_transfer("CancelBulkOperation", "bulk-operation", "BulkOperationArn")
            }
            Target::DescribeBulkOperation => {
                on_transfer("DescribeBulkOperation", "bulk-operation", "BulkOperationArn")
            }
            Target::ListBulkOperations => on_account("ListBulkOperations"),
            Target::StartBulkPutItems => bulk_puts(),
            Target::ExportTableToPointInTime => export(),
            Target::ImportTable => import(),
            Target::ListExports => on_account("ListExports"),
            Target::ListImports => on_account("ListImports"),
            Target::GetRecords => on_stream("GetRecords", r#"{"ShardIterator":"@|1|AAAA"}"#),
            Target::GetResourcePolicy => on_arn("GetResourcePolicy", ""),
            Target::GetShardIterator => on_stream("GetShardIterator", r#"{"StreamArn":"@"}"#),
            Target::ListStreams => on_account("ListStreams"),
            Target::ListTables => Self {
                needs: vec![("ListTables", TABLE.replace("Tab", "*"))],
                ..on_account("ListTables")
            },
            Target::ListTagsOfResource => on_arn("ListTagsOfResource", ""),
            Target::PutResourcePolicy => on_arn("PutResourcePolicy", r#","Policy":"{}""#),
            Target::TagResource => on_arn("TagResource", r#","Tags":[{"Key":"a","Value":"b"}]"#),
            Target::UntagResource => on_arn("UntagResource", r#","TagKeys":["a"]"#),
            Target::UpdateContinuousBackups => on_table(
                "UpdateContinuousBackups",
                r#","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}"#,
            ),
            Target::UpdateTable => on_table("UpdateTable", ""),
            Target::UpdateTimeToLive => on_table("UpdateTimeToLive", ""),
        }
    }

    fn of_items(target: Target) -> Self {
        match target {
            Target::BatchExecuteStatement => on_items(
                &["PartiQLSelect"],
                r#"{"Statements":[{"Statement":"SELECT a FROM Tab WHERE pk = 'k'"}]}"#,
            ),
            Target::BatchGetItem => on_items(
                &["BatchGetItem"],
                r#"{"RequestItems":{"Tab":{"Keys":[{"pk":{"S":"k"}}],"ProjectionExpression":"a"}}}"#,
            ),
            Target::BatchWriteItem => on_items(
                &["BatchWriteItem"],
                r#"{"RequestItems":{"Tab":[{"PutRequest":{"Item":{"pk":{"S":"k"},"a":{"N":"1"}}}}]}}"#,
            ),
            Target::DeleteItem => on_items(
                &["DeleteItem"],
                r#"{"TableName":"Tab","Key":{"pk":{"S":"k"}},"ConditionExpression":"attribute_exists(a)"}"#,
            ),
            Target::ExecuteStatement => on_index(
                "PartiQLSelect",
                r#"{"Statement":"SELECT a FROM \"Tab\".\"by_g\" WHERE g = 'k'"}"#,
            ),
            Target::ExecuteTransaction => on_items(
                &["PartiQLUpdate", "PartiQLDelete"],
                r#"{"TransactStatements":[{"Statement":"UPDATE Tab SET a = 1 WHERE pk = 'k'"},
                    {"Statement":"DELETE FROM Tab WHERE pk = ?","Parameters":[{"S":"k"}]}]}"#,
            ),
            Target::GetItem => on_items(
                &["GetItem"],
                r#"{"TableName":"Tab","Key":{"pk":{"S":"k"}},"ProjectionExpression":"a.b[0]"}"#,
            ),
            Target::PutItem => on_items(
                &["PutItem"],
                r#"{"TableName":"Tab","Item":{"pk":{"S":"k"},"a":{"N":"1"}}}"#,
            ),
            Target::Query => on_index(
                "Query",
                r##"{"TableName":"Tab","IndexName":"by_g","KeyConditionExpression":"#g = :k",
                    "ExpressionAttributeNames":{"#g":"g"},"ExpressionAttributeValues":{":k":{"S":"k"}},
                    "ProjectionExpression":"a"}"##,
            ),
            Target::Scan => Self {
                leading: None,
                ..on_items(
                    &["Scan"],
                    r#"{"TableName":"Tab","FilterExpression":"a = :a","ExpressionAttributeValues":{":a":{"N":"1"}}}"#,
                )
            },
            Target::TransactGetItems => on_items(
                &["GetItem"],
                r#"{"TransactItems":[{"Get":{"TableName":"Tab","Key":{"pk":{"S":"k"}},"ProjectionExpression":"a"}}]}"#,
            ),
            Target::TransactWriteItems => on_items(
                &["ConditionCheckItem", "PutItem", "UpdateItem", "DeleteItem"],
                r##"{"TransactItems":[
                    {"ConditionCheck":{"TableName":"Tab","Key":{"pk":{"S":"k"}},"ConditionExpression":"attribute_exists(a)"}},
                    {"Put":{"TableName":"Tab","Item":{"pk":{"S":"k"}}}},
                    {"Update":{"TableName":"Tab","Key":{"pk":{"S":"k"}},"UpdateExpression":"REMOVE #a",
                        "ExpressionAttributeNames":{"#a":"a"}}},
                    {"Delete":{"TableName":"Tab","Key":{"pk":{"S":"k"}}}}]}"##,
            ),
            _ => on_items(
                &["UpdateItem"],
                r#"{"TableName":"Tab","Key":{"pk":{"S":"k"}},"UpdateExpression":"SET a = :a",
                    "ExpressionAttributeValues":{":a":{"N":"1"}}}"#,
            ),
        }
    }
}
