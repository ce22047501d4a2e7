//! The rows of an index that follow from a write, and what they cost.
//!
//! Invariant: applied in order to the rows of an index that is f(items), they leave the rows that are f(items). Not here:
//! keys and projections (`stator_model::index`).
//!
//! Costs: Amazon DynamoDB Developer Guide, "Using Global Secondary Indexes: Provisioned throughput considerations".

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{Action, DerivedRow, Growth, Route, Unfit, Value};
use stator_model::codec::{read_length, write_length};
use stator_model::index::{IndexKeys, IndexKind, Misfit, Projection};
use stator_model::item::{Item, ItemRef};
use uuid::Uuid;

use super::{Images, unfit};
use crate::catalog::{IndexDefinition, TableDefinition};
use crate::command::ITEM_BYTES_MAX;
use crate::message;

/// Bytes that one write unit covers.
const WRITE_UNIT_BYTES: usize = 1024;

/// An index as its rows are derived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DerivedIndex {
    id: Uuid,
    name: String,
    keyspace: Arc<str>,
    keys: IndexKeys,
    projection: Projection,
    /// Whether it is not known yet which rows are there.
    is_being_made: bool,
}

/// What a write has cost in one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexUnits {
    pub(crate) kind: IndexKind,
    pub(crate) name: String,
    /// Write units.
    pub(crate) units: usize,
}

/// The row of an item.
struct Row {
    key: Vec<u8>,
    size: usize,
    /// `None` when it is the item itself.
    projected: Option<Item>,
}

impl Row {
    fn units(&self) -> usize {
        self.size.div_ceil(WRITE_UNIT_BYTES).max(1)
    }

    fn bytes(&self) -> i64 {
        i64::try_from(self.size).unwrap_or(i64::MAX)
    }
}

impl DerivedIndex {
    pub(super) fn new(index: &IndexDefinition, table: &TableDefinition) -> Self {
        Self {
            id: index.id,
            name: index.name.clone(),
            keyspace: index.keyspace(),
            keys: index.keys(&table.key_schema, table.seed()),
            projection: index.projection.clone(),
            is_being_made: index.status.is_being_made(),
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Appends the rows that follow from a write; says what they cost if anything does.
    pub(super) fn derive(
        &self,
        images: &Images<'_>,
        rows: &mut Vec<DerivedRow>,
    ) -> Result<Option<IndexUnits>, Unfit> {
        // What was there before the index may not fit it, and has no row then.
        let before = images.before.and_then(|item| self.row(item).ok().flatten());
        let after = match images.after {
            Some(item) => match self.row(item) {
                Ok(row) if self.is_too_large(row.as_ref(), item) && !images.stands => {
                    return Err(Unfit {
                        code: unfit::VALIDATION,
                        reason: message::UPDATED_ITEM_TOO_LARGE.to_owned(),
                    });
                }
                Ok(row) => row,
                Err(_) if images.stands => None,
                Err(misfit) => {
                    return Err(Unfit {
                        code: unfit::VALIDATION,
                        reason: message::index::misfit_of_update(&misfit),
                    });
                }
            },
            None => None,
        };
        let units = match (before, after) {
            (None, None) => return Ok(None),
            (None, Some(row)) => {
                let units = row.units();
                rows.push(self.put(row, 1, 0));
                units
            }
            (Some(row), None) => {
                rows.push(self.delete(&row));
                row.units()
            }
            (Some(old), Some(new)) if old.key == new.key => {
                if is_same(&old, &new, images) {
                    return Ok(None);
                }
                let units = old.units().max(new.units());
                let before = old.bytes();
                rows.push(self.put(new, 0, before));
                units
            }
            (Some(old), Some(new)) => {
                let units = old.units() + new.units();
                rows.push(self.delete(&old));
                rows.push(self.put(new, 1, 0));
                units
            }
        };
        Ok(Some(IndexUnits {
            kind: self.keys.kind(),
            name: self.name.clone(),
            units,
        }))
    }

    /// Whether an item is too large together with its row in a local index.
    fn is_too_large(&self, row: Option<&Row>, item: ItemRef<'_>) -> bool {
        let is_local = self.keys.kind() == IndexKind::Local;
        is_local && row.is_some_and(|row| item.size() + row.size > ITEM_BYTES_MAX)
    }

    fn row(&self, item: ItemRef<'_>) -> Result<Option<Row>, Misfit> {
        let Some(key) = self.keys.row_key(item)? else {
            return Ok(None);
        };
        let projected = match self.projection {
            Projection::All => None,
            _ => Some(self.keys.project(&self.projection, item)),
        };
        Ok(Some(Row {
            key,
            size: projected.as_ref().map_or(item, Item::as_ref).size(),
            projected,
        }))
    }

    fn derived(&self, key: Vec<u8>, action: Action, change: (i8, i64)) -> DerivedRow {
        DerivedRow {
            keyspace: Arc::clone(&self.keyspace),
            key: key.into(),
            route: match self.keys.kind() {
                IndexKind::Local => Route::Beside,
                IndexKind::Global => Route::Forward,
            },
            action,
            growth: if self.is_being_made {
                Growth::Found
            } else {
                Growth::By(change.0, change.1)
            },
        }
    }

    fn put(&self, row: Row, more: i8, bytes_before: i64) -> DerivedRow {
        let change = (more, row.bytes() - bytes_before);
        let value = Value {
            with_cell: row.projected.is_none(),
            head: row
                .projected
                .map_or_else(Bytes::new, |item| item.stored().clone()),
        };
        self.derived(row.key, Action::Put(value), change)
    }

    fn delete(&self, row: &Row) -> DerivedRow {
        self.derived(row.key.clone(), Action::Delete, (-1, -row.bytes()))
    }
}

/// Rows with equal keys are the same if what they have of the items is.
fn is_same(old: &Row, new: &Row, images: &Images<'_>) -> bool {
    match (&old.projected, &new.projected) {
        (Some(old), Some(new)) => old == new,
        _ => images.before.map(ItemRef::stored) == images.after.map(ItemRef::stored),
    }
}

impl IndexUnits {
    /// Units as bytes that [`IndexUnits::decode`] reads: none for none.
    pub(super) fn encode(all: &[Self]) -> Bytes {
        let mut bytes = Vec::new();
        for one in all {
            bytes.push(match one.kind {
                IndexKind::Local => 1,
                IndexKind::Global => 2,
            });
            write_length(&mut bytes, one.units);
            write_length(&mut bytes, one.name.len());
            bytes.extend_from_slice(one.name.as_bytes());
        }
        bytes.into()
    }

    /// Reads units; `None` when the bytes are something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Self>> {
        let (mut all, mut at) = (Vec::new(), 0);
        while let Some(kind) = bytes.get(at) {
            at += 1;
            let kind = match kind {
                1 => IndexKind::Local,
                2 => IndexKind::Global,
                _ => return None,
            };
            let units = read_length(bytes, &mut at)?;
            let length = read_length(bytes, &mut at)?;
            let name = bytes.get(at..at.checked_add(length)?)?;
            at += length;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            all.push(Self { kind, name, units });
        }
        Some(all)
    }
}
