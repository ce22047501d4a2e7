//! Query and Scan.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::legacy::Expectation;
use crate::operation::page::PageParameters;
use crate::operation::query::Query;
use crate::operation::scan::Scan;
use crate::wire::head::Head;

impl Reader<'_> {
    /// The members that both operations share; false when the member is none of them, and unread.
    fn page_member(&mut self, name: &str, page: &mut PageParameters) -> Decoded<bool> {
        let inputs = &mut page.expressions;
        match name {
            "TableName" => page.table_name = self.text()?,
            "IndexName" => page.index_name = self.text()?,
            "Limit" => page.limit = self.integer()?,
            "Select" => page.select = self.text()?,
            "ConsistentRead" => page.consistent_read = self.boolean()?,
            "ConsistencyLevel" => page.levels.member = self.level()?,
            "ExclusiveStartKey" => page.start_key = self.attributes()?,
            "FilterExpression" => page.filter = self.text()?,
            "ProjectionExpression" => page.projection = self.text()?,
            "ExpressionAttributeNames" => inputs.names = self.names()?,
            "ExpressionAttributeValues" => self.values(inputs)?,
            "ReturnConsumedCapacity" => page.consumed_capacity = self.text()?,
            "AttributesToGet" => page.legacy.attributes = self.attributes_to_get()?,
            "ConditionalOperator" => page.legacy.conditional_operator = self.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl PageParameters {
    /// Reads conditions from before expressions; their values are written beside those of expressions.
    fn conditions(&mut self, reader: &mut Reader<'_>) -> Decoded<Option<Vec<Expectation>>> {
        reader.conditions(&mut self.expressions.placeholders)
    }
}

impl Decode for Query {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "KeyConditionExpression" => request.key_condition = reader.text()?,
                "ScanIndexForward" => request.scan_index_forward = reader.boolean()?,
                "KeyConditions" => request.page.legacy.key_conditions = request.page.conditions(reader)?,
                "QueryFilter" => {
                    request.page.legacy.filter = request.page.conditions(reader)?.unwrap_or_default();
                }
                _ if reader.page_member(name, &mut request.page)? => {}
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.page.levels.header = head.level();
    }
}

impl Decode for Scan {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "Segment" => request.segment = reader.integer()?,
                "TotalSegments" => request.total_segments = reader.integer()?,
                "ScanFilter" => {
                    request.page.legacy.filter = request.page.conditions(reader)?.unwrap_or_default();
                }
                _ if reader.page_member(name, &mut request.page)? => {}
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.page.levels.header = head.level();
    }
}
