//! The entries of transactions as they lie in a log (`docs/format/group.md`): cells that change together, and what is
//! prepared until it is known whether it stands.
//!
//! Invariant: what is read back is what was written, or refused. Like effects they are results, never expressions. Not here:
//! what they do (`apply.rs`), how they come about (`transact.rs`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::effect::{COMMIT, Change, MalformedEffect, PREPARE, RELEASE, VERSION_OF_TRANSACTIONS, take};
use super::rows::Row;
use crate::command::Cell;
use crate::transaction::TransactionId;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const NOTHING: u8 = 3;

/// Cells of one group that change together. If their transaction was prepared, this ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// As that of an effect.
    pub(crate) at_ms: u64,
    pub(crate) transaction: TransactionId,
    pub(crate) cells: Vec<CommittedCell>,
    /// What follows from all of them.
    pub(crate) rows: Vec<Row>,
}

/// A cell that changes with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedCell {
    /// Number of its keyspace.
    pub(crate) keyspace: u32,
    /// By how much the rows of the keyspace change.
    pub(crate) change: Change,
    pub(crate) key: Bytes,
    /// What it becomes; `None` removes it.
    pub(crate) cell: Option<Cell>,
}

/// Actions of a transaction that this group can take part with. Their cells are locked until it is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepare {
    pub(crate) transaction: TransactionId,
    /// The key of the row of the ledger that says what becomes of the transaction.
    pub(crate) ledger: Bytes,
    pub(crate) actions: Vec<PreparedAction>,
}

/// An action of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PreparedAction {
    /// Number of its keyspace.
    pub(crate) keyspace: u32,
    pub(crate) key: Bytes,
    pub(crate) becomes: Becomes,
    /// What the command answers.
    pub(crate) answer: Bytes,
}

/// What becomes of a cell if its transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    Cell(Cell),
    Removed,
    /// It stays what it is; that nobody changes it meanwhile is what it is locked for.
    Nothing,
}

impl Commit {
    /// The record as bytes, whose time can be set as that of an effect.
    pub(crate) fn encode(&self) -> BytesMut {
        let cells = self
            .cells
            .iter()
            .map(|cell| 4 + 1 + 8 + 4 + 1 + 4 + cell.key.len() + cell.cell.as_ref().map_or(0, Bytes::len));
        let bytes = 2 + 8 + TransactionId::BYTES + 4 + cells.sum::<usize>() + Row::encoded_bytes(&self.rows);
        let mut into = BytesMut::with_capacity(bytes);
        into.put_u8(VERSION_OF_TRANSACTIONS);
        into.put_u8(COMMIT);
        into.put_u64_le(self.at_ms);
        into.put_slice(&self.transaction.0);
        into.put_u32_le(u32::try_from(self.cells.len()).unwrap_or(u32::MAX));
        for cell in &self.cells {
            into.put_u32_le(cell.keyspace);
            into.put_i8(cell.change.items);
            into.put_i64_le(cell.change.bytes);
            put(&mut into, &cell.key);
            into.put_u8(if cell.cell.is_some() { PUT } else { DELETE });
            put(&mut into, cell.cell.as_deref().unwrap_or_default());
        }
        Row::encode_all(&self.rows, &mut into);
        into
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        let at_ms = bytes.try_get_u64_le().map_err(|_| MalformedEffect::Malformed)?;
        let transaction = take_id(&mut bytes)?;
        let count = bytes.try_get_u32_le().map_err(|_| MalformedEffect::Malformed)?;
        let mut cells = Vec::new();
        for _ in 0..count {
            if bytes.len() < 4 + 1 + 8 {
                return Err(MalformedEffect::Malformed);
            }
            let keyspace = bytes.get_u32_le();
            let change = Change {
                items: bytes.get_i8(),
                bytes: bytes.get_i64_le(),
            };
            let key = get(&mut bytes)?;
            let kind = bytes.try_get_u8().map_err(|_| MalformedEffect::Malformed)?;
            let cell = get(&mut bytes)?;
            let cell = match kind {
                PUT => Some(cell),
                DELETE if cell.is_empty() => None,
                _ => return Err(MalformedEffect::Malformed),
            };
            cells.push(CommittedCell {
                keyspace,
                change,
                key,
                cell,
            });
        }
        let rows = Row::decode_all(&mut bytes)?;
        if !bytes.is_empty() || rows.iter().any(|row| row.with_cell) {
            return Err(MalformedEffect::Malformed);
        }
        Ok(Self {
            at_ms,
            transaction,
            cells,
            rows,
        })
    }
}

impl Prepare {
    /// The record as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let actions = self.actions.iter().map(|action| {
            let cell = match &action.becomes {
                Becomes::Cell(cell) => cell.len(),
                Becomes::Removed | Becomes::Nothing => 0,
            };
            4 + 4 + action.key.len() + 1 + 4 + cell + 4 + action.answer.len()
        });
        let bytes = 2 + TransactionId::BYTES + 4 + self.ledger.len() + 4 + actions.sum::<usize>();
        let mut into = BytesMut::with_capacity(bytes);
        into.put_u8(VERSION_OF_TRANSACTIONS);
        into.put_u8(PREPARE);
        into.put_slice(&self.transaction.0);
        put(&mut into, &self.ledger);
        into.put_u32_le(u32::try_from(self.actions.len()).unwrap_or(u32::MAX));
        for action in &self.actions {
            into.put_u32_le(action.keyspace);
            put(&mut into, &action.key);
            let (kind, cell) = match &action.becomes {
                Becomes::Cell(cell) => (PUT, &cell[..]),
                Becomes::Removed => (DELETE, &[][..]),
                Becomes::Nothing => (NOTHING, &[][..]),
            };
            into.put_u8(kind);
            put(&mut into, cell);
            put(&mut into, &action.answer);
        }
        into.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, MalformedEffect> {
        let transaction = take_id(&mut bytes)?;
        let ledger = get(&mut bytes)?;
        let count = bytes.try_get_u32_le().map_err(|_| MalformedEffect::Malformed)?;
        let mut actions = Vec::new();
        for _ in 0..count {
            let keyspace = bytes.try_get_u32_le().map_err(|_| MalformedEffect::Malformed)?;
            let key = get(&mut bytes)?;
            let kind = bytes.try_get_u8().map_err(|_| MalformedEffect::Malformed)?;
            let cell = get(&mut bytes)?;
            let becomes = match kind {
                PUT => Becomes::Cell(cell),
                DELETE if cell.is_empty() => Becomes::Removed,
                NOTHING if cell.is_empty() => Becomes::Nothing,
                _ => return Err(MalformedEffect::Malformed),
            };
            let answer = get(&mut bytes)?;
            actions.push(PreparedAction {
                keyspace,
                key,
                becomes,
                answer,
            });
        }
        if !bytes.is_empty() {
            return Err(MalformedEffect::Malformed);
        }
        Ok(Self {
            transaction,
            ledger,
            actions,
        })
    }
}

/// The record that releases a transaction without effect, as bytes.
pub(crate) fn release(transaction: TransactionId) -> Bytes {
    let mut into = BytesMut::with_capacity(2 + TransactionId::BYTES);
    into.put_u8(VERSION_OF_TRANSACTIONS);
    into.put_u8(RELEASE);
    into.put_slice(&transaction.0);
    into.freeze()
}

/// What [`release`] has written behind version and kind.
pub(super) fn decode_release(mut bytes: Bytes) -> Result<TransactionId, MalformedEffect> {
    let id = take_id(&mut bytes)?;
    if bytes.is_empty() {
        Ok(id)
    } else {
        Err(MalformedEffect::Malformed)
    }
}

fn take_id(bytes: &mut Bytes) -> Result<TransactionId, MalformedEffect> {
    let id = take(bytes, TransactionId::BYTES)?;
    TransactionId::read(&id).ok_or(MalformedEffect::Malformed)
}

fn put(into: &mut BytesMut, bytes: &[u8]) {
    into.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    into.put_slice(bytes);
}

fn get(bytes: &mut Bytes) -> Result<Bytes, MalformedEffect> {
    let count = bytes.try_get_u32_le().map_err(|_| MalformedEffect::Malformed)?;
    take(bytes, count as usize)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::effect::Record;
    use super::super::rows::RowKind;
    use super::*;
    use crate::derive::Route;

    fn some_bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    fn becomes() -> impl Strategy<Value = Becomes> {
        prop_oneof![
            some_bytes().prop_map(Becomes::Cell),
            Just(Becomes::Removed),
            Just(Becomes::Nothing)
        ]
    }

    prop_compose! {
        fn commit()(
            at_ms in any::<u64>(),
            id in any::<[u8; 16]>(),
            cells in vec((any::<u32>(), -1_i8..=1, any::<i64>(), some_bytes(), proptest::option::of(some_bytes())), 0..4),
            rows in vec((any::<u32>(), some_bytes(), some_bytes()), 0..3),
        ) -> Commit {
            let cell = |(keyspace, items, bytes, key, cell)| {
                CommittedCell { keyspace, change: Change { items, bytes }, key, cell }
            };
            let row = |(keyspace, key, head)| Row {
                keyspace, route: Route::Forward, kind: RowKind::Put, with_cell: false, change: Change::default(),
                is_found: false, key, head,
            };
            Commit {
                at_ms,
                transaction: TransactionId(id),
                cells: cells.into_iter().map(cell).collect(),
                rows: rows.into_iter().map(row).collect(),
            }
        }
    }

    prop_compose! {
        fn prepare()(
            id in any::<[u8; 16]>(),
            ledger in some_bytes(),
            actions in vec((any::<u32>(), some_bytes(), becomes(), some_bytes()), 0..4),
        ) -> Prepare {
            let action = |(keyspace, key, becomes, answer)| PreparedAction { keyspace, key, becomes, answer };
            Prepare { transaction: TransactionId(id), ledger, actions: actions.into_iter().map(action).collect() }
        }
    }

    proptest! {
        #[test]
        fn records_of_transactions_come_back(commit in commit(), prepare in prepare(), later in any::<u64>()) {
            let mut bytes = commit.encode();
            let whole = bytes.clone().freeze();
            prop_assert_eq!(Record::decode(whole.clone()), Ok(Record::Commit(commit.clone())));
            for end in 0..whole.len() {
                prop_assert!(Record::decode(whole.slice(..end)).is_err());
            }
            super::super::effect::Effect::stamp(&mut bytes, later);
            let stamped = Commit { at_ms: later, ..commit };
            prop_assert_eq!(Record::decode(bytes.freeze()), Ok(Record::Commit(stamped)));
            let whole = prepare.encode();
            prop_assert_eq!(Record::decode(whole.clone()), Ok(Record::Prepare(prepare.clone())));
            for end in 0..whole.len() {
                prop_assert!(Record::decode(whole.slice(..end)).is_err());
            }
            let id = prepare.transaction;
            let released = Record::decode(release(id));
            prop_assert_eq!(released, Ok(Record::Release { transaction: id }));
        }

        #[test]
        fn arbitrary_bytes_never_panic(kind in COMMIT..=RELEASE, bytes in vec(0_u8..4, 0..80)) {
            let all = [&[VERSION_OF_TRANSACTIONS, kind][..], &bytes].concat();
            match Record::decode(Bytes::from(all.clone())) {
                Ok(Record::Commit(commit)) => prop_assert_eq!(&commit.encode()[..], &all[..]),
                Ok(Record::Prepare(prepare)) => prop_assert_eq!(&prepare.encode()[..], &all[..]),
                _ => {}
            }
        }
    }
}
