//! What a replica keeps in the engine about its own group, beside the rows of others.
//!
//! Invariant: it is written in the batch that applies the entry that it follows from, so that after a crash it is as far as
//! the rows are. Not here: what it is needed for (`forward.rs`, `accept.rs`, `derive.rs`,
//! `transact.rs`).

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use stator_storage::{Engine, KeyspaceId, WriteBatch};

use super::accept::Upto;
use super::effect::Record;
use super::prepared::{Commit, Prepare};
use crate::transaction::TransactionId;

/// Bytes of a key: group (4, big-endian), what it is about, group of the source (4, big-endian).
const KEY_BYTES: usize = 4 + 1 + 4;
const FORWARDED: u8 = b'f';
const REQUIRED: u8 = b'r';
const ACCEPTED: u8 = b's';
const PREPARED: u8 = b'p';
const SCRUBBED: u8 = b'c';
const CLOSED: u8 = b't';

/// One thing that a group keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnMark {
    /// The rows of all entries up to this one have been taken.
    Forwarded,
    /// Leaders have to know the metadata up to this entry.
    Required,
    /// All rows of this group up to this entry of it have been taken here.
    Accepted(u32),
    /// When all voters were compared last, in milliseconds since the Unix epoch.
    Scrubbed,
    /// Nothing of an earlier time comes any more, in milliseconds since the Unix epoch.
    Closed,
}

impl OwnMark {
    /// Whether a record writes the row of a key, whatever it says.
    pub(super) fn is_written_by(record: &Record, group: u32, key: &[u8]) -> bool {
        let mark = match record {
            Record::Accept(accept) => Self::Accepted(accept.source),
            Record::Require { .. } => Self::Required,
            Record::Forwarded { .. } => Self::Forwarded,
            Record::Scrubbed { .. } => Self::Scrubbed,
            Record::Close { .. } => Self::Closed,
            Record::Prepare(Prepare { transaction, .. })
            | Record::Commit(Commit { transaction, .. })
            | Record::Release { transaction } => return prepared_key(group, *transaction) == key,
            Record::Effect(_)
            | Record::Fill(_)
            | Record::Floor { .. }
            | Record::Answered(_)
            | Record::Scrub { .. } => return false,
        };
        mark.key(group) == key
    }

    fn key(self, group: u32) -> [u8; KEY_BYTES] {
        let (about, source) = match self {
            Self::Forwarded => (FORWARDED, 0),
            Self::Required => (REQUIRED, 0),
            Self::Scrubbed => (SCRUBBED, 0),
            Self::Closed => (CLOSED, 0),
            Self::Accepted(source) => (ACCEPTED, source),
        };
        let mut key = [0; KEY_BYTES];
        let (head, tail) = key.split_at_mut(4);
        head.copy_from_slice(&group.to_be_bytes());
        if let Some((kind, rest)) = tail.split_first_mut() {
            *kind = about;
            rest.copy_from_slice(&source.to_be_bytes());
        }
        key
    }

    /// Puts it into a batch.
    pub(super) fn put(self, batch: &mut WriteBatch, keyspace: KeyspaceId, group: u32, upto: Upto) {
        let (index, term) = (upto.index.to_le_bytes(), upto.term.map(u64::to_le_bytes));
        match term {
            Some(term) => batch.put(keyspace, &self.key(group), [index, term].as_flattened()),
            None => batch.put(keyspace, &self.key(group), &index),
        }
    }
}

/// The key of what a transaction has prepared: group, `p`, its id.
fn prepared_key(group: u32, transaction: TransactionId) -> Vec<u8> {
    [&group.to_be_bytes()[..], &[PREPARED], &transaction.0].concat()
}

/// Keeps what entry `index` has prepared, until the transaction is released: the index, then the entry.
pub(super) fn put_prepared(
    batch: &mut WriteBatch,
    keyspace: KeyspaceId,
    group: u32,
    (index, prepare): (u64, &Prepare),
) {
    let cell = [&index.to_le_bytes()[..], &prepare.encode()].concat();
    batch.put(keyspace, &prepared_key(group, prepare.transaction), &cell);
}

/// Keeps it no longer.
pub(super) fn remove_prepared(
    batch: &mut WriteBatch,
    keyspace: KeyspaceId,
    group: u32,
    transaction: TransactionId,
) {
    batch.delete(keyspace, &prepared_key(group, transaction));
}

fn read_prepared(cell: &[u8]) -> Option<(u64, Prepare)> {
    let (index, record) = cell.split_first_chunk()?;
    match Record::decode(Bytes::copy_from_slice(record)) {
        Ok(Record::Prepare(prepare)) => Some((u64::from_le_bytes(*index), prepare)),
        _ => None,
    }
}

fn read_upto(cell: &[u8]) -> Option<Upto> {
    let (index, term) = cell.split_first_chunk()?;
    let term = match term {
        [] => None,
        term => Some(u64::from_le_bytes(term.try_into().ok()?)),
    };
    let index = u64::from_le_bytes(*index);
    Some(Upto { index, term })
}

/// Why what a group keeps could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnError {
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] stator_storage::Error),
    /// It was written by a newer program.
    #[error("group {group} has kept something that this program does not know")]
    Unknown {
        /// The group.
        group: u32,
    },
}

/// All that a group keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(super) forwarded: u64,
    pub(super) required: u64,
    pub(super) scrubbed_at_ms: u64,
    pub(super) closed_at_ms: u64,
    /// By the group of the source.
    pub(super) accepted: BTreeMap<u32, Upto>,
    /// What is prepared, with the entries that have done it.
    pub(super) prepared: Vec<(u64, Prepare)>,
}

impl Own {
    /// Whether rows of another range have named the term of their entries.
    pub(super) fn names_terms(&self) -> bool {
        self.accepted.values().any(|upto| upto.term.is_some())
    }

    /// Reads what the engine has of a group.
    ///
    /// # Errors
    /// [`OwnError`].
    pub(super) fn read(engine: &Engine, keyspace: KeyspaceId, group: u32) -> Result<Self, OwnError> {
        let (start, end) = (group.to_be_bytes(), group.wrapping_add(1).to_be_bytes());
        let bounds = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
        let mut rows = engine
            .snapshot()
            .range(keyspace, bounds, stator_storage::Direction::Forward)?;
        let mut own = Self::default();
        while rows.advance()? {
            let malformed = || OwnError::Unknown { group };
            let tail = rows.key().get(4..).unwrap_or_default();
            if tail.first() == Some(&PREPARED) {
                own.prepared
                    .push(read_prepared(rows.value()).ok_or_else(malformed)?);
                continue;
            }
            let upto = read_upto(rows.value()).ok_or_else(malformed)?;
            let index = upto.index;
            if upto.term.is_some() && tail.first() != Some(&ACCEPTED) {
                return Err(malformed());
            }
            match rows.key().split_at_checked(4) {
                Some((_, [FORWARDED, ..])) => own.forwarded = index,
                Some((_, [REQUIRED, ..])) => own.required = index,
                Some((_, [SCRUBBED, ..])) => own.scrubbed_at_ms = index,
                Some((_, [CLOSED, ..])) => own.closed_at_ms = index,
                Some((_, [ACCEPTED, source @ ..])) => {
                    let source = source.try_into().map_err(|_| malformed())?;
                    own.accepted.insert(u32::from_be_bytes(source), upto);
                }
                _ => return Err(malformed()),
            }
        }
        Ok(own)
    }
}
