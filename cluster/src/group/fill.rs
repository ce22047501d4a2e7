//! Rows for cells that were there before what is derived from them.
//!
//! Invariant: the rows of a cell follow from its newest image, under its latch, and have their place in the log of the
//! cell's own range, among the writes of the cell; so whatever is written meanwhile comes before or behind and both are
//! right. Not here: which ranges are filled, and when all is done (`coordinator/forward.rs`).

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::accept::settled;
use super::derive::behind;
use super::effect::{Effect, Fill};
use super::replica::{Refused, Replica};
use super::write::Target;

/// A part of a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filling {
    /// The keyspace of the cells, by its number.
    pub(crate) keyspace: u32,
    /// What is to be derived, in bytes of the caller's.
    pub(crate) what: Bytes,
    /// Only keys between these.
    pub(crate) start: Bound<Vec<u8>>,
    pub(crate) end: Bound<Vec<u8>>,
    /// The metadata that leaders have to know from before the first cell is filled.
    pub(crate) required: u64,
    /// How many cells at most.
    pub(crate) count: u32,
}

/// What a part of a fill has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Cells that were looked at.
    pub(crate) cells: u64,
    /// The last one; `None` when there are no more behind.
    pub(crate) last: Option<Bytes>,
}

impl Replica {
    /// Fills the next cells as the leader, and answers when their rows are in the log for good.
    pub(crate) async fn fill(self: &Arc<Self>, filling: &Filling) -> Result<Filled, Refused> {
        let term = {
            let state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            // Applied, so that what was written without it can be read.
            if state.required < filling.required {
                let cause = "the range does not ask its leaders yet to know what is filled".to_owned();
                return Err(Refused::NotNow(cause));
            }
            state.core.term()
        };
        self.wait_for_rows().await?;
        let (keys, is_last) = self.keys_to_fill(filling)?;
        let mut filled = Filled {
            cells: keys.len() as u64,
            last: keys.last().filter(|_| !is_last).cloned(),
        };
        let mut outcome = None;
        for key in &keys {
            self.host.admit(key.len()).await;
            outcome = self.fill_one(filling, key, term).await?.or(outcome);
        }
        if let Some(outcome) = outcome {
            // Those before it are committed with it, as all of them were made in one leadership.
            settled(outcome).await?;
        }
        if is_last {
            filled.last = None;
        }
        Ok(filled)
    }

    fn keys_to_fill(&self, filling: &Filling) -> Result<(Vec<Bytes>, bool), Refused> {
        let id = self.keyspace(filling.keyspace)?;
        let bounds = (
            filling.start.as_ref().map(Vec::as_slice),
            filling.end.as_ref().map(Vec::as_slice),
        );
        let forward = stator_storage::Direction::Forward;
        let mut rows = self.host.engine.snapshot().range(id, bounds, forward)?;
        let mut keys = Vec::new();
        while keys.len() < usize::try_from(filling.count).unwrap_or(usize::MAX) {
            if !rows.advance()? {
                return Ok((keys, true));
            }
            keys.push(Bytes::copy_from_slice(rows.key()));
        }
        Ok((keys, false))
    }

    async fn fill_one(
        self: &Arc<Self>,
        filling: &Filling,
        key: &[u8],
        term: u64,
    ) -> Result<Option<oneshot::Receiver<Result<(), Refused>>>, Refused> {
        let keyspace = filling.keyspace;
        let latch = self.host.latches.acquire(keyspace, key).await;
        let (now, current, _) = self.newest(&Target { keyspace, key })?;
        if now != term {
            return Err(Refused::NotLeader(self.other_leader()));
        }
        let Some(cell) = current else { return Ok(None) };
        let known = self.known_for(keyspace)?;
        if known < filling.required {
            // Where the rows would go may not be known yet either, and they would be left out.
            return Err(behind());
        }
        let name = self.name_of(keyspace)?;
        let rows = self.host.commands.fill(&filling.what, &name, key, &cell);
        let rows = self.resolve(rows)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut encoded = Fill {
            at_ms: 0,
            rows: materialized(rows, &cell),
        }
        .encode();
        let unix_ms = self.host.world.unix_ms();
        let mut state = self.state.lock();
        if !state.leads() || state.core.term() != term {
            return Err(Refused::NotLeader(self.other_leader()));
        }
        if known < state.required.max(state.requiring) {
            return Err(behind());
        }
        state.last_at_ms = state.last_at_ms.max(unix_ms);
        Effect::stamp(&mut encoded, state.last_at_ms);
        let Some((index, _)) = state.core.propose(encoded.freeze()) else {
            return Err(Refused::NotLeader(self.other_leader()));
        };
        drop(latch);
        Ok(Some(self.pend(state, index)))
    }
}

/// A fill has no cell of its own that rows could refer to.
fn materialized(mut rows: Vec<super::rows::Row>, cell: &Bytes) -> Vec<super::rows::Row> {
    for row in &mut rows {
        row.head = row.value(Some(cell));
        row.with_cell = false;
    }
    rows
}
