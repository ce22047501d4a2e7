//! The directory: users, groups, roles, access keys and managed policies, as data and pure changes.
//!
//! A [`Directory`] is what all rows say at one moment, indexed for the path of a request; it never changes. A change is a
//! pure function of a directory ([`Changes`]): it gives the rows that become others, which the caller installs by
//! compare-and-set, or a refusal in IAM's words. Invariants: what is shown is whole (a reference to a row that is gone shows
//! nothing and allows nothing); a policy is compiled once when it changes. Not here: where rows are kept, time, randomness.
//!
//! Source of the rules: the IAM User Guide and the IAM API reference.

mod change;
mod error;
mod id;
mod index;
mod last_used;
mod record;
mod rules;
pub mod sealing;
pub mod token;
mod trust;

pub use change::{Changes, Edit, NewGroup, NewPolicy, NewRole, NewUser, Tagging};
pub use error::{DirectoryError, ErrorCode};
pub use id::{ENTITY_RANDOM_BYTES, KEY_RANDOM_BYTES, SESSION_KEY, USER_KEY, access_key};
pub use index::{Directory, MalformedRow, Usage};
pub use last_used::{LastUsed, Use};
pub use record::{AccessKey, Group, Kind, ManagedPolicy, PolicyVersion, Record, Role, Row, User};
pub use rules::Checks;

use crate::policy::{DocumentKind, Policy};

/// Compiles a document that a client has put.
///
/// # Errors
/// MalformedPolicyDocument with the reason and its place.
pub fn compile(document: &str, kind: DocumentKind) -> Result<Policy, DirectoryError> {
    Policy::parse(document, kind)
        .map_err(|error| DirectoryError::new(ErrorCode::MalformedPolicyDocument, error.to_string()))
}

/// Checks the tags of a session.
///
/// # Errors
/// As tags of users are refused.
pub fn check_tags(all: &[(String, String)]) -> Result<(), DirectoryError> {
    rules::tags(all).map(|_| ())
}
