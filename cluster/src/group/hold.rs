//! Holds: for a moment, the leader of a group lets no write of some keyspaces into its log, so that the cells of several
//! groups can be seen as they are at one moment.
//!
//! Writes that meet a hold wait, with their latches, and go on where they were when it is lifted. Invariant: from the moment
//! at which [`Replica::hold`] has returned until the hold is lifted, no entry of this leadership changes a cell of its
//! keyspaces, prepares a transaction on one, or ends one that is prepared; whoever finds the hold in place later and then
//! finds that this replica still led in the same term knows that nobody else's entry did either. A hold ends by itself when
//! its time is over and with the leadership. Not here: all groups of a table (`coordinator/cut.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::MutexGuard;
use stator_storage::{Direction, KeyspaceId, Snapshot};
use tokio::sync::oneshot;

use super::locks::Held;
use super::prepared::Becomes;
use super::replica::{Refused, Replica, State};
use super::settings::Timing;
use super::snapshot::KeySpan;
use crate::command::Cell;
use crate::error::Error;
use crate::runtime::give_way;
use crate::seldom::Empty;
use crate::transaction::TransactionId;

/// After so many bytes of a page, others come first on the thread's processor.
const STEP_BYTES: usize = 256 << 10;

/// The longest that writes wait for a hold that nobody lifts: so short that none of them is given up meanwhile.
pub(crate) fn hold_max(timing: &Timing) -> Duration {
    timing.patience() / 2
}

/// The holds of a leadership.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// The keyspaces that each of them is about.
    held: BTreeMap<u64, Vec<u32>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Empty for Holds {
    const NOTHING: &'static Self = &Self {
        held: BTreeMap::new(),
        waiting: Vec::new(),
    };

    fn is_nothing(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }
}

impl Holds {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn is_held(&self, hold: u64) -> bool {
        self.held.contains_key(&hold)
    }

    fn holds(&self, keyspace: u32) -> bool {
        self.held.values().any(|keyspaces| keyspaces.contains(&keyspace))
    }

    /// Is answered when a hold is lifted, whichever.
    fn wait(&mut self) -> oneshot::Receiver<()> {
        let (wake, lifted) = oneshot::channel();
        self.waiting.push(wake);
        lifted
    }

    /// Lifts one; `false` if it is not in place any more.
    fn lift(&mut self, hold: u64) -> bool {
        let was_held = self.held.remove(&hold).is_some();
        if was_held {
            self.wake();
        }
        was_held
    }

    /// The leadership is over.
    pub(super) fn end(&mut self) {
        self.held.clear();
        self.wake();
    }

    fn wake(&mut self) {
        for wake in self.waiting.drain(..) {
            // Whoever waited may have left.
            wake.send(()).ok();
        }
    }
}

/// A transaction that was prepared and had come to no end when a group was cut.
#[derive(Clone, Debug)]
pub(crate) struct Undecided {
    pub(crate) transaction: TransactionId,
    /// The entry that has prepared its part.
    pub(crate) prepared_at: u64,
    /// The key of its row in the ledger.
    pub(crate) ledger: Bytes,
}

/// The cells of a group's range as they were while its writes were held.
#[derive(Debug)]
pub(crate) struct GroupCut {
    there: Snapshot,
    keyspaces: BTreeMap<u32, KeyspaceId>,
    prepared: Vec<Held>,
    /// What the transactions that stand have made of cells, when it is known which of them do.
    settled: Option<BTreeMap<(u32, Bytes), Option<Cell>>>,
}

/// Cells in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct CutRows {
    pub(crate) rows: Vec<(Bytes, Cell)>,
    /// Whether there are no more.
    pub(crate) is_last: bool,
}

impl Replica {
    /// The state to propose something with that changes cells of these keyspaces, when nobody holds them. The caller has the
    /// latches of the cells, so that nobody else has written them meanwhile.
    pub(super) async fn when_unheld<I: Iterator<Item = u32>>(
        &self,
        keyspaces: impl Fn() -> I,
    ) -> MutexGuard<'_, State> {
        loop {
            let lifted = {
                let mut state = self.state.lock();
                let holds = &mut state.holds;
                if holds.is_empty() || !keyspaces().any(|keyspace| holds.holds(keyspace)) {
                    return state;
                }
                holds.wait()
            };
            // An error says that the replica is gone, which whoever proposes is told.
            lifted.await.ok();
        }
    }

    /// Holds the writes of keyspaces. Returns when all that was proposed before is applied.
    pub(crate) async fn hold(self: &Arc<Self>, hold: u64, keyspaces: &[u32]) -> Result<(), Refused> {
        for keyspace in keyspaces {
            self.keyspace(*keyspace)?;
        }
        let (term, last) = {
            let mut state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            state.holds.held.insert(hold, keyspaces.to_vec());
            (state.core.term(), state.core.last())
        };
        let replica = Arc::clone(self);
        self.host.world.spawn(Box::pin(async move {
            let most = hold_max(&replica.host.settings.timing);
            replica.host.world.sleep(most).await;
            if replica.state.lock().holds.lift(hold) {
                tracing::debug!(group = replica.group(), "writes were held for too long");
            }
        }));
        let confirmed = self.confirm(term, last).await;
        if confirmed.is_err() {
            self.state.lock().holds.lift(hold);
        }
        confirmed
    }

    /// The cells of keyspaces that are held, and the transactions on them that are to be found out about.
    pub(crate) async fn cut(
        self: &Arc<Self>,
        hold: u64,
        keyspaces: &[u32],
    ) -> Result<(GroupCut, Vec<Undecided>), Refused> {
        let ids = keyspaces
            .iter()
            .map(|number| Ok((*number, self.keyspace(*number)?)));
        let ids = ids.collect::<Result<BTreeMap<_, _>, Refused>>()?;
        let (term, there, prepared) = {
            let state = self.state.lock();
            if !state.core.may_serve() {
                return Err(self.is_not_leader(state));
            }
            if !state.holds.is_held(hold) {
                return Err(over());
            }
            let prepared = state.locks.all_prepared_on(keyspaces);
            (state.core.term(), self.host.engine.snapshot(), prepared)
        };
        self.confirm(term, 0).await?;
        let undecided = prepared.iter().map(|held| Undecided {
            transaction: held.prepare.transaction,
            prepared_at: held.index,
            ledger: held.prepare.ledger.clone(),
        });
        let undecided = undecided.collect();
        let cut = GroupCut {
            there,
            keyspaces: ids,
            prepared,
            settled: None,
        };
        Ok((cut, undecided))
    }

    /// Lifts a hold; `true` if it was in place until now, and this replica led all the time.
    pub(crate) async fn lift(self: &Arc<Self>, hold: u64) -> Result<bool, Refused> {
        let (term, was_held) = {
            let mut state = self.state.lock();
            let was_held = state.holds.lift(hold);
            (state.core.term(), was_held)
        };
        if was_held {
            self.confirm(term, 0).await?;
        }
        Ok(was_held)
    }
}

fn over() -> Refused {
    Refused::NotNow("the hold of the range's writes is over".to_owned())
}

impl GroupCut {
    /// It is known which of the transactions that were prepared stand.
    pub(crate) fn settle(&mut self, stands: &[TransactionId]) {
        let mut cells = BTreeMap::new();
        for held in self.prepared.drain(..) {
            if !stands.contains(&held.prepare.transaction) {
                continue;
            }
            for action in &held.prepare.actions {
                let cell = match &action.becomes {
                    Becomes::Cell(cell) => Some(cell.clone()),
                    Becomes::Removed => None,
                    Becomes::Nothing => continue,
                };
                if self.keyspaces.contains_key(&action.keyspace) {
                    cells.insert((action.keyspace, action.key.clone()), cell);
                }
            }
        }
        self.settled = Some(cells);
    }

    /// The cells of a keyspace behind a key, about so many bytes of them. `span` is that of the group's range.
    ///
    /// # Errors
    /// [`Refused::NotNow`] before it is settled, [`Error::NoSuchKeyspace`], what the engine says.
    pub(crate) fn rows(
        &self,
        keyspace: u32,
        span: &KeySpan,
        behind: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<CutRows, Refused> {
        let settled = self.settled.as_ref().ok_or_else(over)?;
        let id = *self.keyspaces.get(&keyspace).ok_or(Error::NoSuchKeyspace)?;
        let (mut start, end) = span.clone();
        if let Some(behind) = behind {
            start = std::ops::Bound::Excluded(behind.to_vec());
        }
        let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        let mut there = match self.there.range_past_cache(id, bounds, Direction::Forward) {
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => return Err(Error::NoSuchKeyspace.into()),
            there => there.map_err(Error::from)?,
        };
        let changed = settled.iter().filter(|((of, key), _)| {
            *of == keyspace && std::ops::RangeBounds::<[u8]>::contains(&bounds, &key[..])
        });
        let mut changed = changed.peekable();
        let (mut found, mut bytes) = (CutRows::default(), 0);
        let mut has_row = there.advance().map_err(Error::from)?;
        while bytes < bytes_max {
            let next = changed.peek().map(|((_, key), cell)| (key, cell));
            let (key, cell) = match next {
                Some((key, cell)) if !has_row || &key[..] <= there.key() => {
                    if has_row && &key[..] == there.key() {
                        has_row = there.advance().map_err(Error::from)?;
                    }
                    let row = (key.clone(), (*cell).clone());
                    changed.next();
                    row
                }
                _ if has_row => {
                    let key = Bytes::copy_from_slice(there.key());
                    let cell = there.value_shared().into_bytes();
                    has_row = there.advance().map_err(Error::from)?;
                    (key, Some(cell))
                }
                _ => {
                    found.is_last = true;
                    break;
                }
            };
            if let Some(cell) = cell {
                let before = bytes / STEP_BYTES;
                bytes += key.len() + cell.len();
                found.rows.push((key, cell));
                if bytes / STEP_BYTES != before {
                    give_way();
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_once_and_wakes_all_who_wait() {
        let mut holds = Holds::default();
        holds.held.insert(1, vec![7]);
        holds.held.insert(2, vec![8]);
        assert!(holds.holds(7) && holds.holds(8) && !holds.holds(9));
        let mut waits = holds.wait();
        assert!(waits.try_recv().is_err());
        assert!(holds.lift(1));
        assert!(waits.try_recv().is_ok());
        assert!(!holds.lift(1) && !holds.holds(7) && holds.is_held(2));
        holds.end();
        assert!(holds.is_empty());
    }
}
