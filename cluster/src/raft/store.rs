//! The log of a replica as the `raft` crate sees it: the newest entries in memory, older ones on request.
//!
//! Invariant: the log here is what was handed to the disk, in order, whether the disk has it yet or not. Nothing is read
//! from the disk in here: what is not in memory is asked for ([`Fetch`]) and handed in later. Not here: writing.

use std::collections::VecDeque;
use std::sync::Mutex;

use raft::eraftpb::{Entry as RaftEntry, EntryType, HardState as RaftHardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::{Entry, EntryKind, HardState, Kept, Members};
use crate::seldom::Queue;

/// Bytes of entries of a group with several members that stay in memory although they are applied, so that followers that
/// lag a little need no disk. A node has hundreds of groups.
const RECENT_BYTES_MAX: usize = 256 << 10;

/// What a replica knows of itself after a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// What it had last made durable.
    pub(crate) hard_state: HardState,
    /// Who takes part.
    pub(crate) members: Members,
    /// The index and the term of the entry before the first one of the log.
    pub(crate) before: (u64, u64),
    /// The terms of the entries: the first index of each term, ascending.
    pub(crate) terms: Vec<(u64, u64)>,
    /// The last index of the log.
    pub(crate) last: u64,
    /// The entries behind the one that was applied last, without a gap up to the last one.
    pub(crate) unapplied: Vec<Entry>,
    /// Whether the replica has nothing of what its group has: it waits to be filled from another one. Its log is empty.
    pub(crate) is_unfilled: bool,
}

impl Recovered {
    /// Of a replica that waits to be filled, and has kept this.
    pub(crate) fn unfilled(kept: Kept) -> Self {
        Self {
            // It may have been filled half-way.
            hard_state: HardState {
                commit: 0,
                ..kept.hard_state
            },
            members: kept.members,
            is_unfilled: true,
            ..Self::default()
        }
    }
}

/// Entries that are wanted from the disk.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// The first index.
    pub(crate) from: u64,
    /// Not included.
    pub(crate) to: u64,
    /// As many as fit, and at least one.
    pub(crate) bytes_max: u64,
    context: GetEntriesContext,
}

impl Fetch {
    /// What the core wants back together with the entries.
    pub(super) fn into_context(self) -> GetEntriesContext {
        self.context
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Store {
    hard_state: HardState,
    members: Members,
    before: (u64, u64),
    /// The first index of each term.
    terms: VecDeque<(u64, u64)>,
    last: u64,
    /// The newest entries, without a gap up to `last`.
    recent: Queue<RaftEntry>,
    recent_bytes: usize,
    applied: u64,
    /// `None` until something is asked for, as in most groups of a node. Behind a lock because the crate reads through a shared
    /// reference; nobody else ever holds it.
    fetching: Mutex<Option<Box<Fetching>>>,
}

#[derive(Debug, Default)]
struct Fetching {
    wanted: Vec<Fetch>,
    /// Members that need what the log does not have any more.
    behind: Vec<u64>,
    /// What was fetched last.
    fetched: VecDeque<RaftEntry>,
}

impl Store {
    pub(super) fn new(recovered: Recovered) -> Self {
        let Recovered {
            hard_state,
            members,
            before,
            terms,
            last,
            unapplied,
            is_unfilled: _,
        } = recovered;
        let applied = last - unapplied.len() as u64;
        let mut store = Self {
            hard_state,
            members,
            before,
            terms: terms.into(),
            last,
            recent: Queue::default(),
            recent_bytes: 0,
            applied,
            fetching: Mutex::default(),
        };
        for entry in unapplied {
            store.remember(to_raft_entry(entry));
        }
        store
    }

    fn remember(&mut self, entry: RaftEntry) {
        self.recent_bytes += bytes_of(&entry);
        self.recent.push_back(entry);
    }

    /// Takes entries as the newest ones; those with the same or later indices go.
    pub(super) fn append(&mut self, entries: &[RaftEntry]) {
        let Some(first) = entries.first() else {
            return;
        };
        while self.recent.back().is_some_and(|last| last.index >= first.index) {
            if let Some(gone) = self.recent.pop_back() {
                self.recent_bytes -= bytes_of(&gone);
            }
        }
        while self.terms.back().is_some_and(|(index, _)| *index >= first.index) {
            self.terms.pop_back();
        }
        for entry in entries {
            if self.terms.back().is_none_or(|(_, term)| *term != entry.term) {
                self.terms.push_back((entry.index, entry.term));
            }
            self.last = entry.index;
            self.remember(entry.clone());
        }
        self.lock_fetching(|fetching| {
            if let Some(fetching) = fetching {
                fetching.fetched.clear();
            }
        });
    }

    /// Lets go of what need not be in memory any more.
    pub(super) fn set_applied(&mut self, applied: u64) {
        self.applied = self.applied.max(applied);
        let is_alone = self.members.nodes.len() <= 1;
        let bytes_max = if is_alone { 0 } else { RECENT_BYTES_MAX };
        while self.recent_bytes > bytes_max
            && self
                .recent
                .front()
                .is_some_and(|entry| entry.index <= self.applied)
        {
            if let Some(gone) = self.recent.pop_front() {
                self.recent_bytes -= bytes_of(&gone);
            }
        }
    }

    /// Lets go of the entries that are applied, which the log has as well, and of the memory that the queues do not use.
    pub(super) fn shed(&mut self) {
        while self
            .recent
            .pop_front_if(|entry| entry.index <= self.applied)
            .is_some()
        {}
        self.recent_bytes = self.recent.iter().map(bytes_of).sum();
        self.recent.shed();
        self.terms.shrink_to_fit();
        self.lock_fetching(|fetching| *fetching = None);
    }

    /// The log begins with `first` from now on.
    pub(super) fn cut_head(&mut self, first: u64) {
        let before = first.saturating_sub(1);
        let Some(term) = self
            .term_of(before)
            .filter(|_| before > self.before.0 && before <= self.last)
        else {
            return;
        };
        self.before = (before, term);
        while self.terms.get(1).is_some_and(|(index, _)| *index <= first) {
            self.terms.pop_front();
        }
        if let Some(oldest) = self.terms.front_mut() {
            oldest.0 = oldest.0.max(first);
        }
        while self.recent.front().is_some_and(|entry| entry.index < first) {
            if let Some(gone) = self.recent.pop_front() {
                self.recent_bytes -= bytes_of(&gone);
            }
        }
    }

    pub(super) fn set_hard_state(&mut self, hard_state: &RaftHardState) {
        self.hard_state = HardState {
            term: hard_state.term,
            vote: hard_state.vote,
            commit: hard_state.commit,
        };
    }

    /// What must be kept with the log of the replica.
    pub(super) fn state(&self) -> Kept {
        Kept {
            hard_state: self.hard_state.clone(),
            members: self.members.clone(),
            before: self.before,
        }
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    pub(super) fn set_members(&mut self, members: Members) {
        self.members = members;
    }

    /// Takes who needs what the log does not have any more.
    pub(super) fn take_behind(&mut self) -> Vec<u64> {
        let behind = self.lock_fetching(|fetching| Some(std::mem::take(&mut fetching.as_mut()?.behind)));
        behind.unwrap_or_default()
    }

    /// The index and the term of the entry before the first one.
    pub(super) fn before(&self) -> (u64, u64) {
        self.before
    }

    pub(super) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    /// Takes what is wanted from the disk.
    pub(super) fn take_wanted(&mut self) -> Vec<Fetch> {
        let wanted = self.lock_fetching(|fetching| Some(std::mem::take(&mut fetching.as_mut()?.wanted)));
        wanted.unwrap_or_default()
    }

    /// Takes what was fetched.
    pub(super) fn set_fetched(&mut self, entries: Vec<Entry>) {
        let entries = entries.into_iter().map(to_raft_entry).collect();
        self.lock_fetching(|fetching| fetching.get_or_insert_default().fetched = entries);
    }

    fn lock_fetching<R>(&self, look: impl FnOnce(&mut Option<Box<Fetching>>) -> R) -> R {
        // A panic of a holder would have left nothing half done.
        let mut fetching = self
            .fetching
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&mut fetching)
    }

    fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        if index < self.before.0 || index > self.last {
            return None;
        }
        let behind = self.terms.partition_point(|(first, _)| *first <= index);
        let (_, term) = self.terms.get(behind.checked_sub(1)?)?;
        Some(*term)
    }
}

/// The entries of `source`, which has no gaps, from `low` on, as many as fit `bytes_max` and at least one.
fn copy(source: &VecDeque<RaftEntry>, low: u64, high: u64, bytes_max: u64) -> Option<Vec<RaftEntry>> {
    let first = source.front()?.index;
    let last = source.back()?.index;
    if low < first || low > last {
        return None;
    }
    let start = usize::try_from(low - first).ok()?;
    let mut bytes = 0_u64;
    let fitting = source.range(start..).take_while(|entry| {
        let is_first = bytes == 0;
        bytes += bytes_of(entry) as u64;
        entry.index < high && (is_first || bytes <= bytes_max)
    });
    Some(fitting.cloned().collect())
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(
            to_raft_state(&self.hard_state),
            self.members.to_conf_state(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<RaftEntry>> {
        if low <= self.before.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        if low == high {
            return Ok(Vec::new());
        }
        if let Some(entries) = copy(&self.recent, low, high, bytes_max) {
            return Ok(entries);
        }
        self.lock_fetching(|fetching| {
            let fetched = fetching.as_ref().map(|fetching| &fetching.fetched);
            if let Some(entries) = fetched.and_then(|fetched| copy(fetched, low, high, bytes_max)) {
                return Ok(entries);
            }
            if !context.can_async() {
                // All that is not applied is in memory, and nothing else is read without a context that can wait.
                return Err(StorageError::Unavailable.into());
            }
            fetching.get_or_insert_default().wanted.push(Fetch {
                from: low,
                to: high,
                bytes_max,
                context,
            });
            Err(StorageError::LogTemporarilyUnavailable.into())
        })
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.before.0 {
            return Err(StorageError::Compacted.into());
        }
        self.term_of(index)
            .ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    fn snapshot(&self, _request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // The member is told, and fills itself anew (`group/fill.rs`); the crate never gets to see a snapshot.
        self.lock_fetching(|fetching| fetching.get_or_insert_default().behind.push(to));
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

fn bytes_of(entry: &RaftEntry) -> usize {
    /// What an entry costs beside its data.
    const OVERHEAD: usize = 128;
    entry.data.len() + OVERHEAD
}

pub(super) fn to_raft_entry(entry: Entry) -> RaftEntry {
    let mut raft_entry = RaftEntry::default();
    raft_entry.set_index(entry.index);
    raft_entry.set_term(entry.term);
    raft_entry.set_entry_type(match entry.kind {
        EntryKind::Command => EntryType::EntryNormal,
        EntryKind::Membership => EntryType::EntryConfChangeV2,
    });
    raft_entry.set_data(entry.data);
    raft_entry
}

pub(super) fn from_raft_entry(entry: &RaftEntry) -> Entry {
    Entry {
        index: entry.index,
        term: entry.term,
        kind: match entry.entry_type {
            EntryType::EntryNormal => EntryKind::Command,
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Membership,
        },
        data: entry.data.clone(),
    }
}

fn to_raft_state(state: &HardState) -> RaftHardState {
    let mut hard_state = RaftHardState::default();
    hard_state.set_term(state.term);
    hard_state.set_vote(state.vote);
    hard_state.set_commit(state.commit);
    hard_state
}
