//! The operations of DynamoDB Streams, by the ARN of the stream.

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::describe_stream::DescribeStream;
use crate::operation::get_records::GetRecords;
use crate::operation::get_shard_iterator::GetShardIterator;
use crate::operation::list_streams::ListStreams;
use crate::operation::shards;
use crate::wire::error::ApiError;

impl Authorize for ListStreams {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts::default();
        judge.require("dynamodb:ListStreams", Resource::Any, &facts).await
    }
}

impl Authorize for DescribeStream {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        of_stream("dynamodb:DescribeStream", self.stream_arn.as_deref(), judge).await
    }
}

impl Authorize for GetShardIterator {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        of_stream("dynamodb:GetShardIterator", self.stream_arn.as_deref(), judge).await
    }
}

impl Authorize for GetRecords {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let stream = self.iterator.as_deref().and_then(shards::stream_of_iterator);
        of_stream("dynamodb:GetRecords", stream, judge).await
    }
}

async fn of_stream(action: &str, stream: Option<&str>, judge: &Judge<'_>) -> Result<(), ApiError> {
    let stream = Resource::Stream(stream.unwrap_or_default());
    judge.require(action, stream, &Facts::default()).await
}
