//! Answers of ExecuteStatement and BatchExecuteStatement.

use super::Encode;
use super::json::Json;
use crate::operation::batch_execute_statement::{BatchExecuteStatementOutput, StatementResponse};
use crate::operation::execute_statement::ExecuteStatementOutput;
use crate::wire::error::ApiError;

impl Encode for ExecuteStatementOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Items")
                .list(&self.items, |json, item| json.item(item.as_ref()));
            if let Some(next) = &self.next {
                json.member("NextToken").text(&next.encode());
                if let Some(key) = next.key() {
                    json.member("LastEvaluatedKey").item(key.as_ref());
                }
            }
            json.consumed_capacity_member(self.consumed_capacity.as_ref());
        });
    }
}

impl Encode for BatchExecuteStatementOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Responses")
                .list(&self.responses, |json, response| response.encode(json));
            json.consumed_capacities_member(self.consumed_capacity.as_deref());
        });
    }
}

impl Encode for StatementResponse {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            match &self.result {
                Ok(Some(item)) => json.member("Item").item(item.as_ref()),
                Ok(None) => {}
                Err(error) => json.member("Error").object(|json| error.of_statement(json)),
            }
            if let Some(table) = &self.table {
                json.member("TableName").text(table);
            }
        });
    }
}

impl ApiError {
    /// The members of an error of one statement among several.
    fn of_statement(&self, json: &mut Json) {
        json.member("Code").text(self.statement_code());
        if let Some(sentence) = self.sentence() {
            json.member("Message").text(&sentence);
        }
        if let Self::ConditionalCheckFailed(Some(item)) = self {
            json.member("Item").item(item.as_ref());
        }
    }

    /// The code of an error in BatchStatementErrorCodeEnum of the service model.
    fn statement_code(&self) -> &'static str {
        match self {
            Self::Validation(_)
            | Self::Serialization(_)
            | Self::UnknownOperation
            | Self::TooLarge
            | Self::TooSlow => "ValidationError",
            Self::ResourceNotFound(_) | Self::TableDropped => "ResourceNotFound",
            Self::ConditionalCheckFailed(_) => "ConditionalCheckFailed",
            Self::CollectionTooLarge(_) => "ItemCollectionSizeLimitExceeded",
            Self::DuplicateItem => "DuplicateItem",
            Self::TransactionConflict => "TransactionConflict",
            Self::Throttling => "ThrottlingError",
            Self::Throttled(throttled) if throttled.is_on_demand => "ThrottlingError",
            Self::Throttled(_) => "ProvisionedThroughputExceeded",
            Self::LimitExceeded(_) => "RequestLimitExceeded",
            Self::Authentication(_) | Self::AccessDenied(_) => "AccessDenied",
            Self::ResourceInUse(_)
            | Self::BackupNotFound(_)
            | Self::BackupInUse(_)
            | Self::TableNotFound(_)
            | Self::TableInUse(_)
            | Self::TableAlreadyExists(_)
            | Self::ContinuousBackupsUnavailable(_)
            | Self::PointInTimeRecoveryUnavailable(_)
            | Self::InvalidRestoreTime(_)
            | Self::PolicyNotFound(_)
            | Self::Transfer(..)
            | Self::ExpiredIterator(_)
            | Self::TrimmedDataAccess(_)
            | Self::TransactionCanceled(_)
            | Self::TransactionInProgress
            | Self::IdempotentParameterMismatch
            | Self::Internal(_)
            | Self::Unavailable(_) => "InternalServerError",
        }
    }
}
