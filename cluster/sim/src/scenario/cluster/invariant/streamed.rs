//! The records of a stream tell every write of a cell once, in their order: each record says what the cell was before, which
//! is what the record before it says that it became; the last one is what the cell is. So there is no gap, nothing comes
//! twice, and what was acknowledged is there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};

use super::indexed::Table;
use crate::scenario::cluster::command::decode_cell;
use crate::scenario::cluster::deriving::shard_of;
use crate::scenario::cluster::invariant::Invariant;

/// Bytes that an append adds to a key, and puts before a value.
const PLACE_BYTES: usize = 12;
const TIME_BYTES: usize = 8;

struct Record {
    key: Vec<u8>,
    before: Option<Bytes>,
    after: Option<Bytes>,
}

fn part(bytes: &mut Bytes) -> Option<Bytes> {
    let count = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    (count <= bytes.len()).then(|| bytes.split_to(count))
}

fn decode(mut bytes: Bytes) -> Option<Record> {
    (bytes.len() >= TIME_BYTES).then(|| bytes.advance(TIME_BYTES))?;
    let key = part(&mut bytes)?.to_vec();
    let before = part(&mut bytes)?;
    let some = |cell: Bytes| (!cell.is_empty()).then_some(cell);
    Some(Record {
        key,
        before: some(before),
        after: some(bytes),
    })
}

/// Checks the records of cells that rest; `acknowledged` are the numbers of writes that stand and that put something.
///
/// # Errors
/// The first record that does not fit to the one before it, or is missing.
pub(in crate::scenario::cluster) fn check(
    cells: &Table,
    log: &Table,
    acknowledged: &BTreeSet<u64>,
) -> Result<(), String> {
    let broken = |what: String| Err(Invariant::Streamed.broken(what));
    let (mut replayed, mut told) = (Table::new(), BTreeMap::<u64, u32>::new());
    for (place, record) in log {
        let Some(record) = decode(record.clone()) else {
            return broken(format!("{record:02x?} is no record"));
        };
        let shard = shard_of(&record.key);
        if place.len() != shard.len() + PLACE_BYTES || !place.starts_with(&shard) {
            return broken(format!("a record of {:02x?} lies at {place:02x?}", record.key));
        }
        let was = replayed.get(&record.key);
        if was != record.before.as_ref() {
            let number = |cell: Option<&Bytes>| cell.and_then(|cell| decode_cell(cell)).map(|cell| cell.by);
            return broken(format!(
                "the record at {place:02x?} comes behind write {:?} of its cell, not behind {:?}",
                number(was),
                number(record.before.as_ref())
            ));
        }
        match record.after {
            Some(cell) => {
                let by = decode_cell(&cell).map_or(0, |cell| cell.by);
                *told.entry(by).or_default() += 1;
                replayed.insert(record.key, cell);
            }
            None => drop(replayed.remove(&record.key)),
        }
    }
    if replayed != *cells {
        let mut keys = cells.keys().chain(replayed.keys());
        let key = keys.find(|key| cells.get(*key) != replayed.get(*key));
        return broken(format!(
            "the records of {key:02x?} do not end with what the cell is"
        ));
    }
    match acknowledged.iter().find(|by| told.get(*by) != Some(&1)) {
        Some(by) => broken(format!(
            "write {by} was acknowledged and has {:?} records",
            told.get(by)
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::cell::Stored;
    use crate::scenario::cluster::command::encode_cell;

    fn cell(by: u64) -> Bytes {
        encode_cell(Stored { value: 1, by })
    }

    /// A record of the one key: what was before, and what came; 0 for no cell.
    fn record(place: u8, before: u64, after: u64) -> (Vec<u8>, Bytes) {
        let key = [1; 16];
        let of = |by| if by == 0 { Bytes::new() } else { cell(by) };
        let mut bytes = vec![0; TIME_BYTES];
        for part in [&key[..], &of(before)] {
            bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
            bytes.extend(part);
        }
        bytes.extend(of(after));
        let mut at = shard_of(&key).to_vec();
        at.resize(at.len() + PLACE_BYTES - 1, 0);
        at.push(place);
        (at, bytes.into())
    }

    #[test]
    fn records_are_a_chain_to_what_the_cell_is() {
        let cells: Table = [(vec![1; 16], cell(3))].into();
        let judged = |log: &[(Vec<u8>, Bytes)]| check(&cells, &log.iter().cloned().collect(), &[3].into());
        let chain = [record(1, 0, 2), record(2, 2, 0), record(3, 0, 3)];
        assert_eq!(judged(&chain), Ok(()));
        for wrong in [
            &chain[..2],
            &chain[1..],
            &[chain[0].clone(), chain[2].clone()],
            &[record(1, 0, 2), record(2, 2, 2), record(3, 0, 3)],
            &[record(1, 0, 3), record(2, 3, 3)],
        ] {
            let reason = judged(wrong).unwrap_err();
            assert!(reason.starts_with("streamed: "), "{reason}");
        }
    }
}
