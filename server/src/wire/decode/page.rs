//! Query and Scan.

use super::Decode;
use super::reader::{Decoded, Reader};
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
            "AttributesToGet" => self.legacy(inputs, "AttributesToGet")?,
            "ConditionalOperator" => self.legacy(inputs, "ConditionalOperator")?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Decode for Query {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            let inputs = &mut request.page.expressions;
            match name {
                "KeyConditionExpression" => request.key_condition = reader.text()?,
                "ScanIndexForward" => request.scan_index_forward = reader.boolean()?,
                "KeyConditions" => reader.legacy(inputs, "KeyConditions")?,
                "QueryFilter" => reader.legacy(inputs, "QueryFilter")?,
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
                "ScanFilter" => reader.legacy(&mut request.page.expressions, "ScanFilter")?,
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
