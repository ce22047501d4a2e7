//! The record of a stream that follows from a write, and its bytes (`docs/format/stream.md`).
//!
//! Invariant: every write that changes an item has one record, with what the stream's view says; the shard that it goes to
//! is a function of the item's token, so that the records of an item stand in one shard in the order of its writes. Not
//! here: sequence numbers, which the range that takes a record gives it.

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{APPENDED_TIME_BYTES, Action, DerivedRow, Growth, Origin, Route, Value};
use stator_model::codec::{read_length, write_length};
use stator_model::item::{Item, ItemRef};
use stator_model::key::{self, KeySchema};

use super::Images;
use crate::catalog::{SLOTS, StreamDefinition, StreamView, TableDefinition};

/// First byte of a record.
const FORMAT_VERSION: u8 = 1;
const INSERT: u8 = 1;
const MODIFY: u8 = 2;
const REMOVE: u8 = 3;
/// Whether the old image follows the keys, and whether the new one follows that.
const OLD_IMAGE: u8 = 1;
const NEW_IMAGE: u8 = 2;

/// What a write was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventName {
    Insert,
    Modify,
    Remove,
}

/// A record as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRecord {
    /// When the leader took the write, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) event: EventName,
    /// Who asked for the write: 0 a client.
    pub(crate) origin: Origin,
    pub(crate) keys: Item,
    pub(crate) old_image: Option<Item>,
    pub(crate) new_image: Option<Item>,
}

/// A stream as its records are derived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DerivedStream {
    keyspace: Arc<str>,
    view: StreamView,
    schema: KeySchema,
    /// What the keys of records begin with, by slot.
    prefixes: Vec<Bytes>,
}

/// What the keys of all records of a shard begin with.
pub(crate) fn shard_prefix(stream: &StreamDefinition, shard: u32) -> Vec<u8> {
    let number = shard.to_be_bytes();
    let token = key::token(stream.id.as_u64_pair().0, &number);
    [&token.to_be_bytes()[..], &number].concat()
}

/// The slot of an item.
pub(super) fn slot_of(key: &[u8]) -> u32 {
    let slot = (u128::from(key::token_of(key)) * u128::from(SLOTS)) >> 64;
    u32::try_from(slot).unwrap_or_default()
}

impl DerivedStream {
    pub(super) fn new(stream: &StreamDefinition, table: &TableDefinition) -> Self {
        let prefix = |slot| {
            let shard = stream.newest(slot).map_or(slot, |shard| shard.number);
            shard_prefix(stream, shard).into()
        };
        Self {
            keyspace: stream.keyspace(),
            view: stream.view,
            schema: table.key_schema.clone(),
            prefixes: (0..SLOTS).map(prefix).collect(),
        }
    }

    /// The record of a write.
    pub(super) fn record(&self, images: &Images<'_>, origin: Origin) -> DerivedRow {
        let (event, subject) = match (images.before, images.after) {
            (None, after) => (INSERT, after),
            (before, None) => (REMOVE, before),
            (Some(_), after) => (MODIFY, after),
        };
        let (old, new) = match self.view {
            StreamView::KeysOnly => (None, false),
            StreamView::NewImage => (None, images.after.is_some()),
            StreamView::OldImage => (images.before, false),
            StreamView::NewAndOldImages => (images.before, images.after.is_some()),
        };
        let keys = subject.map_or_else(Item::empty, |item| self.schema.project(item));
        let old_bytes = old.map_or(0, |old| old.stored().len());
        let mut head = Vec::with_capacity(12 + keys.stored().len() + old_bytes);
        let has_old = if old.is_some() { OLD_IMAGE } else { 0 };
        let has_new = if new { NEW_IMAGE } else { 0 };
        head.extend_from_slice(&[FORMAT_VERSION, event, origin, has_old | has_new]);
        for item in [Some(keys.as_ref()), old].into_iter().flatten() {
            write_length(&mut head, item.stored().len());
            head.extend_from_slice(item.stored());
        }
        let slot = usize::try_from(slot_of(images.key)).unwrap_or_default();
        DerivedRow {
            keyspace: Arc::clone(&self.keyspace),
            key: self.prefixes.get(slot).cloned().unwrap_or_default(),
            route: Route::Forward,
            action: Action::Append(Value {
                head: head.into(),
                with_cell: new,
            }),
            growth: Growth::By(1, 0),
        }
    }
}

/// When the leader took the write of a record.
pub(crate) fn time_of(cell: &[u8]) -> Option<u64> {
    cell.first_chunk::<APPENDED_TIME_BYTES>()
        .map(|at_ms| u64::from_le_bytes(*at_ms))
}

impl StreamRecord {
    /// Reads the cell of a record; `None` when it is none that this program knows.
    pub(crate) fn read(cell: &Bytes) -> Option<Self> {
        let (at_ms, record) = cell.split_first_chunk::<APPENDED_TIME_BYTES>()?;
        let [FORMAT_VERSION, event, origin, flags, ..] = *record else {
            return None;
        };
        let mut at = APPENDED_TIME_BYTES + 4;
        let mut item = || {
            let length = read_length(cell, &mut at)?;
            let end = at.checked_add(length).filter(|end| *end <= cell.len())?;
            let item = Item::from_stored(cell.slice(at..end)).ok()?;
            at = end;
            Some(item)
        };
        let keys = item()?;
        let old_image = if flags & OLD_IMAGE == 0 {
            None
        } else {
            Some(item()?)
        };
        let new_image = match flags & NEW_IMAGE {
            0 if at == cell.len() => None,
            0 => return None,
            _ => Some(Item::from_stored(cell.slice(at..)).ok()?),
        };
        Some(Self {
            at_ms: u64::from_le_bytes(*at_ms),
            event: match event {
                INSERT => EventName::Insert,
                MODIFY => EventName::Modify,
                REMOVE => EventName::Remove,
                _ => return None,
            },
            origin,
            keys,
            old_image,
            new_image,
        })
    }

    /// Bytes of its keys and images by DynamoDB's rules.
    pub(crate) fn size(&self) -> usize {
        let images = [&self.old_image, &self.new_image].into_iter().flatten();
        let size = |item: &Item| ItemRef::size(item.as_ref());
        size(&self.keys) + images.map(size).sum::<usize>()
    }
}
