//! The rows of the ledger, and their bytes.
//!
//! Invariant: what was written once is read for good; a row that says more than earlier programs knew has another version.
//! Not here: who writes which row (`ledger.rs`), the bytes' description (`docs/format/group.md`).

use bytes::{Buf as _, BufMut, Bytes, BytesMut};

use crate::command::{InvocationId, MalformedAnswer, MalformedCommand};
use crate::derive::Unfit;
use crate::error::Error;
use crate::transaction::{Reason, TransactionId, TransactionOutcome};

/// Of rows without calls that were told something.
const VERSION: u8 = 1;
/// Of rows with such calls.
const VERSION_WITH_CALLS: u8 = 2;
/// Of rows of transactions whose versions have a time, with calls or without.
const VERSION_WITH_TIME: u8 = 3;

const PREPARING: u8 = 1;
const STANDS: u8 = 2;
const IN_ONE: u8 = 3;
const DONE: u8 = 4;
const CANCELLED: u8 = 5;
const CLOSED: u8 = 6;

/// Reasons that are longer together, in bytes, are not kept.
const REASONS_BYTES_MAX: usize = 256 * 1024;

/// The last byte of a key.
const CLAIM_KEY: u8 = b'c';
const DONE_KEY: u8 = b'd';

/// The key of the row of a transaction that a client would send again under this id, or that has this id itself.
pub(crate) fn claim_key(id: &InvocationId) -> Bytes {
    [id.as_bytes(), &[CLAIM_KEY][..]].concat().into()
}

/// The key of the row that says what has come of a transaction of one group, in the range of a key of the group.
pub(crate) fn done_key(near: &[u8], id: TransactionId) -> Bytes {
    let token = near.get(..8).unwrap_or(near);
    [token, &id.0, &[DONE_KEY]].concat().into()
}

/// A call that was told that its transaction is cancelled: no other try of it is to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CancelledCall {
    /// When the try began that was told so, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) call: InvocationId,
    /// What it was told. Empty if that is not known any more.
    pub(crate) reasons: Vec<Option<Reason>>,
}

impl CancelledCall {
    /// The same as it is kept: reasons that are too long are left out.
    pub(crate) fn kept(&self) -> Self {
        let bytes = |reason: &Reason| match reason {
            Reason::Refused(answer) => answer.len(),
            Reason::Unfit(unfit) => unfit.reason.len(),
            Reason::Conflict => 0,
        };
        let is_short = self.reasons.iter().flatten().map(bytes).sum::<usize>() <= REASONS_BYTES_MAX;
        Self {
            reasons: if is_short {
                self.reasons.clone()
            } else {
                Vec::new()
            },
            ..*self
        }
    }

    /// What every try of the call is told.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] when the reasons were not kept.
    pub(crate) fn outcome(self) -> Result<TransactionOutcome, Error> {
        if self.reasons.is_empty() {
            return Err(Error::OutcomeUnknown {
                cause:
                    "an earlier try was told why the transaction is cancelled, which was too long to be kept"
                        .to_owned(),
            });
        }
        let reasons = self.reasons;
        Ok(TransactionOutcome::Cancelled { reasons })
    }
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
    /// The calls under this id that were told that it is cancelled, when another try of theirs may have been under way.
    pub(crate) cancelled: Vec<CancelledCall>,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerState {
    /// Its parts are being prepared.
    Preparing,
    /// It stands: the time of the versions that follow from it in milliseconds since the Unix epoch, 0 if none do; the
    /// entries that have prepared its parts, by their groups, and what its commands have answered.
    Stands {
        at_ms: u64,
        parts: Vec<(u32, u64)>,
        answers: Vec<Bytes>,
    },
    /// Its cells are in one group, which knows under this key whether it has taken place.
    InOne { done: Bytes },
    /// It does not stand, and never will; another attempt may be made, but not by the calls that were told so.
    Cancelled,
}

/// The row of a transaction of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MarkRow {
    /// When it began, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) transaction: TransactionId,
    pub(crate) fate: MarkFate,
}

/// What has become of a transaction of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MarkFate {
    /// It has taken place; what its commands have answered.
    Done { answers: Vec<Bytes> },
    /// This call was told that it is cancelled. It never takes place under this mark.
    Closed(CancelledCall),
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

impl LedgerRow {
    /// The row as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut into = BytesMut::with_capacity(64);
        let stands_at_ms = match &self.state {
            LedgerState::Stands { at_ms, .. } => *at_ms,
            LedgerState::Preparing | LedgerState::InOne { .. } | LedgerState::Cancelled => 0,
        };
        let version = match (stands_at_ms, self.cancelled.is_empty()) {
            (0, true) => VERSION,
            (0, false) => VERSION_WITH_CALLS,
            _ => VERSION_WITH_TIME,
        };
        into.put_u8(version);
        into.put_u8(match &self.state {
            LedgerState::Preparing => PREPARING,
            LedgerState::Stands { .. } => STANDS,
            LedgerState::InOne { .. } => IN_ONE,
            LedgerState::Cancelled => CANCELLED,
        });
        into.put_u64_le(self.at_ms);
        into.put_slice(&self.transaction.0);
        into.put_slice(&self.payload);
        if version == VERSION_WITH_TIME {
            into.put_u64_le(stands_at_ms);
        }
        if version != VERSION {
            into.put_u32_le(count(self.cancelled.len()));
            for told in &self.cancelled {
                put_told(&mut into, told);
            }
        }
        match &self.state {
            LedgerState::Preparing | LedgerState::Cancelled => {}
            LedgerState::Stands { parts, answers, .. } => {
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
        if bytes.len() < 2 {
            return Err(Malformed);
        }
        let (version, kind) = (bytes.get_u8(), bytes.get_u8());
        let at_ms = bytes.try_get_u64_le().map_err(|_| Malformed)?;
        let transaction = get_id(&mut bytes)?;
        let payload = get_16(&mut bytes)?;
        let stands_at_ms = match version {
            VERSION_WITH_TIME if kind == STANDS => bytes.try_get_u64_le().map_err(|_| Malformed)?,
            VERSION | VERSION_WITH_CALLS => 0,
            _ => return Err(Malformed),
        };
        let cancelled = match version {
            VERSION => Vec::new(),
            _ => get_calls(&mut bytes)?,
        };
        // A row with neither is written in the first version.
        if version != VERSION && cancelled.is_empty() && stands_at_ms == 0 {
            return Err(Malformed);
        }
        let state = match kind {
            CANCELLED => LedgerState::Cancelled,
            PREPARING => LedgerState::Preparing,
            STANDS => LedgerState::Stands {
                at_ms: stands_at_ms,
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
            cancelled,
        })
    }
}

impl MarkRow {
    /// The row as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut into = BytesMut::with_capacity(64);
        into.put_u8(VERSION);
        into.put_u8(match self.fate {
            MarkFate::Done { .. } => DONE,
            MarkFate::Closed(_) => CLOSED,
        });
        into.put_u64_le(self.at_ms);
        into.put_slice(&self.transaction.0);
        match &self.fate {
            MarkFate::Done { answers } => put_answers(&mut into, answers),
            MarkFate::Closed(told) => put_call(&mut into, told),
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
        let fate = match kind {
            DONE => MarkFate::Done {
                answers: get_answers(&mut bytes)?,
            },
            CLOSED => MarkFate::Closed(get_call(&mut bytes, at_ms)?),
            _ => return Err(Malformed),
        };
        end(&bytes)?;
        Ok(Self {
            at_ms,
            transaction,
            fate,
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

pub(super) fn put_parts(into: &mut impl BufMut, parts: &[(u32, u64)]) {
    into.put_u32_le(count(parts.len()));
    for (group, index) in parts {
        into.put_u32_le(*group);
        into.put_u64_le(*index);
    }
}

pub(super) fn put_answers(into: &mut impl BufMut, answers: &[Bytes]) {
    into.put_u32_le(count(answers.len()));
    for answer in answers {
        put(into, answer);
    }
}

pub(super) fn put_told(into: &mut impl BufMut, told: &CancelledCall) {
    into.put_u64_le(told.at_ms);
    put_call(into, told);
}

/// But for its time.
fn put_call(into: &mut impl BufMut, told: &CancelledCall) {
    into.put_slice(told.call.as_bytes());
    into.put_u32_le(count(told.reasons.len()));
    for reason in &told.reasons {
        match reason {
            None => into.put_u8(0),
            Some(Reason::Refused(answer)) => {
                into.put_u8(1);
                put(into, answer);
            }
            Some(Reason::Conflict) => into.put_u8(2),
            Some(Reason::Unfit(unfit)) => {
                into.put_u8(3);
                into.put_u8(unfit.code);
                put(into, unfit.reason.as_bytes());
            }
        }
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

pub(super) fn get_id(bytes: &mut Bytes) -> Result<TransactionId, Malformed> {
    TransactionId::read(&take(bytes, TransactionId::BYTES)?).ok_or(Malformed)
}

pub(super) fn get_16(bytes: &mut Bytes) -> Result<[u8; 16], Malformed> {
    take(bytes, 16)?[..].try_into().map_err(|_| Malformed)
}

fn get_calls(bytes: &mut Bytes) -> Result<Vec<CancelledCall>, Malformed> {
    let mut calls = Vec::new();
    for _ in 0..bytes.try_get_u32_le().map_err(|_| Malformed)? {
        calls.push(get_told(bytes)?);
    }
    Ok(calls)
}

pub(super) fn get_told(bytes: &mut Bytes) -> Result<CancelledCall, Malformed> {
    let at_ms = bytes.try_get_u64_le().map_err(|_| Malformed)?;
    get_call(bytes, at_ms)
}

fn get_call(bytes: &mut Bytes, at_ms: u64) -> Result<CancelledCall, Malformed> {
    let call = InvocationId::new(get_16(bytes)?);
    let mut reasons = Vec::new();
    for _ in 0..bytes.try_get_u32_le().map_err(|_| Malformed)? {
        reasons.push(match bytes.try_get_u8().map_err(|_| Malformed)? {
            0 => None,
            1 => Some(Reason::Refused(get(bytes)?)),
            2 => Some(Reason::Conflict),
            3 => {
                let code = bytes.try_get_u8().map_err(|_| Malformed)?;
                let reason = String::from_utf8(get(bytes)?.to_vec()).map_err(|_| Malformed)?;
                Some(Reason::Unfit(Unfit { code, reason }))
            }
            _ => return Err(Malformed),
        });
    }
    Ok(CancelledCall { at_ms, call, reasons })
}

pub(super) fn get_parts(bytes: &mut Bytes) -> Result<Vec<(u32, u64)>, Malformed> {
    let mut parts = Vec::new();
    for _ in 0..bytes.try_get_u32_le().map_err(|_| Malformed)? {
        let group = bytes.try_get_u32_le().map_err(|_| Malformed)?;
        parts.push((group, bytes.try_get_u64_le().map_err(|_| Malformed)?));
    }
    Ok(parts)
}

pub(super) fn get_answers(bytes: &mut Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut answers = Vec::new();
    for _ in 0..bytes.try_get_u32_le().map_err(|_| Malformed)? {
        answers.push(get(bytes)?);
    }
    Ok(answers)
}

pub(super) fn end(bytes: &Bytes) -> Result<(), Malformed> {
    if bytes.is_empty() { Ok(()) } else { Err(Malformed) }
}
