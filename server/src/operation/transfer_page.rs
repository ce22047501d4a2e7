//! What the operations on exports, imports and bulk operations share: where they are, buckets in requests, and pages of lists.
//!
//! Lists come in reverse order of their rows' keys: for exports and imports that is the reverse order of ARNs, as the service
//! model says for ListExports, and for bulk operations that of their times.

use std::sync::Arc;

use super::{Context, table_name};
use crate::arn;
use crate::constraint::{Constraints, ModelEnum};
use crate::message::transfer;
use crate::object_store::is_bucket_name;
use crate::transfer::record::{Format, Record};
use crate::transfer::{BulkRecord, ExportRecord, ImportRecord, LISTED_MS, Transfers};
use crate::wire::error::ApiError;

/// Most exports, imports or bulk operations in one answer, and how many there are when the request does not say. Source of the
/// second: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/import.md, DDB-IMPORT-016.
const PAGE_MAX: i32 = 25;
const PAGE_USUAL: usize = 10;
/// The fewest bytes of an ARN in a token: 112 digits. Source: service model of DynamoDB, shape ImportNextToken.
const TOKEN_BYTES_MIN: usize = 56;
/// A token is made of so many bytes at a time.
const TOKEN_BYTES_STEP: usize = 8;

impl Context {
    /// The exports and imports of the cluster.
    ///
    /// # Errors
    /// ValidationException when this node was not told where buckets are.
    pub(super) fn transfers(&self) -> Result<&Arc<Transfers>, ApiError> {
        let transfers = self.transfers.as_ref();
        transfers.ok_or_else(|| ApiError::validation(transfer::NOWHERE))
    }
}

/// Notes what the service model has against a bucket, its owner and the beginning of keys in it.
pub(super) fn check_bucket(
    constraints: &mut Constraints,
    (member, name): (&str, Option<&String>),
    (owner_member, owner): (&str, Option<&String>),
    (prefix_member, prefix): (&str, Option<&String>),
) {
    constraints.required(member, name);
    if let Some(name) = name.filter(|name| !is_bucket_name(name)) {
        let rule = "Member must satisfy regular expression pattern: ^[a-z0-9A-Z]+[\\.\\-\\w]*[a-z0-9A-Z]+$";
        constraints.violated(member, name, rule);
    }
    let is_owner = |owner: &str| owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(owner) = owner.filter(|owner| !is_owner(owner)) {
        let rule = "Member must satisfy regular expression pattern: [0-9]{12}";
        constraints.violated(owner_member, owner, rule);
    }
    if let Some(prefix) = prefix {
        constraints.length(prefix_member, prefix, prefix.chars().count(), 0, 1024);
    }
}

/// Notes what the service model has against the token of a client.
pub(super) fn check_token(constraints: &mut Constraints, token: Option<&String>) {
    if let Some(token) = token.filter(|token| token.is_empty() || token.contains('$')) {
        let rule = "Member must satisfy regular expression pattern: ^[^\\$]+$";
        constraints.violated("clientToken", token, rule);
    }
}

/// Formats of imports; exports have the first two.
impl ModelEnum for Format {
    const NAMES: &'static [&'static str] = &["DYNAMODB_JSON", "ION", "CSV"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "DYNAMODB_JSON" => Self::DynamodbJson,
            "ION" => Self::Ion,
            "CSV" => Self::Csv,
            _ => return None,
        })
    }
}

/// A kind of which there are lists.
pub(super) trait Listed: Record {
    /// The ARN of one on a table.
    fn arn(table: &str, id: &str) -> String;
    /// The name of the table and the id of such an ARN.
    fn parts(arn: &str) -> Option<(&str, &str)>;
}

impl Listed for ImportRecord {
    fn arn(table: &str, id: &str) -> String {
        arn::import(table, id)
    }

    fn parts(arn: &str) -> Option<(&str, &str)> {
        arn::import_parts(arn)
    }
}

impl Listed for ExportRecord {
    fn arn(table: &str, id: &str) -> String {
        arn::export(table, id)
    }

    fn parts(arn: &str) -> Option<(&str, &str)> {
        arn::export_parts(arn)
    }
}

impl Listed for BulkRecord {
    fn arn(table: &str, id: &str) -> String {
        arn::bulk_operation(table, id)
    }

    fn parts(arn: &str) -> Option<(&str, &str)> {
        arn::bulk_operation_parts(arn)
    }
}

/// What a list is asked for.
pub(super) struct Asked<'a> {
    /// Those of one table only.
    pub(super) table_arn: Option<&'a str>,
    /// The name of the member, and how many are wanted.
    pub(super) limit: (&'static str, Option<i32>),
    pub(super) next_token: Option<&'a str>,
}

/// A page of a list, and the token of the next one.
///
/// # Errors
/// ValidationException; what the cluster says.
pub(super) async fn listed<R: Listed>(
    context: &Context,
    asked: Asked<'_>,
) -> Result<(Vec<R>, Option<String>), ApiError> {
    let mut constraints = Constraints::default();
    if let Some(arn) = asked.table_arn {
        constraints.length("tableArn", arn, arn.chars().count(), 1, 1024);
    }
    let (member, limit) = asked.limit;
    constraints.at_least(member, limit, 1);
    constraints.at_most(member, limit, PAGE_MAX);
    constraints.finish()?;
    let behind = asked.next_token.map(arn_of).transpose()?;
    let behind = match &behind {
        Some(arn) => {
            let no_token = || transfer::invalid_next_token(asked.next_token.unwrap_or_default());
            Some(R::parts(arn).ok_or_else(no_token)?)
        }
        None => None,
    };
    let table = asked.table_arn.map(table_name::resolve).transpose()?;
    let Some(transfers) = &context.transfers else {
        return Ok((Vec::new(), None));
    };
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(PAGE_USUAL);
    let since_ms = context.clock.now_ms() - LISTED_MS;
    let found = transfers.last::<R>(table, behind, since_ms, limit + 1).await;
    let mut found = found.map_err(transfer::failed)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let token = last.map(|last| {
        let table = arn::table(&context.region, last.table());
        token_of(&R::arn(&table, last.id()))
    });
    Ok((found, token))
}

/// An ARN as hexadecimal digits, filled up with zeros.
fn token_of(arn: &str) -> String {
    let bytes = arn.len().max(TOKEN_BYTES_MIN).next_multiple_of(TOKEN_BYTES_STEP);
    let mut filled = arn.as_bytes().to_vec();
    filled.resize(bytes, 0);
    hex::encode(filled)
}

fn arn_of(token: &str) -> Result<String, ApiError> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let bytes = hex::decode(token).ok();
    let bytes = bytes.filter(|_| token.bytes().all(is_digit));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(|text| text.trim_end_matches('\0').to_owned())
        .filter(|text| text.starts_with("arn:"))
        .ok_or_else(|| transfer::invalid_next_token(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_fit_their_pattern_and_come_back() {
        for (arn, digits) in [
            ("arn:b".to_owned(), 112),
            (format!("arn:{}", "x".repeat(53)), 128),
        ] {
            let token = token_of(&arn);
            assert_eq!(token.len(), digits);
            assert!(token.len().is_multiple_of(16));
            assert_eq!(arn_of(&token), Ok(arn));
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["", "61", "6", "zz", "ARN", "ff"] {
            let sentence = format!("Invalid Request: Provided nextToken is invalid: {token}");
            assert_eq!(arn_of(token), Err(ApiError::Validation(sentence)));
        }
    }
}
