//! `kill -9` on real files under load, again and again, on one directory.
//!
//! A child process opens the engine and writes from several threads; it says on standard output what was acknowledged.
//! The parent kills it in the middle, opens the directory itself and compares: every acknowledged write is there, and
//! nothing is half there. `STATOR_KILL_ROUNDS` sets the number of rounds (`cargo xtask kill` runs 200), and
//! `STATOR_KILL_SEED` when in each round the end comes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test without a harness, and a process of its own"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use stator_storage::vfs::posix::PosixVfs;
use stator_storage::{Durability, Engine, KeyspaceId, Settings, WriteBatch};

use support::environment;

const CHILD: &str = "child";
const WRITERS: u32 = 4;
/// Each writer goes round these keys.
const SLOTS: u32 = 97;
const KEYSPACES: [&str; 2] = ["a", "b"];

fn settings() -> Settings {
    Settings {
        memtable_bytes_max: 128 << 10,
        log_segment_bytes: 256 << 10,
        sync_interval_ms: 10,
        block_cache_bytes: 1 << 20,
        sstable_bytes: 128 << 10,
        level0_sstables_trigger: 2,
        level1_bytes: 256 << 10,
        level_size_ratio: 4,
        ..Settings::default()
    }
}

fn open(directory: &Path) -> Engine {
    Engine::open(environment(Arc::new(PosixVfs)), directory, settings()).unwrap()
}

fn keyspaces(engine: &Engine) -> [KeyspaceId; 2] {
    KEYSPACES.map(|name| match engine.keyspace(name) {
        Some(id) => id,
        None => engine.create_keyspace(name).unwrap(),
    })
}

fn key(writer: u32, slot: u32) -> Vec<u8> {
    let token = u64::from(slot).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = token.to_be_bytes().to_vec();
    key.extend([b'w', 0, 0]);
    key.extend(writer.to_be_bytes());
    key
}

/// What write `number` leaves in its slot; every seventh removes what is there.
fn value(writer: u32, number: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(number * 37 % 1900).unwrap();
    let filler = u8::try_from((number + u64::from(writer)) % 251).unwrap();
    (!number.is_multiple_of(7)).then(|| [&number.to_be_bytes()[..], &vec![filler; length]].concat())
}

fn slot(number: u64) -> u32 {
    u32::try_from(number % u64::from(SLOTS)).unwrap()
}

/// The number of writes of `writer` that are there: the only one with which all slots are as they must be, in both
/// keyspaces. It is `least`, or one more: the write that nobody had heard of yet.
fn count(engine: &Engine, writer: u32, least: u64) -> u64 {
    let ids = keyspaces(engine);
    let read = ids.map(|id| -> Vec<_> {
        (0..SLOTS)
            .map(|slot| {
                engine
                    .get(id, &key(writer, slot))
                    .unwrap()
                    .map(|value| value.to_vec())
            })
            .collect()
    });
    assert_eq!(read[0], read[1], "writer {writer}: the keyspaces differ");
    let fits = |count: u64| {
        (0..SLOTS).all(|at| {
            let last = (1..=count)
                .rev()
                .take(SLOTS as usize)
                .find(|number| slot(*number) == at);
            let expected = last.and_then(|number| value(writer, number));
            read[0][at as usize] == expected
        })
    };
    for count in [least, least + 1] {
        if fits(count) {
            return count;
        }
    }
    unreachable!("writer {writer}: {least} writes were acknowledged, and that is not what is there")
}

fn write_until_killed(directory: &Path) {
    let engine = open(directory);
    let ids = keyspaces(&engine);
    let starts: Vec<u64> = std::env::args()
        .skip(3)
        .map(|text| text.parse().unwrap())
        .collect();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (engine, start) = (&engine, starts[writer as usize]);
            scope.spawn(move || {
                for number in start + 1.. {
                    let mut batch = WriteBatch::new();
                    for id in ids {
                        match value(writer, number) {
                            Some(value) => batch.put(id, &key(writer, slot(number)), &value),
                            None => batch.delete(id, &key(writer, slot(number))),
                        }
                    }
                    let durability = if number % 3 == 0 {
                        Durability::Sync
                    } else {
                        Durability::Interval
                    };
                    engine.write(batch, durability).unwrap();
                    // One write of a whole line: the lines of two threads do not mix.
                    std::io::stdout()
                        .lock()
                        .write_all(format!("{writer} {number}\n").as_bytes())
                        .unwrap();
                }
            });
        }
    });
}

/// Lets a child write and kills it after `lines` acknowledgements; gives what was acknowledged.
fn round(directory: &Path, counts: &[u64], lines: u64) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(CHILD)
        .arg(directory)
        .args(counts.iter().map(u64::to_string))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = counts.to_vec();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        assert!(
            output.read_line(&mut line).unwrap() > 0,
            "the child ended by itself"
        );
        note(&mut acknowledged, &line);
    }
    child.kill().unwrap();
    // What it had said before it died counts too.
    loop {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        note(&mut acknowledged, &line);
    }
    child.wait().unwrap();
    acknowledged
}

/// Takes note of one acknowledgement; a line that is cut is none.
fn note(acknowledged: &mut [u64], line: &str) {
    let Some((writer, number)) = line.strip_suffix('\n').and_then(|line| line.split_once(' ')) else {
        return;
    };
    let writer: usize = writer.parse().unwrap();
    acknowledged[writer] = acknowledged[writer].max(number.parse().unwrap());
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == CHILD) {
        return write_until_killed(Path::new(&arguments[2]));
    }
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, mut seed) = (number("STATOR_KILL_ROUNDS", 8), number("STATOR_KILL_SEED", 1));
    let directory = tempfile::tempdir().unwrap();
    let mut counts = vec![0; WRITERS as usize];
    let (mut kept, mut unheard) = (0, 0);
    for _ in 0..rounds {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let acknowledged = round(directory.path(), &counts, (seed >> 40) % 3000);
        let engine = open(directory.path());
        for (writer, acknowledged) in (0..WRITERS).zip(acknowledged) {
            let found = count(&engine, writer, acknowledged);
            kept += acknowledged - counts[writer as usize];
            unheard += found - acknowledged;
            counts[writer as usize] = found;
        }
        engine.close().unwrap();
    }
    println!(
        "{rounds} rounds of kill -9: {kept} acknowledged writes, all there; {unheard} more that were \
         written and not yet heard of"
    );
}
