//! Definitions of a table's streams: the one that is enabled, and those before it that can still be read.
//!
//! Invariant: of each slot of a stream the last shard takes the records, and those before it are its ancestors; a shard is
//! closed when no record can come to it any more. Who moves a stream from one status to the next, and opens and closes
//! shards, is `steward.rs`.

use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

/// Prefix of the names of keyspaces that hold the records of a stream; the stream's id follows.
pub(crate) const STREAM_KEYSPACE: &str = "stream/";

/// How many shards of a stream are open: items are shared out among them by their tokens.
pub(crate) const SLOTS: u32 = 4;

/// What the records of a stream have of the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamView {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

/// Where a stream is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamStatus {
    /// Not every leader is known to record yet.
    Enabling,
    Enabled,
    /// Not every leader is known to have ceased.
    Disabling,
    /// It can be read until its records are too old.
    Disabled,
}

/// A shard of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Its number in the stream; its slot is the remainder by [`SLOTS`].
    pub(crate) number: u32,
    /// Milliseconds since the Unix epoch.
    pub(crate) opened_at_ms: i64,
    /// When it was certain that no record can come any more, and the last sequence number that one may have.
    pub(crate) closed: Option<(i64, u64)>,
}

/// What makes a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamDefinition {
    pub(crate) id: Uuid,
    /// Milliseconds since the Unix epoch; the stream's label.
    pub(crate) created_at_ms: i64,
    pub(crate) view: StreamView,
    pub(crate) status: StreamStatus,
    pub(crate) disabled_at_ms: Option<i64>,
    pub(crate) shards: Vec<Shard>,
}

impl Shard {
    /// The shard that had its records before it.
    pub(crate) fn parent(&self) -> Option<u32> {
        self.number.checked_sub(SLOTS)
    }

    /// Which items it has records of.
    pub(crate) fn slot(&self) -> u32 {
        self.number % SLOTS
    }
}

impl StreamDefinition {
    /// A new stream with its first shards.
    pub(crate) fn new(id: Uuid, view: StreamView, status: StreamStatus, now_ms: i64) -> Self {
        let shard = |number| Shard {
            number,
            opened_at_ms: now_ms,
            closed: None,
        };
        Self {
            id,
            created_at_ms: now_ms,
            view,
            status,
            disabled_at_ms: None,
            shards: (0..SLOTS).map(shard).collect(),
        }
    }

    /// The name of the keyspace of its records.
    pub(crate) fn keyspace(&self) -> Arc<str> {
        format!("{STREAM_KEYSPACE}{}", self.id).into()
    }

    /// The shard that takes the records of a slot.
    pub(crate) fn newest(&self, slot: u32) -> Option<&Shard> {
        let of_slot = self.shards.iter().filter(|shard| shard.slot() == slot);
        of_slot.max_by_key(|shard| shard.number)
    }

    /// Whether writes are to be recorded.
    pub(crate) fn records(&self) -> bool {
        matches!(self.status, StreamStatus::Enabling | StreamStatus::Enabled)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamRecord {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    created_at_ms: i64,
    /// 1 keys only, 2 new image, 3 old image, 4 both.
    #[prost(uint32, tag = "3")]
    view: u32,
    /// 1 enabling, 2 enabled, 3 disabling, 4 disabled.
    #[prost(uint32, tag = "4")]
    status: u32,
    #[prost(sint64, optional, tag = "5")]
    disabled_at_ms: Option<i64>,
    #[prost(message, repeated, tag = "6")]
    shards: Vec<ShardRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ShardRecord {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(sint64, tag = "2")]
    opened_at_ms: i64,
    #[prost(sint64, optional, tag = "3")]
    closed_at_ms: Option<i64>,
    #[prost(uint64, tag = "4")]
    ending_index: u64,
}

impl StreamRecord {
    pub(super) fn of(stream: &StreamDefinition) -> Self {
        let shard = |shard: &Shard| ShardRecord {
            number: shard.number,
            opened_at_ms: shard.opened_at_ms,
            closed_at_ms: shard.closed.map(|(at_ms, _)| at_ms),
            ending_index: shard.closed.map_or(0, |(_, index)| index),
        };
        Self {
            id: stream.id.as_bytes().to_vec(),
            created_at_ms: stream.created_at_ms,
            view: match stream.view {
                StreamView::KeysOnly => 1,
                StreamView::NewImage => 2,
                StreamView::OldImage => 3,
                StreamView::NewAndOldImages => 4,
            },
            status: match stream.status {
                StreamStatus::Enabling => 1,
                StreamStatus::Enabled => 2,
                StreamStatus::Disabling => 3,
                StreamStatus::Disabled => 4,
            },
            disabled_at_ms: stream.disabled_at_ms,
            shards: stream.shards.iter().map(shard).collect(),
        }
    }

    pub(super) fn read(self) -> Result<StreamDefinition, String> {
        let shard = |record: ShardRecord| Shard {
            number: record.number,
            opened_at_ms: record.opened_at_ms,
            closed: record.closed_at_ms.map(|at_ms| (at_ms, record.ending_index)),
        };
        let unknown = |what: &str, number: u32| Err(format!("unknown {what} {number} of a stream"));
        Ok(StreamDefinition {
            id: Uuid::from_slice(&self.id).map_err(|error| error.to_string())?,
            created_at_ms: self.created_at_ms,
            view: match self.view {
                1 => StreamView::KeysOnly,
                2 => StreamView::NewImage,
                3 => StreamView::OldImage,
                4 => StreamView::NewAndOldImages,
                other => return unknown("view", other),
            },
            status: match self.status {
                1 => StreamStatus::Enabling,
                2 => StreamStatus::Enabled,
                3 => StreamStatus::Disabling,
                4 => StreamStatus::Disabled,
                other => return unknown("status", other),
            },
            disabled_at_ms: self.disabled_at_ms,
            shards: self.shards.into_iter().map(shard).collect(),
        })
    }
}
