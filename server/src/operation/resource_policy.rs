//! Resource policies: their rules, and the tables and streams that have them.
//!
//! Source of the rules: Amazon DynamoDB Developer Guide, "Resource-based policy considerations", and the API reference of
//! PutResourcePolicy.

use stator_iam::policy::{DocumentKind, Policy};
use uuid::Uuid;

use super::shards::label;
use crate::arn;
use crate::catalog::{ResourcePolicy, TableDefinition};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// Largest document, with its white space.
const DOCUMENT_BYTES_MAX: usize = 20 * 1024;
/// Longest `ResourceArn`. Source: service model of DynamoDB, shape ResourceArnString.
const ARN_LENGTH_MAX: usize = 1283;
/// Longest `RevisionId`. Source: the same, shape PolicyRevisionId.
const REVISION_LENGTH_MAX: usize = 255;
/// The `ExpectedRevisionId` of a resource without a policy.
const NO_POLICY: &str = "NO_POLICY";

/// Notes what the service model has against a `ResourceArn` and an `ExpectedRevisionId`.
pub(super) fn check(constraints: &mut Constraints, resource_arn: Option<&String>, expected: Option<&String>) {
    constraints.required("resourceArn", resource_arn);
    if let Some(text) = resource_arn {
        constraints.length("resourceArn", text, text.chars().count(), 1, ARN_LENGTH_MAX);
    }
    if let Some(text) = expected {
        let length = text.chars().count();
        constraints.length("expectedRevisionId", text, length, 1, REVISION_LENGTH_MAX);
    }
}

/// What a policy is attached to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) table: &'a str,
    /// The label of the stream, if it is one.
    label: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// What an ARN names.
    ///
    /// # Errors
    /// ValidationException for what is neither the ARN of a table nor that of a stream.
    pub(super) fn of(arn: &'a str) -> Result<Self, ApiError> {
        let (table, label) = match arn::stream_parts(arn) {
            Some((table, label)) => (Some(table), Some(label)),
            None => (arn::table_name(arn), None),
        };
        let table = table.filter(|name| arn::is_table_name(name));
        let table = table.ok_or_else(|| message::table::invalid_resource_arn(arn))?;
        Ok(Self { table, label })
    }

    /// The stream's id in a definition of its table; `None` for the table itself.
    ///
    /// # Errors
    /// ResourceNotFoundException when the table does not have the stream.
    pub(super) fn stream(&self, definition: &TableDefinition) -> Result<Option<Uuid>, ApiError> {
        let Some(wanted) = self.label else { return Ok(None) };
        let mut streams = definition.streams.iter();
        let found = streams.find(|stream| label(stream) == wanted);
        let found = found.ok_or_else(|| message::policy::no_stream(wanted, self.table))?;
        Ok(Some(found.id))
    }
}

/// The policy of a table or of its stream with this id.
pub(super) fn find(definition: &TableDefinition, stream: Option<Uuid>) -> Option<&ResourcePolicy> {
    let mut policies = definition.resource_policies.iter();
    policies.find(|policy| policy.stream == stream)
}

/// Checks that a resource has the policy that a request expects.
///
/// # Errors
/// PolicyNotFoundException.
pub(super) fn check_expected(
    found: Option<&ResourcePolicy>,
    expected: Option<&str>,
    subject: Subject<'_>,
) -> Result<(), ApiError> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let of = match subject.label {
        None => format!("table {}", subject.table),
        Some(label) => format!("stream {label}"),
    };
    match found {
        None if expected == NO_POLICY => Ok(()),
        None => Err(message::policy::no_revision(&of, expected)),
        Some(found) if found.revision == expected => Ok(()),
        Some(found) if expected == NO_POLICY => Err(message::policy::there_is_one(&of, &found.revision)),
        Some(found) => Err(message::policy::other_revision(&of, expected, &found.revision)),
    }
}

/// Reads a document that is to become a policy.
///
/// # Errors
/// ValidationException for one that is too large or none.
pub(crate) fn read(document: &str) -> Result<Policy, ApiError> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(message::policy::too_large(DOCUMENT_BYTES_MAX));
    }
    Policy::parse(document, DocumentKind::Resource).map_err(|error| message::policy::malformed(&error))
}

/// Puts a document in the place of what was there, and says which revision it is. The same document again stays the same
/// revision.
pub(super) fn put(
    definition: &mut TableDefinition,
    stream: Option<Uuid>,
    document: &str,
    now_ms: i64,
) -> String {
    let found = find(definition, stream);
    if let Some(same) = found.filter(|found| found.document == document) {
        return same.revision.clone();
    }
    // A time, as DynamoDB's revisions are; later than that of the document before, whatever the clock says.
    let before = found.and_then(|found| found.revision.parse::<i64>().ok());
    let revision = before.map_or(now_ms, |before| now_ms.max(before + 1)).to_string();
    definition
        .resource_policies
        .retain(|policy| policy.stream != stream);
    definition.resource_policies.push(ResourcePolicy {
        stream,
        document: document.to_owned(),
        revision: revision.clone(),
    });
    revision
}

/// The policy that a new table has from the beginning.
///
/// # Errors
/// As [`read`].
pub(super) fn first(document: String, now_ms: i64) -> Result<ResourcePolicy, ApiError> {
    read(&document)?;
    Ok(ResourcePolicy {
        stream: None,
        document,
        revision: now_ms.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(revision: &str) -> ResourcePolicy {
        ResourcePolicy {
            stream: None,
            document: String::new(),
            revision: revision.to_owned(),
        }
    }

    #[test]
    fn a_revision_is_expected_or_none() {
        let found = policy("7");
        let subject = Subject {
            table: "Tab",
            label: None,
        };
        for (found, expected, why) in [
            (None, None, None),
            (Some(&found), None, None),
            (None, Some(NO_POLICY), None),
            (Some(&found), Some("7"), None),
            (
                Some(&found),
                Some(NO_POLICY),
                Some(
                    "Requested policy update expecting none to be present for table Tab, but a policy exists with revision id 7.",
                ),
            ),
            (
                Some(&found),
                Some("07"),
                Some(
                    "Requested update for policy with revision id 07, but the policy associated to target table Tab has \
                     revision id 7.",
                ),
            ),
            (
                None,
                Some("7"),
                Some(
                    "Requested update for policy with revision id 7, but table Tab has no associated policy.",
                ),
            ),
        ] {
            let wanted = why.map_or(Ok(()), |why: &str| {
                let head = "Resource-based policy not found for the provided ResourceArn";
                Err(ApiError::PolicyNotFound(format!("{head}: {why}")))
            });
            assert_eq!(check_expected(found, expected, subject), wanted, "{expected:?}");
        }
    }

    #[test]
    fn tables_and_streams_have_policies() {
        let table = "arn:aws:dynamodb:eu-west-1:000000000000:table/Tab";
        let stream = format!("{table}/stream/2026-01-01T00:00:00.000");
        assert_eq!(Subject::of(table).unwrap().label, None);
        let subject = Subject::of(&stream).unwrap();
        assert_eq!(
            (subject.table, subject.label),
            ("Tab", Some("2026-01-01T00:00:00.000"))
        );
        for text in ["Tab", &format!("{table}/index/I"), "arn:aws:s3:::b"] {
            assert_eq!(
                Subject::of(text).unwrap_err(),
                message::table::invalid_resource_arn(text)
            );
        }
    }

    #[test]
    fn documents_are_small_and_policies() {
        let large = format!("{}{{}}", " ".repeat(DOCUMENT_BYTES_MAX));
        assert_eq!(
            read(&large).unwrap_err(),
            message::policy::too_large(DOCUMENT_BYTES_MAX)
        );
        let ApiError::Validation(text) = read("{}").unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(
            text,
            "One or more parameter values were invalid: Invalid policy document: Syntax errors in policy: Statement is missing. (line 1, column 1)"
        );
    }
}
