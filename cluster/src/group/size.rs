//! How large what a transaction makes of the cells of one group may be, and what it answers if it is refused.
//!
//! Members of a group get its entries in messages, at least one in each. An entry that is longer than a message is sent to nobody:
//! its group would never commit it, nor anything behind it, for as long as its leader stays. A single write cannot come
//! near that, but a hundred cells with all that follows from them can. Invariant: what is let through has room in a
//! message, prepared and carried out. Not here: who is refused (`transact.rs`).

use super::prepared::Becomes;
use super::rows::Row;
use crate::derive::Unfit;
use crate::transaction::TRANSACTION_TOO_LARGE;
use crate::world::MESSAGE_BYTES_MAX;

/// The most that the cells of a transaction in one group and what follows from them may be, in bytes. What is left of a
/// message is for sums, marks and what is around the entry.
pub(super) const CELLS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (1 << 20);

/// The most that those commands of a transaction answer together that refuse it in one group, in bytes. Half of a message: the rest
/// is for the reasons that have become brief and for what is around them.
pub(super) const REFUSALS_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// What a cell has in an entry beside key, bytes and answer, and a row beside what it has at first: its own time. At most.
const CELL_HEAD_BYTES: usize = 32;
const ROW_TIME_BYTES: usize = 8;

/// How many bytes of an entry a cell of a transaction takes with the rows that follow from it, prepared or carried out.
pub(super) fn bytes_of(key: &[u8], becomes: &Becomes, answer: &[u8], rows: &[Row]) -> usize {
    let cell = match becomes {
        Becomes::Cell(cell) => cell.len(),
        Becomes::Removed | Becomes::Nothing => 0,
    };
    // In an entry of several cells each row has its own copy.
    let copies = rows.iter().filter(|row| row.with_cell).count();
    let rows = Row::encoded_bytes(rows) + rows.len() * ROW_TIME_BYTES;
    CELL_HEAD_BYTES + key.len() + answer.len() + cell * (1 + copies) + rows
}

/// Why a command is refused with which they are more.
pub(super) fn too_large() -> Unfit {
    let mib = CELLS_BYTES_MAX >> 20;
    Unfit {
        code: TRANSACTION_TOO_LARGE,
        reason: format!(
            "What a transaction writes to one token range, with the rows of indexes and streams that follow from it, cannot exceed {mib} MiB"
        ),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::effect::Change;
    use super::super::prepared::{Commit, CommittedCell, Prepare, PreparedAction};
    use super::super::rows::{RowKind, materialized};
    use super::*;
    use crate::derive::Route;
    use crate::transaction::TransactionId;

    /// What an entry has beside its cells, at most.
    const ENTRY_HEAD_BYTES: usize = 64;

    fn row(kind: RowKind, with_cell: bool) -> Row {
        Row {
            keyspace: 2,
            route: Route::Forward,
            kind,
            with_cell,
            change: Change::default(),
            is_found: false,
            key: Bytes::from_static(b"key of a row"),
            head: Bytes::from_static(b"head"),
        }
    }

    #[test]
    fn a_cell_takes_no_more_of_an_entry_than_is_said() {
        let (transaction, cell) = (TransactionId([1; 16]), Bytes::from(vec![7; 1000]));
        let (key, answer) = (Bytes::from_static(b"key"), Bytes::from(vec![8; 300]));
        let rows = vec![
            row(RowKind::Put, true),
            row(RowKind::Version, true),
            row(RowKind::Delete, false),
        ];
        for becomes in [Becomes::Cell(cell.clone()), Becomes::Removed] {
            let after = match &becomes {
                Becomes::Cell(cell) => Some(cell.clone()),
                Becomes::Removed | Becomes::Nothing => None,
            };
            let said = ENTRY_HEAD_BYTES + bytes_of(&key, &becomes, &answer, &rows);
            let rows = materialized(rows.clone(), after.as_ref()).into_iter();
            let commit = Commit {
                at_ms: 1,
                transaction,
                cells: vec![CommittedCell {
                    keyspace: 1,
                    change: Change::default(),
                    key: key.clone(),
                    cell: after,
                }],
                rows: rows.map(|row| row.dated(1)).collect(),
            };
            assert!(commit.encode().len() <= said);
            let prepare = Prepare {
                transaction,
                ledger: Bytes::from_static(b"ledger"),
                actions: vec![PreparedAction {
                    keyspace: 1,
                    key: key.clone(),
                    becomes,
                    answer: answer.clone(),
                }],
            };
            assert!(prepare.encode().len() <= said);
        }
    }
}
