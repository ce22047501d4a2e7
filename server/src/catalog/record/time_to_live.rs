//! The attribute by which a table's items are due, as part of the table's definition.
//!
//! Who moves it from one status to the next is `steward.rs`; who deletes what is due, `sweeper.rs`.

use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

/// Prefix of the names of keyspaces that say when items are due; an id of its own follows.
pub(crate) const DUE_KEYSPACE: &str = "due/";

/// Where it is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeToLiveStatus {
    /// Items that were there before are being noted.
    Enabling,
    Enabled,
    /// What was noted is being dropped.
    Disabling,
}

/// By which attribute items are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeToLive {
    /// Of the keyspace; never used again.
    pub(crate) id: Uuid,
    pub(crate) attribute: String,
    pub(crate) status: TimeToLiveStatus,
    /// When it was asked for last, in milliseconds since the Unix epoch.
    pub(crate) changed_at_ms: i64,
}

impl TimeToLive {
    /// The name of the keyspace.
    pub(crate) fn keyspace(&self) -> Arc<str> {
        format!("{DUE_KEYSPACE}{}", self.id).into()
    }

    /// Whether items are to be noted.
    pub(crate) fn notes(&self) -> bool {
        self.status != TimeToLiveStatus::Disabling
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeToLiveRecord {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    attribute: String,
    /// 1 enabling, 2 enabled, 3 disabling.
    #[prost(uint32, tag = "3")]
    status: u32,
    #[prost(sint64, tag = "4")]
    changed_at_ms: i64,
}

impl TimeToLiveRecord {
    pub(super) fn of(time_to_live: &TimeToLive) -> Self {
        Self {
            id: time_to_live.id.as_bytes().to_vec(),
            attribute: time_to_live.attribute.clone(),
            status: match time_to_live.status {
                TimeToLiveStatus::Enabling => 1,
                TimeToLiveStatus::Enabled => 2,
                TimeToLiveStatus::Disabling => 3,
            },
            changed_at_ms: time_to_live.changed_at_ms,
        }
    }

    pub(super) fn read(self) -> Result<TimeToLive, String> {
        Ok(TimeToLive {
            id: Uuid::from_slice(&self.id).map_err(|error| error.to_string())?,
            attribute: self.attribute,
            status: match self.status {
                1 => TimeToLiveStatus::Enabling,
                2 => TimeToLiveStatus::Enabled,
                3 => TimeToLiveStatus::Disabling,
                other => return Err(format!("unknown status {other} of a time to live")),
            },
            changed_at_ms: self.changed_at_ms,
        })
    }
}
