//! StartBulkPutItems, DescribeBulkOperation, ListBulkOperations and CancelBulkOperation, and puts in lines of DynamoDB JSON.

use stator_model::item::Item;

use super::Decode;
use super::reader::{Decoded, Reader};
use super::transfer::{item_of, object_of_line};
use crate::operation::cancel_bulk_operation::CancelBulkOperation;
use crate::operation::describe_bulk_operation::DescribeBulkOperation;
use crate::operation::list_bulk_operations::ListBulkOperations;
use crate::operation::start_bulk_put_items::{BulkInput, BulkOutput, StartBulkPutItems};
use crate::transfer::format::LineGuard;

/// The item of a line, and what has to be true of the one that is there, in the members that a PutItem has for it:
/// `{"Item":{"pk":{"S":"a"}},"ConditionExpression":"attribute_not_exists(pk)"}`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn put_of_line(line: &[u8]) -> Result<(Item, Option<Box<LineGuard>>), String> {
    let (mut item, mut guard) = (None, LineGuard::default());
    object_of_line(line, |reader, name| {
        match name {
            "Item" => item = reader.attributes()?,
            "ConditionExpression" => guard.condition = reader.text()?,
            "ExpressionAttributeNames" => guard.expressions.names = reader.names()?,
            "ExpressionAttributeValues" => reader.values(&mut guard.expressions)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let expressions = &guard.expressions;
    let is_guarded = guard.condition.is_some() || expressions.names.is_some() || expressions.values.is_some();
    Ok((item_of(item)?, is_guarded.then(|| Box::new(guard))))
}

impl Decode for StartBulkPutItems {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ClientToken" => request.client_token = reader.text()?,
                "InputS3Configuration" => request.input = reader.bulk_input()?,
                "OutputS3Configuration" => request.output = reader.bulk_output()?,
                "TableName" => request.table_name = reader.text()?,
                "MaxWriteRequestUnits" => request.units_per_second = reader.long()?,
                "PerformanceTier" => request.tier = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Reader<'_> {
    fn bulk_input(&mut self) -> Decoded<Option<BulkInput>> {
        self.structure(|reader, name, input: &mut BulkInput| {
            match name {
                "S3BucketOwner" => input.owner = reader.text()?,
                "S3Bucket" => input.bucket = reader.text()?,
                "S3KeyPrefix" => input.prefix = reader.text()?,
                "InputFormat" => input.format = reader.text()?,
                "InputCompressionType" => input.compression = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn bulk_output(&mut self) -> Decoded<Option<BulkOutput>> {
        self.structure(|reader, name, output: &mut BulkOutput| {
            match name {
                "S3BucketOwner" => output.owner = reader.text()?,
                "S3Bucket" => output.bucket = reader.text()?,
                "S3KeyPrefix" => output.prefix = reader.text()?,
                "S3SseAlgorithm" => output.sse_algorithm = reader.text()?,
                "S3SseKmsKeyId" => output.sse_key = reader.text()?,
                "OutputType" => output.types = reader.list_of(Reader::text)?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}

impl Decode for DescribeBulkOperation {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let arn = reader.only_text("BulkOperationArn")?;
        Ok(Self { arn })
    }
}

impl Decode for CancelBulkOperation {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let arn = reader.only_text("BulkOperationArn")?;
        Ok(Self { arn })
    }
}

impl Decode for ListBulkOperations {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "MaxResults" => request.max_results = reader.integer()?,
                "NextToken" => request.next_token = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}
