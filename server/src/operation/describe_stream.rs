//! DescribeStream: a stream and its shards, each with its parent, a page at a time.

use stator_model::key::KeySchema;

use super::shards::{NamedStream, Place, label, parent_id, shard_id};
use super::{Context, Operation};
use crate::catalog::{Shard, StreamDefinition};
use crate::constraint::{Constraints, ModelEnum};
use crate::message;
use crate::wire::error::ApiError;

/// Most shards of one answer. Source: Amazon DynamoDB Streams API Reference, DescribeStream.
const LIMIT_MAX: i32 = 100;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct DescribeStream {
    pub(crate) stream_arn: Option<String>,
    pub(crate) limit: Option<i32>,
    pub(crate) start_shard: Option<String>,
    pub(crate) filter: Option<ShardFilter>,
}

/// `ShardFilter`.
#[derive(Debug, Default)]
pub(crate) struct ShardFilter {
    pub(crate) filter_type: Option<String>,
    pub(crate) shard_id: Option<String>,
}

/// `ShardFilterType`.
#[derive(Debug, Clone, Copy)]
struct ChildShards;

impl ModelEnum for ChildShards {
    const NAMES: &'static [&'static str] = &["CHILD_SHARDS"];

    fn from_name(name: &str) -> Option<Self> {
        (name == "CHILD_SHARDS").then_some(Self)
    }
}

/// A shard as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedShard {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) starting: String,
    /// Of a shard that is closed.
    pub(crate) ending: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeStreamOutput {
    pub(crate) arn: String,
    pub(crate) label: String,
    pub(crate) stream: StreamDefinition,
    pub(crate) table: String,
    pub(crate) key_schema: KeySchema,
    pub(crate) shards: Vec<DescribedShard>,
    pub(crate) last_shard: Option<String>,
}

impl Operation for DescribeStream {
    type Output = DescribeStreamOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("streamArn", self.stream_arn.as_ref());
        if let Some(arn) = &self.stream_arn {
            constraints.length("streamArn", arn, arn.len(), 37, 1024);
        }
        if let Some(shard) = &self.start_shard {
            constraints.length("exclusiveStartShardId", shard, shard.len(), 28, 65);
        }
        constraints.at_least("limit", self.limit, 1);
        if let Some(filter) = &self.filter {
            constraints.one_of::<ChildShards>("shardFilter.type", filter.filter_type.as_deref());
            if let Some(shard) = &filter.shard_id {
                constraints.length("shardFilter.shardId", shard, shard.len(), 28, 65);
            }
        }
        constraints.finish()?;
        if self.limit.is_some_and(|limit| limit > LIMIT_MAX) {
            return Err(ApiError::validation(message::stream::TOO_MANY_SHARDS));
        }
        if self.filter.is_some() && self.start_shard.is_some() {
            return Err(ApiError::validation(message::stream::FILTER_WITH_START));
        }
        let named = NamedStream::latest(context, &self.stream_arn.unwrap_or_default()).await?;
        let stream = &named.stream;
        let parent = match self.filter.and_then(|filter| filter.shard_id) {
            Some(id) => Some(named.shard(&id)?.number),
            None => None,
        };
        let after = match &self.start_shard {
            Some(id) => Some(named.shard(id)?.number),
            None => None,
        };
        let mut shards: Vec<&Shard> = stream
            .shards
            .iter()
            .filter(|shard| parent.is_none() || shard.parent() == parent)
            .filter(|shard| after.is_none_or(|after| shard.number > after))
            .collect();
        shards.sort_by_key(|shard| shard.number);
        let limit = usize::try_from(self.limit.unwrap_or(LIMIT_MAX)).unwrap_or_default();
        let more = shards.len() > limit;
        shards.truncate(limit);
        Ok(DescribeStreamOutput {
            label: label(stream),
            table: named.table.clone(),
            key_schema: named.key_schema.clone(),
            last_shard: shards.last().filter(|_| more).map(|shard| shard_id(shard)),
            shards: shards.into_iter().map(|shard| described(stream, shard)).collect(),
            arn: named.arn.clone(),
            stream: named.stream.clone(),
        })
    }
}

fn described(stream: &StreamDefinition, shard: &Shard) -> DescribedShard {
    // Behind every record of the entry, however many it has.
    let ending = shard.closed.map(|(_, index)| Place::last_of(index));
    DescribedShard {
        id: shard_id(shard),
        parent: parent_id(stream, shard),
        starting: Place::default().sequence_number(),
        ending: ending.map(Place::sequence_number),
    }
}
