//! What the groups of a transaction have said, taken together. Pure.
//!
//! Invariant: a transaction may stand only when all of its parts are prepared, at a time that none of its cells has a later
//! version of. Not here: asking them, and making it stand (`coordinator/transact.rs`).

use bytes::Bytes;

use super::Request;
use crate::coordinator::metadata::nothing_changed;
use crate::error::Error;
use crate::group::transact::Judgement;
use crate::transaction::{Reason, TransactionOutcome};

/// What the groups have said together: the time of the transaction, which is the latest that any of them has named, as none of
/// its cells may have a later version, the entries that have prepared the parts, and the answers in their order; or what
/// comes of the transaction.
#[expect(clippy::type_complexity, reason = "two ends, each said in the sentence above")]
pub(super) fn gather(
    request: &Request,
    prepared: Vec<Result<Judgement, Error>>,
) -> Result<(u64, Vec<(u32, u64)>, Vec<Bytes>), Result<TransactionOutcome, Error>> {
    let mut latest_ms = 0;
    let mut reasons: Vec<Option<Reason>> = vec![None; request.actions];
    let mut answers = vec![Bytes::new(); request.actions];
    let mut parts = Vec::with_capacity(request.parts.len());
    let mut failure = None;
    for ((group, part), judged) in request.parts.iter().zip(prepared) {
        match judged {
            Ok(Judgement::Fits {
                index,
                at_ms,
                answers: some,
            }) => {
                latest_ms = at_ms.max(latest_ms);
                parts.push((*group, index));
                for (place, answer) in part.places.iter().zip(some) {
                    answers[*place] = answer;
                }
            }
            Ok(Judgement::Refused(some)) => {
                for (place, reason) in part.places.iter().zip(some) {
                    reasons[*place] = reason;
                }
            }
            Ok(Judgement::Before { .. } | Judgement::Closed(_)) => {
                failure = Some(Error::Invalid {
                    cause: "a part that is prepared cannot have come to its end".to_owned(),
                });
            }
            Err(error) => failure = Some(error),
        }
    }
    if reasons.iter().any(Option::is_some) {
        return Err(Ok(TransactionOutcome::Cancelled { reasons }));
    }
    match failure {
        // It is given up, so that nothing of it comes to stand.
        Some(error) => Err(Err(nothing_changed(error))),
        None => Ok((latest_ms, parts, answers)),
    }
}
