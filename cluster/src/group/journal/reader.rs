//! Reading the log of one replica, whoever writes it meanwhile.
//!
//! Invariant: entries are handed on in order and without a gap, or an error says which one is missing. Not here: what is added to the
//! log (`journal.rs`).

use std::ops::ControlFlow;

use stator_storage::{Engine, StreamId};

use super::entry::decode_entry;
use super::{Journal, JournalError};
use crate::group::note::Note;
use crate::raft::{Entry, Fetch};

/// As much is read at a time when the log is read from one end to the other.
const READ_BYTES_MAX: usize = 4 << 20;

/// Reads the log of a group, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct JournalReader {
    pub(super) engine: Engine,
    pub(super) group: u32,
    pub(super) stream: StreamId,
}

impl JournalReader {
    /// The note that there is.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub(crate) fn note(&self) -> Result<Option<Note>, JournalError> {
        let stream = Journal::note_stream_of(self.group);
        let entries = loop {
            let Some(info) = self.engine.stream(stream).filter(|info| info.head < info.next) else {
                return Ok(None);
            };
            let newest = info.next - 1..info.next;
            match self.engine.read_stream(stream, newest, 0) {
                // There is another one since the look.
                Err(_) if self.engine.stream(stream).is_none_or(|now| now.next != info.next) => {}
                entries => break entries?,
            }
        };
        let note = entries
            .into_iter()
            .next_back()
            .map(|entry| Note::decode(entry.payload));
        let malformed = || JournalError::Malformed {
            group: self.group,
            detail: "its note of requests does not decode".to_owned(),
        };
        note.flatten().ok_or_else(malformed).map(Some)
    }

    /// One entry, if the log has it.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub(crate) fn entry(&self, index: u64) -> Result<Option<Entry>, JournalError> {
        Ok(self.read(index..index + 1, 0)?.pop())
    }

    /// Reads what a core has asked for.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub(crate) fn fetch(&self, fetch: &Fetch) -> Result<Vec<Entry>, JournalError> {
        let bytes_max = usize::try_from(fetch.bytes_max)
            .unwrap_or(READ_BYTES_MAX)
            .min(READ_BYTES_MAX);
        self.read(fetch.from..fetch.to, bytes_max)
    }

    /// Reads the entries of a range, as many as fit and at least one, unless the log ends before them.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub(crate) fn read(
        &self,
        range: std::ops::Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let entries = self.engine.read_stream(self.stream, range, bytes_max)?;
        let decoded = entries.into_iter().map(|entry| {
            decode_entry(entry.index, entry.payload).ok_or_else(|| JournalError::Malformed {
                group: self.group,
                detail: format!("entry {} does not decode", entry.index),
            })
        });
        decoded.collect()
    }

    /// The first entry of the log and the one that comes next.
    pub(crate) fn extent(&self) -> std::ops::Range<u64> {
        let info = self.engine.stream(self.stream);
        info.map_or(0..0, |info| info.head.min(info.next)..info.next)
    }

    /// Hands on all entries of a range, in order.
    ///
    /// # Errors
    ///
    /// [`JournalError`], and what `visit` fails with.
    pub(crate) fn each(
        &self,
        mut range: std::ops::Range<u64>,
        visit: &mut dyn FnMut(Entry) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        while range.start < range.end {
            let entries = self.read(range.clone(), READ_BYTES_MAX)?;
            if entries.is_empty() {
                return Err(JournalError::Malformed {
                    group: self.group,
                    detail: format!("entry {} is missing", range.start),
                });
            }
            for entry in entries {
                range.start = entry.index + 1;
                visit(entry)?;
            }
        }
        Ok(())
    }

    /// Hands on the entries of a range that are known to be committed, as long as they are taken; gives all others.
    pub(super) fn replay(
        &self,
        range: std::ops::Range<u64>,
        commit: u64,
        replay: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>, String>,
    ) -> Result<Vec<Entry>, JournalError> {
        let group = self.group;
        let mut unapplied = Vec::new();
        self.each(range, &mut |entry| {
            let is_replayed = unapplied.is_empty() && entry.index <= commit;
            if is_replayed {
                // The copy shares the data.
                let replayed = replay(entry.clone());
                let flow = replayed.map_err(|cause| JournalError::Replay { group, cause })?;
                if flow == ControlFlow::Continue(()) {
                    return Ok(());
                }
            }
            unapplied.push(entry);
            Ok(())
        })?;
        Ok(unapplied)
    }

    /// The first index of each term. Terms only rise, so that the places where they do are found by bisection.
    pub(super) fn terms(&self, first: u64, last: u64) -> Result<Vec<(u64, u64)>, JournalError> {
        let mut terms = Vec::new();
        let mut at = first;
        while at <= last {
            let term = self.term_of(at)?;
            terms.push((at, term));
            // All before `low` have the term, those from `high` on have a later one.
            let (mut low, mut high) = (at + 1, last + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.term_of(middle)? == term {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            at = low;
        }
        Ok(terms)
    }

    fn term_of(&self, index: u64) -> Result<u64, JournalError> {
        let entries = self.read(index..index + 1, 0)?;
        let entry = entries.first().ok_or_else(|| JournalError::Malformed {
            group: self.group,
            detail: format!("entry {index} is missing"),
        })?;
        Ok(entry.term)
    }
}
