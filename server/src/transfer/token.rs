//! Client tokens: the same request under the same token is carried out once.
//!
//! A token is a row of its own that says which export or import is its, and that is there before that one is: of two requests
//! at the same time one makes it, and whoever finds it without the other goes on with the same id. Source: service model of
//! DynamoDB, ImportTable and ExportTableToPointInTime, `ClientToken`.

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::{Record, TransferError, Transfers};
use crate::compare_and_set;

/// A token holds for so long after what it was for is over, in milliseconds.
const HOLDS_MS: i64 = 8 * 60 * 60 * 1000;
/// A token without anything that it was for is one whose request has failed, or died, when it is so old.
const ABANDONED_MS: i64 = 60 * 1000;
/// How often it is looked again when others come first.
const TRIES: u32 = 8;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant<'a> {
    /// As its client has chosen it.
    pub(crate) token: &'a str,
    /// What tells the request from others.
    pub(crate) fingerprint: &'a [u8],
    /// The table that the request is about, and the id that is to be its.
    pub(crate) table: &'a str,
    pub(crate) id: &'a str,
    pub(crate) now_ms: i64,
}

/// What a token is worth.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Claim<R> {
    /// It is to be carried out, under this id.
    Begin(String),
    /// It was asked for before.
    Known(R),
    /// Something else was asked for under this token.
    Other,
}

#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(string, tag = "1")]
    table: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(bytes = "bytes", tag = "3")]
    fingerprint: Bytes,
    #[prost(sint64, tag = "4")]
    at_ms: i64,
}

impl Transfers {
    /// Looks what a token is worth, and takes it for a request if it is free.
    ///
    /// # Errors
    /// When the metadata cannot be read or written.
    pub(crate) async fn claim<R: Record>(&self, claimant: Claimant<'_>) -> Result<Claim<R>, TransferError> {
        let key = token_key::<R>(claimant.token);
        let token = Token {
            table: claimant.table.to_owned(),
            id: claimant.id.to_owned(),
            fingerprint: Bytes::copy_from_slice(claimant.fingerprint),
            at_ms: claimant.now_ms,
        };
        let wanted = Bytes::from(token.encode_to_vec());
        for _ in 0..TRIES {
            let cell = self.cell(&key).await?;
            if let Some(cell) = &cell {
                let known = opened::<R>(cell)?;
                let record = self.find::<R>(&known.table, &known.id).await?;
                if let Some(claim) = judged(&known, record, claimant) {
                    return Ok(claim);
                }
            }
            if compare_and_set::install(&self.cluster, &key, cell, Some(wanted.clone())).await? {
                return Ok(Claim::Begin(claimant.id.to_owned()));
            }
        }
        Ok(Claim::Other)
    }

    /// Forgets tokens that were taken before a moment, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the metadata cannot be read or written.
    pub(crate) async fn forget_tokens<R: Record>(&self, before_ms: i64) -> Result<(), TransferError> {
        for (key, cell) in self.rows(&token_prefix::<R>()).await? {
            if opened::<R>(&cell)?.at_ms < before_ms {
                // One that is taken anew meanwhile stays.
                compare_and_set::install(&self.cluster, &key, Some(cell), None).await?;
            }
        }
        Ok(())
    }
}

fn opened<R: Record>(cell: &Bytes) -> Result<Token, TransferError> {
    Token::decode(cell.clone()).map_err(|error| TransferError::Malformed {
        prefix: R::PREFIX,
        detail: error.to_string(),
    })
}

/// What a token that is there is worth; `None` if it may be taken.
fn judged<R: Record>(known: &Token, record: Option<R>, claimant: Claimant<'_>) -> Option<Claim<R>> {
    let is_same = known.fingerprint == claimant.fingerprint;
    let age_ms = claimant.now_ms - known.at_ms;
    match record {
        Some(record)
            if record
                .ended_ms()
                .is_some_and(|ended| claimant.now_ms - ended > HOLDS_MS) =>
        {
            None
        }
        Some(record) if is_same && record.fingerprint() == claimant.fingerprint => Some(Claim::Known(record)),
        None if age_ms > ABANDONED_MS => None,
        None if is_same => Some(Claim::Begin(known.id.clone())),
        Some(_) | None => Some(Claim::Other),
    }
}

/// Tokens may be of any length, and keys may not.
fn token_key<R: Record>(token: &str) -> Vec<u8> {
    let digest = Sha256::digest(token.as_bytes());
    let mut key = format!("{}/", token_prefix::<R>()).into_bytes();
    key.extend_from_slice(&digest);
    key
}

fn token_prefix<R: Record>() -> String {
    format!("token-of-{}", R::PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::ExportRecord;

    fn claimant(now_ms: i64, fingerprint: &'static [u8]) -> Claimant<'static> {
        Claimant {
            token: "t",
            fingerprint,
            table: "Tab",
            id: "new",
            now_ms,
        }
    }

    #[test]
    fn a_token_is_worth_what_it_was_taken_for_until_eight_hours_behind_its_end() {
        let known = Token {
            table: "Tab".into(),
            id: "old".into(),
            fingerprint: Bytes::from_static(b"f"),
            at_ms: 0,
        };
        let record = |ended_ms| {
            Some(ExportRecord {
                id: "old".into(),
                ended_ms,
                fingerprint: Bytes::from_static(b"f"),
                ..ExportRecord::default()
            })
        };
        let judge = |record: Option<ExportRecord>, now_ms, fingerprint| {
            judged(&known, record, claimant(now_ms, fingerprint))
        };
        let is_known = |claim: Option<Claim<ExportRecord>>| matches!(claim, Some(Claim::Known(_)));
        assert!(is_known(judge(record(None), i64::MAX / 2, b"f")));
        assert!(is_known(judge(record(Some(10)), 10 + HOLDS_MS, b"f")));
        assert_eq!(judge(record(Some(10)), 11 + HOLDS_MS, b"f"), None);
        assert_eq!(judge(record(None), 1, b"g"), Some(Claim::Other));
        assert_eq!(judge(None, 1, b"f"), Some(Claim::Begin("old".into())));
        assert_eq!(judge(None, 1, b"g"), Some(Claim::Other));
        assert_eq!(judge(None, ABANDONED_MS + 1, b"g"), None);
    }
}
