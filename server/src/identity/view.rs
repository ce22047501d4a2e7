//! What calls tell of users, groups, roles and managed policies.

use std::sync::Arc;

use stator_iam::directory::{Directory, Record, Usage};

/// An entity as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entity {
    pub(crate) record: Arc<Record>,
    pub(crate) arn: String,
    /// ARN of its permissions boundary.
    pub(crate) boundary: Option<String>,
    /// Its trust policy, when it is a role.
    pub(crate) trust_policy: Option<String>,
    /// By how many it is used, when it is a managed policy.
    pub(crate) usage: Usage,
    /// Whether tags and descriptions are told, which lists leave out.
    pub(crate) in_full: bool,
}

impl Entity {
    /// All of it.
    pub(crate) fn new(directory: &Directory, record: &Arc<Record>) -> Self {
        let boundary = record.boundary().and_then(|id| directory.by_id(id));
        let usage = match record.as_ref() {
            Record::Policy(policy) => directory.usage(policy),
            _ => Usage::default(),
        };
        let trust_policy = match record.as_ref() {
            Record::Role(role) => Some(directory.trust_policy(role).into_owned()),
            _ => None,
        };
        Self {
            arn: directory.arn(record),
            boundary: boundary.map(|policy| directory.arn(policy)),
            trust_policy,
            usage,
            record: Arc::clone(record),
            in_full: true,
        }
    }

    /// What lists tell of it.
    pub(crate) fn listed(directory: &Directory, record: &Arc<Record>) -> Self {
        Self {
            in_full: false,
            ..Self::new(directory, record)
        }
    }
}

/// The key by which entities are listed.
pub(crate) fn key(record: &Record) -> String {
    record.name().to_ascii_lowercase()
}
