//! Hints on a simulated disk: a driven engine, so that each step is seen, power cuts at every operation, and threads.

use std::path::Path;
use std::thread;

use bytes::Bytes;
use futures_util::FutureExt as _;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::{Environment, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random, Settings};

use super::*;
use crate::command::InvocationId;

const PLENTY: u64 = 1 << 30;

fn environment(disk: &MemVfs) -> Environment {
    let random = Random::new(|bytes| {
        bytes.fill(7);
        Ok(())
    });
    let master_keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
    Environment::new(Arc::new(disk.clone()), random, master_keys, 0)
}

fn settings() -> Settings {
    Settings {
        log_segment_bytes: 4096,
        memtable_bytes_max: 4096,
        ..Settings::default()
    }
}

fn open_engine(disk: &MemVfs) -> stator_storage::Result<Engine> {
    Engine::open_driven(environment(disk), Path::new("/d"), settings())
}

fn open(disk: &MemVfs, bytes_max: u64) -> (Engine, Hints) {
    let engine = open_engine(disk).unwrap();
    let hints = Hints::open(engine.clone(), bytes_max).unwrap();
    (engine, hints)
}

fn turn(engine: &Engine) {
    while engine.turn() {}
}

fn hint(number: u64) -> Hint {
    Hint {
        at_ms: 1000 + number,
        keyspace: 5,
        invocation: InvocationId::hashed(&number.to_le_bytes()),
        key: Bytes::from(vec![1; 9]),
        command: Bytes::from(number.to_le_bytes().to_vec()),
    }
}

fn number(hint: &Hint) -> u64 {
    let number = u64::from_le_bytes(hint.command[..].try_into().unwrap());
    assert_eq!(*hint, self::hint(number), "it comes back as it was");
    number
}

/// The numbers of the hints of a group that are read.
fn numbers(hints: &Hints, group: u32, after: Option<u64>, bytes_max: usize) -> Vec<u64> {
    let read = hints.next(group, after, bytes_max).unwrap();
    read.iter().map(|(_, hint)| number(hint)).collect()
}

fn all(hints: &Hints, group: u32) -> Vec<u64> {
    numbers(hints, group, None, usize::MAX)
}

fn add(engine: &Engine, hints: &Hints, group: u32, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let added = hints.add(group, &hint(number), false);
        turn(engine);
        added.now_or_never().unwrap().unwrap();
    }
}

#[test]
fn a_hint_is_acknowledged_when_it_is_on_disk_and_not_before() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    let mut added = Box::pin(hints.add(3, &hint(1), false));
    assert!(added.as_mut().now_or_never().is_none());
    assert_eq!((hints.status().waiting, hints.status().written), (1, 0));
    assert_eq!(hints.groups_waiting(), [3]);
    assert_eq!(all(&hints, 3), [], "it is on its way to the disk");
    turn(&engine);
    added.now_or_never().unwrap().unwrap();
    assert_eq!((hints.status().waiting, hints.status().written), (1, 1));
    assert_eq!(all(&hints, 3), [1]);
    let (_, hints) = open(&disk.after_power_cut(Unsynced::Lost), PLENTY);
    assert_eq!(all(&hints, 3), [1]);
}

#[test]
fn hints_come_in_the_order_in_which_they_were_added_in_pieces() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    // More than 255, so that a wrong order of bytes shows.
    add(&engine, &hints, 3, 1..=300);
    add(&engine, &hints, 2, [500]);
    add(&engine, &hints, 4, [600]);
    assert_eq!(hints.groups_waiting(), [2, 3, 4]);
    assert_eq!(all(&hints, 3), (1..=300).collect::<Vec<_>>());
    let bytes = hint(1).encode().len();
    assert_eq!(numbers(&hints, 3, None, 3 * bytes), [1, 2, 3]);
    assert_eq!(numbers(&hints, 3, None, 3 * bytes - 1), [1, 2]);
    assert_eq!(numbers(&hints, 3, None, 0), [1], "one at least");
    let (second, _) = hints.next(3, None, 2 * bytes).unwrap()[1];
    assert_eq!(numbers(&hints, 3, Some(second), 2 * bytes), [3, 4]);
    assert_eq!(numbers(&hints, 3, Some(u64::MAX), 2 * bytes), []);
    assert_eq!(all(&hints, 9), []);
}

#[test]
fn what_was_delivered_does_not_come_again() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    add(&engine, &hints, 3, 1..=4);
    let read = hints.next(3, None, usize::MAX).unwrap();
    hints.delivered(3, read[1].0);
    hints.delivered(3, read[1].0);
    hints.delivered(4, read[0].0);
    assert_eq!(all(&hints, 3), [1, 3, 4], "at once");
    let status = hints.status();
    assert_eq!((status.waiting, status.written, status.delivered), (3, 4, 1));
    for (sequence, _) in read {
        hints.delivered(3, sequence);
    }
    assert_eq!(hints.groups_waiting(), [] as [u32; 0]);
    assert_eq!((hints.status().waiting, hints.status().bytes), (0, 0));
    turn(&engine);
    engine.close().unwrap();
    drop((engine, hints));
    let (_, hints) = open(&disk, PLENTY);
    assert_eq!(hints.status(), HintStatus::default());
}

#[test]
fn what_was_given_up_does_not_come_again_and_counts_as_that() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    add(&engine, &hints, 3, 1..=3);
    let read = hints.next(3, None, usize::MAX).unwrap();
    hints.dropped(3, read[0].0);
    hints.dropped(3, read[0].0);
    hints.delivered(3, read[0].0);
    assert_eq!(all(&hints, 3), [2, 3]);
    let status = hints.status();
    assert_eq!((status.waiting, status.delivered, status.dropped), (2, 0, 1));
    turn(&engine);
    engine.close().unwrap();
    drop((engine, hints));
    let (_, hints) = open(&disk, PLENTY);
    assert_eq!(all(&hints, 3), [2, 3]);
}

#[test]
fn it_is_known_since_when_a_hint_may_have_taken_effect() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    add(&engine, &hints, 3, 1..=1);
    drop(hints.add(3, &hint(2), true));
    turn(&engine);
    let read = hints.next(3, None, usize::MAX).unwrap();
    let [(first, _), (second, _)] = read[..] else {
        unreachable!("{read:?}")
    };
    assert_eq!(hints.begin_try(3, first, 50), None, "none before this one");
    assert_eq!(hints.begin_try(3, first, 60), Some(50));
    assert_eq!(hints.begin_try(3, second, 50), Some(1002), "its call was tried");
    assert_eq!(hints.begin_try(3, second + 1, 50), None);
    engine.close().unwrap();
    drop((engine, hints));
    let (_, hints) = open(&disk, PLENTY);
    assert_eq!(
        hints.begin_try(3, first, 70),
        Some(1001),
        "its removal may have been lost"
    );
}

#[test]
fn hints_beyond_the_budget_are_refused_until_others_are_delivered() {
    let disk = MemVfs::new();
    let one = cost(hint(1).encode().len());
    let (engine, hints) = open(&disk, 2 * one + one / 2);
    add(&engine, &hints, 3, 1..=2);
    let refused = hints.add(4, &hint(3), false).now_or_never().unwrap();
    assert!(
        matches!(refused, Err(HintError::Full { bytes, bytes_max }) if bytes == 2 * one && bytes_max == 2 * one + one / 2)
    );
    assert_eq!((hints.status().refused, hints.status().waiting), (1, 2));
    assert_eq!(hints.groups_waiting(), [3]);
    let read = hints.next(3, None, 0).unwrap();
    hints.delivered(3, read[0].0);
    add(&engine, &hints, 4, [4]);
    assert_eq!((all(&hints, 3), all(&hints, 4)), (vec![2], vec![4]));
}

#[test]
fn counts_and_sequences_go_on_after_a_start() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    add(&engine, &hints, 3, 1..=40);
    add(&engine, &hints, 7, [50]);
    let before = hints.status();
    engine.close().unwrap();
    drop((engine, hints));
    let (engine, hints) = open(&disk, PLENTY);
    assert_eq!(hints.groups_waiting(), [3, 7]);
    let after = hints.status();
    assert_eq!((after.waiting, after.bytes), (before.waiting, before.bytes));
    add(&engine, &hints, 3, [41]);
    assert_eq!(all(&hints, 3), (1..=41).collect::<Vec<_>>());
}

#[test]
fn a_hint_is_kept_though_nobody_waits_for_it() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    drop(hints.add(3, &hint(1), false));
    turn(&engine);
    assert_eq!(all(&hints, 3), [1]);
    assert_eq!(hints.status().written, 1);
}

#[test]
fn a_hint_that_cannot_be_written_is_an_error_and_does_not_wait() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    engine.close().unwrap();
    let added = hints.add(3, &hint(1), false).now_or_never().unwrap();
    assert!(matches!(
        added,
        Err(HintError::Storage(stator_storage::Error::Closed))
    ));
    assert_eq!(hints.status(), HintStatus::default());
}

#[test]
fn a_hint_of_a_later_version_is_refused_when_the_node_starts() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    let mut batch = WriteBatch::new();
    batch.put(hints.shared.keyspace, &key(1, 1), &[2; 40]);
    engine.write(batch, Durability::Sync).unwrap();
    let refused = Hints::open(engine, PLENTY);
    let error = MalformedHint::UnknownVersion { version: 2 };
    assert!(matches!(refused, Err(HintError::Malformed(found)) if found == error));
}

#[test]
fn the_order_is_that_of_the_calls_when_many_call_at_once() {
    const THREADS: u64 = 4;
    const EACH: u64 = 200;
    let disk = MemVfs::new();
    let engine = Engine::open(environment(&disk), Path::new("/d"), settings()).unwrap();
    let hints = Hints::open(engine, PLENTY).unwrap();
    let mut read = Vec::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let hints = hints.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for number in 0..EACH {
                    let added = hints.add(3, &hint(thread * EACH + number), false);
                    // Half of them do not wait, so that several of one thread are under way.
                    if number % 2 == 0 {
                        runtime.block_on(added).unwrap();
                    }
                }
            });
        }
        // Delivers meanwhile.
        while read.len() as u64 != THREADS * EACH {
            let after = read.last().map(|(sequence, _)| *sequence);
            let next = hints.next(3, after, 500).unwrap();
            for (sequence, _) in &next {
                hints.delivered(3, *sequence);
            }
            read.extend(next);
            thread::yield_now();
        }
    });
    let sequences: Vec<_> = read.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(
        sequences,
        (1..=THREADS * EACH).collect::<Vec<_>>(),
        "without a gap"
    );
    for thread in 0..THREADS {
        let numbers = read.iter().map(|(_, hint)| number(hint));
        let of_thread: Vec<_> = numbers.filter(|number| number / EACH == thread).collect();
        assert!(of_thread.is_sorted(), "in the order of their thread");
    }
    assert_eq!(hints.status().waiting, 0);
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Add(u32),
    /// Delivers the first of a group.
    Deliver(u32),
    Turn,
    Restart,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (0_u32..3).prop_map(Action::Add),
        2 => (0_u32..3).prop_map(Action::Deliver),
        3 => proptest::strategy::Just(Action::Turn),
        1 => proptest::strategy::Just(Action::Restart),
    ];
    proptest::collection::vec(action, 1..60)
}

/// What a caller knows of one hint.
#[derive(Debug)]
struct Known {
    group: u32,
    number: u64,
    acknowledged: bool,
    delivered: bool,
}

/// Acts until the power is cut; says what the caller knows then.
fn act(disk: &MemVfs, actions: &[Action]) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    let mut under_way = Vec::new();
    let open = || {
        let engine = open_engine(disk).ok()?;
        let hints = Hints::open(engine.clone(), PLENTY).ok()?;
        Some((engine, hints))
    };
    let Some((mut engine, mut hints)) = open() else {
        return known;
    };
    for action in actions {
        match action {
            Action::Add(group) => {
                let number = known.len() as u64;
                known.push(Known {
                    group: *group,
                    number,
                    acknowledged: false,
                    delivered: false,
                });
                under_way.push((known.len() - 1, Box::pin(hints.add(*group, &hint(number), false))));
            }
            Action::Deliver(group) => {
                let Ok(next) = hints.next(*group, None, 0) else {
                    return known;
                };
                if let Some((sequence, hint)) = next.first() {
                    hints.delivered(*group, *sequence);
                    known[usize::try_from(number(hint)).unwrap()].delivered = true;
                }
            }
            Action::Turn => turn(&engine),
            Action::Restart => {
                let closed = engine.close();
                drop((engine, hints));
                if closed.is_err() {
                    return known;
                }
                let Some(opened) = open() else {
                    return known;
                };
                (engine, hints) = opened;
            }
        }
        under_way.retain_mut(|(place, added)| match added.as_mut().now_or_never() {
            None => true,
            Some(result) => {
                known[*place].acknowledged = result.is_ok();
                false
            }
        });
    }
    known
}

proptest! {
    #[test]
    fn what_was_acknowledged_and_not_delivered_is_there_after_a_power_cut_in_order(
        actions in actions(), cut in any::<proptest::sample::Index>(), seed in any::<u64>(),
    ) {
        let rehearsal = MemVfs::new();
        act(&rehearsal, &actions);
        let disk = MemVfs::new();
        disk.cut_power_after(cut.index(usize::try_from(rehearsal.operations()).unwrap() + 1) as u64);
        let known = act(&disk, &actions);
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn { seed }] {
            let (_, hints) = open(&disk.after_power_cut(unsynced), PLENTY);
            let mut waiting = 0;
            for group in 0..3 {
                let found = all(&hints, group);
                waiting += found.len() as u64;
                prop_assert!(found.is_sorted_by(|a, b| a < b), "{:?}", found);
                for hint in known.iter().filter(|hint| hint.group == group) {
                    let must_be_there = hint.acknowledged && !hint.delivered;
                    prop_assert!(!must_be_there || found.contains(&hint.number), "{:?} of {:?}", hint, found);
                }
                let of_group = |number: &u64| known.iter().any(|hint| hint.number == *number && hint.group == group);
                prop_assert!(found.iter().all(of_group));
            }
            prop_assert_eq!(hints.status().waiting, waiting);
        }
    }
}

#[test]
fn what_was_delivered_stays_so_when_its_removal_is_lost() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    add(&engine, &hints, 3, 1..=4);
    add(&engine, &hints, 5, 1..=1);
    for (sequence, _) in hints.next(3, None, usize::MAX).unwrap().drain(..2) {
        hints.delivered(3, sequence);
    }
    hints.delivered(5, 1);
    let kept = hints.keep_floors();
    turn(&engine);
    kept.now_or_never().unwrap().unwrap();
    let mut batch = WriteBatch::new();
    for (group, sequence) in [(3, 1), (3, 2), (5, 1)] {
        batch.put(hints.keyspace(), &key(group, sequence), &hint(sequence).encode());
    }
    engine.write(batch, Durability::Interval).unwrap();
    for _ in 0..2 {
        turn(&engine);
        let (engine, hints) = open(&disk.after_power_cut(Unsynced::Kept), PLENTY);
        assert_eq!((all(&hints, 3), all(&hints, 5)), (vec![3, 4], vec![]));
        add(&engine, &hints, 5, 7..=7);
        assert_eq!(all(&hints, 5), [7], "it is not before the floor");
        turn(&engine);
    }
}

#[test]
fn hints_whose_bytes_are_gone_are_counted_as_lost_and_hold_nothing_up() {
    let disk = MemVfs::new();
    let (engine, hints) = open(&disk, PLENTY);
    add(&engine, &hints, 3, 1..=3);
    let under_way = hints.add(3, &hint(4), false);
    let mut batch = WriteBatch::new();
    batch.delete(hints.keyspace(), &key(3, 2));
    engine.write(batch, Durability::Interval).unwrap();
    assert_eq!(hints.forget_lost().unwrap(), BTreeMap::from([(3, 1)]));
    turn(&engine);
    under_way.now_or_never().unwrap().unwrap();
    assert_eq!(all(&hints, 3), [1, 3, 4]);
    assert_eq!((hints.status().lost, hints.status().waiting), (1, 3));
    assert_eq!(hints.forget_lost().unwrap(), BTreeMap::new());
}
