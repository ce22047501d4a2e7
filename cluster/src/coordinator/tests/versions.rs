//! Versions: what was there at any time that is closed, with transactions whole, on one node and on three.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cut::{Work, claim, prepare, works};
use super::three::{Hub, Three, retried, three_with};
use super::transact::{Accounts, HIGH, LOW, transact};
use super::*;
use crate::derive::{Action, CellChange, Derived, DerivedRow, Growth, Route, Unfit, Value, version_of};
use crate::ledger::LedgerCommand;
use crate::transaction::{TransactionAction, TransactionId};

/// Accounts, of all of whose balances there are versions in keyspace `h`.
#[derive(Debug)]
struct Kept;

fn version(key: &[u8], cell: Option<&Cell>, at_ms: Option<u64>) -> DerivedRow {
    let value = Value {
        head: Bytes::from_static(if cell.is_some() { b"P" } else { b"R" }),
        with_cell: cell.is_some(),
    };
    DerivedRow {
        keyspace: "h".into(),
        key: Bytes::copy_from_slice(key),
        route: Route::Beside,
        action: Action::Version { at_ms, value },
        growth: Growth::By(1, 0),
    }
}

impl Commands for Kept {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Accounts.decide(command, current)
    }

    fn is_refusal(&self, answer: &[u8]) -> bool {
        Accounts.is_refusal(answer)
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        Accounts.weigh(cell)
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        let rows = match change.keyspace {
            "k" => vec![version(change.key, change.after, None)],
            _ => Vec::new(),
        };
        Ok(Derived {
            rows,
            ..Derived::default()
        })
    }

    fn fill(&self, _: &Bytes, _: &str, key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
        vec![version(key, Some(cell), Some(0))]
    }
}

async fn bank(directory: &TempDir) -> (Cluster, Keyspace) {
    let mut around = surroundings(directory);
    around.commands = Arc::new(Kept);
    let cluster = open_with(around).await;
    cluster.create_keyspace("h").await.unwrap();
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    (cluster, keyspace)
}

fn now_ms(cluster: &Cluster) -> u64 {
    cluster.node.surroundings.world.unix_ms()
}

/// All versions: key, time, balance.
async fn versions(cluster: &Cluster) -> Vec<(Vec<u8>, u64, i64)> {
    let keyspace = cluster.keyspace("h").unwrap();
    let everything = Bounds {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
    retried(async || {
        let mut all = Vec::new();
        let quorum = ConsistencyLevel::Quorum;
        cluster
            .range(keyspace, &everything, Direction::Forward, quorum, |row| {
                let (key, at_ms, _) = version_of(row.key()).unwrap();
                let balance = match row.cell() {
                    [b'P', cell @ ..] => Accounts::balance(Some(&Bytes::copy_from_slice(cell))),
                    _ => 0,
                };
                all.push((key.to_vec(), at_ms, balance));
                std::ops::ControlFlow::Continue(())
            })
            .await?;
        Ok(all)
    })
    .await
}

/// The balances at a time.
async fn at(cluster: &Cluster, at_ms: u64) -> BTreeMap<Vec<u8>, i64> {
    let mut balances = BTreeMap::new();
    for (key, version_ms, balance) in versions(cluster).await {
        if version_ms <= at_ms {
            // The newest one comes first.
            balances.entry(key).or_insert(balance);
        }
    }
    balances
}

async fn change(cluster: &Cluster, keyspace: Keyspace, changes: &[(&[u8], &'static str)]) {
    let done = transact(cluster, keyspace, changes, None).await;
    let is_done = matches!(done, crate::transaction::TransactionOutcome::Done { .. });
    assert!(is_done, "{done:?}");
}

#[tokio::test]
async fn the_versions_of_a_transaction_have_one_time_which_is_not_before_any_of_its_cells() {
    let directory = TempDir::new().unwrap();
    let (cluster, keyspace) = bank(&directory).await;
    change(&cluster, keyspace, &[(LOW[0], "+5")]).await;
    // The upper range is ahead.
    let ahead = now_ms(&cluster) + 60_000;
    let group = cluster.group_of(keyspace, HIGH[0]).unwrap();
    cluster
        .node
        .replica(group)
        .unwrap()
        .close_time(ahead)
        .await
        .unwrap();
    change(
        &cluster,
        keyspace,
        &[(LOW[0], "-5"), (HIGH[0], "+5"), (LOW[1], "+1")],
    )
    .await;
    let of_transaction: Vec<_> = versions(&cluster)
        .await
        .into_iter()
        .filter(|(_, at_ms, _)| *at_ms > ahead)
        .collect();
    assert_eq!(of_transaction.len(), 3, "{of_transaction:?}");
    let time = of_transaction[0].1;
    assert!(of_transaction.iter().all(|(_, at_ms, _)| *at_ms == time));
    // What comes behind it in the range that was not ahead has a later time, or the same.
    change(&cluster, keyspace, &[(LOW[0], "+2")]).await;
    let newest = versions(&cluster).await.remove(0);
    assert_eq!((&newest.0[..], newest.2), (LOW[0], 2));
    assert!(newest.1 >= time, "{newest:?}, {time}");
    cluster.close().unwrap();
}

#[tokio::test]
async fn what_was_closed_stays_so_after_a_start() {
    let directory = TempDir::new().unwrap();
    let (cluster, keyspace) = bank(&directory).await;
    change(&cluster, keyspace, &[(LOW[0], "+5")]).await;
    let ahead = now_ms(&cluster) + 60_000;
    assert!(cluster.close_time(ahead).await.unwrap() >= ahead);
    cluster.close().unwrap();
    drop(cluster);
    let (cluster, keyspace) = bank(&directory).await;
    // Closed before: nothing is logged for it.
    cluster.close_time(ahead).await.unwrap();
    cluster.close_time(ahead - 30_000).await.unwrap();
    change(&cluster, keyspace, &[(LOW[0], "+1")]).await;
    change(&cluster, keyspace, &[(HIGH[0], "+1")]).await;
    let times: Vec<_> = versions(&cluster)
        .await
        .iter()
        .map(|(_, at_ms, _)| *at_ms)
        .collect();
    assert_eq!(times.len(), 3);
    assert!(
        times[0] > ahead && times[1] < ahead && times[2] > ahead,
        "{times:?}, {ahead}"
    );
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_time_is_closed_when_all_that_stands_then_is_carried_out() {
    let directory = TempDir::new().unwrap();
    let (cluster, keyspace) = bank(&directory).await;
    change(&cluster, keyspace, &[(LOW[0], "+5")]).await;
    let id = TransactionId([1; 16]);
    let key = claim(&cluster, id).await;
    let parts = [
        prepare(&cluster, keyspace, id, (LOW[0], "-5"), &key).await,
        prepare(&cluster, keyspace, id, (HIGH[0], "+5"), &key).await,
    ];
    let at_ms = now_ms(&cluster);
    let stand = LedgerCommand::Stand {
        transaction: id,
        at_ms,
        parts: parts.to_vec(),
        answers: vec![Bytes::new(); 2],
    };
    let ledger = cluster.ledger().await.unwrap();
    cluster.write_ledger(ledger, &key, &stand).await.unwrap();
    // Its coordinator is gone, after one of the ranges has carried it out.
    let replica = cluster.node.replica(parts[1].0).unwrap();
    replica
        .commit_part(id, (parts[1].1, at_ms), ConsistencyLevel::Quorum)
        .await
        .unwrap();
    assert_eq!(at(&cluster, at_ms).await.values().sum::<i64>(), 10, "torn as yet");
    retried(async || cluster.close_time(at_ms).await).await;
    let wanted = BTreeMap::from([(LOW[0].to_vec(), 0), (HIGH[0].to_vec(), 5)]);
    assert_eq!(at(&cluster, at_ms).await, wanted);
    cluster.close().unwrap();
}

async fn money_is_kept(nodes: &[Cluster], keyspaces: &[Keyspace]) {
    let accounts = [LOW[0], LOW[1], HIGH[0], HIGH[1]];
    for key in accounts {
        retried(async || {
            let action = TransactionAction {
                keyspace: keyspaces[0],
                key: Bytes::copy_from_slice(key),
                command: Bytes::from_static(b"+1000"),
            };
            nodes[0].transact(&[action], None, ConsistencyLevel::Quorum).await
        })
        .await;
    }
    let begun_ms = now_ms(&nodes[0]) + 1;
    let work = Arc::new(Work::default());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let at = worker % nodes.len();
            tokio::spawn(works(nodes[at].clone(), keyspaces[at], worker, Arc::clone(&work)))
        })
        .collect();
    let (mut round, mut seen) = (0, Vec::new());
    while round < 20 || work.transfers.load(Ordering::SeqCst) < 40 {
        round += 1;
        let node = &nodes[round % nodes.len()];
        // Some times are a moment ago, as long as there was money then.
        let back = (round as u64 % 3) * 20;
        let time = begun_ms.max(now_ms(node) - back);
        retried(async || node.close_time(time).await).await;
        let found = at(node, time).await;
        let money: i64 = accounts
            .iter()
            .map(|key| found.get(*key).copied().unwrap_or_default())
            .sum();
        assert_eq!(money, 4000, "round {round}");
        seen.push((time, found));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    work.is_over.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    // Whenever it is read.
    for (time, found) in seen {
        assert_eq!(at(&nodes[0], time).await, found);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_time_beside_transfers_shows_a_part_of_one() {
    let directory = TempDir::new().unwrap();
    let (cluster, keyspace) = bank(&directory).await;
    money_is_kept(std::slice::from_ref(&cluster), &[keyspace]).await;
    cluster.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_time_on_three_nodes_shows_a_part_of_a_transfer() {
    let three: Three = three_with(3, &Hub::default(), Arc::new(Kept)).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        retried(async || node.create_keyspace("h").await).await;
        keyspaces.push(retried(async || node.create_keyspace("k").await).await);
    }
    money_is_kept(&three.nodes, &keyspaces).await;
    three.close();
}
