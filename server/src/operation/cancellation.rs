//! Why a transaction was cancelled, action by action.
//!
//! Codes and sentences: API reference of `TransactionCanceledException`.

use stator_cluster::{Answer as _, Reason, TRANSACTION_TOO_LARGE};
use stator_model::item::Item;

use super::transact_write_items::TRANSACTION_BYTES_MAX;
use crate::command::{Refusal, WriteAnswer};
use crate::derive::unfit;
use crate::message;
use crate::throttle::{Permit, Throttled};
use crate::wire::error::ApiError;

/// What stands in the way of one action; nothing does where there is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CancellationReason {
    pub(crate) code: CancellationCode,
    pub(crate) message: String,
    /// The item as it is, for a false condition whose action asks for it.
    pub(crate) item: Option<Item>,
}

/// `Code` of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancellationCode {
    ConditionalCheckFailed,
    DuplicateItem,
    ItemCollectionSizeLimitExceeded,
    ProvisionedThroughputExceeded,
    ThrottlingError,
    TransactionConflict,
    ValidationError,
}

impl CancellationCode {
    /// As the API spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConditionalCheckFailed => "ConditionalCheckFailed",
            Self::DuplicateItem => "DuplicateItem",
            Self::ItemCollectionSizeLimitExceeded => "ItemCollectionSizeLimitExceeded",
            Self::ProvisionedThroughputExceeded => "ProvisionedThroughputExceeded",
            Self::ThrottlingError => "ThrottlingError",
            Self::TransactionConflict => "TransactionConflict",
            Self::ValidationError => "ValidationError",
        }
    }
}

/// The reasons of a transaction, in the order of its actions.
pub(crate) type CancellationReasons = Vec<Option<CancellationReason>>;

impl CancellationReason {
    /// An action that does not fit its table or item.
    pub(super) fn validation(sentence: String) -> Self {
        Self {
            code: CancellationCode::ValidationError,
            message: sentence,
            item: None,
        }
    }

    /// An item that another request is about to write.
    pub(super) fn conflict() -> Self {
        Self {
            code: CancellationCode::TransactionConflict,
            message: message::TRANSACTION_CONFLICT.to_owned(),
            item: None,
        }
    }

    /// A table or index that has no throughput left.
    fn throttled(throttled: &Throttled) -> Self {
        Self {
            code: if throttled.is_on_demand {
                CancellationCode::ThrottlingError
            } else {
                CancellationCode::ProvisionedThroughputExceeded
            },
            message: message::throttled(throttled).to_owned(),
            item: None,
        }
    }

    /// The same reason for an item that was to be inserted: it is there.
    pub(super) fn of_insert(self) -> Self {
        if self.code != CancellationCode::ConditionalCheckFailed {
            return self;
        }
        Self {
            code: CancellationCode::DuplicateItem,
            message: message::statement::DUPLICATE.to_owned(),
            item: None,
        }
    }

    /// What the cluster says of a write action.
    ///
    /// # Errors
    /// What is no reason of the client's, such as an item that cannot be read.
    fn of_write(reason: Reason) -> Result<Self, ApiError> {
        let refusal = match reason {
            Reason::Conflict => return Ok(Self::conflict()),
            Reason::Unfit(unfit) if [unfit::VALIDATION, TRANSACTION_TOO_LARGE].contains(&unfit.code) => {
                return Ok(Self::validation(unfit.reason));
            }
            Reason::Unfit(unfit) if unfit.code == unfit::COLLECTION_TOO_LARGE => {
                return Ok(Self {
                    code: CancellationCode::ItemCollectionSizeLimitExceeded,
                    message: unfit.reason,
                    item: None,
                });
            }
            Reason::Unfit(unfit) => return Err(stator_cluster::Error::Unfit(unfit).into()),
            Reason::Refused(answer) => {
                WriteAnswer::decode(&answer)
                    .map_err(stator_cluster::Error::from)?
                    .0
            }
        };
        match refusal {
            Err(Refusal::ConditionFailed(item)) => Ok(Self {
                code: CancellationCode::ConditionalCheckFailed,
                message: message::CONDITION_FAILED.to_owned(),
                item,
            }),
            Err(Refusal::Validation(sentence)) => Ok(Self::validation(sentence)),
            Err(error @ Refusal::Internal(_)) => Err(error.into()),
            Ok(_) => Err(ApiError::Internal(
                "an action that is done has cancelled its transaction".to_owned(),
            )),
        }
    }
}

/// What the cluster says of the write actions of a transaction. Items of false conditions are shown in the order of the actions as
/// long as they are together no more than a transaction may have; from then on, only that the condition is false.
///
/// # Errors
/// As [`CancellationReason::of_write`].
pub(super) fn of_writes(reasons: Vec<Option<Reason>>) -> Result<CancellationReasons, ApiError> {
    let mut told = Vec::with_capacity(reasons.len());
    let mut bytes = 0;
    for reason in reasons {
        let mut reason = reason.map(CancellationReason::of_write).transpose()?;
        if let Some(CancellationReason { item, .. }) = &mut reason {
            bytes += item.as_ref().map_or(0, |item| item.as_ref().size());
            if bytes > TRANSACTION_BYTES_MAX {
                *item = None;
            }
        }
        told.push(reason);
    }
    Ok(told)
}

/// Refuses a transaction if there is a reason to.
///
/// # Errors
/// TransactionCanceledException.
pub(super) fn check(reasons: CancellationReasons) -> Result<(), ApiError> {
    if reasons.iter().any(Option::is_some) {
        return Err(ApiError::TransactionCanceled(reasons));
    }
    Ok(())
}

/// Lets all actions of a transaction through, or none. `is_repeated` says that another try of the call may be under way: then
/// nothing is said about what becomes of it.
///
/// # Errors
/// TransactionCanceledException with the actions whose tables or indexes have no throughput left; in a call that was tried
/// before ProvisionedThroughputExceededException or ThrottlingException, which do not say that it is cancelled.
pub(super) fn admit<A>(
    actions: &[A],
    is_repeated: bool,
    mut admit: impl FnMut(&A) -> Result<Permit, ApiError>,
) -> Result<Vec<Permit>, ApiError> {
    let (mut permits, mut reasons) = (Vec::with_capacity(actions.len()), Vec::new());
    for action in actions {
        reasons.push(match admit(action) {
            Ok(permit) => {
                permits.push(permit);
                None
            }
            Err(ApiError::Throttled(throttled)) if !is_repeated => {
                Some(CancellationReason::throttled(&throttled))
            }
            Err(error) => return Err(error),
        });
    }
    check(reasons)?;
    Ok(permits)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stator_cluster::Unfit;
    use stator_model::item::ItemWriter;

    use super::*;
    use crate::operation::capacity::UnitKind;

    fn refused(refusal: Refusal) -> Reason {
        let mut answer = Vec::new();
        WriteAnswer(Err(refusal)).encode(&mut answer);
        Reason::Refused(answer.into())
    }

    #[test]
    fn reasons_are_told_with_code_and_sentence() {
        let told =
            |reason| CancellationReason::of_write(reason).map(|reason| (reason.code.name(), reason.message));
        let expected = |code, sentence: &str| Ok((code, sentence.to_owned()));
        assert_eq!(
            told(refused(Refusal::ConditionFailed(None))),
            expected("ConditionalCheckFailed", "The conditional request failed")
        );
        assert_eq!(
            told(refused(Refusal::Validation("no".to_owned()))),
            expected("ValidationError", "no")
        );
        assert_eq!(
            told(Reason::Conflict),
            expected("TransactionConflict", "Transaction is ongoing for the item")
        );
        let unfit = |code| Unfit {
            code,
            reason: "no".to_owned(),
        };
        for code in [unfit::VALIDATION, TRANSACTION_TOO_LARGE] {
            assert_eq!(
                told(Reason::Unfit(unfit(code))),
                expected("ValidationError", "no")
            );
        }
        assert_eq!(
            told(Reason::Unfit(unfit(unfit::COLLECTION_TOO_LARGE))),
            expected("ItemCollectionSizeLimitExceeded", "no")
        );
        for inside in [
            Reason::Unfit(unfit(unfit::INTERNAL)),
            refused(Refusal::Internal("no".to_owned())),
            Reason::Refused(Bytes::from_static(b"no answer")),
        ] {
            assert!(matches!(told(inside), Err(ApiError::Internal(_))));
        }
    }

    #[test]
    fn items_of_false_conditions_are_shown_as_long_as_a_transaction_may_have_as_much() {
        let item = |bytes: usize| {
            let mut item = ItemWriter::with_capacity(bytes);
            item.writer().name(b"v");
            item.writer().string(&"x".repeat(bytes - 1));
            item.finish()
        };
        let shown = |sizes: &[Option<usize>]| {
            let reasons = sizes.iter().map(|size| {
                let failed = |bytes| refused(Refusal::ConditionFailed(Some(item(bytes))));
                size.map(failed)
            });
            let told = of_writes(reasons.collect()).unwrap();
            let is_shown = |reason: &CancellationReason| {
                assert_eq!(reason.code, CancellationCode::ConditionalCheckFailed);
                reason.item.is_some()
            };
            told.iter()
                .map(|reason| reason.as_ref().map(is_shown))
                .collect::<Vec<_>>()
        };
        let quarter = Some(TRANSACTION_BYTES_MAX / 4);
        let all = [quarter, None, quarter, quarter, quarter];
        let yes = Some(true);
        assert_eq!(shown(&all), [yes, None, yes, yes, yes]);
        assert_eq!(
            shown(&[quarter, quarter, quarter, Some(2), quarter, Some(2)]),
            [yes, yes, yes, yes, Some(false), Some(false)]
        );
    }

    #[test]
    fn a_retry_that_is_throttled_is_not_told_that_its_transaction_is_cancelled() {
        let throttled = |(): &()| {
            Err(ApiError::Throttled(Throttled {
                kind: UnitKind::Write,
                is_index: false,
                is_on_demand: false,
                resource: "arn".to_owned(),
            }))
        };
        let first = admit(&[()], false, throttled);
        assert!(matches!(first, Err(ApiError::TransactionCanceled(reasons)) if reasons.len() == 1));
        let again = admit(&[()], true, throttled);
        assert!(matches!(again, Err(ApiError::Throttled(_))));
    }
}
