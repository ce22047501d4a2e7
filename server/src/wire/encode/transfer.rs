//! Answers about exports and imports, and what exports write: lines of DynamoDB JSON, and manifests.

use stator_iam::iso_8601;
use stator_model::index::IndexKind;
use stator_model::item::ItemRef;

use super::Encode;
use super::json::Json;
use crate::arn::ACCOUNT;
use crate::catalog::{BillingMode, IndexDefinition, TableDefinition};
use crate::operation::describe_export::DescribeExportOutput;
use crate::operation::describe_import::DescribeImportOutput;
use crate::operation::export_table_to_point_in_time::{ExportDescription, ExportTableToPointInTimeOutput};
use crate::operation::import_table::{ImportDescription, ImportTableOutput};
use crate::operation::list_exports::ListExportsOutput;
use crate::operation::list_imports::ListImportsOutput;
use crate::transfer::format::ChangedItem;
use crate::transfer::record::{Compression, Failure, Format, Input, Period, Place, View};
use crate::transfer::{ExportRecord, Status};

/// The version of the manifests' form. Source: Amazon DynamoDB Developer Guide, "DynamoDB table export output format".
const MANIFEST_VERSION: &str = "2020-06-30";
/// The same of exports of changes.
const MANIFEST_VERSION_OF_CHANGES: &str = "2023-08-01";

/// A data file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub(crate) items: i64,
    /// The MD5 of its bytes, in base64.
    pub(crate) checksum: String,
    pub(crate) tag: String,
    /// Its key without the prefix of the request.
    pub(crate) key: String,
}

/// Adds the line of an item to an export.
pub(crate) fn line_of_item(item: ItemRef<'_>, out: &mut Vec<u8>) {
    let mut json = Json::default();
    json.object(|json| json.member("Item").item(item));
    out.extend_from_slice(&json.into_bytes());
    out.push(b'\n');
}

/// Adds the line of a change to an export.
pub(crate) fn line_of_change(change: &ChangedItem<'_>, out: &mut Vec<u8>) {
    let mut json = Json::default();
    json.object(|json| {
        json.member("Metadata").object(|json| {
            json.member("WriteTimestampMicros")
                .object(|json| json.member("N").text(&change.at_us.to_string()));
        });
        for (name, item) in change.parts() {
            json.member(name).item(item);
        }
    });
    out.extend_from_slice(&json.into_bytes());
    out.push(b'\n');
}

/// Adds the line of a data file to `manifest-files.json`.
pub(crate) fn manifest_line(file: &DataFile, out: &mut Vec<u8>) {
    let mut json = Json::default();
    json.object(|json| {
        json.member("itemCount").integer(file.items);
        json.member("md5Checksum").text(&file.checksum);
        json.member("etag").text(&file.tag);
        json.member("dataFileS3Key").text(&file.key);
    });
    out.extend_from_slice(&json.into_bytes());
    out.push(b'\n');
}

/// `manifest-summary.json` of an export that is complete.
pub(crate) fn manifest_summary(export: &ExportRecord, table_arn: &str) -> Vec<u8> {
    let mut json = Json::default();
    let time = |ms: i64| {
        let seconds = iso_8601(ms);
        format!("{}.{:03}Z", seconds.trim_end_matches('Z'), ms.rem_euclid(1000))
    };
    let target = &export.target;
    json.object(|json| {
        json.member("version").text(match export.period() {
            None => MANIFEST_VERSION,
            Some(_) => MANIFEST_VERSION_OF_CHANGES,
        });
        json.member("exportArn")
            .text(&crate::arn::export(table_arn, &export.id));
        json.member("startTime").text(&time(export.started_ms));
        json.member("endTime")
            .text(&time(export.ended_ms.unwrap_or_default()));
        json.member("tableArn").text(table_arn);
        json.member("tableId").text(&export.table_id);
        match export.period() {
            None => json.member("exportTime").text(&time(export.moment_ms)),
            Some(period) => {
                json.member("exportFromTime").text(&time(period.from_ms));
                json.member("exportToTime")
                    .text(&time(period.to_ms.unwrap_or_default()));
            }
        }
        json.member("s3Bucket").text(&target.bucket);
        for (name, text) in [
            ("s3Prefix", target.prefix.as_ref()),
            ("s3SseAlgorithm", export.sse_algorithm.as_ref()),
            ("s3SseKmsKeyId", export.sse_key.as_ref()),
        ] {
            match text {
                Some(text) => json.member(name).text(text),
                None => json.member(name).null(),
            }
        }
        // Whole keys, with the prefix: the form is that of files that DynamoDB has written.
        json.member("manifestFilesS3Key")
            .text(&export.key("manifest-files.json"));
        json.member("billedSizeBytes").integer(export.bytes);
        json.member("itemCount").integer(export.items);
        json.member("outputFormat").text(format_name(export.format()));
        if let Some(period) = export.period() {
            json.member("outputView").text(view_name(period.view()));
        }
        json.member("exportType").text(export_type(export));
    });
    json.into_bytes()
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::InProgress => "IN_PROGRESS",
        Status::Completed => "COMPLETED",
        Status::Cancelled => "CANCELLED",
        Status::Failed => "FAILED",
    }
}

fn export_type(export: &ExportRecord) -> &'static str {
    match export.period() {
        None => "FULL_EXPORT",
        Some(_) => "INCREMENTAL_EXPORT",
    }
}

fn view_name(view: View) -> &'static str {
    match view {
        View::NewImage => "NEW_IMAGE",
        View::NewAndOldImages => "NEW_AND_OLD_IMAGES",
    }
}

pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::DynamodbJson => "DYNAMODB_JSON",
        Format::Ion => "ION",
        Format::Csv => "CSV",
    }
}

pub(super) fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "NONE",
        Compression::Gzip => "GZIP",
        Compression::Zstd => "ZSTD",
    }
}

impl Encode for ImportTableOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.import_description(&self.import));
    }
}

impl Encode for DescribeImportOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.import_description(&self.import));
    }
}

impl Encode for ListImportsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("ImportSummaryList")
                .list(&self.imports, |json, import| {
                    json.object(|json| json.import_members(import));
                });
            if let Some(token) = &self.next_token {
                json.member("NextToken").text(token);
            }
        });
    }
}

impl Encode for ExportTableToPointInTimeOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.export_description(&self.export));
    }
}

impl Encode for DescribeExportOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.export_description(&self.export));
    }
}

impl Encode for ListExportsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("ExportSummaries")
                .list(&self.exports, |json, export| {
                    json.object(|json| {
                        json.member("ExportArn").text(&export.arn);
                        json.member("ExportStatus")
                            .text(status_name(export.record.status()));
                        json.member("ExportType").text(export_type(&export.record));
                    });
                });
            if let Some(token) = &self.next_token {
                json.member("NextToken").text(token);
            }
        });
    }
}

impl Json {
    pub(super) fn optional_text(&mut self, name: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.member(name).text(text);
        }
    }

    pub(super) fn failure(&mut self, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            self.member("FailureCode").text(&failure.code);
            self.member("FailureMessage").text(&failure.message);
        }
    }

    /// What descriptions and summaries of an import have in common.
    fn import_members(&mut self, import: &ImportDescription) {
        let record = &import.record;
        self.member("ImportArn").text(&import.arn);
        self.member("ImportStatus").text(status_name(record.status()));
        self.member("TableArn").text(&import.table_arn);
        self.bucket_source(&record.source);
        self.member("InputFormat")
            .text(format_name(record.input.format()));
        self.member("StartTime").time(record.started_ms);
        if let Some(ended_ms) = record.ended_ms {
            self.member("EndTime").time(ended_ms);
        }
    }

    /// Source of the owner that no request has named: as of the compression in [`Json::format_options`].
    fn bucket_source(&mut self, source: &Place) {
        self.member("S3BucketSource").object(|json| {
            json.member("S3BucketOwner")
                .text(source.owner.as_deref().unwrap_or(ACCOUNT));
            json.member("S3Bucket").text(&source.bucket);
            json.optional_text("S3KeyPrefix", source.prefix.as_ref());
        });
    }

    fn import_description(&mut self, import: &ImportDescription) {
        let record = &import.record;
        self.member("ImportTableDescription").object(|json| {
            json.import_members(import);
            json.member("TableId").text(&import.definition.id.to_string());
            json.optional_text("ClientToken", record.token.as_ref());
            json.format_options(&record.input);
            json.member("TableCreationParameters")
                .object(|json| json.creation_parameters(&import.definition));
            let progress = &record.progress;
            json.member("ErrorCount").integer(progress.errors);
            json.member("ProcessedSizeBytes").integer(progress.bytes);
            json.member("ProcessedItemCount").integer(progress.processed);
            json.member("ImportedItemCount").integer(progress.imported);
            json.failure(record.failure.as_ref());
        });
    }

    /// The compression is told also where no request has named it. Source: the service's answers in
    /// aws-controllers-k8s/dynamodb-controller, docs/api-quirks/import.md, DDB-IMPORT-003.
    fn format_options(&mut self, input: &Input) {
        if input.delimiter.is_some() || !input.headers.is_empty() {
            self.member("InputFormatOptions").object(|json| {
                json.member("Csv").object(|json| {
                    json.optional_text("Delimiter", input.delimiter.as_ref());
                    if !input.headers.is_empty() {
                        json.member("HeaderList")
                            .list(&input.headers, |json, header| json.text(header));
                    }
                });
            });
        }
        self.member("InputCompressionType")
            .text(compression_name(input.compression()));
    }

    fn creation_parameters(&mut self, table: &TableDefinition) {
        self.member("TableName").text(&table.name);
        self.member("AttributeDefinitions")
            .list(table.key_attributes(), |json, attribute| {
                json.object(|json| {
                    json.member("AttributeName").text(&attribute.name);
                    json.member("AttributeType").text(attribute.kind.descriptor());
                });
            });
        self.key_schema(&table.key_schema);
        self.billing_mode(table.billing_mode);
        let is_provisioned = table.billing_mode == BillingMode::Provisioned;
        if is_provisioned {
            self.member("ProvisionedThroughput")
                .object(|json| json.capacity_units(&table.throughput));
        }
        self.on_demand_limits(table.on_demand_limits);
        if table.account_key {
            self.member("SSESpecification")
                .object(|json| json.member("Enabled").boolean(true));
        }
        let of_kind = |index: &&IndexDefinition| index.kind == IndexKind::Global;
        let indexes: Vec<_> = table.indexes.iter().filter(of_kind).collect();
        if indexes.is_empty() {
            return;
        }
        self.member("GlobalSecondaryIndexes")
            .list(indexes, |json, index| {
                json.object(|json| {
                    json.member("IndexName").text(&index.name);
                    json.index_keys(index);
                    if is_provisioned {
                        json.member("ProvisionedThroughput")
                            .object(|json| json.capacity_units(&index.throughput));
                    }
                    json.on_demand_limits(index.on_demand_limits);
                });
            });
    }

    fn period(&mut self, period: &Period) {
        self.member("ExportFromTime").time(period.from_ms);
        if let Some(to_ms) = period.to_ms {
            self.member("ExportToTime").time(to_ms);
        }
        self.member("ExportViewType").text(view_name(period.view()));
    }

    fn export_description(&mut self, export: &ExportDescription) {
        let record = &export.record;
        let is_complete = record.status() == Status::Completed;
        self.member("ExportDescription").object(|json| {
            json.member("ExportArn").text(&export.arn);
            json.member("ExportStatus").text(status_name(record.status()));
            json.member("StartTime").time(record.started_ms);
            if let Some(ended_ms) = record.ended_ms {
                json.member("EndTime").time(ended_ms);
            }
            if is_complete {
                let manifest = record.key("manifest-summary.json");
                json.member("ExportManifest").text(&manifest);
            }
            json.member("TableArn").text(&export.table_arn);
            json.member("TableId").text(&record.table_id);
            if record.period().is_none() {
                json.member("ExportTime").time(record.moment_ms);
            }
            json.optional_text("ClientToken", record.token.as_ref());
            json.member("S3Bucket").text(&record.target.bucket);
            json.optional_text("S3BucketOwner", record.target.owner.as_ref());
            json.optional_text("S3Prefix", record.target.prefix.as_ref());
            // Source of what is told by itself, and of what is not told of a whole table: the service's answers in
            // aws-controllers-k8s/dynamodb-controller, docs/api-quirks/export.md, DDB-EXPORT-016 and DDB-EXPORT-017.
            json.member("S3SseAlgorithm")
                .text(record.sse_algorithm.as_deref().unwrap_or("AES256"));
            json.optional_text("S3SseKmsKeyId", record.sse_key.as_ref());
            json.failure(record.failure.as_ref());
            json.member("ExportFormat").text(format_name(record.format()));
            if is_complete {
                json.member("BilledSizeBytes").integer(record.bytes);
                json.member("ItemCount").integer(record.items);
            }
            if let Some(period) = record.period() {
                json.member("ExportType").text(export_type(record));
                json.member("IncrementalExportSpecification")
                    .object(|json| json.period(period));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::record::Past;

    #[test]
    fn manifests_are_those_of_the_developer_guide() {
        let export = ExportRecord {
            id: "01604474914028-2d8752fd".into(),
            table: "Tab".into(),
            table_id: "id".into(),
            started_ms: 1_604_474_914_028,
            ended_ms: Some(1_604_475_223_897),
            moment_ms: 1_604_474_914_005,
            items: 8,
            bytes: 90,
            target: Place {
                bucket: "b".into(),
                prefix: Some("2020".into()),
                owner: None,
            },
            ..ExportRecord::default()
        };
        let summary = String::from_utf8(manifest_summary(&export, "arn:t")).unwrap();
        assert_eq!(
            summary,
            concat!(
                r#"{"version":"2020-06-30","exportArn":"arn:t/export/01604474914028-2d8752fd","#,
                r#""startTime":"2020-11-04T07:28:34.028Z","endTime":"2020-11-04T07:33:43.897Z","tableArn":"arn:t","#,
                r#""tableId":"id","exportTime":"2020-11-04T07:28:34.005Z","s3Bucket":"b","s3Prefix":"2020","#,
                r#""s3SseAlgorithm":null,"s3SseKmsKeyId":null,"#,
                r#""manifestFilesS3Key":"2020/AWSDynamoDB/01604474914028-2d8752fd/manifest-files.json","#,
                r#""billedSizeBytes":90,"itemCount":8,"outputFormat":"DYNAMODB_JSON","exportType":"FULL_EXPORT"}"#,
            )
        );
        let period = Period {
            from_ms: 1_604_470_000_000,
            to_ms: Some(1_604_474_000_000),
            view: View::NewImage.into(),
        };
        let changes = ExportRecord {
            past: Some(Past {
                period: Some(period),
                ..Past::default()
            }),
            ..export
        };
        let of_changes = String::from_utf8(manifest_summary(&changes, "arn:t")).unwrap();
        let wanted = summary
            .replace("2020-06-30", "2023-08-01")
            .replace(
                r#""exportTime":"2020-11-04T07:28:34.005Z""#,
                r#""exportFromTime":"2020-11-04T06:06:40.000Z","exportToTime":"2020-11-04T07:13:20.000Z""#,
            )
            .replace(
                r#""exportType":"FULL_EXPORT""#,
                r#""outputView":"NEW_IMAGE","exportType":"INCREMENTAL_EXPORT""#,
            );
        assert_eq!(of_changes, wanted);
        let mut line = Vec::new();
        manifest_line(
            &DataFile {
                items: 8,
                checksum: "c==".into(),
                tag: "e".into(),
                key: "k".into(),
            },
            &mut line,
        );
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"itemCount\":8,\"md5Checksum\":\"c==\",\"etag\":\"e\",\"dataFileS3Key\":\"k\"}\n"
        );
    }
}
