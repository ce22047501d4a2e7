//! Verify, dump, repair, checkpoint, and the rotation of keys.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use stator_storage::tools::{DumpOptions, Repair, Verification, dump, repair, verify};
use stator_storage::vfs::Vfs as _;
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::vfs::watched::WatchedVfs;
use stator_storage::{
    CompactionStrategy, Durability, Engine, Error, KeyspaceId, KeyspaceOptions, MASTER_KEY_BYTES, MasterKey,
    MasterKeys, Result, Settings, WriteBatch,
};

use support::{Entries, environment, read_all, tiny};

const DIRECTORY: &str = "/d";

/// The last frame of a manifest (`docs/format/manifest.md`): header, next file number, tag.
const SEAL_BYTES: u64 = 24 + 9 + 16;

fn directory() -> &'static Path {
    Path::new(DIRECTORY)
}

fn open(disk: &MemVfs) -> Result<Engine> {
    Engine::open(environment(Arc::new(disk.clone())), directory(), tiny())
}

fn put(engine: &Engine, id: KeyspaceId, number: u32) {
    let mut batch = WriteBatch::new();
    let key = [
        &u64::from(number % 40).to_be_bytes()[..],
        b"pk\0\0",
        &number.to_be_bytes(),
    ]
    .concat();
    batch.put(id, &key, &[&number.to_be_bytes()[..], &[6; 60]].concat());
    engine.write(batch, Durability::Interval).unwrap();
}

/// A closed directory with sstables on several levels, a size-tiered keyspace, and something in the log.
fn filled() -> (MemVfs, Entries, Entries) {
    let disk = MemVfs::new();
    let engine = open(&disk).unwrap();
    let first = engine.create_keyspace("first").unwrap();
    let options = KeyspaceOptions {
        compaction: CompactionStrategy::SizeTiered,
        ..KeyspaceOptions::default()
    };
    let second = engine.create_keyspace_with("second", options).unwrap();
    for number in 0..400 {
        put(&engine, first, number);
        put(&engine, second, number / 2);
    }
    engine.flush().unwrap();
    for number in 400..410 {
        put(&engine, first, number);
    }
    let contents = [first, second].map(|id| read_all(&engine, id).unwrap());
    engine.close().unwrap();
    drop(engine);
    let [first, second] = contents;
    (disk, first, second)
}

fn verified(disk: &MemVfs) -> Result<Verification> {
    verify(environment(Arc::new(disk.clone())), directory(), &mut |_, _| ())
}

fn repaired(disk: &MemVfs) -> Result<Repair> {
    repair(
        environment(Arc::new(disk.clone())),
        directory(),
        &tiny(),
        &mut |_, _| (),
    )
}

fn contents(disk: &MemVfs, name: &str) -> Entries {
    let engine = open(disk).unwrap();
    read_all(&engine, engine.keyspace(name).unwrap()).unwrap()
}

fn files(disk: &MemVfs, prefix: &str) -> Vec<String> {
    let names = disk.list(directory()).unwrap();
    names
        .into_iter()
        .filter(|name| name.starts_with(prefix))
        .collect()
}

#[test]
fn verify_finds_nothing_in_what_was_closed_and_says_who_holds_it() {
    let (disk, first, _) = filled();
    let found = verified(&disk).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert!(found.sstables > 3 && found.log_segments > 0 && found.entries >= first.len() as u64 - 10);
    let engine = open(&disk).unwrap();
    assert!(matches!(verified(&disk), Err(Error::Locked { .. })));
    drop(engine);
    assert!(matches!(
        verify(environment(Arc::new(MemVfs::new())), directory(), &mut |_, _| ()),
        Err(Error::Invalid { .. })
    ));
}

#[test]
fn verify_finds_every_bad_byte_and_names_its_file() {
    let (disk, ..) = filled();
    let mut checked = 0;
    for name in disk.list(directory()).unwrap() {
        let path = directory().join(&name);
        let size = disk.open(&path).unwrap().size().unwrap();
        let is_synced_whole = name.starts_with("sst") || name.starts_with("manifest");
        if !is_synced_whole {
            continue;
        }
        // What says that the last edit of a manifest is on disk cannot be told from what was being written.
        let end = if name.starts_with("manifest") {
            size - SEAL_BYTES
        } else {
            size
        };
        for offset in (0..end).step_by(31) {
            let copy = disk.after_power_cut(Unsynced::Kept);
            copy.flip_bit(&path, offset, 6).unwrap();
            match verified(&copy) {
                Ok(found) => {
                    let named = found
                        .problems
                        .iter()
                        .any(|problem| matches!(problem, Error::Corruption { file, .. } if *file == path));
                    assert!(named, "{name} at {offset}: {:?}", found.problems);
                }
                Err(error) => unreachable!("{name} at {offset}: {error}"),
            }
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn repair_leaves_alone_what_is_whole() {
    let (disk, first, second) = filled();
    let names = disk.list(directory()).unwrap();
    let done = repaired(&disk).unwrap();
    assert!(done.is_nothing() && done.entries > 0, "{done:?}");
    assert_eq!(disk.list(directory()).unwrap(), names);
    assert_eq!(
        (contents(&disk, "first"), contents(&disk, "second")),
        (first, second)
    );
}

#[test]
fn repair_saves_everything_but_the_damaged_block() {
    let (disk, first, second) = filled();
    for name in files(&disk, "sst") {
        let path = directory().join(&name);
        let size = disk.open(&path).unwrap().size().unwrap();
        for offset in (0..size).step_by(389) {
            let copy = disk.after_power_cut(Unsynced::Kept);
            copy.flip_bit(&path, offset, 2).unwrap();
            let done = repaired(&copy).unwrap();
            assert!(
                !done.is_nothing() && !done.lost.is_empty() || done.sstables_rewritten == 1,
                "{done:?}"
            );
            assert!(verified(&copy).unwrap().problems.is_empty());
            // An older version may show where a newer one is lost; no key and no value comes from nowhere.
            for (keyspace, before) in [("first", &first), ("second", &second)] {
                let after = contents(&copy, keyspace);
                let keys: Vec<_> = before.iter().map(|(key, _)| key).collect();
                assert!(after.iter().all(|(key, _)| keys.binary_search(&key).is_ok()));
                // Without its header or the top of its index nothing of a file can be read.
                let few = if done.sstables_lost > 0 { before.len() } else { 60 };
                assert!(
                    after.len() + few >= before.len(),
                    "{name} at {offset}: {} left",
                    after.len()
                );
            }
        }
    }
}

#[test]
fn repair_makes_a_lost_manifest_anew() {
    let (disk, first, second) = filled();
    for name in ["CURRENT".to_owned(), files(&disk, "manifest")[0].clone()] {
        let copy = disk.after_power_cut(Unsynced::Kept);
        copy.remove(&directory().join(name)).unwrap();
        assert!(open(&copy).is_err());
        let done = repaired(&copy).unwrap();
        assert!(done.manifest_rebuilt, "{done:?}");
        assert!(verified(&copy).unwrap().problems.is_empty());
        assert_eq!(
            (contents(&copy, "first"), contents(&copy, "second")),
            (first.clone(), second.clone())
        );
    }
}

#[test]
fn repair_cuts_a_damaged_log_and_keeps_what_was_cut() {
    let disk = MemVfs::new();
    let engine = open(&disk).unwrap();
    let id = engine.create_keyspace("first").unwrap();
    for number in 0..12 {
        let mut batch = WriteBatch::new();
        batch.put(id, &[b'k', number], &[7; 60]);
        engine.write(batch, Durability::Sync).unwrap();
    }
    let before = read_all(&engine, id).unwrap();
    engine.close().unwrap();
    drop(engine);
    let name = files(&disk, "log-").pop().unwrap();
    let path = directory().join(&name);
    let mut cut_somewhere = 0;
    for offset in (0..1700).step_by(13) {
        let copy = disk.after_power_cut(Unsynced::Kept);
        copy.flip_bit(&path, offset, 4).unwrap();
        if open(&copy).is_ok() {
            // The end of the log, which cannot be told from one that was being written.
            continue;
        }
        let done = repaired(&copy).unwrap();
        assert!(!done.is_nothing() && done.lost.len() == 1, "{offset}: {done:?}");
        assert_eq!(done.kept, [format!("{name}.damaged")], "{offset}");
        assert!(verified(&copy).unwrap().problems.is_empty());
        let after = contents(&copy, "first");
        assert_eq!(after, before[..after.len()], "{offset}");
        cut_somewhere += u64::from(!after.is_empty());
    }
    assert!(cut_somewhere > 50, "{cut_somewhere}");
}

#[test]
fn repair_opens_whatever_log_a_start_refuses() {
    let disk = MemVfs::new();
    let settings = Settings {
        memtable_bytes_max: 1 << 20,
        log_segments_max: 100,
        ..tiny()
    };
    let engine = Engine::open(environment(Arc::new(disk.clone())), directory(), settings).unwrap();
    let id = engine.create_keyspace("first").unwrap();
    for number in 0..120_u32 {
        let mut batch = WriteBatch::new();
        batch.put(id, &number.to_be_bytes(), &[7; 90]);
        engine.write(batch, Durability::Sync).unwrap();
    }
    let before = read_all(&engine, id).unwrap();
    engine.close().unwrap();
    drop(engine);
    let mut segments = files(&disk, "log-");
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    let mut refused = 0;
    for (position, name) in segments.iter().enumerate() {
        let path = directory().join(name);
        let damages: [&dyn Fn(&MemVfs); 4] = [
            &|disk| disk.remove(&path).unwrap(),
            &|disk| disk.open(&path).unwrap().write_all_at(&[0; 64], 0).unwrap(),
            &|disk| disk.open(&path).unwrap().truncate(100).unwrap(),
            &|disk| disk.flip_bit(&path, 150, 3).unwrap(),
        ];
        for (kind, damage) in damages.iter().enumerate() {
            let copy = disk.after_power_cut(Unsynced::Kept);
            damage(&copy);
            if open(&copy).is_ok() {
                // What is left is a prefix, and nothing shows that there was more.
                continue;
            }
            refused += 1;
            let found = verified(&copy).unwrap();
            assert!(!found.problems.is_empty(), "{name} {kind}");
            let done = repaired(&copy).unwrap();
            assert!(done.log_cut && done.lost.len() == 1, "{name} {kind}: {done:?}");
            let found = verified(&copy).unwrap();
            assert!(found.problems.is_empty(), "{name} {kind}: {:?}", found.problems);
            let after = contents(&copy, "first");
            assert_eq!(after, before[..after.len()], "{name} {kind}");
            assert!(position == 0 || !after.is_empty(), "{name} {kind}");
        }
    }
    assert!(
        refused > 3 * segments.len() - 4,
        "{refused} of {}",
        segments.len()
    );
}

#[test]
fn a_checkpoint_opens_although_keys_rotate_while_it_is_made() {
    let (disk, first, _) = filled();
    let rotating: Arc<Mutex<Option<Engine>>> = Arc::default();
    let of_disk = Arc::clone(&rotating);
    let watched = WatchedVfs::new(Arc::new(disk.clone()), move |path| {
        if !path.starts_with("/checkpoint") {
            return;
        }
        // Not while it is being done already.
        let engine = of_disk.lock().take();
        if let Some(engine) = engine {
            engine.rotate_data_key(1).unwrap();
            *of_disk.lock() = Some(engine);
        }
    });
    let engine = Engine::open(environment(Arc::new(watched)), directory(), tiny()).unwrap();
    engine.flush().unwrap();
    engine.rewrite_old_files().unwrap();
    *rotating.lock() = Some(engine.clone());
    engine.checkpoint(Path::new("/checkpoint")).unwrap();
    *rotating.lock() = None;
    let keys = engine.key_status().data_keys.last().unwrap().id.number();
    assert!(keys > 3, "{keys}");
    let world = environment(Arc::new(disk.clone()));
    let copy = Engine::open(world, Path::new("/checkpoint"), tiny()).unwrap();
    assert_eq!(read_all(&copy, copy.keyspace("first").unwrap()).unwrap(), first);
}

#[test]
fn a_keyspace_of_which_only_the_log_knows_comes_back_under_another_name() {
    let disk = MemVfs::new();
    let engine = open(&disk).unwrap();
    let id = engine.create_keyspace("young").unwrap();
    put(&engine, id, 1);
    let before = read_all(&engine, id).unwrap();
    drop(engine);
    disk.remove(&directory().join("CURRENT")).unwrap();
    let done = repaired(&disk).unwrap();
    assert_eq!(done.keyspaces_renamed.len(), 1);
    assert_eq!(contents(&disk, &done.keyspaces_renamed[0]), before);
}

#[test]
fn a_checkpoint_stays_as_it_was() {
    let (disk, first, _) = filled();
    let engine = open(&disk).unwrap();
    let id = engine.keyspace("first").unwrap();
    let target = Path::new("/checkpoint");
    let made = engine.checkpoint(target).unwrap();
    assert!(made.sstables > 0 && made.sequence >= 810, "{made:?}");
    assert!(matches!(engine.checkpoint(target), Err(Error::Invalid { .. })));
    for number in 500..900 {
        put(&engine, id, number);
    }
    engine.flush().unwrap();
    drop(engine);
    let copy = Engine::open(environment(Arc::new(disk.clone())), target, tiny()).unwrap();
    assert_eq!(read_all(&copy, copy.keyspace("first").unwrap()).unwrap(), first);
    let id = copy.keyspace("second").unwrap();
    put(&copy, id, 7);
    copy.close().unwrap();
}

#[test]
fn a_checkpoint_that_a_power_cut_interrupts_does_not_open_or_is_whole() {
    let (disk, first, _) = filled();
    let target = Path::new("/checkpoint");
    for cut in 0..200 {
        let copy = disk.after_power_cut(Unsynced::Kept);
        let engine = open(&copy).unwrap();
        copy.cut_power_after(copy.operations() + cut);
        let made = engine.checkpoint(target).is_ok();
        let after = copy.after_power_cut(Unsynced::Torn { seed: cut });
        drop(engine);
        let opened = Engine::open(environment(Arc::new(after.clone())), target, tiny());
        match opened {
            Ok(engine) => match engine.keyspace("first") {
                Some(id) => assert_eq!(read_all(&engine, id).unwrap(), first, "cut {cut}"),
                None => assert!(!made && engine.keyspaces().is_empty(), "cut {cut}"),
            },
            Err(error) => assert!(
                !made && matches!(error, Error::Corruption { .. }),
                "cut {cut}: {error}"
            ),
        }
        if made {
            return;
        }
    }
    unreachable!("the checkpoint takes fewer steps");
}

#[test]
fn dump_shows_every_kind_of_file() {
    let (disk, ..) = filled();
    let shown = |name: &str| -> Result<String> {
        let mut out = Vec::new();
        let options = DumpOptions {
            entries: true,
            values: true,
        };
        dump(
            environment(Arc::new(disk.clone())),
            directory(),
            name,
            options,
            &mut out,
        )?;
        Ok(String::from_utf8(out).unwrap())
    };
    assert!(shown("CURRENT").unwrap().contains("\"second\""));
    assert!(shown(&files(&disk, "manifest")[0]).unwrap().contains("edit 1"));
    assert!(
        shown(&files(&disk, "sst")[0])
            .unwrap()
            .contains("largest sequence")
    );
    let log = files(&disk, "log-").last().unwrap().clone();
    assert!(shown(&log).unwrap().contains("frame at 64"));
    assert!(matches!(shown("passwd"), Err(Error::Invalid { .. })));
}

#[test]
fn keys_rotate_and_old_ones_are_forgotten_when_no_file_needs_them() {
    let (disk, first, _) = filled();
    let master = |byte: u8| MasterKey::new([byte; MASTER_KEY_BYTES]);
    let open_with = |keys: MasterKeys| {
        let mut environment = environment(Arc::new(disk.clone()));
        environment.master_keys = keys;
        Engine::open(environment, directory(), tiny())
    };
    let engine = open(&disk).unwrap();
    let second = engine.rotate_data_key(77).unwrap();
    assert_eq!(second.to_string(), "2");
    let id = engine.keyspace("first").unwrap();
    put(&engine, id, 1);
    drop(engine);
    // A new master key wraps the data keys anew; then the old one opens nothing any more.
    drop(open_with(MasterKeys::new(master(2)).with_older(master(1))).unwrap());
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(&error, Error::WrongMasterKey { wanted, .. } if *wanted == master(2).id()),
        "{error}"
    );
    let engine = open_with(MasterKeys::new(master(2))).unwrap();
    assert_eq!(read_all(&engine, id).unwrap(), first);
}
