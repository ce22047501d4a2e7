//! StartBulkPutItems. The items are put after this is answered (`transfer/porter/bulk.rs`).
//!
//! Source: service model of DynamoDB, StartBulkPutItems; Amazon DynamoDB Developer Guide, "Bulk put items considerations: table
//! state requirements".

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::export_table_to_point_in_time::{ExportFormat, SseAlgorithm};
use super::transfer_page::{check_bucket, check_token};
use super::{Context, Operation, table_name};
use crate::arn;
use crate::catalog::{IndexStatus, TableDefinition};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::{self, transfer};
use crate::transfer::record::bulk::{BulkRecord, Report};
use crate::transfer::record::{Compression, Format, Input, Place};
use crate::transfer::{Claim, Claimant, Record as _, Transfers, new_id};
use crate::wire::error::ApiError;

/// So many bulk operations are under way at a time, as many as imports.
const OPERATIONS_MAX: usize = 50;
/// The lowest rate that may be asked for. Source: service model of DynamoDB, shape BulkOperationMaxWriteRequestUnits.
const UNITS_MIN: i64 = 1024;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartBulkPutItems {
    pub(crate) client_token: Option<String>,
    pub(crate) input: Option<BulkInput>,
    pub(crate) output: Option<BulkOutput>,
    pub(crate) table_name: Option<String>,
    pub(crate) units_per_second: Option<i64>,
    pub(crate) tier: Option<String>,
}

/// `InputS3Configuration`
#[derive(Debug, Clone, Default)]
pub(crate) struct BulkInput {
    pub(crate) owner: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) compression: Option<String>,
}

/// `OutputS3Configuration`
#[derive(Debug, Clone, Default)]
pub(crate) struct BulkOutput {
    pub(crate) owner: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) sse_algorithm: Option<String>,
    pub(crate) sse_key: Option<String>,
    pub(crate) types: Option<Vec<String>>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct StartBulkPutItemsOutput {
    pub(crate) operation: BulkDescription,
}

/// A bulk operation as the API describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BulkDescription {
    pub(crate) record: BulkRecord,
    pub(crate) arn: String,
    pub(crate) table_arn: String,
}

impl BulkDescription {
    pub(super) fn new(context: &Context, record: BulkRecord) -> Self {
        let table_arn = arn::table(&context.region, &record.table);
        Self {
            arn: arn::bulk_operation(&table_arn, &record.id),
            table_arn,
            record,
        }
    }
}

/// `OutputType`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputType {
    Error,
    ConditionCheckFailure,
}

impl ModelEnum for OutputType {
    const NAMES: &'static [&'static str] = &["ERROR", "CONDITION_CHECK_FAILURE"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "ERROR" => Some(Self::Error),
            "CONDITION_CHECK_FAILURE" => Some(Self::ConditionCheckFailure),
            _ => None,
        }
    }
}

/// `PerformanceTier`. It is told and nothing else: all operations are as fast as they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Standard,
    Accelerated,
}

impl ModelEnum for Tier {
    const NAMES: &'static [&'static str] = &["STANDARD", "ACCELERATED"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "STANDARD" => Some(Self::Standard),
            "ACCELERATED" => Some(Self::Accelerated),
            _ => None,
        }
    }
}

impl Operation for StartBulkPutItems {
    type Output = StartBulkPutItemsOutput;

    fn table(&self) -> Option<&str> {
        table_name::given(self.table_name.as_ref())
    }

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut record = self.validate()?;
        let transfers = context.transfers()?;
        let now_ms = context.clock.now_ms();
        record.fingerprint = fingerprint(&record);
        record.started_ms = now_ms;
        record.id = new_id(now_ms, context.random).map_err(|error| ApiError::Internal(error.to_string()))?;
        let describe = |record| StartBulkPutItemsOutput {
            operation: BulkDescription::new(context, record),
        };
        if let Some(token) = &record.token {
            let claimant = Claimant {
                token,
                fingerprint: &record.fingerprint,
                table: &record.table,
                id: &record.id,
                now_ms,
            };
            match transfers.claim(claimant).await.map_err(transfer::failed)? {
                Claim::Begin(claimed) => record.id = claimed,
                Claim::Known(record) => return Ok(describe(record)),
                Claim::Other => return Err(ApiError::IdempotentParameterMismatch),
            }
        }
        let table = context.catalog.latest(&record.table).await;
        let table = table.map_err(message::table::catalog)?;
        let table = table.ok_or_else(message::no_table)?;
        check_table(table.definition())?;
        record.table_id = table.definition().id.to_string();
        check_limit(transfers).await?;
        transfers.put(None, &record).await.map_err(transfer::failed)?;
        Ok(describe(record))
    }
}

/// Refuses a table that takes no bulk puts in its present state: the one place that says which does.
fn check_table(definition: &TableDefinition) -> Result<(), ApiError> {
    let is_made = |status| matches!(status, IndexStatus::Creating | IndexStatus::Backfilling);
    let mut indexes = definition.indexes.iter();
    if !definition.has_items() || indexes.any(|index| is_made(index.status)) {
        return Err(transfer::no_bulk_puts(&definition.name));
    }
    Ok(())
}

async fn check_limit(transfers: &Transfers) -> Result<(), ApiError> {
    let all = transfers.all::<BulkRecord>().await.map_err(transfer::failed)?;
    let under_way = all.iter().filter(|record| record.ended_ms.is_none());
    if under_way.count() >= OPERATIONS_MAX {
        return Err(transfer::too_many("bulk operations", OPERATIONS_MAX));
    }
    Ok(())
}

impl StartBulkPutItems {
    /// What is known of the operation.
    fn validate(self) -> Result<BulkRecord, ApiError> {
        let mut constraints = Constraints::default();
        check_token(&mut constraints, self.client_token.as_ref());
        constraints.required("inputS3Configuration", self.input.as_ref());
        let input = self.input.as_ref().map(|input| input.check(&mut constraints));
        constraints.required("outputS3Configuration", self.output.as_ref());
        let types = self.output.as_ref().map(|output| output.check(&mut constraints));
        table_name::check(&mut constraints, self.table_name.as_ref());
        constraints.at_least("maxWriteRequestUnits", self.units_per_second, UNITS_MIN);
        let tier: Option<Tier> = constraints.one_of("performanceTier", self.tier.as_deref());
        constraints.finish()?;
        let types = types.unwrap_or_default();
        if types.is_empty() {
            return Err(ApiError::validation(transfer::NO_OUTPUT_TYPE));
        }
        let (source, output) = (self.input.unwrap_or_default(), self.output.unwrap_or_default());
        if output.sse_key.is_some() && output.sse_algorithm.as_deref() != Some("KMS") {
            return Err(ApiError::validation(transfer::KEY_WITHOUT_KMS));
        }
        let name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?;
        let place = |bucket: Option<String>, prefix, owner| Place {
            bucket: bucket.unwrap_or_default(),
            prefix,
            owner,
        };
        Ok(BulkRecord {
            table: name.to_owned(),
            source: place(source.bucket, source.prefix, source.owner),
            input: input.unwrap_or_default(),
            report: Report {
                target: place(output.bucket, output.prefix, output.owner),
                sse_algorithm: output.sse_algorithm,
                sse_key: output.sse_key,
                errors: types.contains(&OutputType::Error),
                conditions: types.contains(&OutputType::ConditionCheckFailure),
            },
            units_per_second: self.units_per_second,
            is_accelerated: tier == Some(Tier::Accelerated),
            token: self.client_token,
            ..BulkRecord::default()
        })
    }
}

impl BulkInput {
    fn check(&self, constraints: &mut Constraints) -> Input {
        check_bucket(
            constraints,
            ("inputS3Configuration.s3Bucket", self.bucket.as_ref()),
            ("inputS3Configuration.s3BucketOwner", self.owner.as_ref()),
            ("inputS3Configuration.s3KeyPrefix", self.prefix.as_ref()),
        );
        let member = "inputS3Configuration.inputFormat";
        constraints.required(member, self.format.as_ref());
        let format: Option<ExportFormat> = constraints.one_of(member, self.format.as_deref());
        let member = "inputS3Configuration.inputCompressionType";
        let compression: Option<Compression> = constraints.one_of(member, self.compression.as_deref());
        Input {
            format: format.map_or(Format::DynamodbJson, |format| format.0).into(),
            compression: compression.unwrap_or(Compression::None).into(),
            names_compression: compression.is_some(),
            ..Input::default()
        }
    }
}

impl BulkOutput {
    /// What is to be told.
    fn check(&self, constraints: &mut Constraints) -> Vec<OutputType> {
        check_bucket(
            constraints,
            ("outputS3Configuration.s3Bucket", self.bucket.as_ref()),
            ("outputS3Configuration.s3BucketOwner", self.owner.as_ref()),
            ("outputS3Configuration.s3KeyPrefix", self.prefix.as_ref()),
        );
        let member = "outputS3Configuration.s3SseAlgorithm";
        let _: Option<SseAlgorithm> = constraints.one_of(member, self.sse_algorithm.as_deref());
        if let Some(key) = &self.sse_key {
            let member = "outputS3Configuration.s3SseKmsKeyId";
            constraints.length(member, key, key.chars().count(), 1, 2048);
        }
        constraints.required("outputS3Configuration.outputType", self.types.as_ref());
        let named = self.types.iter().flatten().enumerate();
        let types = named.filter_map(|(place, name)| {
            let member = format!("outputS3Configuration.outputType.{}.member", place + 1);
            constraints.one_of(&member, Some(name))
        });
        types.collect()
    }
}

/// What tells the request from others: the same whenever the same is asked for.
fn fingerprint(record: &BulkRecord) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(record.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Import;
    use crate::operation::create_table::tests::definition;

    fn request() -> StartBulkPutItems {
        let bucket = Some("bucket".to_owned());
        StartBulkPutItems {
            input: Some(BulkInput {
                bucket: bucket.clone(),
                format: Some("ION".into()),
                ..BulkInput::default()
            }),
            output: Some(BulkOutput {
                bucket,
                types: Some(vec!["ERROR".into()]),
                ..BulkOutput::default()
            }),
            table_name: Some("Tab".into()),
            units_per_second: Some(1024),
            ..StartBulkPutItems::default()
        }
    }

    #[test]
    fn what_breaks_the_model_is_told_together() {
        let record = request().validate().unwrap();
        assert_eq!(record.input.format(), Format::Ion);
        assert!(record.report.errors && !record.report.conditions);
        let wrong = StartBulkPutItems {
            input: Some(BulkInput {
                format: Some("CSV".into()),
                ..BulkInput::default()
            }),
            output: Some(BulkOutput {
                bucket: Some("bucket".into()),
                types: Some(vec!["ERROR".into(), "ALL".into()]),
                ..BulkOutput::default()
            }),
            table_name: None,
            units_per_second: Some(1023),
            tier: Some("FAST".into()),
            client_token: Some("$".into()),
        };
        let text = wrong.validate().unwrap_err().to_string();
        for part in [
            "7 validation errors detected",
            "'clientToken'",
            "Value null at 'inputS3Configuration.s3Bucket'",
            "enum value set: [DYNAMODB_JSON, ION]",
            "'outputS3Configuration.outputType.2.member'",
            "Value null at 'tableName'",
            "greater than or equal to 1024",
            "enum value set: [STANDARD, ACCELERATED]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn an_operation_tells_something_and_has_no_key_that_nobody_uses() {
        let refused = |change: fn(&mut BulkOutput)| {
            let mut request = request();
            change(request.output.as_mut().unwrap());
            request.validate().map(drop).unwrap_err()
        };
        let none = refused(|output| output.types = Some(Vec::new()));
        assert_eq!(none, ApiError::validation(transfer::NO_OUTPUT_TYPE));
        let key = refused(|output| output.sse_key = Some("k".into()));
        assert_eq!(key, ApiError::validation(transfer::KEY_WITHOUT_KMS));
    }

    #[test]
    fn a_table_whose_items_are_on_their_way_waits() {
        let mut definition = definition();
        assert_eq!(check_table(&definition), Ok(()));
        definition.import = Some(Import {
            id: "1-a".into(),
            record: Bytes::new(),
            is_sealed: false,
        });
        let refused = check_table(&definition).unwrap_err();
        assert_eq!(refused.code(), "ResourceInUseException");
    }
}
