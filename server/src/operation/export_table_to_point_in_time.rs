//! ExportTableToPointInTime. The table is exported after this is answered, as it is at a moment behind the request
//! (`transfer/porter/export.rs`).
//!
//! Source: service model of DynamoDB, ExportTableToPointInTime.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::transfer_page::{check_bucket, check_token};
use super::{Context, Operation, table_name};
use crate::arn;
use crate::catalog::TableDefinition;
use crate::constraint::{Constraints, ModelEnum};
use crate::message::table::Unsupported;
use crate::message::{self, backup, transfer};
use crate::transfer::record::{Format, Place};
use crate::transfer::{Claim, Claimant, ExportRecord, Status, new_id};
use crate::wire::error::ApiError;

/// So many exports are under way at a time. Source: Amazon DynamoDB Developer Guide, "Quotas: table export to Amazon S3".
const EXPORTS_MAX: usize = 300;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExportTableToPointInTime {
    pub(crate) table_arn: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub(crate) export_time_ms: Option<i64>,
    pub(crate) client_token: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) bucket_owner: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) sse_algorithm: Option<String>,
    pub(crate) sse_key: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) export_type: Option<String>,
    /// Whether there is an `IncrementalExportSpecification`.
    pub(crate) is_incremental: bool,
    /// Whether there is a `FilterSpecification`.
    pub(crate) is_filtered: bool,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ExportTableToPointInTimeOutput {
    pub(crate) export: ExportDescription,
}

/// An export as the API describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExportDescription {
    pub(crate) record: ExportRecord,
    pub(crate) arn: String,
    pub(crate) table_arn: String,
}

impl ExportDescription {
    pub(super) fn new(context: &Context, record: ExportRecord) -> Self {
        let table_arn = arn::table(&context.region, &record.table);
        Self {
            arn: arn::export(&table_arn, &record.id),
            table_arn,
            record,
        }
    }
}

/// `S3SseAlgorithm`. It is told and nothing else: how a bucket is encrypted is its own matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SseAlgorithm {
    Aes256,
    Kms,
}

impl ModelEnum for SseAlgorithm {
    const NAMES: &'static [&'static str] = &["AES256", "KMS"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "AES256" => Some(Self::Aes256),
            "KMS" => Some(Self::Kms),
            _ => None,
        }
    }
}

/// `ExportType`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExportType {
    Full,
    Incremental,
}

impl ModelEnum for ExportType {
    const NAMES: &'static [&'static str] = &["FULL_EXPORT", "INCREMENTAL_EXPORT"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "FULL_EXPORT" => Some(Self::Full),
            "INCREMENTAL_EXPORT" => Some(Self::Incremental),
            _ => None,
        }
    }
}

/// Refuses a table that cannot be exported in its present state: the one place that says which can. DynamoDB wants
/// point-in-time recovery to be on, too; here the moment that is exported needs none.
fn check_exportable(definition: &TableDefinition) -> Result<(), ApiError> {
    if definition.is_being_filled() {
        return Err(backup::table_in_use(&definition.name));
    }
    Ok(())
}

impl Operation for ExportTableToPointInTime {
    type Output = ExportTableToPointInTimeOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let (name, mut record) = self.validate()?;
        let transfers = context.transfers()?;
        let table = context.catalog.latest(&name).await;
        let table = table.map_err(message::table::catalog)?;
        let table = table.ok_or_else(|| backup::no_table(&name))?;
        check_exportable(table.definition())?;
        let now_ms = context.clock.now_ms();
        record.table_id = table.definition().id.to_string();
        record.fingerprint = fingerprint(&record);
        (record.started_ms, record.moment_ms) = (now_ms, now_ms);
        record.id = new_id(now_ms, context.random).map_err(|error| ApiError::Internal(error.to_string()))?;
        let describe = |record| ExportTableToPointInTimeOutput {
            export: ExportDescription::new(context, record),
        };
        if let Some(token) = &record.token {
            let claimant = Claimant {
                token,
                fingerprint: &record.fingerprint,
                table: &name,
                id: &record.id,
                now_ms,
            };
            match transfers.claim(claimant).await.map_err(transfer::failed)? {
                Claim::Begin(claimed) => record.id = claimed,
                Claim::Known(record) => return Ok(describe(record)),
                Claim::Other => return Err(transfer::export_conflict()),
            }
        }
        let all = transfers.all::<ExportRecord>().await.map_err(transfer::failed)?;
        let under_way = all.iter().filter(|record| record.status() == Status::InProgress);
        if under_way.count() >= EXPORTS_MAX {
            return Err(transfer::too_many("exports", EXPORTS_MAX));
        }
        transfers.put(None, &record).await.map_err(transfer::failed)?;
        Ok(describe(record))
    }
}

impl ExportTableToPointInTime {
    /// The name of the table, and what is known of the export.
    fn validate(self) -> Result<(String, ExportRecord), ApiError> {
        let mut constraints = Constraints::default();
        table_name::check_at(&mut constraints, "tableArn", self.table_arn.as_ref());
        check_token(&mut constraints, self.client_token.as_ref());
        check_bucket(
            &mut constraints,
            ("s3Bucket", self.bucket.as_ref()),
            ("s3BucketOwner", self.bucket_owner.as_ref()),
            ("s3Prefix", self.prefix.as_ref()),
        );
        let _: Option<SseAlgorithm> = constraints.one_of("s3SseAlgorithm", self.sse_algorithm.as_deref());
        if let Some(key) = &self.sse_key {
            constraints.length("s3SseKmsKeyId", key, key.chars().count(), 1, 2048);
        }
        let format: Option<ExportFormat> = constraints.one_of("exportFormat", self.format.as_deref());
        let export_type: Option<ExportType> = constraints.one_of("exportType", self.export_type.as_deref());
        constraints.finish()?;
        let name = table_name::resolve(self.table_arn.as_deref().unwrap_or_default())?.to_owned();
        if self.is_incremental {
            return Err(Unsupported::History("IncrementalExportSpecification").refusal());
        }
        if self.is_filtered {
            return Err(Unsupported::ExportFilters("FilterSpecification").refusal());
        }
        if export_type == Some(ExportType::Incremental) {
            return Err(ApiError::validation(transfer::INCREMENTAL));
        }
        if self.export_time_ms.is_some() {
            return Err(Unsupported::History("ExportTime").refusal());
        }
        let record = ExportRecord {
            status: Status::InProgress.into(),
            table: name.clone(),
            target: Place {
                bucket: self.bucket.unwrap_or_default(),
                prefix: self.prefix,
                owner: self.bucket_owner,
            },
            format: format.map_or(Format::DynamodbJson, |format| format.0).into(),
            sse_algorithm: self.sse_algorithm,
            sse_key: self.sse_key,
            token: self.client_token,
            ..ExportRecord::default()
        };
        Ok((name, record))
    }
}

/// `ExportFormat`
struct ExportFormat(Format);

impl ModelEnum for ExportFormat {
    const NAMES: &'static [&'static str] = &["DYNAMODB_JSON", "ION"];

    fn from_name(name: &str) -> Option<Self> {
        Format::from_name(name)
            .filter(|format| *format != Format::Csv)
            .map(Self)
    }
}

/// What tells the request from others: the same whenever the same is asked for.
fn fingerprint(record: &ExportRecord) -> Bytes {
    use prost::Message as _;
    Bytes::copy_from_slice(&Sha256::digest(record.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ExportTableToPointInTime {
        ExportTableToPointInTime {
            table_arn: Some("arn:aws:dynamodb:us-east-1:000000000000:table/Tab".into()),
            bucket: Some("bucket".into()),
            ..ExportTableToPointInTime::default()
        }
    }

    #[test]
    fn what_is_exported_is_json_of_now_unless_the_request_says_otherwise() {
        let (name, record) = request().validate().unwrap();
        assert_eq!((name.as_str(), record.format()), ("Tab", Format::DynamodbJson));
        let refusal = |change: fn(&mut ExportTableToPointInTime)| {
            let mut request = request();
            change(&mut request);
            request.validate().unwrap_err().to_string()
        };
        assert!(refusal(|request| request.export_time_ms = Some(1)).contains("ExportTime"));
        assert!(refusal(|request| request.is_incremental = true).contains("IncrementalExportSpecification"));
        assert!(refusal(|request| request.is_filtered = true).contains("FilterSpecification"));
        let of_type = refusal(|request| request.export_type = Some("INCREMENTAL_EXPORT".into()));
        assert!(of_type.contains("use FULL_EXPORT"), "{of_type}");
        let csv = refusal(|request| request.format = Some("CSV".into()));
        assert!(csv.contains("enum value set: [DYNAMODB_JSON, ION]"), "{csv}");
        let no_table = refusal(|request| request.table_arn = None);
        assert!(no_table.contains("'tableArn'"), "{no_table}");
    }
}
