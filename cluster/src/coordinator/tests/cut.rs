//! Cuts show one moment: on one node with two token ranges, and on three nodes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::three::{Hub, Three, retried, three_with};
use super::transact::{Accounts, HIGH, LOW, bank, transact};
use super::*;
use crate::group::hold::hold_max;
use crate::group::transact::{CellCommand, Judgement};
use crate::ledger::{LedgerCommand, LedgerRow, LedgerState, claim_key};
use crate::transaction::{TransactionAction, TransactionId, TransactionOutcome};

/// Pages so small that a range has several.
const PAGE_BYTES: u32 = 16;

async fn cells(cluster: &Cluster, cut: &Cut, keyspace: Keyspace) -> Result<Vec<(Bytes, Cell)>, Error> {
    let mut all = Vec::new();
    for range in cut.ranges() {
        let mut behind = None;
        loop {
            let page = cluster.read_cut(cut, keyspace, range, behind, PAGE_BYTES).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => behind = Some(next),
                None => break,
            }
        }
    }
    Ok(all)
}

fn balance(cells: &[(Bytes, Cell)], key: &[u8]) -> i64 {
    Accounts::balance(cells.iter().find(|(there, _)| there == key).map(|(_, cell)| cell))
}

fn total(cells: &[(Bytes, Cell)]) -> i64 {
    cells.iter().map(|(_, cell)| Accounts::balance(Some(cell))).sum()
}

async fn put(cluster: &Cluster, keyspace: Keyspace, key: &[u8], command: &'static str) {
    let done = transact(cluster, keyspace, &[(key, command)], None).await;
    assert!(matches!(done, TransactionOutcome::Done { .. }), "{done:?}");
}

#[tokio::test]
async fn a_cut_stays_what_it_was_in_the_order_of_keys() {
    let (_directory, cluster, keyspace) = bank().await;
    for (key, command) in [(LOW[0], "+1"), (LOW[1], "+2"), (HIGH[0], "+3"), (HIGH[1], "+4")] {
        put(&cluster, keyspace, key, command).await;
    }
    let cut = cluster.cut(&[keyspace]).await.unwrap();
    put(&cluster, keyspace, LOW[0], "+10").await;
    put(&cluster, keyspace, HIGH[1], "-4").await;
    let found = cells(&cluster, &cut, keyspace).await.unwrap();
    let keys: Vec<_> = found.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(keys, [LOW[0], LOW[1], HIGH[0], HIGH[1]]);
    assert_eq!(total(&found), 10);
    cluster.keep_cut(&cut).await.unwrap();
    cluster.end_cut(cut.clone()).await;
    let gone = cells(&cluster, &cut, keyspace).await.unwrap_err();
    assert!(matches!(gone, Error::Unavailable { .. }), "{gone}");
    assert!(cluster.keep_cut(&cut).await.is_err());
}

#[tokio::test]
async fn a_keyspace_that_is_gone_cannot_be_cut() {
    let (_directory, cluster, keyspace) = bank().await;
    cluster.drop_keyspace(keyspace).await.unwrap();
    let refused = cluster.cut(&[keyspace]).await.unwrap_err();
    assert!(matches!(refused, Error::NoSuchKeyspace), "{refused}");
}

/// Prepares a part of a transaction, and gives the entry that has done so.
pub(super) async fn prepare(
    cluster: &Cluster,
    keyspace: Keyspace,
    id: TransactionId,
    (key, command): (&[u8], &'static str),
    ledger: &Bytes,
) -> (u32, u64) {
    let group = cluster.group_of(keyspace, key).unwrap();
    let command = CellCommand {
        keyspace: keyspace.number,
        key: Bytes::copy_from_slice(key),
        command: Bytes::from_static(command.as_bytes()),
    };
    let replica = cluster.node.replica(group).unwrap();
    match replica.prepare_part(id, ledger, &[command]).await.unwrap() {
        Judgement::Fits { index, .. } => (group, index),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn claim(cluster: &Cluster, id: TransactionId) -> Bytes {
    let key = claim_key(&InvocationId::new(id.0));
    let row = LedgerRow {
        at_ms: cluster.node.surroundings.world.unix_ms(),
        payload: [0; 16],
        transaction: id,
        state: LedgerState::Preparing,
        cancelled: Vec::new(),
    };
    let call = InvocationId::new(id.0);
    let ledger = cluster.ledger().await.unwrap();
    let claim = LedgerCommand::Claim { row, call };
    cluster.write_ledger(ledger, &key, &claim).await.unwrap();
    key
}

#[tokio::test]
async fn what_is_prepared_is_in_a_cut_exactly_if_the_ledger_says_that_it_stands() {
    let (_directory, cluster, keyspace) = bank().await;
    put(&cluster, keyspace, LOW[0], "+5").await;
    put(&cluster, keyspace, LOW[1], "+7").await;
    let (stands, open) = (TransactionId([1; 16]), TransactionId([2; 16]));
    let key = claim(&cluster, stands).await;
    // One account comes to be, one goes, one changes its balance in a range where it is prepared only.
    let parts = [
        prepare(&cluster, keyspace, stands, (LOW[0], "-5"), &key).await,
        prepare(&cluster, keyspace, stands, (HIGH[0], "+5"), &key).await,
    ];
    let undecided = claim(&cluster, open).await;
    prepare(&cluster, keyspace, open, (LOW[1], "-7"), &undecided).await;
    prepare(&cluster, keyspace, open, (HIGH[1], "+7"), &undecided).await;
    let before = cluster.cut(&[keyspace]).await.unwrap();
    let ledger = cluster.ledger().await.unwrap();
    let stand = LedgerCommand::Stand {
        transaction: stands,
        at_ms: 0,
        parts: parts.to_vec(),
        answers: vec![Bytes::new(); 2],
    };
    cluster.write_ledger(ledger, &key, &stand).await.unwrap();
    let prepared = cluster.cut(&[keyspace]).await.unwrap();
    // Carried out in one range only.
    let (group, index) = parts[1];
    let replica = cluster.node.replica(group).unwrap();
    replica
        .commit_part(stands, (index, 0), ConsistencyLevel::Quorum)
        .await
        .unwrap();
    let torn = cluster.cut(&[keyspace]).await.unwrap();

    let before = cells(&cluster, &before, keyspace).await.unwrap();
    assert_eq!([LOW[0], LOW[1]].map(|key| balance(&before, key)), [5, 7]);
    assert_eq!(total(&before), 12);
    for cut in [prepared, torn] {
        let cells = cells(&cluster, &cut, keyspace).await.unwrap();
        let keys: Vec<_> = cells.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(
            keys,
            [LOW[1], HIGH[0]],
            "the first account is empty, the last not there yet"
        );
        assert_eq!([LOW[1], HIGH[0]].map(|key| balance(&cells, key)), [7, 5]);
    }
}

#[tokio::test]
async fn a_part_that_a_late_question_has_prepared_again_keeps_the_others_out_of_no_cut() {
    let (_directory, cluster, keyspace) = bank().await;
    put(&cluster, keyspace, LOW[0], "+5").await;
    let stands = TransactionId([1; 16]);
    let key = claim(&cluster, stands).await;
    let parts = [
        prepare(&cluster, keyspace, stands, (LOW[0], "-5"), &key).await,
        prepare(&cluster, keyspace, stands, (HIGH[0], "+5"), &key).await,
    ];
    let ledger = cluster.ledger().await.unwrap();
    let stand = LedgerCommand::Stand {
        transaction: stands,
        at_ms: 0,
        parts: parts.to_vec(),
        answers: vec![Bytes::new(); 2],
    };
    cluster.write_ledger(ledger, &key, &stand).await.unwrap();
    // Carried out in one range only, where the question comes once more.
    let (group, index) = parts[1];
    let replica = cluster.node.replica(group).unwrap();
    let level = ConsistencyLevel::Quorum;
    replica.commit_part(stands, (index, 0), level).await.unwrap();
    let again = prepare(&cluster, keyspace, stands, (HIGH[0], "+5"), &key).await;
    assert_ne!(again, parts[1]);

    let cut = cluster.cut(&[keyspace]).await.unwrap();
    let found = cells(&cluster, &cut, keyspace).await.unwrap();
    assert_eq!([LOW[0], HIGH[0]].map(|key| balance(&found, key)), [0, 5]);
}

#[tokio::test]
async fn a_write_that_is_held_goes_on_when_the_hold_is_over_and_none_is_in_the_cut_without_those_before_it() {
    let (_directory, cluster, keyspace) = bank().await;
    let group = cluster.group_of(keyspace, LOW[0]).unwrap();
    let replica = cluster.node.replica(group).unwrap();
    replica.hold(1, &[keyspace.number]).await.unwrap();
    let written = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (cluster, written) = (cluster.clone(), Arc::clone(&written));
        async move {
            put(&cluster, keyspace, LOW[0], "+1").await;
            written.store(true, Ordering::SeqCst);
        }
    });
    // Other keyspaces go on, and so do other ranges.
    let other = cluster.create_keyspace("other").await.unwrap();
    put(&cluster, other, LOW[0], "+1").await;
    put(&cluster, keyspace, HIGH[0], "+1").await;
    let (cut, _) = replica.cut(1, &[keyspace.number]).await.unwrap();
    assert!(!written.load(Ordering::SeqCst));
    drop(cut);
    assert!(replica.lift(1).await.unwrap());
    writing.await.unwrap();
    assert!(!replica.lift(1).await.unwrap(), "it is lifted once");
    assert!(replica.cut(1, &[keyspace.number]).await.is_err());
}

#[tokio::test]
async fn a_hold_that_nobody_lifts_ends_by_itself() {
    let (_directory, cluster, keyspace) = bank().await;
    let group = cluster.group_of(keyspace, LOW[0]).unwrap();
    let replica = cluster.node.replica(group).unwrap();
    let begun = tokio::time::Instant::now();
    replica.hold(1, &[keyspace.number]).await.unwrap();
    put(&cluster, keyspace, LOW[0], "+1").await;
    assert!(begun.elapsed() >= hold_max(&Timing::default()));
    assert!(!replica.lift(1).await.unwrap());
}

/// What clients do, and for how long.
#[derive(Default)]
pub(super) struct Work {
    pub(super) transfers: AtomicU64,
    pub(super) is_over: AtomicBool,
}

/// Moves money between accounts of all nodes until it is told to stop. First the one account of a pair is written, then the
/// other one: nobody may see the second without the first.
pub(super) async fn works(node: Cluster, keyspace: Keyspace, worker: usize, work: Arc<Work>) {
    let (from, to) = (LOW[worker % 2], HIGH[worker / 2]);
    let (first, second) = pair(worker);
    let mut done = 0;
    while !work.is_over.load(Ordering::SeqCst) {
        let some = |key: &[u8], command: &'static str| TransactionAction {
            keyspace,
            key: Bytes::copy_from_slice(key),
            command: Bytes::from_static(command.as_bytes()),
        };
        let (out, into) = if done % 2 == 0 { (from, to) } else { (to, from) };
        let transfer = [some(out, "-1"), some(into, "+1")];
        let outcome = node.transact(&transfer, None, ConsistencyLevel::Quorum).await;
        if let Ok(TransactionOutcome::Done { .. }) = outcome {
            done += 1;
            work.transfers.fetch_add(1, Ordering::SeqCst);
        }
        for key in [&first, &second] {
            let raised = async || {
                let one = [some(key, "+1")];
                let outcome = node.transact(&one, None, ConsistencyLevel::Quorum).await?;
                assert!(matches!(outcome, TransactionOutcome::Done { .. }), "{outcome:?}");
                Ok(())
            };
            // Unknown outcomes would break the count.
            match raised().await {
                Ok(()) => {}
                Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Two cells of a worker: the first is in the upper half of the ring, the other in the lower one, which is read first.
fn pair(worker: usize) -> (Vec<u8>, Vec<u8>) {
    let name = u8::try_from(worker).unwrap() + b'0';
    let (mut high, mut low) = (HIGH[0].to_vec(), LOW[0].to_vec());
    for key in [&mut high, &mut low] {
        key.push(name);
    }
    (high, low)
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
    let work = Arc::new(Work::default());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let at = worker % nodes.len();
            tokio::spawn(works(nodes[at].clone(), keyspaces[at], worker, Arc::clone(&work)))
        })
        .collect();
    let mut round = 0;
    while round < 20 || work.transfers.load(Ordering::SeqCst) < 40 {
        round += 1;
        let at = round % nodes.len();
        let cut = retried(async || nodes[at].cut(&[keyspaces[at]]).await).await;
        let found = retried(async || cells(&nodes[at], &cut, keyspaces[at]).await).await;
        let money: i64 = accounts.iter().map(|key| balance(&found, key)).sum();
        assert_eq!(money, 4000, "round {round}");
        for worker in 0..4 {
            let (first, second) = pair(worker);
            let (first, second) = (balance(&found, &first), balance(&found, &second));
            assert!(
                first == second || first == second + 1,
                "round {round}: {first}, {second}"
            );
        }
        nodes[at].end_cut(cut).await;
    }
    work.is_over.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cut_beside_transfers_is_of_one_moment() {
    let (_directory, cluster, keyspace) = bank().await;
    money_is_kept(std::slice::from_ref(&cluster), &[keyspace]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cut_of_three_nodes_beside_transfers_is_of_one_moment() {
    let three: Three = three_with(3, &Hub::default(), Arc::new(Accounts)).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        keyspaces.push(retried(async || node.create_keyspace("k").await).await);
    }
    money_is_kept(&three.nodes, &keyspaces).await;
    three.close();
}
