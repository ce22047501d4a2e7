//! Answers about bulk operations, and what is written into their reports.
//!
//! The form of a report is ours: what is in it follows from the service model of DynamoDB, OutputS3Configuration$OutputType.

use stator_iam::iso_8601;
use stator_model::item::ItemRef;

use super::Encode;
use super::json::Json;
use super::transfer::{compression_name, format_name};
use crate::operation::cancel_bulk_operation::CancelBulkOperationOutput;
use crate::operation::describe_bulk_operation::DescribeBulkOperationOutput;
use crate::operation::list_bulk_operations::ListBulkOperationsOutput;
use crate::operation::start_bulk_put_items::{BulkDescription, StartBulkPutItemsOutput};
use crate::transfer::BulkRecord;
use crate::transfer::record::bulk::BulkStatus;

/// Bytes that a write unit stands for.
const UNIT_BYTES: i64 = 1024;

/// Where a record is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'a> {
    /// The key of its object.
    pub(crate) object: &'a str,
    /// Its place among the records of the object; the first one is 0.
    pub(crate) number: u64,
}

impl Spot<'_> {
    fn write(self, json: &mut Json) {
        json.member("S3Key").text(self.object);
        json.member("RecordNumber").integer(self.number);
    }
}

/// Adds the line of a record that is no item of the table.
pub(crate) fn error_line(spot: Spot<'_>, sentence: &str, item: Option<ItemRef<'_>>, out: &mut Vec<u8>) {
    let mut json = Json::default();
    json.object(|json| {
        spot.write(json);
        json.member("ErrorMessage").text(sentence);
        if let Some(item) = item {
            json.member("Item").item(item);
        }
    });
    out.extend_from_slice(&json.into_bytes());
    out.push(b'\n');
}

/// Adds the line of an item whose condition was false for the one that is there.
pub(crate) fn condition_line(
    spot: Spot<'_>,
    item: ItemRef<'_>,
    there: Option<ItemRef<'_>>,
    out: &mut Vec<u8>,
) {
    let mut json = Json::default();
    json.object(|json| {
        spot.write(json);
        json.member("Item").item(item);
        if let Some(there) = there {
            json.member("ExistingItem").item(there);
        }
    });
    out.extend_from_slice(&json.into_bytes());
    out.push(b'\n');
}

/// `manifest-summary.json` of an operation that is over.
pub(crate) fn summary(record: &BulkRecord, table_arn: &str) -> Vec<u8> {
    let mut json = Json::default();
    let progress = &record.progress;
    json.object(|json| {
        json.member("bulkOperationArn")
            .text(&crate::arn::bulk_operation(table_arn, &record.id));
        json.member("status").text(status_name(record.status()));
        json.member("startTime").text(&iso_8601(record.started_ms));
        json.member("endTime")
            .text(&iso_8601(record.ended_ms.unwrap_or_default()));
        json.member("tableArn").text(table_arn);
        json.member("tableId").text(&record.table_id);
        json.member("processedItemCount").integer(progress.processed);
        json.member("writtenItemCount").integer(progress.imported);
        json.member("failedItemCount").integer(progress.errors);
        json.member("conditionCheckFailureCount")
            .integer(record.conditions_failed);
        json.member("reportParts").integer(record.parts);
    });
    json.into_bytes()
}

fn status_name(status: BulkStatus) -> &'static str {
    match status {
        BulkStatus::InProgress => "IN_PROGRESS",
        BulkStatus::Completed => "COMPLETED",
        BulkStatus::CompletedWithErrors => "COMPLETED_WITH_ERRORS",
        BulkStatus::Cancelling => "CANCELLING",
        BulkStatus::Cancelled => "CANCELLED",
        BulkStatus::Failed => "FAILED",
    }
}

impl Encode for StartBulkPutItemsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.bulk_description(&self.operation));
    }
}

impl Encode for DescribeBulkOperationOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.bulk_description(&self.operation));
    }
}

impl Encode for CancelBulkOperationOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("BulkOperationArn").text(&self.arn);
            json.member("BulkOperationStatus").text(status_name(self.status));
        });
    }
}

impl Encode for ListBulkOperationsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("BulkOperationsSummaryList")
                .list(&self.operations, |json, operation| {
                    json.object(|json| json.bulk_members(operation));
                });
            if let Some(token) = &self.next_token {
                json.member("NextToken").text(token);
            }
        });
    }
}

impl Json {
    /// What descriptions and summaries have in common.
    fn bulk_members(&mut self, operation: &BulkDescription) {
        let record = &operation.record;
        self.member("BulkOperationArn").text(&operation.arn);
        self.member("BulkOperationStatus")
            .text(status_name(record.status()));
        self.member("StartTime").time(record.started_ms);
        if let Some(ended_ms) = record.ended_ms {
            self.member("EndTime").time(ended_ms);
        }
    }

    fn bulk_description(&mut self, operation: &BulkDescription) {
        let record = &operation.record;
        self.member("BulkOperationDescription").object(|json| {
            json.bulk_members(operation);
            json.member("TableDetails").list([operation], |json, operation| {
                json.object(|json| {
                    json.member("TableName").text(&operation.table_arn);
                    json.member("TableId").text(&operation.record.table_id);
                });
            });
            json.optional_text("ClientToken", record.token.as_ref());
            json.bulk_input(record);
            json.bulk_output(record);
            json.member("ProcessedItemCount")
                .integer(record.progress.processed);
            json.member("ProcessedInputBytes").integer(record.bytes_read());
            if let Some(bytes) = record.bytes_of_all {
                json.member("TotalInputBytes").integer(bytes);
            }
            json.bulk_usage(operation);
            json.member("FailedItemCount").integer(record.progress.errors);
            json.failure(record.failure.as_ref());
            if let Some(units) = record.units_per_second {
                json.member("MaxWriteRequestUnits").integer(units);
            }
            let tier = if record.is_accelerated {
                "ACCELERATED"
            } else {
                "STANDARD"
            };
            json.member("PerformanceTier").text(tier);
        });
    }

    fn bulk_input(&mut self, record: &BulkRecord) {
        self.member("InputS3Configuration").object(|json| {
            json.optional_text("S3BucketOwner", record.source.owner.as_ref());
            json.member("S3Bucket").text(&record.source.bucket);
            json.optional_text("S3KeyPrefix", record.source.prefix.as_ref());
            json.member("InputFormat")
                .text(format_name(record.input.format()));
            let compression = record.input.compression();
            json.member("InputCompressionType")
                .text(compression_name(compression));
        });
    }

    fn bulk_output(&mut self, record: &BulkRecord) {
        let report = &record.report;
        self.member("OutputS3Configuration").object(|json| {
            json.optional_text("S3BucketOwner", report.target.owner.as_ref());
            json.member("S3Bucket").text(&report.target.bucket);
            json.optional_text("S3KeyPrefix", report.target.prefix.as_ref());
            json.optional_text("S3SseAlgorithm", report.sse_algorithm.as_ref());
            json.optional_text("S3SseKmsKeyId", report.sse_key.as_ref());
            let types = [
                (report.errors, "ERROR"),
                (report.conditions, "CONDITION_CHECK_FAILURE"),
            ];
            let types = types.into_iter().filter(|(is_wanted, _)| *is_wanted);
            json.member("OutputType")
                .list(types, |json, (_, name)| json.text(name));
        });
    }

    fn bulk_usage(&mut self, operation: &BulkDescription) {
        let record = &operation.record;
        let bytes = |units: i64| units.saturating_mul(UNIT_BYTES);
        let of_indexes = record.indexes.iter().map(|index| index.units).sum::<i64>();
        let all = bytes(record.units.saturating_add(of_indexes));
        self.member("BulkOperationUsage").list([()], |json, ()| {
            json.object(|json| {
                json.member("TableName").text(&operation.table_arn);
                json.member("BulkPutBytes").integer(all);
                json.member("Table")
                    .object(|json| json.member("BulkPutBytes").integer(bytes(record.units)));
                for (name, is_local) in [("LocalSecondaryIndexes", true), ("GlobalSecondaryIndexes", false)] {
                    let mut of_kind = record.indexes.iter().filter(|index| index.is_local == is_local);
                    let Some(first) = of_kind.next() else { continue };
                    json.member(name).object(|json| {
                        for index in std::iter::once(first).chain(of_kind) {
                            json.member(&index.name)
                                .object(|json| json.member("BulkPutBytes").integer(bytes(index.units)));
                        }
                    });
                }
            });
        });
    }
}
