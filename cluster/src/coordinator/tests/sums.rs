//! Sums over cells are exact whoever writes at once, whoever leads, and after a start; and they are not raised above their
//! limit.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::three::{Hub, retried, three_with};
use super::*;
use crate::derive::{CellChange, Derived, DerivedSum, Unfit, UnfitSum, sum_of};
use crate::transaction::{Reason, TransactionAction, TransactionOutcome};

/// Sums up how long the cells of keyspace `k` are that begin with the same byte.
#[derive(Debug)]
struct Summing;

/// The sum of cells that begin with [`LIMITED`] has this limit.
const MAX: u64 = 50;
const LIMITED: u8 = 200;
const CODE: u8 = 8;

fn unfit() -> Unfit {
    let reason = "too long together".to_owned();
    Unfit { code: CODE, reason }
}

impl Commands for Summing {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Appends.decide(command, current)
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        Appends.weigh(cell)
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        if change.keyspace != "k" {
            return Ok(Derived::default());
        }
        let length = |cell: Option<&Cell>| cell.map_or(0, |cell| i64::try_from(cell.len()).unwrap());
        let sum = DerivedSum {
            keyspace: "lengths".into(),
            key: Bytes::copy_from_slice(&change.key[..1]),
            change: length(change.after) - length(change.before),
            max: if change.key[0] == LIMITED { MAX } else { u64::MAX },
            too_large: UnfitSum {
                code: CODE,
                reason: "too long together",
            },
        };
        Ok(Derived {
            sums: vec![sum],
            ..Derived::default()
        })
    }
}

async fn rows(cluster: &Cluster, keyspace: &str) -> BTreeMap<Vec<u8>, Bytes> {
    let keyspace = cluster.keyspace(keyspace).unwrap();
    retried(async || {
        let seen = parking_lot::Mutex::new(BTreeMap::new());
        let quorum = ConsistencyLevel::Quorum;
        let everything = Bounds {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        };
        cluster
            .range(keyspace, &everything, Direction::Forward, quorum, |row| {
                seen.lock().insert(row.key().to_vec(), row.to_cell());
                std::ops::ControlFlow::Continue(())
            })
            .await?;
        Ok(seen.into_inner())
    })
    .await
}

/// The sums are those of the cells, and there is none of nothing. Gives how many there are.
async fn check(cluster: &Cluster) -> usize {
    let mut expected = BTreeMap::<_, u64>::new();
    for (key, cell) in rows(cluster, "k").await {
        *expected.entry(vec![key[0]]).or_default() += cell.len() as u64;
    }
    let found: BTreeMap<_, _> = rows(cluster, "lengths")
        .await
        .into_iter()
        .map(|(key, row)| (key, sum_of(Some(&row)).unwrap()))
        .collect();
    assert_eq!(found, expected);
    expected.len()
}

async fn make_keyspaces(cluster: &Cluster) -> Keyspace {
    retried(async || cluster.create_keyspace("lengths").await).await;
    retried(async || cluster.create_keyspace("k").await).await
}

async fn one_node(directory: &TempDir) -> Cluster {
    let mut around = surroundings(directory);
    around.commands = Arc::new(Summing);
    open_with(around).await
}

async fn append(cluster: &Cluster, keyspace: Keyspace, key: [u8; 2], byte: u8) {
    retried(async || {
        let options = WriteOptions::default();
        cluster.write(keyspace, &key, options, &Append(byte)).await
    })
    .await;
}

#[tokio::test]
async fn writes_that_follow_each_other_at_once_are_all_counted_and_a_start_forgets_nothing() {
    let directory = TempDir::new().unwrap();
    let cluster = one_node(&directory).await;
    let keyspace = make_keyspaces(&cluster).await;
    let both = |number: u8| [[5, number % 20], [9, number % 3]];
    join_all((0..100).map(|number| append(&cluster, keyspace, both(number)[usize::from(number) % 2], 1)))
        .await;
    assert_eq!(check(&cluster).await, 2);
    let tally = cluster.tally(cluster.keyspace("lengths").unwrap()).await;
    assert_eq!(tally.items, 2);
    cluster.close().unwrap();
    drop(cluster);
    let cluster = one_node(&directory).await;
    let keyspace = cluster.keyspace("k").unwrap();
    join_all((0..30).map(|number| append(&cluster, keyspace, both(number)[0], 2))).await;
    let lengths = rows(&cluster, "lengths").await;
    assert_eq!(sum_of(lengths.get(&vec![5])), Some(80));
    join_all((0..20).map(|number| append(&cluster, keyspace, [5, number], 255))).await;
    let lengths = rows(&cluster, "lengths").await;
    assert_eq!(lengths.keys().collect::<Vec<_>>(), [&vec![9]]);
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_sum_is_not_raised_above_its_limit_and_may_always_fall() {
    let directory = TempDir::new().unwrap();
    let cluster = one_node(&directory).await;
    let keyspace = make_keyspaces(&cluster).await;
    let write = async |key: [u8; 2], byte| {
        let options = WriteOptions::default();
        match cluster.write(keyspace, &key, options, &Append(byte)).await {
            Ok(_) => None,
            Err(Error::Unfit(unfit)) => Some(unfit),
            Err(error) => panic!("{error}"),
        }
    };
    let outcomes = join_all((0..60).map(|number| write([LIMITED, number % 7], 1))).await;
    let refused = outcomes.iter().flatten().count();
    assert_eq!(refused, 10, "just so many fit, pipelined or not");
    assert_eq!(write([LIMITED, 9], 1).await, Some(unfit()));
    assert_eq!(write([LIMITED - 1, 9], 1).await, None);
    assert_eq!(write([LIMITED, 0], 255).await, None);
    assert_eq!(write([LIMITED, 9], 1).await, None);
    check(&cluster).await;
    cluster.close().unwrap();
}

#[tokio::test]
async fn transactions_add_up_what_all_their_commands_change() {
    let directory = TempDir::new().unwrap();
    let cluster = one_node(&directory).await;
    let keyspace = make_keyspaces(&cluster).await;
    for number in 0..48 {
        append(&cluster, keyspace, [LIMITED, number % 6], 1).await;
    }
    let transact = async |some: &[([u8; 2], u8)]| {
        let action = |(key, byte): &([u8; 2], u8)| TransactionAction {
            keyspace,
            key: Bytes::copy_from_slice(key),
            command: Bytes::copy_from_slice(&[*byte]),
        };
        let actions: Vec<_> = some.iter().map(action).collect();
        let quorum = ConsistencyLevel::Quorum;
        cluster.transact(&actions, None, quorum).await.unwrap()
    };
    let cancelled = |which: [bool; 3]| TransactionOutcome::Cancelled {
        reasons: which
            .iter()
            .map(|is_it| is_it.then(|| Reason::Unfit(unfit())))
            .collect(),
    };
    let group = |key: [u8; 2]| cluster.group_of(keyspace, &key).unwrap();
    assert_ne!(group([5, 9]), group([LIMITED, 9]));
    // In one range, and in two.
    for other in [[LIMITED, 9], [5, 9]] {
        let mut three = [([LIMITED, 1], 1), ([LIMITED, 2], 1), ([LIMITED, 3], 1)];
        if other[0] != LIMITED {
            three[0] = (other, 1);
            append(&cluster, keyspace, [LIMITED, 4], 1).await;
        }
        assert_eq!(transact(&three).await, cancelled([false, false, true]));
        let outcome = transact(&three[..2]).await;
        assert!(matches!(outcome, TransactionOutcome::Done { .. }), "{outcome:?}");
        check(&cluster).await;
        let outcome = transact(&[([LIMITED, 5], 255), (three[1].0, 255), (other, 1)]).await;
        assert!(matches!(outcome, TransactionOutcome::Done { .. }), "{outcome:?}");
        check(&cluster).await;
        let lengths = rows(&cluster, "lengths").await;
        let fill = 48 - sum_of(lengths.get(&vec![LIMITED])).unwrap();
        for _ in 0..fill {
            append(&cluster, keyspace, [LIMITED, 5], 1).await;
        }
    }
    check(&cluster).await;
    cluster.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_exact_while_leaders_change() {
    let hub = Hub::default();
    let three = three_with(3, &hub, Arc::new(Summing)).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        keyspaces.push(make_keyspaces(node).await);
    }
    for round in 0..12 {
        let writes = (0..24_u8).map(|number| {
            let place = usize::from(number) % 3;
            let key = [[5, 90, 180, 250][usize::from(number / 3) % 4], number % 5];
            append(
                &three.nodes[place],
                keyspaces[place],
                key,
                if number == 23 { 255 } else { 3 },
            )
        });
        join_all(writes).await;
        // Leadership goes on to whoever has caught up.
        for replica in three.nodes[round % 3].node.replicas().iter().flatten().skip(1) {
            if replica.is_leader() {
                replica.hand_over();
            }
        }
        three.nodes[round % 3].node.exchange.flush();
    }
    assert_eq!(check(&three.nodes[0]).await, 4);
    three.close();
}
