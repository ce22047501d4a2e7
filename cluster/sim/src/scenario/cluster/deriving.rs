//! What follows from the cells of keyspace `main` where a run derives: a row beside each cell, a row of an index by value,
//! a record of a stream; and a row of an index that is made while clients write.
//!
//! Invariant: pure functions of the cell, so that what has to be there can be said at the end. Rows are
//! compared with cells only where logs are synced: with durability `interval`, a power cut of all nodes may leave rows whose source
//! is lost, as it may take along acknowledged writes (`tail.rs` looks at what comes behind one). Not here: what is checked (`invariant/`), who makes the late index (`online.rs`).

use std::sync::atomic::AtomicBool;

use bytes::{BufMut, Bytes, BytesMut};
use stator_cluster::{Action, Cell, CellChange, DerivedRow, Growth, Route, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::command::decode_cell;

/// Whose cells have consequences.
pub(super) const SOURCE: &str = "main";
/// The index by value.
pub(super) const INVERSE: &str = "inverse";
/// Rows beside their cells.
pub(super) const BESIDE: &str = "beside";
/// Records of the stream, in [`SHARDS`] shards.
pub(super) const LOG: &str = "log";
/// The index that is made while clients write.
pub(super) const LATE: &str = "late";
/// What is there before the first cell.
pub(super) const BEFORE_SOURCE: [&str; 3] = [INVERSE, BESIDE, LOG];
/// What a row beside a cell begins with.
pub(super) const BESIDE_HEAD: &[u8] = b"<";
/// How many shards the stream has: the upper two bits of a token.
pub(super) const SHARDS: u8 = 4;

/// What a run derives.
#[derive(Debug)]
pub(super) struct Deriving {
    /// Whether the late index is complete.
    pub(super) is_complete: AtomicBool,
    /// Whether nodes learn of metadata late.
    pub(super) is_taught: bool,
}

impl Deriving {
    pub(super) fn new(is_taught: bool) -> Self {
        Self {
            is_complete: AtomicBool::new(false),
            is_taught,
        }
    }

    /// Rows of a change, as a node says that knows of the late index or does not.
    pub(super) fn rows(change: &CellChange<'_>, knows_late: bool) -> Vec<DerivedRow> {
        if change.keyspace != SOURCE {
            return Vec::new();
        }
        let mut rows = index(INVERSE, change);
        if knows_late {
            rows.extend(index(LATE, change));
        }
        let beside = match change.after {
            Some(_) => put(BESIDE_HEAD),
            None => Action::Delete,
        };
        let key = Bytes::copy_from_slice(change.key);
        rows.push(row(BESIDE, key, Route::Beside, beside));
        let head = record_head(change.key, change.before);
        let record = Action::Append(Value {
            head,
            with_cell: true,
        });
        rows.push(row(LOG, shard_of(change.key), Route::Forward, record));
        rows
    }
}

/// The row of the late index of a cell that is there already.
pub(super) fn late_rows(key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
    vec![row(LATE, index_key(key, cell), Route::Forward, put(b""))]
}

fn put(head: &'static [u8]) -> Action {
    Action::Put(Value {
        head: Bytes::from_static(head),
        with_cell: true,
    })
}

fn row(keyspace: &str, key: Bytes, route: Route, action: Action) -> DerivedRow {
    DerivedRow {
        keyspace: keyspace.into(),
        key,
        route,
        action,
        growth: Growth::By(0, 0),
    }
}

fn index(keyspace: &str, change: &CellChange<'_>) -> Vec<DerivedRow> {
    let gone = change.before.map(|before| {
        row(
            keyspace,
            index_key(change.key, before),
            Route::Forward,
            Action::Delete,
        )
    });
    let come = change
        .after
        .map(|after| row(keyspace, index_key(change.key, after), Route::Forward, put(b"")));
    gone.into_iter().chain(come).collect()
}

/// Where an index has a cell: by the value, and then by the key.
pub(super) fn index_key(key: &[u8], cell: &[u8]) -> Bytes {
    let value = decode_cell(cell).map_or(0, |stored| stored.value);
    let mut out = BytesMut::new();
    out.put_u64(xxh3_64(&value.to_le_bytes()));
    out.put_slice(key);
    out.freeze()
}

/// What the keys of the records of a cell begin with.
pub(super) fn shard_of(key: &[u8]) -> Bytes {
    let shard = key.first().map_or(0, |byte| byte >> 6);
    Bytes::copy_from_slice(&xxh3_64(&[shard % SHARDS, 77]).to_be_bytes())
}

/// What a record begins with: the key with its length, and the cell that was there with its length.
fn record_head(key: &[u8], before: Option<&Cell>) -> Bytes {
    let mut out = BytesMut::new();
    for part in [key, before.map_or(&[][..], |cell| cell)] {
        out.put_u32_le(u32::try_from(part.len()).unwrap_or(u32::MAX));
        out.put_slice(part);
    }
    out.freeze()
}
