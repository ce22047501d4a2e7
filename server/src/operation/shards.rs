//! What the stream operations share: which stream an ARN names, ids of shards, sequence numbers, iterators.
//!
//! Invariants: sequence numbers of a shard rise in the order in which its range has taken the records; an iterator that was
//! not made here, or is older than 15 minutes, is refused. An iterator carries its place and a keyed hash under the id of
//! the stream, which no client is ever told.
//!
//! Rules: Amazon DynamoDB Streams API Reference; lengths of ids from the service model, which SDKs check.

use std::ops::{Bound, ControlFlow};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stator_cluster::{APPENDED_KEY_BYTES, Bounds, Cluster, ConsistencyLevel, Direction};
use stator_model::key::{KeySchema, after_prefix};

use super::Context;
use crate::arn;
use crate::catalog::{Catalog, Shard, StreamDefinition};
use crate::derive::stream::{StreamRecord, shard_prefix};
use crate::message;
use crate::message::stream::{self, no_stream};
use crate::wire::error::ApiError;

/// Records are kept for so long. Source: Amazon DynamoDB Developer Guide, "Change data capture for DynamoDB Streams".
pub(crate) const RETENTION_MS: i64 = 24 * 60 * 60 * 1000;
/// An iterator can be used for so long. Source: Amazon DynamoDB Streams API Reference, GetShardIterator.
const ITERATOR_MS: i64 = 15 * 60 * 1000;
/// Added to every sequence number, so that it has 21 digits.
const SEQUENCE_BASE: u128 = 100_000_000_000_000_000_000;
/// Between the ARN of the stream and the rest of an iterator.
const ITERATOR_MARK: &str = "|1|";
/// Bits of a sequence number that say which of the records of one entry it is.
const PLACE_BITS: u32 = 24;
const ITERATOR_VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// A place in a shard: behind all records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    /// The entry of the range.
    pub(super) index: u64,
    /// Which record of the entry.
    pub(super) place: u32,
}

impl Place {
    /// The place of the sequence number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number: u128 = text.parse().ok()?;
        let number = u64::try_from(number.checked_sub(SEQUENCE_BASE)?).ok()?;
        Some(Self {
            index: number >> PLACE_BITS,
            place: u32::try_from(number & ((1 << PLACE_BITS) - 1)).ok()?,
        })
    }

    /// The sequence number of the record there.
    pub(super) fn sequence_number(self) -> String {
        let number = (u128::from(self.index) << PLACE_BITS) | u128::from(self.place);
        (SEQUENCE_BASE + number).to_string()
    }

    /// The last place that a record of an entry can have.
    pub(super) fn last_of(index: u64) -> Self {
        Self {
            index,
            place: (1 << PLACE_BITS) - 1,
        }
    }

    /// The place behind the record there.
    pub(super) fn next(self) -> Self {
        Self {
            place: self.place + 1,
            ..self
        }
    }

    fn of_row(key: &[u8]) -> Option<Self> {
        let (_, appended) = key.split_last_chunk::<APPENDED_KEY_BYTES>()?;
        let (index, place) = appended.split_first_chunk::<8>()?;
        Some(Self {
            index: u64::from_be_bytes(*index),
            place: u32::from_be_bytes(place.try_into().ok()?),
        })
    }

    fn to_bytes(self) -> [u8; APPENDED_KEY_BYTES] {
        let mut bytes = [0; APPENDED_KEY_BYTES];
        let (index, place) = bytes.split_at_mut(8);
        index.copy_from_slice(&self.index.to_be_bytes());
        place.copy_from_slice(&self.place.to_be_bytes());
        bytes
    }
}

/// The ARN of the stream that an iterator names, which may be no iterator of ours.
pub(crate) fn stream_of_iterator(text: &str) -> Option<&str> {
    text.split_once(ITERATOR_MARK).map(|(arn, _)| arn)
}

/// The label of a stream: when it was made, as `2015-05-11T21:21:33.291`.
pub(crate) fn label(stream: &StreamDefinition) -> String {
    let (days, rest_ms) = (
        stream.created_at_ms.div_euclid(86_400_000),
        stream.created_at_ms.rem_euclid(86_400_000),
    );
    // Civil date of a day number: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (rest_ms / 3_600_000, rest_ms / 60_000 % 60);
    let (seconds, millis) = (rest_ms / 1000 % 60, rest_ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}")
}

/// The id of a shard.
pub(super) fn shard_id(shard: &Shard) -> String {
    format!("shardId-{:020}-{:08x}", shard.opened_at_ms.max(0), shard.number)
}

/// The id of a shard's parent.
pub(super) fn parent_id(stream: &StreamDefinition, shard: &Shard) -> Option<String> {
    let number = shard.parent()?;
    let parent = stream.shards.iter().find(|other| other.number == number)?;
    Some(shard_id(parent))
}

/// A stream of a table, or of one that was deleted not long ago.
#[derive(Debug, Clone)]
pub(crate) struct NamedStream {
    /// Name of its table, which may be gone.
    pub(super) table: String,
    pub(super) key_schema: KeySchema,
    pub(super) stream: StreamDefinition,
    /// As the client names it.
    pub(super) arn: String,
}

impl NamedStream {
    /// The stream of an ARN.
    ///
    /// # Errors
    /// ResourceNotFoundException.
    pub(super) async fn find(context: &Context, arn: &str) -> Result<Self, ApiError> {
        let missing = || no_stream(arn);
        let (name, wanted) = arn::stream_parts(arn).ok_or_else(missing)?;
        let look = || Self::of_label(&context.catalog, (name, wanted), arn);
        if let Some(known) = look() {
            return Ok(known);
        }
        let latest = context.catalog.latest(name).await;
        latest.map_err(message::table::catalog)?;
        look().ok_or_else(missing)
    }

    /// The stream of a table's name and a label, as of now on this node.
    fn of_label(catalog: &Catalog, (name, wanted): (&str, &str), arn: &str) -> Option<Self> {
        let find = |streams: &[StreamDefinition]| {
            let found = streams.iter().find(|stream| label(stream) == wanted);
            found.cloned()
        };
        let named = |key_schema: &KeySchema, stream| Self {
            table: name.to_owned(),
            key_schema: key_schema.clone(),
            stream,
            arn: arn.to_owned(),
        };
        if let Some(table) = catalog.table(name)
            && let Some(stream) = find(&table.definition().streams)
        {
            return Some(named(table.schema(), stream));
        }
        let deleted = catalog.deleted();
        let mut of_name = deleted.iter().filter(|table| table.name == name);
        of_name.find_map(|table| Some(named(&table.key_schema, find(&table.streams)?)))
    }

    /// The same with what all nodes have acknowledged.
    ///
    /// # Errors
    /// As [`NamedStream::find`].
    pub(super) async fn latest(context: &Context, arn: &str) -> Result<Self, ApiError> {
        context
            .catalog
            .catch_up()
            .await
            .map_err(message::table::catalog)?;
        Self::find(context, arn).await
    }

    /// The shard of an id.
    ///
    /// # Errors
    /// ResourceNotFoundException.
    pub(super) fn shard(&self, id: &str) -> Result<Shard, ApiError> {
        let shards = self.stream.shards.iter();
        let found = shards.copied().find(|shard| shard_id(shard) == id);
        found.ok_or_else(stream::no_shard)
    }

    /// Reads records of a shard from a place on, until the visitor breaks off or there are no more.
    pub(super) async fn read(
        &self,
        context: &Context,
        shard: u32,
        (from, direction): (Place, Direction),
        mut visit: impl FnMut(Place, StreamRecord) -> ControlFlow<()>,
    ) -> Result<(), ApiError> {
        let keyspace = context.cluster.keyspace(&self.stream.keyspace());
        let keyspace = keyspace.ok_or_else(|| no_stream(&self.arn))?;
        let prefix = shard_prefix(&self.stream, shard);
        let bounds = Bounds {
            start: Bound::Included([&prefix[..], &from.to_bytes()].concat()),
            end: after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        };
        let mut malformed = None;
        let visited = context
            .cluster
            .range(keyspace, &bounds, direction, ConsistencyLevel::Quorum, |row| {
                let cell: Bytes = row.to_cell();
                let Some((place, record)) = Place::of_row(row.key()).zip(StreamRecord::read(&cell)) else {
                    malformed = Some(format!("a record of stream {} cannot be read", self.arn));
                    return ControlFlow::Break(());
                };
                visit(place, record)
            });
        visited.await?;
        malformed.map_or(Ok(()), |detail| Err(ApiError::Internal(detail)))
    }

    /// The place behind the last record of a shard.
    pub(super) async fn end_of(&self, context: &Context, shard: u32) -> Result<Place, ApiError> {
        let mut end = Place::default();
        let from = (Place::default(), Direction::Backward);
        self.read(context, shard, from, |place, _| {
            end = place.next();
            ControlFlow::Break(())
        })
        .await?;
        Ok(end)
    }

    /// The entry of the range that has taken the last record of a shard; 0 for a shard without records.
    ///
    /// # Errors
    /// Those of the cluster.
    pub(crate) async fn last_index(
        cluster: &Cluster,
        stream: &StreamDefinition,
        shard: u32,
    ) -> Result<u64, stator_cluster::Error> {
        let Some(keyspace) = cluster.keyspace(&stream.keyspace()) else {
            return Ok(0);
        };
        let prefix = shard_prefix(stream, shard);
        let bounds = Bounds {
            start: Bound::Included(prefix.clone()),
            end: after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        };
        let mut last = 0;
        let (backward, quorum) = (Direction::Backward, ConsistencyLevel::Quorum);
        cluster
            .range(keyspace, &bounds, backward, quorum, |row| {
                last = Place::of_row(row.key()).map_or(0, |place| place.index);
                ControlFlow::Break(())
            })
            .await?;
        Ok(last)
    }

    /// An iterator at a place of a shard, made now.
    pub(super) fn iterator(&self, shard: u32, place: Place, now_ms: i64) -> String {
        let mut bytes = vec![ITERATOR_VERSION];
        bytes.extend_from_slice(&now_ms.to_be_bytes());
        bytes.extend_from_slice(&shard.to_be_bytes());
        bytes.extend_from_slice(&place.to_bytes());
        let tag = self.tag(&bytes);
        bytes.extend_from_slice(&tag);
        format!("{}{ITERATOR_MARK}{}", self.arn, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The keyed hash of an iterator.
    fn tag(&self, bytes: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.stream.id.as_bytes()) {
            mac.update(bytes);
            mac.update(self.arn.as_bytes());
            tag.copy_from_slice(&mac.finalize().into_bytes()[..TAG_BYTES]);
        }
        tag
    }

    /// The stream, shard and place of an iterator.
    ///
    /// # Errors
    /// ValidationException for one that was not made here, ExpiredIteratorException, ResourceNotFoundException.
    pub(super) async fn of_iterator(context: &Context, text: &str) -> Result<(Self, Shard, Place), ApiError> {
        let bad = || ApiError::validation(stream::BAD_ITERATOR);
        let (arn, encoded) = text.split_once(ITERATOR_MARK).ok_or_else(bad)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| bad())?;
        let (bytes, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or_else(bad)?;
        let named = Self::find(context, arn).await?;
        // Whoever can make a tag by trying has had the id of the stream to begin with.
        if named.tag(bytes) != *tag {
            return Err(bad());
        }
        let [ITERATOR_VERSION, rest @ ..] = bytes else {
            return Err(bad());
        };
        let (made_ms, rest) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
        let (number, place) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        let place = Place::of_row(place).ok_or_else(bad)?;
        if context.clock.now_ms() - i64::from_be_bytes(*made_ms) > ITERATOR_MS {
            return Err(ApiError::ExpiredIterator(stream::EXPIRED_ITERATOR.to_owned()));
        }
        let number = u32::from_be_bytes(*number);
        let shard = named
            .stream
            .shards
            .iter()
            .copied()
            .find(|shard| shard.number == number);
        let shard = shard.ok_or_else(|| ApiError::TrimmedDataAccess(stream::TRIMMED.to_owned()))?;
        Ok((named, shard, place))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::catalog::{StreamStatus, StreamView};

    #[test]
    fn a_label_is_the_time_to_the_millisecond() {
        let label_of = |at_ms| {
            label(&StreamDefinition::new(
                Uuid::nil(),
                StreamView::KeysOnly,
                StreamStatus::Enabled,
                at_ms,
            ))
        };
        assert_eq!(label_of(0), "1970-01-01T00:00:00.000");
        assert_eq!(label_of(1_431_379_293_291), "2015-05-11T21:21:33.291");
        assert_eq!(label_of(1_709_164_799_999), "2024-02-28T23:59:59.999");
        assert_eq!(label_of(1_709_164_800_000), "2024-02-29T00:00:00.000");
    }

    #[test]
    fn sequence_numbers_are_long_enough_and_rise() {
        let places =
            [(0, 0), (0, 1), (1, 0), (1, 7), (1 << 39, 0)].map(|(index, place)| Place { index, place });
        let numbers = places.map(Place::sequence_number);
        assert!(numbers.is_sorted());
        for (place, number) in places.iter().zip(&numbers) {
            assert_eq!((Place::parse(number), number.len()), (Some(*place), 21));
        }
        for text in [
            "",
            "7",
            "x",
            "99999999999999999999",
            "900000000000000000000000000",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
