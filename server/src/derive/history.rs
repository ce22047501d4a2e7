//! The versions of items that follow from writes, how they stand in the history of a table, and which of them count
//! (`docs/format/key.md`).
//!
//! Invariant: every write that changes an item has one version, in the entry of the write; the versions of an item stand one
//! behind the other, the newest first, and no other item's between them. Pure. Not here: times of versions
//! (`stator_cluster`), who reads them (`history_reader.rs`) and who removes them (`pruner.rs`).

mod changes;

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{Action, DerivedRow, Growth, Route, Value, version_of};
use stator_model::key::{escape, partition_of};
use uuid::Uuid;

pub(crate) use self::changes::{Change, Changes};
use super::Images;
use crate::catalog::History;

/// First byte of a version that is an item, which follows. None of the two is the first byte of an item.
const PUT: u8 = b'P';
/// The only byte of a version that says that the item was gone.
const REMOVED: u8 = b'R';

/// A history as its versions are derived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DerivedHistory {
    id: Uuid,
    keyspace: Arc<str>,
    /// Whether versions of items that were there before may be made.
    is_filling: bool,
}

/// What the keys of all versions of an item begin with, which is no beginning of another item's.
pub(super) fn versions_of(item: &[u8]) -> Bytes {
    let partition = partition_of(item);
    let mut key = Vec::with_capacity(item.len() + 2);
    key.extend_from_slice(partition);
    if let Some(sort) = item.get(partition.len()..).filter(|sort| !sort.is_empty()) {
        escape(&mut key, sort);
    }
    key.into()
}

impl DerivedHistory {
    pub(super) fn new(history: &History) -> Self {
        Self {
            id: history.id,
            keyspace: history.keyspace(),
            is_filling: !history.is_filled,
        }
    }

    /// Whether this history is to be filled.
    pub(super) fn is_filling(&self, id: Uuid) -> bool {
        self.id == id && self.is_filling
    }

    /// The version that follows from a write, which has the time of the write.
    pub(super) fn version(&self, images: &Images<'_>) -> DerivedRow {
        self.row(images.key, images.after.is_some(), None)
    }

    /// The version of an item that was there before: it is older than all others, as a transaction may be about to get an
    /// earlier time than this moment.
    pub(super) fn first(&self, key: &[u8]) -> DerivedRow {
        self.row(key, true, Some(0))
    }

    fn row(&self, key: &[u8], is_there: bool, at_ms: Option<u64>) -> DerivedRow {
        let head = Bytes::from_static(if is_there { &[PUT] } else { &[REMOVED] });
        let value = Value {
            head,
            with_cell: is_there,
        };
        DerivedRow {
            keyspace: Arc::clone(&self.keyspace),
            key: versions_of(key),
            route: Route::Beside,
            action: Action::Version { at_ms, value },
            growth: Growth::By(1, 0),
        }
    }
}

/// A version as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    /// What the keys of all versions of its item begin with.
    pub(crate) of: &'a [u8],
    /// In milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// The item; `None` when it was gone.
    pub(crate) cell: Option<&'a [u8]>,
}

impl<'a> Version<'a> {
    /// Reads a row; `None` when it is none that this program knows.
    pub(crate) fn read(key: &'a [u8], cell: &'a [u8]) -> Option<Self> {
        let (of, at_ms, _) = version_of(key)?;
        let cell = match cell {
            [PUT, item @ ..] => Some(item),
            [REMOVED] => None,
            _ => return None,
        };
        Some(Self { of, at_ms, cell })
    }
}

/// What is wanted of a history, as its versions come in the order of their keys.
pub(crate) trait Choice: Send {
    /// What is chosen of an item.
    type Chosen: Send;

    /// Looks at the next version; appends what is known to be chosen by now. Gives about how many bytes were taken.
    fn look(&mut self, version: &Version<'_>, chosen: &mut Vec<Self::Chosen>) -> usize;

    /// There are no more versions.
    fn end(&mut self, _chosen: &mut Vec<Self::Chosen>) {}
}

/// Finds what each item was at a time, as versions come in the order of their keys.
#[derive(Debug)]
pub(crate) struct AsOf {
    at_ms: u64,
    /// The item whose version is found.
    found: Vec<u8>,
}

impl AsOf {
    /// At that time, in milliseconds since the Unix epoch, what was written in this very millisecond included.
    pub(crate) fn new(at_ms: u64) -> Self {
        let found = Vec::new();
        Self { at_ms, found }
    }

    /// Whether a version says what its item was.
    pub(crate) fn counts(&mut self, version: &Version<'_>) -> bool {
        if version.at_ms > self.at_ms || self.found == version.of {
            return false;
        }
        self.found.clear();
        self.found.extend_from_slice(version.of);
        true
    }
}

/// What the keys of an item's versions begin with, and the item.
impl Choice for AsOf {
    type Chosen = (Bytes, Bytes);

    fn look(&mut self, version: &Version<'_>, chosen: &mut Vec<Self::Chosen>) -> usize {
        if !self.counts(version) {
            return 0;
        }
        let Some(cell) = version.cell else {
            return 0;
        };
        chosen.push((Bytes::copy_from_slice(version.of), Bytes::copy_from_slice(cell)));
        version.of.len() + cell.len()
    }
}

/// Finds versions that nobody can ask for, as versions come in the order of their keys.
///
/// That an item was gone is forgotten only when there is no older version of it, which would count then.
#[derive(Debug)]
pub(crate) struct Outdated {
    horizon_ms: u64,
    /// The item of which the version is known that counts at the horizon.
    seen: Vec<u8>,
    /// The key of a version that says that the item was gone, if nothing older has come yet.
    gone: Option<Vec<u8>>,
}

impl Outdated {
    /// Nobody asks for a time before this one, in milliseconds since the Unix epoch.
    pub(crate) fn new(horizon_ms: u64) -> Self {
        Self {
            horizon_ms,
            seen: Vec::new(),
            gone: None,
        }
    }

    /// Looks at the next row; appends the keys of those that may go by now.
    pub(crate) fn look(&mut self, key: &[u8], version: &Version<'_>, outdated: &mut Vec<Vec<u8>>) {
        let is_same = self.seen == version.of;
        let gone = self.gone.take();
        if !is_same {
            outdated.extend(gone);
        }
        if version.at_ms > self.horizon_ms {
            return;
        }
        if is_same {
            outdated.push(key.to_vec());
            return;
        }
        self.seen.clear();
        self.seen.extend_from_slice(version.of);
        self.gone = version.cell.is_none().then(|| key.to_vec());
    }

    /// There are no more rows.
    pub(crate) fn end(&mut self, outdated: &mut Vec<Vec<u8>>) {
        outdated.extend(self.gone.take());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use stator_cluster::CellChange;
    use stator_model::item::ItemWriter;
    use stator_model::key::encode;

    use super::super::{Derivations, Filling};
    use super::*;
    use crate::catalog::{TableDefinition, history_keyspace};
    use crate::operation::create_table::tests::definition;

    pub(super) fn row(item: &[u8], at_ms: u64, index: u64) -> Vec<u8> {
        let item = versions_of(item);
        [&item[..], &(!at_ms).to_be_bytes(), &(!index).to_be_bytes()].concat()
    }

    pub(super) const NOTHING: &[u8] = b"R";
    pub(super) const SOMETHING: &[u8] = b"Pitem";

    #[test]
    fn the_versions_of_an_item_stand_together_whatever_other_keys_there_are() {
        let sorts: [&[u8]; 5] = [b"a", b"ab", b"a\0", b"a\0b", b"a\xff"];
        let mut rows = Vec::new();
        for sort in sorts {
            let key = encode(7, b"p", Some(sort));
            for (at_ms, index) in [(0, 1), (1, 1), (1, 2), (u64::MAX - 1, 3)] {
                rows.push((row(key.as_bytes(), at_ms, index), sort));
            }
        }
        rows.sort();
        let mut order: Vec<&[u8]> = rows.iter().map(|(_, sort)| *sort).collect();
        order.dedup();
        let mut wanted = sorts.to_vec();
        wanted.sort();
        assert_eq!(order, wanted, "each once, in the order of the items");
        let times = rows[..4]
            .iter()
            .map(|(key, _)| Version::read(key, NOTHING).unwrap().at_ms);
        assert_eq!(times.collect::<Vec<_>>(), [u64::MAX - 1, 1, 1, 0]);
        // A table without a sort key.
        let (short, long) = (encode(7, b"p", None), encode(7, b"pq", None));
        assert_eq!(versions_of(short.as_bytes()), short.as_bytes());
        assert!(!versions_of(long.as_bytes()).starts_with(short.as_bytes()));
    }

    #[test]
    fn whoever_writes_makes_a_version_and_what_was_there_before_has_one_until_it_is_filled() {
        let mut table = definition();
        let id = Uuid::from_u128(5);
        table.history = Some(History::new(id, 35));
        let derivations = Derivations::default();
        let show = |known, table: &TableDefinition| derivations.show(known, [("table/t".to_owned(), table)]);
        show(1, &table);
        let mut item = ItemWriter::with_capacity(16);
        item.writer().name(b"pk");
        item.writer().string("k");
        let cell = Bytes::copy_from_slice(item.finish().stored());
        let key = encode(7, b"k", None);
        let derived = |after, origin| {
            let change = CellChange {
                keyspace: "table/t",
                key: key.as_bytes(),
                before: Some(&cell),
                after,
                origin,
                stands: true,
            };
            let mut rows = derivations.derive(&change).unwrap().rows;
            let row = rows.pop().unwrap();
            assert!(rows.is_empty() && *row.keyspace == *history_keyspace(id));
            row.action
        };
        let version = |head: &'static [u8], with_cell, at_ms| {
            let head = Bytes::from_static(head);
            let value = Value { head, with_cell };
            Action::Version { at_ms, value }
        };
        for origin in [0, crate::command::SERVICE] {
            assert_eq!(derived(None, origin), version(b"R", false, None));
            assert_eq!(derived(Some(&cell), origin), version(b"P", true, None));
        }
        let filled = |id| {
            let filling = Filling::History(id).encode();
            let rows = derivations.fill(&filling, "table/t", key.as_bytes(), &cell);
            rows.into_iter().map(|row| row.action).collect::<Vec<_>>()
        };
        assert_eq!(filled(id), [version(b"P", true, Some(0))]);
        assert_eq!(filled(Uuid::from_u128(6)), [], "another history");
        table
            .history
            .iter_mut()
            .for_each(|history| history.is_filled = true);
        show(2, &table);
        assert_eq!(filled(id), [], "what comes late adds nothing");
    }

    #[test]
    fn an_item_is_what_its_newest_version_says_that_is_not_too_new() {
        let (one, two) = (encode(7, b"p", Some(b"a")), encode(7, b"p", Some(b"b")));
        let rows = [
            (row(one.as_bytes(), 30, 9), SOMETHING),
            (row(one.as_bytes(), 20, 8), NOTHING),
            (row(one.as_bytes(), 20, 7), SOMETHING),
            (row(one.as_bytes(), 0, 1), SOMETHING),
            (row(two.as_bytes(), 25, 2), SOMETHING),
        ];
        let at = |at_ms| {
            let mut as_of = AsOf::new(at_ms);
            let counts = |(key, cell): &(Vec<u8>, &[u8])| as_of.counts(&Version::read(key, cell).unwrap());
            rows.iter().map(counts).collect::<Vec<_>>()
        };
        assert_eq!(at(40), [true, false, false, false, true]);
        assert_eq!(at(30), [true, false, false, false, true]);
        assert_eq!(at(29), [false, true, false, false, true]);
        assert_eq!(at(20), [false, true, false, false, false]);
        assert_eq!(at(19), [false, false, false, true, false]);
    }

    #[test]
    fn versions_go_when_a_newer_one_is_too_old_and_nothing_comes_back() {
        let keys = [encode(7, b"p", Some(b"a")), encode(7, b"p", Some(b"b"))];
        let [one, two] = [keys[0].as_bytes(), keys[1].as_bytes()];
        let outdated = |horizon_ms, rows: &[(Vec<u8>, &[u8])]| {
            let (mut chooser, mut keys) = (Outdated::new(horizon_ms), Vec::new());
            for (key, cell) in rows {
                chooser.look(key, &Version::read(key, cell).unwrap(), &mut keys);
            }
            chooser.end(&mut keys);
            let place = |key: &Vec<u8>| rows.iter().position(|(row, _)| row == key).unwrap();
            keys.iter().map(place).collect::<Vec<_>>()
        };
        let rows = [
            (row(one, 40, 9), SOMETHING),
            (row(one, 30, 8), NOTHING),
            (row(one, 20, 7), SOMETHING),
            (row(one, 10, 6), SOMETHING),
            (row(two, 30, 5), NOTHING),
        ];
        assert!(outdated(5, &rows).is_empty() && outdated(10, &rows).is_empty());
        assert_eq!(outdated(20, &rows), [3]);
        // That the first one was gone at 30 is known as long as there is something older.
        assert_eq!(outdated(30, &rows), [2, 3, 4]);
        assert_eq!(outdated(30, &[rows[0].clone(), rows[1].clone()]), [1]);
        assert_eq!(outdated(40, &rows), [1, 2, 3, 4]);
    }

    type Row = (Vec<u8>, &'static [u8]);

    /// What there is at a time.
    fn shown(rows: &[Row], at_ms: u64) -> Vec<Row> {
        let mut as_of = AsOf::new(at_ms);
        let counts = |(key, cell): &&Row| {
            let version = Version::read(key, cell).unwrap();
            as_of.counts(&version) && version.cell.is_some()
        };
        rows.iter().filter(counts).cloned().collect()
    }

    proptest! {
        /// Whatever goes, what every moment from the horizon on shows stays, and so it does when the next walk has been.
        #[test]
        fn what_goes_is_never_missed(
            written in vec((0_u8..3, 0_u64..12, any::<bool>()), 0..40),
            horizon_ms in 0_u64..14,
        ) {
            let mut rows: Vec<Row> = Vec::new();
            for ((item, at_ms, is_there), index) in written.into_iter().zip(0..) {
                let item = encode(7, b"p", Some(&[item]));
                rows.push((row(item.as_bytes(), at_ms, index), if is_there { SOMETHING } else { NOTHING }));
            }
            rows.sort();
            let moments = horizon_ms..15;
            let before: Vec<_> = moments.clone().map(|at_ms| shown(&rows, at_ms)).collect();
            for _ in 0..3 {
                let (mut chooser, mut outdated) = (Outdated::new(horizon_ms), Vec::new());
                for (key, cell) in &rows {
                    chooser.look(key, &Version::read(key, cell).unwrap(), &mut outdated);
                }
                chooser.end(&mut outdated);
                // They go one after the other, and anybody may look meanwhile.
                for key in outdated.into_iter().rev() {
                    rows.retain(|(row, _)| *row != key);
                    let now: Vec<_> = moments.clone().map(|at_ms| shown(&rows, at_ms)).collect();
                    prop_assert_eq!(&now, &before);
                }
            }
            let mut items: Vec<_> = rows.iter().map(|(key, cell)| Version::read(key, cell).unwrap()).collect();
            items.retain(|version| version.at_ms <= horizon_ms);
            prop_assert!(items.iter().all(|version| version.cell.is_some()), "what is gone is forgotten");
            prop_assert!(items.windows(2).all(|two| two[0].of != two[1].of), "one of each item is left");
        }
    }

    #[test]
    fn what_is_no_version_is_not_read() {
        let key = row(encode(7, b"p", None).as_bytes(), 5, 6);
        assert_eq!(Version::read(&key, b"Q"), None);
        assert_eq!(Version::read(&key, b"R?"), None);
        assert_eq!(Version::read(b"short", NOTHING), None);
        let read = Version::read(&key, SOMETHING).unwrap();
        assert_eq!((read.at_ms, read.cell), (5, Some(&b"item"[..])));
    }
}
