//! The operations of DynamoDB Streams.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::describe_stream::{DescribeStream, ShardFilter};
use crate::operation::get_records::GetRecords;
use crate::operation::get_shard_iterator::GetShardIterator;
use crate::operation::list_streams::ListStreams;
use crate::wire::head::Head;

impl Decode for ListStreams {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "Limit" => request.limit = reader.integer()?,
                "ExclusiveStartStreamArn" => request.start_arn = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for DescribeStream {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "StreamArn" => request.stream_arn = reader.text()?,
                "Limit" => request.limit = reader.integer()?,
                "ExclusiveStartShardId" => request.start_shard = reader.text()?,
                "ShardFilter" => request.filter = reader.shard_filter()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for GetShardIterator {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "StreamArn" => request.stream_arn = reader.text()?,
                "ShardId" => request.shard_id = reader.text()?,
                "ShardIteratorType" => request.iterator_type = reader.text()?,
                "SequenceNumber" => request.sequence_number = reader.text()?,
                "Timestamp" => request.timestamp_ms = reader.timestamp()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for GetRecords {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ShardIterator" => request.iterator = reader.text()?,
                "Limit" => request.limit = reader.integer()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.region = head.region().map(str::to_owned);
    }
}

impl Reader<'_> {
    fn shard_filter(&mut self) -> Decoded<Option<ShardFilter>> {
        self.structure(|reader, name, filter: &mut ShardFilter| {
            match name {
                "Type" => filter.filter_type = reader.text()?,
                "ShardId" => filter.shard_id = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}
