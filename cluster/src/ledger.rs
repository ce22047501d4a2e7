//! The ledger of transactions: a row for each that says whether it stands, and the commands that write such rows.
//!
//! A transaction that has parts in several groups stands from the moment on at which its row says so: that is its commit
//! point. A row that is not there says that it does not stand, and never will: one can be made to stand only while its row
//! says that it is being prepared. A row also keeps what a client's id was used for. Invariant: the commands are
//! compare-and-set: whoever comes second sees what the first one has done. Pure: the time is an argument. Not here: who
//! writes the rows (`coordinator/transact.rs`), the bytes' description (`docs/format/group.md`).

use bytes::{Buf as _, BufMut, Bytes, BytesMut};

use crate::command::{Answer, Applier, Cell, InvocationId, MalformedAnswer, MalformedCommand, Verdict};
use crate::transaction::TransactionId;

/// The name of the keyspace of the ledger. Names of callers' keyspaces do not begin so.
pub(crate) const LEDGER: &str = "cluster/transactions";

/// One that has been preparing for so long, in milliseconds, is not waited for: its coordinator may be gone.
const STALE_MS: u64 = 5_000;

const VERSION: u8 = 1;
const PREPARING: u8 = 1;
const STANDS: u8 = 2;
const IN_ONE: u8 = 3;
const DONE: u8 = 4;

/// The last byte of a key.
const CLAIM_KEY: u8 = b'c';
const DONE_KEY: u8 = b'd';

/// The key of the row of a transaction that a client would send again under this id, or that has this id itself.
pub(crate) fn claim_key(id: &InvocationId) -> Bytes {
    [id.as_bytes(), &[CLAIM_KEY][..]].concat().into()
}

/// The key of the row that says that a transaction of one group has taken place, in the range of a key of the group.
pub(crate) fn done_key(near: &[u8], id: TransactionId) -> Bytes {
    let token = near.get(..8).unwrap_or(near);
    [token, &id.0, &[DONE_KEY]].concat().into()
}

/// The row of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerRow {
    /// When it began, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// What it asks for, as a hash.
    pub(crate) payload: [u8; 16],
    /// Which attempt at it.
    pub(crate) transaction: TransactionId,
    pub(crate) state: LedgerState,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerState {
    /// Its parts are being prepared.
    Preparing,
    /// It stands: the entries that have prepared its parts, by their groups, and what its commands have answered.
    Stands {
        parts: Vec<(u32, u64)>,
        answers: Vec<Bytes>,
    },
    /// Its cells are in one group, which knows under this key whether it has taken place.
    InOne { done: Bytes },
}

/// The row of a transaction of one group that has taken place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoneRow {
    /// When it began, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) transaction: TransactionId,
    pub(crate) answers: Vec<Bytes>,
}

/// A command on the row of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerCommand {
    /// Makes the row, unless the id was used before. One that prepares for too long is taken over.
    Claim { row: LedgerRow },
    /// Makes the transaction stand, if it is still being prepared.
    Stand {
        transaction: TransactionId,
        parts: Vec<(u32, u64)>,
        answers: Vec<Bytes>,
    },
    /// Gives the transaction up, unless it stands.
    GiveUp { transaction: TransactionId },
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
}

impl LedgerCommand {
    fn claim(row: &LedgerRow, current: Option<LedgerRow>) -> Verdict<LedgerAnswer> {
        let put = Verdict::Put {
            cell: row.encode(),
            answer: LedgerAnswer::Done,
        };
        let Some(current) = current else { return put };
        if current.payload != row.payload {
            return Verdict::Keep {
                answer: LedgerAnswer::OtherPayload,
            };
        }
        let answer = match current.state {
            LedgerState::Stands { .. } | LedgerState::InOne { .. } => LedgerAnswer::Row(current),
            LedgerState::Preparing if current.transaction == row.transaction => LedgerAnswer::Done,
            LedgerState::Preparing if current.at_ms.abs_diff(row.at_ms) > STALE_MS => return put,
            LedgerState::Preparing => LedgerAnswer::InProgress,
        };
        Verdict::Keep { answer }
    }

    fn stand(
        (parts, answers): (&[(u32, u64)], &[Bytes]),
        current: Option<LedgerRow>,
    ) -> Verdict<LedgerAnswer> {
        match current.map(|row| (row.state.clone(), row)) {
            Some((LedgerState::Preparing, row)) => {
                let state = LedgerState::Stands {
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
            Some((LedgerState::InOne { .. }, _)) | None => Verdict::Keep {
                answer: LedgerAnswer::GivenUp,
            },
        }
    }

    fn give_up(current: Option<LedgerRow>) -> Verdict<LedgerAnswer> {
        match current {
            Some(LedgerRow {
                state: LedgerState::Preparing,
                ..
            }) => Verdict::Delete {
                answer: LedgerAnswer::GivenUp,
            },
            Some(row) => Verdict::Keep {
                answer: LedgerAnswer::Row(row),
            },
            None => Verdict::Keep {
                answer: LedgerAnswer::GivenUp,
            },
        }
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
            Self::Claim { row: claimed } => Self::claim(claimed, row),
            Self::Stand {
                transaction,
                parts,
                answers,
            } => Self::stand(
                (parts, answers),
                row.filter(|row| row.transaction == *transaction),
            ),
            Self::GiveUp { transaction } => Self::give_up(row.filter(|row| row.transaction == *transaction)),
            Self::Forget { transaction } => {
                let done = current.and_then(|cell| DoneRow::decode(cell).ok());
                let of_row = row.map(|row| row.transaction);
                if of_row.or(done.map(|done| done.transaction)) == Some(*transaction) {
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
            Self::Claim { row } => {
                into.push(1);
                into.extend_from_slice(&row.encode());
            }
            Self::Stand {
                transaction,
                parts,
                answers,
            } => {
                into.push(2);
                into.extend_from_slice(&transaction.0);
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
        }
    }

    fn answer_unseen(&self) -> Option<LedgerAnswer> {
        None
    }
}

/// Bytes that are no row, no command and no answer of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<Malformed> for MalformedCommand {
    fn from(_: Malformed) -> Self {
        Self {
            detail: "it is nothing of the ledger of transactions".to_owned(),
        }
    }
}

impl From<Malformed> for MalformedAnswer {
    fn from(_: Malformed) -> Self {
        Self {
            detail: "it is nothing of the ledger of transactions".to_owned(),
        }
    }
}

impl From<Malformed> for crate::error::Error {
    fn from(malformed: Malformed) -> Self {
        Self::MalformedCommand(malformed.into())
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
                row: LedgerRow::decode(&bytes)?,
            }),
            2 => {
                let transaction = get_id(&mut bytes)?;
                let parts = get_parts(&mut bytes)?;
                let answers = get_answers(&mut bytes)?;
                end(&bytes)?;
                Ok(Self::Stand {
                    transaction,
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
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        let malformed = || MalformedAnswer::from(Malformed);
        match bytes.split_first_chunk() {
            Some(([VERSION, 2], _)) => Ok(Self::Row(LedgerRow::decode(&bytes.slice(2..))?)),
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

impl LedgerRow {
    fn encode(&self) -> Bytes {
        let mut into = BytesMut::with_capacity(64);
        into.put_u8(VERSION);
        into.put_u8(match &self.state {
            LedgerState::Preparing => PREPARING,
            LedgerState::Stands { .. } => STANDS,
            LedgerState::InOne { .. } => IN_ONE,
        });
        into.put_u64_le(self.at_ms);
        into.put_slice(&self.transaction.0);
        into.put_slice(&self.payload);
        match &self.state {
            LedgerState::Preparing => {}
            LedgerState::Stands { parts, answers } => {
                put_parts(&mut into, parts);
                put_answers(&mut into, answers);
            }
            LedgerState::InOne { done } => put(&mut into, done),
        }
        into.freeze()
    }

    /// Reads a row.
    pub(crate) fn decode(cell: &Bytes) -> Result<Self, Malformed> {
        let mut bytes = cell.clone();
        if bytes.len() < 2 || bytes.get_u8() != VERSION {
            return Err(Malformed);
        }
        let kind = bytes.get_u8();
        let at_ms = bytes.try_get_u64_le().map_err(|_| Malformed)?;
        let transaction = get_id(&mut bytes)?;
        let payload = take(&mut bytes, 16)?[..].try_into().map_err(|_| Malformed)?;
        let state = match kind {
            PREPARING => LedgerState::Preparing,
            STANDS => LedgerState::Stands {
                parts: get_parts(&mut bytes)?,
                answers: get_answers(&mut bytes)?,
            },
            IN_ONE => LedgerState::InOne {
                done: get(&mut bytes)?,
            },
            _ => return Err(Malformed),
        };
        end(&bytes)?;
        Ok(Self {
            at_ms,
            payload,
            transaction,
            state,
        })
    }
}

impl DoneRow {
    /// The row as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut into = BytesMut::with_capacity(64);
        into.put_u8(VERSION);
        into.put_u8(DONE);
        into.put_u64_le(self.at_ms);
        into.put_slice(&self.transaction.0);
        put_answers(&mut into, &self.answers);
        into.freeze()
    }

    /// Reads a row.
    pub(crate) fn decode(cell: &Bytes) -> Result<Self, Malformed> {
        let mut bytes = cell.clone();
        if bytes.len() < 2 || bytes.get_u8() != VERSION || bytes.get_u8() != DONE {
            return Err(Malformed);
        }
        let at_ms = bytes.try_get_u64_le().map_err(|_| Malformed)?;
        let transaction = get_id(&mut bytes)?;
        let answers = get_answers(&mut bytes)?;
        end(&bytes)?;
        Ok(Self {
            at_ms,
            transaction,
            answers,
        })
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn put(into: &mut impl BufMut, bytes: &[u8]) {
    into.put_u32_le(count(bytes.len()));
    into.put_slice(bytes);
}

fn put_parts(into: &mut impl BufMut, parts: &[(u32, u64)]) {
    into.put_u32_le(count(parts.len()));
    for (group, index) in parts {
        into.put_u32_le(*group);
        into.put_u64_le(*index);
    }
}

fn put_answers(into: &mut impl BufMut, answers: &[Bytes]) {
    into.put_u32_le(count(answers.len()));
    for answer in answers {
        put(into, answer);
    }
}

fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, Malformed> {
    if count > bytes.len() {
        return Err(Malformed);
    }
    Ok(bytes.split_to(count))
}

fn get(bytes: &mut Bytes) -> Result<Bytes, Malformed> {
    let count = bytes.try_get_u32_le().map_err(|_| Malformed)?;
    take(bytes, count as usize)
}

fn get_id(bytes: &mut Bytes) -> Result<TransactionId, Malformed> {
    TransactionId::read(&take(bytes, TransactionId::BYTES)?).ok_or(Malformed)
}

fn get_parts(bytes: &mut Bytes) -> Result<Vec<(u32, u64)>, Malformed> {
    let mut parts = Vec::new();
    for _ in 0..bytes.try_get_u32_le().map_err(|_| Malformed)? {
        let group = bytes.try_get_u32_le().map_err(|_| Malformed)?;
        parts.push((group, bytes.try_get_u64_le().map_err(|_| Malformed)?));
    }
    Ok(parts)
}

fn get_answers(bytes: &mut Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut answers = Vec::new();
    for _ in 0..bytes.try_get_u32_le().map_err(|_| Malformed)? {
        answers.push(get(bytes)?);
    }
    Ok(answers)
}

fn end(bytes: &Bytes) -> Result<(), Malformed> {
    if bytes.is_empty() { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(attempt: u8, at_ms: u64, state: LedgerState) -> LedgerRow {
        LedgerRow {
            at_ms,
            payload: [7; 16],
            transaction: TransactionId([attempt; 16]),
            state,
        }
    }

    fn stands() -> LedgerState {
        LedgerState::Stands {
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
        let row = row(attempt, at_ms, LedgerState::Preparing);
        LedgerCommand::Claim { row }
    }

    fn stand(attempt: u8) -> LedgerCommand {
        let LedgerState::Stands { parts, answers } = stands() else {
            unreachable!("it is that")
        };
        LedgerCommand::Stand {
            transaction: TransactionId([attempt; 16]),
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
        let claim = LedgerCommand::Claim { row: other };
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
    fn rows_are_forgotten_by_the_attempt_that_they_are_of() {
        let forget = |attempt| LedgerCommand::Forget {
            transaction: TransactionId([attempt; 16]),
        };
        let done = Bytes::from_static(b"12345678idd");
        let one = row(1, 100, LedgerState::InOne { done });
        assert_eq!(apply(&forget(2), Some(&one)).0, Some(one.clone()));
        assert_eq!(apply(&forget(1), Some(&one)).0, None);
        let mark = DoneRow {
            at_ms: 5,
            transaction: TransactionId([3; 16]),
            answers: vec![Bytes::from_static(b"yes")],
        };
        assert_eq!(DoneRow::decode(&mark.encode()), Ok(mark.clone()));
        let cell = mark.encode();
        assert!(matches!(forget(3).decide(Some(&cell)), Verdict::Delete { .. }));
        assert!(matches!(forget(4).decide(Some(&cell)), Verdict::Keep { .. }));
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
