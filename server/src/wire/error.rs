//! The one table from errors to the API: HTTP status, `__type`, members of the body.
//!
//! Exhaustive: a new [`ApiError`] does not compile before it stands here. The sentences are in `message.rs`.

use http::StatusCode;
use stator_cluster::Unfit;
use stator_model::item::Item;

use super::encode::json::Json;
use crate::command::Refusal;
use crate::derive::unfit;
use crate::message;
use crate::operation::cancellation::{CancellationReason, CancellationReasons};
use crate::throttle::Throttled;

const SERVICE: &str = "com.amazonaws.dynamodb.v20120810";
const VALIDATE: &str = "com.amazon.coral.validate";
const CORAL: &str = "com.amazon.coral.service";
const AVAILABILITY: &str = "com.amazon.coral.availability";

/// What an operation answers when it does not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request breaks a rule of the API.
    #[error("ValidationException: {0}")]
    Validation(String),
    /// The body is not a request.
    #[error("SerializationException: {}", .0.as_deref().unwrap_or("not JSON"))]
    Serialization(Option<String>),
    /// The operation does not exist, or this version does not have it.
    #[error("UnknownOperationException")]
    UnknownOperation,
    /// A table or another resource is not there.
    #[error("ResourceNotFoundException: {0}")]
    ResourceNotFound(String),
    /// The table was deleted while the request was under way, or before this node knew of it.
    #[error("ResourceNotFoundException: the table was deleted meanwhile")]
    TableDropped,
    /// A table cannot be changed in its present state.
    #[error("ResourceInUseException: {0}")]
    ResourceInUse(String),
    /// More of something than there may be at a time.
    #[error("LimitExceededException: {0}")]
    LimitExceeded(String),
    /// A backup is not there.
    #[error("BackupNotFoundException: {0}")]
    BackupNotFound(String),
    /// A backup cannot be used in its present state.
    #[error("BackupInUseException: {0}")]
    BackupInUse(String),
    /// The table of an operation on backups is not there.
    #[error("TableNotFoundException: {0}")]
    TableNotFound(String),
    /// The table of an operation on backups cannot be used in its present state.
    #[error("TableInUseException: {0}")]
    TableInUse(String),
    /// The name of a table that is to be restored is taken.
    #[error("TableAlreadyExistsException: {0}")]
    TableAlreadyExists(String),
    /// Something that only exports and imports are refused with: its name and what it says.
    #[error("{0}: {1}")]
    Transfer(&'static str, String),
    /// The history of a table cannot be changed in its present state.
    #[error("ContinuousBackupsUnavailableException: {0}")]
    ContinuousBackupsUnavailable(String),
    /// A table has no history to be restored from.
    #[error("PointInTimeRecoveryUnavailableException: {0}")]
    PointInTimeRecoveryUnavailable(String),
    /// A table cannot be restored to this moment.
    #[error("InvalidRestoreTimeException: {0}")]
    InvalidRestoreTime(String),
    /// An item collection would grow above what it may have.
    #[error("ItemCollectionSizeLimitExceededException: {0}")]
    CollectionTooLarge(String),
    /// An iterator is too old.
    #[error("ExpiredIteratorException: {0}")]
    ExpiredIterator(String),
    /// A record is asked for that is older than all that are kept.
    #[error("TrimmedDataAccessException: {0}")]
    TrimmedDataAccess(String),
    /// A condition was false. Carries the item when the request asked for it.
    #[error("ConditionalCheckFailedException")]
    ConditionalCheckFailed(Option<Item>),
    /// A transaction was cancelled. Carries what stood in the way of each of its actions.
    #[error("TransactionCanceledException: {}", canceled(.0))]
    TransactionCanceled(CancellationReasons),
    /// A transaction is about to write the item.
    #[error("TransactionConflictException")]
    TransactionConflict,
    /// A transaction under the same token is under way.
    #[error("TransactionInProgressException")]
    TransactionInProgress,
    /// The token belongs to a transaction that asks for something else.
    #[error("IdempotentParameterMismatchException")]
    IdempotentParameterMismatch,
    /// A table or index has no throughput left.
    #[error("throttled: {}", .0.reason())]
    Throttled(Throttled),
    /// An item is inserted whose key is taken.
    #[error("DuplicateItemException")]
    DuplicateItem,
    /// Who sent the request is not proved, or has no right to it.
    #[error("{}: {}", .0.code(), .0)]
    Authentication(#[from] stator_iam::Error),
    /// There is no policy, or another one than is expected.
    #[error("PolicyNotFoundException: {0}")]
    PolicyNotFound(String),
    /// The principal may not do that. The sentence names what is missing or what denies it.
    #[error("AccessDeniedException: {0}")]
    AccessDenied(String),
    /// More than one client may ask for at a time.
    #[error("ThrottlingException")]
    Throttling,
    /// The body is larger than 16 MB.
    #[error("the request body is too large")]
    TooLarge,
    /// The body does not come in time.
    #[error("the request body was not received in time")]
    TooSlow,
    /// Something failed on our side. What it was is logged, not told; the request id finds it.
    #[error("InternalServerError: {0}")]
    Internal(String),
    /// The node cannot serve now; the client may try again.
    #[error("ServiceUnavailable: {0}")]
    Unavailable(String),
}

impl From<stator_cluster::Error> for ApiError {
    fn from(error: stator_cluster::Error) -> Self {
        match error {
            stator_cluster::Error::Unavailable { cause } => Self::Unavailable(cause),
            stator_cluster::Error::NoSuchKeyspace
            | stator_cluster::Error::Unfit(Unfit {
                code: unfit::DELETED, ..
            }) => Self::TableDropped,
            stator_cluster::Error::TransactionConflict => Self::TransactionConflict,
            stator_cluster::Error::Unfit(Unfit {
                code: unfit::VALIDATION,
                reason,
            }) => Self::Validation(reason),
            stator_cluster::Error::Unfit(Unfit {
                code: unfit::COLLECTION_TOO_LARGE,
                reason,
            }) => Self::CollectionTooLarge(reason),
            // The SDKs retry a 500 under the same invocation id.
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ConditionFailed(item) => Self::ConditionalCheckFailed(item),
            Refusal::Validation(text) => Self::Validation(text),
            Refusal::Internal(text) => Self::Internal(text),
        }
    }
}

impl ApiError {
    /// A ValidationException.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    /// The status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Validation(_)
            | Self::Serialization(_)
            | Self::UnknownOperation
            | Self::ResourceNotFound(_)
            | Self::TableDropped
            | Self::ResourceInUse(_)
            | Self::LimitExceeded(_)
            | Self::BackupNotFound(_)
            | Self::BackupInUse(_)
            | Self::TableNotFound(_)
            | Self::TableInUse(_)
            | Self::TableAlreadyExists(_)
            | Self::Transfer(..)
            | Self::ContinuousBackupsUnavailable(_)
            | Self::PointInTimeRecoveryUnavailable(_)
            | Self::InvalidRestoreTime(_)
            | Self::CollectionTooLarge(_)
            | Self::ExpiredIterator(_)
            | Self::TrimmedDataAccess(_)
            | Self::ConditionalCheckFailed(_)
            | Self::TransactionCanceled(_)
            | Self::TransactionConflict
            | Self::TransactionInProgress
            | Self::IdempotentParameterMismatch
            | Self::Throttled(_)
            | Self::DuplicateItem
            | Self::Throttling
            | Self::Authentication(_)
            | Self::PolicyNotFound(_)
            | Self::AccessDenied(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Namespace, name and sentence. AWS spells the member of the sentence `Message` for serialization errors.
    fn parts(&self) -> (&'static str, &'static str, Option<(&'static str, String)>) {
        let message = |text: &str| Some(("message", text.to_owned()));
        match self {
            Self::Validation(text) => (VALIDATE, "ValidationException", message(text)),
            Self::Serialization(text) => (
                CORAL,
                "SerializationException",
                text.as_ref().map(|text| ("Message", text.clone())),
            ),
            Self::UnknownOperation => (CORAL, "UnknownOperationException", None),
            Self::ResourceNotFound(text) => (SERVICE, "ResourceNotFoundException", message(text)),
            Self::TableDropped => message::no_table().parts(),
            Self::ResourceInUse(text) => (SERVICE, "ResourceInUseException", message(text)),
            Self::LimitExceeded(text) => (SERVICE, "LimitExceededException", message(text)),
            Self::Transfer(name, text) => (SERVICE, name, message(text)),
            Self::BackupNotFound(text)
            | Self::BackupInUse(text)
            | Self::TableNotFound(text)
            | Self::TableInUse(text)
            | Self::TableAlreadyExists(text)
            | Self::ContinuousBackupsUnavailable(text)
            | Self::PointInTimeRecoveryUnavailable(text)
            | Self::InvalidRestoreTime(text)
            | Self::CollectionTooLarge(text)
            | Self::ExpiredIterator(text)
            | Self::TrimmedDataAccess(text) => (SERVICE, self.name_with_sentence(), message(text)),
            Self::ConditionalCheckFailed(_) => (
                SERVICE,
                "ConditionalCheckFailedException",
                message(message::CONDITION_FAILED),
            ),
            Self::TransactionCanceled(_)
            | Self::TransactionConflict
            | Self::TransactionInProgress
            | Self::IdempotentParameterMismatch => self.transaction_parts(),
            Self::Throttled(throttled) => {
                let sentence = message(message::throttled(throttled));
                if throttled.is_on_demand {
                    (AVAILABILITY, "ThrottlingException", sentence)
                } else {
                    (SERVICE, "ProvisionedThroughputExceededException", sentence)
                }
            }
            Self::DuplicateItem => (
                SERVICE,
                "DuplicateItemException",
                message(message::statement::DUPLICATE),
            ),
            Self::PolicyNotFound(text) => (SERVICE, "PolicyNotFoundException", message(text)),
            Self::AccessDenied(text) => (CORAL, "AccessDeniedException", Some(("Message", text.clone()))),
            Self::Authentication(error) => (CORAL, error.code(), message(&error.to_string())),
            Self::Throttling => (AVAILABILITY, "ThrottlingException", message(message::THROTTLED)),
            Self::TooLarge => (
                CORAL,
                "RequestEntityTooLargeException",
                message("Request size exceeds 16 MB"),
            ),
            // The name by which the SDKs know that it is worth a retry.
            Self::TooSlow => (
                CORAL,
                "RequestTimeoutException",
                message("The request was not received in time"),
            ),
            Self::Internal(_) => (SERVICE, "InternalServerError", message("Internal server error")),
            Self::Unavailable(_) => (
                SERVICE,
                "ServiceUnavailable",
                message("Service is temporarily unavailable; try again"),
            ),
        }
    }

    /// The names of those errors of the service that carry a sentence and nothing else, and have it from whoever made them.
    fn name_with_sentence(&self) -> &'static str {
        match self {
            Self::BackupNotFound(_) => "BackupNotFoundException",
            Self::BackupInUse(_) => "BackupInUseException",
            Self::TableNotFound(_) => "TableNotFoundException",
            Self::TableInUse(_) => "TableInUseException",
            Self::TableAlreadyExists(_) => "TableAlreadyExistsException",
            Self::ContinuousBackupsUnavailable(_) => "ContinuousBackupsUnavailableException",
            Self::PointInTimeRecoveryUnavailable(_) => "PointInTimeRecoveryUnavailableException",
            Self::InvalidRestoreTime(_) => "InvalidRestoreTimeException",
            Self::CollectionTooLarge(_) => "ItemCollectionSizeLimitExceededException",
            Self::ExpiredIterator(_) => "ExpiredIteratorException",
            Self::TrimmedDataAccess(_) => "TrimmedDataAccessException",
            _ => "InternalServerError",
        }
    }

    /// The same for what transactions are refused with. The sentence is in `message` only where another request meets one.
    fn transaction_parts(&self) -> (&'static str, &'static str, Option<(&'static str, String)>) {
        let message = |text: &str| Some(("Message", text.to_owned()));
        match self {
            Self::TransactionCanceled(reasons) => (
                SERVICE,
                "TransactionCanceledException",
                message(&canceled(reasons)),
            ),
            Self::TransactionInProgress => (
                SERVICE,
                "TransactionInProgressException",
                message(message::TRANSACTION_IN_PROGRESS),
            ),
            Self::IdempotentParameterMismatch => (
                SERVICE,
                "IdempotentParameterMismatchException",
                message(message::TRANSACTION_OTHER_PAYLOAD),
            ),
            _ => (
                SERVICE,
                "TransactionConflictException",
                Some(("message", message::TRANSACTION_CONFLICT.to_owned())),
            ),
        }
    }

    /// Its name, without its namespace.
    pub(crate) fn code(&self) -> &'static str {
        self.parts().1
    }

    /// What it says to the client.
    pub(crate) fn sentence(&self) -> Option<String> {
        self.parts().2.map(|(_, sentence)| sentence)
    }

    /// The body of the response.
    pub(crate) fn body(&self) -> Vec<u8> {
        let (namespace, name, sentence) = self.parts();
        let mut json = Json::default();
        json.object(|json| {
            json.member("__type").text(&format!("{namespace}#{name}"));
            if let Some((member, sentence)) = sentence {
                json.member(member).text(&sentence);
            }
            if let Self::ConditionalCheckFailed(Some(item)) = self {
                json.member("Item").item(item.as_ref());
            }
            if let Self::Throttled(throttled) = self {
                throttling_reasons(json, throttled);
            }
            if let Self::TransactionCanceled(reasons) = self {
                json.member("CancellationReasons")
                    .list(reasons, |json, reason| cancellation_reason(json, reason.as_ref()));
            }
        });
        json.into_bytes()
    }
}

/// The service model spells the member in two ways.
fn throttling_reasons(json: &mut Json, throttled: &Throttled) {
    let member = if throttled.is_on_demand {
        "throttlingReasons"
    } else {
        "ThrottlingReasons"
    };
    json.member(member).list([throttled], |json, throttled| {
        json.object(|json| {
            json.member("reason").text(&throttled.reason());
            json.member("resource").text(&throttled.resource);
        });
    });
}

/// `Code` of what stands in the way of an action.
fn code(reason: Option<&CancellationReason>) -> &'static str {
    reason.map_or("None", |reason| reason.code.name())
}

fn canceled(reasons: &[Option<CancellationReason>]) -> String {
    let codes: Vec<_> = reasons.iter().map(|reason| code(reason.as_ref())).collect();
    message::transaction_canceled(&codes)
}

fn cancellation_reason(json: &mut Json, reason: Option<&CancellationReason>) {
    json.object(|json| {
        json.member("Code").text(code(reason));
        if let Some(reason) = reason {
            json.member("Message").text(&reason.message);
            if let Some(item) = &reason.item {
                json.member("Item").item(item.as_ref());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::cancellation::CancellationCode;

    #[test]
    fn bodies_carry_type_and_sentence() {
        let body = |error: ApiError| String::from_utf8(error.body()).unwrap();
        assert_eq!(
            body(ApiError::validation("no")),
            r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no"}"#
        );
        assert_eq!(
            body(ApiError::Serialization(None)),
            r#"{"__type":"com.amazon.coral.service#SerializationException"}"#
        );
        assert_eq!(
            body(ApiError::ConditionalCheckFailed(Some(Item::empty()))),
            concat!(
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","#,
                r#""message":"The conditional request failed","Item":{}}"#
            )
        );
    }

    #[test]
    fn a_cancelled_transaction_tells_its_reasons_in_order() {
        let mut item = stator_model::item::ItemWriter::with_capacity(16);
        item.writer().name(b"pk");
        item.writer().string("k");
        let reason = CancellationReason {
            code: CancellationCode::ConditionalCheckFailed,
            message: message::CONDITION_FAILED.to_owned(),
            item: Some(item.finish()),
        };
        let conflict = CancellationReason {
            code: CancellationCode::TransactionConflict,
            message: message::TRANSACTION_CONFLICT.to_owned(),
            item: None,
        };
        let error = ApiError::TransactionCanceled(vec![None, Some(reason), Some(conflict)]);
        assert_eq!(
            String::from_utf8(error.body()).unwrap(),
            concat!(
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","#,
                r#""Message":"Transaction cancelled, please refer cancellation reasons for specific reasons "#,
                r#"[None, ConditionalCheckFailed, TransactionConflict]","#,
                r#""CancellationReasons":[{"Code":"None"},"#,
                r#"{"Code":"ConditionalCheckFailed","Message":"The conditional request failed","Item":{"pk":{"S":"k"}}},"#,
                r#"{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}]}"#
            )
        );
    }

    #[test]
    fn failures_of_the_cluster_tell_clients_whether_to_try_again() {
        let answer = |error: stator_cluster::Error| {
            let error = ApiError::from(error);
            (error.status().as_u16(), error.parts().1)
        };
        let cause = || "no leader".to_owned();
        let unavailable = stator_cluster::Error::Unavailable { cause: cause() };
        assert_eq!(answer(unavailable), (503, "ServiceUnavailable"));
        let unknown = stator_cluster::Error::OutcomeUnknown { cause: cause() };
        assert_eq!(answer(unknown), (500, "InternalServerError"));
        let dropped = stator_cluster::Error::NoSuchKeyspace;
        assert_eq!(answer(dropped), (400, "ResourceNotFoundException"));
        let conflict = stator_cluster::Error::TransactionConflict;
        assert_eq!(answer(conflict), (400, "TransactionConflictException"));
    }

    #[test]
    fn what_failed_inside_is_not_told() {
        let error = ApiError::Internal("cannot read /data/7".to_owned());
        assert!(!String::from_utf8(error.body()).unwrap().contains("/data"));
        assert_eq!(error.status(), 500);
    }
}
