//! The ledger of transactions: a row for each that says whether it stands, and the commands that write such rows.
//!
//! A transaction that has parts in several groups stands from the moment on at which its row says so: that is its commit
//! point. A row that is not there says that it does not stand, and never will: one can be made to stand only while its row
//! says that it is being prepared. A row also keeps what a client's id was used for, and which calls under it were told that
//! the transaction is cancelled although another try of theirs may have been under way: such a try is told the same, whenever
//! it comes, and whatever other calls have made of the transaction meanwhile. Invariant: the commands are compare-and-set:
//! whoever comes second sees what the first one has done. Pure: the time is an argument. Not here: who writes the rows
//! (`coordinator/transact.rs`), what is in them (`ledger/row.rs`).

mod row;

use bytes::{Buf as _, Bytes};

pub(crate) use self::row::{CancelledCall, LedgerRow, LedgerState, MarkFate, MarkRow, claim_key, done_key};
use self::row::{
    Malformed, end, get_16, get_answers, get_id, get_parts, get_told, put_answers, put_parts, put_told,
};
use crate::command::{Answer, Applier, Cell, InvocationId, MalformedAnswer, Verdict};
use crate::transaction::TransactionId;

/// The name of the keyspace of the ledger. Names of callers' keyspaces do not begin so.
pub(crate) const LEDGER: &str = "cluster/transactions";

/// One that has been preparing for so long, in milliseconds, is not waited for: its coordinator may be gone.
const STALE_MS: u64 = 5_000;

/// A client's id means the same transaction for so long, in milliseconds. Source: Amazon DynamoDB API Reference,
/// `TransactWriteItems`, "Idempotency": 10 minutes after the first request that uses it has finished.
const REMEMBERED_MS: u64 = 10 * 60 * 1_000;

/// A request takes at most so long, in milliseconds, and clocks of nodes differ by less: what is counted from its beginning
/// ends so much later.
const MARGIN_MS: u64 = 60 * 1_000;

/// So many calls of one id are known to have been told that they are cancelled; another one is not told so before one of
/// them is old.
const CANCELLED_MAX: usize = 16;

/// Whether what began then is not remembered any more.
pub(crate) fn is_old(at_ms: u64, now_ms: u64) -> bool {
    at_ms.saturating_add(REMEMBERED_MS + MARGIN_MS) < now_ms
}

const VERSION: u8 = 1;

/// A command on the row of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerCommand {
    /// Makes the row for a call, unless the id was used before. One that prepares for too long is taken over.
    Claim { row: LedgerRow, call: InvocationId },
    /// Makes the transaction stand, if it is still being prepared.
    Stand {
        transaction: TransactionId,
        /// As [`LedgerState::Stands`] has it.
        at_ms: u64,
        parts: Vec<(u32, u64)>,
        answers: Vec<Bytes>,
    },
    /// Gives the transaction up, unless it stands.
    GiveUp { transaction: TransactionId },
    /// The same, and no other try of a call is to take effect: `row` is that of the transaction as it becomes if there is
    /// none, with that call alone.
    Cancel { row: LedgerRow },
    /// Removes the row of a transaction, whatever it says.
    Forget { transaction: TransactionId },
}

/// What a command on the row of a transaction answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerAnswer {
    /// It was done.
    Done,
    /// This is what stands in the row.
    Row(LedgerRow),
    /// The transaction is being prepared by another attempt.
    InProgress,
    /// The id was used for something else.
    OtherPayload,
    /// It does not stand, and never will.
    GivenUp,
    /// The call was told before that it is cancelled.
    Cancelled(CancelledCall),
}

impl LedgerCommand {
    fn claim(row: &LedgerRow, call: &InvocationId, current: Option<LedgerRow>) -> Verdict<LedgerAnswer> {
        let put = |cancelled| {
            let row = row.clone();
            Verdict::Put {
                cell: LedgerRow { cancelled, ..row }.encode(),
                answer: LedgerAnswer::Done,
            }
        };
        let Some(current) = current else {
            return put(Vec::new());
        };
        if let Some(told) = current.told(call) {
            return Verdict::Keep {
                answer: LedgerAnswer::Cancelled(told.clone()),
            };
        }
        let is_other = current.payload != row.payload;
        let answer = match current.state {
            LedgerState::Cancelled => return put(current.cancelled),
            _ if is_other => LedgerAnswer::OtherPayload,
            LedgerState::Stands { .. } | LedgerState::InOne { .. } => LedgerAnswer::Row(current),
            LedgerState::Preparing if current.transaction == row.transaction => LedgerAnswer::Done,
            LedgerState::Preparing if current.at_ms.abs_diff(row.at_ms) > STALE_MS => {
                return put(current.cancelled);
            }
            LedgerState::Preparing => LedgerAnswer::InProgress,
        };
        Verdict::Keep { answer }
    }

    fn stand(
        (at_ms, parts, answers): (u64, &[(u32, u64)], &[Bytes]),
        current: Option<LedgerRow>,
    ) -> Verdict<LedgerAnswer> {
        match current.map(|row| (row.state.clone(), row)) {
            Some((LedgerState::Preparing, row)) => {
                let state = LedgerState::Stands {
                    at_ms,
                    parts: parts.to_vec(),
                    answers: answers.to_vec(),
                };
                Verdict::Put {
                    cell: LedgerRow { state, ..row }.encode(),
                    answer: LedgerAnswer::Done,
                }
            }
            Some((LedgerState::Stands { .. }, _)) => Verdict::Keep {
                answer: LedgerAnswer::Done,
            },
            Some((LedgerState::InOne { .. } | LedgerState::Cancelled, _)) | None => Verdict::Keep {
                answer: LedgerAnswer::GivenUp,
            },
        }
    }

    fn give_up(current: Option<LedgerRow>) -> Verdict<LedgerAnswer> {
        let answer = LedgerAnswer::GivenUp;
        let Some(row) = current else {
            return Verdict::Keep { answer };
        };
        match row.state {
            LedgerState::Preparing if row.cancelled.is_empty() => Verdict::Delete { answer },
            LedgerState::Preparing => {
                let state = LedgerState::Cancelled;
                let cell = LedgerRow { state, ..row }.encode();
                Verdict::Put { cell, answer }
            }
            LedgerState::Cancelled => Verdict::Keep { answer },
            LedgerState::Stands { .. } | LedgerState::InOne { .. } => Verdict::Keep {
                answer: LedgerAnswer::Row(row),
            },
        }
    }

    fn cancel(row: &LedgerRow, current: Option<LedgerRow>) -> Verdict<LedgerAnswer> {
        let put = |row: LedgerRow| Verdict::Put {
            cell: row.encode(),
            answer: LedgerAnswer::GivenUp,
        };
        let (Some(current), [told, ..]) = (current, &row.cancelled[..]) else {
            return put(row.clone());
        };
        if let Some(before) = current.told(&told.call) {
            return Verdict::Keep {
                answer: LedgerAnswer::Cancelled(before.clone()),
            };
        }
        let is_own = current.transaction == row.transaction;
        match current.state {
            LedgerState::Cancelled => {}
            LedgerState::Preparing | LedgerState::InOne { .. } if is_own => {}
            _ => {
                return Verdict::Keep {
                    answer: LedgerAnswer::Row(current),
                };
            }
        }
        let mut cancelled = current.cancelled;
        if cancelled.len() >= CANCELLED_MAX {
            cancelled.retain(|told| !is_old(told.at_ms, row.at_ms));
        }
        if cancelled.len() >= CANCELLED_MAX {
            return Verdict::Keep {
                answer: LedgerAnswer::InProgress,
            };
        }
        cancelled.push(told.clone());
        put(LedgerRow {
            at_ms: row.at_ms.max(current.at_ms),
            cancelled,
            ..row.clone()
        })
    }
}

impl LedgerRow {
    /// A call that was told that the transaction is cancelled.
    fn told(&self, call: &InvocationId) -> Option<&CancelledCall> {
        self.cancelled.iter().find(|told| told.call == *call)
    }
}

impl Applier for LedgerCommand {
    type Answer = LedgerAnswer;

    fn decide(&self, current: Option<&Cell>) -> Verdict<LedgerAnswer> {
        // What cannot be read is not overwritten: a newer program has written it.
        let row = match current.map(LedgerRow::decode).transpose() {
            Ok(row) => row,
            Err(_) if matches!(self, Self::Forget { .. }) => None,
            Err(_) => {
                return Verdict::Keep {
                    answer: LedgerAnswer::InProgress,
                };
            }
        };
        match self {
            Self::Claim { row: claimed, call } => Self::claim(claimed, call, row),
            Self::Cancel { row: cancelled } => Self::cancel(cancelled, row),
            Self::Stand {
                transaction,
                at_ms,
                parts,
                answers,
            } => Self::stand(
                (*at_ms, parts, answers),
                row.filter(|row| row.transaction == *transaction),
            ),
            Self::GiveUp { transaction } => Self::give_up(row.filter(|row| row.transaction == *transaction)),
            Self::Forget { transaction } => {
                let mark = current.and_then(|cell| MarkRow::decode(cell).ok());
                let of_row = row.map(|row| row.transaction);
                if of_row.or(mark.map(|mark| mark.transaction)) == Some(*transaction) {
                    return Verdict::Delete {
                        answer: LedgerAnswer::Done,
                    };
                }
                Verdict::Keep {
                    answer: LedgerAnswer::Done,
                }
            }
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.push(VERSION);
        match self {
            Self::Claim { row, call } => {
                into.push(1);
                into.extend_from_slice(call.as_bytes());
                into.extend_from_slice(&row.encode());
            }
            Self::Stand {
                transaction,
                at_ms,
                parts,
                answers,
            } => {
                // Without a time as programs wrote it that knew of none.
                into.push(if *at_ms == 0 { 2 } else { 6 });
                into.extend_from_slice(&transaction.0);
                if *at_ms != 0 {
                    into.extend_from_slice(&at_ms.to_le_bytes());
                }
                put_parts(into, parts);
                put_answers(into, answers);
            }
            Self::GiveUp { transaction } => {
                into.push(3);
                into.extend_from_slice(&transaction.0);
            }
            Self::Forget { transaction } => {
                into.push(4);
                into.extend_from_slice(&transaction.0);
            }
            Self::Cancel { row } => {
                into.push(5);
                into.extend_from_slice(&row.encode());
            }
        }
    }

    fn answer_unseen(&self) -> Option<LedgerAnswer> {
        None
    }
}

impl LedgerCommand {
    /// Reads what [`Applier::encode`] has written.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut bytes = bytes.clone();
        if bytes.len() < 2 || bytes.get_u8() != VERSION {
            return Err(Malformed);
        }
        match bytes.get_u8() {
            1 => Ok(Self::Claim {
                call: InvocationId::new(get_16(&mut bytes)?),
                row: LedgerRow::decode(&bytes)?,
            }),
            kind @ (2 | 6) => {
                let transaction = get_id(&mut bytes)?;
                let at_ms = match kind {
                    2 => 0,
                    _ => bytes.try_get_u64_le().map_err(|_| Malformed)?,
                };
                let parts = get_parts(&mut bytes)?;
                let answers = get_answers(&mut bytes)?;
                end(&bytes)?;
                Ok(Self::Stand {
                    transaction,
                    at_ms,
                    parts,
                    answers,
                })
            }
            kind @ (3 | 4) => {
                let transaction = get_id(&mut bytes)?;
                end(&bytes)?;
                Ok(if kind == 3 {
                    Self::GiveUp { transaction }
                } else {
                    Self::Forget { transaction }
                })
            }
            5 => Ok(Self::Cancel {
                row: LedgerRow::decode(&bytes)?,
            }),
            _ => Err(Malformed),
        }
    }
}

impl Answer for LedgerAnswer {
    fn encode(&self, into: &mut Vec<u8>) {
        into.push(VERSION);
        match self {
            Self::Done => into.push(1),
            Self::Row(row) => {
                into.push(2);
                into.extend_from_slice(&row.encode());
            }
            Self::InProgress => into.push(3),
            Self::OtherPayload => into.push(4),
            Self::GivenUp => into.push(5),
            Self::Cancelled(told) => {
                into.push(6);
                put_told(into, told);
            }
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        let malformed = || MalformedAnswer::from(Malformed);
        match bytes.split_first_chunk() {
            Some(([VERSION, 2], _)) => Ok(Self::Row(LedgerRow::decode(&bytes.slice(2..))?)),
            Some(([VERSION, 6], _)) => {
                let mut rest = bytes.slice(2..);
                let told = get_told(&mut rest)?;
                end(&rest)?;
                Ok(Self::Cancelled(told))
            }
            Some(([VERSION, kind], [])) => match kind {
                1 => Ok(Self::Done),
                3 => Ok(Self::InProgress),
                4 => Ok(Self::OtherPayload),
                5 => Ok(Self::GivenUp),
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::Unfit;
    use crate::error::Error;
    use crate::transaction::{Reason, TransactionOutcome};

    fn row(attempt: u8, at_ms: u64, state: LedgerState) -> LedgerRow {
        LedgerRow {
            at_ms,
            payload: [7; 16],
            transaction: TransactionId([attempt; 16]),
            state,
            cancelled: Vec::new(),
        }
    }

    fn stands() -> LedgerState {
        LedgerState::Stands {
            at_ms: 0,
            parts: vec![(3, 9), (4, 1)],
            answers: vec![Bytes::from_static(b"a"), Bytes::new()],
        }
    }

    /// The cell and the answer after a command, which goes by way of its bytes.
    fn apply(command: &LedgerCommand, current: Option<&LedgerRow>) -> (Option<LedgerRow>, LedgerAnswer) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        assert_eq!(LedgerCommand::decode(&bytes.into()), Ok(command.clone()));
        let cell = current.map(LedgerRow::encode);
        let (after, answer) = match command.decide(cell.as_ref()) {
            Verdict::Put { cell, answer } => (Some(LedgerRow::decode(&cell).unwrap()), answer),
            Verdict::Delete { answer } => (None, answer),
            Verdict::Keep { answer } => (current.cloned(), answer),
        };
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        assert_eq!(LedgerAnswer::decode(&bytes.into()), Ok(answer.clone()));
        (after, answer)
    }

    fn claim(attempt: u8, at_ms: u64) -> LedgerCommand {
        claim_of(attempt, attempt, at_ms)
    }

    fn claim_of(call: u8, attempt: u8, at_ms: u64) -> LedgerCommand {
        let row = row(attempt, at_ms, LedgerState::Preparing);
        let call = InvocationId::new([call; 16]);
        LedgerCommand::Claim { row, call }
    }

    fn told(call: u8, at_ms: u64) -> CancelledCall {
        let unfit = Unfit {
            code: 3,
            reason: "too large".to_owned(),
        };
        CancelledCall {
            at_ms,
            call: InvocationId::new([call; 16]),
            reasons: vec![
                None,
                Some(Reason::Refused(Bytes::from_static(b"poor"))),
                Some(Reason::Conflict),
                Some(Reason::Unfit(unfit)),
            ],
        }
    }

    fn cancel(call: u8, attempt: u8, at_ms: u64) -> LedgerCommand {
        let row = LedgerRow {
            cancelled: vec![told(call, at_ms)],
            ..row(attempt, at_ms, LedgerState::Cancelled)
        };
        LedgerCommand::Cancel { row }
    }

    fn stand(attempt: u8) -> LedgerCommand {
        let LedgerState::Stands {
            at_ms,
            parts,
            answers,
        } = stands()
        else {
            unreachable!("it is that")
        };
        LedgerCommand::Stand {
            transaction: TransactionId([attempt; 16]),
            at_ms,
            parts,
            answers,
        }
    }

    fn give_up(attempt: u8) -> LedgerCommand {
        LedgerCommand::GiveUp {
            transaction: TransactionId([attempt; 16]),
        }
    }

    #[test]
    fn a_transaction_that_makes_versions_stands_at_one_time_for_good() {
        let LedgerCommand::Stand {
            transaction,
            parts,
            answers,
            ..
        } = stand(1)
        else {
            unreachable!("it is that")
        };
        let at = |at_ms| LedgerCommand::Stand {
            transaction,
            at_ms,
            parts: parts.clone(),
            answers: answers.clone(),
        };
        let (prepared, _) = apply(&claim(1, 100), None);
        let mut prepared = prepared.unwrap();
        for told in [Vec::new(), vec![told(9, 50)]] {
            prepared.cancelled = told;
            let (standing, _) = apply(&at(700), Some(&prepared));
            // Whoever comes later does not change it.
            let (standing, _) = apply(&at(800), standing.as_ref());
            let standing = standing.unwrap();
            assert_eq!(standing.cancelled, prepared.cancelled);
            let LedgerState::Stands { at_ms, .. } = standing.state else {
                panic!("{standing:?}")
            };
            assert_eq!(at_ms, 700);
        }
    }

    #[test]
    fn what_is_prepared_comes_to_stand_or_is_given_up_and_never_both() {
        let (prepared, answer) = apply(&claim(1, 100), None);
        assert_eq!(answer, LedgerAnswer::Done);
        let (standing, answer) = apply(&stand(1), prepared.as_ref());
        assert_eq!(answer, LedgerAnswer::Done);
        assert_eq!(standing, Some(row(1, 100, stands())));
        let (kept, answer) = apply(&give_up(1), standing.as_ref());
        assert_eq!(
            (kept, answer),
            (standing.clone(), LedgerAnswer::Row(row(1, 100, stands())))
        );
        assert_eq!(apply(&stand(1), standing.as_ref()).1, LedgerAnswer::Done);
        let (gone, answer) = apply(&give_up(1), prepared.as_ref());
        assert_eq!((gone, answer), (None, LedgerAnswer::GivenUp));
        assert_eq!(apply(&stand(1), None), (None, LedgerAnswer::GivenUp));
    }

    #[test]
    fn an_id_takes_effect_once_and_means_one_thing() {
        let preparing = row(1, 100, LedgerState::Preparing);
        assert_eq!(
            apply(&claim(2, 200), Some(&preparing)).1,
            LedgerAnswer::InProgress
        );
        assert_eq!(apply(&claim(1, 100), Some(&preparing)).1, LedgerAnswer::Done);
        let standing = row(1, 100, stands());
        let again = apply(&claim(2, 99_999), Some(&standing));
        assert_eq!(
            again,
            (Some(standing.clone()), LedgerAnswer::Row(standing.clone()))
        );
        let other = LedgerRow {
            payload: [8; 16],
            ..row(2, 200, LedgerState::Preparing)
        };
        let call = InvocationId::new([2; 16]);
        let claim = LedgerCommand::Claim { row: other, call };
        assert_eq!(apply(&claim, Some(&standing)).1, LedgerAnswer::OtherPayload);
    }

    #[test]
    fn what_is_prepared_for_too_long_is_taken_over_and_cannot_stand_any_more() {
        let old = row(1, 100, LedgerState::Preparing);
        let (taken, answer) = apply(&claim(2, 100 + STALE_MS + 1), Some(&old));
        assert_eq!(answer, LedgerAnswer::Done);
        assert_eq!(
            apply(&stand(1), taken.as_ref()),
            (taken.clone(), LedgerAnswer::GivenUp)
        );
        assert_eq!(apply(&give_up(1), taken.as_ref()), (taken, LedgerAnswer::GivenUp));
    }

    #[test]
    fn every_try_of_a_call_that_was_told_that_it_is_cancelled_is_told_the_same() {
        let (preparing, _) = apply(&claim_of(7, 1, 100), None);
        let (cancelled, answer) = apply(&cancel(7, 1, 100), preparing.as_ref());
        assert_eq!(answer, LedgerAnswer::GivenUp);
        let late = apply(&claim_of(7, 2, 200), cancelled.as_ref());
        assert_eq!(late, (cancelled.clone(), LedgerAnswer::Cancelled(told(7, 100))));
        let again = apply(&cancel(7, 3, 300), cancelled.as_ref());
        assert_eq!(again, (cancelled.clone(), LedgerAnswer::Cancelled(told(7, 100))));
        assert_eq!(
            apply(&stand(1), cancelled.as_ref()),
            (cancelled.clone(), LedgerAnswer::GivenUp)
        );
        assert_eq!(
            apply(&give_up(1), cancelled.as_ref()),
            (cancelled, LedgerAnswer::GivenUp)
        );
        // Its row may have been removed meanwhile.
        assert_eq!(
            apply(&cancel(7, 1, 100), None).0.unwrap().cancelled,
            [told(7, 100)]
        );
    }

    #[test]
    fn other_calls_may_try_again_and_change_nothing_for_the_one_that_was_told() {
        let (cancelled, _) = apply(&cancel(7, 1, 100), None);
        let (taken, answer) = apply(&claim_of(8, 2, 200), cancelled.as_ref());
        assert_eq!(answer, LedgerAnswer::Done);
        let told_before = LedgerAnswer::Cancelled(told(7, 100));
        let (standing, answer) = apply(&stand(2), taken.as_ref());
        assert_eq!(answer, LedgerAnswer::Done);
        let (given_up, answer) = apply(&give_up(2), taken.as_ref());
        assert_eq!(answer, LedgerAnswer::GivenUp);
        let (stale, answer) = apply(&claim_of(9, 3, 201 + STALE_MS), taken.as_ref());
        assert_eq!(answer, LedgerAnswer::Done);
        let (both, answer) = apply(&cancel(8, 2, 200), taken.as_ref());
        assert_eq!(answer, LedgerAnswer::GivenUp);
        assert_eq!(both.as_ref().unwrap().cancelled, [told(7, 100), told(8, 200)]);
        for after in [taken, standing, given_up, stale, both] {
            let late = apply(&claim_of(7, 4, 300), after.as_ref());
            assert_eq!(late, (after, told_before.clone()));
        }
        // An id of which nothing stands may be used for something else.
        let other = LedgerRow {
            payload: [8; 16],
            ..row(2, 200, LedgerState::Preparing)
        };
        let call = InvocationId::new([8; 16]);
        let claim = LedgerCommand::Claim { row: other, call };
        assert_eq!(apply(&claim, cancelled.as_ref()).1, LedgerAnswer::Done);
    }

    #[test]
    fn nobody_is_told_that_it_is_cancelled_while_another_attempt_may_stand() {
        for state in [LedgerState::Preparing, stands()] {
            let other = row(1, 100, state);
            let kept = apply(&cancel(7, 2, 200), Some(&other));
            assert_eq!(kept, (Some(other.clone()), LedgerAnswer::Row(other)));
        }
        let done = Bytes::from_static(b"12345678idd");
        let one = row(1, 100, LedgerState::InOne { done });
        assert_eq!(
            apply(&cancel(7, 2, 200), Some(&one)).1,
            LedgerAnswer::Row(one.clone())
        );
        assert_eq!(apply(&cancel(7, 1, 200), Some(&one)).1, LedgerAnswer::GivenUp);
    }

    #[test]
    fn no_more_calls_are_told_so_than_are_known() {
        let mut current = None;
        for call in (1_u8..).take(CANCELLED_MAX) {
            let answer;
            (current, answer) = apply(&cancel(call, call, 1_000), current.as_ref());
            assert_eq!(answer, LedgerAnswer::GivenUp);
        }
        let kept = apply(&cancel(99, 99, 1_000), current.as_ref());
        assert_eq!(kept, (current.clone(), LedgerAnswer::InProgress));
        let later = 1_001 + REMEMBERED_MS + MARGIN_MS;
        let (after, answer) = apply(&cancel(99, 99, later), current.as_ref());
        assert_eq!(answer, LedgerAnswer::GivenUp);
        assert_eq!(after.unwrap().cancelled, [told(99, later)]);
    }

    #[test]
    fn reasons_are_kept_unless_they_are_too_long() {
        let short = told(1, 100);
        assert_eq!(short.kept(), short);
        let reasons = short.reasons.clone();
        assert_eq!(
            short.outcome().unwrap(),
            TransactionOutcome::Cancelled { reasons }
        );
        let long = CancelledCall {
            reasons: vec![Some(Reason::Refused(vec![0; 256 * 1024 + 1].into()))],
            ..told(1, 100)
        };
        assert!(matches!(
            long.clone().outcome(),
            Ok(TransactionOutcome::Cancelled { .. })
        ));
        assert_eq!(long.kept().reasons, []);
        assert!(matches!(long.kept().outcome(), Err(Error::OutcomeUnknown { .. })));
    }

    #[test]
    fn rows_are_forgotten_by_the_attempt_that_they_are_of() {
        let forget = |attempt| LedgerCommand::Forget {
            transaction: TransactionId([attempt; 16]),
        };
        let done = Bytes::from_static(b"12345678idd");
        let one = row(1, 100, LedgerState::InOne { done });
        assert_eq!(apply(&forget(2), Some(&one)).0, Some(one.clone()));
        assert_eq!(apply(&forget(1), Some(&one)).0, None);
        let answers = vec![Bytes::from_static(b"yes")];
        for fate in [MarkFate::Done { answers }, MarkFate::Closed(told(7, 5))] {
            let mark = MarkRow {
                at_ms: 5,
                transaction: TransactionId([3; 16]),
                fate,
            };
            assert_eq!(MarkRow::decode(&mark.encode()), Ok(mark.clone()));
            let cell = mark.encode();
            assert!(matches!(forget(3).decide(Some(&cell)), Verdict::Delete { .. }));
            assert!(matches!(forget(4).decide(Some(&cell)), Verdict::Keep { .. }));
        }
    }

    #[test]
    fn what_a_newer_program_has_written_is_left_alone() {
        let cell = Bytes::from_static(&[9, 9, 9]);
        let verdict = claim(1, 1).decide(Some(&cell));
        assert!(matches!(
            verdict,
            Verdict::Keep {
                answer: LedgerAnswer::InProgress
            }
        ));
    }
}
