//! ImportTable, DescribeImport, ListImports, ExportTableToPointInTime, DescribeExport and ListExports, and items in lines of
//! DynamoDB JSON.

use stator_model::item::Item;

use super::Decode;
use super::attribute::Attributes;
use super::reader::{DecodeError, Decoded, Reader};
use crate::message::table::Unsupported;
use crate::operation::create_table::CreateTable;
use crate::operation::describe_export::DescribeExport;
use crate::operation::describe_import::DescribeImport;
use crate::operation::export_table_to_point_in_time::{ExportTableToPointInTime, IncrementalExport};
use crate::operation::import_table::{BucketSource, CsvRequest, ImportTable};
use crate::operation::list_exports::ListExports;
use crate::operation::list_imports::ListImports;

/// The item of a line such as `{"Item":{"pk":{"S":"a"}}}`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn item_of_line(line: &[u8]) -> Result<Item, String> {
    let mut item = None;
    object_of_line(line, |reader, name| {
        match name {
            "Item" => item = reader.attributes()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    item_of(item)
}

/// Reads the members of the object that a line is.
pub(super) fn object_of_line(
    line: &[u8],
    each: impl FnMut(&mut Reader<'_>, &str) -> Decoded<()>,
) -> Result<(), String> {
    let mut reader = Reader::new(line);
    if !reader.is_object().unwrap_or_default() {
        return Err("The line is no JSON object".to_owned());
    }
    let read = reader.object(each).and_then(|_| reader.finish());
    read.map_err(|error| match error {
        DecodeError::NotJson => "The line is no JSON object".to_owned(),
        error => error.to_string(),
    })
}

/// The item that a line has.
pub(super) fn item_of(attributes: Option<Attributes>) -> Result<Item, String> {
    let attributes = attributes.ok_or("The line has no Item")?;
    match attributes.problem {
        None => Ok(attributes.item),
        Some(problem) => Err(problem.to_string()),
    }
}

impl Decode for ImportTable {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ClientToken" => request.client_token = reader.text()?,
                "S3BucketSource" => request.source = reader.bucket_source()?,
                "InputFormat" => request.input_format = reader.text()?,
                "InputFormatOptions" => request.csv = reader.format_options()?,
                "InputCompressionType" => request.compression = reader.text()?,
                "TableCreationParameters" => request.table = Some(table_of_import(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

/// Members of a CreateTable that an import has, too; the others are skipped as members that do not exist are.
fn table_of_import(reader: &mut Reader<'_>) -> Decoded<CreateTable> {
    let table = CreateTable::decode(reader)?;
    let mut unsupported = table.unsupported.iter();
    let has_vectors = unsupported.any(|unsupported| matches!(unsupported, Unsupported::VectorIndexes(_)));
    let vectors = Unsupported::VectorIndexes("TableCreationParameters.VectorIndexes");
    Ok(CreateTable {
        table_name: table.table_name,
        attribute_definitions: table.attribute_definitions,
        key_schema: table.key_schema,
        billing_mode: table.billing_mode,
        provisioned_throughput: table.provisioned_throughput,
        on_demand_throughput: table.on_demand_throughput,
        sse_specification: table.sse_specification,
        global_indexes: table.global_indexes,
        unsupported: has_vectors.then_some(vectors).into_iter().collect(),
        ..CreateTable::default()
    })
}

impl Reader<'_> {
    fn incremental_export(&mut self) -> Decoded<Option<IncrementalExport>> {
        self.structure(|reader, name, period: &mut IncrementalExport| {
            match name {
                "ExportFromTime" => period.from_ms = reader.timestamp()?,
                "ExportToTime" => period.to_ms = reader.timestamp()?,
                "ExportViewType" => period.view_type = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn bucket_source(&mut self) -> Decoded<Option<BucketSource>> {
        self.structure(|reader, name, source: &mut BucketSource| {
            match name {
                "S3BucketOwner" => source.owner = reader.text()?,
                "S3Bucket" => source.bucket = reader.text()?,
                "S3KeyPrefix" => source.prefix = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn format_options(&mut self) -> Decoded<Option<CsvRequest>> {
        let options = self.structure(|reader, name, options: &mut Option<CsvRequest>| {
            match name {
                "Csv" => {
                    *options = reader.structure(|reader, name, csv: &mut CsvRequest| {
                        match name {
                            "Delimiter" => csv.delimiter = reader.text()?,
                            "HeaderList" => csv.headers = reader.list_of(Reader::text)?,
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(options.flatten())
    }
}

impl Decode for DescribeImport {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let import_arn = reader.only_text("ImportArn")?;
        Ok(Self { import_arn })
    }
}

impl Decode for ListImports {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableArn" => request.table_arn = reader.text()?,
                "PageSize" => request.page_size = reader.integer()?,
                "NextToken" => request.next_token = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for ExportTableToPointInTime {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableArn" => request.table_arn = reader.text()?,
                "ExportTime" => request.export_time_ms = reader.timestamp()?,
                "ClientToken" => request.client_token = reader.text()?,
                "S3Bucket" => request.bucket = reader.text()?,
                "S3BucketOwner" => request.bucket_owner = reader.text()?,
                "S3Prefix" => request.prefix = reader.text()?,
                "S3SseAlgorithm" => request.sse_algorithm = reader.text()?,
                "S3SseKmsKeyId" => request.sse_key = reader.text()?,
                "ExportFormat" => request.format = reader.text()?,
                "ExportType" => request.export_type = reader.text()?,
                "IncrementalExportSpecification" => {
                    request.incremental = reader.incremental_export()?;
                }
                "FilterSpecification" => request.is_filtered = reader.object(|reader, _| reader.skip())?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for DescribeExport {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let export_arn = reader.only_text("ExportArn")?;
        Ok(Self { export_arn })
    }
}

impl Decode for ListExports {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableArn" => request.table_arn = reader.text()?,
                "MaxResults" => request.max_results = reader.integer()?,
                "NextToken" => request.next_token = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}
