//! An index has a row for each cell where the cell belongs, and no other; a row beside a cell is the cell's.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::scenario::cluster::deriving::{BESIDE_HEAD, index_key};
use crate::scenario::cluster::invariant::Invariant;

/// Rows by key.
pub(in crate::scenario::cluster) type Table = BTreeMap<Vec<u8>, Bytes>;

/// Checks an index of cells that rest.
///
/// # Errors
/// The first row that is too many, missing, or another one.
pub(in crate::scenario::cluster) fn check_index(
    name: &str,
    cells: &Table,
    index: &Table,
) -> Result<(), String> {
    let due = cells
        .iter()
        .map(|(key, cell)| (index_key(key, cell).to_vec(), cell.clone()));
    same(name, &due.collect(), index)
}

/// Checks rows that lie beside cells that rest.
///
/// # Errors
/// As [`check_index`].
pub(in crate::scenario::cluster) fn check_beside(cells: &Table, beside: &Table) -> Result<(), String> {
    let due = cells
        .iter()
        .map(|(key, cell)| (key.clone(), Bytes::from([BESIDE_HEAD, cell].concat())));
    same("beside", &due.collect(), beside)
}

fn same(name: &str, due: &Table, found: &Table) -> Result<(), String> {
    let mut keys = due.keys().chain(found.keys());
    match keys.find(|key| due.get(*key) != found.get(*key)) {
        None => Ok(()),
        Some(key) => Err(Invariant::Indexed.broken(format_args!(
            "`{name}` has {} rows for {} cells; at {key:02x?} it has {:02x?}, due is {:02x?}",
            found.len(),
            due.len(),
            found.get(key),
            due.get(key)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::cell::Stored;
    use crate::scenario::cluster::command::encode_cell;

    #[test]
    fn rows_are_those_of_the_cells_and_no_others() {
        let cell = |value| encode_cell(Stored { value, by: 9 });
        let key = vec![1; 16];
        let cells: Table = [(key.clone(), cell(1))].into();
        let row = |value| (index_key(&key, &cell(value)).to_vec(), cell(value));
        let beside = |value| Bytes::from([BESIDE_HEAD, &cell(value)].concat());
        assert_eq!(check_index("i", &cells, &[row(1)].into()), Ok(()));
        assert_eq!(check_beside(&cells, &[(key.clone(), beside(1))].into()), Ok(()));
        for wrong in [Table::new(), [row(2)].into(), [row(1), row(2)].into()] {
            let reason = check_index("i", &cells, &wrong).unwrap_err();
            assert!(reason.starts_with("indexed: "), "{reason}");
        }
        for wrong in [Table::new(), [(key.clone(), beside(2))].into()] {
            assert!(check_beside(&cells, &wrong).is_err());
        }
    }
}
