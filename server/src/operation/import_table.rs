//! ImportTable. The table is there when this is answered, and can be used when its items are (`transfer/porter/import.rs`).
//!
//! Source: service model of DynamoDB, ImportTable.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::create_table::CreateTable;
use super::transfer_page::{check_bucket, check_token};
use super::{Context, Operation, account_limits};
use crate::arn;
use crate::catalog::{CatalogError, Import, TableDefinition};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::{table, transfer};
use crate::transfer::record::{Compression, Format, Input, Place, Progress};
use crate::transfer::{Claim, Claimant, ImportRecord, Record, Status, Transfers, new_id};
use crate::wire::error::ApiError;

/// So many imports are under way at a time. Source: Amazon DynamoDB Developer Guide, "Import format quotas and validation".
const IMPORTS_MAX: usize = 50;
/// Most names in a header, and the longest one. Source: service model of DynamoDB, shapes CsvHeaderList and CsvHeader.
const HEADERS_MAX: usize = 255;
const HEADER_LENGTH_MAX: usize = 65_536;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImportTable {
    pub(crate) client_token: Option<String>,
    pub(crate) source: Option<BucketSource>,
    pub(crate) input_format: Option<String>,
    pub(crate) csv: Option<CsvRequest>,
    pub(crate) compression: Option<String>,
    /// `TableCreationParameters`, which are some members of a CreateTable.
    pub(crate) table: Option<CreateTable>,
}

/// `S3BucketSource`
#[derive(Debug, Clone, Default)]
pub(crate) struct BucketSource {
    pub(crate) owner: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) prefix: Option<String>,
}

/// `InputFormatOptions.Csv`
#[derive(Debug, Clone, Default)]
pub(crate) struct CsvRequest {
    pub(crate) delimiter: Option<String>,
    pub(crate) headers: Option<Vec<String>>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ImportTableOutput {
    pub(crate) import: ImportDescription,
}

/// An import as the API describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImportDescription {
    pub(crate) record: ImportRecord,
    pub(crate) definition: TableDefinition,
    pub(crate) arn: String,
    pub(crate) table_arn: String,
}

impl ImportDescription {
    /// # Errors
    /// InternalServerError when the definition of its table cannot be read.
    pub(super) fn new(context: &Context, record: ImportRecord) -> Result<Self, ApiError> {
        let table_arn = arn::table(&context.region, &record.table);
        let definition = record.definition().map_err(ApiError::Internal)?;
        Ok(Self {
            arn: arn::import(&table_arn, &record.id),
            table_arn,
            definition,
            record,
        })
    }
}

impl ModelEnum for Compression {
    const NAMES: &'static [&'static str] = &["ZSTD", "NONE", "GZIP"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "GZIP" => Self::Gzip,
            "ZSTD" => Self::Zstd,
            "NONE" => Self::None,
            _ => return None,
        })
    }
}

/// A request that is valid as far as that can be told without its table.
struct Valid {
    input: Input,
    source: Place,
    table: CreateTable,
}

impl Operation for ImportTable {
    type Output = ImportTableOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let token = self.client_token.clone();
        let valid = self.validate()?;
        let now_ms = context.clock.now_ms();
        let definition = valid
            .table
            .clone()
            .into_definition(&mut || context.new_id(), now_ms)?;
        let transfers = context.transfers()?;
        let fingerprint = valid.fingerprint()?;
        let mut id = new_id(now_ms, context.random).map_err(|error| ApiError::Internal(error.to_string()))?;
        if let Some(token) = &token {
            let claimant = Claimant {
                token,
                fingerprint: &fingerprint,
                table: &definition.name,
                id: &id,
                now_ms,
            };
            match transfers.claim(claimant).await.map_err(transfer::failed)? {
                Claim::Begin(claimed) => id = claimed,
                Claim::Known(record) => return output(context, record),
                Claim::Other => return Err(transfer::import_conflict()),
            }
        }
        check_limits(context, transfers, &definition).await?;
        let record = ImportRecord {
            id,
            status: Status::InProgress.into(),
            started_ms: now_ms,
            ended_ms: None,
            table: definition.name.clone(),
            definition: definition.to_bytes(),
            source: valid.source,
            input: valid.input,
            progress: Progress::default(),
            failure: None,
            token,
            fingerprint,
        };
        let record = create(context, definition, record).await?;
        transfers.put(None, &record).await.map_err(transfer::failed)?;
        output(context, record)
    }
}

/// Makes the table; gives the import that it is for, which may be one that was asked for before in the same words.
async fn create(
    context: &Context,
    mut definition: TableDefinition,
    record: ImportRecord,
) -> Result<ImportRecord, ApiError> {
    definition.import = Some(Import {
        id: record.id.clone(),
        record: record.to_bytes(),
        is_sealed: false,
    });
    match context.catalog.create(&definition).await {
        Ok(()) => Ok(record),
        Err(CatalogError::Exists { name }) => {
            let there = context.catalog.latest(&name).await.map_err(table::catalog)?;
            let import = there.and_then(|there| there.definition().import.clone());
            match import.filter(|import| import.id == record.id) {
                Some(import) => ImportRecord::from_bytes(&import.record).map_err(ApiError::Internal),
                None => Err(table::catalog(CatalogError::Exists { name })),
            }
        }
        Err(error) => Err(table::catalog(error)),
    }
}

fn output(context: &Context, record: ImportRecord) -> Result<ImportTableOutput, ApiError> {
    Ok(ImportTableOutput {
        import: ImportDescription::new(context, record)?,
    })
}

async fn check_limits(
    context: &Context,
    transfers: &Transfers,
    definition: &TableDefinition,
) -> Result<(), ApiError> {
    let all = transfers.all::<ImportRecord>().await.map_err(transfer::failed)?;
    let under_way = all.iter().filter(|record| record.status() == Status::InProgress);
    if under_way.count() >= IMPORTS_MAX {
        return Err(transfer::too_many("imports", IMPORTS_MAX));
    }
    let tables_max = context.limits.tables_max;
    if context.catalog.known().len() >= tables_max && context.catalog.table(&definition.name).is_none() {
        return Err(table::too_many(tables_max));
    }
    account_limits::check(context, definition)
}

impl ImportTable {
    fn validate(self) -> Result<Valid, ApiError> {
        let mut constraints = Constraints::default();
        check_token(&mut constraints, self.client_token.as_ref());
        constraints.required("s3BucketSource", self.source.as_ref());
        if let Some(source) = &self.source {
            check_bucket(
                &mut constraints,
                ("s3BucketSource.s3Bucket", source.bucket.as_ref()),
                ("s3BucketSource.s3BucketOwner", source.owner.as_ref()),
                ("s3BucketSource.s3KeyPrefix", source.prefix.as_ref()),
            );
        }
        constraints.required("inputFormat", self.input_format.as_ref());
        let format: Option<Format> = constraints.one_of("inputFormat", self.input_format.as_deref());
        let compression: Option<Compression> =
            constraints.one_of("inputCompressionType", self.compression.as_deref());
        if let Some(csv) = &self.csv {
            csv.check(&mut constraints);
        }
        constraints.required("tableCreationParameters", self.table.as_ref());
        constraints.finish()?;
        let format = format.unwrap_or(Format::DynamodbJson);
        if self.csv.is_some() && format != Format::Csv {
            let format = self.input_format.as_deref().unwrap_or_default();
            return Err(transfer::csv_of_other_format(format));
        }
        let encryption = self
            .table
            .as_ref()
            .and_then(|table| table.sse_specification.as_ref());
        if let Some(encryption) = encryption {
            encryption.is_enabled_by("TableCreationParameters.SSESpecification.KMSMasterKeyId")?;
        }
        let source = self.source.unwrap_or_default();
        let csv = self.csv.unwrap_or_default();
        Ok(Valid {
            input: Input {
                format: format.into(),
                compression: compression.unwrap_or(Compression::None).into(),
                names_compression: compression.is_some(),
                delimiter: csv.delimiter,
                headers: csv.headers.unwrap_or_default(),
            },
            source: Place {
                bucket: source.bucket.unwrap_or_default(),
                prefix: source.prefix,
                owner: source.owner,
            },
            table: self.table.unwrap_or_default(),
        })
    }
}

impl CsvRequest {
    fn check(&self, constraints: &mut Constraints) {
        let member = "inputFormatOptions.csv.delimiter";
        if let Some(delimiter) = &self.delimiter {
            let mut letters = delimiter.chars();
            let is_delimiter = letters.next().is_some_and(|letter| ",;:|\t ".contains(letter));
            if !is_delimiter || letters.next().is_some() {
                let rule = "Member must satisfy regular expression pattern: [,;:|\\t ]";
                constraints.violated(member, delimiter, rule);
            }
            constraints.length(member, delimiter, delimiter.chars().count(), 1, 1);
        }
        let Some(headers) = &self.headers else { return };
        let member = "inputFormatOptions.csv.headerList";
        let shown = format!("[{}]", headers.join(", "));
        constraints.length(member, shown, headers.len(), 1, HEADERS_MAX);
        for (place, header) in headers.iter().enumerate() {
            let member = format!("{member}.{}.member", place + 1);
            constraints.length(&member, header, header.chars().count(), 1, HEADER_LENGTH_MAX);
            let is_allowed = |byte: u8| matches!(byte, 0x20..=0x7E) && byte != b'"' && byte != b',';
            if !header.bytes().all(is_allowed) {
                let rule =
                    "Member must satisfy regular expression pattern: [\\x20-\\x21\\x23-\\x2B\\x2D-\\x7E]*";
                constraints.violated(&member, header, rule);
            }
        }
    }
}

impl Valid {
    /// What tells the request from others: the same whenever the same is asked for.
    fn fingerprint(&self) -> Result<Bytes, ApiError> {
        use prost::Message as _;
        let definition = self.table.clone().into_definition(&mut || Ok(Uuid::nil()), 0)?;
        let mut digest = Sha256::new();
        for part in [
            definition.to_bytes().to_vec(),
            self.input.encode_to_vec(),
            self.source.encode_to_vec(),
        ] {
            digest.update(part.len().to_le_bytes());
            digest.update(&part);
        }
        Ok(Bytes::copy_from_slice(&digest.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ImportTable {
        ImportTable {
            source: Some(BucketSource {
                bucket: Some("bucket".into()),
                ..BucketSource::default()
            }),
            input_format: Some("CSV".into()),
            table: Some(CreateTable::default()),
            ..ImportTable::default()
        }
    }

    #[test]
    fn what_breaks_the_model_is_told_together() {
        assert!(request().validate().is_ok());
        let wrong = ImportTable {
            client_token: Some("a$".into()),
            source: Some(BucketSource {
                bucket: Some("-".into()),
                owner: Some("1".into()),
                prefix: Some("p".repeat(1025)),
            }),
            input_format: Some("XML".into()),
            compression: Some("LZ4".into()),
            csv: Some(CsvRequest {
                delimiter: Some("x".into()),
                headers: Some(vec!["a,b".into()]),
            }),
            table: None,
        };
        let Err(error) = wrong.validate() else {
            unreachable!()
        };
        let text = error.to_string();
        for part in [
            "9 validation errors detected",
            "'clientToken'",
            "'s3BucketSource.s3Bucket'",
            "'s3BucketSource.s3BucketOwner'",
            "'s3BucketSource.s3KeyPrefix'",
            "enum value set: [DYNAMODB_JSON, ION, CSV]",
            "enum value set: [ZSTD, NONE, GZIP]",
            "[,;:|\\t ]",
            "'inputFormatOptions.csv.headerList.1.member'",
            "Value null at 'tableCreationParameters'",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_delimiter_is_one_of_few_letters() {
        let refused = |delimiter: &str| {
            let mut constraints = Constraints::default();
            let csv = CsvRequest {
                delimiter: Some(delimiter.to_owned()),
                headers: None,
            };
            csv.check(&mut constraints);
            constraints.finish().err()
        };
        for delimiter in [",", ";", ":", "|", "\t", " "] {
            assert_eq!(refused(delimiter), None, "{delimiter}");
        }
        assert_eq!(
            refused(";;"),
            Some(ApiError::validation(
                "2 validation errors detected: Value ';;' at 'inputFormatOptions.csv.delimiter' failed to satisfy \
                 constraint: Member must satisfy regular expression pattern: [,;:|\\t ]; Value ';;' at \
                 'inputFormatOptions.csv.delimiter' failed to satisfy constraint: Member must have length less than or \
                 equal to 1"
            ))
        );
    }

    #[test]
    fn options_of_csv_go_with_csv() {
        let with = |format: &str| ImportTable {
            input_format: Some(format.to_owned()),
            csv: Some(CsvRequest::default()),
            ..request()
        };
        assert!(with("CSV").validate().is_ok());
        let refused = with("DYNAMODB_JSON").validate().err();
        let sentence =
            "Invalid Request: Unsupported InputFormatOptions for the given input format: DYNAMODB_JSON.";
        assert_eq!(refused, Some(ApiError::validation(sentence)));
    }
}
