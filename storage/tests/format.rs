//! Directories that earlier versions have written open for ever, or say why not (`docs/format/`).

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stator_storage::vfs::posix::PosixVfs;
use stator_storage::{
    CompactionStrategy, Durability, Engine, KeyspaceId, KeyspaceOptions, LogBatch, Settings, StreamId,
    WriteBatch,
};

use support::{environment, read_all, tiny};

const ENTRIES: u32 = 300;

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/testdata")
        .join(version)
}

fn open(directory: &Path) -> stator_storage::Result<Engine> {
    let settings = Settings {
        block_cache_bytes: 1 << 20,
        ..tiny()
    };
    Engine::open(environment(Arc::new(PosixVfs)), directory, settings)
}

/// What `make` has put into each keyspace; every third key is gone again.
fn expected(keyspace: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entry = |number: u32| {
        // Seven partitions with a token, a partition key and a terminator each, then the sort key.
        let token = u64::from(number % 7)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .to_be_bytes();
        let key = [&token[..], b"partition", &[0, 0], &number.to_be_bytes()].concat();
        let value = format!("{keyspace} {number} ").repeat(number as usize % 9 + 1);
        (key, value.into_bytes())
    };
    (0..ENTRIES).map(entry).collect()
}

fn is_gone(key: &[u8]) -> bool {
    u32::from_be_bytes(key[key.len() - 4..].try_into().unwrap()).is_multiple_of(3)
}

/// Writes a directory in the format of today.
fn make(directory: &Path) {
    let engine = open(directory).unwrap();
    let leveled = engine.create_keyspace("leveled").unwrap();
    let tiered = KeyspaceOptions {
        compaction: CompactionStrategy::SizeTiered,
        ..KeyspaceOptions::default()
    };
    let tiered = engine.create_keyspace_with("tiered", tiered).unwrap();
    let write = |id: KeyspaceId, change: &dyn Fn(&mut WriteBatch)| {
        let mut batch = WriteBatch::new();
        change(&mut batch);
        engine.write(batch, Durability::Sync).unwrap();
        assert!(engine.keyspaces().iter().any(|(known, _)| *known == id));
    };
    for (name, id) in [("leveled", leveled), ("tiered", tiered)] {
        for (key, value) in expected(name) {
            write(id, &|batch| batch.put(id, &key, &value));
        }
        for key in expected(name).into_keys().filter(|key| is_gone(key)) {
            write(id, &|batch| batch.delete(id, &key));
        }
    }
    engine.flush().unwrap();
    engine.rotate_data_key(1).unwrap();
    let mut log = LogBatch::new();
    log.set_state(StreamId(7), b"state");
    for index in 5..12 {
        log.append(StreamId(7), index, &[u8::try_from(index).unwrap(); 20]);
    }
    log.cut_head(StreamId(7), 6);
    log.cut_tail(StreamId(7), 11);
    engine
        .append_and_write(log, WriteBatch::new(), Durability::Sync)
        .unwrap();
    // These only the log has.
    write(leveled, &|batch| batch.put(leveled, b"last", b"in the log"));
    engine.close().unwrap();
}

fn check(directory: &Path) {
    let engine = open(directory).unwrap();
    for name in ["leveled", "tiered"] {
        let mut left = expected(name);
        left.retain(|key, _| !is_gone(key));
        if name == "leveled" {
            left.insert(b"last".to_vec(), b"in the log".to_vec());
        }
        let id = engine.keyspace(name).unwrap();
        assert_eq!(
            read_all(&engine, id).unwrap(),
            left.into_iter().collect::<Vec<_>>()
        );
    }
    let info = engine.stream(StreamId(7)).unwrap();
    assert_eq!((info.head, info.next, &info.state[..]), (6, 11, &b"state"[..]));
    let entries = engine.read_stream(StreamId(7), 6..11, usize::MAX).unwrap();
    assert!(
        entries
            .iter()
            .all(|entry| entry.payload.iter().all(|byte| u64::from(*byte) == entry.index))
    );
    assert_eq!(entries.len(), 5);
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_directory_of_the_first_format_version_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    copy(&folder("v1"), directory.path());
    let before = fs::read_dir(directory.path()).unwrap().count();
    let text = open(directory.path()).unwrap_err().to_string();
    assert!(
        text.contains("format version 1, this version of the engine reads version 2"),
        "{text}"
    );
    // Nothing but the lock is left behind.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), before + 1);
}

#[test]
fn a_directory_of_format_version_2_opens() {
    let directory = tempfile::tempdir().unwrap();
    copy(&folder("v2"), directory.path());
    check(directory.path());
    // And once more, with what the first opening has made of it.
    check(directory.path());
}

#[test]
fn a_directory_of_today_opens() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path());
    check(directory.path());
}

/// Run by hand when a format version is settled: `cargo test -p stator-storage --test format -- --ignored`.
#[test]
#[ignore = "writes into the source folder"]
fn make_the_directory_of_format_version_2() {
    let folder = folder("v2");
    fs::create_dir(&folder).unwrap();
    make(&folder);
    fs::remove_file(folder.join("LOCK")).unwrap();
}
