//! A replica as it is between two entries: what another one needs to go on from there.
//!
//! Invariant: cells, marks, memory of requests and members are those of one entry, the last one that is applied; of the log
//! there is as much as a later leader may have to read again. It is taken by the thread that applies, between two runs of
//! entries, holds no lock afterwards, and is handed out in pages from a snapshot of the engine. Not here: how long it is
//! kept (`node/snapshots.rs`), who writes it down again (`node/install.rs`).

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use stator_storage::{Direction, KeyspaceId, Snapshot};
use tokio::sync::oneshot;

use super::apply::METADATA_GROUP;
use super::journal::JournalReader;
use super::note::Note;
use super::replica::{Refused, Replica};
use crate::error::Error;
use crate::metadata::keyspaces::{METADATA, OWN_MARKS};
use crate::raft::{Entry, Members};

/// How often the log is looked at for an entry that is on its way there.
const LOOK: Duration = Duration::from_millis(1);

/// Gets the replica as it is.
pub(crate) type SnapshotWanted = oneshot::Sender<Result<GroupSnapshot, String>>;

/// The span of keys of a group in the keyspaces of callers.
pub(crate) type KeySpan = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct GroupSnapshot {
    group: u32,
    /// Of the engine.
    there: Snapshot,
    /// The last entry that is applied, and its term.
    pub(crate) at: (u64, u64),
    /// The entry before the first one that a later leader may have to read again, and its term.
    pub(crate) before: (u64, u64),
    pub(crate) members: Members,
    pub(crate) note: Note,
    /// By number: the keyspaces with cells of the group.
    keyspaces: Vec<(u32, KeyspaceId)>,
    /// Of all keyspaces of callers, with their names: what group 0 has made.
    pub(crate) named: Vec<(u32, Arc<str>)>,
    log: JournalReader,
}

/// A cell of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotCell {
    pub(crate) keyspace: u32,
    pub(crate) key: Bytes,
    pub(crate) cell: Bytes,
}

/// As much of a snapshot as is handed out at a time.
#[derive(Debug, Default)]
pub(crate) struct SnapshotPage {
    pub(crate) entries: Vec<Entry>,
    pub(crate) cells: Vec<SnapshotCell>,
    /// Where the next page begins; `None` if this is the last one.
    pub(crate) next: Option<Bytes>,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// With an entry of the log.
    Entry(u64),
    /// In one of the keyspaces, by their order, behind a key.
    Cell(u32, Bytes),
}

const ENTRY: u8 = 1;
const CELL: u8 = 2;

impl Place {
    fn encode(&self) -> Bytes {
        let mut bytes = Vec::new();
        match self {
            Self::Entry(index) => {
                bytes.put_u8(ENTRY);
                bytes.put_u64_le(*index);
            }
            Self::Cell(keyspace, key) => {
                bytes.put_u8(CELL);
                bytes.put_u32_le(*keyspace);
                bytes.put_slice(key);
            }
        }
        bytes.into()
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            ENTRY => Some(Self::Entry(bytes.try_get_u64_le().ok()?)),
            CELL => Some(Self::Cell(bytes.try_get_u32_le().ok()?, bytes)),
            _ => None,
        }
    }
}

impl Replica {
    /// The replica as it is between two entries.
    ///
    /// # Errors
    /// [`Refused::NotNow`].
    pub(crate) async fn snapshot(self: &Arc<Self>) -> Result<GroupSnapshot, Refused> {
        let (wanted, taken) = oneshot::channel();
        self.apply.lock().want_snapshot(wanted);
        self.drain_apply();
        let snapshot = match taken.await {
            Ok(snapshot) => snapshot,
            Err(_) => Err("the replica was closed".to_owned()),
        };
        let mut snapshot = snapshot.map_err(Refused::NotNow)?;
        // An entry may be applied before this node's own log has it.
        while snapshot.log.extent().end <= snapshot.at.0 {
            if self.is_retired() {
                return Err(Refused::NotNow("the replica has been given up".to_owned()));
            }
            self.host.world.sleep(LOOK).await;
        }
        // The answers are in the log and in the note before it.
        let is_complete = snapshot.note.complete(&snapshot.log).map_err(Refused::NotNow)?;
        if !is_complete {
            let cause = "the answers of requests are not there any more, or not yet";
            return Err(Refused::NotNow(cause.to_owned()));
        }
        Ok(snapshot)
    }

    /// The thread that applies is between two runs: gives the replica as it is to everybody who wants it.
    pub(super) fn take_snapshots(&self, wanted: Vec<SnapshotWanted>) {
        for waiter in wanted {
            // Whoever wanted it may have left.
            drop(waiter.send(self.take_snapshot()));
        }
    }

    fn take_snapshot(&self) -> Result<GroupSnapshot, String> {
        let keyspaces = &self.host.keyspaces;
        let all = keyspaces.all();
        let mut with_cells = vec![(OWN_MARKS, keyspaces.marks())];
        if self.group == METADATA_GROUP {
            with_cells.push((METADATA, keyspaces.metadata()));
        } else {
            with_cells.extend(all.iter().map(|(number, id, _)| (*number, *id)));
        }
        let log = self.log.lock().reader();
        let state = self.state.lock();
        if !self.is_readable() {
            return Err("the replica has nothing to show".to_owned());
        }
        let applied = state.applied;
        let first_open = state.forwarding.first_open().unwrap_or(u64::MAX);
        let before = applied.min(first_open.saturating_sub(1));
        let term_of = |index| {
            let term = state.core.term_of(index);
            term.ok_or_else(|| format!("the term of entry {index} is not known any more"))
        };
        Ok(GroupSnapshot {
            group: self.group,
            there: self.host.engine.snapshot(),
            at: (applied, term_of(applied)?),
            before: (before, term_of(before)?),
            members: state.core.members().clone(),
            note: state.invocations.note(applied, state.last_at_ms),
            keyspaces: with_cells,
            named: all.into_iter().map(|(number, _, name)| (number, name)).collect(),
            log,
        })
    }
}

impl GroupSnapshot {
    /// The group of which it is.
    pub(crate) fn group(&self) -> u32 {
        self.group
    }

    /// A page of about so many bytes, from a place on that an earlier page has named, or from the beginning. `span` is that
    /// of the group's range in the keyspaces of callers.
    ///
    /// # Errors
    /// [`Refused::NotNow`] if what it needs of the log is gone: then another snapshot has to be taken.
    pub(crate) fn page(
        &self,
        from: Option<Bytes>,
        span: &KeySpan,
        bytes_max: usize,
    ) -> Result<SnapshotPage, Refused> {
        let malformed = || Refused::NotNow("there is no such place in the snapshot".to_owned());
        let place = match from {
            None => Place::Entry(self.before.0 + 1),
            Some(bytes) => Place::decode(bytes).ok_or_else(malformed)?,
        };
        let mut page = SnapshotPage::default();
        let mut bytes = 0;
        let next = match place {
            Place::Entry(from) => self.entries(from, bytes_max, &mut bytes, &mut page)?,
            Place::Cell(..) => Some(place),
        };
        let Some(Place::Cell(mut at, mut behind)) = next.clone() else {
            page.next = next.map(|next| next.encode());
            return Ok(page);
        };
        while bytes < bytes_max {
            let Some(keyspace) = usize::try_from(at).ok().and_then(|at| self.keyspaces.get(at)) else {
                return Ok(page);
            };
            let last = self.cells(*keyspace, span, &behind, (bytes_max, &mut bytes), &mut page)?;
            (at, behind) = last.map_or((at + 1, Bytes::new()), |last| (at, last));
        }
        page.next = Some(Place::Cell(at, behind).encode());
        Ok(page)
    }

    /// Adds entries of the log; gives the place behind them.
    fn entries(
        &self,
        from: u64,
        bytes_max: usize,
        bytes: &mut usize,
        page: &mut SnapshotPage,
    ) -> Result<Option<Place>, Refused> {
        let mut at = from;
        while at <= self.at.0 && *bytes < bytes_max {
            let entry = self.log.entry(at);
            let entry = entry.ok().flatten().ok_or_else(|| {
                Refused::NotNow(format!("entry {at} is not in the log any more; begin anew"))
            })?;
            *bytes += entry.data.len();
            page.entries.push(entry);
            at += 1;
        }
        Ok(Some(if at <= self.at.0 {
            Place::Entry(at)
        } else {
            Place::Cell(0, Bytes::new())
        }))
    }

    /// Adds cells of a keyspace behind a key; gives the last key if there are more.
    fn cells(
        &self,
        (number, id): (u32, KeyspaceId),
        span: &KeySpan,
        behind: &Bytes,
        (bytes_max, bytes): (usize, &mut usize),
        page: &mut SnapshotPage,
    ) -> Result<Option<Bytes>, Refused> {
        let (mut start, end) = span_of(self.group, number, span);
        if !behind.is_empty() {
            start = Bound::Excluded(behind.to_vec());
        }
        let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        let mut rows = match self.there.range(id, bounds, Direction::Forward) {
            // It was dropped since, and everywhere else as well.
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => return Ok(None),
            rows => rows.map_err(Error::from)?,
        };
        while rows.advance().map_err(Error::from)? {
            let key = Bytes::copy_from_slice(rows.key());
            *bytes += key.len() + rows.value().len();
            page.cells.push(SnapshotCell {
                keyspace: number,
                key: key.clone(),
                cell: rows.value_shared().into_bytes(),
            });
            if *bytes >= bytes_max {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

/// Where the keys of a group lie in a keyspace.
pub(crate) fn span_of(group: u32, keyspace: u32, span: &KeySpan) -> KeySpan {
    match keyspace {
        OWN_MARKS => {
            let (start, end) = (group.to_be_bytes(), group.wrapping_add(1).to_be_bytes());
            (Bound::Included(start.to_vec()), Bound::Excluded(end.to_vec()))
        }
        METADATA => (Bound::Unbounded, Bound::Unbounded),
        _ => span.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_comes_back_as_it_was(index in any::<u64>(), keyspace in any::<u32>(), key in vec(any::<u8>(), 0..9)) {
            for place in [Place::Entry(index), Place::Cell(keyspace, key.into())] {
                prop_assert_eq!(Place::decode(place.encode()), Some(place));
            }
        }

        #[test]
        fn arbitrary_places_never_panic(bytes in vec(0_u8..4, 0..20)) {
            Place::decode(bytes.into());
        }
    }
}
