//! Backups in a directory: complete ones, ones that build on others, what is removed, what is noticed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Archive, DirectoryStore, Error, Hands, INTENT_AGE_MS, Manifest, Swept, Work, WrappingKey};
use bytes::Bytes;
use proptest::prelude::*;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(name: &str) -> WrappingKey {
    WrappingKey::derive(name.to_owned(), name.as_bytes())
}

fn open_with(directory: &Path, keys: &[WrappingKey]) -> Result<Archive, Error> {
    let random = |buffer: &mut [u8]| {
        buffer.fill(9);
        Ok(())
    };
    Archive::open(Arc::new(DirectoryStore::new(directory)), keys, random)
}

fn open(directory: &Path) -> Archive {
    open_with(directory, &[key("k")]).unwrap()
}

fn back_up(archive: &Archive, id: &str, base: Option<&Manifest>, table: &Table) -> Manifest {
    let mut backup = archive.begin(id, base, 0).unwrap();
    for (key, cell) in table {
        backup.push(&Bytes::copy_from_slice(key), cell).unwrap();
    }
    backup.finish(Bytes::from_static(b"about")).unwrap()
}

fn restored(archive: &Archive, id: &str, behind: Option<&[u8]>) -> Table {
    let manifest = archive.backup(id).unwrap().unwrap();
    let mut cells = archive.cells(&manifest, behind).unwrap();
    let mut table = Table::new();
    while let Some((key, cell)) = cells.next_cell().unwrap() {
        assert!(table.insert(key.to_vec(), cell.to_vec()).is_none());
    }
    table
}

/// Some megabytes that do not compress.
fn large(seed: u64) -> Table {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    let cell = |number: u32| (number.to_be_bytes().to_vec(), (0..1000).map(|_| next()).collect());
    (0..10_000).map(cell).collect()
}

/// Each chunk on a thread of its own. Counts them.
#[derive(Debug, Default)]
struct Threads(AtomicUsize);

impl Hands for Threads {
    fn take(&self, work: Work) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(work);
    }

    fn many(&self) -> usize {
        2
    }
}

/// Somebody who has taken chunks and is gone.
#[derive(Debug)]
struct Gone;

impl Hands for Gone {
    fn take(&self, work: Work) {
        drop(work);
    }

    fn many(&self) -> usize {
        2
    }
}

fn back_up_helped_by(archive: &Archive, hands: &Arc<dyn Hands>, table: &Table) -> Result<Manifest, Error> {
    let mut backup = archive.begin("helped", None, 0)?.helped_by(hands);
    for (key, cell) in table {
        backup.push(&Bytes::copy_from_slice(key), cell)?;
    }
    backup.finish(Bytes::new())
}

#[test]
fn a_backup_whose_chunks_others_put_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let hands: Arc<dyn Hands> = Arc::new(Threads::default());
    let mut table = large(5);
    table.extend((0..2).map(|many: u8| (vec![255, many], vec![many])));
    let helped = back_up_helped_by(&archive, &hands, &table).unwrap();
    assert!(helped.copied() > 9_000_000);
    archive.verify(&helped).unwrap();
    assert_eq!(restored(&archive, "helped", None), table);
    let alone = back_up(&archive, "alone", None, &table);
    assert_eq!(alone.runs(), helped.runs());
    assert_eq!(alone.copied(), 0, "the same chunks are there");
}

#[test]
fn chunks_of_fingerprints_are_put_by_others_too() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let threads = Arc::new(Threads::default());
    let hands: Arc<dyn Hands> = threads.clone();
    let manifest = back_up_helped_by(&archive, &hands, &large(7)).unwrap();
    let chunks: usize = manifest.runs().iter().map(|run| run.chunks().count()).sum();
    assert_eq!((chunks, threads.0.load(Ordering::Relaxed)), (4, 4));
    archive.verify(&manifest).unwrap();
}

#[test]
fn a_backup_is_not_there_if_a_chunk_was_taken_and_not_put() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let hands: Arc<dyn Hands> = Arc::new(Gone);
    let failed = back_up_helped_by(&archive, &hands, &large(6));
    assert!(matches!(failed, Err(Error::Store { .. })), "{failed:?}");
    let failed = back_up_helped_by(&archive, &hands, &Table::from([(vec![1], vec![1])]));
    assert!(matches!(failed, Err(Error::Store { .. })), "{failed:?}");
    assert!(archive.backup("helped").unwrap().is_none());
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_backup_is_restored_as_it_was_also_from_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let table = large(1);
    let manifest = back_up(&archive, "b", None, &table);
    assert_eq!((manifest.id(), manifest.cells()), ("b", 10_000));
    assert_eq!(manifest.about(), &Bytes::from_static(b"about"));
    assert!(manifest.copied() > manifest.cell_bytes());
    // Another node, or another start.
    let archive = open(directory.path());
    assert_eq!(archive.backup("b").unwrap(), Some(manifest.clone()));
    assert_eq!(archive.backups().unwrap(), ["b"]);
    assert_eq!(restored(&archive, "b", None), table);
    let (middle, _) = table.iter().nth(7_777).unwrap();
    let rest = restored(&archive, "b", Some(middle));
    assert_eq!(
        rest,
        table
            .range(middle.clone()..)
            .skip(1)
            .map(|(k, c)| (k.clone(), c.clone()))
            .collect()
    );
    let verified = archive.verify(&manifest).unwrap();
    assert_eq!(verified.cells, 10_000);
    assert!(verified.objects > 3);
}

#[test]
fn an_empty_table_has_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let manifest = back_up(&archive, "b", None, &Table::new());
    assert_eq!(restored(&archive, "b", None), Table::new());
    assert_eq!(archive.verify(&manifest).unwrap().cells, 0);
    let table = large(2);
    let full = back_up(&archive, "c", Some(&manifest), &table);
    assert_eq!(restored(&archive, "c", None), table);
    let emptied = back_up(&archive, "d", Some(&full), &Table::new());
    assert_eq!(
        (emptied.cells(), restored(&archive, "d", None)),
        (0, Table::new())
    );
}

#[test]
fn a_second_backup_after_one_percent_of_changes_copies_less_than_five_percent() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let mut table = large(3);
    let first = back_up(&archive, "a", None, &table);
    for (number, (_, cell)) in table.iter_mut().enumerate() {
        if number % 100 == 7 {
            cell[0] ^= 1;
        }
    }
    let second = back_up(&archive, "b", Some(&first), &table);
    assert!(
        second.copied() * 20 < first.copied(),
        "{} of {}",
        second.copied(),
        first.copied()
    );
    assert_eq!(restored(&archive, "b", None), table);
    let third = back_up(&archive, "c", Some(&second), &table);
    assert_eq!(third.copied(), 0);
    // What it builds on may go.
    archive.remove("a").unwrap();
    archive.remove("b").unwrap();
    assert_eq!(archive.sweep(|| 0).unwrap(), Swept::Removed(0));
    assert_eq!(restored(&archive, "c", None), table);
}

#[test]
fn chunks_go_with_the_last_backup_that_needs_them_and_not_while_one_is_being_made() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let table = large(4);
    back_up(&archive, "a", None, &table);
    let mut half = archive.begin("b", None, 1_000).unwrap();
    half.push(&Bytes::from_static(b"x"), b"y").unwrap();
    archive.remove("a").unwrap();
    assert_eq!(archive.sweep(|| 2_000).unwrap(), Swept::Later);
    half.is_alive(INTENT_AGE_MS).unwrap();
    assert_eq!(archive.sweep(|| INTENT_AGE_MS + 1_000).unwrap(), Swept::Later);
    let Swept::Removed(removed) = archive.sweep(|| 2 * INTENT_AGE_MS).unwrap() else {
        panic!("the one that makes a backup is gone");
    };
    assert!(removed >= 4, "{removed}");
    assert!(matches!(half.is_alive(2 * INTENT_AGE_MS), Err(Error::GivenUp)));
    assert!(matches!(half.finish(Bytes::new()), Err(Error::GivenUp)));
    assert_eq!(archive.backups().unwrap(), Vec::<String>::new());
    assert_eq!(files(directory.path()), [directory.path().join("keyring")]);
}

#[test]
fn no_backup_is_begun_while_chunks_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    fs::write(directory.path().join("sweeping"), "1000").unwrap();
    assert!(matches!(archive.begin("a", None, 2_000), Err(Error::Sweeping)));
    assert_eq!(archive.sweep(|| 2_000).unwrap(), Swept::Later);
    // Whoever did so is gone: it would have said so again.
    archive.begin("a", None, 1_000 + 180_000).unwrap();
}

#[test]
fn whoever_was_stopped_while_it_removed_chunks_removes_no_more_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    back_up(&archive, "a", None, &large(4));
    archive.remove("a").unwrap();
    let before = files(directory.path());
    let asked = Cell::new(0);
    // Its machine is suspended when it is about to remove the first one.
    let clock = || {
        asked.set(asked.get() + 1);
        if asked.get() > 3 { 1_000_000 } else { 1_000 }
    };
    assert_eq!(archive.sweep(clock).unwrap(), Swept::Later);
    let chunks = |files: &[PathBuf]| {
        files
            .iter()
            .filter(|file| file.to_string_lossy().contains("chunks"))
            .count()
    };
    assert_eq!(chunks(&files(directory.path())), chunks(&before));
    // What it has said is old by now.
    assert!(matches!(
        archive.sweep(|| 1_000_000).unwrap(),
        Swept::Removed(1..)
    ));
}

#[test]
fn another_archive_in_the_place_of_one_that_was_opened_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    // The file system is mounted only now, and there is an archive on it.
    fs::remove_file(directory.path().join("keyring")).unwrap();
    assert!(matches!(archive.begin("a", None, 0), Err(Error::Replaced)));
    let random = |buffer: &mut [u8]| {
        buffer.fill(8);
        Ok(())
    };
    let store = || Arc::new(DirectoryStore::new(directory.path()));
    assert!(!Archive::is_at(&*store()).unwrap());
    Archive::open(store(), &[key("k")], random).unwrap();
    assert!(Archive::is_at(&*store()).unwrap());
    assert!(matches!(archive.begin("a", None, 0), Err(Error::Replaced)));
    assert!(matches!(archive.sweep(|| 0), Err(Error::Replaced)));
    assert_eq!(files(directory.path()), [directory.path().join("keyring")]);
}

#[test]
fn a_backup_that_compares_puts_damaged_chunks_right() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let table = large(9);
    let first = back_up(&archive, "a", None, &table);
    let chunks = files(directory.path()).into_iter();
    let chunks: Vec<_> = chunks
        .filter(|file| file.to_string_lossy().contains("chunks"))
        .collect();
    for (place, file) in chunks.iter().enumerate() {
        match place % 3 {
            0 => fs::write(file, b"rot").unwrap(),
            1 => fs::remove_file(file).unwrap(),
            _ => {}
        }
    }
    assert!(archive.verify(&first).is_err());
    let mut backup = archive.begin("b", None, 0).unwrap().comparing();
    for (key, cell) in &table {
        backup.push(&Bytes::copy_from_slice(key), cell).unwrap();
    }
    let second = backup.finish(Bytes::new()).unwrap();
    archive.verify(&second).unwrap();
    archive.verify(&first).unwrap();
    assert!(
        second.copied() > 0 && second.copied() < first.copied(),
        "{}",
        second.copied()
    );
}

#[test]
fn every_file_that_is_damaged_or_missing_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let manifest = back_up(&archive, "a", None, &large(5));
    for file in files(directory.path()) {
        if file.ends_with("keyring") {
            continue;
        }
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&file, damaged).unwrap();
        let verify = || match archive.backup("a")? {
            Some(manifest) => archive.verify(&manifest).map(drop),
            None => Err(Error::Missing { name: String::new() }),
        };
        assert!(
            matches!(verify(), Err(Error::Damaged { .. })),
            "{}",
            file.display()
        );
        fs::remove_file(&file).unwrap();
        assert!(
            matches!(verify(), Err(Error::Missing { .. })),
            "{}",
            file.display()
        );
        fs::write(&file, whole).unwrap();
    }
    archive.verify(&manifest).unwrap();
}

#[test]
fn a_new_master_key_opens_what_was_there_and_the_old_one_may_go() {
    let directory = tempfile::tempdir().unwrap();
    back_up(&open(directory.path()), "a", None, &large(6));
    let refused = open_with(directory.path(), &[key("new")]).unwrap_err();
    assert!(matches!(refused, Error::OtherMasterKey { .. }), "{refused}");
    open_with(directory.path(), &[key("new"), key("k")]).unwrap();
    let archive = open_with(directory.path(), &[key("new")]).unwrap();
    assert_eq!(restored(&archive, "a", None), large(6));
}

#[test]
fn reading_makes_no_archive_and_adds_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let read = |keys: &[WrappingKey]| {
        let store = Arc::new(DirectoryStore::new(directory.path()));
        Archive::open_to_read(store, keys)
    };
    assert!(matches!(read(&[key("k")]), Err(Error::Missing { .. })));
    let manifest = back_up(&open(directory.path()), "a", None, &large(7));
    let ring = fs::read(directory.path().join("keyring")).unwrap();
    let archive = read(&[key("new"), key("k")]).unwrap();
    assert_eq!(archive.verify(&manifest).unwrap().cells, 10_000);
    assert_eq!(fs::read(directory.path().join("keyring")).unwrap(), ring);
    assert!(matches!(read(&[key("new")]), Err(Error::OtherMasterKey { .. })));
}

#[test]
fn cells_have_to_come_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let archive = open(directory.path());
    let mut backup = archive.begin("a", None, 0).unwrap();
    backup.push(&Bytes::from_static(b"b"), b"").unwrap();
    for key in ["a", "b"] {
        assert!(matches!(backup.push(&Bytes::from(key), b""), Err(Error::Order)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_a_table_becomes_each_backup_shows_it_as_it_was(
        changes in prop::collection::vec(prop::collection::vec((0_u8..40, prop::option::of(0_u8..4)), 0..30), 1..14),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let archive = open(directory.path());
        let (mut table, mut shown, mut last) = (Table::new(), Vec::new(), None);
        for (number, changes) in changes.into_iter().enumerate() {
            for (key, cell) in changes {
                match cell {
                    Some(cell) => drop(table.insert(vec![key], vec![cell; 50])),
                    None => drop(table.remove(&vec![key])),
                }
            }
            last = Some(back_up(&archive, &number.to_string(), last.as_ref(), &table));
            shown.push(table.clone());
        }
        for (number, table) in shown.iter().enumerate() {
            let manifest = archive.backup(&number.to_string()).unwrap().unwrap();
            prop_assert_eq!(&restored(&archive, &number.to_string(), None), table);
            prop_assert_eq!(archive.verify(&manifest).unwrap().cells, table.len() as u64);
        }
    }
}
