//! GetShardIterator: a place in a shard to read from.

use std::ops::ControlFlow;

use stator_cluster::Direction;

use super::shards::{NamedStream, Place, RETENTION_MS};
use super::{Context, Operation};
use crate::catalog::Shard;
use crate::constraint::{Constraints, ModelEnum};
use crate::message::stream;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct GetShardIterator {
    pub(crate) stream_arn: Option<String>,
    pub(crate) shard_id: Option<String>,
    pub(crate) iterator_type: Option<String>,
    pub(crate) sequence_number: Option<String>,
    /// `Timestamp`, in milliseconds.
    pub(crate) timestamp_ms: Option<i64>,
}

/// `ShardIteratorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IteratorType {
    TrimHorizon,
    Latest,
    AtSequenceNumber,
    AfterSequenceNumber,
    AtTimestamp,
}

impl ModelEnum for IteratorType {
    const NAMES: &'static [&'static str] = &[
        "AT_SEQUENCE_NUMBER",
        "TRIM_HORIZON",
        "LATEST",
        "AFTER_SEQUENCE_NUMBER",
        "AT_TIMESTAMP",
    ];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "TRIM_HORIZON" => Self::TrimHorizon,
            "LATEST" => Self::Latest,
            "AT_SEQUENCE_NUMBER" => Self::AtSequenceNumber,
            "AFTER_SEQUENCE_NUMBER" => Self::AfterSequenceNumber,
            "AT_TIMESTAMP" => Self::AtTimestamp,
            _ => return None,
        })
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) struct GetShardIteratorOutput {
    pub(crate) iterator: String,
}

impl Operation for GetShardIterator {
    type Output = GetShardIteratorOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("streamArn", self.stream_arn.as_ref());
        if let Some(arn) = &self.stream_arn {
            constraints.length("streamArn", arn, arn.len(), 37, 1024);
        }
        constraints.required("shardId", self.shard_id.as_ref());
        if let Some(id) = &self.shard_id {
            constraints.length("shardId", id, id.len(), 28, 65);
        }
        constraints.required("shardIteratorType", self.iterator_type.as_ref());
        let kind = constraints.one_of("shardIteratorType", self.iterator_type.as_deref());
        if let Some(number) = &self.sequence_number {
            constraints.length("sequenceNumber", number, number.len(), 21, 40);
        }
        constraints.finish()?;
        let kind = kind.unwrap_or(IteratorType::TrimHorizon);
        let numbered = matches!(
            kind,
            IteratorType::AtSequenceNumber | IteratorType::AfterSequenceNumber
        );
        match &self.sequence_number {
            None if numbered => return Err(ApiError::validation(stream::SEQUENCE_NUMBER_MISSING)),
            Some(_) if !numbered => return Err(ApiError::validation(stream::SEQUENCE_NUMBER_SURPLUS)),
            _ => {}
        }
        if kind == IteratorType::AtTimestamp {
            check_timestamp(self.timestamp_ms, context.clock.now_ms())?;
        }
        let named = NamedStream::latest(context, self.stream_arn.as_deref().unwrap_or_default()).await?;
        let shard = named.shard(self.shard_id.as_deref().unwrap_or_default())?;
        let place = match (kind, self.sequence_number.as_deref()) {
            (IteratorType::Latest, _) => named.end_of(context, shard.number).await?,
            (IteratorType::AtTimestamp, _) => {
                let from_ms = self.timestamp_ms.unwrap_or_default();
                match first_since(context, &named, &shard, from_ms).await? {
                    Some(place) => place,
                    None => named.end_of(context, shard.number).await?,
                }
            }
            (_, Some(number)) => {
                let place = Place::parse(number).ok_or_else(|| stream::bad_sequence_number(number))?;
                check_trimmed(context, &named, &shard, place).await?;
                if kind == IteratorType::AfterSequenceNumber {
                    place.next()
                } else {
                    place
                }
            }
            (_, None) => Place::default(),
        };
        Ok(GetShardIteratorOutput {
            iterator: named.iterator(shard.number, place, context.clock.now_ms()),
        })
    }
}

/// Refuses a time that is missing, or has not come yet. Source: service model of DynamoDB Streams, GetShardIteratorInput: "If the
/// timestamp is in the future, the request returns a ValidationException".
fn check_timestamp(timestamp_ms: Option<i64>, now_ms: i64) -> Result<(), ApiError> {
    let sentence = match timestamp_ms {
        None => stream::TIMESTAMP_MISSING,
        Some(at_ms) if at_ms > now_ms => stream::TIMESTAMP_IN_FUTURE,
        Some(_) => return Ok(()),
    };
    Err(ApiError::validation(sentence))
}

/// Refuses a place before the oldest record that is kept.
async fn check_trimmed(
    context: &Context,
    named: &NamedStream,
    shard: &Shard,
    place: Place,
) -> Result<(), ApiError> {
    if place == Place::default() {
        return Ok(());
    }
    let horizon_ms = context.clock.now_ms() - RETENTION_MS;
    match first_since(context, named, shard, horizon_ms).await? {
        Some(oldest) if place < oldest => Err(ApiError::TrimmedDataAccess(stream::TRIMMED.to_owned())),
        _ => Ok(()),
    }
}

/// The place of the first record that is not older than a time; `None` when all are.
async fn first_since(
    context: &Context,
    named: &NamedStream,
    shard: &Shard,
    from_ms: i64,
) -> Result<Option<Place>, ApiError> {
    let mut first = None;
    let from = (Place::default(), Direction::Forward);
    named
        .read(context, shard.number, from, |place, record| {
            if i64::try_from(record.at_ms).unwrap_or(i64::MAX) < from_ms {
                return ControlFlow::Continue(());
            }
            first = Some(place);
            ControlFlow::Break(())
        })
        .await?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_not_come_is_no_place() {
        assert_eq!(check_timestamp(Some(10), 10), Ok(()));
        assert_eq!(
            check_timestamp(Some(11), 10),
            Err(ApiError::validation(stream::TIMESTAMP_IN_FUTURE))
        );
        assert_eq!(
            check_timestamp(None, 10),
            Err(ApiError::validation(stream::TIMESTAMP_MISSING))
        );
    }
}
