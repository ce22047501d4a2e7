//! What the entries of a group's log say (`docs/format/group.md`): effects of writes with the rows that follow from them,
//! rows of other ranges, what leaders must know, parts of transactions, answers, and how far the log is needed.
//!
//! Invariant: an effect is a result, never an expression: whoever applies it needs no clock, no randomness and no program
//! of the same version. Not here: how an effect came about (`command.rs`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::accept::Upto;
use super::answered::{ANSWERED, Answered, VERSION_OF_ANSWERS};
use super::close::{CLOSE, VERSION_OF_TIMES};
use super::invocations::RequestHash;
use super::prepared::{self, Commit, Prepare};
use super::rows::{Row, Sent};
use super::scrub::{SCRUB, SCRUBBED, VERSION_OF_SCRUBS};
use crate::command::{Cell, InvocationId};
use crate::derive::Route;
use crate::raft::{Entry, EntryKind};
use crate::transaction::TransactionId;

/// Effects without rows, and floors.
const VERSION: u8 = 1;
/// Everything that has to do with derived rows.
const VERSION_OF_ROWS: u8 = 2;
/// Rows of other ranges whose entries' term is named.
const VERSION_OF_TERMS: u8 = 7;
/// Everything that has to do with transactions.
pub(super) const VERSION_OF_TRANSACTIONS: u8 = 3;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const FLOOR: u8 = 3;
const ACCEPT: u8 = 4;
const REQUIRE: u8 = 5;
const FORWARDED: u8 = 6;
const FILL: u8 = 7;
pub(super) const COMMIT: u8 = 8;
pub(super) const PREPARE: u8 = 9;
pub(super) const RELEASE: u8 = 10;

/// Bytes of an effect beside invocation, key, answer and cell: version, kind, time, keyspace, whether there is an
/// invocation, change of items and bytes, lengths of key and answer.
const HEADER_BYTES: usize = 1 + 1 + 8 + 4 + 1 + 1 + 8 + 4 + 4;
/// Bytes of what has an index and nothing else: version, kind, index.
const MARK_BYTES: usize = 1 + 1 + 8;
/// Where the time stands, in an effect, in a fill and in cells that change together.
const TIME: std::ops::Range<usize> = 2..10;
pub(super) const INVOCATION_BYTES: usize = 16;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A write.
    Effect(Effect),
    /// Every member has all entries up to this one, so that nobody will ask for them.
    Floor {
        /// The last entry that nobody asks for.
        index: u64,
    },
    /// Rows that follow from entries of another range.
    Accept(Accept),
    /// Whoever leads this group has to know the metadata up to this entry of group 0 before it takes a write.
    Require {
        /// The entry of group 0.
        index: u64,
    },
    /// The rows of all entries up to this one have been taken by their ranges.
    Forwarded {
        /// The last such entry.
        index: u64,
    },
    /// Rows that follow from a cell that was there before.
    Fill(Fill),
    /// Several cells change together.
    Commit(Commit),
    /// A transaction is prepared, and its cells are locked.
    Prepare(Prepare),
    /// A transaction that may have been prepared does not take place.
    Release {
        /// Which.
        transaction: TransactionId,
    },
    /// Nothing changes, but a request was answered.
    Answered(Answered),
    /// All replicas are compared as they are at this entry.
    Scrub {
        /// Which comparison.
        id: u64,
    },
    /// All voters were compared.
    Scrubbed {
        /// When, in milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// Nothing that comes behind it has an earlier time.
    Close {
        /// In milliseconds since the Unix epoch.
        at_ms: u64,
    },
}

/// Rows of another range's entries, in the order of those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    /// The group whose entries they follow from.
    pub(crate) source: u32,
    /// The term of those entries. Earlier programs do not name it, and this one does when all nodes are to
    /// ([`Host::name_terms`](super::host::Host::name_terms)).
    pub(crate) term: Option<u64>,
    pub(crate) rows: Vec<Sent>,
}

/// Rows that a cell should have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// As [`Effect::at_ms`].
    pub(crate) at_ms: u64,
    pub(crate) rows: Vec<Row>,
}

/// By how much the rows of a keyspace change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Rows that come (1), go (-1) or stay (0).
    pub(crate) items: i8,
    /// Their size, as [`crate::Commands::weigh`] gives it.
    pub(crate) bytes: i64,
}

/// What a write does to one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// When the leader took the write, in milliseconds since the Unix epoch. Never less than that of the entry before.
    pub(crate) at_ms: u64,
    /// The keyspace, by its number in the cluster.
    pub(crate) keyspace: u32,
    /// The request that it belongs to, if that can be sent again.
    pub(crate) invocation: Option<InvocationId>,
    /// By how much the rows of the keyspace change.
    pub(crate) change: Change,
    /// Key bytes of the cell.
    pub(crate) key: Bytes,
    /// What was answered, for the same request sent again; empty without an invocation.
    pub(crate) answer: Bytes,
    /// What the cell becomes; `None` removes it.
    pub(crate) cell: Option<Cell>,
    /// What follows from it.
    pub(crate) rows: Vec<Row>,
}

/// The bytes are no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedEffect {
    /// It was written by a newer program.
    #[error(
        "the effect has format version {version}, this program reads up to {VERSION_OF_TERMS}; upgrade \
         this node"
    )]
    UnknownVersion {
        /// The version.
        version: u8,
    },
    /// They end too early, go on too long, or say something impossible.
    #[error("the effect does not decode")]
    Malformed,
}

impl Effect {
    /// The effect as bytes. Key, answer, rows and cell lie at the end in this order.
    pub(crate) fn encode(&self) -> BytesMut {
        let cell = self.cell.as_ref().map_or(0, Bytes::len);
        let rows = Row::encoded_bytes(&self.rows);
        let bytes = HEADER_BYTES + INVOCATION_BYTES + self.key.len() + self.answer.len() + rows + cell;
        let mut into = BytesMut::with_capacity(bytes);
        into.put_u8(if self.rows.is_empty() {
            VERSION
        } else {
            VERSION_OF_ROWS
        });
        into.put_u8(if self.cell.is_some() { PUT } else { DELETE });
        into.put_u64_le(self.at_ms);
        into.put_u32_le(self.keyspace);
        into.put_u8(u8::from(self.invocation.is_some()));
        into.put_i8(self.change.items);
        into.put_i64_le(self.change.bytes);
        into.put_u32_le(length(&self.key));
        into.put_u32_le(length(&self.answer));
        if let Some(invocation) = &self.invocation {
            into.put_slice(invocation.as_bytes());
        }
        into.put_slice(&self.key);
        into.put_slice(&self.answer);
        if !self.rows.is_empty() {
            Row::encode_all(&self.rows, &mut into);
        }
        if let Some(cell) = &self.cell {
            into.put_slice(cell);
        }
        into
    }

    /// The key of an effect that is in bytes, shared with them.
    pub(crate) fn key_in(encoded: &Bytes, key_bytes: usize, has_invocation: bool) -> Bytes {
        let start = HEADER_BYTES + if has_invocation { INVOCATION_BYTES } else { 0 };
        encoded.slice(start..start + key_bytes)
    }

    /// Sets the time of an effect, of a fill or of cells that change together, in bytes already.
    pub(crate) fn stamp(encoded: &mut BytesMut, at_ms: u64) {
        if let Some(time) = encoded.get_mut(TIME) {
            time.copy_from_slice(&at_ms.to_le_bytes());
        }
    }

    fn decode((version, kind): (u8, u8), mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        if bytes.len() < HEADER_BYTES - 2 {
            return Err(MalformedEffect::Malformed);
        }
        let (at_ms, keyspace) = (bytes.get_u64_le(), bytes.get_u32_le());
        let has_invocation = bytes.get_u8();
        let change = Change {
            items: bytes.get_i8(),
            bytes: bytes.get_i64_le(),
        };
        let (key, answer) = (bytes.get_u32_le(), bytes.get_u32_le());
        let invocation = match has_invocation {
            0 => None,
            1 => {
                let id = take(&mut bytes, INVOCATION_BYTES)?;
                let id = id[..].try_into().map_err(|_| MalformedEffect::Malformed)?;
                Some(InvocationId::new(id))
            }
            _ => return Err(MalformedEffect::Malformed),
        };
        let key = take(&mut bytes, key as usize)?;
        let answer = take(&mut bytes, answer as usize)?;
        let rows = if version == VERSION_OF_ROWS {
            Row::decode_all(&mut bytes)?
        } else {
            Vec::new()
        };
        if rows.is_empty() == (version == VERSION_OF_ROWS) {
            return Err(MalformedEffect::Malformed);
        }
        let cell = match kind {
            PUT => Some(bytes),
            DELETE if bytes.is_empty() => None,
            _ => return Err(MalformedEffect::Malformed),
        };
        Ok(Self {
            at_ms,
            keyspace,
            invocation,
            change,
            key,
            answer,
            cell,
            rows,
        })
    }
}

impl Accept {
    /// The record as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let rows = self.rows.iter().map(Sent::encoded_bytes).sum::<usize>();
        let mut into = BytesMut::with_capacity(2 + 4 + 8 + 4 + rows);
        into.put_u8(self.term.map_or(VERSION_OF_ROWS, |_| VERSION_OF_TERMS));
        into.put_u8(ACCEPT);
        into.put_u32_le(self.source);
        if let Some(term) = self.term {
            into.put_u64_le(term);
        }
        Sent::encode_all(&self.rows, &mut into);
        into.freeze()
    }

    /// How far the source is taken with it.
    pub(super) fn upto(&self) -> Upto {
        Upto {
            index: self.rows.last().map_or(0, |row| row.source_index),
            term: self.term,
        }
    }

    fn decode(version: u8, mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        let malformed = |_| MalformedEffect::Malformed;
        let source = bytes.try_get_u32_le().map_err(malformed)?;
        let term = (version == VERSION_OF_TERMS).then(|| bytes.try_get_u64_le());
        let term = term.transpose().map_err(malformed)?;
        let rows = Sent::decode_all(&mut bytes)?;
        let in_order = rows.is_sorted_by_key(|row| row.source_index);
        if !bytes.is_empty() || rows.is_empty() || !in_order {
            return Err(MalformedEffect::Malformed);
        }
        Ok(Self { source, term, rows })
    }
}

impl Fill {
    /// The record as bytes, whose time can be set as that of an effect.
    pub(crate) fn encode(&self) -> BytesMut {
        let mut into = BytesMut::with_capacity(MARK_BYTES + Row::encoded_bytes(&self.rows));
        into.put_u8(VERSION_OF_ROWS);
        into.put_u8(FILL);
        into.put_u64_le(self.at_ms);
        Row::encode_all(&self.rows, &mut into);
        into
    }

    fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        let at_ms = bytes.try_get_u64_le().map_err(|_| MalformedEffect::Malformed)?;
        let rows = Row::decode_all(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        Ok(Self { at_ms, rows })
    }
}

impl Record {
    /// A floor as bytes.
    pub(crate) fn floor(index: u64) -> Bytes {
        mark(VERSION, FLOOR, index)
    }

    /// What leaders have to know, as bytes.
    pub(crate) fn require(index: u64) -> Bytes {
        mark(VERSION_OF_ROWS, REQUIRE, index)
    }

    /// How far rows have been taken, as bytes.
    pub(crate) fn forwarded(index: u64) -> Bytes {
        mark(VERSION_OF_ROWS, FORWARDED, index)
    }

    /// Reads what takes all of `bytes`; key, answer, rows and cell of an effect share their memory.
    ///
    /// # Errors
    ///
    /// [`MalformedEffect`].
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        if bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        let version = bytes.get_u8();
        if !(VERSION..=VERSION_OF_TERMS).contains(&version) {
            return Err(MalformedEffect::UnknownVersion { version });
        }
        if bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        let index = |bytes: &Bytes| bytes.clone().get_u64_le();
        match (version, bytes.get_u8()) {
            (VERSION, FLOOR) if bytes.len() == 8 => Ok(Self::Floor { index: index(&bytes) }),
            (VERSION | VERSION_OF_ROWS, kind @ (PUT | DELETE)) => {
                Effect::decode((version, kind), bytes).map(Self::Effect)
            }
            (VERSION_OF_ROWS | VERSION_OF_TERMS, ACCEPT) => Accept::decode(version, bytes).map(Self::Accept),
            (VERSION_OF_ROWS, REQUIRE) if bytes.len() == 8 => Ok(Self::Require { index: index(&bytes) }),
            (VERSION_OF_ROWS, FORWARDED) if bytes.len() == 8 => Ok(Self::Forwarded { index: index(&bytes) }),
            (VERSION_OF_ROWS, FILL) => Fill::decode(bytes).map(Self::Fill),
            (VERSION_OF_TRANSACTIONS, COMMIT) => Commit::decode(bytes).map(Self::Commit),
            (VERSION_OF_TRANSACTIONS, PREPARE) => Prepare::decode(bytes).map(Self::Prepare),
            (VERSION_OF_TRANSACTIONS, RELEASE) => {
                prepared::decode_release(bytes).map(|transaction| Self::Release { transaction })
            }
            (VERSION_OF_ANSWERS, ANSWERED) => Answered::decode(bytes).map(Self::Answered),
            (VERSION_OF_SCRUBS, SCRUB) if bytes.len() == 8 => Ok(Self::Scrub { id: index(&bytes) }),
            (VERSION_OF_SCRUBS, SCRUBBED) if bytes.len() == 8 => Ok(Self::Scrubbed { at_ms: index(&bytes) }),
            (VERSION_OF_TIMES, CLOSE) if bytes.len() == 8 => Ok(Self::Close { at_ms: index(&bytes) }),
            _ => Err(MalformedEffect::Malformed),
        }
    }

    /// What an entry says; `None` for one that begins a term, changes members, or cannot be read.
    pub(crate) fn of_entry(entry: &Entry) -> Option<Self> {
        let is_command = entry.kind == EntryKind::Command && !entry.data.is_empty();
        is_command
            .then(|| Self::decode(entry.data.clone()).ok())
            .flatten()
    }

    /// When the leader took it, for what has a time; 0 for the rest.
    pub(crate) fn at_ms(&self) -> u64 {
        match self {
            Self::Effect(effect) => effect.at_ms,
            Self::Fill(fill) => fill.at_ms,
            Self::Commit(commit) => commit.at_ms,
            Self::Answered(answered) => answered.at_ms,
            Self::Close { at_ms } => *at_ms,
            Self::Floor { .. }
            | Self::Accept(_)
            | Self::Require { .. }
            | Self::Forwarded { .. }
            | Self::Prepare(_)
            | Self::Release { .. }
            | Self::Scrub { .. }
            | Self::Scrubbed { .. } => 0,
        }
    }

    /// The write that it is, if it is one.
    pub(crate) fn effect(&self) -> Option<&Effect> {
        match self {
            Self::Effect(effect) => Some(effect),
            _ => None,
        }
    }

    /// The request that it answers, and the answer, if that may be sent again.
    pub(crate) fn answered(&self) -> Option<(RequestHash, &Bytes)> {
        let (id, keyspace, key, answer) = match self {
            Self::Effect(effect) => (
                effect.invocation.as_ref()?,
                effect.keyspace,
                &effect.key,
                &effect.answer,
            ),
            Self::Answered(one) => (&one.invocation, one.keyspace, &one.key, &one.answer),
            _ => return None,
        };
        Some((RequestHash::of(id, keyspace, key), answer))
    }

    /// Rows that follow from it.
    pub(crate) fn rows(&self) -> &[Row] {
        match self {
            Self::Effect(effect) => &effect.rows,
            Self::Fill(fill) => &fill.rows,
            Self::Commit(commit) => &commit.rows,
            Self::Floor { .. }
            | Self::Accept(_)
            | Self::Require { .. }
            | Self::Forwarded { .. }
            | Self::Prepare(_)
            | Self::Release { .. }
            | Self::Answered(_)
            | Self::Scrub { .. }
            | Self::Scrubbed { .. }
            | Self::Close { .. } => &[],
        }
    }

    /// Whether it writes a cell, as entry `index`.
    pub(crate) fn touches(&self, index: u64, keyspace: u32, key: &[u8]) -> bool {
        let beside = |row: &Row| {
            let is_there =
                row.route == Route::Beside && row.keyspace == keyspace && key.starts_with(&row.key);
            is_there && row.placed_key((index, self.at_ms())) == key
        };
        match self {
            Self::Effect(effect) if effect.keyspace == keyspace && effect.key == key => true,
            Self::Commit(commit)
                if (commit.cells.iter()).any(|cell| cell.keyspace == keyspace && cell.key == key) =>
            {
                true
            }
            Self::Accept(accept) => accept.rows.iter().zip(0..).any(|(row, place)| {
                row.keyspace == keyspace && key.starts_with(&row.key) && row.placed_key(index, place) == key
            }),
            record => record.rows().iter().any(beside),
        }
    }

    /// Whether it is rows of another range that name the term of their entries.
    pub(super) fn names_term(&self) -> bool {
        matches!(self, Self::Accept(accept) if accept.term.is_some())
    }

    /// Whether rows follow from it that other ranges have to take.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.rows().iter().any(|row| row.route == Route::Forward)
    }
}

pub(super) fn mark(version: u8, kind: u8, index: u64) -> Bytes {
    let mut into = BytesMut::with_capacity(MARK_BYTES);
    into.put_u8(version);
    into.put_u8(kind);
    into.put_u64_le(index);
    into.freeze()
}

/// The next bytes, which share memory.
pub(super) fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, MalformedEffect> {
    if count > bytes.len() {
        return Err(MalformedEffect::Malformed);
    }
    Ok(bytes.split_to(count))
}

/// Keys and answers are far smaller than 4 GiB, as the engine and the API limit them.
pub(super) fn length(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::rows::RowKind;
    use super::*;

    fn kind() -> impl Strategy<Value = RowKind> {
        prop_oneof![
            Just(RowKind::Put),
            Just(RowKind::Delete),
            Just(RowKind::Append),
            Just(RowKind::Version),
            Just(RowKind::Dated)
        ]
    }

    prop_compose! {
        fn row()(
            keyspace in any::<u32>(),
            route in prop_oneof![Just(Route::Beside), Just(Route::Forward)],
            kind in kind(),
            (with_cell, is_found) in any::<(bool, bool)>(),
            (items, bytes) in (-1_i8..=1, any::<i64>()),
            key in vec(any::<u8>(), 0..20),
            head in vec(any::<u8>(), 0..20),
        ) -> Row {
            let (change, key, head) = (Change { items, bytes }, key.into(), head.into());
            Row { keyspace, route, kind, with_cell, change, is_found, key, head }
        }
    }

    prop_compose! {
        fn sent()(
            source_index in any::<u64>(),
            keyspace in any::<u32>(),
            (kind, is_found) in (kind(), any::<bool>()),
            (items, bytes) in (-1_i8..=1, any::<i64>()),
            key in vec(any::<u8>(), 0..20),
            cell in vec(any::<u8>(), 0..20),
        ) -> Sent {
            let (change, key, cell) = (Change { items, bytes }, key.into(), cell.into());
            Sent { source_index, keyspace, kind, change, is_found, key, cell }
        }
    }

    prop_compose! {
        fn effect()(
            at_ms in any::<u64>(),
            keyspace in any::<u32>(),
            invocation in proptest::option::of(any::<[u8; 16]>()),
            (items, bytes) in (-1_i8..=1, any::<i64>()),
            key in vec(any::<u8>(), 0..40),
            answer in vec(any::<u8>(), 0..40),
            cell in proptest::option::of(vec(any::<u8>(), 0..100)),
            rows in vec(row(), 0..3),
        ) -> Effect {
            Effect {
                at_ms,
                keyspace,
                invocation: invocation.map(InvocationId::new),
                change: Change { items, bytes },
                key: key.into(),
                answer: answer.into(),
                cell: cell.map(Bytes::from),
                rows,
            }
        }
    }

    proptest! {
        #[test]
        fn effects_come_back(effect in effect(), later in any::<u64>()) {
            let mut bytes = effect.encode();
            let record = Record::Effect(effect.clone());
            let whole = bytes.clone().freeze();
            prop_assert_eq!(Record::decode(whole.clone()), Ok(record.clone()));
            for end in 0..whole.len() {
                // Only a cell has no length of its own; the log keeps it whole.
                prop_assert_ne!(Record::decode(whole.slice(..end)), Ok(record.clone()));
            }
            Effect::stamp(&mut bytes, later);
            let stamped = Effect { at_ms: later, ..effect };
            prop_assert_eq!(Record::decode(bytes.freeze()), Ok(Record::Effect(stamped)));
        }

        #[test]
        fn marks_come_back(index in any::<u64>()) {
            prop_assert_eq!(Record::decode(Record::floor(index)), Ok(Record::Floor { index }));
            prop_assert_eq!(Record::decode(Record::require(index)), Ok(Record::Require { index }));
            prop_assert_eq!(Record::decode(Record::forwarded(index)), Ok(Record::Forwarded { index }));
            let scrub = |kind| Record::decode(super::super::scrub::encode(kind, index));
            prop_assert_eq!(scrub(SCRUB), Ok(Record::Scrub { id: index }));
            prop_assert_eq!(scrub(SCRUBBED), Ok(Record::Scrubbed { at_ms: index }));
        }

        #[test]
        fn rows_come_back(
            source in any::<u32>(), term in proptest::option::of(any::<u64>()), mut sent in vec(sent(), 1..4),
            at_ms in any::<u64>(), rows in vec(row(), 0..4),
        ) {
            sent.sort_by_key(|row| row.source_index);
            let accept = Accept { source, term, rows: sent };
            let whole = accept.encode();
            prop_assert_eq!(Record::decode(whole.clone()), Ok(Record::Accept(accept)));
            for end in 0..whole.len() {
                prop_assert!(Record::decode(whole.slice(..end)).is_err());
            }
            let fill = Fill { at_ms: 0, rows };
            let mut bytes = fill.encode();
            Effect::stamp(&mut bytes, at_ms);
            prop_assert_eq!(Record::decode(bytes.freeze()), Ok(Record::Fill(Fill { at_ms, ..fill })));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(0_u8..3, 0..80)) {
            match Record::decode(Bytes::from(bytes.clone())) {
                Ok(Record::Effect(effect)) => prop_assert_eq!(&effect.encode()[..], &bytes[..]),
                Ok(Record::Accept(accept)) => prop_assert_eq!(&accept.encode()[..], &bytes[..]),
                Ok(Record::Fill(fill)) => prop_assert_eq!(&fill.encode()[..], &bytes[..]),
                _ => {}
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let error = Record::decode(Bytes::from_static(&[9, 1]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("format version 9, this program reads up to 7"),
            "{error}"
        );
    }
}
