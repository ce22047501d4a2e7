//! What the operations on exports and on imports share: where they are, buckets in requests, and pages of lists.
//!
//! Lists come in reverse order of ARNs, as the service model says for ListExports.

use std::sync::Arc;

use super::{Context, table_name};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::transfer;
use crate::object_store::is_bucket_name;
use crate::transfer::record::{Format, Record};
use crate::transfer::{LISTED_MS, Transfers};
use crate::wire::error::ApiError;

/// Most exports or imports in one answer, and how many there are when the request does not say.
const PAGE_MAX: i32 = 25;
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

/// A page of a list that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The last ARN of the page before.
    behind: Option<String>,
    limit: usize,
}

impl Wanted {
    /// Of a request, whose limit is called `member`.
    ///
    /// # Errors
    /// ValidationException.
    fn of(
        mut constraints: Constraints,
        (member, limit): (&str, Option<i32>),
        next_token: Option<&String>,
    ) -> Result<Self, ApiError> {
        constraints.at_least(member, limit, 1);
        constraints.at_most(member, limit, PAGE_MAX);
        constraints.finish()?;
        let behind = next_token.map(|token| arn_of(token)).transpose()?;
        Ok(Self {
            behind,
            limit: usize::try_from(limit.unwrap_or(PAGE_MAX)).unwrap_or_default(),
        })
    }

    /// The page of some that have these ARNs, and the token of the next one.
    pub(super) fn page<T>(&self, mut all: Vec<(String, T)>) -> (Vec<(String, T)>, Option<String>) {
        all.retain(|(arn, _)| self.behind.as_ref().is_none_or(|behind| arn < behind));
        all.sort_by(|(one, _), (two, _)| two.cmp(one));
        let has_more = all.len() > self.limit;
        all.truncate(self.limit);
        let token = all.last().filter(|_| has_more).map(|(arn, _)| token_of(arn));
        (all, token)
    }
}

/// What a list of all tables, or of one, may show, and which page of it is wanted.
///
/// # Errors
/// ValidationException; what the cluster says.
pub(super) async fn listed<R: Record>(
    context: &Context,
    table_arn: Option<&str>,
    limit: (&str, Option<i32>),
    next_token: Option<&String>,
) -> Result<(Wanted, Vec<R>), ApiError> {
    let mut constraints = Constraints::default();
    if let Some(arn) = table_arn {
        constraints.length("tableArn", arn, arn.chars().count(), 1, 1024);
    }
    let wanted = Wanted::of(constraints, limit, next_token)?;
    let table = table_arn.map(table_name::resolve).transpose()?;
    let mut shown = match &context.transfers {
        Some(transfers) => transfers.all::<R>().await.map_err(transfer::failed)?,
        None => Vec::new(),
    };
    let since_ms = context.clock.now_ms() - LISTED_MS;
    shown.retain(|record| {
        table.is_none_or(|table| record.table() == table) && record.started_ms() >= since_ms
    });
    Ok((wanted, shown))
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
        .ok_or_else(transfer::invalid_next_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_in_reverse_order_and_tokens_fit_their_pattern() {
        let all = || {
            ["arn:b", "arn:d", "arn:a", "arn:c"]
                .map(|arn| (arn.to_owned(), ()))
                .into()
        };
        let wanted = |limit, token: Option<&String>| {
            Wanted::of(Constraints::default(), ("pageSize", Some(limit)), token).unwrap()
        };
        let arns = |page: Vec<(String, ())>| page.into_iter().map(|(arn, ())| arn).collect::<Vec<_>>();
        let (page, token) = wanted(3, None).page(all());
        assert_eq!(arns(page), ["arn:d", "arn:c", "arn:b"]);
        let token = token.unwrap();
        assert_eq!(token.len(), 112);
        assert!(token.len().is_multiple_of(16));
        let (page, token) = wanted(3, Some(&token)).page(all());
        assert_eq!((arns(page), token), (vec!["arn:a".to_owned()], None));
        assert_eq!(wanted(4, None).page(all()).1, None);
        assert_eq!(token_of(&"x".repeat(57)).len(), 128);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["", "61", "6", "zz", "ARN", "ff"] {
            assert_eq!(arn_of(token), Err(transfer::invalid_next_token()), "{token}");
        }
    }
}
