//! Reads of several cells of a group at one moment, by its leader.
//!
//! Invariant: cells that a transaction has locked are not shown, as they may not be the newest of one that stands; what is
//! said to be unchanged was not written between the two questions. Not here: reads of one cell (`read.rs`), several groups
//! (`coordinator/transact.rs`).

use std::sync::Arc;

use bytes::Bytes;

use super::effect::Record;
use super::replica::{Refused, Replica};
use crate::command::Cell;

/// Cells that were read together, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// They were this when everything up to `applied` was applied, and perhaps more. As many as there was room for, the first
    /// of them at least.
    Cells { applied: u64, cells: Vec<Option<Cell>> },
    /// They are what they were when asked about since then.
    Unchanged,
    /// Some of them are being written, or were since then.
    Busy(Vec<bool>),
}

impl Replica {
    /// Reads cells of one moment, as the leader, from the first one on and as far as they are `bytes_max` bytes together. With
    /// `since` it looks only whether they were written since then.
    ///
    /// Locks are looked at before the cells: a transaction that stood before this was called either still has its lock, or
    /// its cells are applied.
    pub(crate) async fn see(
        self: &Arc<Self>,
        keys: &[(u32, Bytes)],
        since: Option<u64>,
        bytes_max: usize,
    ) -> Result<Seen, Refused> {
        self.read_barrier().await?;
        let applied = {
            let state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            let busy: Vec<_> = keys
                .iter()
                .map(|(keyspace, key)| state.locks.hides(*keyspace, key))
                .collect();
            if busy.contains(&true) {
                return Ok(Seen::Busy(busy));
            }
            state.applied
        };
        if let Some(since) = since {
            let written = self.written(keys, since, applied);
            return Ok(if written.contains(&true) {
                Seen::Busy(written)
            } else {
                Seen::Unchanged
            });
        }
        let snapshot = self.host.engine.snapshot();
        let (mut cells, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for (keyspace, key) in keys {
            let id = self.keyspace(*keyspace)?;
            let cell = snapshot.get(id, key)?.map(stator_storage::Value::into_bytes);
            bytes += cell.as_ref().map_or(0, Bytes::len);
            if bytes > bytes_max && !cells.is_empty() {
                break;
            }
            cells.push(cell);
        }
        Ok(Seen::Cells { applied, cells })
    }

    /// Which cells entries behind `since` up to `applied` may have written.
    fn written(&self, keys: &[(u32, Bytes)], since: u64, applied: u64) -> Vec<bool> {
        let mut written = vec![false; keys.len()];
        if applied <= since {
            return written;
        }
        let reader = self.log.lock().reader();
        let read = reader.each(since + 1..applied + 1, &mut |entry| {
            if let Some(record) = Record::of_entry(&entry) {
                for ((keyspace, key), written) in keys.iter().zip(&mut written) {
                    *written |= record.touches(entry.index, *keyspace, key);
                }
            }
            Ok(())
        });
        if let Err(error) = read {
            // Its end may not be written yet.
            tracing::debug!(%error, group = self.group, "the log does not say whether cells were written");
            written.fill(true);
        }
        written
    }
}
