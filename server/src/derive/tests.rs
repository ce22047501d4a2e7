//! What follows from random writes, applied in order, is what the items say: index = f(table), the stream replays to the
//! table, due times are those of the items, sizes of collections add up, the newest versions are the items.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use stator_cluster::{Action, CellChange, Growth, Route, Value};
use stator_model::attribute::Kind;
use stator_model::index::{IndexKind, Projection};
use stator_model::item::{Item, ItemWriter};
use stator_model::key::{KeyAttribute, KeySchema, partition_of};
use stator_model::number::Number;
use uuid::Uuid;

use super::index::IndexUnits;
use super::stream::{EventName, StreamRecord};
use super::time_to_live::{due_s, read_key};
use super::*;
use crate::catalog::{
    Deletion, History, IndexDefinition, OnDemandLimits, StreamDefinition, StreamStatus, StreamView,
    Throughput, TimeToLive, TimeToLiveStatus,
};
use crate::operation::create_table::tests::definition;

const TABLE: &str = "table/t";

fn key(name: &str, kind: Kind) -> KeyAttribute {
    KeyAttribute {
        name: name.into(),
        kind,
    }
}

fn index(number: u128, kind: IndexKind, keys: (&[&str], &[&str]), projection: Projection) -> IndexDefinition {
    let attributes = |names: &[&str]| -> Vec<_> {
        let kind = |name: &str| if name == "n" { Kind::Number } else { Kind::String };
        names.iter().map(|name| key(name, kind(name))).collect()
    };
    IndexDefinition {
        name: format!("index-{number}"),
        id: Uuid::from_u128((number << 64) | number),
        kind,
        hash: attributes(keys.0),
        range: attributes(keys.1),
        projection,
        status: IndexStatus::Active,
        throughput: Throughput::default(),
        on_demand_limits: OnDemandLimits::default(),
        warm_units_requested: None,
    }
}

fn table() -> TableDefinition {
    let mut table = definition();
    table.id = Uuid::from_u128(77 << 64);
    table.key_schema = KeySchema {
        partition: key("pk", Kind::String),
        sort: Some(key("sk", Kind::Number)),
    };
    let include = || Projection::Include(vec!["c".into()]);
    table.indexes = vec![
        index(1, IndexKind::Local, (&["pk"], &["a"]), Projection::All),
        index(2, IndexKind::Local, (&["pk"], &["n"]), Projection::KeysOnly),
        index(3, IndexKind::Global, (&["a"], &[]), Projection::All),
        index(4, IndexKind::Global, (&["a", "b"], &["n", "c"]), include()),
        index(5, IndexKind::Global, (&["b"], &["a"]), Projection::KeysOnly),
        index(6, IndexKind::Global, (&["sk2"], &[]), Projection::All),
    ];
    let (view, status) = (StreamView::NewAndOldImages, StreamStatus::Enabled);
    table.streams = vec![StreamDefinition::new(Uuid::from_u128(9), view, status, 5)];
    table.time_to_live = Some(TimeToLive {
        id: Uuid::from_u128(10),
        attribute: "n".into(),
        status: TimeToLiveStatus::Enabled,
        changed_at_ms: 0,
    });
    table.history = Some(History::new(Uuid::from_u128(11), 35));
    table
}

fn derivations() -> Derivations {
    let derivations = Derivations::default();
    derivations.show(3, [(TABLE.to_owned(), &table())]);
    derivations
}

/// A key, and the attributes of the item that is put there; `None` deletes it.
type Write = ((u8, i8), Option<BTreeMap<&'static str, u8>>);

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let attributes = proptest::collection::btree_map(
        prop_oneof![Just("a"), Just("b"), Just("c"), Just("n"), Just("other")],
        0_u8..3,
        0..5,
    );
    vec(
        ((0_u8..3, 0_i8..3), proptest::option::weighted(0.8, attributes)),
        1..40,
    )
}

fn item((pk, sk): (u8, i8), attributes: &BTreeMap<&'static str, u8>) -> Item {
    let mut item = ItemWriter::with_capacity(64);
    let number = |number: i64| Number::parse(&number.to_string()).unwrap();
    item.writer().name(b"pk");
    item.writer().string(&format!("p{pk}"));
    item.writer().name(b"sk");
    item.writer().number(&number(i64::from(sk)));
    for (name, value) in attributes {
        item.writer().name(name.as_bytes());
        if *name == "n" {
            item.writer().number(&number(i64::from(*value) - 1));
        } else {
            item.writer().string(&format!("v{value}"));
        }
    }
    item.finish()
}

/// Keyspaces as they are when all rows are where they belong, and the records of shards in their order.
#[derive(Default)]
struct World {
    rows: BTreeMap<String, BTreeMap<Bytes, Bytes>>,
    records: BTreeMap<Bytes, Vec<Bytes>>,
    /// Rows and bytes by keyspace, as the tallies have them.
    tallies: BTreeMap<String, (i64, i64)>,
    /// Sizes of collections.
    sums: BTreeMap<Bytes, i64>,
    /// The versions of items, in the order of the writes, by what their keys begin with.
    versions: BTreeMap<Bytes, Vec<Bytes>>,
}

impl World {
    fn take(&mut self, key: &[u8], row: DerivedRow, cell: Option<&Cell>) {
        if row.route == Route::Beside {
            assert_eq!(row.key[..2], key[..2], "a row beside its item has its token");
        }
        let growth = match row.growth {
            Growth::By(items, bytes) => (i64::from(items), bytes),
            Growth::Found => {
                let rows = self.rows.get(&*row.keyspace);
                assert!(
                    rows.is_none_or(|rows| !rows.contains_key(&row.key)),
                    "a fill finds nothing"
                );
                let Action::Put(put) = &row.action else {
                    panic!("a fill puts")
                };
                let stored = put
                    .head
                    .iter()
                    .chain(cell.filter(|_| put.with_cell).into_iter().flatten());
                let stored: Bytes = stored.copied().collect();
                (
                    1,
                    i64::try_from(ItemRef::from_stored(&stored).unwrap().size()).unwrap(),
                )
            }
        };
        let tally = self.tallies.entry(row.keyspace.to_string()).or_default();
        tally.0 += growth.0;
        tally.1 += growth.1;
        let value = |Value { head, with_cell }: Value| -> Bytes {
            let cell = cell.filter(|_| with_cell).map_or(&[][..], |cell| &cell[..]);
            [&head[..], cell].concat().into()
        };
        let rows = self.rows.entry(row.keyspace.to_string()).or_default();
        match row.action {
            Action::Put(put) => drop(rows.insert(row.key, value(put))),
            Action::Delete => assert!(rows.remove(&row.key).is_some(), "a row goes that is there"),
            Action::Append(put) => {
                let timed = [&7_u64.to_le_bytes()[..], &value(put)].concat();
                self.records.entry(row.key).or_default().push(timed.into());
            }
            Action::Version { value: version, .. } => {
                self.versions.entry(row.key).or_default().push(value(version));
            }
        }
    }
}

fn check_indexes(world: &World, items: &BTreeMap<Vec<u8>, Item>) -> Result<(), TestCaseError> {
    let table = table();
    for index in &table.indexes {
        let keys = index.keys(&table.key_schema, table.seed());
        let mut expected = BTreeMap::new();
        for item in items.values() {
            if let Some(row) = keys.row_key(item.as_ref()).unwrap() {
                let projected = keys.project(&index.projection, item.as_ref());
                expected.insert(Bytes::from(row), projected.stored().clone());
            }
        }
        let keyspace = index.keyspace().to_string();
        let found = world.rows.get(&keyspace).cloned().unwrap_or_default();
        let bytes: usize = (expected.values())
            .map(|row| ItemRef::from_stored(row).unwrap().size())
            .sum();
        let tally = world.tallies.get(&keyspace).copied().unwrap_or_default();
        prop_assert_eq!(
            tally,
            (
                i64::try_from(expected.len()).unwrap(),
                i64::try_from(bytes).unwrap()
            )
        );
        prop_assert_eq!(found, expected, "{}", index.name);
    }
    Ok(())
}

fn check_stream(world: &World, items: &BTreeMap<Vec<u8>, Item>, changes: usize) -> Result<(), TestCaseError> {
    let table = table();
    let mut replayed = BTreeMap::new();
    let mut count = 0;
    for records in world.records.values() {
        for cell in records {
            count += 1;
            let record = StreamRecord::read(cell).unwrap();
            prop_assert_eq!((record.at_ms, record.origin), (7, 0));
            let key = table
                .key_schema
                .key_of_key(table.seed(), record.keys.as_ref())
                .unwrap();
            let before = match record.new_image.clone() {
                Some(item) => replayed.insert(key.into_vec(), item),
                None => replayed.remove(key.as_bytes()),
            };
            prop_assert_eq!(&before, &record.old_image);
            let event = match (&record.old_image, &record.new_image) {
                (None, _) => EventName::Insert,
                (_, None) => EventName::Remove,
                _ => EventName::Modify,
            };
            prop_assert_eq!(record.event, event);
        }
    }
    prop_assert_eq!(&replayed, items);
    prop_assert_eq!(count, changes);
    Ok(())
}

fn check_due(world: &World, items: &BTreeMap<Vec<u8>, Item>) -> Result<(), TestCaseError> {
    let due = table().time_to_live.unwrap();
    let rows = world.rows.get(&*due.keyspace()).cloned().unwrap_or_default();
    let found: BTreeMap<_, _> = rows
        .keys()
        .map(|row| {
            let (due, item) = read_key(row).unwrap();
            (item.to_vec(), due)
        })
        .collect();
    let of_item = |item: &Item| due_s(item.as_ref().get(b"n")?);
    let expected: BTreeMap<_, _> = items
        .iter()
        .filter_map(|(key, item)| Some((key.clone(), of_item(item)?)))
        .collect();
    prop_assert_eq!(found, expected);
    Ok(())
}

/// The newest version of each item is what it is, and there is one for each change.
fn check_history(
    world: &World,
    items: &BTreeMap<Vec<u8>, Item>,
    changes: usize,
) -> Result<(), TestCaseError> {
    let newest = |versions: &Vec<Bytes>| {
        let (kind, item) = versions.last()?.split_first()?;
        (*kind == b'P').then(|| Bytes::copy_from_slice(item))
    };
    let found: BTreeMap<_, _> = (world.versions.iter())
        .filter_map(|(of, versions)| Some((of.clone(), newest(versions)?)))
        .collect();
    let expected: BTreeMap<_, _> = items
        .iter()
        .map(|(key, item)| (super::history::versions_of(key), item.stored().clone()))
        .collect();
    prop_assert_eq!(found, expected);
    prop_assert_eq!(world.versions.values().map(Vec::len).sum::<usize>(), changes);
    Ok(())
}

fn check_collections(world: &World, items: &BTreeMap<Vec<u8>, Item>) -> Result<(), TestCaseError> {
    let table = table();
    let mut expected = BTreeMap::<Bytes, i64>::new();
    for (key, item) in items {
        let partition = Bytes::copy_from_slice(partition_of(key));
        let mut size = item.as_ref().size();
        for index in table
            .indexes
            .iter()
            .filter(|index| index.kind == IndexKind::Local)
        {
            let keys = index.keys(&table.key_schema, table.seed());
            if keys.row_key(item.as_ref()).unwrap().is_some() {
                size += keys.project(&index.projection, item.as_ref()).as_ref().size();
            }
        }
        *expected.entry(partition).or_default() += i64::try_from(size).unwrap();
    }
    let mut found = world.sums.clone();
    found.retain(|_, size| *size != 0);
    prop_assert_eq!(found, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_follows_from_writes_is_what_the_items_say(writes in writes()) {
        let (derivations, table) = (derivations(), table());
        let (mut items, mut world, mut changes) = (BTreeMap::<Vec<u8>, Item>::new(), World::default(), 0);
        for (key, attributes) in writes {
            let new = attributes.map(|attributes| item(key, &attributes));
            let named = item(key, &BTreeMap::new());
            let bytes = table.key_schema.key_of_item(table.seed(), named.as_ref()).unwrap().into_vec();
            let old = items.get(&bytes).cloned();
            if old == new {
                continue;
            }
            changes += 1;
            let (before, after) = (old.as_ref().map(Item::stored), new.as_ref().map(Item::stored));
            let change = CellChange { keyspace: TABLE, key: &bytes, before, after, origin: 0, stands: false };
            let derived = derivations.derive(&change).unwrap();
            for row in derived.rows {
                world.take(&bytes, row, after);
            }
            for sum in derived.sums {
                prop_assert_eq!(Some(sum.keyspace), table.collections());
                *world.sums.entry(sum.key).or_default() += sum.change;
            }
            match new {
                Some(item) => drop(items.insert(bytes, item)),
                None => drop(items.remove(&bytes)),
            }
        }
        check_indexes(&world, &items)?;
        check_stream(&world, &items, changes)?;
        check_due(&world, &items)?;
        check_collections(&world, &items)?;
        check_history(&world, &items, changes)?;
    }

    #[test]
    fn a_fill_makes_the_rows_that_writes_would_have_made(writes in writes()) {
        let (derivations, table) = (derivations(), table());
        let (mut items, mut world) = (BTreeMap::<Vec<u8>, Item>::new(), World::default());
        for (key, attributes) in writes {
            let item = item(key, &attributes.unwrap_or_default());
            let bytes = table.key_schema.key_of_item(table.seed(), item.as_ref()).unwrap().into_vec();
            items.insert(bytes, item);
        }
        let due = table.time_to_live.as_ref().map(|due| Filling::Due(due.id));
        let history = table.history.as_ref().map(|history| Filling::History(history.id));
        let fillings = table.indexes.iter().map(|index| Filling::Index(index.id)).chain(due).chain(history);
        for filling in fillings {
            for (key, item) in &items {
                for row in derivations.fill(&filling.encode(), TABLE, key, item.stored()) {
                    world.take(key, row, Some(item.stored()));
                }
            }
        }
        check_indexes(&world, &items)?;
        check_due(&world, &items)?;
        check_history(&world, &items, items.len())?;
    }

    #[test]
    fn units_come_back(all in vec((any::<bool>(), "[a-z]{0,9}", any::<u16>()), 0..4)) {
        let all: Vec<_> = all
            .into_iter()
            .map(|(local, name, units)| IndexUnits {
                kind: if local { IndexKind::Local } else { IndexKind::Global },
                name,
                units: usize::from(units),
            })
            .collect();
        prop_assert_eq!(IndexUnits::decode(&IndexUnits::encode(&all)), Some(all));
    }
}

#[test]
fn a_table_that_is_being_deleted_takes_nothing_but_what_stands() {
    let mut table = table();
    table.deletion = Some(Deletion {
        backup: "1-a".into(),
        asked_at_ms: 1,
    });
    let derivations = Derivations::new(Limits::default());
    derivations.show(1, [(TABLE.to_owned(), &table)]);
    let change = |stands| CellChange {
        keyspace: TABLE,
        key: b"12345678k",
        before: None,
        after: None,
        origin: 0,
        stands,
    };
    let unfit = derivations.derive(&change(false)).unwrap_err();
    assert_eq!(unfit.code, unfit::DELETED);
    assert!(derivations.derive(&change(true)).is_ok());
    let other = CellChange {
        keyspace: "table/other",
        ..change(false)
    };
    assert!(derivations.derive(&other).is_ok());
}

#[test]
fn what_an_index_cannot_have_is_refused_and_not_filled() {
    let derivations = derivations();
    let mut bad = ItemWriter::with_capacity(64);
    bad.writer().name(b"a");
    bad.writer().bool(true);
    bad.writer().name(b"pk");
    bad.writer().string("p");
    bad.writer().name(b"sk");
    bad.writer().number(&Number::parse("1").unwrap());
    let bad = bad.finish();
    let change = CellChange {
        keyspace: TABLE,
        key: b"12345678k",
        before: None,
        after: Some(bad.stored()),
        origin: 0,
        stands: false,
    };
    let unfit = derivations.derive(&change).unwrap_err();
    assert_eq!(unfit.code, unfit::VALIDATION);
    let filling = Filling::Index(table().indexes[0].id).encode();
    assert!(
        derivations
            .fill(&filling, TABLE, b"12345678k", bad.stored())
            .is_empty()
    );
    // What was there before the index may go, and leaves nothing behind.
    let change = CellChange {
        before: Some(bad.stored()),
        after: None,
        ..change
    };
    let derived = derivations.derive(&change).unwrap();
    assert_eq!(
        derived.rows.len(),
        2,
        "only the record of the stream and the version"
    );
}

#[test]
fn a_write_that_stands_is_left_out_of_what_it_does_not_fit() {
    let derivations = derivations();
    let fits = item((1, 1), &BTreeMap::from([("a", 1), ("b", 1)]));
    let mut unfit = ItemWriter::with_capacity(64);
    unfit.writer().name(b"a");
    unfit.writer().bool(true);
    unfit.writer().name(b"b");
    unfit.writer().string("v1");
    unfit.writer().name(b"pk");
    unfit.writer().string("p1");
    unfit.writer().name(b"sk");
    unfit.writer().number(&Number::parse("1").unwrap());
    let unfit = unfit.finish();
    let table = table();
    let key = table.key_schema.key_of_item(table.seed(), fits.as_ref());
    let key = key.unwrap().into_vec();
    let change = |before: Option<&Item>, after: &Item, stands| {
        let change = CellChange {
            keyspace: TABLE,
            key: &key,
            before: before.map(Item::stored),
            after: Some(after.stored()),
            origin: 0,
            stands,
        };
        derivations.derive(&change)
    };
    let mut world = World::default();
    for row in change(None, &fits, true).unwrap().rows {
        world.take(&key, row, Some(fits.stored()));
    }
    let rows = |world: &World| world.rows.values().map(BTreeMap::len).sum::<usize>();
    assert_eq!(rows(&world), 3, "indexes 1, 3 and 5");
    assert!(change(Some(&fits), &unfit, false).is_err());
    for row in change(Some(&fits), &unfit, true).unwrap().rows {
        world.take(&key, row, Some(unfit.stored()));
    }
    assert_eq!(rows(&world), 0, "the old rows are gone, and there is no new one");
    assert_eq!(world.records.values().map(Vec::len).sum::<usize>(), 2);
    for row in change(Some(&unfit), &fits, true).unwrap().rows {
        world.take(&key, row, Some(fits.stored()));
    }
    assert_eq!(rows(&world), 3);
}

#[test]
fn costs_are_those_of_the_larger_row_and_twice_for_one_that_moves() {
    let derivations = derivations();
    let units = |before: Option<&Item>, after: Option<&Item>| {
        let change = CellChange {
            keyspace: TABLE,
            key: b"12345678k",
            before: before.map(Item::stored),
            after: after.map(Item::stored),
            origin: 0,
            stands: false,
        };
        let units = IndexUnits::decode(&derivations.derive(&change).unwrap().note).unwrap();
        let of = |name: &str| {
            units
                .iter()
                .find(|index| index.name == name)
                .map(|index| index.units)
        };
        (of("index-3"), of("index-5"))
    };
    let with = |attributes: &[(&'static str, u8)]| item((1, 1), &attributes.iter().copied().collect());
    let (one, two) = (with(&[("a", 1)]), with(&[("a", 1), ("other", 2)]));
    let (moved, none) = (with(&[("a", 2)]), with(&[]));
    assert_eq!(units(None, Some(&one)), (Some(1), None));
    assert_eq!(units(Some(&one), Some(&two)), (Some(1), None));
    assert_eq!(units(Some(&one), Some(&moved)), (Some(2), None));
    assert_eq!(units(Some(&one), Some(&none)), (Some(1), None));
    let (b, other) = (
        with(&[("a", 1), ("b", 1)]),
        with(&[("a", 1), ("b", 1), ("other", 1)]),
    );
    assert_eq!(
        units(Some(&b), Some(&other)),
        (Some(1), None),
        "its keys are all that index-5 has"
    );
}

#[test]
fn an_older_view_changes_nothing() {
    let derivations = derivations();
    derivations.show(3, []);
    assert_eq!(derivations.known(), 3);
    let item = item((1, 1), &BTreeMap::new());
    let change = CellChange {
        keyspace: TABLE,
        key: b"12345678k",
        before: None,
        after: Some(item.stored()),
        origin: 0,
        stands: false,
    };
    assert_eq!(derivations.derive(&change).unwrap().rows.len(), 2);
    derivations.show(4, []);
    assert_eq!(derivations.derive(&change).unwrap(), Derived::default());
}

#[test]
fn it_is_known_since_when_the_same_follows_from_writes() {
    let (derivations, mut table) = (derivations(), table());
    let since = |key: &[u8]| {
        let item = item((1, 1), &BTreeMap::new());
        let change = CellChange {
            keyspace: TABLE,
            key,
            before: None,
            after: Some(item.stored()),
            origin: 0,
            stands: false,
        };
        derivations.derive(&change).unwrap().since
    };
    let mut show = |known, change: &dyn Fn(&mut TableDefinition)| {
        change(&mut table);
        derivations.show(known, [(TABLE.to_owned(), &table)]);
        since(b"12345678k")
    };
    assert_eq!(show(5, &|_| ()), 3, "other tables have changed");
    assert_eq!(show(6, &|table| table.deletion_protection = true), 3);
    let closed = |table: &mut TableDefinition| table.streams[0].shards[0].closed = Some((7, 8));
    assert_eq!(show(7, &closed), 3, "no record goes there");
    let opened = |table: &mut TableDefinition| {
        table.streams[0].shards.push(crate::catalog::Shard {
            number: crate::catalog::SLOTS,
            opened_at_ms: 9,
            closed: None,
        });
    };
    assert_eq!(show(8, &opened), 8);
    assert_eq!(show(9, &|_| ()), 8);
    let begun = |table: &mut TableDefinition| table.indexes[5].status = IndexStatus::Creating;
    assert_eq!(show(10, &begun), 10);
    assert_eq!(show(11, &|table| table.time_to_live = None), 11);
    assert_eq!(show(12, &|table| table.history = None), 12);
}
