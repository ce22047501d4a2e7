//! The rows that say when items are due, in the order of the time, beside the items.
//!
//! Invariant: there is one row for every item whose attribute is a number of seconds that is above 0, under that number.
//! Whether an item that is due goes is decided when its time has come (`command/expire.rs`).
//!
//! Rules: Amazon DynamoDB Developer Guide, "Using time to live (TTL)".

use std::sync::Arc;

use stator_cluster::{Action, DerivedRow, Growth, Route, Value};
use stator_model::attribute::{RawValue, ValueRef};
use stator_model::item::ItemRef;
use uuid::Uuid;

use super::Images;
use crate::catalog::TimeToLive;

/// Bytes of a token that a row has of its item. Token ranges are cut by at most so many, so that row and item lie in one.
pub(crate) const BUCKET_BYTES: usize = 2;
/// Bytes of a token.
const TOKEN_BYTES: usize = 8;

/// A time to live as its rows are derived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DerivedDue {
    id: Uuid,
    keyspace: Arc<str>,
    attribute: String,
}

/// When an item with this value is due, in whole seconds since the Unix epoch; `None` for a value that says no time.
pub(crate) fn due_s(value: RawValue<'_>) -> Option<u64> {
    let ValueRef::Number(number) = value.open() else {
        return None;
    };
    let text = number.format();
    let whole = text.as_str().split('.').next().unwrap_or_default();
    whole.parse().ok().filter(|seconds| *seconds > 0)
}

/// What the keys of the rows of one bucket begin with.
pub(crate) fn bucket(token: u64) -> [u8; TOKEN_BYTES] {
    let mut bucket = [0; TOKEN_BYTES];
    let (head, _) = bucket.split_at_mut(BUCKET_BYTES);
    head.copy_from_slice(&token.to_be_bytes()[..BUCKET_BYTES]);
    bucket
}

/// When a row is due, and the key of its item.
pub(crate) fn read_key(key: &[u8]) -> Option<(u64, &[u8])> {
    let (_, rest) = key.split_first_chunk::<TOKEN_BYTES>()?;
    let (due, item) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*due), item))
}

impl DerivedDue {
    pub(super) fn new(time_to_live: &TimeToLive) -> Self {
        Self {
            id: time_to_live.id,
            keyspace: time_to_live.keyspace(),
            attribute: time_to_live.attribute.clone(),
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Appends the rows that follow from a write.
    pub(super) fn derive(&self, images: &Images<'_>, rows: &mut Vec<DerivedRow>) {
        let due = |item: ItemRef<'_>| due_s(item.get(self.attribute.as_bytes())?);
        let (before, after) = (images.before.and_then(due), images.after.and_then(due));
        if before == after {
            return;
        }
        if let Some(due) = before {
            rows.push(self.row(images.key, due, Action::Delete, -1));
        }
        if let Some(due) = after {
            rows.push(self.row(images.key, due, Action::Put(Value::default()), 1));
        }
    }

    fn row(&self, item: &[u8], due: u64, action: Action, more: i8) -> DerivedRow {
        let bucket = bucket(stator_model::key::token_of(item));
        DerivedRow {
            keyspace: Arc::clone(&self.keyspace),
            key: [&bucket[..], &due.to_be_bytes(), item].concat().into(),
            route: Route::Beside,
            action,
            growth: Growth::By(more, 0),
        }
    }
}
