//! An entry of a replica's log as bytes: a record of the group's stream (`docs/format/group.md`).
//!
//! Invariant: what was appended is read as it was. Not here: what is in the data of an entry.

use bytes::{Buf as _, Bytes};
use stator_storage::{LogBatch, StreamId};

use crate::raft::{Entry, EntryKind};

/// Bytes of an entry in front of its data: kind, term.
pub(super) const ENTRY_HEADER_BYTES: usize = 1 + 8;
const COMMAND: u8 = 0;
const MEMBERSHIP: u8 = 1;

/// Reads one; `None` for what is none.
pub(super) fn decode_entry(index: u64, mut payload: Bytes) -> Option<Entry> {
    if payload.len() < ENTRY_HEADER_BYTES {
        return None;
    }
    let kind = match payload.get_u8() {
        COMMAND => EntryKind::Command,
        MEMBERSHIP => EntryKind::Membership,
        _ => return None,
    };
    let term = payload.get_u64_le();
    Some(Entry {
        index,
        term,
        kind,
        data: payload,
    })
}

/// Adds an entry to a batch.
pub(super) fn append(stream: StreamId, entry: &Entry, batch: &mut LogBatch) {
    let mut header = [0; ENTRY_HEADER_BYTES];
    header[0] = match entry.kind {
        EntryKind::Command => COMMAND,
        EntryKind::Membership => MEMBERSHIP,
    };
    header[1..].copy_from_slice(&entry.term.to_le_bytes());
    batch.append_parts(stream, entry.index, &[&header, &entry.data]);
}
