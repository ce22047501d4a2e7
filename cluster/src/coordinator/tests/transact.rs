//! Transactions on one node with two token ranges, and on three nodes.

use super::three::{Hub, Three, retried, three_with};
use super::*;
use crate::command::Invocation;
use crate::group::mark::Mark;
use crate::group::transact::{CellCommand, Judgement};
use crate::ledger::{LedgerAnswer, LedgerCommand, LedgerRow, LedgerState, claim_key, done_key};
use crate::transaction::{
    Reason, TRANSACTION_TOO_LARGE, Together, Token, TransactionAction, TransactionId, TransactionOutcome,
};

/// Accounts: `+n` and `-n` change a balance, which does not fall below 0; `=n` asks for it.
#[derive(Debug)]
pub(super) struct Accounts;

impl Accounts {
    pub(super) fn balance(cell: Option<&Cell>) -> i64 {
        let text = cell.map(|cell| std::str::from_utf8(cell).unwrap());
        text.map_or(0, |text| text.parse().unwrap())
    }
}

impl Commands for Accounts {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        let (balance, text) = (Self::balance(current), std::str::from_utf8(command).unwrap());
        if let Some(wanted) = text.strip_prefix('=') {
            let answer = if wanted.parse() == Ok(balance) {
                "yes"
            } else {
                "no"
            };
            let answer = answer.into();
            return Ok(Verdict::Keep { answer });
        }
        let after = balance + text.parse::<i64>().unwrap();
        Ok(match after {
            ..0 => Verdict::Keep {
                answer: "poor".into(),
            },
            0 => Verdict::Delete { answer: "0".into() },
            _ => Verdict::Put {
                cell: after.to_string().into(),
                answer: after.to_string().into(),
            },
        })
    }

    fn is_refusal(&self, answer: &[u8]) -> bool {
        answer == b"poor" || answer == b"no"
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}

/// A command says how long its cell is to be.
#[derive(Debug)]
struct Lengths;

impl Commands for Lengths {
    fn decide(&self, command: &Bytes, _: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        let bytes: usize = std::str::from_utf8(command).unwrap().parse().unwrap();
        Ok(Verdict::Put {
            cell: vec![0; bytes].into(),
            answer: Vec::new(),
        })
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}

/// Refuses everything, in as many bytes as a command says.
#[derive(Debug)]
struct Refusing;

impl Commands for Refusing {
    fn decide(&self, command: &Bytes, _: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        let bytes: usize = std::str::from_utf8(command).unwrap().parse().unwrap();
        let answer = vec![b'x'; bytes];
        Ok(Verdict::Keep { answer })
    }

    fn is_refusal(&self, _: &[u8]) -> bool {
        true
    }

    fn brief(&self, _: Vec<u8>) -> Vec<u8> {
        b"brief".to_vec()
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}

/// The first keys are in the lower half of the ring, the others in the upper half.
pub(super) const LOW: [&[u8]; 2] = [b"\0\0\0\0\0\0\0\x01a", b"\0\0\0\0\0\0\0\x02b"];
pub(super) const HIGH: [&[u8]; 2] = [b"\xff\0\0\0\0\0\0\x01a", b"\xff\0\0\0\0\0\0\x02b"];

pub(super) async fn bank() -> (TempDir, Cluster, Keyspace) {
    let directory = TempDir::new().unwrap();
    let cluster = reopen(&directory).await;
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    (directory, cluster, keyspace)
}

async fn reopen(directory: &TempDir) -> Cluster {
    let mut surroundings = surroundings(directory);
    surroundings.commands = Arc::new(Accounts);
    open_with(surroundings).await
}

fn actions(keyspace: Keyspace, actions: &[(&[u8], &'static str)]) -> Vec<TransactionAction> {
    let action = |(key, command): &(&[u8], &'static str)| TransactionAction {
        keyspace,
        key: Bytes::copy_from_slice(key),
        command: Bytes::from_static(command.as_bytes()),
    };
    actions.iter().map(action).collect()
}

pub(super) async fn transact(
    cluster: &Cluster,
    keyspace: Keyspace,
    some: &[(&[u8], &'static str)],
    token: Option<Token>,
) -> TransactionOutcome {
    let actions = actions(keyspace, some);
    let level = ConsistencyLevel::Quorum;
    cluster.transact(&actions, token, level).await.unwrap()
}

fn done(answers: &[&'static str], is_repeated: bool) -> TransactionOutcome {
    TransactionOutcome::Done {
        answers: answers
            .iter()
            .map(|answer| Bytes::from_static(answer.as_bytes()))
            .collect(),
        is_repeated,
    }
}

fn refused(answer: &'static str) -> Reason {
    Reason::Refused(Bytes::from_static(answer.as_bytes()))
}

async fn balances(cluster: &Cluster, keyspace: Keyspace, keys: &[&[u8]]) -> Option<Vec<i64>> {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| (keyspace, Bytes::copy_from_slice(key)))
        .collect();
    match cluster.read_together(&keys).await {
        Ok(Together::Cells(cells)) => Some(
            cells
                .iter()
                .map(|cell| Accounts::balance(cell.as_ref()))
                .collect(),
        ),
        Ok(Together::Conflict(_)) | Err(Error::Unavailable { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn token(number: u64, payload: u8) -> Token {
    Token {
        id: InvocationId::hashed(&number.to_le_bytes()),
        payload: [payload; 16],
        call: None,
    }
}

/// The id of a transaction with the call that a try is of.
fn tried(number: u64, call: Invocation) -> Token {
    Token {
        call: Some(call),
        ..token(number, 1)
    }
}

fn call(number: u64) -> InvocationId {
    InvocationId::hashed(&[7, number].map(u64::to_le_bytes).concat())
}

#[tokio::test]
async fn all_of_a_transaction_takes_place_or_nothing_and_says_why_in_order() {
    let (_directory, cluster, keyspace) = bank().await;
    for keys in [[LOW[0], LOW[1]], [LOW[0], HIGH[0]], [HIGH[1], LOW[1]]] {
        let before = balances(&cluster, keyspace, &keys).await.unwrap();
        let first = Box::leak((before[0] + 5).to_string().into_boxed_str());
        let second = Box::leak((before[1] + 7).to_string().into_boxed_str());
        let outcome = transact(&cluster, keyspace, &[(keys[0], "+5"), (keys[1], "+7")], None).await;
        assert_eq!(outcome, done(&[first, second], false));
        let outcome = transact(&cluster, keyspace, &[(keys[0], "+1"), (keys[1], "-1000")], None).await;
        let reasons = vec![None, Some(refused("poor"))];
        assert_eq!(outcome, TransactionOutcome::Cancelled { reasons });
        let outcome = transact(&cluster, keyspace, &[(keys[0], "=-3"), (keys[1], "+1")], None).await;
        let reasons = vec![Some(refused("no")), None];
        assert_eq!(outcome, TransactionOutcome::Cancelled { reasons });
        let after = balances(&cluster, keyspace, &keys).await.unwrap();
        assert_eq!(after, [before[0] + 5, before[1] + 7]);
    }
    let twice = actions(keyspace, &[(LOW[0], "+1"), (LOW[0], "-1")]);
    let outcome = cluster.transact(&twice, None, ConsistencyLevel::Quorum).await;
    assert!(matches!(outcome, Err(Error::Invalid { .. })), "{outcome:?}");
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_check_holds_without_changing_anything_and_a_cell_may_go() {
    let (_directory, cluster, keyspace) = bank().await;
    transact(&cluster, keyspace, &[(LOW[0], "+5"), (HIGH[0], "+5")], None).await;
    let outcome = transact(&cluster, keyspace, &[(LOW[0], "=5"), (HIGH[0], "-5")], None).await;
    assert_eq!(outcome, done(&["yes", "0"], false));
    let cell = cluster
        .read(keyspace, HIGH[0], ConsistencyLevel::Quorum)
        .await
        .unwrap();
    assert_eq!(cell, None);
    let outcome = transact(&cluster, keyspace, &[(LOW[0], "=5"), (LOW[1], "=0")], None).await;
    assert_eq!(outcome, done(&["yes", "yes"], false));
    let tally = cluster.tally(keyspace).await;
    assert_eq!((tally.items, tally.bytes), (1, 1));
    cluster.close().unwrap();
}

#[tokio::test]
async fn the_same_transaction_under_one_id_takes_place_once_also_after_a_start() {
    let (directory, cluster, keyspace) = bank().await;
    let one: &[(&[u8], _)] = &[(LOW[0], "+5"), (LOW[1], "+6")];
    let many: &[(&[u8], _)] = &[(LOW[0], "+5"), (HIGH[0], "+6")];
    let expected = [(one, ["5", "6"]), (many, ["10", "6"])];
    for ((some, answers), number) in expected.iter().zip(1..) {
        let first = transact(&cluster, keyspace, some, Some(token(number, 1))).await;
        assert_eq!(first, done(answers, false));
        let again = transact(&cluster, keyspace, some, Some(token(number, 1))).await;
        assert_eq!(again, done(answers, true));
        let other = transact(&cluster, keyspace, &[(HIGH[1], "+1")], Some(token(number, 2))).await;
        assert_eq!(other, TransactionOutcome::OtherPayload);
    }
    cluster.close().unwrap();
    drop(cluster);
    let cluster = reopen(&directory).await;
    let keyspace = cluster.keyspace("k").unwrap();
    for ((some, answers), number) in expected.iter().zip(1..) {
        let again = transact(&cluster, keyspace, some, Some(token(number, 1))).await;
        assert_eq!(again, done(answers, true));
    }
    let keys = [LOW[0], LOW[1], HIGH[0], HIGH[1]];
    assert_eq!(balances(&cluster, keyspace, &keys).await.unwrap(), [10, 6, 6, 0]);
    cluster.close().unwrap();
}

#[tokio::test]
async fn what_was_cancelled_under_an_id_may_be_tried_again() {
    let (_directory, cluster, keyspace) = bank().await;
    for (keys, number) in [([LOW[0], LOW[1]], 1), ([LOW[0], HIGH[0]], 2)] {
        let some: &[(&[u8], _)] = &[(keys[0], "-5"), (keys[1], "+5")];
        let outcome = transact(&cluster, keyspace, some, Some(token(number, 1))).await;
        assert!(
            matches!(outcome, TransactionOutcome::Cancelled { .. }),
            "{outcome:?}"
        );
        transact(&cluster, keyspace, &[(keys[0], "+5")], None).await;
        let outcome = transact(&cluster, keyspace, some, Some(token(number, 1))).await;
        assert!(
            matches!(
                outcome,
                TransactionOutcome::Done {
                    is_repeated: false,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_call_that_was_cancelled_does_not_take_place_when_its_first_try_comes_late() {
    let (_directory, cluster, keyspace) = bank().await;
    for (keys, number) in [([LOW[0], LOW[1]], 1), ([LOW[0], HIGH[0]], 2)] {
        let some: &[(&[u8], _)] = &[(keys[0], "-5"), (keys[1], "+5")];
        let (first, repeated) = (
            Invocation::first(call(number)),
            Invocation::repeated(call(number)),
        );
        let told = transact(&cluster, keyspace, some, Some(tried(number, repeated))).await;
        let reasons = vec![Some(refused("poor")), None];
        assert_eq!(told, TransactionOutcome::Cancelled { reasons });
        transact(&cluster, keyspace, &[(keys[0], "+5")], None).await;
        for late in [first, repeated] {
            let late = transact(&cluster, keyspace, some, Some(tried(number, late))).await;
            assert_eq!(late, told);
        }
        assert_eq!(balances(&cluster, keyspace, &keys).await, Some(vec![5, 0]));
        // In another call the client may do it after all, which changes nothing for the first one.
        let other = Invocation::first(call(number + 100));
        for is_repeated in [false, true] {
            let outcome = transact(&cluster, keyspace, some, Some(tried(number, other))).await;
            assert_eq!(outcome, done(&["0", "5"], is_repeated));
            let late = transact(&cluster, keyspace, some, Some(tried(number, first))).await;
            assert_eq!(late, told);
        }
        assert_eq!(balances(&cluster, keyspace, &keys).await, Some(vec![0, 5]));
    }
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_call_stays_cancelled_when_others_of_the_same_id_are_cancelled_after_it() {
    let (_directory, cluster, keyspace) = bank().await;
    for (keys, number) in [([LOW[0], LOW[1]], 1), ([LOW[0], HIGH[0]], 2)] {
        let some: &[(&[u8], _)] = &[(keys[0], "-5"), (keys[1], "+5")];
        let calls = [call(number), call(number + 100), call(number + 200)];
        for call in calls {
            let told = transact(
                &cluster,
                keyspace,
                some,
                Some(tried(number, Invocation::repeated(call))),
            )
            .await;
            assert!(matches!(told, TransactionOutcome::Cancelled { .. }), "{told:?}");
        }
        let once = Invocation::first(call(number + 300));
        let told = transact(&cluster, keyspace, some, Some(tried(number, once))).await;
        assert!(matches!(told, TransactionOutcome::Cancelled { .. }), "{told:?}");
        transact(&cluster, keyspace, &[(keys[0], "+5")], None).await;
        for call in calls {
            let late = transact(
                &cluster,
                keyspace,
                some,
                Some(tried(number, Invocation::first(call))),
            )
            .await;
            assert_eq!(late, told);
        }
        assert_eq!(balances(&cluster, keyspace, &keys).await, Some(vec![5, 0]));
        transact(&cluster, keyspace, &[(keys[0], "-5")], None).await;
    }
    cluster.close().unwrap();
}

/// Carries out a transaction in the lower half as a coordinator would that has made the ledger's row before.
async fn carry_out(cluster: &Cluster, keyspace: Keyspace, id: TransactionId, mark: &Mark) -> Judgement {
    let group = cluster.group_of(keyspace, LOW[0]).unwrap();
    let commands = [(LOW[0], "-5"), (LOW[1], "+5")].map(|(key, command)| CellCommand {
        keyspace: keyspace.number,
        key: Bytes::from_static(key),
        command: Bytes::from_static(command.as_bytes()),
    });
    let replica = cluster.node.replica(group).unwrap();
    let level = ConsistencyLevel::Quorum;
    replica.transact(id, &commands, Some(mark), level).await.unwrap()
}

#[tokio::test]
async fn a_try_that_was_held_up_behind_the_ledger_finds_its_mark_closed() {
    let (_directory, cluster, keyspace) = bank().await;
    let ledger = cluster.ledger().await.unwrap();
    let (transaction, token) = (TransactionId([1; 16]), token(1, 1));
    let done = done_key(LOW[0], transaction);
    let row = LedgerRow {
        at_ms: 0,
        payload: token.payload,
        transaction,
        state: LedgerState::InOne { done: done.clone() },
        cancelled: Vec::new(),
    };
    let claim = LedgerCommand::Claim { row, call: call(1) };
    let claimed = cluster.write_ledger(ledger, &claim_key(&token.id), &claim).await;
    assert_eq!(claimed.unwrap(), LedgerAnswer::Done);
    let some: &[(&[u8], _)] = &[(LOW[0], "-5"), (LOW[1], "+5")];
    let told = transact(
        &cluster,
        keyspace,
        some,
        Some(tried(1, Invocation::repeated(call(1)))),
    )
    .await;
    assert!(matches!(told, TransactionOutcome::Cancelled { .. }), "{told:?}");
    transact(&cluster, keyspace, &[(LOW[0], "+5")], None).await;
    let mark = Mark {
        keyspace: ledger.number,
        key: done,
        at_ms: 0,
        call: call(1),
        is_repeated: false,
    };
    let late = carry_out(&cluster, keyspace, transaction, &mark).await;
    assert!(matches!(late, Judgement::Closed(_)), "{late:?}");
    assert_eq!(balances(&cluster, keyspace, &LOW).await, Some(vec![5, 0]));
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_refusal_closes_its_mark_only_if_another_try_may_be_under_way() {
    let (_directory, cluster, keyspace) = bank().await;
    let ledger = cluster.ledger().await.unwrap();
    let mark = |transaction: TransactionId, is_repeated| Mark {
        keyspace: ledger.number,
        key: done_key(LOW[0], transaction),
        at_ms: 7,
        call: call(1),
        is_repeated,
    };
    let [once, twice] = [1, 2].map(|id| TransactionId([id; 16]));
    let reasons = vec![Some(refused("poor")), None];
    let told = carry_out(&cluster, keyspace, once, &mark(once, false)).await;
    assert_eq!(told, Judgement::Refused(reasons.clone()));
    let told = carry_out(&cluster, keyspace, twice, &mark(twice, true)).await;
    let Judgement::Closed(closed) = &told else {
        panic!("{told:?}")
    };
    assert_eq!((closed.call, &closed.reasons), (call(1), &reasons));
    transact(&cluster, keyspace, &[(LOW[0], "+5")], None).await;
    let late = carry_out(&cluster, keyspace, twice, &mark(twice, false)).await;
    assert_eq!(late, told);
    let again = carry_out(&cluster, keyspace, once, &mark(once, true)).await;
    assert!(matches!(again, Judgement::Fits { .. }), "{again:?}");
    assert_eq!(balances(&cluster, keyspace, &LOW).await, Some(vec![0, 5]));
    cluster.close().unwrap();
}

#[tokio::test]
async fn what_has_no_room_in_a_message_of_its_range_is_refused_and_holds_nobody_up() {
    let directory = TempDir::new().unwrap();
    let mut surroundings = surroundings(&directory);
    surroundings.commands = Arc::new(Lengths);
    let cluster = open_with(surroundings).await;
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    let (half, other) = ("8388608", "1");
    let in_one = [(LOW[0], half), (LOW[1], half)];
    let in_two = [(HIGH[0], other), (LOW[0], half), (LOW[1], half)];
    for some in [&in_one[..], &in_two[..]] {
        let outcome = transact(&cluster, keyspace, some, None).await;
        let TransactionOutcome::Cancelled { reasons } = &outcome else {
            panic!("a range would never commit it: {outcome:?}")
        };
        let codes = reasons.iter().map(|reason| match reason {
            Some(Reason::Unfit(unfit)) => Some(unfit.code),
            None => None,
            other => panic!("{other:?}"),
        });
        let mut expected = vec![None; some.len() - 1];
        expected.push(Some(TRANSACTION_TOO_LARGE));
        assert_eq!(codes.collect::<Vec<_>>(), expected);
    }
    let small = [(HIGH[0], other), (LOW[0], other), (LOW[1], half)];
    let outcome = transact(&cluster, keyspace, &small, None).await;
    assert!(
        matches!(
            outcome,
            TransactionOutcome::Done {
                is_repeated: false,
                ..
            }
        ),
        "{outcome:?}"
    );
    cluster.close().unwrap();
}

/// Three nodes with a keyspace that all of them know.
async fn three_that_know_a_keyspace(commands: Arc<dyn Commands>) -> (Three, Vec<Keyspace>) {
    let three = three_with(3, &Hub::default(), commands).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        keyspaces.push(retried(async || node.create_keyspace("k").await).await);
    }
    (three, keyspaces)
}

/// As [`retried`], and not for ever.
async fn soon<T>(operation: impl AsyncFn() -> Result<T, Error>) -> T {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, retried(operation)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_that_have_no_room_together_in_a_message_are_read_together_from_every_node() {
    let (three, keyspaces) = three_that_know_a_keyspace(Arc::new(Lengths)).await;
    let half = "8388608";
    let keys = [LOW[0], LOW[1], b"\0\0\0\0\0\0\0\x03c", HIGH[0]];
    for (key, bytes) in keys.into_iter().zip([half, half, half, "1"]) {
        let outcome = soon(async || {
            let one = actions(keyspaces[0], &[(key, bytes)]);
            three.nodes[0]
                .transact(&one, None, ConsistencyLevel::Quorum)
                .await
        })
        .await;
        assert!(matches!(outcome, TransactionOutcome::Done { .. }), "{outcome:?}");
    }
    for (node, keyspace) in three.nodes.iter().zip(&keyspaces) {
        for asked in [&keys[..3], &keys[..]] {
            let asked: Vec<_> = asked
                .iter()
                .map(|key| (*keyspace, Bytes::copy_from_slice(key)))
                .collect();
            let cells = soon(async || match node.read_together(&asked).await? {
                Together::Cells(cells) => Ok(cells),
                // Nobody writes, but the end of a leader's log may not be on its disk yet.
                Together::Conflict(_) => Err(Error::Unavailable {
                    cause: "a write is under way".to_owned(),
                }),
            })
            .await;
            let lengths: Vec<_> = cells.iter().map(|cell| cell.as_ref().map(Bytes::len)).collect();
            let expected = [8_388_608_usize, 8_388_608, 8_388_608, 1].map(Some);
            assert_eq!(lengths, expected[..asked.len()]);
        }
    }
    three.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_have_no_room_together_in_a_message_become_brief_and_are_told_by_every_node() {
    let (three, keyspaces) = three_that_know_a_keyspace(Arc::new(Refusing)).await;
    let half = "8388608";
    for (node, keyspace) in three.nodes.iter().zip(&keyspaces) {
        // Of one range, and of two.
        for keys in [[LOW[0], LOW[1]].as_slice(), &[LOW[0], HIGH[0], LOW[1]]] {
            let some: Vec<_> = keys.iter().map(|key| (*key, half)).collect();
            let outcome = soon(async || {
                let some = actions(*keyspace, &some);
                node.transact(&some, None, ConsistencyLevel::Quorum).await
            })
            .await;
            let TransactionOutcome::Cancelled { reasons } = outcome else {
                panic!("all refuse")
            };
            let told = reasons.iter().map(|reason| match reason {
                Some(Reason::Refused(answer)) => answer.len(),
                other => panic!("{other:?}"),
            });
            let mut expected = vec![8_388_608; keys.len()];
            expected[keys.len() - 1] = "brief".len();
            assert_eq!(told.collect::<Vec<_>>(), expected);
        }
    }
    three.close();
}

/// Prepares a part in the lower half as a coordinator would that is never heard of again.
async fn prepare(cluster: &Cluster, keyspace: Keyspace, ledger: &Bytes, id: u8) -> (u32, u64) {
    let group = cluster.group_of(keyspace, LOW[0]).unwrap();
    let command = CellCommand {
        keyspace: keyspace.number,
        key: Bytes::from_static(LOW[0]),
        command: Bytes::from_static(b"+9"),
    };
    let replica = cluster.node.replica(group).unwrap();
    let id = TransactionId([id; 16]);
    let judged = replica
        .prepare_part(id, ledger, std::slice::from_ref(&command))
        .await
        .unwrap();
    let Judgement::Fits { index, answers, .. } = judged.clone() else {
        panic!("{judged:?}")
    };
    assert_eq!(answers, ["9"]);
    // What comes a second time is known.
    let again = replica.prepare_part(id, ledger, &[command]).await.unwrap();
    assert!(
        matches!(&again, Judgement::Fits { index: same, answers: known, .. } if (*same, known) == (index, &answers)),
        "{again:?}"
    );
    (group, index)
}

async fn until(what: impl AsyncFn() -> bool) {
    while !what().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_locked_cell_is_read_as_it_was_and_written_by_nobody_until_it_is_known_that_nothing_comes() {
    let (_directory, cluster, keyspace) = bank().await;
    cluster.ledger().await.unwrap();
    let key = claim_key(&InvocationId::hashed(b"1"));
    prepare(&cluster, keyspace, &key, 1).await;
    let cell = cluster
        .read(keyspace, LOW[0], ConsistencyLevel::Quorum)
        .await
        .unwrap();
    assert_eq!(cell, None);
    let options = WriteOptions::default();
    let write = write_encoded(&cluster, keyspace, LOW[0], &options, &Bytes::from_static(b"+1")).await;
    assert!(
        matches!(write, Err(Refused::Finally(Error::TransactionConflict))),
        "{write:?}"
    );
    for other in [LOW[1], HIGH[0]] {
        let outcome = transact(&cluster, keyspace, &[(other, "+1"), (LOW[0], "+1")], None).await;
        let reasons = vec![None, Some(Reason::Conflict)];
        assert_eq!(outcome, TransactionOutcome::Cancelled { reasons });
    }
    assert_eq!(balances(&cluster, keyspace, &[LOW[0], HIGH[0]]).await, None);
    // Nobody has made a row in the ledger, so it does not stand and never will.
    until(async || balances(&cluster, keyspace, &[LOW[0]]).await == Some(vec![0])).await;
    let outcome = transact(&cluster, keyspace, &[(LOW[0], "+1")], None).await;
    assert_eq!(outcome, done(&["1"], false));
    cluster.close().unwrap();
}

#[tokio::test]
async fn what_stands_is_carried_out_after_a_start_without_its_coordinator_and_once() {
    let (directory, cluster, keyspace) = bank().await;
    let ledger = cluster.ledger().await.unwrap();
    let key = claim_key(&InvocationId::hashed(b"1"));
    let transaction = TransactionId([1; 16]);
    let row = LedgerRow {
        at_ms: 0,
        payload: [0; 16],
        transaction,
        state: LedgerState::Preparing,
        cancelled: Vec::new(),
    };
    let claim = LedgerCommand::Claim { row, call: call(1) };
    let claimed = cluster.write_ledger(ledger, &key, &claim).await;
    assert_eq!(claimed.unwrap(), LedgerAnswer::Done);
    let part = prepare(&cluster, keyspace, &key, 1).await;
    let stand = LedgerCommand::Stand {
        transaction,
        at_ms: 0,
        parts: vec![part],
        answers: vec![Bytes::from_static(b"9")],
    };
    assert_eq!(
        cluster.write_ledger(ledger, &key, &stand).await.unwrap(),
        LedgerAnswer::Done
    );
    cluster.close().unwrap();
    drop(cluster);
    let cluster = reopen(&directory).await;
    let keyspace = cluster.keyspace("k").unwrap();
    until(async || balances(&cluster, keyspace, &[LOW[0]]).await == Some(vec![9])).await;
    // A question that comes late prepares it again; that is not what stands.
    let (group, index) = {
        let replica = cluster.node.replica(part.0).unwrap();
        let command = CellCommand {
            keyspace: keyspace.number,
            key: Bytes::from_static(LOW[0]),
            command: Bytes::from_static(b"+9"),
        };
        let judged = replica.prepare_part(transaction, &key, &[command]).await.unwrap();
        let Judgement::Fits { index, .. } = judged else {
            panic!("{judged:?}")
        };
        (part.0, index)
    };
    assert_ne!((group, index), part);
    until(async || balances(&cluster, keyspace, &[LOW[0]]).await == Some(vec![9])).await;
    cluster
        .carry_out(transaction, (&[part], 0), ConsistencyLevel::Quorum)
        .await
        .unwrap();
    assert_eq!(balances(&cluster, keyspace, &[LOW[0]]).await, Some(vec![9]));
    cluster.close().unwrap();
}

async fn is_forgotten(cluster: &Cluster, ledger: Keyspace, key: &Bytes) -> bool {
    let row = cluster.read(ledger, key, ConsistencyLevel::Quorum).await;
    row.unwrap().is_none()
}

#[tokio::test]
async fn an_old_row_that_cannot_be_forgotten_yet_keeps_no_others() {
    let (_directory, cluster, _) = bank().await;
    let ledger = cluster.ledger().await.unwrap();
    let keys = [1, 2, 3].map(|number| claim_key(&InvocationId::new([number; 16])));
    for key in &keys {
        let row = LedgerRow {
            at_ms: 0,
            payload: [0; 16],
            transaction: TransactionId([key[0]; 16]),
            state: LedgerState::Preparing,
            cancelled: Vec::new(),
        };
        let claim = LedgerCommand::Claim { row, call: call(1) };
        cluster.write_ledger(ledger, key, &claim).await.unwrap();
    }
    let others = async || {
        is_forgotten(&cluster, ledger, &keys[1]).await && is_forgotten(&cluster, ledger, &keys[2]).await
    };
    // The first one is busy.
    let latch = cluster.node.host.latches.acquire(ledger.number, &keys[0]).await;
    tokio::select! {
        outcome = cluster.forget_old_transactions(u64::MAX) => panic!("{outcome:?}"),
        () = until(others) => {}
    }
    assert!(!is_forgotten(&cluster, ledger, &keys[0]).await);
    drop(latch);
    cluster.forget_old_transactions(u64::MAX).await.unwrap();
    assert!(is_forgotten(&cluster, ledger, &keys[0]).await);
    cluster.close().unwrap();
}

/// Moves money between accounts at both ends of the ring and looks at all of them, from all nodes at once.
async fn transfers(nodes: &[Cluster], keyspaces: &[Keyspace]) {
    let keys = [LOW[0], LOW[1], HIGH[0], HIGH[1]];
    let begin: Vec<_> = keys.iter().map(|key| (*key, "+100")).collect();
    let outcome = retried(async || {
        let actions = actions(keyspaces[0], &begin);
        let token = Some(token(0, 0));
        nodes[0].transact(&actions, token, ConsistencyLevel::Quorum).await
    })
    .await;
    assert!(matches!(outcome, TransactionOutcome::Done { .. }), "{outcome:?}");
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..6_usize {
        let (node, keyspace) = (
            nodes[worker % nodes.len()].clone(),
            keyspaces[worker % nodes.len()],
        );
        tasks.spawn(async move {
            let (mut moved, mut seen) = (0, 0);
            for round in 0..60_usize {
                let (from, to) = (keys[(worker + round) % 4], keys[(worker + round / 4 + 1) % 4]);
                if from != to {
                    let some = actions(keyspace, &[(from, "-3"), (to, "+3")]);
                    match node.transact(&some, None, ConsistencyLevel::Quorum).await {
                        Ok(TransactionOutcome::Done { .. }) => moved += 1,
                        Ok(TransactionOutcome::Cancelled { .. }) | Err(Error::Unavailable { .. }) => {}
                        outcome => panic!("{outcome:?}"),
                    }
                }
                if let Some(balances) = balances(&node, keyspace, &keys).await {
                    assert_eq!(balances.iter().sum::<i64>(), 400, "{balances:?}");
                    seen += 1;
                }
            }
            (moved, seen)
        });
    }
    let (mut moved, mut seen) = (0, 0);
    while let Some(task) = tasks.join_next().await {
        let (some, others) = task.unwrap();
        moved += some;
        seen += others;
    }
    assert!(moved > 20 && seen > 20, "{moved} transfers, {seen} looks");
    let last = retried(async || match balances(&nodes[0], keyspaces[0], &keys).await {
        Some(balances) => Ok(balances),
        None => Err(Error::Unavailable { cause: String::new() }),
    })
    .await;
    assert_eq!(last.iter().sum::<i64>(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_part_of_a_transfer_on_one_node() {
    let (_directory, cluster, keyspace) = bank().await;
    transfers(std::slice::from_ref(&cluster), &[keyspace]).await;
    cluster.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_part_of_a_transfer_on_three_nodes() {
    let (three, keyspaces) = three_that_know_a_keyspace(Arc::new(Accounts)).await;
    transfers(&three.nodes, &keyspaces).await;
    three.close();
}
