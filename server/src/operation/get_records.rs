//! GetRecords: the records of a shard from an iterator on, in the order of their sequence numbers.
//!
//! A page ends before the record that would take it over 1 MB, or after `Limit` records. Source: Amazon DynamoDB Streams
//! API Reference, GetRecords.

use std::ops::ControlFlow;

use stator_cluster::Direction;
use xxhash_rust::xxh3::xxh3_128;

use super::shards::{NamedStream, RETENTION_MS};
use super::{Context, Operation};
use crate::catalog::StreamView;
use crate::constraint::Constraints;
use crate::derive::stream::StreamRecord;
use crate::message::stream;
use crate::wire::error::ApiError;

/// Most records of one answer.
const LIMIT_MAX: i32 = 1000;
/// Longest iterator. Source: service model of DynamoDB Streams, shape ShardIterator.
const ITERATOR_LENGTH_MAX: usize = 2048;
/// Largest sum of record sizes of one answer.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct GetRecords {
    pub(crate) iterator: Option<String>,
    pub(crate) limit: Option<i32>,
    /// The region of the signature.
    pub(crate) region: Option<String>,
}

/// A record as it is told.
#[derive(Debug)]
pub(crate) struct ToldRecord {
    pub(crate) event_id: String,
    pub(crate) sequence_number: String,
    pub(crate) record: StreamRecord,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct GetRecordsOutput {
    pub(crate) records: Vec<ToldRecord>,
    pub(crate) view: StreamView,
    /// `awsRegion`.
    pub(crate) region: String,
    /// `None` when the shard is closed and read to its end.
    pub(crate) next_iterator: Option<String>,
}

impl Operation for GetRecords {
    type Output = GetRecordsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("shardIterator", self.iterator.as_ref());
        if let Some(iterator) = &self.iterator {
            constraints.length("shardIterator", iterator, iterator.len(), 1, ITERATOR_LENGTH_MAX);
        }
        constraints.at_least("limit", self.limit, 1);
        constraints.finish()?;
        let limit = usize::try_from(self.limit.unwrap_or(LIMIT_MAX)).unwrap_or_default();
        let iterator = self.iterator.unwrap_or_default();
        // The shard as it was known before it is read: one that is closed then gets no record afterwards.
        let (named, shard, mut place) = NamedStream::of_iterator(context, &iterator).await?;
        if self.limit.is_some_and(|limit| limit > LIMIT_MAX) {
            return Err(ApiError::validation(stream::TOO_MANY_RECORDS));
        }
        let now_ms = context.clock.now_ms();
        let horizon_ms = now_ms - RETENTION_MS;
        let (mut records, mut bytes, mut is_end) = (Vec::new(), 0, true);
        let identity_of_stream = named.stream.id;
        named
            .read(
                context,
                shard.number,
                (place, Direction::Forward),
                |at, record| {
                    if i64::try_from(record.at_ms).unwrap_or(i64::MAX) < horizon_ms {
                        place = at.next();
                        return ControlFlow::Continue(());
                    }
                    bytes += record.size();
                    if records.len() == limit || (bytes > PAGE_BYTES_MAX && !records.is_empty()) {
                        is_end = false;
                        return ControlFlow::Break(());
                    }
                    place = at.next();
                    let sequence_number = at.sequence_number();
                    let identity = [
                        identity_of_stream.as_bytes(),
                        &shard.number.to_be_bytes()[..],
                        sequence_number.as_bytes(),
                    ];
                    records.push(ToldRecord {
                        event_id: format!("{:032x}", xxh3_128(&identity.concat())),
                        sequence_number,
                        record,
                    });
                    ControlFlow::Continue(())
                },
            )
            .await?;
        let is_over = is_end && shard.closed.is_some();
        Ok(GetRecordsOutput {
            records,
            view: named.stream.view,
            region: self.region.unwrap_or_else(|| context.region.clone()),
            next_iterator: (!is_over).then(|| named.iterator(shard.number, place, now_ms)),
        })
    }
}
